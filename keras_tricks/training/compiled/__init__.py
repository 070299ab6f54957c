"""One step of training as a pure function, and whole epochs of it as programs."""
