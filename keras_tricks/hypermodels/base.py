"""The base class of hypermodels: how they are compiled, trained and compared."""

import math
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks._watched_values import watched
from keras_tricks.hypermodels import sameness
from keras_tricks.hypermodels.description import Description
from keras_tricks.hypermodels.description import range_in_words
from keras_tricks.hypermodels.examples import Examples
from keras_tricks.hypermodels.examples import ReadBefore
from keras_tricks.hypermodels.examples import examples_of
from keras_tricks.hypermodels.examples import num_batches
from keras_tricks.hypermodels.labels import check_labels
from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.hypermodels.losses import hyper_loss
from keras_tricks.hypermodels.optimizer_space import hyper_optimizer
from keras_tricks.hypermodels.optimizer_space import optimizer_settings
from keras_tricks.parameters import check_parameter_budget
from keras_tricks.parameters import count_parameters
from keras_tricks.parameters import parameter_table

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
        is_for_sequences: Whether examples are sequences, such as texts.
    """

    is_for_sequences = False

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
        if name is not None:
            _validation.check_text("name", name)
        super().__init__(name=name, tunable=_validation.check_flag("tunable", tunable))
        self.num_classes = _validation.check_int("num_classes", num_classes, minimum=2)
        self.batch_size = _validation.check_int("batch_size", batch_size, minimum=1)
        self.epochs = _validation.check_int("epochs", epochs, minimum=1)
        if total_steps is not None:
            total_steps = _validation.check_int("total_steps", total_steps, minimum=1)
        self.total_steps = total_steps
        if patience is not None:
            patience = _validation.check_int("patience", patience, minimum=1)
        self.patience = patience
        self.plain = _validation.check_flag("plain", plain)
        if not isinstance(jit_compile, str) or jit_compile != "auto":
            jit_compile = _validation.check_flag("jit_compile", jit_compile)
        self.jit_compile = jit_compile
        self.optimizer_arguments = checked_dictionary(
            "optimizer_arguments", optimizer_arguments
        )
        # For each network, what surrounded it and what it read of its settings.
        self._networks: list[tuple[Any, dict[str, Any]]] = []
        self._read_before = ReadBefore()

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

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Compiles `model` for the data and trains it: `model.fit(*args, **kwargs)`.

        Arguments that are left out come from the constructor.
        """
        args, kwargs = self.fit_arguments(hp, *args, **kwargs)
        assert self.total_steps is not None
        self._compile(hp, model, self.total_steps)
        return model.fit(*args, **kwargs)

    def describe(
        self,
        hp: keras_tuner.HyperParameters | None = None,
        num_samples: Any = None,
    ) -> Description:
        """Returns what the network of some settings is and takes, before it is made.

        Nothing is allocated. `print` shows it as tables: the settings with their
        ranges, the layers with their parameters and bytes, what a training takes, and
        the parameters against the data.

        Args:
            hp: The settings; None is the defaults, what a search begins with.
            num_samples: Training examples, or the data: see `check_parameter_budget`.

        Raises:
            TypeError: If `hp` is no `HyperParameters`.
            ValueError: If a setting is of no use to the network.

        Example:

        >>> from keras_tricks.hypermodels import HyperMLP
        >>> found = HyperMLP((64,), num_classes=10).describe(num_samples=1437)
        >>> found.parameters.trainable, found.budget.verdict, found.training_bytes
        (9866, 'over budget', 158936)
        """
        if hp is None:
            hp = keras_tuner.HyperParameters()
        elif not isinstance(hp, keras_tuner.HyperParameters):
            raise TypeError(
                "`hp` must be KerasTuner's `HyperParameters`, or None. "
                f"{_validation.received('hp', hp, True)}"
            )
        # What the network asks for is not to be in the caller's own.
        known = keras_tuner.HyperParameters.from_config(hp.get_config())
        known.values = dict(hp.values)
        # First, so that the network's settings come before the optimizer's.
        count_parameters(lambda: self.network(known))
        table = parameter_table(
            lambda: self.network(known),
            optimizer=self.compile_arguments(known, total_steps=1)["optimizer"],
        )
        budget = None
        if num_samples is not None:
            budget = check_parameter_budget(lambda: self.network(known), num_samples)
        return Description(
            type(self).__name__,
            tuple(
                (each.name, known.values[each.name], range_in_words(each))
                for each in known.space
                if known.is_active(each)
            ),
            table,
            budget,
            self._advice(known),
        )

    def _advice(self, hp: keras_tuner.HyperParameters) -> tuple[str, ...]:
        """Returns what to mind of some settings, in sentences."""
        norm = hp.values.get("norm")
        if self.plain or norm is None:
            return ()
        best = "layer" if self.is_for_sequences else "batch"
        if norm == best:
            return ()
        kind = "sequences" if self.is_for_sequences else "all but sequences"
        return (f"norm: {best!r} is advised for {kind}. Received: {norm!r}.",)

    # What `fit` consists of, for those who train many settings at a time.

    def fit_arguments(
        self, hp: keras_tuner.HyperParameters, *args: Any, **kwargs: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` gives the model's own, and counts the updates.

        From then on `build` compiles for so many.

        Raises:
            keras_tuner.errors.FatalValueError: If a label is not a class number; it is
                a `ValueError`. A dataset is read for that, once, as far as an epoch
                goes. Labels are left alone where a subclass compiles in its own way.
            ValueError: If the number of updates is not known, or `patience` has
                nothing to judge by.
        """
        call = FitCall.of(args, kwargs)
        if not call.is_given("epochs"):
            call = call.replace(epochs=self.epochs)
        if _holds_all_examples(call["x"]) and call["batch_size"] is None:
            call = call.replace(batch_size=self.batch_size)
        # A run that goes on at `initial_epoch` has the schedule of the whole run, and
        # begins it anew: its optimizer is new, too. Shared programs do the same.
        self.total_steps = int(call["epochs"]) * _updates_per_epoch(call)
        if self.patience is not None:
            stopping = self._early_stopping(hp, call)
            call = call.replace(callbacks=[*call.callbacks, stopping])
        for found in examples_of(call, self._read_before, self._limits()):
            self._check_examples(found)
        return call.args, call.kwargs

    def _limits(self) -> tuple[Any, ...]:
        """Returns what examples are compared with."""
        return (self.num_classes,)

    def _check_examples(self, examples: Examples) -> None:
        """Raises an error if the network cannot learn from some examples."""
        # Whoever brings another loss may want other labels, and whoever brings another
        # network more than one an example.
        if sameness.is_of_package(self, "compile_arguments", "_compile", "fit"):
            check_labels(
                examples.labels,
                self.num_classes,
                examples.place,
                one_each=sameness.is_of_package(self, "network", "logits"),
            )

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

    def _optimizer_to_read(
        self,
        hp: keras_tuner.HyperParameters,
        total_steps: int,
        used_before: dict[str, Any] | None,
    ) -> keras.optimizers.Optimizer:
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
        for the rate of `ScalarDropout`, which is fed, and if no attribute has changed
        in between. None stands for a network that was not built yet, and for a class
        that compiles in its own way or has code that is not this package's.
        """
        compiles_otherwise = type(self)._compile is not HyperClassifier._compile
        if compiles_otherwise or not sameness.is_all_of_package(self):
            return None
        surroundings = sameness.surroundings(self)
        for number, (before, read) in enumerate(self._networks):
            if before == surroundings and sameness.agree(hp.values, read):
                return number
        return None

    def fed_rate(self, hp: keras_tuner.HyperParameters) -> float | None:
        """Returns the rate of all `ScalarDropout` layers; None if it is built in."""
        if "dropout" in self._fed_names() and not self.plain:
            return hp.values.get("dropout")
        return None

    def _recorded_network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        surroundings = sameness.surroundings(self)
        with watched(hp) as values:
            model = self.network(hp)
        read = sameness.what_was_read(values, but=self._fed_names())
        if read is not None and (surroundings, read) not in self._networks:
            self._networks.append((surroundings, read))
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
        kind = _validation.check_choice("norm", hp.Fixed("norm", default), NORMS)
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

    def _compile(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, total_steps: int
    ) -> None:
        model.compile(**self.compile_arguments(hp, total_steps))

    def _early_stopping(
        self, hp: keras_tuner.HyperParameters, call: FitCall
    ) -> keras.callbacks.Callback:
        if not call.has_validation:
            raise ValueError(
                "`patience` needs a validation loss: pass `validation_data` or "
                f"`validation_split` to `fit`. "
                f"{_validation.received('patience', self.patience)}"
            )
        warmup_fraction = hp.values.get("warmup_fraction", 0.0)
        warmup = math.ceil(warmup_fraction * call["epochs"])
        return keras.callbacks.EarlyStopping(
            monitor="val_loss",
            patience=self.patience,
            start_from_epoch=call["initial_epoch"] + warmup,
            restore_best_weights=True,
        )


def checked_sizes(name: str, sizes: Any) -> tuple[int, ...]:
    """Returns a shape without the batch axis, if it is one.

    Raises:
        TypeError: If it is no tuple or list of numbers.
        ValueError: If it is empty, or a number in it is no size.
    """
    if not isinstance(sizes, tuple | list):
        raise TypeError(
            f"`{name}` must be a tuple of sizes. "
            f"{_validation.received(name, sizes, True)}"
        )
    if not sizes:
        raise ValueError(
            f"`{name}` must hold a size. {_validation.received(name, sizes)}"
        )
    return tuple(_validation.check_int(name, size, minimum=1) for size in sizes)


def checked_dictionary(name: str, value: Any) -> dict[str, Any]:
    """Returns a dictionary of arguments, or raises `TypeError`; None is none."""
    names = value if isinstance(value, dict) else ()
    if value is not None and not (
        isinstance(value, dict) and all(isinstance(key, str) for key in names)
    ):
        raise TypeError(
            f"`{name}` must be a dictionary from names to values, or None. "
            f"{_validation.received(name, value, True)}"
        )
    return dict(value or {})


def _first_input(x: Any) -> Any:
    """Returns the first array of several inputs, and anything else as it is."""
    several = isinstance(x, dict | list | tuple)
    return next(iter(keras.tree.flatten(x)), None) if several else x


def _holds_all_examples(x: Any) -> bool:
    return hasattr(_first_input(x), "shape")


def _updates_per_epoch(call: FitCall) -> int:
    """Returns the number of batches that `fit` makes, a partial one included."""
    if call["steps_per_epoch"] is not None:
        return int(call["steps_per_epoch"])
    if _holds_all_examples(call["x"]):
        num_examples = int(_first_input(call["x"]).shape[0])
        training = call.num_training_examples(num_examples)
        return math.ceil(training / call.array_batch_size)
    batches = num_batches(call["x"])
    if batches is None:
        raise ValueError(
            "The number of batches of the dataset must be known, since the schedule "
            "ends with the run: pass `steps_per_epoch`, or use "
            f"`tf.data.experimental.assert_cardinality`. Received: x={call['x']!r}"
        )
    return batches
