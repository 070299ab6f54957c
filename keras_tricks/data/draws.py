"""The rows of an epoch in which each label is shown as often as the others."""

import itertools

import numpy as np

from keras_tricks.data import decks

# What is drawn from a seed.
_OF_CLASSES, _OF_ROWS, _OF_BATCHES, _OF_LABELS = range(4)


def of_classes(
    codes: np.ndarray, seed: int, epoch: int, steps: int, batch_size: int
) -> np.ndarray:
    """Returns the rows of an epoch, `(steps, batch_size)`, of which each has a class.

    Args:
        codes: The class of each row, all from 0 on.
        seed: Seed of the order.
        epoch: Number of the epoch, counted from 0.
        steps: Batches an epoch.
        batch_size: Examples a batch.
    """
    counts = np.bincount(codes)
    each, left_over = divmod(batch_size, len(counts))
    first, last = epoch * steps, (epoch + 1) * steps
    deck = (seed, _OF_CLASSES), len(counts), left_over
    always = np.tile(np.repeat(np.arange(len(counts)), each), (steps, 1))
    classes = np.concatenate([always, decks.rotated(*deck, first, last)], axis=1)
    shown_before = each * first + decks.count_rotated(*deck, first)
    found = np.empty(classes.size, int)
    own_rows = _by_class(codes, len(counts))
    own_places = _by_class(classes.ravel(), len(counts))
    for code, (own, places) in enumerate(zip(own_rows, own_places, strict=True)):
        start = int(shown_before[code])
        stop = start + len(places)
        found[places] = own[decks.dealt((seed, _OF_ROWS, code), len(own), start, stop)]
    return found.reshape(steps, batch_size)


def of_several_labels(
    members: np.ndarray, seed: int, epoch: int, steps: int, batch_size: int
) -> np.ndarray:
    """Returns the rows of an epoch, `(steps, batch_size)`, with several labels each.

    Args:
        members: Matrix of bools, `(rows, labels)`.
        seed: See `of_classes`, as for the others.
        epoch: See there.
        steps: See there.
        batch_size: See there.
    """
    without = ~members.any(axis=1, keepdims=True)
    members = np.concatenate([members, without], axis=1)
    members = members[:, members.any(axis=0)].astype(int)
    own_rows = [np.flatnonzero(column) for column in members.T]
    hands = [
        decks.endless((seed, _OF_LABELS, epoch, label), len(own))
        for label, own in enumerate(own_rows)
    ]
    generator = np.random.default_rng([seed, _OF_LABELS, epoch])
    # Labels that were shown equally often come in an order of chance.
    shown = generator.permutation(len(hands)) / len(hands)
    found = np.empty(steps * batch_size, int)
    for place in range(len(found)):
        label = int(shown.argmin())
        found[place] = own_rows[label][next(hands[label])]
        shown += members[found[place]]
    return found.reshape(steps, batch_size)


def mixed(batches: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Returns the rows of each batch in an order of chance, batch after batch.

    Replicas that take a part of a batch each see all classes.
    """
    generator = np.random.default_rng([seed, _OF_BATCHES, epoch])
    return generator.permuted(batches, axis=1).ravel().astype("int32")


def _by_class(codes: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """Returns the places of each class."""
    ends = np.cumsum(np.bincount(codes, minlength=num_classes))
    order = np.argsort(codes, kind="stable")
    return [order[start:end] for start, end in itertools.pairwise([0, *ends.tolist()])]
