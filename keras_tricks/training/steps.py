"""One step of training or testing as a function of the state, and nothing else."""

import contextlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.training import fed_numbers
from keras_tricks.training import keras_hooks
from keras_tricks.training.layout import Joined
from keras_tricks.training.layout import layout_of


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


class FunctionalModel:
    """A compiled Keras model whose steps take their state as an argument.

    The model's own methods compute: its call, `compute_loss`, `compute_metrics`, and
    its optimizer's `apply`. The model and the optimizer are changed and belong to this
    object from now on.

    Args:
        model: A model that `structure.why_not_compiled_once` has nothing against.
        x: A few examples, with which Keras makes the metrics' variables.
        y: Their labels.

    Attributes:
        start: The state as the model has it now: weights, slots of 0 and so on.
        own_optimizer_variables: How many of the optimizer's variables existed before
            its slots, such as a clip limit; a trial brings its own values of them.
        layout: How `train_step` takes and returns the weights.
        programs: What was compiled of it, by what it was compiled for.
    """

    def __init__(self, model: keras.Model, x: Any, y: Any):
        self.model = model
        self.optimizer = model.optimizer
        self._lock = threading.RLock()
        self.programs: dict[Any, Any] = {}
        self.before_build = self.optimizer.variables
        self.numbers = [
            fed_numbers.FedNumber(place)
            for place in (
                *fed_numbers.places(self.optimizer, model.loss),
                *fed_numbers.penalty_places(model),
            )
        ]
        self.layout = layout_of(model)
        keras_hooks.make_functional(self.optimizer)
        self.optimizer.build(self.layout.variables)
        keras_hooks.feed_learning_rate(self.optimizer, lambda: self._rate)
        self._rate: Any = None
        model.compute_metrics(x, y, model(x, training=False), None)
        model.reset_metrics()
        self.variables = State(
            trainable=model.trainable_variables,
            non_trainable=model.non_trainable_variables,
            optimizer=self.optimizer.variables,
            metrics=model.metrics_variables,
        )
        self.start: State = tf.nest.map_structure(
            lambda variable: tf.convert_to_tensor(variable), self.variables
        )
        self.drawing_layers = [
            layer
            for layer in keras_hooks.all_layers(model)
            if callable(getattr(layer, "draw", None))
        ]

    def accepts(self, numbers: list[float]) -> bool:
        """Whether programs of this model may be used with these fed numbers."""
        return all(
            number.accepts(value)
            for number, value in zip(self.numbers, numbers, strict=True)
        )

    def train_step(
        self, state: State, numbers: Any, rate: Any, x: Any, y: Any, draws: Any = None
    ) -> State:
        """Returns the state after one update, made as `Model.train_step` makes it.

        Args:
            state: The state before, its weights as `layout` carries them.
            numbers: The fed numbers and their complements, of shape (n, 2).
            rate: The learning rate of this step, a scalar.
            x: A batch.
            y: Its labels.
            draws: What each of `drawing_layers` would draw; None has them draw.
        """
        model, carried = self.model, self.layout.variables
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape:
            tape.watch(state.trainable)
            weights = self.layout.part(state.trainable)
        own = state._replace(trainable=weights)
        with self._traced(own, numbers, rate, carried, state.trainable) as scope:
            with tape:
                with self._drawn(draws):
                    y_pred = model(x, training=True)
                loss = self._loss(scope, x, y, y_pred, training=True)
            gradients = tape.gradient(loss, state.trainable)
            self._add_to_metrics(loss, x, y, y_pred)
            self.optimizer.apply(gradients)
            trainable = [scope.get_current_value(variable) for variable in carried]
            return self._state(scope)._replace(trainable=trainable)

    def test_step(self, state: State, numbers: Any, x: Any, y: Any) -> State:
        """Returns the state with a batch added to the metrics."""
        with self._traced(state, numbers, None) as scope:
            y_pred = self.model(x, training=False)
            loss = self._loss(scope, x, y, y_pred, training=False)
            self._add_to_metrics(loss, x, y, y_pred)
            return state._replace(metrics=self._state(scope).metrics)

    def results(self, metrics: list) -> dict[str, Any]:
        """Returns the loss and the metrics of what was added up."""
        state = self.start._replace(metrics=metrics)
        with self._traced(state, None, None):
            return self.model.get_metrics_result()

    def draw(self, non_trainable: list, batch_size: int) -> list:
        """Returns what the `drawing_layers` draw in a step that starts so.

        The draws are those that the layers make themselves: same seeds, same order.
        """
        drawn = []
        state = self.start._replace(non_trainable=non_trainable)
        with self._traced(state, None, None):
            for layer in self.drawing_layers:
                shape = (batch_size, *layer.input.shape[1:])
                drawn.append(layer.draw(shape))
        return drawn

    def can_draw_before(self) -> bool:
        """Whether the shapes of all draws are known before the model is called."""
        for layer in self.drawing_layers:
            try:
                shape = layer.input.shape
            except (AttributeError, ValueError):
                return False  # It is called twice, or within another layer.
            if None in shape[1:]:
                return False
        return bool(self.drawing_layers)

    def _loss(self, scope, x, y, y_pred, training: bool):
        loss = self.model.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=None, training=training
        )
        if scope.losses:
            raise NotUnderstood("a layer adds a loss (`add_loss`) when it is called")
        return loss

    def _add_to_metrics(self, loss, x, y, y_pred) -> None:
        loss_tracker = self.model.metrics[0]
        loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        self.model.compute_metrics(x, y, y_pred, None)

    def _state(self, scope: keras.StatelessScope) -> State:
        return tf.nest.map_structure(scope.get_current_value, self.variables)

    @contextlib.contextmanager
    def _traced(
        self, state, numbers, rate, carried=(), carried_values=()
    ) -> Iterator[keras.StatelessScope]:
        mapping = list(
            zip(tf.nest.flatten(self.variables), tf.nest.flatten(state), strict=True)
        )
        if isinstance(self.layout, Joined):
            mapping += zip(carried, carried_values, strict=True)
        known = {id(variable) for variable, _ in mapping}
        with self._lock, self._fed(numbers, rate):
            scope = keras.StatelessScope(
                mapping, collect_losses=True, initialize_variables=False
            )
            with scope:
                yield scope
            if set(scope.state_mapping) - known:
                raise NotUnderstood("a step changes variables that the model hides")

    @contextlib.contextmanager
    def _fed(self, numbers, rate) -> Iterator[None]:
        try:
            self._rate = rate
            if numbers is not None:
                for index, number in enumerate(self.numbers):
                    number.feed(numbers[index])
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


class NotUnderstood(ValueError):
    """The model does what a compiled program of this package cannot reproduce."""


def _given(layer: keras.Layer, drawn: Any) -> Callable[[Any], Any]:
    def draw(shape: Any) -> Any:
        layer.seed_generator.next()
        return drawn

    return draw


def rate_curve(optimizer: keras.optimizers.Optimizer, num_steps: int) -> np.ndarray:
    """Returns the learning rate of each step, from 0, as float32.

    Args:
        optimizer: An optimizer, or a wrapper around one.
        num_steps: Number of steps.
    """
    (leaf,) = leaf_optimizers(optimizer)
    schedule = keras_hooks.rate_of(leaf)
    if isinstance(schedule, keras.Variable):
        return np.full(num_steps, schedule.numpy(), dtype="float32")
    steps = tf.range(num_steps, dtype=tf.int64)
    try:
        rates = tf.convert_to_tensor(schedule(steps))
        if rates.shape == steps.shape:
            return tf.cast(rates, tf.float32).numpy()
    except (ValueError, TypeError, tf.errors.OpError):
        pass  # Schedules of Keras's that hold a `tf.cond` take one step at a time.

    @tf.function
    def one_by_one():
        def rate(step):
            return tf.cast(schedule(step), tf.float32)

        return tf.map_fn(rate, steps, fn_output_signature=tf.float32)

    return one_by_one().numpy()
