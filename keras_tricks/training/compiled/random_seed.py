"""Seeding for a trial, without losing what TensorFlow has compiled.

`tf.random.set_seed` empties the cache of kernels, so that operations that hold a random
state begin it anew. With them go the programs, each of which takes as long to be set up
again as some epochs of a small model.
"""

import contextlib
from collections.abc import Iterator

import keras

from keras_tricks import _keras_state
from keras_tricks.training.compiled import keras_hooks


class _Kernels:
    """What may be in the cache of kernels, and holds a random state.

    Attributes:
        seeds: With which operations may have drawn since it was emptied.
        build_drew: Whether they have in the build that was watched last.
    """

    def __init__(self) -> None:
        self.seeds: set[int] = set()
        self.build_drew = True
        self._functions: dict[str, bool] = {}

    def may_hold_states(self, seed: int, after_build: bool) -> bool:
        """Whether an operation may go on where it was when it is seeded by `seed`."""
        if self.build_drew if after_build else seed in self.seeds:
            return True
        # Within a function operations keep the seed by which they were traced.
        self._functions = {
            name: self._functions[name]
            if name in self._functions
            else keras_hooks.has_random_state(name)
            for name in keras_hooks.known_functions()
        }
        return any(self._functions.values())


_KERNELS = _Kernels()


@contextlib.contextmanager
def build_watched() -> Iterator[None]:
    """Notes whether operations with a random state draw inside, where a model is built.

    An operation of `tf.raw_ops` with seeds of its own is not seen.
    """
    _KERNELS.build_drew = True
    with keras_hooks.draws_noticed() as draws:
        yield
    _KERNELS.build_drew = bool(draws)


def set_random_seed(seed: int, *, after_build: bool = False) -> None:
    """Does what `keras.utils.set_random_seed` does.

    TensorFlow's kernels are kept if nobody can tell: if none has drawn by this seed,
    and no function has a random operation whose state is its own.

    Args:
        seed: The seed.
        after_build: Whether nothing but a build, which was watched, was done by this
            seed before.
    """
    with _keras_state.LOCK:
        if _KERNELS.may_hold_states(seed, after_build):
            _KERNELS.seeds = {seed}
            keras.utils.set_random_seed(seed)
        else:
            _KERNELS.seeds.add(seed)
            with keras_hooks.kernels_kept():
                keras.utils.set_random_seed(seed)
