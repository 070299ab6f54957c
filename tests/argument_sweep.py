"""Wrong values for every argument of every public callable, and which are right.

A kind says which values an argument accepts by intention. All others must be refused at
once, by a `TypeError` or `ValueError` that names the argument.
"""

import dataclasses
import functools
import inspect
import math
import sys
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import keras_tuner
import numpy as np
import optuna
import pandas as pd
import tensorflow as tf

import keras_tricks
from keras_tricks import analysis
from keras_tricks import callbacks
from keras_tricks import commands
from keras_tricks import data
from keras_tricks import diagnosis
from keras_tricks import hypermodels
from keras_tricks import losses
from keras_tricks import optimizers
from keras_tricks import parameters
from keras_tricks import probes
from keras_tricks import schedules
from keras_tricks import tf1
from keras_tricks import training
from keras_tricks import tuners
from tests.tuners import toys

Kind = Callable[[Any], bool]

VALUES: dict[str, Any] = {
    "None": None,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "-1": -1,
    "-0.5": -0.5,
    "0": 0,
    "0.5": 0.5,
    "2": 2,
    "1e39": 1e39,
    "-1e39": -1e39,
    "10**400": 10**400,
    # Python refuses to print it.
    "10**5000": 10**5000,
    "'nonsense'": "nonsense",
    "'2'": "2",
    "''": "",
    "[]": [],
    "['nonsense']": ["nonsense"],
    "{}": {},
    "{'nonsense': 1}": {"nonsense": 1},
    "an array": np.array([1.0, 2.0]),
    "True": True,
    "False": False,
    "an object": object(),
    "a class": dict,
    "NumPy's bool": np.bool_(True),
    "NumPy's int": np.int64(2),
    "NumPy's float": np.float32(0.5),
    "an array without axes": np.array(2),
    "a tensor without axes": tf.constant(2),
}

_GREATEST = float(np.finfo("float32").max)
_SCHEDULE = keras.optimizers.schedules.LearningRateSchedule


# Kinds.


def _plain(value: Any) -> Any:
    if isinstance(value, tf.Tensor):
        value = value.numpy()
    is_scalar = isinstance(value, np.generic | np.ndarray) and value.ndim == 0
    return value.item() if is_scalar else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(least: float, most: float = _GREATEST, *, but: tuple[float, ...] = ()):
    """Numbers from `least` to `most`, without some."""

    def accepts(value: Any) -> bool:
        value = _plain(value)
        return _is_number(value) and least <= value <= most and value not in but

    return accepts


def _is_nan(value: Any) -> bool:
    value = _plain(value)
    return isinstance(value, float) and math.isnan(value)


def count(least: int, most: int = 2**63 - 1) -> Kind:
    """Whole numbers, also those that are floats."""

    def accepts(value: Any) -> bool:
        value = _plain(value)
        return _is_number(value) and least <= value <= most and value == int(value)

    return accepts


def integer(least: float = -math.inf) -> Kind:
    """Integers of Python and NumPy, and what has their `__index__`."""

    def accepts(value: Any) -> bool:
        value = _plain(value)
        return _is_number(value) and isinstance(value, int) and value >= least

    return accepts


def seed(value: Any) -> bool:
    """Integers from 0 on, of up to 128 bits."""
    return integer()(value) and 0 <= _plain(value) < 2**128


def choice(*names: str) -> Kind:
    """One of some names."""
    return lambda value: isinstance(value, str) and value in names


def either(*kinds: Kind) -> Kind:
    """What one of some kinds accepts."""
    return lambda value: any(kind(value) for kind in kinds)


def instance(*classes: type) -> Kind:
    """Objects of some classes."""
    return lambda value: isinstance(value, classes)


def none(value: Any) -> bool:
    """None alone."""
    return value is None


def optional(kind: Kind) -> Kind:
    """None as well."""
    return either(none, kind)


def sequence_of_texts(value: Any) -> bool:
    """Lists and tuples of strings."""
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)


def folder(value: Any) -> bool:
    """Strings that are not empty; one that is no folder is a `FileNotFoundError`."""
    return isinstance(value, str) and bool(value)


def flag(value: Any) -> bool:
    """A bool."""
    return isinstance(_plain(value), bool)


def text(value: Any) -> bool:
    """A string that is not empty."""
    return isinstance(value, str) and value != ""


def trial_zero(value: Any) -> bool:
    """The ID of the first trial, or its number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value == 0 if is_number else isinstance(value, str) and value == "0"


def anything(value: Any) -> bool:
    """What only its user can judge, such as a setting of a user's own."""
    return True


def _is_empty_map(value: Any) -> bool:
    return isinstance(value, dict | list) and not value


def whole_numbers(value: Any) -> bool:
    """Lists of integers, also those without any."""
    return isinstance(value, list | tuple) and all(map(integer(), value))


def _are_five(value: Any) -> bool:
    return isinstance(value, list | dict) and len(value) == 5


def _is_row(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1


def _is_empty(value: Any) -> bool:
    return isinstance(value, list) and not value


positive = number(float(np.finfo("float32").tiny))
not_negative = number(0)
share = number(0, 1)
below_one = number(0, 1, but=(1,))
rate = either(not_negative, instance(_SCHEDULE))
# A limit of gradients.
limit = optional(either(positive, instance(_SCHEDULE)))
patterns = optional(
    lambda value: (
        isinstance(value, list | tuple | dict)
        and all(isinstance(pattern, str) for pattern in value)
    )
)
# A function may be any object that can be called: what it returns is seen in use.
function = callable
no_function = optional(callable)
path = optional(instance(str))


@dataclasses.dataclass(frozen=True)
class Case:
    """A public callable.

    Attributes:
        target: What is called.
        kinds: Name of an argument -> its kind.
        valid: Arguments of a call that works.
        tries_accepted: Whether values that are accepted are tried: they must work, or
            be refused by name since they do not suit the other arguments.
    """

    target: Callable[..., Any]
    kinds: dict[str, Kind]
    valid: dict[str, Any] = dataclasses.field(default_factory=dict)
    tries_accepted: bool = True

    def values(self, name: str) -> dict[str, Any]:
        """Returns the values to try for an argument, its neighbours' among them."""
        names = [other for other in self.kinds if other in self.valid]
        at = names.index(name) if name in names else None
        neighbours = {} if at is None else {*names[max(at - 1, 0) : at + 2]} - {name}
        swapped = {f"{other}'s value": self.valid[other] for other in neighbours}
        return VALUES | swapped


def model() -> keras.Model:
    """A built model of six parameters."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


def _compiled(setting: float) -> keras.Model:
    made = model()
    made.compile(keras.optimizers.SGD(setting), "mse")
    return made


def _sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.1)


def _clipped(inner_optimizer: Any = None, **kwargs: Any) -> Any:
    if "inner_optimizer" not in kwargs and inner_optimizer is _DEFAULT:
        inner_optimizer = _sgd()  # It can be wrapped once.
    return optimizers.ClippedOptimizer(inner_optimizer, **kwargs)


def _switched(**kwargs: Any) -> Any:
    made = {
        name: _sgd() if kwargs[name] is _DEFAULT else kwargs[name]
        for name in ("first", "second")
    }
    return optimizers.SwitchedOptimizer(**{**kwargs, **made})


_DEFAULT = object()


def _backbone() -> keras.Model:
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


@functools.cache
def _vectorizer() -> keras.layers.TextVectorization:
    made = keras.layers.TextVectorization(output_sequence_length=2)
    made.adapt(["good film", "bad film"])
    return made


def _new_hp(**kwargs: Any) -> Any:
    """Calls `hyper_optimizer` with hyperparameters of the call's own."""
    if kwargs["hp"] is _DEFAULT:
        kwargs["hp"] = keras_tuner.HyperParameters()
    return hypermodels.hyper_optimizer(**kwargs)


@functools.cache
def searched() -> tuners.RandomSearch:
    """A tuner that has run one trial."""
    made = tuners.RandomSearch(
        toys.Scored(float), max_trials=1, seed=0, directory=tempfile.mkdtemp()
    )
    made.search(verbose=0)
    return made


def _ray_executor(**kwargs: Any) -> Any:
    """Makes one beside a Ray that nobody needs to have."""
    with mock.patch.dict(sys.modules, {"ray": mock.MagicMock()}):
        return tuners.RayExecutor(**kwargs)


def _to_study(tuner: Any = None, **kwargs: Any) -> Any:
    tuner = searched() if tuner is _DEFAULT else tuner
    return tuners.to_optuna_study(tuner, **kwargs)


@functools.cache
def study() -> optuna.Study:
    """An Optuna study with trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study()
    made.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    return made


def checkpoint() -> tuple[Any, Any, str]:
    prefix = tempfile.mkdtemp() + "/model.ckpt"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("dense/kernel", (2, 2))
        tf.compat.v1.get_variable("dense/bias", (2,))
        tf.compat.v1.train.get_or_create_global_step()
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix)
    layers = [keras.Input((2,)), keras.layers.Dense(2, name="dense")]
    made, optimizer = keras.Sequential(layers), _sgd()
    optimizer.build(made.trainable_variables)
    return made, optimizer, prefix


_CLASSIFIER: dict[str, Kind] = {
    "num_classes": count(2),
    "task": choice("classification"),
    "num_outputs": none,
    "metrics": optional(_is_empty),
    "target_scale": none,
    "batch_size": count(1),
    "epochs": count(1),
    "total_steps": optional(count(1)),
    "patience": optional(count(1)),
    "plain": flag,
    "jit_compile": either(flag, choice("auto")),
    "optimizer_arguments": optional(instance(dict)),
    "name": optional(text),
    "tunable": flag,
}
_TEXT: dict[str, Kind] = {
    "vocabulary_size": count(2),
    "sequence_length": count(1),
    **_CLASSIFIER,
}
_TABLE = hypermodels.HyperTable({"a": [1.0, 2.0]}, num_classes=2)
_TEXT_VALID = {"vocabulary_size": 9, "sequence_length": 6, "num_classes": 3}

_ORACLE: dict[str, Kind] = {
    "hypermodel": function,
    "objective": optional(text),
    "max_trials": optional(count(1)),
    "seed": optional(seed),
    "hyperparameters": optional(instance(keras_tuner.HyperParameters)),
    "tune_new_entries": flag,
    "allow_new_entries": flag,
    "max_retries_per_trial": count(0),
    "max_consecutive_failed_trials": optional(count(1)),
}
# What all tuners take, and check in one place.
_OPTIONS: dict[str, Kind] = {
    "parameter_budget": optional(positive),
    "keep_checkpoints": optional(count(1)),
    "packed_trials": optional(either(count(1), choice("auto"))),
    "reuse_programs": flag,
    "splits": optional(either(integer(2), instance(list, str))),
    "groups": anything,
    "preprocess": no_function,
    "roles": lambda value: value is None or (isinstance(value, dict) and not value),
}
# What all tuners take by `**kwargs`, and check in one place; KerasTuner's own
# `optimizer`, `loss`, `metrics`, `distribution_strategy` and `logger` are its affair.
_KERAS_TUNER: dict[str, Kind] = {
    "executions_per_trial": optional(count(1)),
    "max_model_size": optional(count(1)),
    "directory": path,
    "project_name": optional(text),
    "tuner_id": optional(text),
    "overwrite": flag,
}


def _tuner(name: str, further: dict[str, Kind] | None = None, **own: Kind) -> Case:
    signature = inspect.signature(getattr(tuners, name)).parameters
    named = {**_ORACLE, **_OPTIONS, **own}
    kinds = {key: kind for key, kind in named.items() if key in signature}
    kinds |= further or {}
    return Case(getattr(tuners, name), kinds, {"hypermodel": toys.Scored(float)})


def _noam(target: type) -> Case:
    kinds = {"d_model": count(1), "warmup_steps": count(1), "scale": positive}
    return Case(target, kinds, {"d_model": 64, "warmup_steps": 4})


def _from_epochs(kind: Any, **own: Kind) -> Case:
    kinds = {
        **own,
        # An array of numbers is as many examples.
        "num_examples": either(
            count(1), lambda value: isinstance(value, np.ndarray) and value.ndim > 0
        ),
        "batch_size": optional(count(1)),
        "epochs": count(1),
    }
    rate = next(iter(own))
    valid = {rate: 0.1, "num_examples": 100, "batch_size": 10, "epochs": 2}
    return Case(kind.from_epochs, kinds, valid)


# Six rows of two classes.
_EXAMPLES = {"x": np.arange(12).reshape(6, 2) / 8, "y": [0, 1, 0, 1, 0, 1]}


def _are_six(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 6


def _rows(**own: Kind) -> dict[str, Kind]:
    """The kinds of what takes examples."""
    always = {"x": _are_six, "y": lambda value: False}
    return {**always, **own, "labels": none, "sample_weight": none}


def _subset_size(value: Any) -> bool:
    """From 2 to all of the six rows, or a share of so many."""
    is_share = isinstance(_plain(value), float) and number(0.3, 1)(value)
    return is_share or count(2, 6)(value)


CASES: dict[str, Case] = {
    "analysis.boundaries": Case(
        analysis.boundaries,
        {
            "search": folder,
            "objective": choice("loss"),
            "direction": choice("min", "max"),
        },
        {
            "search": pd.DataFrame({"x": range(12), "loss": [3.0, 1.0, 4.0] * 4}),
            "objective": "loss",
        },
    ),
    "analysis.saturation": Case(
        analysis.saturation,
        {
            "search": folder,
            "more_trials": optional(count(1)),
            "noise": optional(number(0)),
            "objective": choice("loss"),
            "direction": choice("min", "max"),
            "seed": count(0),
        },
        {
            "search": pd.DataFrame({"loss": [3.0, 1.0, 4.0, 2.0] * 4}),
            "objective": "loss",
        },
    ),
    "analysis.summarize": Case(
        analysis.summarize, {"search": folder}, {"search": study()}
    ),
    "analysis.search_report": Case(
        analysis.search_report,
        {
            "search": either(folder, lambda v: sequence_of_texts(v) and bool(v)),
            "path": lambda value: value is not None and path(value),
            "reload_seconds": optional(number(0, but=(0,))),
        },
        {"search": study(), "path": f"{tempfile.mkdtemp()}/report.html"},
    ),
    "commands.main": Case(
        commands.main,
        {"arguments": either(none, sequence_of_texts)},
        {"arguments": ["lint", "no_such_file.py"]},
        # Bad arguments of the command line end the process.
        tries_accepted=False,
    ),
    "analysis.compare": Case(
        analysis.compare,
        {
            "search": folder,
            "hyperparameter": choice("x"),
            "nuisance": optional(_is_empty),
            "objective": choice("loss"),
            "direction": choice("min", "max"),
            "seed": count(0),
        },
        {
            "search": pd.DataFrame({"x": [1, 2, 1, 2], "loss": [3.0, 1.0, 4.0, 2.0]}),
            "hyperparameter": "x",
            "objective": "loss",
        },
    ),
    "analysis.importances": Case(
        analysis.importances,
        {
            "search": folder,
            "objective": choice("loss"),
            "direction": choice("min", "max"),
            "scores": choice("as they are", "ranks"),
            "seed": count(0),
        },
        {
            "search": pd.DataFrame({"x": range(9), "loss": [3.0, 1.0, 4.0] * 3}),
            "objective": "loss",
        },
    ),
    "analysis.rank_agreement": Case(
        analysis.rank_agreement,
        {
            "cheap": _are_five,
            "full": _are_five,
            "confidence": number(0, 1, but=(0, 1)),
        },
        {"cheap": [1, 2, 3, 5, 4], "full": {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}},
    ),
    "callbacks.GradientMonitor": Case(callbacks.GradientMonitor, {"verbose": count(0)}),
    "callbacks.LearningRateHistory": Case(callbacks.LearningRateHistory, {}),
    "callbacks.LiveCurves": Case(
        callbacks.LiveCurves,
        {
            "path": none,
            "metrics": optional(
                lambda value: isinstance(value, list) and all(map(text, value))
            ),
            "title": optional(text),
            "terminal": flag,
        },
    ),
    "callbacks.ReduceScheduleOnPlateau": Case(
        callbacks.ReduceScheduleOnPlateau,
        {
            "monitor": text,
            "factor": number(0, 1, but=(0, 1)),
            "patience": count(0),
            "mode": choice("auto", "min", "max"),
            "min_delta": not_negative,
            "cooldown": count(0),
            "min_multiplier": not_negative,
            "verbose": count(0),
        },
        {"monitor": "loss", "factor": 0.5, "patience": 3},
    ),
    "callbacks.StopHopeless": Case(
        callbacks.StopHopeless,
        {
            "monitor": text,
            "trivial": optional(number(-_GREATEST)),
            "baseline": optional(number(-_GREATEST)),
            "mode": choice("auto", "min", "max"),
            "warmup_epochs": count(0),
            "min_epochs": count(1),
            "fair_share": number(0.0, 1.0),
            "confidence": number(0.0, 1.0),
            "verbose": count(0),
        },
        {"monitor": "loss"},
    ),
    "callbacks.SwitchOnPlateau": Case(
        callbacks.SwitchOnPlateau,
        {
            "monitor": text,
            "patience": count(0),
            "mode": choice("auto", "min", "max"),
            "min_delta": not_negative,
            "verbose": count(0),
        },
        {"monitor": "loss", "patience": 3},
    ),
    "data.BalancedBatches": Case(
        data.BalancedBatches,
        _rows(
            batch_size=count(1, 10**6),
            seed=optional(seed),
            steps_per_epoch=optional(count(1, 10**6)),
            undo_shift=flag,
        ),
        {**_EXAMPLES, "batch_size": 4, "seed": 0},
    ),
    "data.fewer_classes": Case(
        data.fewer_classes,
        _rows(classes=either(count(2, 2), _are_six), model=none, relabel=flag),
        {**_EXAMPLES, "classes": 2, "model": None, "relabel": False},
    ),
    "data.oversample": Case(
        data.oversample,
        _rows(
            to=either(
                number(0, 1, but=(0,)),
                choice("majority"),
                lambda value: isinstance(value, dict) and not value,
            ),
            seed=optional(seed),
            validation_data=none,
            sampler=none,
        ),
        {**_EXAMPLES, "to": "majority", "seed": 0},
    ),
    "data.stratified_subset": Case(
        data.stratified_subset,
        _rows(size=_subset_size, seed=optional(seed), groups=none),
        {**_EXAMPLES, "size": 4, "seed": 0},
    ),
    "diagnosis.bad_cases": Case(
        diagnosis.bad_cases,
        {
            "model": function,
            "x": lambda value: False,
            "y": lambda value: False,
            "top": count(1),
            "class_names": optional(_is_row),
            "vocabulary": optional(either(instance(list), _is_row)),
            "batch_size": optional(count(1)),
            "folds": count(2),
            "seed": count(0, 2**32 - 1),
        },
        {
            "model": keras.Sequential([keras.Input((2,)), keras.layers.Softmax()]),
            "x": np.array([[4.0, 0.0], [0.0, 3.0]]),
            "y": np.array([0, 1]),
        },
    ),
    "diagnosis.trivial_score": Case(
        diagnosis.trivial_score,
        {"y": _is_row, "metric": choice("mse", "mae", "accuracy")},
        {"y": [0, 1, 1], "metric": "accuracy"},
    ),
    "diagnosis.diagnose": Case(
        diagnosis.diagnose,
        {
            "history": text,
            "baseline": optional(number(-_GREATEST)),
            "human_level": optional(number(-_GREATEST)),
            "noise": optional(not_negative),
            "metric": choice("loss"),
            "direction": choice("min", "max", "auto"),
        },
        {"history": {"loss": [2.0, 1.0]}},
        tries_accepted=False,  # There are no such files.
    ),
    "hypermodels.HyperCNN": Case(
        hypermodels.HyperCNN,
        {"input_shape": lambda value: False, **_CLASSIFIER},
        {"input_shape": (4, 4, 1), "num_classes": 3},
    ),
    "hypermodels.HyperFineTune": Case(
        hypermodels.HyperFineTune,
        {
            "backbone": function,
            **_CLASSIFIER,
            "kind": choice("text", "image"),
            "stages": count(1),
            "output": optional(text),
            "mask": no_function,
        },
        {"backbone": _backbone(), "num_classes": 3},
    ),
    "hypermodels.HyperJoin": Case(
        hypermodels.HyperJoin,
        {"trunks": lambda value: False, **_CLASSIFIER},
        {
            "trunks": {
                name: hypermodels.HyperMLP((4,), num_classes=2) for name in "ab"
            },
            "num_classes": 3,
        },
    ),
    "hypermodels.HyperMLP": Case(
        hypermodels.HyperMLP,
        {"input_shape": lambda value: False, **_CLASSIFIER},
        {"input_shape": (4,), "num_classes": 3},
    ),
    "hypermodels.HyperRNN": Case(
        hypermodels.HyperRNN,
        {
            "sequence_length": optional(count(1)),
            "num_features": count(1),
            "mask_value": optional(either(number(-_GREATEST), _is_nan)),
            "cudnn": flag,
            **_CLASSIFIER,
        },
        {"sequence_length": 6, "num_features": 2, "num_classes": 3},
    ),
    "hypermodels.HyperTable": Case(
        hypermodels.HyperTable,
        {
            "features": lambda value: False,
            **_CLASSIFIER,
            "kinds": optional(lambda value: isinstance(value, dict) and not value),
            "max_categories": count(2),
        },
        {"features": {"a": [1.0, 2.0]}, "num_classes": 3},
    ),
    "hypermodels.HyperTextCNN": Case(
        hypermodels.HyperTextCNN,
        {**_TEXT, "filter_widths": lambda value: False},
        _TEXT_VALID,
    ),
    "hypermodels.HyperTextRCNN": Case(hypermodels.HyperTextRCNN, _TEXT, _TEXT_VALID),
    "hypermodels.HyperTextTransformer": Case(
        hypermodels.HyperTextTransformer, _TEXT, _TEXT_VALID
    ),
    "hypermodels.RawTablePredictor": Case(
        hypermodels.RawTablePredictor,
        {
            "columns": lambda value: False,
            "network": lambda value: False,
            "task": choice("classification", "multi_label"),
            "labels": none,
        },
        {
            "columns": _TABLE.columns,
            "network": _TABLE.build(keras_tuner.HyperParameters()),
            "task": "classification",
        },
    ),
    "hypermodels.RawTextClassifier": Case(
        hypermodels.RawTextClassifier,
        {
            "vectorizer": instance(keras.layers.TextVectorization),
            "classifier": instance(keras.Model),
            "labels": none,
            "task": choice("classification", "multi_label"),
        },
        {"vectorizer": _vectorizer(), "classifier": model()},
    ),
    "hypermodels.hyper_optimizer": Case(
        _new_hp,
        {
            "hp": lambda value: value is _DEFAULT,
            "total_steps": count(1),
            "optimizers": lambda value: False,
            "learning_rate": number(0, _GREATEST / 100, but=(0,)),
            "global_clipnorm": lambda value: False,
        },
        {"hp": _DEFAULT, "total_steps": 10},
    ),
    "losses.ClassificationLoss": Case(
        losses.ClassificationLoss,
        {"label_smoothing": below_one, "focal_gamma": not_negative},
        {"label_smoothing": 0.1, "focal_gamma": 2.0},
    ),
    "losses.MultiLabelLoss": Case(
        losses.MultiLabelLoss,
        {
            "label_smoothing": below_one,
            "focal_gamma": not_negative,
            "positive_weights": optional(_is_row),
            "balance": not_negative,
        },
        {},
    ),
    "losses.RegressionLoss": Case(
        losses.RegressionLoss,
        {
            "kind": choice("mse", "mae", "huber", "quantile"),
            "delta": positive,
            "quantile": number(0, 1, but=(0, 1)),
            "deviation": either(positive, _is_row),
        },
        {},
    ),
    "optimizers.AdamWeightDecay": Case(
        optimizers.AdamWeightDecay,
        {
            "learning_rate": rate,
            "weight_decay": not_negative,
            "beta_1": below_one,
            "beta_2": below_one,
            "epsilon": positive,
            "exclude_from_weight_decay": patterns,
            "include_in_weight_decay": patterns,
            "bias_correction": flag,
            "learning_rate_multipliers": optional(instance(dict)),
            "name": text,
        },
        {"learning_rate": 0.1, "weight_decay": 0.01},
    ),
    "optimizers.ClippedOptimizer": Case(
        _clipped,
        {
            "inner_optimizer": lambda value: value is _DEFAULT,
            "global_clipnorm": limit,
            "clipnorm": limit,
            "clipvalue": limit,
            "adaptive_clip": limit,
            "nonfinite": choice("propagate", "skip", "zero", "raise"),
            "max_consecutive_skips": optional(count(1)),
            "sparse_norm": choice("raw", "dedup"),
            "gradient_accumulation_steps": optional(count(2)),
            "name": text,
        },
        {"inner_optimizer": _DEFAULT, "nonfinite": "skip"},
    ),
    "optimizers.PercentileLimit": Case(
        optimizers.PercentileLimit,
        {
            "percentile": number(0, 100, but=(0,)),
            "window": count(1),
            "min_updates": count(0),
        },
        {"percentile": 90, "window": 1000, "min_updates": 10},
    ),
    "optimizers.SwitchedOptimizer": Case(
        _switched,
        {
            "first": lambda value: value is _DEFAULT,
            "second": lambda value: value is _DEFAULT,
            "at": either(count(1), choice("plateau", "swats")),
            "find_rate": optional(flag),
            "tolerance": positive,
            "name": text,
        },
        {"first": _DEFAULT, "second": _DEFAULT, "at": 2, "find_rate": True},
    ),
    "optimizers.create_optimizer": Case(
        optimizers.create_optimizer,
        {
            "init_lr": not_negative,
            "num_train_steps": count(1),
            "num_warmup_steps": optional(count(0)),
            "weight_decay_rate": not_negative,
            "power": positive,
            "min_lr_ratio": share,
            "adam_beta1": below_one,
            "adam_beta2": below_one,
            "adam_epsilon": positive,
            # One limit at most, and the other one is 1.0 by default.
            "adam_clipnorm": none,
            "adam_global_clipnorm": optional(positive),
            "exclude_from_weight_decay": patterns,
            "include_in_weight_decay": patterns,
            "join": choice("overlap", "shift", "lower", "multiply"),
            "layer_decay": number(0, 1, but=(0,)),
            "num_layers": count(1),
            "bias_correction": flag,
            "rate_of": choice("this", "next"),
            "return_schedule": flag,
        },
        {
            "init_lr": 0.1,
            "num_train_steps": 10,
            "num_warmup_steps": 2,
            "layer_decay": 0.5,
            "num_layers": 2,
        },
    ),
    "optimizers.layer_wise_multipliers": Case(
        optimizers.layer_wise_multipliers,
        {"num_layers": count(1), "layer_decay": number(0, 1, but=(0,))},
        {"num_layers": 2, "layer_decay": 0.5},
    ),
    "parameters.check_parameter_budget": Case(
        parameters.check_parameter_budget,
        {
            "model": either(callable, _is_empty, instance(keras.Layer)),
            # An array is data: its first axis counts the samples.
            "num_samples": lambda value: (
                integer(1)(value) or (isinstance(value, np.ndarray) and value.ndim > 0)
            ),
            "limit": positive,
            "recommended": positive,
            "strict": flag,
            "input_shape": anything,
            "log": flag,
        },
        {"model": model(), "num_samples": 100, "limit": 0.6, "recommended": 0.1},
    ),
    "parameters.count_parameters": Case(
        parameters.count_parameters,
        {
            "what": either(callable, _is_empty, instance(keras.Layer)),
            "trainable": optional(flag),
            "input_shape": anything,
            "log": flag,
        },
        {"what": model(), "trainable": True},
    ),
    "parameters.parameter_table": Case(
        parameters.parameter_table,
        {
            "model": either(callable, instance(keras.Layer)),
            "depth": optional(count(1)),
            "group_by": optional(instance(str)),
            "optimizer": none,
            "input_shape": anything,
        },
        {"model": model(), "depth": 1},
    ),
    "probes.learning_rate_range_test": Case(
        probes.learning_rate_range_test,
        {
            "model_or_build": either(callable, instance(keras.Model)),
            # Keras and TensorFlow judge what is data.
            "x": anything,
            "y": anything,
            "start": number(float(np.finfo("float32").tiny), 9.9),
            "end": number(1e-6),
            "steps": count(1),
            "mode": choice("exponential", "linear", "decades"),
            "batch_size": optional(count(1)),
            "sample_weight": anything,
            "seeds": either(count(0, 2**32 - 1), instance(np.ndarray)),
            "smoothing": below_one,
            "packed": optional(either(count(1), choice("auto"))),
            "callbacks": optional(_is_empty),
        },
        {
            "model_or_build": _compiled(0.1),
            "x": np.ones((4, 2), "float32"),
            "y": np.ones((4, 2), "float32"),
        },
        tries_accepted=False,
    ),
    "probes.probe_batch_sizes": Case(
        probes.probe_batch_sizes,
        {
            "build": either(callable, instance(keras.Model)),
            # Keras and TensorFlow judge what is data.
            "x": anything,
            "y": anything,
            "sizes": optional(either(count(1, 4), instance(np.ndarray))),
            "sample_weight": anything,
            "seconds": positive,
            "minimal_gain": not_negative,
            "memory_limit": optional(count(1)),
        },
        {
            "build": _compiled(0.1),
            "x": np.ones((4, 2), "float32"),
            "y": np.ones((4, 2), "float32"),
        },
        tries_accepted=False,
    ),
    "schedules.CyclicalSchedule": Case(
        schedules.CyclicalSchedule,
        {
            "initial_learning_rate": not_negative,
            "maximal_learning_rate": not_negative,
            "step_size": count(1),
            "scale": choice("triangular", "triangular2", "exp_range"),
            "gamma": number(0, 1, but=(0,)),
        },
        {"initial_learning_rate": 0.1, "maximal_learning_rate": 0.2, "step_size": 5},
    ),
    "schedules.InverseSquareRoot": Case(
        schedules.InverseSquareRoot,
        {
            "peak_learning_rate": positive,
            "warmup_steps": count(1),
            "start_learning_rate": not_negative,
        },
        {"peak_learning_rate": 0.1, "warmup_steps": 5},
    ),
    "schedules.Joined": Case(
        schedules.Joined,
        {"schedules": lambda value: False, "boundaries": lambda value: False},
        {"schedules": [0.1, 0.2], "boundaries": [5]},
    ),
    "schedules.NoamSchedule": _noam(schedules.NoamSchedule),
    "schedules.CustomSchedule": _noam(schedules.CustomSchedule),
    "schedules.OneCycle": Case(
        schedules.OneCycle,
        {
            "max_learning_rate": positive,
            "total_steps": count(1),
            "warmup_fraction": below_one,
            "div_factor": number(1),
            "final_div_factor": positive,
            "anneal": choice("cosine", "linear"),
            "three_phase": flag,
        },
        {"max_learning_rate": 0.1, "total_steps": 10},
    ),
    "schedules.OneCycle.from_epochs": _from_epochs(
        schedules.OneCycle, max_learning_rate=positive
    ),
    "schedules.PerUpdate": Case(
        schedules.PerUpdate,
        {"schedule": rate, "gradient_accumulation_steps": count(1)},
        {"schedule": 0.1, "gradient_accumulation_steps": 2},
    ),
    "schedules.PowerDecay": Case(
        schedules.PowerDecay,
        {
            "initial_learning_rate": positive,
            "power": number(-_GREATEST, 0, but=(0,)),
            "offset": count(0),
            "pre_offset_learning_rate": optional(positive),
        },
        {"initial_learning_rate": 0.1, "power": -0.5, "offset": 2},
    ),
    "schedules.Scaled": Case(
        schedules.Scaled,
        {"schedule": rate, "multiplier": not_negative},
        {"schedule": 0.1, "multiplier": 0.5},
    ),
    "schedules.Shifted": Case(
        schedules.Shifted,
        {"schedule": rate, "steps": count(-(2**63))},
        {"schedule": 0.1, "steps": 2},
    ),
    "schedules.Warmup": Case(
        schedules.Warmup,
        {
            "schedule": rate,
            "warmup_steps": count(0),
            "start": not_negative,
            "power": positive,
            "join": choice("overlap", "shift", "lower", "multiply"),
        },
        {"schedule": 0.1, "warmup_steps": 2},
    ),
    "schedules.WarmupPolynomialDecay": Case(
        schedules.WarmupPolynomialDecay,
        {
            "initial_learning_rate": not_negative,
            "decay_steps": count(1),
            "warmup_steps": count(0),
            "end_learning_rate": not_negative,
            "power": positive,
            "cycle": flag,
            "join": choice("overlap", "shift", "lower", "multiply"),
        },
        {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_steps": 2},
    ),
    "schedules.WarmupPolynomialDecay.from_epochs": _from_epochs(
        schedules.WarmupPolynomialDecay,
        initial_learning_rate=not_negative,
        warmup_fraction=share,
    ),
    "schedules.WarmupStableDecay.from_epochs": _from_epochs(
        schedules.WarmupStableDecay,
        peak_learning_rate=positive,
        warmup_fraction=share,
        decay_fraction=share,
    ),
    "schedules.WarmupStableDecay": Case(
        schedules.WarmupStableDecay,
        {
            "peak_learning_rate": positive,
            "total_steps": count(1),
            "warmup_steps": count(0),
            "decay_steps": count(1),
            "end_learning_rate": not_negative,
            "decay": choice("linear", "cosine", "1-sqrt"),
            "start_learning_rate": not_negative,
        },
        {
            "peak_learning_rate": 0.1,
            "total_steps": 10,
            "warmup_steps": 2,
            "decay_steps": 3,
        },
    ),
    "schedules.curve": Case(
        schedules.curve,
        {
            "schedule": rate,
            # An array, or a list, of steps.
            "steps": either(count(1), instance(np.ndarray), _is_empty),
        },
        {"schedule": 0.1, "steps": 3},
    ),
    "schedules.plot": Case(
        schedules.plot,
        {
            # A vector of rates, or a dictionary of them, is several schedules.
            "schedules": either(
                rate,
                lambda value: np.ndim(value) == 1 and isinstance(value, np.ndarray),
                lambda value: isinstance(value, dict) and len(value) > 0,
            ),
            "steps": either(count(1), instance(np.ndarray), _is_empty),
            "log_scale": flag,
            "ax": none,
        },
        {"schedules": 0.1, "steps": 3},
        tries_accepted=False,
    ),
    "tf1.Rename": Case(
        tf1.Rename,
        {"pattern": instance(str), "replacement": instance(str)},
        {"pattern": "a", "replacement": "b"},
    ),
    "tf1.Reshape": Case(
        tf1.Reshape,
        {"pattern": instance(str), "shape": optional(whole_numbers)},
        {"pattern": "a", "shape": [2, 3]},
    ),
    "tf1.Join": Case(
        tf1.Join,
        {
            "parts": lambda value: (
                isinstance(value, list)
                and len(value) > 1
                and all(isinstance(v, str) for v in value)
            ),
            "into": instance(str),
            "axis": count(-(2**31)),
        },
        {"parts": ["q", "k"], "into": "qk", "axis": 1},
    ),
    "tf1.Split": Case(
        tf1.Split,
        {
            "pattern": instance(str),
            "into": lambda value: (
                isinstance(value, list)
                and bool(value)
                and all(isinstance(v, str) for v in value)
            ),
            "axis": count(-(2**31)),
        },
        {"pattern": "a", "into": ["b", "c"], "axis": 0},
    ),
    "tf1.Transpose": Case(
        tf1.Transpose,
        {"pattern": instance(str), "axes": optional(whole_numbers)},
        {"pattern": "a", "axes": [1, 0]},
    ),
    "tf1.restore_weights": Case(
        tf1.restore_weights,
        {
            "model": instance(keras.Model),
            # A string that is no checkpoint is a `FileNotFoundError`.
            "checkpoint": instance(str),
            "variable_map": either(none, callable, _is_empty_map),
            "strict": flag,
        },
        tries_accepted=False,
    ),
    "tf1.restore_optimizer": Case(
        tf1.restore_optimizer,
        {
            "model": instance(keras.Model),
            "optimizer": instance(keras.optimizers.Optimizer),
            # A string that is no checkpoint is a `FileNotFoundError`.
            "checkpoint": instance(str),
            "variable_map": either(none, callable, _is_empty_map),
            "strict": flag,
        },
        tries_accepted=False,
    ),
    "training.ProgramCache": Case(training.ProgramCache, {"max_models": count(1)}),
    "training.train": Case(
        training.train,
        {
            # Settings are what `build` takes.
            "settings": either(instance(list, np.ndarray)),
            "build": function,
            # Keras and TensorFlow judge what is data.
            "x": anything,
            "y": anything,
            "sample_weight": anything,
            "validation_data": anything,
            "epochs": count(1),
            "batch_size": count(1),
            "seeds": count(0, 2**32 - 1),
            "patience": optional(count(1)),
            "packed": optional(either(count(1), choice("auto"))),
            "jit_compile": flag,
            "order_seed": optional(count(0)),
            "same_network": no_function,
            "compile_arguments": no_function,
            "on_epoch": no_function,
            "memory_limit": optional(count(1)),
            "cache": optional(instance(training.ProgramCache)),
        },
        {
            "settings": [0.1],
            "build": _compiled,
            "x": np.ones((4, 2), "float32"),
            "y": np.ones((4, 2), "float32"),
            "epochs": 1,
        },
        tries_accepted=False,
    ),
    "tuners.BayesianOptimization": _tuner(
        "BayesianOptimization",
        num_initial_points=optional(count(1)),
        alpha=positive,
        beta=not_negative,
        engine=optional(choice("log_ei", "keras_tuner")),
    ),
    "tuners.CoarseToFine": Case(
        tuners.CoarseToFine,
        {
            "hypermodel": function,
            "objective": optional(text),
            "tuner": lambda value: value is tuners.RandomSearch,
            "rounds": count(1),
            "trials_per_round": count(1),
            "quantile": number(0, 1, but=(0,)),
            "importance_threshold": not_negative,
            "reruns": count(2),
            "subset": optional(number(0, 1, but=(0,))),
            "first_round": optional(instance(dict)),
            "agreement_trials": count(3),
            "limits": optional(instance(dict)),
            "seed": optional(seed),
            "hyperparameters": optional(instance(keras_tuner.HyperParameters)),
            "directory": path,
            "project_name": text,
            "overwrite": flag,
        },
        {"hypermodel": toys.Scored(float)},
    ),
    "tuners.GridSearch": _tuner("GridSearch"),
    "tuners.Hyperband": _tuner(
        "Hyperband",
        max_epochs=count(1),
        factor=count(2),
        hyperband_iterations=optional(count(1)),
    ),
    "tuners.OptunaSearch": _tuner(
        "OptunaSearch",
        sampler=choice("tpe", "gp", "cmaes", "qmc", "nsga2"),
        pruner=optional(choice("median", "hyperband")),
        storage=path,
        study_name=optional(text),
        lease_seconds=positive,
    ),
    "tuners.QuasiRandomSearch": _tuner(
        "QuasiRandomSearch", sequence=choice("sobol", "halton")
    ),
    "tuners.RandomSearch": _tuner("RandomSearch", _KERAS_TUNER),
    "tuners.WithinBudget": Case(
        tuners.WithinBudget,
        {
            "hypermodel": function,
            "num_samples": lambda value: (
                integer(1)(value) or (isinstance(value, np.ndarray) and value.ndim > 0)
            ),
            "limit": positive,
            "input_shape": anything,
        },
        {"hypermodel": toys.build, "num_samples": 100},
    ),
    "tuners.RayExecutor": Case(
        _ray_executor, {"num_cpus": number(0), "num_gpus": number(0)}
    ),
    "tuners.to_optuna_study": Case(
        _to_study,
        {
            "tuner": lambda value: value is _DEFAULT,
            # A string that is no URL is refused, too.
            "storage": none,
            "study_name": optional(text),
        },
        {"tuner": _DEFAULT},
    ),
}

# Methods of a tuner that has searched, by name.
METHODS: dict[str, dict[str, Kind]] = {
    "search": {
        "workers": optional(count(1)),
        # One that can be submitted to is none of the values.
        "executor": none,
        # Without workers it has no meaning, which is told by its name, too.
        "gpus_per_trial": none,
        "verbose": either(choice("auto"), count(0, 2), flag),
        "stop_hopeless": flag,
        "live_curves": flag,
    },
    "confirm": {
        "top": count(1),
        "reruns": count(2),
        "baseline": optional(number(-_GREATEST)),
    },
    "note": {
        "trial_id": trial_zero,
        "why": optional(instance(str)),
        "outcome": optional(instance(str)),
        "next": optional(instance(str)),
    },
    "get_best_models": {"num_models": count(1)},
    "leaderboard": {"path": path},
    "curves": {"trial_id": trial_zero},
}

# What a caller reads, and the package makes.
RESULTS = {
    "analysis.Boundaries",
    "analysis.Comparison",
    "analysis.Importances",
    "analysis.RankAgreement",
    "analysis.Saturation",
    "analysis.Summary",
    "diagnosis.BadCases",
    "diagnosis.Diagnosis",
    "diagnosis.Verdict",
    "parameters.ParameterBudget",
    "parameters.ParameterTable",
    "probes.BatchSize",
    "probes.BatchSizes",
    "probes.RangeRun",
    "probes.RangeTest",
    "training.Trained",
    "tuners.Confirmation",
    "tuners.DamagedFileError",
    "tuners.InfeasibleTrialError",
    "tuners.ProjectInUseError",
    "tuners.Round",
    "tuners.StorageError",
    "tuners.TooManyFailuresError",
}


def public_callables() -> set[str]:
    """Returns the names of all that the package exports and that makes something."""
    modules = {name: getattr(keras_tricks, name) for name in keras_tricks.__all__}
    found = set()
    for folder, module in modules.items():
        for name in module.__all__:
            found.add(f"{folder}.{name}")
            # Another way to make one.
            if hasattr(getattr(module, name), "from_epochs"):
                found.add(f"{folder}.{name}.from_epochs")
    return found
