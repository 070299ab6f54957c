"""One step of training or testing as a function of the state, and nothing else."""

import abc
import contextlib
import operator
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import _keras_state
from keras_tricks._runtime_scalars import RuntimeScalars
from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import runtime_scalars
from keras_tricks.training.compiled import signature
from keras_tricks.training.compiled.flat_weights import FlatWeights
from keras_tricks.training.compiled.flat_weights import SeparateWeights
from keras_tricks.training.compiled.flat_weights import layout_of


class State(NamedTuple):
    """All that a step changes, as lists of tensors.

    Attributes:
        trainable: The weights.
        non_trainable: Moving averages, states of random generators, fed numbers.
        optimizer: Moments, the step counter, clip limits and the like.
        metrics: What the metrics have added up.
    """

    trainable: list
    non_trainable: list
    optimizer: list
    metrics: list


class Steps(abc.ABC):
    """The steps of a model, as functions of their state.

    Attributes:
        model: The model, which belongs to this object.
        variables: Its variables, in the places of their values in a state.
        start: The state as the model had it: weights, slots of 0 and so on.
        before_build: The optimizer's variables that existed before its slots, such as
            a clip limit; a trial brings its own values of them.
        layout: How `train_step` takes and returns the weights.
        drawing_layers: Those whose draws `train_step` may be given.
        programs: What was compiled of it, by what it was compiled for.
        vectorizes: Whether TensorFlow may compute them for several trials at once.
    """

    model: keras.Model
    variables: State
    start: State
    before_build: list
    layout: FlatWeights | SeparateWeights
    drawing_layers: list
    programs: dict[Any, Any]
    vectorizes: bool = True

    @abc.abstractmethod
    def check(self) -> None:
        """Checks, before a program is traced, that the model is as it was.

        Raises:
            UnsupportedModelError: If it is not.
        """

    def accepts(self, numbers: Any) -> bool:
        """Whether programs of these steps may be used with these fed numbers."""
        return True

    @abc.abstractmethod
    def train_step(
        self, state: State, numbers: Any, rate: Any, batch: Any, draws: Any = None
    ) -> State:
        """Returns the state after one update, made as `Model.train_step` makes it.

        Args:
            state: The state before, its weights as `layout` carries them.
            numbers: The fed numbers.
            rate: The learning rate of this step, a scalar.
            batch: The examples `(x, y)`, or `(x, y, weights)`.
            draws: What each of `drawing_layers` would draw; None has them draw.
        """

    @abc.abstractmethod
    def test_step(self, state: State, numbers: Any, batch: Any) -> State:
        """Returns the state with a batch added to the metrics.

        What layers change when they are called, such as the states of their random
        generators, is changed, too, as `evaluate` changes it.
        """

    @abc.abstractmethod
    def results(self, metrics: list, numbers: Any) -> dict[str, Any]:
        """Returns the loss and the metrics of what was added up."""

    def can_draw_before(self) -> bool:
        """Whether the shapes of all draws are known before the model is called."""
        return False

    def draw(self, non_trainable: list, batch_size: int) -> list:
        """Returns what the `drawing_layers` draw in a step that starts so.

        The draws are those that the layers make themselves: same seeds, same order.
        """
        raise NotImplementedError("These steps draw by themselves.")


class FunctionalModel(Steps):
    """A compiled Keras model whose steps take their state as an argument.

    The model's own methods compute: its call, `compute_loss`, `compute_metrics`, and
    its optimizer's `apply`. The model and the optimizer are changed and belong to this
    object from now on.

    Args:
        model: A model that `structure.reason_not_compiled_once` has nothing against.
        examples: A few examples `(x, y)` or `(x, y, weights)`, or the specs of a batch,
            with which Keras makes the metrics' variables.
        specs: Kind and shape of a batch of the training and of the validation, or None.
        feeds_numbers: Whether the numbers of `fed_numbers` are arguments of the steps;
            otherwise the steps contain them.
        joins_weights: Whether a step may carry all weights in one vector.
    """

    def __init__(
        self,
        model: keras.Model,
        examples: Any,
        specs: tuple[Any, Any],
        *,
        feeds_numbers: bool = True,
        joins_weights: bool = True,
    ):
        self.model = model
        self.optimizer = model.optimizer
        self.specs = specs
        self.programs: dict[Any, Any] = {}
        self.before_build = self.optimizer.variables
        self._settings = keras_hooks.settings()
        weights = model.trainable_variables, model.non_trainable_variables
        values = tf.nest.map_structure(_value, weights)
        # A layer may count its calls: the values are those before this one. No number
        # is an argument yet, which this call would take as it is.
        make_metrics(model, examples)
        places = (
            *runtime_scalars.places(self.optimizer, model.loss),
            *runtime_scalars.penalty_places(model),
        )
        self.numbers = [
            runtime_scalars.RuntimeScalar(place)
            for place in (places if feeds_numbers else ())
        ]
        self.layout = layout_of(model, joins_weights)
        keras_hooks.make_functional(self.optimizer)
        with runtime_scalars.installed(self.numbers):
            self.optimizer.build(self.layout.variables)
        keras_hooks.feed_learning_rate(self.optimizer, lambda: self._rate)
        self._rate: Any = None
        self.variables = State(
            trainable=model.trainable_variables,
            non_trainable=model.non_trainable_variables,
            optimizer=self.optimizer.variables,
            metrics=model.metrics_variables,
        )
        self.start = State(*values, *tf.nest.map_structure(_value, self.variables[2:]))
        self.drawing_layers = [
            layer for layer in all_layers(model) if isinstance(layer, RuntimeScalars)
        ]
        self._signature = signature.signature(model, None)
        if self.numbers:
            self._note_decisions()

    def _note_decisions(self) -> None:
        """Traces the steps once, so that it is known what is decided by numbers.

        Which trials may share a program is asked before one is traced.
        """
        batch, validation = self.specs
        carried = self.start._replace(trainable=self.layout.join(self.start.trainable))
        numbers = tf.constant(runtime_scalars.as_fed([n.nominal for n in self.numbers]))

        @tf.function(autograph=False)
        def steps(batch: Any, validation: Any) -> Any:
            rate = tf.constant(0.0)
            trained = self.train_step(carried, numbers, rate, batch)
            tested = self.test_step(self.start, numbers, validation)
            return trained, self.results(tested.metrics, numbers)

        steps.get_concrete_function(batch, batch if validation is None else validation)

    def check(self) -> None:
        with keras_hooks.settings_in_force(self._settings):
            found = signature.signature(self.model, None)
        if found != self._signature:
            raise UnsupportedModelError("the model was changed after it had been built")

    def accepts(self, numbers: Any) -> bool:
        return all(
            number.accepts(value)
            for number, value in zip(self.numbers, numbers, strict=True)
        )

    def train_step(
        self, state: State, numbers: Any, rate: Any, batch: Any, draws: Any = None
    ) -> State:
        model, carried = self.model, self.layout.variables
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch(state.trainable)
            weights = self.layout.part(state.trainable)
        own = state._replace(trainable=weights)
        with self._traced(own, numbers, rate, carried, state.trainable) as scope:
            with tape:
                given = self._weights_in(scope)
                with self._drawn(draws):
                    y_pred = keras_hooks.called(model, x, training=True)
                loss = self._loss(scope, x, y, y_pred, sample_weight, training=True)
            if any(map(operator.is_not, self._weights_in(scope), given)):
                # In `fit` the gradient is then that of another value of the weights.
                raise UnsupportedModelError(
                    "a layer sets its weights when it is called"
                )
            gradients = tape.gradient(loss, state.trainable)
            self._add_to_metrics(loss, x, y, y_pred, sample_weight)
            self.optimizer.apply(gradients)
            trainable = [scope.get_current_value(variable) for variable in carried]
            return self._state(scope)._replace(trainable=trainable)

    def test_step(self, state: State, numbers: Any, batch: Any) -> State:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        with self._traced(state, numbers, None) as scope:
            y_pred = keras_hooks.called(self.model, x, training=False)
            loss = self._loss(scope, x, y, y_pred, sample_weight, training=False)
            self._add_to_metrics(loss, x, y, y_pred, sample_weight)
            after = self._state(scope)
            return state._replace(
                non_trainable=after.non_trainable, metrics=after.metrics
            )

    def results(self, metrics: list, numbers: Any) -> dict[str, Any]:
        state = self.start._replace(metrics=metrics)
        with self._traced(state, numbers, None):
            return self.model.get_metrics_result()

    def draw(self, non_trainable: list, batch_size: int) -> list:
        drawn = []
        state = self.start._replace(non_trainable=non_trainable)
        with self._traced(state, None, None):
            for layer in self.drawing_layers:
                shape = (batch_size, *layer.input.shape[1:])
                drawn.append(layer.draw(shape))
        return drawn

    def can_draw_before(self) -> bool:
        for layer in self.drawing_layers:
            try:
                shape = layer.input.shape
            except (AttributeError, ValueError):
                return False  # It is called twice, or within another layer.
            if None in shape[1:]:
                return False
        return bool(self.drawing_layers)

    def _loss(
        self,
        scope: keras.StatelessScope,
        x: Any,
        y: Any,
        y_pred: Any,
        sample_weight: Any,
        training: bool,
    ) -> tf.Tensor:
        loss = self.model.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if scope.losses:
            raise UnsupportedModelError(
                "a layer adds a loss (`add_loss`) when it is called"
            )
        return loss

    def _add_to_metrics(
        self, loss: tf.Tensor, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> None:
        num_examples = tf.shape(keras.tree.flatten(x)[0])[0]
        tracker = keras_hooks.loss_tracker(self.model)
        tracker.update_state(loss, sample_weight=num_examples)
        self.model.compute_metrics(x, y, y_pred, sample_weight)

    def _weights_in(self, scope: keras.StatelessScope) -> list[Any]:
        return [scope.get_current_value(v) for v in self.variables.trainable]

    def _state(self, scope: keras.StatelessScope) -> State:
        return tf.nest.map_structure(scope.get_current_value, self.variables)

    @contextlib.contextmanager
    def _traced(
        self,
        state: State,
        numbers: tf.Tensor | None,
        rate: tf.Tensor | None,
        carried: Sequence[keras.Variable] = (),
        carried_values: Sequence[tf.Tensor] = (),
    ) -> Iterator[keras.StatelessScope]:
        mapping = list(
            zip(tf.nest.flatten(self.variables), tf.nest.flatten(state), strict=True)
        )
        if isinstance(self.layout, FlatWeights):
            mapping += zip(carried, carried_values, strict=True)
        known = {id(variable) for variable, _ in mapping}
        in_settings = keras_hooks.settings_in_force(self._settings)
        with _keras_state.LOCK, self._fed(numbers, rate), in_settings:
            scope = keras.StatelessScope(
                mapping, collect_losses=True, initialize_variables=False
            )
            with scope:
                yield scope
                is_whole = keras_hooks.is_in_scope(scope)
            if not is_whole:
                raise UnsupportedModelError(
                    "`keras.utils.clear_session` was called while a step was traced"
                )
            if set(scope.state_mapping) - known:
                raise UnsupportedModelError(
                    "a step changes variables that the model hides"
                )

    @contextlib.contextmanager
    def _fed(self, numbers: tf.Tensor | None, rate: tf.Tensor | None) -> Iterator[None]:
        try:
            self._rate = rate
            if numbers is not None:
                for index, number in enumerate(self.numbers):
                    number.feed(numbers[index])
            with runtime_scalars.installed(self.numbers):
                yield
        finally:
            self._rate = None
            for number in self.numbers:
                number.feed(None)

    @contextlib.contextmanager
    def _drawn(self, draws: list | None) -> Iterator[None]:
        """Gives the layers their draws; their generators go on as if they had drawn."""
        if draws is None:
            yield
            return
        for layer, drawn in zip(self.drawing_layers, draws, strict=True):
            object.__setattr__(layer, "draw", _given(layer, drawn))
        try:
            yield
        finally:
            for layer in self.drawing_layers:
                object.__delattr__(layer, "draw")


class UnsupportedModelError(ValueError):
    """The model does what a compiled program of this package cannot reproduce."""


class SharedStateError(UnsupportedModelError):
    """Training the model changes what the models of other trials begin with."""


def _value(variable: keras.Variable) -> Any:
    return tf.convert_to_tensor(variable)


def make_metrics(model: keras.Model, examples: Any) -> None:
    """Has Keras make the variables of a model's metrics, as the first batch does.

    Args:
        model: The model.
        examples: A few examples, or the specs of a batch.

    Raises:
        UnsupportedModelError: If a metric is not the same at the beginning of each
            epoch: a program has them begin with what they are reset to.
    """
    first = [(metric, _values_of(metric)) for metric in _metrics_of_others(model)]
    if isinstance(tf.nest.flatten(examples)[0], tf.TypeSpec):
        show = tf.function(_show_metrics, autograph=False)
        show.get_concrete_function(model, examples)
    else:
        _show_metrics(model, examples)
    model.reset_metrics()
    for metric, values in first:
        _check_reset(metric, values)


def _show_metrics(model: keras.Model, examples: Any) -> None:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(examples)
    y_pred = keras_hooks.called(model, x, training=False)
    model.compute_loss(
        x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False
    )
    model.compute_metrics(x, y, y_pred, sample_weight)


def _metrics_of_others(model: keras.Model) -> list[keras.Metric]:
    """Returns a model's metrics of classes that are not Keras's."""
    compiled = keras_hooks.compiled_with(model)
    given = compiled["metrics"], compiled["weighted_metrics"], model.metrics
    found = {
        id(each): each
        for each in keras.tree.flatten(given)
        if isinstance(each, keras.Metric)
        and type(each).__module__.partition(".")[0] != "keras"
    }
    return list(found.values())


def _check_reset(metric: keras.Metric, first: dict[int, np.ndarray]) -> None:
    """Raises if a metric begins an epoch with anything but what it began with."""
    reset = _values_of(metric)
    for variable in metric.variables:
        value = variable.numpy()
        variable.assign(~value if value.dtype == bool else value + 1)
    metric.reset_state()
    again = _values_of(metric)
    for values in (first, reset):
        if not all(
            each in again
            and np.array_equal(value, again[each], equal_nan=value.dtype.kind == "f")
            for each, value in values.items()
        ):
            raise UnsupportedModelError(
                f"the metric {metric.name!r} does not begin each epoch alike"
            )


def _values_of(metric: keras.Metric) -> dict[int, np.ndarray]:
    return {id(variable): variable.numpy() for variable in metric.variables}


def _given(layer: keras.Layer, drawn: Any) -> Callable[[Any], Any]:
    def draw(shape: Any) -> Any:
        layer.seed_generator.next()
        return drawn

    return draw


def first_step(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns the step that an optimizer is at: 0, unless it goes on from a file."""
    return int(keras_hooks.value_of(optimizer.iterations))


def rate_schedule(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the schedule of an optimizer, or the variable that holds its rate."""
    (leaf,) = leaf_optimizers(optimizer)
    return keras_hooks.rate_of(leaf)


def rate_curve(
    optimizer: keras.optimizers.Optimizer, num_steps: int, first: int = 0
) -> np.ndarray:
    """Returns the learning rate of each step of a run, as float32.

    Args:
        optimizer: An optimizer, or a wrapper around one.
        num_steps: Number of steps.
        first: The step that the run begins with; the first of all has number 0.

    Raises:
        UnsupportedModelError: If the schedule has a state of its own.
    """
    schedule = rate_schedule(optimizer)
    if isinstance(schedule, keras.Variable):
        constant = keras_hooks.value_of(schedule).numpy()
        return np.full(num_steps, constant, dtype="float32")
    steps = tf.range(first, first + num_steps, dtype=tf.int64)
    if is_of_libraries(schedule):
        try:
            rates = tf.convert_to_tensor(schedule(steps))
            if rates.shape == steps.shape:
                return tf.cast(rates, tf.float32).numpy()
        except (ValueError, TypeError, tf.errors.OpError):
            pass  # Those of Keras's that hold a `tf.cond` take one step at a time.

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)])
    def rate(step: tf.Tensor) -> tf.Tensor:
        return tf.cast(schedule(step), tf.float32)

    for operation in rate.get_concrete_function().graph.get_operations():
        is_call = operation.type in ("StatefulPartitionedCall", "If", "While")
        if not is_call and keras_hooks.is_stateful(operation.type):
            raise UnsupportedModelError(f"the schedule has a state ({operation.type})")

    @tf.function(autograph=False)
    def one_by_one() -> tf.Tensor:
        return tf.map_fn(rate, steps, fn_output_signature=tf.float32)

    return one_by_one().numpy()


def is_of_libraries(schedule: Any) -> bool:
    """Whether a rate is a variable, or no schedule of somebody else's takes part.

    One that was written for a single step may return something else for several.
    """
    if not type(schedule).__module__.startswith(("keras.", "keras_tricks.")):
        return False
    parts = tf.nest.flatten([*vars(schedule).values()])
    return all(
        is_of_libraries(part)
        for part in parts
        if isinstance(part, keras.optimizers.schedules.LearningRateSchedule)
        or callable(part)
    )
