"""`search(stop_hopeless=True)` and `search(live_curves=True)`."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.callbacks import StopHopeless
from keras_tricks.diagnosis import trivial_score
from keras_tricks.tuners.results import records
from keras_tricks.tuners.trials import added_callbacks
from tests.tuners import forks

X = np.linspace(-1, 1, 32, dtype="float32").reshape(-1, 1)
DATA = {"x": X, "y": 2 * X, "validation_data": (X, 2 * X), "verbose": 0}
EPOCHS = 24
WAYS = {
    "fit": {"reuse_programs": False},
    "shared programs": {},
    "packs": {"packed_trials": 4},
}


class Line(keras_tuner.HyperModel):
    """Half of its rates are too low to learn anything."""

    run_eagerly = False

    def build(self, hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-9, 0.3, sampling="log")
        model.compile(
            keras.optimizers.SGD(rate),
            "mse",
            metrics=["mae"],
            run_eagerly=self.run_eagerly,
        )
        return model


def made(kind, directory, hypermodel=None, objective="val_loss", **arguments):
    if kind != "Hyperband":
        arguments = {"max_trials": 16, **arguments}
    return getattr(tuners, kind)(
        hypermodel or Line(),
        objective,
        seed=1,
        directory=directory,
        project_name="p",
        **arguments,
    )


def stopped_of(tuner):
    """Returns trial ID -> why it was stopped, of those that were."""
    folder = tuner.oracle.folder if hasattr(tuner, "oracle") else None
    found = records.read_all(folder)
    return {name: r.stopped_by for name, r in found.items() if r.stopped_by}


@pytest.mark.parametrize("way", WAYS)
def test_hopeless_trials_end_and_others_score_as_without(way, tmp_path, monkeypatch):
    # There tracing a model would take longer than training it.
    monkeypatch.setattr(Line, "run_eagerly", way == "fit")
    number, epochs = (12, 10) if way == "fit" else (16, EPOCHS)
    plain = made("RandomSearch", tmp_path / "plain", max_trials=number, **WAYS[way])
    plain.search(**DATA, epochs=epochs)
    tuner = made("RandomSearch", tmp_path / "stops", max_trials=number, **WAYS[way])
    tuner.search(**DATA, epochs=epochs, stop_hopeless=True)
    stopped = stopped_of(tuner)
    assert stopped
    assert all(why.startswith("stop_hopeless: In the ") for why in stopped.values())
    all_scores = plain.leaderboard().set_index("trial_id")["val_loss"]
    table = tuner.leaderboard().set_index("trial_id")
    for name, score in all_scores.items():
        [curves] = tuner.curves(name)
        [whole] = plain.curves(name)
        length = len(curves["loss"])
        assert (length < epochs) == (name in stopped)
        np.testing.assert_array_equal(curves["loss"], whole["loss"][:length])
        if name in stopped:
            # The median of those before it, which it would not have reached.
            before = [float(all_scores[n]) for n in all_scores.index if int(n) < 10]
            assert score > np.median(before)
            assert table["stopped_by"][name] == stopped[name]
        else:
            assert table["val_loss"][name] == score
    # Ten have to be there before the median of them is a baseline.
    assert min(map(int, stopped)) >= 10


def test_a_baseline_is_the_median_of_those_that_completed_before(tmp_path):
    tuner = made("RandomSearch", tmp_path, max_trials=12, reuse_programs=False)
    seen = []

    class Watched(added_callbacks.StopHopelessTrial):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            seen.append(self.baseline)

    original = added_callbacks.StopHopelessTrial
    added_callbacks.StopHopelessTrial = Watched
    try:
        tuner.search(**DATA, epochs=7, stop_hopeless=True)
    finally:
        added_callbacks.StopHopelessTrial = original
    table = tuner.leaderboard()
    pairs = zip(table["trial_id"], table["val_loss"], strict=True)
    scores = {int(name): score for name, score in pairs}
    assert seen[:10] == [None] * 10
    for number in (10, 11):
        expected = np.median([scores[n] for n in range(number)])
        assert seen[number] == pytest.approx(expected, rel=1e-12)


def test_workers_know_the_scores_of_the_others(tmp_path):
    tuner = made("RandomSearch", tmp_path, max_trials=20)
    with forks.as_workers():
        tuner.search(**DATA, epochs=EPOCHS, stop_hopeless=True, workers=2)
    assert stopped_of(tuner)


LABELS = np.array([0] * 24 + [1] * 8)


class Classes(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(2, activation="softmax")]
        )
        model.compile(
            keras.optimizers.SGD(hp.Choice("rate", [1e-9, 1e-8])),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model


@pytest.mark.parametrize("way", WAYS)
def test_who_is_no_better_than_a_constant_is_ended(way, tmp_path):
    """Of a metric that the labels tell the trivial score of, from the first trial."""
    tuner = made(
        "GridSearch", tmp_path, Classes(), "val_accuracy", max_trials=2, **WAYS[way]
    )
    x = np.zeros((32, 1), "float32")
    tuner.search(
        x, LABELS, validation_data=(x, LABELS), epochs=40, verbose=0, stop_hopeless=True
    )
    stopped = stopped_of(tuner)
    assert len(stopped) == 2
    for name, why in stopped.items():
        assert "no better than the 0.75 of a predictor" in why
        # A quarter of the epochs, and one more that says the same.
        assert len(tuner.curves(name)[0]["loss"]) == 11


@pytest.mark.parametrize(
    ("objective", "data", "expected"),
    {
        "of all labels": ("accuracy", {"y": LABELS}, 0.75),
        "of the tail": ("val_accuracy", {"y": LABELS, "validation_split": 0.25}, 1.0),
        "of the pair": (
            "val_mae",
            {"y": LABELS, "validation_data": (LABELS, 2.0 * LABELS)},
            trivial_score(2.0 * LABELS, "mae"),
        ),
        "of a dataset": ("val_mae", {"validation_data": "a dataset"}, None),
        "a loss": ("val_loss", {"y": LABELS, "validation_split": 0.5}, None),
        "outputs": ("val_accuracy", {"y": [LABELS], "validation_split": 0.5}, None),
        "a dictionary": (
            "val_accuracy",
            {"y": {"a": LABELS}, "validation_split": 0.5},
            None,
        ),
        "text": ("accuracy", {"y": np.array(["a", "b"])}, None),
        "no labels": ("accuracy", {}, None),
    }.values(),
)
def test_what_labels_tell(objective, data, expected):
    call = added_callbacks.FitCall.of((), data)
    assert added_callbacks._trivial_of(objective, call) == expected


def test_rungs_are_compared_with_their_own(tmp_path):
    """A short trial of Hyperband need not reach the median of long ones."""
    tuner = made("Hyperband", tmp_path, max_epochs=9, factor=3, hyperband_iterations=3)
    tuner.search(**DATA, stop_hopeless=True)
    oracle = tuner.oracle
    epochs = {
        name: trial.hyperparameters.values["tuner/epochs"]
        for name, trial in oracle.trials.items()
    }
    for name in oracle.trials:
        known = oracle.completed_scores(name)
        assert {epochs[other] for other in known} == {epochs[name]}


def test_what_it_cannot_go_by_is_refused(tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    tuner = made("OptunaSearch", tmp_path, objective=["val_loss", "val_mae"])
    with pytest.raises(
        ValueError, match=r"needs a single objective.*val_loss, val_mae"
    ):
        tuner.search(**DATA, epochs=2, stop_hopeless=True)
    assert len(tuner.oracle.trials) == 0
    for name in ("stop_hopeless", "live_curves"):
        with pytest.raises(TypeError, match=f"`{name}` must be"):
            tuner.search(**DATA, epochs=2, **{name: StopHopeless()})


class OwnFit(Line):
    def fit(self, hp, model, *args, **kwargs):
        return {"cost": min(model.fit(*args, **kwargs).history["val_loss"])}


def test_an_objective_that_fit_does_not_log_is_named(tmp_path):
    objective = keras_tuner.Objective("cost", "min")
    tuner = made("RandomSearch", tmp_path, OwnFit(), objective)
    message = r"needs an objective that `fit` logs: loss, mae, .*'cost'"
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        tuner.search(**DATA, epochs=6, stop_hopeless=True)


class KeepsCallbacks(Line):
    def fit(self, hp, model, x, y, callbacks=None, **kwargs):
        return model.fit(x, y, **kwargs)


def test_a_fit_that_hands_no_callbacks_on_is_told_once(tmp_path):
    tuner = made("RandomSearch", tmp_path, KeepsCallbacks(), max_trials=2)
    message = r"`stop_hopeless` and `live_curves` saw no training: a `fit`"
    with pytest.warns(UserWarning, match=message) as found:
        tuner.search(**DATA, epochs=7, stop_hopeless=True, live_curves=True)
    assert len([w for w in found if "saw no training" in str(w.message)]) == 1


class EpochByEpoch(Line):
    run_eagerly = True

    def fit(self, hp, model, *args, epochs, **kwargs):
        for epoch in range(epochs):
            history = model.fit(*args, initial_epoch=epoch, epochs=epoch + 1, **kwargs)
        return history


@pytest.mark.parametrize(
    ("hypermodel", "epochs", "have"), [(EpochByEpoch(), 3, 1), (Line(), 6, 6)]
)
def test_trainings_too_short_to_be_ended_are_told_once(
    hypermodel, epochs, have, tmp_path
):
    tuner = made("RandomSearch", tmp_path, hypermodel, max_trials=2)
    message = f"more than 6 epochs, and those of this search have {have} "
    with pytest.warns(UserWarning, match=message) as found:
        tuner.search(**DATA, epochs=epochs, stop_hopeless=True)
    assert len([w for w in found if "more than 6 epochs" in str(w.message)]) == 1


def is_picture(path):
    return path.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("way", WAYS)
def test_the_curves_of_the_running_trial_stand_before_the_best(
    way, tmp_path, monkeypatch
):
    shown = []
    original = added_callbacks.CurveBoard.show

    def show(self, title, run, behind):
        shown.append((title, len(run.epochs), behind and behind[0]))
        return original(self, title, run, behind)

    monkeypatch.setattr(added_callbacks.CurveBoard, "show", show)
    plain = made("RandomSearch", tmp_path / "plain", max_trials=3, **WAYS[way])
    plain.search(**DATA, epochs=2)
    tuner = made("RandomSearch", tmp_path / "drawn", max_trials=3, **WAYS[way])
    tuner.search(**DATA, epochs=2, live_curves=True)
    assert is_picture(tmp_path / "drawn" / "p" / "live_curves.png")
    assert list(tuner.leaderboard()["val_loss"]) == list(
        plain.leaderboard()["val_loss"]
    )
    assert sorted(shown)[:2] == [("trial 0", 1, None), ("trial 0", 2, None)]
    if way != "packs":  # Which run at the same time.
        scores = {r.trial_id: r.score for r in tuner._ended_records()}
        best = min(("0", "1"), key=scores.__getitem__)
        assert shown[-1] == ("trial 2", 2, f"trial {best}, the best so far")


def test_what_cannot_be_drawn_is_a_warning_and_the_search_goes_on(
    tmp_path, monkeypatch
):
    def fail(path, content):
        raise OSError("no space left")

    monkeypatch.setattr(added_callbacks, "replace_file", fail)
    tuner = made("RandomSearch", tmp_path, max_trials=3)
    with pytest.warns(UserWarning, match="draws no more: OSError: no space") as found:
        tuner.search(**DATA, epochs=2, live_curves=True)
    assert len([w for w in found if "draws no more" in str(w.message)]) == 1
    assert len(tuner.leaderboard()) == 3


def test_a_picture_in_the_folder_does_not_keep_it_from_being_used_anew(tmp_path):
    made("RandomSearch", tmp_path, max_trials=2).search(
        **DATA, epochs=1, live_curves=True
    )
    tuner = made("RandomSearch", tmp_path, max_trials=2, overwrite=True)
    assert not (tmp_path / "p" / "live_curves.png").exists()
    tuner.search(**DATA, epochs=1)


def test_rounds_take_both(tmp_path):
    tuner = tuners.CoarseToFine(
        Line(), "val_loss", rounds=2, trials_per_round=12, seed=0, directory=tmp_path
    )
    tuner.search(**DATA, epochs=EPOCHS, stop_hopeless=True, live_curves=True)
    assert any(stopped_of(one.tuner) for one in tuner.rounds_run)
    for one in tuner.rounds_run:
        assert is_picture(one.tuner.oracle.folder / "live_curves.png")
