"""Rows that are drawn so that each label keeps its share."""

import numpy as np


def by_classes(
    codes: np.ndarray, number: int, generator: np.random.Generator
) -> np.ndarray:
    """Returns `number` rows with each class as frequent as in all of them.

    Args:
        codes: The class of each row, all from 0 on.
        number: How many rows, at least one a class.
        generator: What draws them.
    """
    chosen = []
    for code, count in enumerate(shares_of(np.bincount(codes), number)):
        own = np.flatnonzero(codes == code)
        chosen.append(generator.choice(own, count, replace=False))
    return np.concatenate(chosen)


def shares_of(counts: np.ndarray, number: int) -> np.ndarray:
    """Returns `number` divided in proportion to `counts`, at least 1 for each.

    What is left after rounding down goes to the largest remainders.
    """
    exact = counts * (number / counts.sum())
    shares = np.maximum(np.floor(exact).astype(int), 1)
    while shares.sum() > number:
        surplus = np.where(shares > 1, shares - exact, -np.inf)
        shares[np.argmax(surplus)] -= 1
    while shares.sum() < number:
        missing = np.where(shares < counts, exact - shares, -np.inf)
        shares[np.argmax(missing)] += 1
    return shares


def by_members(
    members: np.ndarray, number: int, generator: np.random.Generator
) -> np.ndarray:
    """Returns `number` rows of several labels each by iterative stratification.

    The label that is left in the fewest rows comes first: each of its rows goes to the
    part, chosen or not, that wants it most.

    Args:
        members: Matrix of bools, `(rows, labels)`.
        number: How many rows, at least as many as labels.
        generator: What draws them.
    """
    num_rows = len(members)
    part = np.full(num_rows, -1)  # 1 is chosen, 0 is not, -1 is open.
    share = number / num_rows
    wanted = np.stack([members.sum(0) * (1 - share), members.sum(0) * share])
    places = np.array([num_rows - number, number])

    def put(row: int, where: int) -> None:
        part[row] = where
        places[where] -= 1
        wanted[where] -= members[row]

    for label in np.argsort(members.sum(axis=0), kind="stable"):
        own = np.flatnonzero(members[:, label])
        if len(own) and not (part[own] == 1).any():
            put(generator.choice(own), 1)
    while True:
        is_open = part < 0
        left = (members & is_open[:, None]).sum(axis=0)
        if not left.any():
            break
        label = np.argmin(np.where(left > 0, left, num_rows + 1))
        own = np.flatnonzero(members[:, label] & is_open)
        for row in generator.permutation(own):
            put(row, _part_that_wants(wanted[:, label], places, generator))
    rest = generator.permutation(np.flatnonzero(part < 0))
    part[rest[: places[1]]] = 1
    return np.flatnonzero(part == 1)


def _part_that_wants(
    wanted: np.ndarray, places: np.ndarray, generator: np.random.Generator
) -> int:
    if places.min() <= 0:
        return int(np.argmax(places))
    if wanted[0] != wanted[1]:
        return int(np.argmax(wanted))
    if places[0] != places[1]:
        return int(np.argmax(places))
    return int(generator.integers(2))


def by_groups(
    members: np.ndarray,
    group_of_row: np.ndarray,
    number: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Returns the rows of whole groups, about `number`, with labels at their shares.

    Each label gets a group first, the rarest one before the others. Then groups in an
    order of chance are taken that bring the counts of the labels nearer to their goal,
    by least squares.

    Args:
        members: Matrix of bools, `(rows, labels)`.
        group_of_row: The group of each row, all from 0 on.
        number: How many rows are aimed at.
        generator: What draws the order.
    """
    counts = np.zeros((group_of_row.max() + 1, members.shape[1]))
    np.add.at(counts, group_of_row, members)
    goal = counts.sum(axis=0) * (number / len(members))
    order = generator.permutation(len(counts))
    chosen = np.zeros(len(counts), bool)
    total = np.zeros(len(goal))
    for label in np.argsort(counts.sum(axis=0), kind="stable"):
        own = order[counts[order, label] > 0]
        if len(own) and not total[label]:
            best = own[np.argmin(((total + counts[own] - goal) ** 2).sum(axis=1))]
            chosen[best], total = True, total + counts[best]
    for group in order:
        change = ((total + counts[group] - goal) ** 2).sum() - (
            (total - goal) ** 2
        ).sum()
        if not chosen[group] and change < 0:
            chosen[group], total = True, total + counts[group]
    return np.flatnonzero(chosen[group_of_row])
