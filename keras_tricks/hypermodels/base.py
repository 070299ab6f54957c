"""What all hypermodels of this package share: how they are compiled and trained."""

import math
from typing import Any

import keras
import keras_tuner

from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.hypermodels.losses import hyper_loss
from keras_tricks.hypermodels.optimizer_space import hyper_optimizer
from keras_tricks.hypermodels.optimizer_space import optimizer_settings
from keras_tricks.schedules import arguments

_PACKAGE = "keras_tricks.hypermodels."
NORMS = ("batch", "layer", "none")
# He's initialisation is made for units that are 0 for half of their inputs.
RECTIFIERS = ("relu", "leaky_relu", "elu", "gelu", "silu", "swish", "relu6")


class HyperClassifier(keras_tuner.HyperModel):
    """Base class of hypermodels that classify into `num_classes` classes.

    A subclass implements `network(hp)`, which returns the uncompiled model with one
    logit a class. Labels are class numbers, 0 to `num_classes - 1`. The optimizer's
    settings are `hyper_optimizer`'s, the loss's `hyper_loss`'s.

    The length of the learning rate schedule comes from the data: `fit` counts the
    updates that it is about to make and compiles the model with them. `build` alone
    cannot know them; until a `fit` has been seen it compiles only if `total_steps`
    was given, and otherwise returns the model uncompiled.

    Batch size and epochs are arguments, not hyperparameters: the best batch is the
    largest that still raises the throughput, and another one needs other settings.

    Args:
        num_classes: Number of classes, >= 2.
        batch_size: Examples a batch, unless `fit` is given another.
        epochs: Epochs of a run, unless `fit` is given another number.
        total_steps: Optimizer updates of the run, if known before the data.
        patience: Epochs after the warmup without a better validation loss after which
            training stops, with the best epoch's weights. None trains to the end.
        plain: Whether to leave out dropout and norms: the first model to try.
        jit_compile: Whether XLA compiles the steps: see `keras.Model.compile`.
        optimizer_arguments: Further arguments of `hyper_optimizer`, by name.
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
        patience: int | None = None,
        plain: bool = False,
        jit_compile: bool | str = "auto",
        optimizer_arguments: dict[str, Any] | None = None,
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
        if patience is not None:
            patience = arguments.whole("patience", patience, minimum=1)
        self.patience = patience
        self.plain = arguments.flag("plain", plain)
        if jit_compile != "auto":
            jit_compile = arguments.flag("jit_compile", jit_compile)
        self.jit_compile = jit_compile
        self.optimizer_arguments = dict(optimizer_arguments or {})
        # What `network` read of the settings that it was called with.
        self._networks: list[dict[str, Any]] = []

    def network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the uncompiled model, its output one logit a class."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `network(hp)`."
        )

    def optimizer(
        self, hp: keras_tuner.HyperParameters, total_steps: int
    ) -> keras.optimizers.Optimizer:
        """Returns the optimizer of `hp` for a run of `total_steps` updates."""
        return hyper_optimizer(hp, total_steps, **self.optimizer_arguments)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the model of `hp`, compiled once the number of updates is known."""
        model = self._recorded_network(hp)
        if self.total_steps is not None:
            self._compile(hp, model, self.total_steps)
        else:
            # The space must be whole before the data are seen.
            self.compile_arguments(hp, total_steps=1)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args, **kwargs):
        """Compiles `model` for the data and trains it: `model.fit(*args, **kwargs)`.

        Arguments that are left out come from the constructor.
        """
        args, kwargs = self.fit_arguments(hp, *args, **kwargs)
        assert self.total_steps is not None
        self._compile(hp, model, self.total_steps)
        return model.fit(*args, **kwargs)

    # What `fit` consists of, for those who train many settings at a time.

    def fit_arguments(
        self, hp: keras_tuner.HyperParameters, *args, **kwargs
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` gives the model's own, and counts the updates.

        From then on `build` compiles for so many.
        """
        kwargs.setdefault("epochs", self.epochs)
        x = _first_input(args[0] if args else kwargs.get("x"))
        if hasattr(x, "shape"):
            kwargs.setdefault("batch_size", self.batch_size)
        self.total_steps = kwargs["epochs"] * _updates_per_epoch(x, kwargs)
        if self.patience is not None:
            stopping = self._early_stopping(hp, kwargs)
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), stopping]
        return args, kwargs

    def compile_arguments(
        self,
        hp: keras_tuner.HyperParameters,
        total_steps: int,
        *,
        used_before: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Returns the arguments of the model's `compile` for a run of some updates.

        Args:
            hp: The hyperparameters of the trial.
            total_steps: Optimizer updates of the whole run.
            used_before: Optimizers of earlier calls, by kind. One of them is then
                returned with other numbers, to be read only until the next call: a
                new one takes four times as long.
        """
        return {
            "optimizer": self._optimizer_to_read(hp, total_steps, used_before),
            "loss": hyper_loss(hp),
            "metrics": ["accuracy"],
            "jit_compile": self.jit_compile,
        }

    def _optimizer_to_read(self, hp, total_steps: int, used_before: dict | None):
        if used_before is None or type(self).optimizer is not HyperClassifier.optimizer:
            return self.optimizer(hp, total_steps)
        settings = optimizer_settings(hp, total_steps, **self.optimizer_arguments)
        if settings.name not in used_before:
            used_before[settings.name] = settings.optimizer()
        settings.set_in(used_before[settings.name])
        return used_before[settings.name]

    def same_network(self, hp: keras_tuner.HyperParameters) -> int | None:
        """Returns the number of the network that `build` made for settings like `hp`.

        Two settings have one network if they agree in all that `network` read, but
        for the rate of `ScalarDropout`, which is fed. None stands for a network that
        was not built yet, and for a class that compiles in its own way.
        """
        if type(self)._compile is not HyperClassifier._compile:
            return None
        for number, read in enumerate(self._networks):
            if all(hp.values.get(name) == value for name, value in read.items()):
                return number
        return None

    def fed_rate(self, hp: keras_tuner.HyperParameters) -> float | None:
        """Returns the rate of all `ScalarDropout` layers; None if it is built in."""
        if "dropout" in self._fed_names() and not self.plain:
            return hp.values.get("dropout")
        return None

    def _recorded_network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        values = _Recorded(hp.values)
        hp.values = values
        try:
            model = self.network(hp)
        finally:
            hp.values = dict(values)
        read = {name: hp.values.get(name) for name in sorted(values.read)}
        for name in self._fed_names():
            read.pop(name, None)
        if read not in self._networks:
            self._networks.append(read)
        return model

    def _fed_names(self) -> tuple[str, ...]:
        """Returns what `network` reads only to set `ScalarDropout`."""
        owner = next(c for c in type(self).__mro__ if "network" in vars(c))
        # Whoever writes another network may read the name for anything.
        return ("dropout",) if owner.__module__.startswith(_PACKAGE) else ()

    # The pieces that the networks have in common.

    def activation(
        self, hp: keras_tuner.HyperParameters, default: str = "relu"
    ) -> tuple[str, str]:
        """Returns the hidden layers' activation and the initializer that suits it."""
        activation = hp.Fixed("activation", default)
        rectified = activation in RECTIFIERS
        return activation, "he_normal" if rectified else "glorot_uniform"

    def norm(self, hp: keras_tuner.HyperParameters, x: Any, default: str) -> Any:
        """Declares `norm`, fixed to `default`, and applies it."""
        if self.plain:
            return x
        kind = arguments.one_of("norm", hp.Fixed("norm", default), NORMS)
        if kind == "none":
            return x
        if kind == "batch":
            return keras.layers.BatchNormalization()(x)
        return keras.layers.LayerNormalization(epsilon=1e-6)(x)

    def dropout(
        self, hp: keras_tuner.HyperParameters, x: Any, default: float = 0.5
    ) -> Any:
        """Declares `dropout` and applies it."""
        if self.plain:
            return x
        rate = hp.Float("dropout", 0.0, 0.7, step=0.1, default=default)
        return ScalarDropout(rate)(x)

    def logits(self, x: Any, max_norm: float = 0.0) -> Any:
        """Returns the last layer's output, float32 also under mixed precision."""
        return keras.layers.Dense(
            self.num_classes,
            # A column holds the weights of a class.
            kernel_constraint=keras.constraints.MaxNorm(max_norm) if max_norm else None,
            dtype="float32",
            name="logits",
        )(x)

    def _compile(self, hp, model: keras.Model, total_steps: int):
        model.compile(**self.compile_arguments(hp, total_steps))

    def _early_stopping(self, hp, fit_kwargs: dict) -> keras.callbacks.Callback:
        if not fit_kwargs.get("validation_data") and not fit_kwargs.get(
            "validation_split"
        ):
            raise ValueError(
                "`patience` needs a validation loss: pass `validation_data` or "
                f"`validation_split` to `fit`. Received: patience={self.patience!r}"
            )
        warmup_fraction = hp.values.get("warmup_fraction", 0.0)
        return keras.callbacks.EarlyStopping(
            monitor="val_loss",
            patience=self.patience,
            start_from_epoch=math.ceil(warmup_fraction * fit_kwargs["epochs"]),
            restore_best_weights=True,
        )


class _Recorded(dict):
    """Values of hyperparameters that remember which of them were looked at."""

    def __init__(self, values: dict[str, Any]):
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def items(self) -> Any:
        self.read.update(self)
        return super().items()


def _first_input(x):
    """Returns the first array of several inputs, and anything else as it is."""
    return keras.tree.flatten(x)[0] if isinstance(x, dict | list | tuple) else x


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
