"""Checks of what a `ClippedOptimizer` is made from."""

from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.optimizers import keras_hooks
from keras_tricks.optimizers import limits


def only_limit(**given: Any) -> tuple[str | None, limits.Limit | None]:
    """Returns kind and value of the one limit that is given, checked."""
    chosen = {kind: limit for kind, limit in given.items() if limit is not None}
    if len(chosen) > 1:
        received = ", ".join(f"{kind}={limit!r}" for kind, limit in chosen.items())
        raise ValueError(
            "At most one limit must be given, for instance only global_clipnorm=1.0. "
            f"Received: {received}"
        )
    for kind, limit in chosen.items():
        return kind, limits.checked_limit(kind, limit)
    return None, None


def checked_count(name: str, value: Any, least: int) -> int | None:
    """Returns `value` if it is a whole number >= `least` or `None`, or raises."""
    return None if value is None else _validation.check_int(name, value, minimum=least)


def check_inner_optimizer(inner: Any, wrapper_class: type) -> None:
    """Raises unless a `wrapper_class` can be put around `inner`, with the remedy."""
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise TypeError(
            "`inner_optimizer` must be a Keras optimizer, such as "
            "ClippedOptimizer(keras.optimizers.Adam(1e-3), global_clipnorm=1.0). "
            f"{_validation.received('inner_optimizer', inner)}"
        )
    if isinstance(inner, wrapper_class):
        raise ValueError(
            "`inner_optimizer` must not be a ClippedOptimizer: the norm of clipped "
            "gradients says nothing. Use one wrapper with the smaller limit. "
            f"{_validation.received('inner_optimizer', inner)}"
        )
    if isinstance(inner, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "`inner_optimizer` must not be a LossScaleOptimizer, or scaled gradients "
            "would be clipped. Write LossScaleOptimizer(ClippedOptimizer(...)) "
            'instead; compile() does so by itself under "mixed_float16".'
        )
    for leaf in keras_hooks.leaf_optimizers(inner):
        for argument in ("clipnorm", "clipvalue", "global_clipnorm"):
            limit = getattr(leaf, argument, None)
            if limit is not None:
                raise ValueError(
                    "`inner_optimizer` must not clip by itself. Leave out "
                    f"`{argument}` of {type(leaf).__name__} and give the limit to "
                    f"ClippedOptimizer. {_validation.received(argument, limit)}"
                )
        steps = getattr(leaf, "gradient_accumulation_steps", None)
        if steps is not None:
            raise ValueError(
                "`inner_optimizer` must not accumulate by itself, or single batches "
                "would be clipped. Leave out `gradient_accumulation_steps` of "
                f"{type(leaf).__name__} and give it to ClippedOptimizer; a schedule "
                "then needs no PerUpdate. Received: "
                f"gradient_accumulation_steps={steps}"
            )
