"""The mark of layers whose numbers are variables that a trial may bring itself.

It imports neither Keras nor TensorFlow: the hypermodels have such layers on any
backend, and `training` knows them by this class.
"""

from __future__ import annotations

import abc
from typing import Any


class RuntimeScalars(abc.ABC):
    """Marks a layer that reads some numbers of its configuration from variables.

    One compiled program serves all values of such numbers. A layer says that of itself
    by deriving from `keras.layers.Layer` and from this class; a layer that only has
    attributes of the same names says nothing.

    Example:

    >>> from keras_tricks._runtime_scalars import RuntimeScalars
    >>> from keras_tricks.hypermodels.layers import ScalarDropout
    >>> issubclass(ScalarDropout, RuntimeScalars), ScalarDropout.fed_by_variables
    (True, ('rate',))
    """

    @property
    @abc.abstractmethod
    def fed_by_variables(self) -> tuple[str, ...]:
        """The entries of `get_config` that variables hold: no program contains them.

        A class states them as an attribute of its own, to be read without an object.
        """

    @abc.abstractmethod
    def fed_variables(self, **values: float) -> list[tuple[Any, Any]]:
        """Returns the variables that hold `values`, each with what it is to hold.

        Args:
            **values: Values of entries that `fed_by_variables` names.
        """

    @abc.abstractmethod
    def draw(self, shape: Any) -> Any:
        """Returns all the random numbers that one call of the layer uses.

        The layer draws in no other way, once a call, from its `seed_generator`, so
        that what trains several models at once can draw for each beforehand.

        Args:
            shape: The shape of the inputs.
        """
