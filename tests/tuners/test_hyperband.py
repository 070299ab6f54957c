"""Hyperband: the paper's brackets, promotions that repeat, checkpoints taken up."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners import Hyperband
from keras_tricks.tuners.hyperband import schedule
from keras_tricks.tuners.oracles.hyperband import PLACE
from tests import sampling
from tests.tuners import toys

# Table 1 of Li et al., JMLR 18 (R = 81, eta = 3): trials and epochs of each rung.
PAPER = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def trials_of(tuner):
    return sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))


def by_rung(tuner):
    """(bracket, rung, epochs) -> how many trials."""
    counts = {}
    for trial in trials_of(tuner):
        values = trial.hyperparameters.values
        key = tuple(values[f"tuner/{name}"] for name in ("bracket", "round", "epochs"))
        counts[key] = counts.get(key, 0) + 1
    return counts


class Known(Hyperband):
    """Trains nothing: the score is `x`, or what `outcome` makes of the trial."""

    outcome = None

    def run_trial(self, trial, *args, **kwargs):
        if self.outcome is not None:
            return self.outcome(trial)
        return trial.hyperparameters.get("x")


def one_float(hp):
    hp.Float("x", 0.0, 1.0)
    return keras.Sequential()


def test_the_schedule_is_the_papers_table():
    found = schedule(max_epochs=81, factor=3)
    assert [[(r.trials, r.epochs) for r in rungs] for rungs in found] == PAPER


def test_a_search_runs_the_papers_table_and_promotes_the_best(tmp_path):
    tuner = Known(one_float, max_epochs=81, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    expected = {
        (bracket, number, epochs): trials
        for bracket, rungs in zip(range(4, -1, -1), PAPER, strict=True)
        for number, (trials, epochs) in enumerate(rungs)
    }
    assert by_rung(tuner) == expected
    assert len(tuner.oracle.trials) == sum(expected.values()) == tuner.oracle.max_trials
    values = [trial.hyperparameters.values for trial in trials_of(tuner)]
    first = sorted(v["x"] for v in values[:81])
    # The promoted ones have the least scores, and come best first.
    assert [v["x"] for v in values[81:108]] == first[:27]
    assert [v["x"] for v in values[108:117]] == first[:9]


def test_a_score_to_maximize_promotes_the_largest(tmp_path):
    tuner = Known(
        one_float,
        keras_tuner.Objective("gain", "max"),
        max_epochs=3,
        seed=0,
        directory=tmp_path,
    )
    tuner.outcome = lambda trial: {"gain": trial.hyperparameters.get("x")}
    tuner.search(verbose=0)
    xs = [trial.hyperparameters.get("x") for trial in trials_of(tuner)]
    assert xs[3] == max(xs[:3])


def test_iterations_repeat_all_brackets_with_new_settings(tmp_path):
    tuner = Known(
        one_float, max_epochs=3, hyperband_iterations=2, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0)
    assert list(by_rung(tuner).values()) == [6, 2, 4]
    xs = [trial.hyperparameters.get("x") for trial in trials_of(tuner)]
    assert len(set(xs)) == 10  # Twelve trials, two of them promoted.


def test_failed_trials_are_not_promoted_and_hold_nothing_up(tmp_path):
    """KerasTuner's bracket with a failed trial never gets to its next rung."""

    def outcome(trial):
        if trial.trial_id.lstrip("0") in ("", "4"):
            return float("nan")
        return trial.hyperparameters.get("x")

    tuner = Known(one_float, max_epochs=9, seed=0, directory=tmp_path)
    tuner.outcome = outcome
    tuner.search(verbose=0)
    assert by_rung(tuner) == {
        (2, 0, 1): 9,
        (2, 1, 3): 3,
        (2, 2, 9): 1,
        (1, 0, 3): 5,
        (1, 1, 9): 1,
        (0, 0, 9): 3,
    }
    promoted = {
        t.hyperparameters.values.get("tuner/trial_id") for t in trials_of(tuner)
    }
    assert not promoted & {"00", "04"}


def test_a_small_space_is_drawn_once_and_its_best_are_still_promoted(tmp_path):
    """Four points, where the first rung would have nine."""

    def build(hp):
        hp.Choice("x", [0.0, 1.0, 2.0, 3.0])
        return keras.Sequential()

    tuner = Known(build, max_epochs=9, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    xs = [trial.hyperparameters.get("x") for trial in trials_of(tuner)]
    assert sorted(xs[:4]) == [0.0, 1.0, 2.0, 3.0]
    assert xs[4:] == [0.0, 1.0, 2.0, 0.0]


class Watched(keras_tuner.HyperModel):
    """Notes the weights that `fit` begins with; stops when it is told to."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.stop_after = stop_after
        self.begun_with = []
        self.ended_with = {}

    def build(self, hp):
        return toys.build_eagerly(hp)

    def fit(self, hp, model, *args, **kwargs):
        self.begun_with.append(model.get_weights())
        if len(self.begun_with) - 1 == self.stop_after:
            raise KeyboardInterrupt
        return super().fit(hp, model, *args, **kwargs)


def trained(folder, hypermodel, workers=1, **arguments):
    tuner = Hyperband(
        hypermodel,
        "val_loss",
        max_epochs=4,
        factor=2,
        seed=0,
        directory=folder,
        **{"keep_checkpoints": None, **arguments},
    )
    try:
        data = {**toys.toy_data(), "batch_size": 32}
        tuner.search(**data, verbose=0, workers=workers)
    except KeyboardInterrupt:
        tuner = None
    return tuner


@pytest.fixture(scope="module", name="uninterrupted")
def uninterrupted_fixture(tmp_path_factory):
    """Brackets of (4, 2, 1), (3, 1) and (3) trials with 1, 2 and 4 epochs."""
    hypermodel = Watched()
    return trained(tmp_path_factory.mktemp("hyperband"), hypermodel), hypermodel


def test_a_promoted_trial_goes_on_from_the_best_epoch_of_the_one_below(uninterrupted):
    tuner, hypermodel = uninterrupted
    promoted = [
        (number, trial.hyperparameters.values["tuner/trial_id"])
        for number, trial in enumerate(trials_of(tuner))
        if "tuner/trial_id" in trial.hyperparameters.values
    ]
    assert [number for number, _ in promoted] == [4, 5, 6, 10]
    for number, below in promoted:
        model = tuner.load_model(tuner.oracle.get_trial(below))
        for begun, saved in zip(
            hypermodel.begun_with[number], model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(begun, saved)


def test_each_rung_trains_the_epochs_that_are_new(uninterrupted):
    tuner, _ = uninterrupted
    epochs = [len(tuner.curves(t.trial_id)[0]["loss"]) for t in trials_of(tuner)]
    assert epochs == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4]


@pytest.mark.parametrize(
    ("stop_after", "trials"),
    sampling.only([(5, 7)], [(3, 7), (5, 7), (6, 7), (10, 14)]),
)
def test_a_search_resumed_between_any_rungs_gives_the_same_scores(
    tmp_path, uninterrupted, stop_after, trials
):
    """The first bracket has seven trials."""
    assert trained(tmp_path, Watched(stop_after), max_trials=trials) is None
    resumed = trained(tmp_path, Watched(), max_trials=trials)
    expected, _ = uninterrupted
    assert len(resumed.hypermodel.begun_with) == trials - stop_after
    # Fewer trials have shorter names.
    for trial, other in zip(
        trials_of(resumed), trials_of(expected)[:trials], strict=True
    ):
        assert trial.score == other.score
        assert resumed.curves(trial.trial_id) == expected.curves(other.trial_id)


@pytest.mark.exhaustive  # Two more processes begin.
def test_two_workers_promote_the_same_trials_to_the_same_scores(
    tmp_path, uninterrupted
):
    found = trained(tmp_path, toys.build_eagerly, workers=2)
    expected, _ = uninterrupted
    assert by_place(found) == by_place(expected)


def by_place(tuner):
    """Settings and score of each trial, by its place in the schedule."""
    found = {}
    for trial in trials_of(tuner):
        values = dict(trial.hyperparameters.values)
        values.pop("tuner/trial_id", None)
        place = tuple(values.pop(name) for name in PLACE)
        found[place] = values, trial.score
    assert len(found) == len(tuner.oracle.trials)
    return found


@pytest.mark.parametrize(("has_workers", "number"), [(True, 4 + 3 + 3), (False, 4)])
def test_brackets_run_side_by_side_where_several_processes_ask(
    tmp_path, has_workers, number
):
    """None has ended: the first rungs of all brackets, or of the first one."""
    tuner = Known(one_float, max_epochs=4, factor=2, seed=0, directory=tmp_path)
    oracle = tuner.oracle
    oracle.has_workers = has_workers
    begun = []
    while (trial := oracle.create_trial(f"tuner{len(begun)}")).status == "RUNNING":
        begun.append(trial)
    assert trial.status == "IDLE"
    assert len(begun) == number
    # The rung of three, all other trials still running: its two best go on.
    done = [t for t in begun if t.hyperparameters.values["tuner/bracket"] == 1]
    for trial in done:
        score = trial.hyperparameters.values["x"]
        oracle.update_trial(trial.trial_id, {"default_objective": score})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    if has_workers:
        following = oracle.create_trial("one more").hyperparameters.values
        best = min(done, key=lambda t: t.hyperparameters.values["x"])
        assert following["tuner/trial_id"] == best.trial_id
        assert following["x"] == best.hyperparameters.values["x"]


def test_weights_that_a_later_rung_needs_outlive_a_search_that_was_cut_short(
    tmp_path, uninterrupted
):
    arguments = {"keep_checkpoints": 1}
    trained(tmp_path, Watched(), max_trials=4, **arguments)
    longer = trained(tmp_path, Watched(), max_trials=7, **arguments)
    expected, _ = uninterrupted
    assert [t.score for t in trials_of(longer)] == [
        t.score for t in trials_of(expected)[:7]
    ]


def line(hp):
    """A line from 0, whose training draws nothing."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    rate = hp.Float("rate", 0.01, 0.1)
    model.compile(keras.optimizers.SGD(rate), "mse")
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    return model


FOLDS = [(np.arange(8), np.arange(8, 16)), (np.arange(8, 16), np.arange(8))]


def trained_line(folder, objective, **arguments):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 2)).astype("float32")
    y = generator.normal(size=(16, 1)).astype("float32")
    tuner = Hyperband(line, objective, factor=2, seed=0, directory=folder, **arguments)
    tuner.search(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    return tuner, x, y


@pytest.mark.parametrize("reuse_programs", [True, False])
def test_a_promoted_trial_is_trained_anew_on_each_fold(tmp_path, reuse_programs):
    """From weights of the other fold it would have seen what it is scored on."""
    tuner, x, y = trained_line(
        tmp_path,
        "val_loss",
        max_epochs=4,
        max_trials=5,
        splits=FOLDS,
        reuse_programs=reuse_programs,
    )
    trial = trials_of(tuner)[4]
    assert trial.hyperparameters.values["tuner/trial_id"] in "0123"
    assert trial.hyperparameters.values["tuner/epochs"] == 2
    for (train, test), curves in zip(FOLDS, tuner.curves("4"), strict=True):
        alone = line(trial.hyperparameters).fit(
            x[train],
            y[train],
            validation_data=(x[test], y[test]),
            batch_size=8,
            epochs=2,
            verbose=0,
        )
        np.testing.assert_allclose(
            curves["val_loss"], alone.history["val_loss"], rtol=1e-5
        )


def test_a_promoted_trial_is_confirmed_with_all_its_epochs(tmp_path):
    """Two, where its own training was the second of them, and `search` was told one."""
    tuner, x, y = trained_line(tmp_path, "loss", max_epochs=2, max_trials=3)
    [again] = tuner.confirm(top=1, reruns=2).reruns
    best = tuner.oracle.get_best_trials(1)[0]
    assert best.hyperparameters.values["tuner/epochs"] == 2
    history = line(best.hyperparameters).fit(x, y, 8, 2, 0, shuffle=False).history
    assert again.scores == pytest.approx([min(history["loss"])] * 2, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "`max_epochs` must be a whole number >= 1"),
        ({"max_epochs": 2.5}, r"Received: max_epochs=2\.5"),
        ({"factor": 1}, "`factor` must be a whole number >= 2"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Hyperband(one_float, directory=tmp_path, **arguments)
