"""Backbones: copies of trained models, with their weights and what is frozen."""

import tempfile
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.hypermodels.layers import PACKAGE
from keras_tricks.parameters.abstract_build import built_abstractly
from keras_tricks.parameters.keras_hooks import all_layers


@keras.saving.register_keras_serializable(PACKAGE, name="Backbone")
class Backbone(keras.Model):
    """A Functional model in whose file stands what is frozen inside of its layers.

    Keras, as of 3.15, restores `trainable` of a layer and not of the layers and
    variables inside of it, so that a frozen `MultiHeadAttention` would learn again.
    """

    def get_config(self) -> dict[str, Any]:
        learning = [_what_learns(layer) for layer in layers_of(self)]
        return {**super().get_config(), "what_learns": learning}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        learning = config.pop("what_learns", None)
        model = super().from_config(config, custom_objects)
        if learning is None:  # A file of version 0.1.
            learning = [_what_learns(layer) for layer in layers_of(model)]
        for layer, flags in zip(layers_of(model), learning, strict=True):
            _set_what_learns(layer, *flags)
        return model


def check_inputs(model: keras.Model) -> None:
    """Raises `ValueError` if a model does not know its inputs yet."""
    # A Sequential model without them raises an AttributeError, too.
    if not getattr(model, "inputs", None):
        raise ValueError(
            "`backbone` must be a Functional or Sequential model that knows its "
            "inputs: pass keras.Model(inputs, backbone(inputs)), with "
            f"inputs = keras.Input(...). {_validation.received('backbone', model)}"
        )


def copy_of(model: keras.Model, as_whole: bool = False) -> keras.Model:
    """Returns a model with the layers, weights and frozen layers of `model`.

    Args:
        model: A model.
        as_whole: Whether models of classes of one's own are made by these, and not
            layer by layer.

    Raises:
        ValueError: If its configuration does not make it.
    """
    try:
        copy = _made_anew(model, as_whole)
        shapes, copied = (_shapes(whole) for whole in (model, copy))
        if shapes != copied or len(model.weights) != len(copy.weights):
            raise ValueError(
                f"that gives {len(copy.weights)} weights instead of "
                f"{len(model.weights)}, or others."
            )
        for target, source in zip(layers_of(copy), layers_of(model), strict=True):
            _load_from(source, target)
            _set_what_learns(target, *_what_learns(source))
    except Exception as error:
        raise ValueError(
            "The backbone cannot be made anew from its configuration: "
            f"{_cause_of(error)} Pass a function that makes it, weights included, as "
            f"`backbone`. {_validation.received('backbone', model)}"
        ) from error
    return copy


def _made_anew(model: keras.Model, as_whole: bool) -> keras.Model:
    """Returns a model of the same configuration, with weights of its own."""
    made: dict[int, Any] = {}

    def copied(layer: Any) -> Any:
        # A layer that models share stays one.
        if id(layer) not in made:
            if isinstance(layer, keras.Model) and not _is_one(layer, as_whole):
                copy = keras.models.clone_model(layer, clone_function=copied)
            else:
                copy = type(layer).from_config(layer.get_config())
            made[id(layer)] = copy
        return made[id(layer)]

    return copied(model)


def _is_one(model: keras.Model, as_whole: bool) -> bool:
    """Whether a model must be called, since its layers are not all that it is."""
    has_own_call = not _is_keras_s(type(model).call)
    return has_own_call or (as_whole and not _is_keras_s(type(model)))


def _is_keras_s(thing: Any) -> bool:
    """Whether Keras defines a class or a function."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "keras"


def inputs_and_outputs(model: keras.Model, as_whole: bool = False) -> tuple[Any, Any]:
    """Returns those of the model's layers, or of the model as one layer."""
    is_sequential = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if is_sequential else model.input
    if _is_one(model, as_whole):
        return inputs, model(inputs)
    return inputs, model.outputs[0] if is_sequential else model.output


def has_own_class(model: keras.Model) -> bool:
    """Whether a class of one's own made a model of layers, or one inside of it."""
    knows_layers = bool(getattr(model, "inputs", None))
    return (knows_layers and not _is_keras_s(type(model))) or any(
        has_own_class(layer) for layer in model.layers if isinstance(layer, keras.Model)
    )


def _cause_of(error: Exception) -> str:
    """Returns the innermost message, without the configuration that Keras shows."""
    text = str(error).rpartition("Exception encountered: ")[2]
    return text.partition("Full object config")[0].strip()[:1000]


def problem_of_file(make: Callable[[], keras.Model]) -> str | None:
    """Returns why a file of the model that `make` returns will not load, or None.

    Nothing is allocated.
    """

    def remade() -> str | None:
        model = make()
        config = keras.saving.serialize_keras_object(model)
        loaded = keras.saving.deserialize_keras_object(config)
        is_same = _shapes(loaded) == _shapes(model)
        return None if is_same else "it has other weights then."

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return built_abstractly(remade)
        except Exception as error:
            return _cause_of(error)


def _shapes(model: keras.Model) -> list[tuple[int, ...]]:
    """Returns the shapes of the weights, in the order of the layers.

    A class of one's own may list its weights in the order of its attributes.
    """
    return [v.shape for layer in layers_of(model) for v in layer.weights]


def _load_from(source: keras.Layer, target: keras.Layer) -> None:
    """Gives `target` the weights of `source`, and what it makes of them."""
    for whole, part in zip(all_layers(source), all_layers(target), strict=True):
        if type(part).load_own_variables is not keras.Layer.load_own_variables:
            # Some, such as `Normalization`, compute by what they make of their weights.
            store: dict[str, Any] = {}
            whole.save_own_variables(store)
            part.load_own_variables(store)
        if hasattr(whole, "save_assets"):  # A vocabulary that was learned.
            with tempfile.TemporaryDirectory() as folder:
                whole.save_assets(folder)
                part.load_assets(folder)
    # Last, since loading clears the weights of low-rank adaptation.
    for value, weight in zip(source.weights, target.weights, strict=True):
        weight.assign(value)


def _what_learns(layer: keras.Layer) -> list[list[bool]]:
    """Returns `trainable` of a layer and all in it, and of their weights."""
    parts = [part.trainable for part in all_layers(layer)]
    if not parts[0] and all(parts[1:]):
        # The layer was made so, or loaded from a file: that leaves its contents alone.
        parts = [False] * len(parts)
    return [parts, [weight.trainable and any(parts) for weight in layer.weights]]


def _set_what_learns(
    layer: keras.Layer, of_parts: list[bool], of_weights: list[bool]
) -> None:
    """Sets what `_what_learns` returned, of this layer or of one like it."""
    # What contains others is set before them, since it sets them, too. Where a layer
    # has become another, Keras says so when it loads the weights.
    for part, is_trainable in zip(all_layers(layer), of_parts, strict=False):
        # TensorFlow passes over an attribute that is set to what it is.
        part.trainable = not is_trainable
        part.trainable = is_trainable
    for weight, is_trainable in zip(layer.weights, of_weights, strict=False):
        weight.trainable = is_trainable


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers from bottom to top, those of models inside of it, too.

    A model that has weights beside those of its layers is one layer.
    """
    inside = {id(weight) for layer in model.layers for weight in layer.weights}
    if any(id(weight) not in inside for weight in model.weights):
        yield model
        return
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer
