"""Whether the best is better than the next beyond the spread."""

import re

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.results import confirmation
from keras_tricks.tuners.results.reruns import Reruns
from tests.tuners import toys


class Noisy(keras_tuner.HyperModel):
    """A score of `x` plus noise from the trial's own seed."""

    def __init__(self, noise, values=(0.0, 1.0, 2.0)):
        super().__init__()
        self.noise, self.values = noise, values

    def build(self, hp):
        hp.Choice("x", list(self.values))
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return hp.get("x") + self.noise * np.random.normal()


def searched(directory, noise):
    tuner = RandomSearch(Noisy(noise), max_trials=3, seed=0, directory=directory)
    tuner.search(verbose=0)
    return tuner


def test_a_clear_winner_beats_the_second_and_a_worse_baseline(tmp_path):
    found = searched(tmp_path, noise=0.01).confirm(top=2, reruns=4, baseline=0.5)
    assert [r.settings["x"] for r in found.reruns] == [0.0, 1.0]
    assert [len(r.scores) for r in found.reruns] == [4, 4]
    assert found.beats_second is True
    assert found.beats_baseline is True
    assert "The first beats the second beyond the spread." in str(found)
    shown = found._repr_html_()
    rows = re.findall("<tr>(.*?)</tr>", shown)[1:]
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    assert [row[0] for row in cells] == list(found.trial_ids)
    assert [float(row[2]) for row in cells] == [
        pytest.approx(again.mean, rel=1e-3, abs=1e-4) for again in found.reruns
    ]
    assert "<p>The first beats the second beyond the spread.</p>" in shown


def test_noise_is_no_win(tmp_path):
    found = searched(tmp_path, noise=100.0).confirm(top=2, reruns=3, baseline=-1e6)
    assert found.beats_second is False
    assert found.beats_baseline is False


def test_each_rerun_has_a_seed_of_its_own_and_the_same_the_next_time(tmp_path):
    tuner = searched(tmp_path, noise=1.0)
    first, second = (tuner.confirm(top=1, reruns=3).reruns[0] for _ in range(2))
    assert len(set(first.scores)) == 3
    assert first.scores == second.scores
    assert tuner.leaderboard()["default_objective"][0] not in first.scores


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_verdict_is_welchs_test(direction):
    generator = np.random.default_rng(0)
    for _ in range(20):
        a, b = generator.normal(size=5), generator.normal(0.8, size=5)
        greater = stats.ttest_ind(b, a, equal_var=False, alternative="greater").pvalue
        first, second = (a, b) if direction == "min" else (b, a)
        verdict = confirmation.is_better(
            Reruns({}, tuple(first)), tuple(second), direction
        )
        assert verdict == (greater < 0.05)


def test_equal_scores_without_spread_do_not_beat_each_other():
    same = Reruns({}, (1.0, 1.0))
    assert confirmation.is_better(same, (1.0, 1.0), "min") is False
    assert confirmation.is_better(same, (2.0, 2.0), "min") is True
    assert confirmation.is_better(Reruns({}, (1.0,)), (2.0,), "min") is None


def test_a_search_without_trials_cannot_be_confirmed(tmp_path):
    tuner = RandomSearch(Noisy(0.0), max_trials=3, seed=0, directory=tmp_path)
    with pytest.raises(ValueError, match="search first"):
        tuner.confirm()


def test_a_reloaded_search_asks_for_its_data(tmp_path, capsys):
    def search_again():
        return RandomSearch(
            toys.build_eagerly, "val_loss", max_trials=2, seed=0, directory=tmp_path
        )

    search_again().search(**toys.toy_data(), verbose=0)
    tuner = search_again()
    with pytest.raises(ValueError, match=r"needs the data .* `confirm\(x, y, "):
        tuner.confirm(top=1, reruns=2)
    first = tuner.confirm(**toys.toy_data(), top=1, reruns=2)
    capsys.readouterr()
    print("before")
    assert search_again().confirm(**toys.toy_data(), top=1, reruns=2) == first
    # Of the tuner that the test has made, and of no other.
    assert capsys.readouterr().out.count("Reloading Tuner") == 1


class Given(keras_tuner.HyperModel):
    """Counts how often it trains; fails or diverges when it is told to."""

    def __init__(self):
        super().__init__()
        self.fits, self.outcome = 0, 1.0

    def build(self, hp):
        hp.Choice("x", [0.0, 1.0])
        return keras.Sequential()

    def fit(self, hp, model, x=None, *, epochs=1, callbacks=(), **kwargs):
        self.fits += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def fits_in(tuner, *args, **kwargs):
    """How often the best trial is trained when it is confirmed."""
    before = tuner.hypermodel.fits
    tuner.confirm(*args, top=1, reruns=2, **kwargs)
    return tuner.hypermodel.fits - before


@pytest.fixture(name="given")
def given_fixture(tmp_path):
    tuner = RandomSearch(Given(), max_trials=1, seed=0, directory=tmp_path)
    tuner.search(np.zeros(3), verbose=0)
    return tuner


def stop(epoch, logs):
    return epoch > 1


def stopping(limit):
    return lambda epoch, logs: epoch > limit


class Noted(keras.callbacks.Callback):
    def __init__(self, text):
        super().__init__()
        self.text = text


@pytest.mark.parametrize(
    ("args", "other"),
    [
        (lambda: (np.zeros(3), {}), lambda: (np.ones(3), {})),
        (lambda: ([np.zeros(3), None], {}), lambda: ([np.zeros(4), None], {})),
        (
            lambda: (np.array(["a", "b"], object), {}),
            lambda: (np.array(["a", "c"], object), {}),
        ),
        (lambda: (np.zeros(3), {"epochs": 1}), lambda: (np.zeros(3), {"epochs": 2})),
        (
            lambda: (np.zeros(3), {"callbacks": [keras.callbacks.EarlyStopping()]}),
            lambda: (
                np.zeros(3),
                {"callbacks": [keras.callbacks.EarlyStopping(patience=1)]},
            ),
        ),
        (
            lambda: (np.zeros(3), {"callbacks": Noted("a")}),
            lambda: (np.zeros(3), {"callbacks": Noted("b")}),
        ),
        (
            lambda: (np.zeros(3), {"stop": stopping(1)}),
            lambda: (np.zeros(3), {"stop": stopping(2)}),
        ),
        (
            lambda: (np.zeros(3), {"stop": stop}),
            lambda: (np.zeros(3), {"stop": fits_in}),
        ),
    ],
    ids=["array", "list", "texts", "epochs", "keras", "callback", "closure", "code"],
)
def test_scores_are_kept_for_what_is_given_again_and_for_nothing_else(
    given, args, other
):
    def fits_with(make):
        x, kwargs = make()
        return fits_in(given, x, **kwargs)

    assert [fits_with(args), fits_with(args), fits_with(other)] == [2, 0, 2]


def test_what_has_no_known_contents_is_trained_with_each_time(given):
    dataset = tf.data.Dataset.range(3)
    assert [fits_in(given, dataset), fits_in(given, dataset)] == [2, 2]


def test_other_data_do_not_change_the_seeds(tmp_path):
    tuner = searched(tmp_path, noise=1.0)
    first = tuner.confirm(top=1, reruns=2, epochs=1)
    assert tuner.confirm(top=1, reruns=2, epochs=2) == first


def test_an_error_is_told_and_the_next_call_trains_again(given):
    given.hypermodel.outcome = OSError("the disk is away")
    with pytest.raises(RuntimeError, match=r"Trial 0 could not .*the disk is away"):
        given.confirm(top=1, reruns=2)
    given.hypermodel.outcome = 2.0
    assert given.confirm(top=1, reruns=2).reruns[0].scores == (2.0, 2.0)


def test_that_all_reruns_diverge_is_a_result(given):
    given.hypermodel.outcome = float("nan")
    [again] = given.confirm(top=1, reruns=2).reruns
    assert (again.scores, again.failed) == ((), 2)


def test_the_tuner_s_own_loss_is_that_of_the_reruns(tmp_path):
    def build(hp):
        hp.Float("unused", 0.0, 1.0)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        model.set_weights([np.zeros((1, 1)), np.zeros(1)])
        return model

    tuner = RandomSearch(
        build, "loss", max_trials=1, seed=0, directory=tmp_path, loss="mae"
    )
    tuner.search(np.zeros((4, 1)), np.full((4, 1), 3.0), verbose=0)
    assert tuner.confirm(top=1, reruns=2).reruns[0].scores == (3.0, 3.0)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"reruns": 1}], ids=str)
def test_bad_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="must be a whole number >="):
        searched(tmp_path, 0.0).confirm(**wrong)
