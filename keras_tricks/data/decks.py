"""Decks: numbers that are dealt to the last one before they are shuffled again.

What is dealt is a function of the seed and the place alone, so that any stretch of it
may be had without what comes before.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

# Decks that are shuffled at a time have about so many numbers.
_BLOCK = 1024


def dealt(seed: tuple[int, ...], size: int, start: int, stop: int) -> np.ndarray:
    """Returns the numbers that a deck deals from one place to another.

    Args:
        seed: Seed of the deck.
        size: The deck holds the numbers from 0 to below it.
        start: The first place, from 0.
        stop: The place after the last one.

    Example:

    >>> from keras_tricks.data.decks import dealt
    >>> sorted(dealt((0,), 4, 8, 12).tolist())
    [0, 1, 2, 3]
    """
    if stop <= start:
        return np.empty(0, int)
    block = _rounds(size) * size
    blocks = range(start // block, (stop - 1) // block + 1)
    numbers = np.concatenate([_block(seed, size, each) for each in blocks])
    first = start - blocks.start * block
    return numbers[first : first + stop - start]


def endless(seed: tuple[int, ...], size: int) -> Iterator[int]:
    """Yields all that a deck deals, from the first place on."""
    for number in itertools.count():
        yield from _block(seed, size, number).tolist()


def rotated(
    seed: tuple[int, ...], size: int, width: int, start: int, stop: int
) -> np.ndarray:
    """Returns rows of numbers of which none is in a row twice, and all come round.

    The rows go round a deck that is shuffled again when a row ends where the deck does.

    Args:
        seed: Seed of the deck.
        size: The deck holds the numbers from 0 to below it.
        width: Numbers a row, below `size`.
        start: The first row, from 0.
        stop: The row after the last one.
    """
    if not width or stop <= start:
        return np.empty((stop - start, width), int)
    length, turns = _period(size, width)
    first, last = start // length, (stop - 1) // length
    decks = dealt(seed, size, first * size, (last + 1) * size).reshape(-1, size)
    numbers = np.tile(decks, turns).reshape(-1, width)
    return numbers[start - first * length : stop - first * length]


def count_rotated(seed: tuple[int, ...], size: int, width: int, row: int) -> np.ndarray:
    """Returns how often each number came in the rows before one of `rotated`."""
    if not width:
        return np.zeros(size, int)
    length, turns = _period(size, width)
    period, rest = divmod(row, length)
    counts = np.full(size, period * turns)
    begun = rotated(seed, size, width, row - rest, row)
    return counts + np.bincount(begun.ravel(), minlength=size)


def _period(size: int, width: int) -> tuple[int, int]:
    """Returns after how many rows, and turns of the deck, both end together."""
    common = math.gcd(size, width)
    return size // common, width // common


def _rounds(size: int) -> int:
    return max(1, _BLOCK // size)


def _block(seed: tuple[int, ...], size: int, number: int) -> np.ndarray:
    generator = np.random.default_rng([*seed, number])
    ordered = np.tile(np.arange(size), (_rounds(size), 1))
    return generator.permuted(ordered, axis=1).ravel()
