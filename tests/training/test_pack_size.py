"""Which way `packed="auto"` takes: alone or in packs, by times that are given here."""

import types

import pytest

from keras_tricks.training.packs import pack_size
from keras_tricks.training.packs.progress import EpochTime


class Machine:
    """Trains nothing, and says how long it took.

    Args:
        alone: Seconds of an epoch of one trial.
        together: Seconds of an epoch of a trial in a pack.
        tracing: How much longer the first epoch of each way takes.
        busy: How many processors a trial alone keeps busy.
        num_epochs: Of each trial.
        loses: Whether a pack shows, once it is traced, that it cannot be vectorised.
    """

    def __init__(
        self, alone, together, *, tracing=1.0, busy=1.0, num_epochs=3, loses=False
    ):
        self.seconds = {False: alone, True: together}
        self.tracing, self.busy, self.loses = tracing, busy, loses
        self.num_epochs = num_epochs
        self.traced = set()
        self.ways = []
        self.trained = []
        self.is_vectorized = True

    def train(self, first, end, size):
        while first < end:
            trials = range(first, min(first + max(size, 1), end))
            way = size > 0
            self.ways.append(len(trials) if way else 0)
            self.trained += trials
            self.is_vectorized &= not (way and self.loses)
            seconds = [self.seconds[way] * len(trials)] * self.num_epochs
            if way not in self.traced:
                seconds[0] += self.tracing
            self.traced.add(way)
            times = [EpochTime(one, one * self.busy) for one in seconds]
            outcome = types.SimpleNamespace(epoch_times=times)
            yield [outcome] * len(trials)
            first = trials.stop

    def ways_of(self, most, size, steps_per_epoch):
        """Returns the ways in which trials are trained: a pack's size, or 0 for one."""
        packs = pack_size._train_faster(
            self.train,
            lambda: self.is_vectorized,
            most,
            size,
            self.num_epochs,
            steps_per_epoch,
        )
        assert sum(map(len, packs)) == most
        assert self.trained == [*range(most)]
        return self.ways


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(pack_size, "_num_cores", lambda: 2)


def test_many_steps_are_packed_at_once_and_nothing_is_trained_alone():
    # A step of the pack takes 0.1 ms for each of its trials.
    assert Machine(0.01, 0.002).ways_of(128, 64, steps_per_epoch=20) == [64, 64]


def test_a_few_steps_are_trained_alone():
    assert Machine(0.01, 0.002).ways_of(8, 8, steps_per_epoch=20) == [0] * 8


def test_a_slow_step_alone_is_worth_a_pack_even_if_steps_are_few():
    assert Machine(1.0, 0.1).ways_of(9, 9, steps_per_epoch=20) == [0, 8]


@pytest.mark.parametrize(("alone", "packed_then"), [(0.01, 0), (0.5, 63)])
def test_a_pack_of_slow_steps_is_compared_with_a_trial_alone(alone, packed_then):
    # 5 ms for each trial's share of a step.
    machine = Machine(alone, 0.1)
    ways = machine.ways_of(128, 64, steps_per_epoch=20)
    assert ways[:2] == [64, 0]
    assert sum(ways[2:]) == packed_then


def test_packs_beside_each_other_are_tried_where_processors_are_idle():
    machine = Machine(0.3, 0.2, busy=1.0)
    machine.is_vectorized = False
    assert machine.ways_of(33, 33, steps_per_epoch=20) == [0, 32]


def test_they_are_not_tried_where_none_is():
    machine = Machine(0.3, 0.2, busy=2.0)
    machine.is_vectorized = False
    assert machine.ways_of(33, 33, steps_per_epoch=20) == [0] * 33


def test_packs_that_turn_out_to_be_slower_are_left():
    machine = Machine(1.0, 2.0, busy=1.0)
    machine.is_vectorized = False
    ways = machine.ways_of(100, 33, steps_per_epoch=20)
    assert ways == [0, 33, *[0] * 66]


def test_of_single_epochs_the_second_tells_what_is_no_tracing():
    # The first takes 1.1 seconds; 30 as long as that would be worth a pack.
    machine = Machine(0.01, 0.001, num_epochs=1)
    assert machine.ways_of(32, 32, steps_per_epoch=20) == [0] * 32


def test_what_cannot_be_vectorised_after_all_is_measured():
    machine = Machine(0.01, 0.1, loses=True)
    ways = machine.ways_of(128, 64, steps_per_epoch=20)
    assert ways == [64, *[0] * 64]


@pytest.mark.parametrize(
    ("size", "count", "even"), [(64, 100, 50), (64, 64, 64), (64, 3, 3), (4, 0, 0)]
)
def test_packs_are_even(size, count, even):
    assert pack_size._even(size, count) == even
