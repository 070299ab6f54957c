"""What all hypermodels of this package share: how they are compiled and trained."""

import math

import keras
import keras_tuner

from keras_tricks.hypermodels.optimizer_space import hyper_optimizer
from keras_tricks.schedules import arguments


class HyperClassifier(keras_tuner.HyperModel):
    """Base class of hypermodels that classify into `num_classes` classes.

    A subclass implements `network(hp)`, which returns the uncompiled model with one
    logit a class. Labels are class numbers, 0 to `num_classes - 1`.

    The length of the learning rate schedule comes from the data: `fit` counts the
    updates that it is about to make and compiles the model with them. `build` alone
    cannot know them; until a `fit` has been seen it compiles only if `total_steps`
    was given, and otherwise returns the model uncompiled.

    Args:
        num_classes: Number of classes, >= 2.
        batch_size: Examples a batch, unless `fit` is given another.
        epochs: Epochs of a run, unless `fit` is given another number.
        total_steps: Optimizer updates of the run, if known before the data.
        name: See `keras_tuner.HyperModel`.
        tunable: See `keras_tuner.HyperModel`.

    Attributes:
        total_steps: Optimizer updates of the last `fit`, or as given before one.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        batch_size: int = 32,
        epochs: int = 20,
        total_steps: int | None = None,
        name: str | None = None,
        tunable: bool = True,
    ):
        super().__init__(name=name, tunable=tunable)
        self.num_classes = arguments.whole("num_classes", num_classes, minimum=2)
        self.batch_size = arguments.whole("batch_size", batch_size, minimum=1)
        self.epochs = arguments.whole("epochs", epochs, minimum=1)
        if total_steps is not None:
            total_steps = arguments.whole("total_steps", total_steps, minimum=1)
        self.total_steps = total_steps

    def network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the uncompiled model, its output one logit a class."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `network(hp)`."
        )

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the model of `hp`, compiled once the number of updates is known."""
        model = self.network(hp)
        if self.total_steps is not None:
            self._compile(hp, model, self.total_steps)
        else:
            # The space must be whole before the data are seen.
            hyper_optimizer(hp, total_steps=1)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args, **kwargs):
        """Compiles `model` for the data and trains it: `model.fit(*args, **kwargs)`.

        Arguments that are left out come from the constructor.
        """
        kwargs.setdefault("epochs", self.epochs)
        x = args[0] if args else kwargs.get("x")
        if hasattr(x, "shape"):
            kwargs.setdefault("batch_size", self.batch_size)
        self.total_steps = kwargs["epochs"] * _updates_per_epoch(x, kwargs)
        self._compile(hp, model, self.total_steps)
        return model.fit(*args, **kwargs)

    def _compile(self, hp, model: keras.Model, total_steps: int):
        model.compile(
            optimizer=hyper_optimizer(hp, total_steps),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )


def _updates_per_epoch(x, fit_kwargs: dict) -> int:
    """Returns the number of batches that `fit` makes of `x`, a partial one included."""
    if fit_kwargs.get("steps_per_epoch") is not None:
        return fit_kwargs["steps_per_epoch"]
    if hasattr(x, "shape"):
        num_examples = math.floor(len(x) * (1 - fit_kwargs.get("validation_split", 0)))
        return math.ceil(num_examples / fit_kwargs["batch_size"])
    batches = int(x.cardinality()) if hasattr(x, "cardinality") else len(x)
    if batches <= 0:
        raise ValueError(
            "The number of batches of the dataset must be known, since the schedule "
            "ends with the run: pass `steps_per_epoch`, or use "
            f"`tf.data.experimental.assert_cardinality`. Received: x={x!r}"
        )
    return batches
