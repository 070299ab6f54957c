"""The steps that must run on a GPU whole: audited without one, run where there is one.

`tests/test_gpu_audit.py` looks their ops up in the registry of kernels and
`tests/gpu/` runs them, so both take them from here.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from tests.hypermodels import cases
from tests.schedules import families

NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Program:
    """A step, the data it takes, and the variables it changes.

    Attributes:
        function: What one step does, a function of tensors.
        arguments: Its data, as NumPy arrays with the batch first, also in dictionaries.
        variables: The trainable variables that it changes; empty for a schedule.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    variables: tuple[keras.Variable, ...] = ()

    def trace(self) -> Any:
        """Returns the `ConcreteFunction`, for batches of any size as `fit` has them."""
        specs = keras.tree.map_structure(
            lambda a: tf.TensorSpec((None, *a.shape[1:]) if a.ndim else (), a.dtype),
            self.arguments,
        )
        function = tf.function(self.function, autograph=False)
        return function.get_concrete_function(*specs)


# Steps that the counter of Keras's optimizers can show, before and after each joint.
STEPS = {
    "scalar": np.asarray(999, "int64"),
    "vector": np.asarray([0, 1, 999, 1000, 4000, 9999, 10_000, 2**24 + 1], "int64"),
}

SCHEDULES: dict[str, Callable[[], keras.optimizers.schedules.LearningRateSchedule]] = {
    **dict(families.BUILDERS),
    "bert": lambda: WarmupPolynomialDecay(5e-5, 10_000, warmup_steps=1000),
    "root": lambda: WarmupPolynomialDecay(1e-3, 10_000, 1000, 1e-5, 0.5, join="shift"),
}

# What the wrapper is put around; the rate of each is a schedule. Decay and momentum add
# updates of their own.
INNER_OPTIMIZERS: dict[str, Callable[[Any], keras.optimizers.Optimizer]] = {
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adam": lambda rate: keras.optimizers.Adam(rate),
    "nadam": lambda rate: keras.optimizers.Nadam(rate),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.01),
    "swats": lambda rate: SwitchedOptimizer(
        keras.optimizers.Adam(rate), keras.optimizers.SGD(0.01, 0.9), at="swats"
    ),
}

# What the wrapper does. Skipping, raising and accumulating add conditions to the step,
# a percentile sorts, and adding up an embedding's rows finds those of one index.
CLIPPING: dict[str, Callable[[], dict[str, Any]]] = {
    "number": lambda: {"global_clipnorm": 1.0},
    "schedule": lambda: {"global_clipnorm": WarmupPolynomialDecay(1.0, 100, 10, 0.1)},
    "percentile": lambda: {"global_clipnorm": PercentileLimit(50, 4, 1)},
    "clipnorm": lambda: {"clipnorm": 0.1},
    "clipvalue": lambda: {"clipvalue": 0.1},
    "adaptive": lambda: {"adaptive_clip": 0.01},
    "none": lambda: {},
    "skip": lambda: {"global_clipnorm": 1.0, "nonfinite": "skip"},
    "few skips": lambda: {"nonfinite": "skip", "max_consecutive_skips": 3},
    "zero": lambda: {"global_clipnorm": 1.0, "nonfinite": "zero"},
    "raise": lambda: {"global_clipnorm": 1.0, "nonfinite": "raise"},
    "dedup": lambda: {"global_clipnorm": 1.0, "sparse_norm": "dedup"},
    "accumulation": lambda: {"clipnorm": 0.1, "gradient_accumulation_steps": 2},
}


def schedule_program(schedule: str, steps: str) -> Program:
    """The rates of one of `SCHEDULES` at one of `STEPS`."""
    return Program(SCHEDULES[schedule](), (STEPS[steps],))


def clipped_program(
    inner_optimizer: str, gradients: str = "dense", clipping: str = "number"
) -> Program:
    """A training step with `ClippedOptimizer` around one of `INNER_OPTIMIZERS`.

    Args:
        inner_optimizer: A key of `INNER_OPTIMIZERS`.
        gradients: `"dense"`, or `"sparse"` for a model with an embedding, too.
        clipping: A key of `CLIPPING`.
    """
    keras.utils.set_random_seed(0)
    if gradients == "sparse":
        body = [
            keras.layers.Embedding(50, 8),
            keras.layers.GlobalAveragePooling1D(),
        ]
        x = np.random.default_rng(0).integers(0, 50, (16, 12))
    else:
        body = [keras.layers.Dense(32, activation="relu")]
        x = _features()
    model = keras.Sequential([*body, keras.layers.Dense(NUM_CLASSES)])
    schedule = WarmupPolynomialDecay(1e-2, decay_steps=100, warmup_steps=10)
    model.compile(
        optimizer=ClippedOptimizer(
            INNER_OPTIMIZERS[inner_optimizer](schedule), **CLIPPING[clipping]()
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    y = np.arange(len(x), dtype="int64") % NUM_CLASSES
    return _training_program(model, x, y)


# A hypermodel's step with these hyperparameters, which change its graph; the others
# have their defaults. "task" and "metrics" are the hypermodel's arguments.
ALL_METRICS = ("accuracy", "macro_f1", "auc")
HYPERMODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in cases.CASES},
    **{
        f"HyperMLP {o}": ("HyperMLP", {"optimizer": o})
        for o in ("nadam", "adamw", "sgd")
    },
    "HyperMLP focal": ("HyperMLP", {"loss": "focal", "label_smoothing": 0.1}),
    "HyperMLP metrics": ("HyperMLP", {"metrics": ALL_METRICS}),
    "HyperMLP labels": ("HyperMLP", {"task": "multi_label", "metrics": ALL_METRICS}),
    "HyperMLP focal labels": ("HyperMLP", {"task": "multi_label", "loss": "focal"}),
    **{
        f"HyperMLP {loss}": ("HyperMLP", {"task": "regression", "loss": loss})
        for loss in ("mse", "mae", "huber", "quantile")
    },
    "HyperMLP group": ("HyperMLP", {"norm": "group"}),
    "HyperCNN group": ("HyperCNN", {"norm": "group"}),
    "HyperCNN instance": ("HyperCNN", {"norm": "instance"}),
    "HyperCNN attention": ("HyperCNN", {"pooling": "attention"}),
    "HyperFineTune decay": ("HyperFineTune", {"layer_decay": 0.8, "frozen_stages": 1}),
    **{
        f"HyperRNN {cell}": (
            "HyperRNN",
            {"cell": cell, "layers": 2, "bidirectional": True, "pooling": "attention"},
        )
        for cell in ("gru", "simple")
    },
    "HyperTable resnet": ("HyperTable", {"trunk": "resnet", "numbers": "standard"}),
    "HyperTextCNN mean": ("HyperTextCNN", {"pooling": "mean", "max_norm": 3.0}),
    "HyperTextCNN attention": ("HyperTextCNN", {"pooling": "attention"}),
    "HyperTextTransformer first": ("HyperTextTransformer", {"pooling": "first"}),
}


def hypermodel_program(name: str) -> Program:
    """A training step of one of `HYPERMODELS`."""
    keras.utils.set_random_seed(0)
    hypermodel, fixed = HYPERMODELS[name]
    case, fixed = cases.CASES[hypermodel], dict(fixed)
    task = fixed.pop("task", "classification")
    metrics = fixed.pop("metrics", None)
    made = cases.of_task(case, task, metrics=metrics)
    hp = cases.fixed(**fixed)
    x, classes = case.data(16)
    # What is known of the data is part of the step.
    data, _ = made.fit_arguments(hp, x, cases.labels(task, classes), epochs=100)
    return _training_program(made.build(hp), *data)


def _features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, 64)).astype("float32")


def _training_program(model: keras.Model, x: Any, y: np.ndarray) -> Program:
    # `fit` calls exactly this on every batch (Keras's guide "Customizing fit()"):
    # forward pass, loss, gradients, optimizer, metrics. Only the iterator over the
    # data is left out, which lives on the host.
    def step(*leaves):
        *inputs, labels = leaves
        return model.train_step((keras.tree.pack_sequence_as(x, inputs), labels))

    # A first step creates what `fit` creates before it traces: the optimizer's and
    # the metrics' variables. Its rate is 0, so the weights stay.
    arguments = (*keras.tree.flatten(x), y)
    step(*map(tf.constant, arguments))
    return Program(step, arguments, tuple(model.trainable_variables))
