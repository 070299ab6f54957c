"""Whole epochs as one compiled function, and the cache of what was compiled."""

import threading
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_tricks import _validation
from keras_tricks.training.compiled import runtime_scalars
from keras_tricks.training.compiled.data_order import known_length
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.vectorized_map import NotVectorizedError
from keras_tricks.training.compiled.vectorized_map import is_worth_vectorizing
from keras_tricks.training.compiled.vectorized_map import vectorized

# (number of the step, state before it, its batch or the rows of it) -> state after it
Step = Callable[[tf.Tensor, State, Any], State]

# Trials of which each step is their own, on as many cores.
SIDE_BY_SIDE = 4
# Signatures of which it is known what was traced of their models.
_MAX_REMEMBERED = 1024


class Program:
    """The epochs of one structure, for one trial or for several at once.

    With `packed` each tensor of the state, the fed numbers and the rates have a first
    axis of trials, and a step is vectorised over it by `tf.vectorized_map`. Data and
    their order are common to all trials.

    Args:
        functional: The model.
        packed: Whether there is an axis of trials.
        jit_compile: Whether XLA compiles the steps.
    """

    def __init__(self, functional: Steps, *, packed: bool, jit_compile: bool = False):
        self.functional = functional
        self.packed = packed
        self.vectorized = packed and is_worth_vectorizing(functional)
        self.jit_compile = jit_compile
        # XLA's own random numbers are slow on a CPU.
        self._draws_before = jit_compile and functional.can_draw_before()
        self._train_step = self._compiled(self._one_train_step)
        # Seldom run, and as long in XLA's compiler as the other.
        self._test_step = self._one_test_step
        self.train_epoch = self._function(self._train_epoch)
        self.evaluate = self._function(self._evaluate)
        self.train_stream = self._function(self._train_stream)
        self.evaluate_stream = self._function(self._evaluate_stream)

    def _function(self, method: Callable) -> Any:
        """Returns a method as a function of TensorFlow's.

        It is one of its own for each program: of methods of one class TensorFlow thinks
        that they are one function, and warns that it is traced again and again.
        """

        def run(*arguments: Any) -> Any:
            self.functional.check()
            try:
                return method(*arguments)
            except NotVectorizedError:
                # What was traced up to there is not run. The trials of a pack then run
                # beside each other.
                self.vectorized = self.functional.vectorizes = False
                return method(*arguments)

        return tf.function(run, autograph=False)

    def _compiled(self, step: Callable) -> Callable:
        if not self.jit_compile:
            return step
        return tf.function(step, jit_compile=True, autograph=False)

    def _train_epoch(
        self,
        state: State,
        numbers: tf.Tensor,
        rates: tf.Tensor,
        examples: Any,
        order: tf.Tensor,
        batch_size: int,
    ) -> tuple[State, dict[str, Any]]:
        """Trains for an epoch, the partial last batch included.

        Args:
            state: The state at its start.
            numbers: The fed numbers, of shape ([trials,] n, ...).
            rates: The learning rate of each step, of shape ([trials,] steps).
            examples: All examples, `(x, y)` or `(x, y, weights)`.
            order: The epoch's order, int32.
            batch_size: Examples a step.

        Returns:
            The state at its end, and the loss and metrics by name, one a trial.
        """
        state = self._cleared(state)
        state = self._over_trials(
            lambda state, numbers, rates: self._train_steps(
                state, numbers, rates, examples, order, batch_size
            ),
            state,
            numbers,
            rates,
        )
        return state, self._results(state, numbers)

    def _train_steps(
        self,
        state: State,
        numbers: tf.Tensor,
        rates: tf.Tensor,
        examples: Any,
        order: tf.Tensor,
        batch_size: int,
    ) -> State:
        length = known_length(order.shape[0], batch_size)

        def step(number: tf.Tensor, state: State, rows: tf.Tensor) -> State:
            rate = tf.gather(rates, number, axis=-1)
            batch = _with_length(length, _rows(examples, rows))
            if rows.shape[0] != batch_size:
                # Too seldom for a compilation of its own, where there is one.
                return self._one_train_step(state, numbers, rate, batch, None)
            draws = self._draw(state, batch_size)
            return self._train_step(state, numbers, rate, batch, draws)

        layout, num_axes = self.functional.layout, int(self.vectorized)
        state = state._replace(trainable=layout.join(state.trainable, num_axes))
        over = self._over_whole_batches if self.jit_compile else self._over_batches
        state = over(step, state, order, batch_size)
        return state._replace(trainable=layout.part(state.trainable, num_axes))

    def _over_trials(
        self, run: Callable[..., State], state: State, *others: tf.Tensor
    ) -> State:
        """Runs an epoch of all trials in each step, or of one beside the other."""
        if self.vectorized or not self.packed:
            return run(state, *others)
        return tf.map_fn(
            lambda each: run(*each),
            (state, *others),
            fn_output_signature=tf.nest.map_structure(
                lambda tensor: tf.TensorSpec(tensor.shape[1:], tensor.dtype), state
            ),
            parallel_iterations=SIDE_BY_SIDE,
        )

    def _evaluate(
        self, state: State, numbers: tf.Tensor, examples: Any, batch_size: int
    ) -> tuple[State, dict[str, Any]]:
        """Returns the loss and the metrics of `state` on all examples, by name.

        Before them comes the state with what layers changed when they were called.
        """
        number_of_examples = tf.nest.flatten(examples)[0].shape[0]
        order = tf.range(number_of_examples, dtype=tf.int32)

        def run(state: State, numbers: tf.Tensor) -> State:
            def step(number: tf.Tensor, state: State, rows: tf.Tensor) -> State:
                return self._test_step(state, numbers, _rows(examples, rows))

            return self._over_batches(step, state, order, batch_size)

        state = self._over_trials(run, self._cleared(state), numbers)
        return state, self._results(state, numbers)

    def _train_stream(
        self,
        state: State,
        numbers: tf.Tensor,
        rates: tf.Tensor,
        batches: tf.data.Iterator,
        num_steps: tf.Tensor,
    ) -> tuple[State, dict[str, Any]]:
        """Trains for an epoch of a dataset, each batch of which all trials see once.

        Args:
            state: The state at its start.
            numbers: See `_train_epoch`.
            rates: See there.
            batches: A reading of a dataset of `(x, y)` or `(x, y, weights)`.
            num_steps: Number of the batches.

        Returns:
            See `_train_epoch`.
        """

        def step(number: tf.Tensor, state: State, batch: Any) -> State:
            def run(state: State, numbers: tf.Tensor, rates: tf.Tensor) -> State:
                rate = tf.gather(rates, number, axis=-1)
                draws = self._draw(state, tf.shape(tf.nest.flatten(batch)[0])[0])
                return self._train_step(state, numbers, rate, batch, draws)

            return self._over_trials(run, state, numbers, rates)

        layout, num_axes = self.functional.layout, int(self.packed)
        state = self._cleared(state)
        state = state._replace(trainable=layout.join(state.trainable, num_axes))
        state = self._over_stream(step, state, batches, num_steps)
        state = state._replace(trainable=layout.part(state.trainable, num_axes))
        return state, self._results(state, numbers)

    def _evaluate_stream(
        self,
        state: State,
        numbers: tf.Tensor,
        batches: tf.data.Iterator,
        num_steps: tf.Tensor,
    ) -> tuple[State, dict[str, Any]]:
        """Returns the loss and the metrics of `state` on a dataset; see `_evaluate`."""

        def step(number: tf.Tensor, state: State, batch: Any) -> State:
            def run(state: State, numbers: tf.Tensor) -> State:
                return self._test_step(state, numbers, batch)

            return self._over_trials(run, state, numbers)

        state = self._over_stream(step, self._cleared(state), batches, num_steps)
        return state, self._results(state, numbers)

    def _over_stream(
        self, step: Step, state: State, batches: tf.data.Iterator, num_steps: tf.Tensor
    ) -> State:
        # Not `dataset.reduce`, which computes on the host.
        def body(number: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            return number + 1, step(number, state, next(batches))

        return self._loop(body, state, num_steps)

    def _over_batches(
        self, step: Step, state: State, order: tf.Tensor, batch_size: int
    ) -> State:
        """Calls `step` with the rows of each batch; it is traced once for all.

        Where all batches have one length it is known to the code of the model, as it
        is in `fit`.
        """
        num_examples = order.shape[0]
        length = known_length(num_examples, batch_size)

        def body(number: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            start = number * batch_size
            if length is None:
                rows = order[start : tf.minimum(start + batch_size, num_examples)]
            else:
                rows = tf.slice(order, [start], [length])
            return number + 1, step(number, state, rows)

        return self._loop(body, state, -(-num_examples // batch_size))

    def _over_whole_batches(
        self, step: Step, state: State, order: tf.Tensor, batch_size: int
    ) -> State:
        """The same for a step that XLA compiles: the rest is traced by itself."""
        num_whole, rest = divmod(order.shape[0], batch_size)
        split = num_whole * batch_size
        if num_whole:
            state = self._over_batches(step, state, order[:split], batch_size)
        if rest:
            state = step(tf.constant(num_whole), state, order[split:])
        return state

    @staticmethod
    def _loop(
        body: Callable[[tf.Tensor, State], tuple[tf.Tensor, State]],
        state: State,
        num_steps: int | tf.Tensor,
    ) -> State:
        return tf.while_loop(
            lambda number, state: number < num_steps,
            body,
            (tf.constant(0), state),
            maximum_iterations=num_steps,
        )[1]

    def _one_train_step(
        self,
        state: State,
        numbers: tf.Tensor,
        rate: tf.Tensor,
        batch: Any,
        draws: list | None,
    ) -> State:
        train_step = self.functional.train_step
        if not self.vectorized:
            return train_step(state, numbers, rate, batch, draws)
        given = draws is not None
        return vectorized(
            lambda each: train_step(
                each[0], each[1], each[2], batch, each[3] if given else None
            ),
            (state, numbers, rate, *([draws] if given else [])),
        )

    def _one_test_step(self, state: State, numbers: tf.Tensor, batch: Any) -> State:
        test_step = self.functional.test_step
        if not self.vectorized:
            return test_step(state, numbers, batch)

        def one(each: tuple[State, tf.Tensor]) -> tuple[list, list]:
            after = test_step(each[0], each[1], batch)
            return after.non_trainable, after.metrics

        non_trainable, metrics = vectorized(one, (state, numbers))
        return state._replace(non_trainable=non_trainable, metrics=metrics)

    def _draw(self, state: State, batch_size: int | tf.Tensor) -> list | None:
        if not self._draws_before:
            return None
        draw = self.functional.draw
        if not self.vectorized:
            return draw(state.non_trainable, batch_size)
        return vectorized(lambda own: draw(own, batch_size), state.non_trainable)

    def _cleared(self, state: State) -> State:
        metrics = self.functional.start.metrics
        if self.packed:
            num_trials = state.trainable[0].shape[0]
            metrics = [tf.stack([value] * num_trials) for value in metrics]
        return state._replace(metrics=metrics)

    def _results(self, state: State, numbers: tf.Tensor) -> dict[str, Any]:
        def results(each: tuple[list, tf.Tensor]) -> dict[str, Any]:
            found = self.functional.results(*each)
            several = [
                n for n, v in found.items() if tf.convert_to_tensor(v).shape.rank
            ]
            if several:
                raise UnsupportedModelError(
                    f"the metric {several[0]!r} is more than one number"
                )
            return found

        each = state.metrics, numbers
        if not self.packed:
            return results(each)
        if self.vectorized:
            return vectorized(results, each)
        found = [
            results(tf.nest.map_structure(lambda t, number=number: t[number], each))
            for number in range(state.metrics[0].shape[0])
        ]
        return tf.nest.map_structure(lambda *values: tf.stack(values), *found)


def _rows(examples: Any, rows: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), examples)


def _with_length(length: int | None, batch: Any) -> Any:
    """Returns a batch whose length the code of a model cannot read if it is None."""
    if length is not None:
        return batch
    return tf.nest.map_structure(
        lambda tensor: tf.raw_ops.PlaceholderWithDefault(
            input=tensor, shape=[None, *tensor.shape[1:]]
        ),
        batch,
    )


class ProgramCache:
    """Compiled programs by structure, those of the structures that were used last.

    Args:
        max_models: How many structures are kept: each holds some megabytes.

    Example:

    >>> from keras_tricks.training.compiled.programs import ProgramCache
    >>> ProgramCache().programs()
    []
    """

    def __init__(self, max_models: int = 16) -> None:
        self.max_models = _validation.check_int("max_models", max_models, minimum=1)
        # The structure that was used last is the last one.
        self._models: dict[Any, list[Steps]] = {}
        self._exact: dict[Any, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def programs(self) -> list[Program]:
        """Returns all programs."""
        models = [model for models in self._models.values() for model in models]
        return [program for model in models for program in model.programs.values()]

    def find(self, key: Any, numbers: Any) -> Steps | None:
        """Returns the steps that are known by `key` and take these numbers, if any.

        Args:
            key: What all models have in common that train by the same program.
            numbers: The numbers that would be fed.
        """
        for steps in self._models.get(key, ()):
            if steps.accepts(numbers):
                self._models[key] = self._models.pop(key)
                return steps
        return None

    def add(self, key: Any, steps: Steps) -> None:
        """Makes `steps` those that are known by `key`."""
        self._models[key] = [*self._models.pop(key, ()), steps]
        while len(self._models) > self.max_models:
            del self._models[next(iter(self._models))]

    def remembered(self, exact: Any) -> tuple[Steps, Any] | None:
        """Returns the steps, and the fed numbers, of models of an exact signature.

        Args:
            exact: See `signature.exact_signature`.
        """
        key, numbers = self._exact.get(exact, (None, None))
        steps = None if key is None else self.find(key, numbers)
        return None if steps is None else (steps, numbers)

    def remember(self, exact: Any, key: Any, numbers: Any) -> None:
        """Notes by which key and fed numbers models of an exact signature are known."""
        self._exact[exact] = key, numbers
        while len(self._exact) > _MAX_REMEMBERED:
            del self._exact[next(iter(self._exact))]

    def program(
        self, functional: Steps, *, packed: bool, jit_compile: bool = False
    ) -> Program:
        """Returns the program of a model, made at the first call."""
        key = packed, jit_compile
        with self._lock:
            if key not in functional.programs:
                functional.programs[key] = Program(
                    functional, packed=packed, jit_compile=jit_compile
                )
            return functional.programs[key]


def numbers_of(model: keras.Model) -> list[float]:
    """Returns the numbers of a compiled model that are fed, in their order."""
    return [
        place.get()
        for place in (
            *runtime_scalars.places(model.optimizer, model.loss),
            *runtime_scalars.penalty_places(model),
        )
    ]
