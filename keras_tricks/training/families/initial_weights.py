"""A model's initial weights under another seed, without building it again."""

import random
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from keras_tricks.parameters.keras_hooks import all_layers

# More seeds than any model draws.
_MANY = 4096


class _Drawn(NamedTuple):
    """A variable that an initializer fills from the seed that was drawn `place`-th."""

    initializer: Any
    config: dict[str, Any]
    place: int

    def value(self, seeds: list[int], shape: Any, dtype: str) -> np.ndarray:
        config = {**self.config, "seed": seeds[self.place]}
        fresh = self.initializer.from_config(config)
        return keras.ops.convert_to_numpy(fresh(shape, dtype=dtype))

    def variants(self, num_axes: int) -> Iterator["_Drawn"]:
        """Yields itself, and what `EinsumDense` makes of it for a kernel."""
        yield self
        if "input_axes" in self.config:
            for split in range(1, num_axes):
                axes = {
                    "input_axes": list(range(split)),
                    "output_axes": list(range(split, num_axes)),
                }
                yield self._replace(config={**self.config, **axes})


class _Generator(NamedTuple):
    """The state of a seed generator whose seed was drawn `place`-th."""

    place: int

    def value(self, seeds: list[int], shape: Any, dtype: str) -> np.ndarray:
        return np.array([seeds[self.place], 0], dtype=dtype)


class _Constant(NamedTuple):
    """A variable that starts alike under every seed."""

    array: np.ndarray

    def value(self, seeds: list[int], shape: Any, dtype: str) -> np.ndarray:
        return self.array


class InitialWeights:
    """Computes what `keras.utils.set_random_seed(seed)` and a build would start from.

    Keras draws the seed of each initializer, dropout and the like from Python's
    generator when a layer is made. How a model did that under one seed is found out
    here, and done again for others.

    Args:
        model: A model, just built after `set_random_seed(seed)`.
        seed: That seed.

    Example:

    >>> import keras
    >>> from keras_tricks.training.families.initial_weights import InitialWeights
    >>> keras.utils.set_random_seed(1)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> weights = InitialWeights(model, seed=1)(seed=1)
    >>> bool((weights[0] == model.weights[0].numpy()).all())
    True
    """

    def __init__(self, model: keras.Model, seed: int):
        self._variables = [(v.shape, v.dtype) for v in _variables(model)]
        places = {value: place for place, value in enumerate(_seeds(seed))}
        recipes: dict[int, Any] = {}
        for layer in all_layers(model):
            drawn = [
                _Drawn(type(value), value.get_config(), places[value.seed])
                for value in vars(layer).values()
                if isinstance(value, keras.initializers.Initializer)
                and isinstance(getattr(value, "seed", None), int)
                and value.seed in places
            ]
            for variable in layer.variables:
                if id(variable) not in recipes:
                    recipe = self._recipe(variable, drawn, places, _seeds(seed))
                    if recipe is not None:
                        recipes[id(variable)] = recipe
        self._recipes = [
            recipes.get(id(v), _Constant(v.numpy())) for v in _variables(model)
        ]
        places_used = [getattr(recipe, "place", -1) for recipe in self._recipes]
        self._num_seeds = max(places_used) + 1

    @staticmethod
    def _recipe(
        variable: keras.Variable,
        drawn: list[_Drawn],
        places: dict[int, int],
        seeds: list[int],
    ) -> _Drawn | _Generator | None:
        value = variable.numpy()
        if value.dtype.kind in "iu" and value.shape == (2,):
            if int(value[0]) in places and value[1] == 0:
                return _Generator(places[int(value[0])])
        for recipe in (v for each in drawn for v in each.variants(value.ndim)):
            try:
                again = recipe.value(seeds, variable.shape, variable.dtype)
            except ValueError:
                continue  # Not an initializer of variables of this shape.
            if np.array_equal(again, value) and np.any(value != value.flat[0]):
                return recipe
        return None

    def __call__(self, seed: int) -> list[np.ndarray]:
        """Returns the model's trainable and other variables' values under a seed."""
        seeds = _seeds(seed, self._num_seeds)
        return [
            recipe.value(seeds, shape, dtype)
            for recipe, (shape, dtype) in zip(
                self._recipes, self._variables, strict=True
            )
        ]


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _seeds(seed: int, number: int = _MANY) -> list[int]:
    """Returns the seeds that Keras draws after `set_random_seed(seed)`, in order."""
    generator = random.Random(seed)
    return [generator.randint(1, int(1e9)) for _ in range(number)]
