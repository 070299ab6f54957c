"""Overrides: whether user code stands in the place of Keras's own training."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from keras_tricks._fit_call import FitCall
from keras_tricks.tuners.trials import budget


def innermost(hypermodel: Any) -> Any:
    """Returns the hypermodel inside of `WithinBudget`, which trains as that does."""
    while isinstance(hypermodel, budget.WithinBudget) and not _overrides(
        hypermodel, "fit", budget.WithinBudget
    ):
        hypermodel = hypermodel.hypermodel
    return hypermodel


def trains_by_fit(hypermodel: Any) -> bool:
    """Whether the hypermodel leaves training to `model.fit`, whose logs are known."""
    inner = innermost(hypermodel)
    if isinstance(inner, keras_tuner.HyperModel):
        return not _overrides(inner, "fit", keras_tuner.HyperModel)
    return callable(inner)


def prepares_fit(hypermodel: Any) -> bool:
    """Whether `fit` is no more than its `fit_arguments`, `compile` and the model's."""
    inner = innermost(hypermodel)
    fit_owner, arguments_owner = (
        next((c for c in type(inner).__mro__ if name in vars(c)), None)
        for name in ("fit", "fit_arguments")
    )
    # Whoever overrides `fit` alone means something else by it.
    return (
        fit_owner is not None
        and arguments_owner is not None
        and issubclass(arguments_owner, fit_owner)
        and "fit" not in getattr(inner, "__dict__", {})
    )


def hands_on_to_keras(hypermodel: Any) -> bool:
    """Whether what it is given to train with are the arguments of Keras's `fit`."""
    return trains_by_fit(hypermodel) or prepares_fit(hypermodel)


def follows_logs(method: Any) -> Any:
    """Marks an `on_epoch_end` that, of the model, uses `stop_training` only.

    A tuner whose own is not marked trains each trial by `fit`.
    """
    method.follows_logs = True
    return method


def needs_no_model(tuner_class: Any) -> bool:
    """Whether a tuner, while it trains, asks for no more than the logs of epochs."""
    return getattr(tuner_class.on_epoch_end, "follows_logs", False) and all(
        getattr(tuner_class, name) is getattr(keras_tuner.Tuner, name)
        for name in ("on_batch_begin", "on_batch_end", "on_epoch_begin")
    )


def fit_call(
    hypermodel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[FitCall, tuple[Any, ...]]:
    """Returns what Keras's `fit` is given, and what only the hypermodel's own can read.

    A `fit` of one's own may call its arguments otherwise, from the third place on; what
    it is given by name means what it does in Keras, as far as Keras has the name.

    Raises:
        TypeError: If an argument of Keras's `fit` is given twice.
    """
    if hands_on_to_keras(hypermodel):
        return FitCall.of(args, kwargs), ()
    return FitCall(tuple(args[:2]), dict(kwargs)), tuple(args[2:])


def _overrides(hypermodel: Any, name: str, base: type) -> bool:
    """Whether a class below `base`, or the object alone, has a method of its own."""
    is_its_own = name in getattr(hypermodel, "__dict__", {})
    return is_its_own or getattr(type(hypermodel), name) is not getattr(base, name)


def logs_are_keras_own(call: FitCall) -> bool:
    """Whether no callback of the user's could add to what `fit` logs."""
    callbacks = keras.tree.flatten(call.callbacks)
    return all(
        type(callback).__module__.startswith("keras.")
        and not isinstance(callback, keras.callbacks.LambdaCallback)
        for callback in callbacks
    )
