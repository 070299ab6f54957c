"""Every hypermodel of the package, with data that it can learn."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd

from keras_tricks import hypermodels

NUM_CLASSES = 3
LENGTH = 8
VOCABULARY_SIZE = 13


@dataclasses.dataclass(frozen=True)
class Case:
    """A hypermodel and its kind of data.

    Attributes:
        make: From the arguments that all hypermodels share to a hypermodel.
        inputs: From a vector of labels to examples of these classes, which lie apart.
    """

    make: Callable[..., keras_tuner.HyperModel]
    inputs: Callable[[np.ndarray], Any]

    def data(self, num_examples: int) -> tuple[Any, np.ndarray]:
        """Returns examples and labels, in which the classes take turns."""
        labels = np.arange(num_examples) % NUM_CLASSES
        return self.inputs(labels), labels


def features(labels: np.ndarray) -> np.ndarray:
    """Six numbers, of which two are larger, those of the label."""
    noise = np.random.default_rng(0).normal(size=(len(labels), 6))
    return (noise + 3 * np.tile(np.eye(NUM_CLASSES), 2)[labels]).astype("float32")


def images(labels: np.ndarray) -> np.ndarray:
    """8 x 8 pixels, brightest in the channel of the label."""
    noise = np.random.default_rng(0).normal(size=(len(labels), 8, 8, NUM_CLASSES))
    return (noise + 2 * np.eye(NUM_CLASSES)[labels][:, None, None]).astype("float32")


def token_ids(labels: np.ndarray) -> np.ndarray:
    """Five to eight words, of four that only the label has, and padding."""
    random = np.random.default_rng(0)
    shape = (len(labels), LENGTH)
    words = 1 + 4 * labels[:, None] + random.integers(0, 4, shape)
    lengths = random.integers(5, LENGTH + 1, (len(labels), 1))
    return np.where(np.arange(LENGTH) < lengths, words, 0).astype("int32")


def sequences(labels: np.ndarray) -> np.ndarray:
    """Three numbers a step, of which that of the label is larger."""
    noise = np.random.default_rng(0).normal(size=(len(labels), LENGTH, NUM_CLASSES))
    return (noise + 2 * np.eye(NUM_CLASSES)[labels][:, None]).astype("float32")


def table(labels: np.ndarray) -> pd.DataFrame:
    """Numbers, one of them with gaps, and a word, a flag and a date that tell a bit."""
    random = np.random.default_rng(0)
    first, second, *_ = features(labels).T
    words = [f"word {8 * label + random.integers(8)}" for label in labels]
    return pd.DataFrame(
        {
            "first": np.where(random.random(len(labels)) < 0.1, np.nan, first),
            "second": second,
            "word": words,
            "flag": labels == 0,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(labels, unit="D"),
        }
    )


def _backbone() -> keras.Model:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(16, activation="relu", name="lower")(inputs)
    return keras.Model(inputs, keras.layers.Dense(8, name="upper")(x))


def _features(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    return hypermodels.HyperMLP((6,), num_classes, **kwargs)


def _table(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    frame = table(np.arange(240) % NUM_CLASSES)
    return hypermodels.HyperTable(frame, num_classes, **kwargs)


def _images(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    return hypermodels.HyperCNN((8, 8, 3), num_classes, **kwargs)


def _sequences(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    return hypermodels.HyperRNN(LENGTH, 3, num_classes, **kwargs)


def _text(name: str) -> Callable[..., keras_tuner.HyperModel]:
    def make(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
        hypermodel = getattr(hypermodels, name)
        return hypermodel(VOCABULARY_SIZE, LENGTH, num_classes, **kwargs)

    return make


def _fine_tune(num_classes: int = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    return hypermodels.HyperFineTune(_backbone(), num_classes, **kwargs)


def both(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Features that tell the label, and tokens that do, too."""
    return {"table": features(labels), "text": token_ids(labels)}


def _join(num_classes: int | None = NUM_CLASSES, **kwargs) -> keras_tuner.HyperModel:
    plain = kwargs.get("plain", False)
    return hypermodels.HyperJoin(
        {
            "table": hypermodels.HyperMLP((6,), 2, plain=plain),
            "text": hypermodels.HyperTextCNN(VOCABULARY_SIZE, LENGTH, 2, plain=plain),
        },
        num_classes,
        **kwargs,
    )


# By public name; `tests/traced_steps.py` takes them from here, too.
CASES = {
    "HyperCNN": Case(_images, images),
    "HyperFineTune": Case(_fine_tune, features),
    "HyperJoin": Case(_join, both),
    "HyperMLP": Case(_features, features),
    "HyperRNN": Case(_sequences, sequences),
    "HyperTable": Case(_table, table),
    "HyperTextCNN": Case(_text("HyperTextCNN"), token_ids),
    "HyperTextRCNN": Case(_text("HyperTextRCNN"), token_ids),
    "HyperTextTransformer": Case(_text("HyperTextTransformer"), token_ids),
}


TASKS = ("classification", "multi_label", "regression")


def of_task(case: Case, task: str, **kwargs) -> keras_tuner.HyperModel:
    """Returns a hypermodel that learns a task: classes, labels, or one number."""
    if task == "regression":
        kwargs["num_classes"] = None
    return case.make(task=task, **kwargs)


def labels(task: str, classes: np.ndarray) -> np.ndarray:
    """Class numbers, rows of labels, or numbers far from 0, that tell the class."""
    if task == "regression":
        return 2000 + 5 * np.asarray(classes, "float64")
    if task == "multi_label":
        first = np.eye(NUM_CLASSES, dtype=int)
        return (first + np.roll(first, 1, axis=1))[classes]
    return classes


def part(inputs: Any, rows: slice) -> Any:
    """Some rows of inputs, of each in a dictionary."""
    if isinstance(inputs, dict):
        return {name: part(array, rows) for name, array in inputs.items()}
    return inputs[rows]


def space(case: Case, task: str = "classification") -> keras_tuner.HyperParameters:
    """Returns the hyperparameters that the hypermodel declares, at their defaults."""
    hp = keras_tuner.HyperParameters()
    of_task(case, task, total_steps=10).build(hp)
    return hp


def fixed(**values) -> keras_tuner.HyperParameters:
    """Returns hyperparameters of which these have a value that is not searched."""
    hp = keras_tuner.HyperParameters()
    for name, value in values.items():
        hp.Fixed(name, value)
    return hp
