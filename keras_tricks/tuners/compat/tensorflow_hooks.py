"""The private TensorFlow name that the tuners use, and why.

| private name | seen in TensorFlow | why no public one serves |
|---|---|---|
| `ops.gradient_registry._registry` | 2.19, 2.21 | each trace of a function with a custom gradient (binary cross-entropy from logits, for instance) registers it under a new name for good, and with it the whole graph: 2 MiB for a small trial |
"""  # noqa: E501

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def custom_gradients_forgotten() -> Iterator[None]:
    """Removes the custom gradients that were registered inside, at the end.

    What was traced inside has its gradients in its graph already, and what is traced
    anew registers them again.
    """
    if keras.config.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.framework import ops  # Not under another backend.

    registry = ops.gradient_registry._registry
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-"):
                del registry[name]
