"""Every number that a constructor of Keras's takes, found by looking at its signature.

A new version of Keras extends this by itself: each class that it exports is either
varied here, or has no number, or stands in `LEFT_OUT` with the reason.
"""

import functools
import inspect
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

FAMILIES: dict[str, type] = {
    "regularizers": keras.Regularizer,
    "constraints": keras.constraints.Constraint,
    "initializers": keras.Initializer,
    "losses": keras.Loss,
    "metrics": keras.Metric,
    "optimizers": keras.optimizers.Optimizer,
    "layers": keras.Layer,
}
NUM_EXAMPLES, BATCH_SIZE = 16, 8

# Class -> why no model of this file can have one.
LEFT_OUT = {
    "regularizers.Regularizer": "abstract",
    "constraints.Constraint": "abstract",
    "initializers.Initializer": "abstract",
    "initializers.STFT": "needs a kernel of three dimensions",
    "losses.Loss": "abstract",
    "losses.CTC": "needs sequences of labels",
    "metrics.Metric": "abstract",
    "metrics.Mean": "takes values, not labels and predictions",
    "metrics.Sum": "takes values, not labels and predictions",
    "metrics.MeanMetricWrapper": "wraps a function",
    "optimizers.Optimizer": "abstract",
    "optimizers.LossScaleOptimizer": "wraps another optimizer",
    "optimizers.MultiOptimizer": "wraps other optimizers",
    "optimizers.OptimizerMap": "wraps other optimizers",
    "layers.Layer": "abstract",
    "layers.InputLayer": "is not called",
    "layers.Wrapper": "abstract",
    # Keras 3.15 asks TensorFlow for windows of no size, which ends the process.
    "layers.AdaptiveMaxPooling1D": "crashes by itself",
    "layers.AdaptiveMaxPooling2D": "crashes by itself",
    "layers.AdaptiveMaxPooling3D": "crashes by itself",
    "layers.AugMix": "draws otherwise each time, whatever its seed",
    "layers.FlaxLayer": "needs Flax",
    "layers.JaxLayer": "needs a function of JAX's",
    "layers.TFSMLayer": "needs a saved model",
    "layers.TorchModuleWrapper": "needs PyTorch",
    "layers.MelSpectrogram": "takes sound: of little, its shape is not as it says",
    "layers.StringLookup": "takes texts",
    "layers.TextVectorization": "takes texts",
    "layers.MaxNumBoundingBoxes": "takes bounding boxes",
}

# Keras 3.11 computes another thing eagerly than in `fit`, where floats become integers.
IN_GRAPH = {"layers.Discretization"}

# What an argument that has no number as default is given: the first, then the second.
VALUES: dict[str, tuple[Any, Any]] = {
    "activity_regularizer": (None, None),
    "alpha": (0.3, 0.7),
    "axes": (1, 1),
    "axis": (-1, -1),
    "boundaries": (None, None),
    "class_id": (None, 1),
    "cropping": (1, 1),
    "degree": (0.2, 0.4),
    "depth_multiplier": (1, 2),
    "equation": ("...c,cd->...d", "...c,cd->...d"),
    "factor": (0.2, 0.4),
    "filters": (2, 3),
    "fft_length": (8, 16),
    "frame_length": (4, 4),
    "frame_step": (2, 2),
    "function": (keras.ops.tanh, keras.ops.tanh),
    "head_dim": (2, 3),
    "height": (4, 4),
    "height_factor": (0.1, 0.3),
    "input_dim": (4, 5),
    "kernel_size": (2, 1),
    "label_smoothing": (0.0, 0.3),
    "pool_size": (2, 1),
    "key_dim": (2, 3),
    "max_value": (1.0, 0.1),
    "n": (2, 3),
    "num_bins": (4, 5),
    "num_classes": (3, 3),
    "num_heads": (2, 1),
    "num_key_value_heads": (1, 1),
    "num_query_heads": (2, 2),
    "num_tokens": (4, 5),
    "output_dim": (3, 2),
    "output_shape": (3, 3),
    "output_size": (2, 1),
    "precision": (0.3, 0.9),
    "rate": (0.3, 0.6),
    "recall": (0.3, 0.9),
    "scale": (0.5, 2.0),
    "sensitivity": (0.3, 0.9),
    "specificity": (0.3, 0.9),
    "stddev": (0.3, 0.6),
    "target_class_ids": ([0], [1]),
    "target_shape": ((-1,), (-1,)),
    "threshold": (None, 0.4),
    "thresholds": (None, 0.4),
    "top_k": (None, 2),
    "translation_factor": (0.1, 0.3),
    "units": (3, 2),
    "weight_decay": (0.01, 0.5),
    "width": (4, 4),
    "width_factor": (0.1, 0.3),
}


class Two(NamedTuple):
    """An argument's first value, and another."""

    first: Any
    second: Any


# Where the names alone do not say enough.
OF_CLASS: dict[str, dict[str, Any]] = {
    "layers.Activation": {"activation": "tanh"},
    "layers.CategoryEncoding": {"num_tokens": Two(4, 5)},
    "layers.RandomPosterization": {"factor": Two(2, 4)},
    "layers.STFTSpectrogram": {"frame_length": 2, "frame_step": 1, "fft_length": 4},
    # With one window, Keras's own fails in a graph.
    "layers.AdaptiveAveragePooling1D": {"output_size": 2},
    "layers.AdaptiveAveragePooling2D": {"output_size": 2},
    "layers.AdaptiveAveragePooling3D": {"output_size": 2},
    "layers.Bidirectional": {"layer": lambda: keras.layers.GRU(2)},
    "layers.TimeDistributed": {"layer": lambda: keras.layers.Dense(2)},
    "layers.SpectralNormalization": {"layer": lambda: keras.layers.Dense(2)},
    "layers.RNN": {"cell": lambda: keras.layers.GRUCell(2)},
    "layers.StackedRNNCells": {"cells": lambda: [keras.layers.GRUCell(2)]},
    "layers.Pipeline": {"layers": lambda: [keras.layers.Rescaling(0.5)]},
    "layers.Discretization": {"bin_boundaries": [-0.5, 0.5]},
    "layers.Normalization": {"mean": Two(0.0, 1.0), "variance": Two(1.0, 2.0)},
    "layers.Permute": {"dims": (2, 1)},
    "layers.EinsumDense": {"equation": "abc,cd->abd", "output_shape": (4, 3)},
    "layers.IntegerLookup": {"vocabulary": [1, 2, 3]},
    "layers.HashedCrossing": {"num_bins": 4},
    "layers.RandomElasticTransform": {"factor": 1.0},
    "layers.GroupNormalization": {"groups": 1},
    "metrics.F1Score": {"average": "macro"},
    "metrics.FBetaScore": {"average": "macro"},
    # Any other fails in a graph.
    "metrics.R2Score": {"num_regressors": 0},
    "metrics.MeanIoU": {"num_classes": 2},
}
# Not numbers that a model computes with.
_NO_NUMBERS = {"seed", "data_format", "dtype", "name", "ignore_class", "axis"}


class Varied(NamedTuple):
    """A class, and the settings to be told apart.

    Attributes:
        name: Family and class.
        settings: Arguments of the constructor. The first are the default ones, and
            each other differs from them in one number.
    """

    name: str
    settings: list[dict[str, Any]]

    def model(self, setting: dict[str, Any]) -> keras.Model:
        """Returns a small compiled model with one object of the class."""
        family, _, name = self.name.partition(".")
        made = {k: v() if _is_maker(k, v) else v for k, v in setting.items()}
        member = getattr(getattr(keras, family), name)(**made)
        if family == "layers":
            return _with_layer(self.name, member)
        if family == "metrics":
            member.name = "metric"  # Keras would number it.
            return _around(metrics=[member], loss=_loss_of(name))
        return _MODELS[family](member)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns `x` and `y` for the models."""
        family, _, name = self.name.partition(".")
        if family == "layers":
            shape, kind = _input_of(self.name)
            return _examples(shape, kind), _examples((1,), "float")
        sparse = _takes_integers(name)
        y = np.arange(NUM_EXAMPLES) % 3
        labels = y.astype("int32") if sparse else np.eye(3, dtype="float32")[y]
        return _examples((3,), "float"), labels


@functools.cache
def classes() -> dict[str, type]:
    """Returns the classes that Keras exports in its families, by one name each."""
    found: dict[type, str] = {}
    for family, base in FAMILIES.items():
        module = getattr(keras, family)
        for name in dir(module):
            member = getattr(module, name)
            if inspect.isclass(member) and issubclass(member, base):
                own = f"{family}.{member.__name__}"
                found.setdefault(
                    member,
                    own if hasattr(module, member.__name__) else f"{family}.{name}",
                )
    return {name: member for member, name in found.items()}


@functools.cache
def varied(name: str) -> Varied:
    """Returns a class with its settings; one only if it has no number."""
    return Varied(name, list(_settings(name, classes()[name])))


def default_setting(name: str) -> dict[str, Any]:
    """Returns the first setting of a class, without those that are to be tried."""
    return next(_settings(name, classes()[name]))


def has_numbers(name: str) -> bool:
    """Whether a constructor takes a number, by its signature alone."""
    own = OF_CLASS.get(name, {})
    return any(
        key not in _NO_NUMBERS
        and (isinstance(own[key], Two) if key in own else _others(key, parameter))
        for key, parameter in _parameters(classes()[name]).items()
    )


def _settings(name: str, member: type) -> Iterator[dict[str, Any]]:
    parameters = _parameters(member)
    base = {}
    for key, parameter in parameters.items():
        own = OF_CLASS.get(name, {})
        if key in own:
            value = own[key]
            base[key] = value.first if isinstance(value, Two) else value
        elif parameter.default is parameter.empty and key in VALUES:
            base[key] = VALUES[key][0]
        elif key == "seed":
            base[key] = 1
        elif key == "data_format":
            base[key] = "channels_last"
    yield base
    for key, parameter in parameters.items():
        own = OF_CLASS.get(name, {})
        if key in _NO_NUMBERS:
            continue
        others = _others(key, parameter)
        if key in own:
            others = [own[key].second] if isinstance(own[key], Two) else []
        for other in others:
            setting = {**base, key: other}
            if is_possible(name, setting):
                yield setting
                break


def _parameters(member: type) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for owner in member.__mro__:
        if "__init__" not in vars(owner) or owner is object:
            continue
        parameters = inspect.signature(owner.__init__).parameters
        kinds = {p.kind for p in parameters.values()}
        for key, parameter in parameters.items():
            if parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            ):
                if key != "self":
                    found.setdefault(key, parameter)
        if inspect.Parameter.VAR_KEYWORD not in kinds or owner.__module__.endswith(
            ("layers.layer", "base_optimizer")
        ):
            break
        if issubclass(member, keras.Layer | keras.optimizers.Optimizer):
            break  # What is common to all of them is varied by hand.
    return found


def _others(key: str, parameter: inspect.Parameter) -> list[Any]:
    """Returns values that may be tried instead of an argument's default."""
    default = parameter.default
    first, second = VALUES.get(key, (None, None))
    if isinstance(default, bool):
        return []
    if first != second and (default is None or isinstance(default, float | int)):
        return [second, first]
    if isinstance(default, float):
        return [0.3, 0.7, 0.05] if abs(default) < 0.2 else [default / 2, default * 2]
    if isinstance(default, int):
        return [default + 1, default + 2, default - 1]
    is_needed = default is parameter.empty
    return [second] if is_needed and first != second else []


def is_possible(name: str, setting: dict[str, Any]) -> bool:
    """Whether a model can be made with one object of the class."""
    try:
        Varied(name, []).model(setting)
    except Exception:  # Keras refuses it, in any of many ways.
        return False
    return True


def _is_maker(key: str, value: Any) -> bool:
    return key in ("layer", "layers", "cell", "cells") and callable(value)


def _takes_integers(name: str) -> bool:
    own = ("Circle", "CategoricalGeneralizedCrossEntropy")
    return "Sparse" in name or name in own


def _loss_of(name: str) -> str:
    return "sparse_categorical_crossentropy" if _takes_integers(name) else "mse"


# Models: each has the object in its place.


def _weights() -> keras.Initializer:
    return keras.initializers.GlorotUniform(1)


def _compiled(layers: list, optimizer: Any = None, loss: Any = "mse", metrics=None):
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss, metrics=metrics)
    return model


def _hidden(**arguments: Any) -> Any:
    arguments = {"kernel_initializer": _weights(), **arguments}
    return keras.layers.Dense(3, "sigmoid", **arguments)


def _around(layer: Any = None, **arguments: Any) -> keras.Model:
    return _compiled([keras.Input((3,)), layer or _hidden(), _hidden()], **arguments)


def _with_layer(name: str, layer: keras.Layer) -> keras.Model:
    shape, kind = _input_of(name)
    inputs = keras.Input(shape, dtype="float32" if kind == "float" else "int32")
    x = inputs
    if name == "layers.StackedRNNCells" or name.endswith("Cell"):
        layer = keras.layers.RNN(layer)
    outputs = _call(name, layer, x)
    while isinstance(outputs, list | tuple):
        outputs = outputs[0]
    outputs = keras.ops.cast(outputs, "float32")
    outputs = keras.layers.Flatten()(outputs)
    outputs = keras.layers.Dense(1, kernel_initializer=_weights())(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.001), "mse")
    return model


_OF_INTEGERS = {
    "CategoryEncoding",
    "Embedding",
    "Hashing",
    "IntegerLookup",
    "ReversibleEmbedding",
}
_OF_TWO = {
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "Attention",
    "AdditiveAttention",
    "MultiHeadAttention",
    "GroupedQueryAttention",
    "GroupQueryAttention",
    "HashedCrossing",
}


def _call(name: str, layer: keras.Layer, x: Any) -> Any:
    name = name.partition(".")[2]
    if name in ("MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"):
        return layer(x, x)
    if name in _OF_TWO:
        return layer([x, keras.ops.flip(x, axis=1) if len(x.shape) > 2 else x])
    return layer(x)


_MODELS: dict[str, Callable[[Any], keras.Model]] = {
    "regularizers": lambda it: _around(_hidden(kernel_regularizer=it)),
    "constraints": lambda it: _around(_hidden(kernel_constraint=it)),
    "initializers": lambda it: _around(_hidden(kernel_initializer=it)),
    "losses": lambda it: _around(loss=it),
    "optimizers": lambda it: _around(optimizer=it),
}

_SHAPES: list[tuple[tuple[int, ...], str]] = [
    ((4, 3), "float"),
    ((6, 6, 3), "float"),
    ((3, 4, 4, 2), "float"),
    ((3, 4, 4, 4, 2), "float"),
    ((3,), "float"),
    ((4,), "int"),
    ((1,), "int"),
]


@functools.cache
def _input_of(name: str) -> tuple[tuple[int, ...], str]:
    """Returns the first shape of an example that a layer takes, and its type."""
    member = classes()[name]
    base = next(_settings(name, member))
    number = name[-2:-1] if name.endswith("D") else None
    shapes = _SHAPES
    if "image_preprocessing" in member.__module__:
        shapes = [((6, 6, 3), "float"), *_SHAPES]
    elif name.partition(".")[2] in _OF_INTEGERS:
        shapes = [((4,), "int"), *_SHAPES]
    for shape, kind in shapes:
        if number is not None and len(shape) != int(number) + 1 + ("ConvLSTM" in name):
            continue
        made = {k: v() if _is_maker(k, v) else v for k, v in base.items()}
        try:
            layer = member(**made)
            if name == "layers.StackedRNNCells" or name.endswith("Cell"):
                layer = keras.layers.RNN(layer)
            inputs = keras.Input(shape, dtype="float32" if kind == "float" else "int32")
            _call(name, layer, inputs)
        except Exception:  # It takes another one.
            continue
        return shape, kind
    raise ValueError(f"No input is known that keras.{name} takes.")


def _examples(shape: tuple[int, ...], kind: str) -> np.ndarray:
    generator = np.random.default_rng(4)
    if kind == "int":
        return generator.integers(0, 4, (NUM_EXAMPLES, *shape)).astype("int32")
    return generator.uniform(size=(NUM_EXAMPLES, *shape)).astype("float32")
