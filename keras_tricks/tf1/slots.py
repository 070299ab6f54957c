"""Where an optimizer keeps what TF1 keeps in slots."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.optimizers import keras_hooks
from keras_tricks.optimizers.adam_weight_decay import AdamWeightDecay

_SLOTS = (
    (AdamWeightDecay, {"adam_m": "momentum", "adam_v": "velocity"}),
    (keras.optimizers.Adam, {"Adam": "momentum", "Adam_1": "velocity"}),
    (keras.optimizers.SGD, {"Momentum": "momentum"}),
)
# What `tf.train.ExponentialMovingAverage` adds to a name is no optimizer's slot in TF1;
# in Keras the optimizer averages (`use_ema=True`).
_AVERAGE = {"ExponentialMovingAverage": "average"}
_ACCUMULATOR = "gradient_accumulator"

# Last parts of the names of slots, of whichever optimizer.
SLOT_NAMES = frozenset(_AVERAGE).union(*(names for _, names in _SLOTS))


class OptimizerState:
    """The variables of an optimizer, by what they hold.

    Args:
        model: The model whose weights the optimizer was built with.
        optimizer: A built optimizer; of wrappers (`ClippedOptimizer`,
            `LossScaleOptimizer`) the innermost one counts.

    Attributes:
        optimizer: The innermost optimizer.
        counter: The variable that counts steps.
        slot_names: Last part of a TF1 slot's name -> what the slot holds.
        slots: Variables of the slots.

    Raises:
        TypeError: If it is not one of the supported optimizers.
        ValueError: If it is not built.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self.optimizer = _innermost(optimizer)
        self.slot_names = {**self._own_slot_names(), **_AVERAGE}
        self.is_adam = isinstance(self.optimizer, keras.optimizers.Adam)
        if not self.optimizer.built:
            raise ValueError(
                "`optimizer` must be built to have slots that can be restored: call "
                "optimizer.build(model.trainable_variables). "
                f"{_validation.received('optimizer', optimizer)}"
            )
        self.slots: list = []
        self._accumulators: list = []
        self._by_weight: dict[tuple[int, str], keras.Variable] = {}
        self._kinds: dict[int, str] = {}
        self._sort_variables(model.weights)

    def _own_slot_names(self) -> dict[str, str]:
        for optimizer_class, names in _SLOTS:
            if isinstance(self.optimizer, optimizer_class):
                return names
        raise TypeError(
            "`optimizer` must be an AdamWeightDecay, a keras.optimizers.Adam or a "
            "keras.optimizers.SGD, or a wrapper around one. Received: an optimizer "
            f"of type {type(self.optimizer).__name__}"
        )

    def _sort_variables(self, weights: list[keras.Variable]) -> None:
        # A slot's name is its weight's path, with "_" for "/", and what it holds. Names
        # may be alike, since paths may; then both are in the order of the weights.
        owners: dict[str, list] = {}
        for weight in weights:
            for kind in {*self.slot_names.values(), _ACCUMULATOR}:
                name = f"{weight.path.replace('/', '_')}_{kind}"
                owners.setdefault(name, []).append((weight, kind))
        for variable in self.optimizer.variables:
            if variable.name == "iteration":
                self.counter = variable
            elif variable.name != "learning_rate":
                self._add_slot(variable, owners.get(variable.name))

    def _add_slot(self, variable: keras.Variable, owners: list | None) -> None:
        weight, kind = owners.pop(0) if owners else (None, "unknown")
        if kind == _ACCUMULATOR:
            self._accumulators.append(variable)
            return
        self.slots.append(variable)
        self._kinds[id(variable)] = kind
        if weight is not None:
            self._by_weight[id(weight), kind] = variable

    def slot(self, weight: keras.Variable, slot_name: str) -> keras.Variable | None:
        """Returns the variable of a TF1 slot of `weight`, or `None`."""
        return self._by_weight.get((id(weight), self.slot_names.get(slot_name, "")))

    @property
    def steps_per_update(self) -> int:
        return self.optimizer.gradient_accumulation_steps or 1

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return (
            int(ops.convert_to_numpy(ops.convert_to_tensor(self.counter)))
            // self.steps_per_update
        )

    def rate(self, update: int) -> np.float32:
        """Returns the learning rate of the update with that number."""
        schedule = keras_hooks.schedule_of(self.optimizer)
        if schedule is None:
            rate = self.optimizer.learning_rate
        else:
            last_step = (update + 1) * self.steps_per_update - 1
            rate = schedule(ops.convert_to_tensor(last_step, self.counter.dtype))
        return np.float32(ops.convert_to_numpy(ops.convert_to_tensor(rate)))

    def converted(
        self, variable: keras.Variable, value: np.ndarray, update: int
    ) -> np.ndarray:
        """Returns what `variable` must hold where TF1 holds `value`.

        Args:
            variable: The counter, a slot, or a weight.
            value: The TF1 variable's value.
            update: The number of the next update.
        """
        if variable is self.counter:
            return value * self.steps_per_update
        if self.converts_momentum and self.is_momentum(variable):
            return -self.rate(update) * value
        return value

    @property
    def converts_momentum(self) -> bool:
        """Whether the optimizer's momentum differs from TF1's by a factor."""
        return isinstance(self.optimizer, keras.optimizers.SGD)

    def is_momentum(self, variable: keras.Variable) -> bool:
        """Whether `variable` is a slot that holds momentum."""
        return self._kinds.get(id(variable)) == "momentum"

    def cleared(self) -> list:
        """Returns the variables that must be 0 between two updates."""
        return self._accumulators


def _innermost(optimizer: Any) -> keras.optimizers.Optimizer:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "`optimizer` must be a Keras optimizer. "
            f"{_validation.received('optimizer', optimizer, True)}"
        )
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def power_mismatch(beta: float, updates: int, power: float) -> bool:
    """Whether TF1's running product `power` is not that of `updates` updates of Adam.

    TF1 starts with `beta` and multiplies by `beta` in each update, in float32, where
    each factor and each product is rounded.
    """
    exact = float(beta) ** (updates + 1)
    rounding = (updates + 1) * 2.0**-23
    # Below 1e-7 a power is lost in 1 - power, which is all that is made of it.
    return not abs(float(power) - exact) <= rounding * exact + 1e-7
