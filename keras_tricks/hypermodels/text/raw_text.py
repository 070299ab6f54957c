"""Vocabulary and trained model in one, for raw strings."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.answers import answers
from keras_tricks.hypermodels.tasks.answers import most_probable
from keras_tricks.hypermodels.tasks.arguments import TASKS
from keras_tricks.hypermodels.tasks.target_scale import TargetScale
from keras_tricks.losses import MultiLabelLoss
from keras_tricks.losses import RegressionLoss


@keras.saving.register_keras_serializable("keras_tricks", name="RawTextClassifier")
class RawTextClassifier(keras.Model):
    """A trained text classifier with the vocabulary that its ids come from.

    It takes strings and gives the probability of each class or label, or the predicted
    numbers of a regression in their unit. It is made for use after training: `save`
    writes both parts into one `.keras` file, and `keras.models.load_model` brings them
    back where `keras_tricks.hypermodels` was imported, with no custom objects. `export`
    writes a SavedModel, which needs TensorFlow alone. How the classifier was compiled
    is not kept.

    Args:
        vectorizer: The adapted `keras.layers.TextVectorization` of the input pipeline.
        classifier: The trained model, from ids to logits, or to numbers.
        labels: Names of the classes or labels, in the order of the outputs. By default
            their numbers. None for regressions.
        task: What the model learned: see
            `keras_tricks.hypermodels.base.SupervisedHyperModel`.
        **kwargs: See `keras.Model`.

    Raises:
        ValueError: If the labels do not name each class once, or the vectorizer makes
            texts of another length than the classifier takes.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.text.raw_text import RawTextClassifier
    >>> vectorizer = keras.layers.TextVectorization(output_sequence_length=4)
    >>> vectorizer.adapt(["good film", "bad film"])
    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model = RawTextClassifier(vectorizer, classifier, labels=["bad", "good"])
    >>> model.predict(["a good film"], verbose=0).shape
    (1, 2)
    >>> model.classify(["a good film"])[0] in ("bad", "good")
    True
    """

    def __init__(
        self,
        vectorizer: keras.layers.TextVectorization,
        classifier: keras.Model,
        labels: Sequence[str | int] | None = None,
        *,
        task: str = "classification",
        **kwargs: Any,
    ):
        for name, part, kind in (
            ("vectorizer", vectorizer, keras.layers.TextVectorization),
            ("classifier", classifier, keras.Model),
        ):
            if not isinstance(part, kind):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__}. "
                    f"{_validation.received(name, part, True)}"
                )
        super().__init__(**kwargs)
        _check_length(vectorizer, classifier)
        self.task = _validation.check_choice("task", task, tuple(TASKS))
        _check_task(classifier, task)
        num_classes = classifier.output_shape[-1]
        if task == "regression":
            if labels is not None:
                raise ValueError(
                    "`labels` must be left out for a regression. "
                    f"{_validation.received('labels', labels)}"
                )
            labels = []
        elif labels is None:
            labels = list(range(num_classes))
        if task != "regression" and not _are_names(labels, num_classes):
            raise ValueError(
                f"`labels` must name each of the {num_classes} classes of the model "
                f"once. {_validation.received('labels', labels)}"
            )
        self.vectorizer = vectorizer
        self.classifier = classifier
        # NumPy's scalars would come back from a file as something else.
        self.labels = [
            label.item() if isinstance(label, np.generic) else label for label in labels
        ]
        self.built = True  # Its parts are.

    def call(self, texts: Any) -> Any:
        """Returns `(batch, outputs)` probabilities or numbers for strings."""
        outputs = self.classifier(self.vectorizer(texts), training=False)
        return answers(outputs, self.task)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Returns what `call` does, of a list, an array or a dataset of strings."""
        return super().predict(_as_strings(x), **kwargs)

    def classify(self, texts: list[str]) -> list[Any]:
        """Returns the label of the most probable class of each text.

        With several labels a text these are the lists of those that are more probable
        than not.
        """
        if self.task == "regression":
            raise ValueError("A regression has no classes: call `predict`.")
        return most_probable(self.predict(texts, verbose=0), self.labels, self.task)

    def export(self, filepath: Any, **kwargs: Any) -> None:
        """Writes a SavedModel that serves strings: see `keras.Model.export`."""
        strings = keras.InputSpec(shape=(None,), dtype="string")
        super().export(filepath, **{"input_signature": [strings], **kwargs})

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        classifier = serialize(self.classifier)
        classifier.pop("compile_config", None)
        return {
            **super().get_config(),
            "vectorizer": serialize(self.vectorizer),
            "classifier": classifier,
            "labels": self.labels or None,
            "task": self.task,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RawTextClassifier":
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        for part in ("vectorizer", "classifier"):
            config[part] = deserialize(config[part])
        return cls(**config)


def _check_task(classifier: keras.Model, task: str) -> None:
    """Refuses a model that tells that it learned another task."""
    last = classifier.layers[-1] if classifier.layers else None
    loss = getattr(classifier, "loss", None)
    learned = task
    if isinstance(last, TargetScale) or isinstance(loss, RegressionLoss):
        learned = "regression"
    elif isinstance(loss, MultiLabelLoss):
        learned = "multi_label"
    if learned != task:
        raise ValueError(
            f"`task` must be {learned!r}, which `classifier` learned. "
            f"{_validation.received('task', task)}"
        )


def _are_names(labels: Any, num_classes: int) -> bool:
    """Whether there is one string or whole number for each class, no two alike."""
    if np.ndim(labels) != 1 or not isinstance(
        labels, list | tuple | range | np.ndarray
    ):
        return False
    names = [_validation.plain(label) for label in labels]
    if not all(isinstance(name, str | int) for name in names):  # Bools, too.
        return False
    return len(names) == len({*names}) == num_classes


def _check_length(vectorizer: Any, classifier: keras.Model) -> None:
    config = vectorizer.get_config()
    made, taken = config["output_sequence_length"], classifier.input_shape[-1]
    if config["output_mode"] == "int" and taken not in (None, made):
        raise ValueError(
            "`vectorizer` must make as many ids of a text as `classifier` takes: build "
            f"it with output_sequence_length={taken}. "
            f"{_validation.received('output_sequence_length', made)}"
        )


def _as_strings(texts: Any) -> Any:
    if isinstance(texts, str):
        raise ValueError(f"Texts must come in a list. Received: {texts!r}")
    if not isinstance(texts, list | tuple | np.ndarray):
        return texts
    import tensorflow as tf  # Strings are TensorFlow's in any Keras backend.

    return tf.constant(texts, dtype="string")
