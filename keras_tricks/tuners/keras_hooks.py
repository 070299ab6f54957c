"""The private Keras names that the tuners use, and why.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Model._compile_config` | 3.11, 3.15 | what `compile` was given; the public `get_compile_config` serializes it, which a loss or a schedule of one's own may not allow |
"""  # noqa: E501

from __future__ import annotations

from typing import Any

import keras


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns what `model.compile` was given, or nothing if it was not called."""
    config = getattr(model, "_compile_config", None)
    return {} if config is None else dict(config.config)
