"""The base class of hypermodels: how they are compiled, trained and compared."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks._deprecation import warn_renamed
from keras_tricks._fit_call import FitCall
from keras_tricks._watched_values import watched
from keras_tricks.hypermodels import sameness
from keras_tricks.hypermodels.description import Description
from keras_tricks.hypermodels.description import range_in_words
from keras_tricks.hypermodels.examples import Examples
from keras_tricks.hypermodels.examples import ReadBefore
from keras_tricks.hypermodels.examples import examples_of
from keras_tricks.hypermodels.examples import is_dataset
from keras_tricks.hypermodels.examples import num_batches
from keras_tricks.hypermodels.fit_numbers import check_class_weight
from keras_tricks.hypermodels.fit_numbers import check_weights
from keras_tricks.hypermodels.fit_numbers import with_numbers
from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.hypermodels.optimizer_space import hyper_optimizer
from keras_tricks.hypermodels.optimizer_space import optimizer_settings
from keras_tricks.hypermodels.tasks.arguments import TASKS
from keras_tricks.hypermodels.tasks.arguments import TaskName
from keras_tricks.hypermodels.tasks.arguments import checked_counts
from keras_tricks.hypermodels.tasks.arguments import checked_metrics
from keras_tricks.hypermodels.tasks.arguments import checked_scale
from keras_tricks.hypermodels.tasks.arrays import refuse
from keras_tricks.hypermodels.tasks.task import Task
from keras_tricks.parameters import check_parameter_budget
from keras_tricks.parameters import count_parameters
from keras_tricks.parameters import parameter_table

# The last two take statistics over the positions of an example, padding among them.
NORMS = ("batch", "layer", "none", "group", "instance")
MAX_GROUPS = 32
# He's initialisation is made for units that are 0 for half of their inputs.
RECTIFIERS = ("relu", "leaky_relu", "elu", "gelu", "silu", "swish", "relu6")


class SupervisedHyperModel(keras_tuner.HyperModel):
    """Base class of hypermodels that learn labels or numbers from examples.

    A subclass implements `trunk(hp)`, which returns the inputs and the features that
    the last layer is given; or `network(hp)`, which returns the whole uncompiled model.
    The optimizer's settings are `hyper_optimizer`'s; those of the loss depend on what
    is to be learned:

    | `task` | labels in | out | losses | metrics (by default the first ones) |
    |---|---|---|---|---|
    | `"classification"` | class numbers, 0 to `num_classes - 1` | one logit a class | `"cross_entropy"`, `"focal"` | `"accuracy"`; `"macro_f1"`, `"auc"` |
    | `"multi_label"` | rows of `num_classes` 0s and 1s | one logit a label | `"binary_cross_entropy"`, `"focal"` | `"accuracy"`, `"macro_f1"`; `"auc"` |
    | `"regression"` | `num_outputs` numbers | as many, in their unit | `"mse"`, `"mae"`, `"huber"`, `"quantile"` | `"rmse"`, `"mae"`, `"r2"` |

    A regression is of standardised targets: `fit` takes mean and deviation of those
    that are trained on, the loss is in deviations, and the last layer, `TargetScale`,
    brings the outputs back into the data's unit. Both are saved with the weights.

    The length of the learning rate schedule comes from the data: `fit` counts the
    updates that it is about to make and compiles the model with them. `build` alone
    cannot know them; until a `fit` has been seen it compiles only if `total_steps`
    was given (and `target_scale` for a regression), and otherwise returns the model
    uncompiled.

    Batch size and epochs are arguments, not hyperparameters: the best batch is the
    largest that still raises the throughput, and another one needs other settings.

    Args:
        num_classes: Number of classes, >= 2, or of labels that an example may have,
            >= 1. Not for regressions.
        task: What is learned: see above.
        num_outputs: Numbers to be predicted of an example, >= 1; 1 by default. For
            regressions alone.
        metrics: Names of the metrics that are watched, from those above.
        target_scale: `(mean, deviation)` of the targets of a regression, two numbers or
            two tuples of `num_outputs`. Needed for generators, which can be read only
            once, and where a model is trained without this `fit`.
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
    """  # noqa: E501

    is_for_sequences = False

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        task: TaskName = "classification",
        num_outputs: int | None = None,
        metrics: Sequence[str] | None = None,
        target_scale: tuple[Any, Any] | None = None,
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
        _validation.check_choice("task", task, tuple(TASKS))
        self.task = task
        self.num_classes, self.num_outputs = checked_counts(
            task, num_classes, num_outputs
        )
        self.metrics = checked_metrics(task, metrics)
        self.target_scale = checked_scale(task, target_scale, self.num_outputs)
        # What the labels of the last `fit` had to say to the network and the loss.
        self._known_of_labels: Any = self.target_scale
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
        if sameness.is_of_package(self, "optimizer", "_arguments_of_optimizer"):
            _check_names(self.optimizer_arguments)
        # For each network, what surrounded it and what it read of its settings.
        self._networks: list[tuple[Any, dict[str, Any]]] = []
        self._read_before = ReadBefore()

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        """Returns the inputs and `(batch, features)`, which the last layer is given."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `trunk(hp)`, or `network(hp)`."
        )

    def network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the uncompiled model, which ends with `outputs`."""
        made = self.trunk(hp)
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise TypeError(
                "`trunk(hp)` must return two things, the inputs and the features that "
                f"the last layer is given. {_validation.received('trunk', made, True)}"
            )
        inputs, features = made
        if self._has_usual_outputs() and len(getattr(features, "shape", (0, 0))) != 2:
            raise ValueError(
                "The features that `trunk(hp)` returns must have the shape (batch, "
                "features), since each example has one output: pool them. For an "
                "output at each position write `network` instead. "
                f"Received: features of shape {tuple(features.shape)}"
            )
        return keras.Model(inputs, self.outputs(features))

    def optimizer(
        self, hp: keras_tuner.HyperParameters, total_steps: int
    ) -> keras.optimizers.Optimizer:
        """Returns the optimizer of `hp` for a run of `total_steps` updates."""
        return hyper_optimizer(hp, total_steps, **self._arguments_of_optimizer(hp))

    def _arguments_of_optimizer(
        self, hp: keras_tuner.HyperParameters
    ) -> dict[str, Any]:
        """Returns what `hyper_optimizer` is given, which may depend on the network."""
        return self.optimizer_arguments

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the model of `hp`, compiled once the number of updates is known."""
        model = self._recorded_network(hp)
        # Who trains a regression without this `fit` would train it in the data's unit.
        is_known = self.task != "regression" or self._known_of_labels is not None
        if self.total_steps is not None and is_known:
            self._compile(hp, model, self.total_steps)
        else:
            # The space must be whole before the data are seen.
            self.compile_arguments(hp, total_steps=1)
        self._learned().check_network(model, self._known_of_labels)
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

        Raises:
            TypeError: If `hp` or `model` is something else, such as the examples.
        """
        for name, given, kind in (
            ("hp", hp, keras_tuner.HyperParameters),
            ("model", model, keras.Model),
        ):
            if not isinstance(given, kind):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__}, as in `fit(hp, model, x, y)` "
                    "with the model that `build(hp)` returned. "
                    f"{_validation.received(name, given, True)}"
                )
        args, kwargs = self.fit_arguments(hp, *args, **kwargs)
        assert self.total_steps is not None
        self._compile(hp, model, self.total_steps)
        self._set_known(model)
        return model.fit(*args, **kwargs)

    def inputs_for(self, model: keras.Model, x: Any) -> Any:
        """Returns examples as a trained model takes them, for `predict` for instance.

        They are `x` itself but for data frames: those of `HyperTable`, alone or within
        a `HyperJoin`, become arrays, by what the model has learned of the columns.

        Args:
            model: A trained model of this hypermodel.
            x: Examples as `fit` takes them.
        """
        return x

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
        received = "" if norm == best else f" Received: {norm!r}."
        return (f"norm: 'layer' for sequences, 'batch' otherwise.{received}",)

    # What `fit` consists of, for those who train many settings at a time.

    def fit_arguments(
        self, hp: keras_tuner.HyperParameters, *args: Any, **kwargs: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` gives the model's own, and counts the updates.

        From then on `build` compiles for so many.

        Raises:
            keras_tuner.errors.FatalValueError: If a label is none of the task's, or a
                weight is not finite; it is a `ValueError`. A dataset is read for that,
                once, as far as an epoch goes. Labels are left alone where a subclass
                compiles in its own way.
            ValueError: If the number of updates is not known, or `patience` has
                nothing to judge by.
        """
        call = FitCall.of(args, kwargs)
        if not call.is_given("epochs"):
            call = call.replace(epochs=self.epochs)
        call = self._with_arrays(with_numbers(call))
        if _holds_all_examples(call["x"]) and call["batch_size"] is None:
            call = call.replace(batch_size=self.batch_size)
        # A run that goes on at `initial_epoch` has the schedule of the whole run, and
        # begins it anew: its optimizer is new, too. Shared programs do the same.
        self.total_steps = int(call["epochs"]) * _updates_per_epoch(call)
        if self.patience is not None:
            stopping = self._early_stopping(hp, call)
            call = call.replace(callbacks=[*call.callbacks, stopping])
        self._check_call(call)
        self._known_of_labels = self.target_scale
        learns = self._learned().learns_of_labels and self.target_scale is None
        seen = []
        for found in examples_of(call, self._read_before, self._limits()):
            self._check_examples(found)
            if learns and found.is_trained_on:
                seen += found.labels_that_count(call)
        if learns:
            self._known_of_labels = self._known(call, seen)
        return call.args, call.kwargs

    def _check_call(self, call: FitCall) -> None:
        """Raises an error for arguments that Keras would take otherwise than meant."""
        weights = call["class_weight"]
        if weights is not None and not isinstance(weights, dict):
            refuse(
                "`class_weight` must be a dictionary from class numbers to weights.",
                "Scikit-learn's `compute_class_weight` computes balanced ones.",
                f"class_weight={_validation.shown(weights)}",
            )
        if weights is not None and self.task != "classification":
            own = " or `balance`" if self.task == "multi_label" else ""
            refuse(
                f"`class_weight` must be left out for task={self.task!r}: Keras takes "
                "the labels for class numbers.",
                f"Pass `sample_weight`{own}.",
                f"class_weight={weights!r}",
            )
        if weights is not None and self._compiles_as_here():
            check_class_weight(weights, self._learned().num_outputs)
        validation = call["validation_data"]
        is_pair = not isinstance(validation, tuple | list) or len(validation) in (2, 3)
        if not is_pair and self._compiles_as_here():
            refuse(
                "`validation_data` must be `(x, y)`, `(x, y, weights)` or a dataset.",
                "",
                f"{len(validation)} of these",
            )
        specs = keras.tree.flatten(getattr(call["x"], "element_spec", None))
        if any(getattr(spec, "shape", (None,)) == () for spec in specs):
            refuse(
                "A dataset must give batches of examples.",
                f"`dataset.batch({self.batch_size})` makes them.",
                f"x={_validation.shown(call['x'])}",
            )
        if self._has_usual_outputs() and _holds_all_examples(call["x"]):
            if call["y"] is None:
                refuse("`y` must hold the labels of the examples.", "", "y=None")
            if isinstance(call["y"], list) and call["y"] and np.isscalar(call["y"][0]):
                refuse("`y` must be an array.", "`numpy.asarray(y)` is one.", "a list")

    def _with_arrays(self, call: FitCall) -> FitCall:
        """Returns the call with inputs as the network takes them."""
        return call

    def _set_known(self, model: keras.Model) -> None:
        """Writes what is known of the data into a model made before it was."""
        self._learned().set_in(model, self._known_of_labels)

    def _learned(self) -> Task:
        number = self.num_classes if self.num_classes is not None else self.num_outputs
        return TASKS[self.task](number)

    def _known(self, call: FitCall, seen: list[Any]) -> Any:
        """Returns what is to be known of the labels that a call trains on."""
        key = (call["x"], call["steps_per_epoch"], "known", *self._limits())
        if not seen and key in self._read_before:
            return self._read_before[key]
        if seen:
            known = self._seen(seen)
            if is_dataset(call["x"]):
                self._read_before.add(key, known)
            return known
        if self.task == "regression":
            refuse(
                "The targets of a regression must be known before it begins: as arrays "
                "or a dataset with an end, or by `target_scale=(mean, deviation)`.",
                "",
                f"x={_validation.shown(call['x'])}",
            )
        return None

    def _seen(self, labels: list[Any]) -> Any:
        """Returns what some labels say, nothing if they are another network's."""
        task = self._learned()
        if not any(map(len, labels)):  # All have a weight of 0.
            return task.unseen()
        if not self._has_usual_outputs():
            try:
                task.check(labels, "`y`", one_each=True)
            except keras_tuner.errors.FatalValueError:
                return task.unseen()
        return task.seen(labels)

    def _limits(self) -> tuple[Any, ...]:
        """Returns what examples are compared with."""
        return self.task, self.num_classes, self.num_outputs

    def _check_examples(self, examples: Examples) -> None:
        """Raises an error if the network cannot learn from some examples."""
        places = {"`y`": "`x`", "`validation_data[1]`": "`validation_data[0]`"}
        place = places.get(examples.place, examples.place)
        self._check_inputs(examples.inputs, place)
        if self._compiles_as_here():
            if examples.labels is None and examples.place.startswith("batch"):
                refuse(
                    "A dataset must give batches `(inputs, labels)`.",
                    "",
                    f"no labels in {examples.place}",
                )
            check_weights(examples.weights, place)
            one_each = self._has_usual_outputs()
            self._learned().check(examples.labels, examples.place, one_each=one_each)

    def _check_inputs(self, inputs: Any, place: str) -> None:
        """Raises `FatalValueError` for inputs that the network would take silently."""

    def _compiles_as_here(self) -> bool:
        # Whoever brings another loss may want other labels.
        return sameness.is_of_package(self, "compile_arguments", "_compile")

    def _has_usual_outputs(self) -> bool:
        # Whoever brings another network may want more than one label an example. A
        # trunk alone changes nothing about that.
        network = ("network", "outputs", "logits")
        return self._compiles_as_here() and sameness.is_of_package(self, *network)

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
        task, known = self._learned(), self._known_of_labels
        return {
            "optimizer": self._optimizer_to_read(hp, total_steps, used_before),
            "loss": task.loss(hp, known),
            "metrics": [
                task.metrics[name](task.num_outputs, known) for name in self.metrics
            ],
            "jit_compile": self.jit_compile,
        }

    def _optimizer_to_read(
        self,
        hp: keras_tuner.HyperParameters,
        total_steps: int,
        used_before: dict[str, Any] | None,
    ) -> keras.optimizers.Optimizer:
        if (
            used_before is None
            or type(self).optimizer is not SupervisedHyperModel.optimizer
        ):
            return self.optimizer(hp, total_steps)
        arguments = self._arguments_of_optimizer(hp)
        settings = optimizer_settings(hp, total_steps, **arguments)
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
        compiles_otherwise = type(self)._compile is not SupervisedHyperModel._compile
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
        if not isinstance(model, keras.Model):
            raise TypeError(
                "`network(hp)` must return a keras.Model. "
                f"{_validation.received('network', model, True)}"
            )
        read = sameness.what_was_read(values, but=self._fed_names())
        if read is not None and (surroundings, read) not in self._networks:
            self._networks.append((surroundings, read))
        return model

    def _fed_names(self) -> tuple[str, ...]:
        """Returns what `network` reads only to set `ScalarDropout`."""
        # Whoever writes another network may read the name for anything.
        is_ours = sameness.is_of_package(self, "network", "trunk")
        return ("dropout",) if is_ours else ()

    # The pieces that the networks have in common.

    def activation(
        self, hp: keras_tuner.HyperParameters, default: str = "relu"
    ) -> tuple[str, str]:
        """Returns the hidden layers' activation and the initializer that suits it."""
        activation = hp.Fixed("activation", default)
        rectified = activation in RECTIFIERS
        return activation, "he_normal" if rectified else "glorot_uniform"

    def norm(self, hp: keras_tuner.HyperParameters, x: Any, default: str) -> Any:
        """Declares `norm`, fixed to `default`, and applies it.

        `"batch"`, `"layer"` and `"none"` are for all; `"group"`, with 32 groups of
        channels or as many as divide them, is not for sequences, and `"instance"` for
        images alone.
        """
        if self.plain:
            return x
        known: tuple[str, ...] = NORMS if len(x.shape) > 2 else NORMS[:-1]
        known = NORMS[:3] if self.is_for_sequences else known
        kind = _validation.check_choice("norm", hp.Fixed("norm", default), known)
        if kind == "none":
            return x
        if kind == "batch":
            return keras.layers.BatchNormalization()(x)
        if kind == "layer":
            return keras.layers.LayerNormalization(epsilon=1e-6)(x)
        # -1 is Keras's for an instance norm: each channel is a group.
        groups = math.gcd(MAX_GROUPS, x.shape[-1]) if kind == "group" else -1
        return keras.layers.GroupNormalization(groups, epsilon=1e-6)(x)

    def dropout(
        self, hp: keras_tuner.HyperParameters, x: Any, default: float = 0.5
    ) -> Any:
        """Declares `dropout` and applies it."""
        if self.plain:
            return x
        rate = hp.Float("dropout", 0.0, 0.7, step=0.1, default=default)
        return ScalarDropout(_validation.check_float("dropout", rate, below=1))(x)

    def dense_blocks(
        self,
        hp: keras_tuner.HyperParameters,
        x: Any,
        layers: int,
        units: int,
        dropout: float = 0.5,
    ) -> Any:
        """Applies blocks of a dense layer, its norm, its activation and dropout."""
        activation, initializer = self.activation(hp)
        for _ in range(layers):
            x = keras.layers.Dense(units, kernel_initializer=initializer)(x)
            x = self.norm(hp, x, "batch")
            x = keras.layers.Activation(activation)(x)
            x = self.dropout(hp, x, default=dropout)
        return x

    def outputs(self, x: Any, max_norm: float = 0.0) -> Any:
        """Returns the last layer's output, float32 also under mixed precision."""
        old = self._logits_of_a_subclass()
        if old is not None:
            warn_renamed("logits", "outputs", removed_in="0.4.0", definition=old)
            return self.logits(x, max_norm)
        return self._learned().outputs(x, self._known_of_labels, max_norm)

    def logits(self, x: Any, max_norm: float = 0.0) -> Any:
        """Returns `outputs(x, max_norm)`: the name of version 0.1."""
        warn_renamed("logits", "outputs", removed_in="0.4.0")
        if self._logits_of_a_subclass() is None:
            return self.outputs(x, max_norm)
        # By `super().logits(x)`: `outputs` would call the subclass's again.
        return self._learned().outputs(x, self._known_of_labels, max_norm)

    def _logits_of_a_subclass(self) -> Any:
        """Returns what a class of version 0.1 has in place of `outputs`, or None."""
        own, base = type(self), SupervisedHyperModel
        is_of_0_1 = own.logits is not base.logits and own.outputs is base.outputs
        return own.logits if is_of_0_1 else None

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
    found = [_validation.plain(size) for size in sizes]
    if not all(type(size) is int and size >= 1 for size in found):
        raise ValueError(
            f"`{name}` must hold whole numbers >= 1. "
            f"{_validation.received(name, sizes)}"
        )
    return tuple(found)


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


def _check_names(arguments: dict[str, Any]) -> None:
    """Raises `TypeError` for what is no argument of `hyper_optimizer`."""
    known = [*inspect.signature(hyper_optimizer).parameters][2:]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise TypeError(
            f"`optimizer_arguments` must name arguments of `hyper_optimizer`: {known}. "
            f"{_validation.received('optimizer_arguments', unknown)}"
        )


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
        if num_examples and not training:
            raise ValueError(
                "`validation_split` must leave examples to train on, of "
                f"{num_examples}. Received: validation_split={call['validation_split']}"
            )
        return math.ceil(training / call.array_batch_size)
    batches = num_batches(call["x"])
    if batches is None:
        raise ValueError(
            "The number of batches of the dataset must be known, since the schedule "
            "ends with the run: pass `steps_per_epoch`, or use "
            f"`tf.data.experimental.assert_cardinality`. Received: x={call['x']!r}"
        )
    return batches


def __getattr__(name: str) -> Any:
    if name == "HyperClassifier":
        warn_renamed(name, "SupervisedHyperModel", removed_in="0.4.0")
        return SupervisedHyperModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
