"""Which models can share one compiled program, and which cannot be understood."""

import hashlib
import json
import re
from typing import Any
from typing import NamedTuple

import keras

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import clipped
from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.training import fed_numbers
from keras_tricks.training import keras_hooks

# Names as Keras makes them: `dense`, `dense_3`. Only their places count.
_MADE_UP = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*(_[0-9]+)?")
# Known to update by nothing but `update_step` and their variables.
_LIBRARIES = ("keras.", "keras_tricks.")
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)


def why_not_compiled_once(model: keras.Model) -> str | None:
    """Returns why `model` must be trained by its own `fit`, or None if it need not.

    Args:
        model: A built and compiled model.
    """
    if not getattr(model, "compiled", False):
        return "the model is not compiled"
    if not model.built:
        return "the model is not built: give it an `Input`"
    for method in ("train_step", "test_step", "fit", "evaluate"):
        if _is_overridden(model, method):
            return f"the model has its own `{method}`"
    if model.run_eagerly:
        return "the model runs eagerly"
    if len(model.outputs if _is_functional(model) else [0]) != 1:
        return "the model has several outputs"
    if _is_functional(model) and len(model.inputs) != 1:
        return "the model has several inputs"
    if model.loss is None or isinstance(model.loss, list | tuple | dict):
        return "the model must have exactly one loss"
    if not model.trainable_variables:
        return "the model has nothing to train"
    for layer in keras_hooks.all_layers(model):
        if getattr(layer, "activity_regularizer", None) is not None:
            return f"the layer {layer.name!r} has an activity regularizer"
    return _why_not_optimizer(model.optimizer)


def why_not_vectorized(model: keras.Model) -> str | None:
    """Returns why trials of `model` cannot be trained by one step, or None."""
    for layer in keras_hooks.all_layers(model):
        if isinstance(layer, _RECURRENT):
            return f"the loop of the layer {layer.name!r} cannot be vectorised"
    return None


def _why_not_optimizer(optimizer: keras.optimizers.Optimizer) -> str | None:
    if optimizer.built:
        return "the optimizer was used before"
    name = type(optimizer).__name__
    if isinstance(optimizer, ClippedOptimizer):
        if optimizer.nonfinite in ("skip", "raise"):
            return f'{name} has nonfinite="{optimizer.nonfinite}"'
        if optimizer.gradient_accumulation_steps:
            return f"{name} accumulates gradients"
        return _why_not_optimizer(optimizer.inner_optimizer)
    if not type(optimizer).__module__.startswith(_LIBRARIES):
        return f"the optimizer {name} is not one of Keras's or of this package's"
    if leaf_optimizers(optimizer) != [optimizer]:
        return f"the optimizer {name} wraps others"
    if not isinstance(
        keras_hooks.rate_of(optimizer),
        keras.Variable | keras.optimizers.schedules.LearningRateSchedule,
    ):
        return f"the learning rate of {name} is neither a number nor a schedule"
    if optimizer.use_ema:
        return f"{name} keeps averages of the weights"
    if optimizer.gradient_accumulation_steps:
        return f"{name} accumulates gradients"
    if optimizer.loss_scale_factor is not None:
        return f"{name} scales the loss"
    if keras_hooks.excludes_variables_from_decay(optimizer):
        return f"{name} excludes single variables, not names, from weight decay"
    return None


class Signature(NamedTuple):
    """What two models must have in common to share a program: two digests.

    That is all of their configurations but the numbers that are fed, the seeds, and
    the names that Keras made up.
    """

    network: str
    compiled: str


def signature(model: keras.Model) -> Signature:
    """Returns the signature of a built and compiled model."""
    metrics = model.get_compile_config().get("metrics")
    return Signature(
        network_signature(model),
        compiled_signature(model.optimizer, model.loss, metrics),
    )


def network_signature(model: keras.Model) -> str:
    """Returns the part of `signature` that does not depend on `compile`."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    config = [
        type(model).__module__,
        type(model).__name__,
        model.get_config(),
        [(list(v.shape), v.dtype, v.trainable) for v in variables],
        [place.name for place in fed_numbers.penalty_places(model)],
    ]
    return _digest(_plain(config, _Names()))


def compiled_signature(optimizer: Any, loss: Any, metrics: Any) -> str:
    """Returns the part of `signature` that concerns what a model is compiled with."""
    places = fed_numbers.places(optimizer, loss)
    fed = [(id(place.owner), place.key) for place in places]
    config = [
        _optimizer_config(optimizer, fed),
        _without_numbers(keras.saving.serialize_keras_object(loss), _keys(loss, fed)),
        keras.saving.serialize_keras_object(metrics),
        [place.name for place in places],
    ]
    return _digest(_plain(config, None))


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _Names(dict):
    """Numbers the made-up names in the order in which they come."""

    def __missing__(self, name: str) -> str:
        self[name] = f"{re.sub(r'_[0-9]+$', '', name)}#{len(self)}"
        return self[name]


def _plain(config: Any, names: _Names | None) -> Any:
    if isinstance(config, dict):
        if isinstance(config.get("config"), dict):
            config = {**config, "config": _layer_config(config)}
        return {
            str(key): _plain(value, names)
            for key, value in config.items()
            if key != "seed"
        }
    if isinstance(config, list | tuple):
        return [_plain(value, names) for value in config]
    if isinstance(config, str):
        if names is not None and _MADE_UP.fullmatch(config):
            return names[config]
        return config
    if isinstance(config, bool | int | float | type(None)):
        return config
    return repr(config)


def _layer_config(serialized: dict) -> dict:
    """Returns a configuration without what variables hold, or what is fed."""
    name = serialized.get("registered_name")
    held = getattr(
        keras.saving.get_registered_object(name) if name else None,
        "fed_by_variables",
        (),
    )
    config = {k: v for k, v in serialized["config"].items() if k not in held}
    if serialized.get("module") in ("keras.regularizers", "keras.constraints"):
        config = _without_numbers(config, set(config))
    return config


def _optimizer_config(optimizer: keras.optimizers.Optimizer, fed: list) -> Any:
    config = optimizer.get_config()
    own = [type(optimizer).__module__, type(optimizer).__name__]
    if isinstance(optimizer, ClippedOptimizer):
        # A limit that is a number is a variable.
        config = _without_numbers(config, set(clipped.KINDS))
        inner = _optimizer_config(optimizer.inner_optimizer, fed)
        config = {**config, "inner_optimizer": inner}
    else:
        config = _without_numbers(config, _keys(optimizer, fed))
    kept = {k: v for k, v in config.items() if k not in ("name", "learning_rate")}
    return [*own, kept, keras_hooks.excluded_from_decay(optimizer)]


def _keys(owner: Any, fed: list) -> set[str]:
    owners = (id(owner), id(keras_hooks.keyword_arguments(owner)))
    return {key for owner_id, key in fed if owner_id in owners}


def _without_numbers(config: Any, keys: set[str]) -> Any:
    """Returns a configuration with the floats under `keys` reduced to their kind."""
    if isinstance(config, dict):
        return {
            key: "a number"
            if key in keys and fed_numbers.is_number(value)
            else _without_numbers(value, keys)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return [_without_numbers(value, keys) for value in config]
    return config


def _is_functional(model: keras.Model) -> bool:
    return getattr(model, "inputs", None) is not None


def _is_overridden(model: keras.Model, method: str) -> bool:
    owner = next(c for c in type(model).__mro__ if method in vars(c))
    return not owner.__module__.startswith("keras.")
