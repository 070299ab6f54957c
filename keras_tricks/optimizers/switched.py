"""An optimizer that becomes another one during training."""

import warnings
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.optimizers import gradients as gradient_ops
from keras_tricks.optimizers import keras_hooks
from keras_tricks.optimizers import state
from keras_tricks.optimizers import switched_arguments
from keras_tricks.optimizers.projected_rate import ProjectedRate
from keras_tricks.optimizers.shown_optimizers import shown_optimizer
from keras_tricks.schedules.display import shown


@keras.saving.register_keras_serializable(package="keras_tricks")
class SwitchedOptimizer(keras.optimizers.Optimizer):
    r"""Trains with one optimizer first, and with another from some step on.

    "Adam first, SGD with momentum to finish": Adam comes down fast, and SGD often ends
    in a minimum that generalizes better. The second begins with the weights that the
    first has reached and with a state of its own, as if the model were compiled anew;
    its steps, and those of its schedule, count from the switch. Both are built at
    once and are in one compiled step, so that nothing is traced again, and files
    written before, at or after the switch go on bit for bit.

    The switch is made

    - at a step: updates `0` to `at - 1` are the first's;
    - on a plateau: by the callback `keras_tricks.callbacks.SwitchOnPlateau`, which
      watches a metric, or by a call of `switch()`;
    - by the criterion of SWATS. With the gradient `g` and the change `p` that the
      first makes to the weights, all weights taken as one vector, and `b` the
      first's `beta_2` (0.999 if it has none), at its step `k = 1, 2, ...`

      ```
      r = p.p / -(p.g)                  # SGD's rate whose step, projected on p, is p
      l = b * l + (1 - b) * r           # from 0
      switch once k > 1 and |l / (1 - b**k) - r| < tolerance
      rate of SGD = l / (1 - b**k)
      ```

      An `r` is left out where `p.g` is 0, and there is no switch to a rate that is not
      above 0.

    `find_rate` gives the second, which is then an SGD of Keras's, the rate that SWATS
    finds: with momentum `m` it is `(1 - m) * l / (1 - b**k)`, the paper's
    `(1 - beta_1) * rate`. Where nothing above 0 was found, it keeps its own.

    Around it `ClippedOptimizer` clips and accumulates, and `LossScaleOptimizer` scales;
    inside, the two may not accumulate, and may not be wrappers or groups, except for
    another `SwitchedOptimizer`: three optimizers, one after the other.

    Args:
        first: The Keras optimizer that begins.
        second: The Keras optimizer that goes on.
        at: A step from 1, `"plateau"` or `"swats"`.
        find_rate: Whether the second's rate is found as above; None is whether `at` is
            `"swats"`. It takes a copy of the weights during an update.
        tolerance: Of the criterion, > 0.
        name: Name of the optimizer.

    Attributes:
        active: The optimizer that makes the next update.
        switched_at: The step of the second's first update, None before the switch.
        learning_rate: The active one's; setting it sets the active one's.
        iterations: Updates of both together.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of its range, or an optimizer does not suit.

    Warns:
        UserWarning: When `fit` ends, if `at="plateau"` and no `SwitchOnPlateau` was
            among its callbacks.

    Example:

    >>> import keras
    >>> from keras_tricks.optimizers import SwitchedOptimizer
    >>> weight = keras.Variable([1.0])
    >>> optimizer = SwitchedOptimizer(
    ...     keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.01, 0.9), at=2)
    >>> for _ in range(3):
    ...     optimizer.apply([keras.ops.array([5.0])], [weight])
    ...     print(weight.numpy().round(3), type(optimizer.active).__name__)
    [0.9] Adam
    [0.8] SGD
    [0.75] SGD

    Reference:
        Keskar and Socher, "Improving Generalization Performance by Switching from Adam
        to SGD", 2017, arXiv:1712.07628.
    """

    def __init__(
        self,
        first: keras.optimizers.Optimizer,
        second: keras.optimizers.Optimizer,
        *,
        at: int | Literal["plateau", "swats"],
        find_rate: bool | None = None,
        tolerance: float = 1e-9,
        name: str = "switched_optimizer",
    ):
        switched_arguments.check_optimizers(first, second, SwitchedOptimizer)
        at = switched_arguments.checked_at(at)
        find_rate = at == "swats" if find_rate is None else find_rate
        if _validation.check_flag("find_rate", find_rate):
            switched_arguments.check_rate_can_be_set(second)
        tolerance = _validation.check_float("tolerance", tolerance, exclusive=True)
        super().__init__(learning_rate=0.0, name=_validation.check_text("name", name))
        self.at = at
        self.find_rate = bool(find_rate)
        self.tolerance = tolerance
        self.first = first
        self.second = second
        # Gradients are unscaled and summed over replicas here, and only here.
        self.loss_scale_factor = first.loss_scale_factor
        first.loss_scale_factor = second.loss_scale_factor = None
        keras_hooks.take_over_reduction(first)
        keras_hooks.take_over_reduction(second)
        self._switch_step = state.scalar(self, "switch_step", -1, "int")
        self._projected = None
        if self.find_rate or self.at == "swats":
            self._projected = ProjectedRate(self, getattr(first, "beta_2", 0.999))
        # Whether a callback makes the switch; set by `SwitchOnPlateau`.
        self.is_watched = False

    @property
    def phases(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """Both optimizers, in their order."""
        return self.first, self.second

    def build(self, variables: Iterable[keras.Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        keras_hooks.check_scope(
            variables,
            {
                "SwitchedOptimizer": self._switch_step,
                "the first optimizer": self.first.iterations,
                "the second optimizer": self.second.iterations,
            },
        )
        for phase in self.phases:
            if not phase.built:
                phase.build(variables)
        super().build(variables)

    def apply(
        self, grads: list, trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
            self._check_variables_are_known(trainable_variables)
        variables = trainable_variables or (self._trainable_variables or [])
        usable = gradient_ops.usable_places(grads, variables)
        if len(grads) != len(variables) or not usable:
            # Keras's own errors, and its empty update.
            self.first.apply(grads, trainable_variables)
            return
        updated = [variables[number] for number in usable]
        gradients = [grads[number] for number in usable]
        if self.loss_scale_factor is not None:
            gradients = gradient_ops.scaled(gradients, 1.0 / self.loss_scale_factor)
        if not keras_hooks.is_taken_over(self):
            gradients = keras_hooks.reduced_over_replicas(gradients)

        def update_by(optimizer: keras.optimizers.Optimizer) -> Callable[[list], None]:
            def update(final: list) -> None:
                given = list(grads)
                for number, gradient in zip(usable, final, strict=True):
                    given[number] = gradient
                optimizer.apply(given, trainable_variables)

            return update

        def update_by_first(final: list) -> None:
            if self._projected is None:
                update_by(self.first)(final)
            else:
                self._update_and_project(update_by(self.first), final, updated)

        keras_hooks.update_either(
            self._is_switched(),
            update_by(self.second),
            update_by_first,
            gradients,
            [*updated, *self.variables],
        )
        self._iterations.assign_add(1)

    def _is_switched(self) -> Any:
        """Whether the next update is the second's, a boolean scalar."""
        if isinstance(self.at, int):
            return ops.greater_equal(self._iterations, self.at)
        return ops.greater_equal(self._switch_step, 0)

    def _update_and_project(
        self, update: Callable[[list], None], gradients: list, variables: list
    ) -> None:
        """Updates, and switches or sets the second's rate where that is due."""
        assert self._projected is not None
        # Copies: on TensorFlow a variable's value may be the variable itself.
        before = [ops.copy(ops.convert_to_tensor(v)) for v in variables]
        update(gradients)
        changes = [
            ops.convert_to_tensor(variable) - old
            for variable, old in zip(variables, before, strict=True)
        ]
        rate, distance, count = self._projected.record(changes, gradients)
        next_step = ops.convert_to_tensor(self._iterations) + 1
        is_due = ops.equal(next_step, self.at if isinstance(self.at, int) else -1)
        if self.at == "swats":
            is_due = (count > 1) & (distance < self.tolerance) & (rate > 0)
            switch_step = ops.convert_to_tensor(self._switch_step)
            self._switch_step.assign(ops.where(is_due, next_step, switch_step))
        if self.find_rate:
            self._set_found_rate(is_due, rate)

    def _set_found_rate(self, is_due: Any, rate: Any) -> None:
        variable = keras_hooks.rate_variable(self.second)
        assert variable is not None
        found = ops.cast((1 - self.second.momentum) * rate, variable.dtype)
        is_found = ops.logical_and(is_due, found > 0)
        variable.assign(ops.where(is_found, found, ops.convert_to_tensor(variable)))

    def switch(self) -> None:
        """Makes the switch now, where it is made on a plateau; once made it stays.

        Raises:
            ValueError: If the switch is made by itself.
        """
        if self.at != "plateau":
            raise ValueError(
                '`at` must be "plateau" for a switch that is made from outside. '
                f"{_validation.received('at', self.at)}"
            )
        if self.switched_at is not None:
            return
        self._switch_step.assign(self._iterations)
        if self.find_rate:
            assert self._projected is not None
            self._set_found_rate(True, self._projected.rate())

    @property
    def switched_at(self) -> int | None:
        if isinstance(self.at, int):
            return self.at if _number(self._iterations) >= self.at else None
        step = _number(self._switch_step)
        return step if step >= 0 else None

    @property
    def active(self) -> keras.optimizers.Optimizer:
        return self.first if self.switched_at is None else self.second

    @property
    def variables(self) -> list[keras.Variable]:
        return [*self._variables, *self.first.variables, *self.second.variables]

    @property
    def learning_rate(self) -> Any:
        if _validation.is_number(_validation.plain(self._iterations)):
            return self.active.learning_rate
        rates = [ops.convert_to_tensor(phase.learning_rate) for phase in self.phases]
        return ops.where(self._is_switched(), rates[1], rates[0])

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.active.learning_rate = learning_rate

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[keras.Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        for phase in self.phases:
            phase.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        self.active.finalize_variable_values(var_list)
        if self.at == "plateau" and not self.is_watched and self.switched_at is None:
            warnings.warn(
                'The optimizer was not switched: at="plateau" needs the callback '
                "keras_tricks.callbacks.SwitchOnPlateau among those of `fit`, or a "
                "call of `optimizer.switch()`.",
                stacklevel=2,
            )

    def set_weights(self, weights: list[np.ndarray]) -> None:
        weights = list(weights)
        for variable in self._variables:
            variable.assign(weights.pop(0))
        num_first = len(self.first.variables)
        self.first.set_weights(weights[:num_first])
        self.second.set_weights(weights[num_first:])

    def save_own_variables(self, store: Any) -> None:
        # The two optimizers are saved as children.
        for index, variable in enumerate(self._variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()) != len(self._variables):
            warnings.warn(
                f"The steps of optimizer '{self.name}' start anew: the file holds "
                f"{len(store.keys())} variables, and {len(self._variables)} were "
                "expected.",
                stacklevel=2,
            )
            return
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])

    def __repr__(self) -> str:
        phases = ", ".join(map(shown_optimizer, self.phases))
        return f"SwitchedOptimizer({phases}, at={shown.value_of(self.at)})"

    def get_config(self) -> dict:
        config = {
            "first": keras.saving.serialize_keras_object(self.first),
            "second": keras.saving.serialize_keras_object(self.second),
            "at": self.at,
            "find_rate": self.find_rate,
            "tolerance": self.tolerance,
            "name": self.name,
        }
        if self.loss_scale_factor is not None:
            for phase in ("first", "second"):
                config[phase]["config"]["loss_scale_factor"] = self.loss_scale_factor
        return config

    @classmethod
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> "SwitchedOptimizer":
        config = dict(config)
        for phase in ("first", "second"):
            config[phase] = keras.saving.deserialize_keras_object(
                config[phase], custom_objects=custom_objects
            )
        return cls(**config)


def _number(variable: keras.Variable) -> int:
    return int(ops.convert_to_numpy(variable))
