"""Numbers that a compiled program takes as arguments instead of containing them."""

import contextlib
import operator
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks

# Fed as a whole curve, or not for updates at all.
_NOT_FED = (
    "learning_rate",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "ema_momentum",
    "loss_scale_factor",
)


class AttributeRef(NamedTuple):
    """Where a model keeps a number: in an attribute, or under a key of a dict."""

    name: str
    owner: Any
    key: str

    def get(self) -> Any:
        if isinstance(self.owner, dict):
            return self.owner[self.key]
        return getattr(self.owner, self.key)

    def set(self, value: Any) -> None:
        if isinstance(self.owner, dict):
            self.owner[self.key] = value
        else:
            setattr(self.owner, self.key, value)


def places(optimizer: keras.optimizers.Optimizer, loss: Any) -> list[AttributeRef]:
    """Returns where the floats of an optimizer and a loss are.

    They are those of the constructor that are attributes of the same name. What a model
    of the same signature has is in the same order.
    """
    found = []
    for number, leaf in enumerate(leaf_optimizers(optimizer)):
        found += _floats(f"optimizer{number}", leaf)
    if isinstance(loss, keras.losses.Loss):
        found += _floats("loss", loss)
    return found


def penalty_places(model: keras.Model) -> list[AttributeRef]:
    """Returns where the floats of regularizers and constraints are."""
    found: list[AttributeRef] = []
    kinds = (keras.regularizers.Regularizer, keras.constraints.Constraint)
    known = set()
    for number, layer in enumerate(all_layers(model)):
        for key, value in sorted(vars(layer).items()):
            if isinstance(value, kinds) and id(value) not in known:
                known.add(id(value))
                found += _floats(f"layer{number}.{key}", value)
    return found


def is_number(value: Any) -> bool:
    """Whether `value` is a float of Python's or NumPy's."""
    return isinstance(value, float | np.floating)


def _floats(name: str, owner: Any) -> list[AttributeRef]:
    if not type(owner).__module__.startswith(("keras.", "keras_tricks.")):
        return []  # Its attributes may mean anything.
    found = []
    arguments = keras_hooks.keyword_arguments(owner)
    for key in _argument_names(owner):
        if key in _NOT_FED:
            continue
        place = AttributeRef(
            f"{name}.{key}", arguments if key in arguments else owner, key
        )
        if key in arguments or hasattr(owner, key):
            if is_number(place.get()):
                found.append(place)
    return found


def _argument_names(owner: Any) -> list[str]:
    """Returns the names of what an object was made with, in alphabetical order."""
    if isinstance(owner, keras.optimizers.Optimizer):
        # Its configuration cannot be had if its schedule has none.
        return keras_hooks.constructor_arguments(owner)
    return sorted(owner.get_config())


class RuntimeScalar:
    """Stands for a float in an object of Keras's while a step is traced.

    To what computes it is a tensor. To what decides in Python (`if momentum != 0`) it
    is the float that it stands for, and the decision is remembered: another number may
    use the traced step only if it leads to the same decisions.

    Args:
        place: Where the number is. This object is there within `installed` only, since
            whoever made the model may use its losses and penalties elsewhere.

    Attributes:
        nominal: The float that is there otherwise.
    """

    def __init__(self, place: AttributeRef):
        self.place = place
        self.nominal = place.get()
        self._tensor: Any = None
        self._complement: Any = None
        self._decisions: list[tuple[Callable[[Any, Any], bool], Any, bool]] = []

    def feed(self, value_and_complement: Any) -> None:
        """Sets the tensor to be used in the trace that begins; None ends it.

        Args:
            value_and_complement: The number and 1 minus it, which float32 would round
                otherwise than Python does; a tensor of shape (2,).
        """
        if value_and_complement is None:
            self._tensor = self._complement = None
        else:
            self._tensor, self._complement = tf.unstack(value_and_complement)

    def accepts(self, value: float) -> bool:
        """Whether a step that was traced with this number may be used with `value`."""
        return all(
            decide(value, other) == taken for decide, other, taken in self._decisions
        )

    def _value(self) -> Any:
        if self._tensor is None:
            # Built into a variable, say: the program contains it after all.
            self._decisions.append((operator.eq, self.nominal, True))
            return tf.constant(self.nominal)
        return self._tensor

    def _decide(self, decision: Callable[[Any, Any], bool], other: Any) -> bool:
        taken = bool(decision(self.nominal, other))
        self._decisions.append((decision, other, taken))
        return taken

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        value = self._value()
        return value if dtype is None else tf.cast(value, dtype)

    def __bool__(self) -> bool:
        return self._decide(operator.ne, 0)

    def __eq__(self, other: Any) -> Any:
        return self._decide(operator.eq, other)

    def __ne__(self, other: Any) -> Any:
        return self._decide(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._decide(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._decide(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._decide(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._decide(operator.ge, other)

    __hash__ = object.__hash__

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, int | float) and other == 1:
            return 1.0 - self._value() if self._tensor is None else self._complement
        return other - self._value()

    def __add__(self, other: Any) -> Any:
        return self._value() + other

    def __sub__(self, other: Any) -> Any:
        return self._value() - other

    def __mul__(self, other: Any) -> Any:
        return self._value() * other

    def __truediv__(self, other: Any) -> Any:
        return self._value() / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._value()

    def __pow__(self, other: Any) -> Any:
        return self._value() ** other

    def __neg__(self) -> Any:
        return -self._value()

    __radd__ = __add__
    __rmul__ = __mul__


@contextlib.contextmanager
def installed(numbers: list[RuntimeScalar]) -> Iterator[None]:
    """Puts the objects where the floats are that they stand for, until the end."""
    for number in numbers:
        number.place.set(number)
    try:
        yield
    finally:
        for number in numbers:
            number.place.set(number.nominal)


def as_fed(values: list[float]) -> np.ndarray:
    """Returns numbers with their complements to 1, each rounded once; (n, 2)."""
    pairs = [(value, 1.0 - value) for value in values]
    return np.asarray(pairs, dtype="float32").reshape(-1, 2)
