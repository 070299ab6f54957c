"""Seeds: a trial's randomness is a function of the search's seed and its own name."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import keras
import numpy as np


def derived_seed(search_seed: int, trial_id: str, *purpose: int | str) -> int:
    """Returns a seed in [0, 2**32) for one purpose of one trial.

    The first four bytes of SHA-256 over the arguments: the same in every process,
    which Python's own `hash` is not.

    Args:
        search_seed: The seed of the search.
        trial_id: The trial's ID. Its leading zeros do not count, since KerasTuner
            pads IDs to the width of `max_trials`: a longer search begins with the
            trials of a shorter one.
        *purpose: What the seed is for, for instance the number of the execution.

    Example:

    >>> from keras_tricks.tuners.seeds import derived_seed
    >>> derived_seed(0, "03", 1) == derived_seed(0, "003", 1)
    True
    >>> derived_seed(0, "03", 1) == derived_seed(0, "03", 2)
    False
    """
    name = str(int(trial_id)) if trial_id.isdecimal() else trial_id
    text = "/".join(map(str, (search_seed, name, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def set_random_seed(seed: int) -> None:
    """Does what `keras.utils.set_random_seed` does; TensorFlow keeps its programs."""
    if keras.config.backend() == "tensorflow":
        from keras_tricks.training.compiled import random_seed  # It needs TensorFlow.

        random_seed.set_random_seed(seed)
    else:
        keras.utils.set_random_seed(seed)


@contextlib.contextmanager
def global_generators_restored() -> Iterator[None]:
    """Leaves Python's and NumPy's global generators as they were found.

    Trials seed them. A second search that was given no seed draws one from Python's,
    and would otherwise draw the same one every time.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
