"""Models that share a program: how that is proven, and what differs among them."""
