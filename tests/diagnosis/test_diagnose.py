"""Verdicts on curves whose truth is known, by construction or by how they were made."""

import collections
import csv
import json
import math

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from keras_tricks.diagnosis import diagnose
from tests import sampling
from tests.diagnosis import laws

EPOCHS = np.arange(60)
FALLING = 2.0 * np.exp(-EPOCHS / 6.0) + 0.05


@pytest.fixture(scope="module")
def confusions():
    """How often curves of a law, of a hundred each, got a verdict."""
    rng = np.random.default_rng(0)
    found = {}
    for name in laws.NAMES:
        drawn = [diagnose(laws.curves(name, rng)).verdict for _ in range(100)]
        found[name] = collections.Counter(drawn)
    return found


@pytest.mark.parametrize("name", laws.NAMES)
def test_at_least_95_in_100_curves_of_a_law_get_its_verdict(name, confusions):
    assert confusions[name][name] >= 95, confusions[name]


@pytest.mark.parametrize("name", laws.NAMES)
def test_scale_and_unit_of_a_loss_do_not_matter(name):
    rng = np.random.default_rng(1)
    history = laws.curves(name, rng)
    larger = {key: 1e3 * values for key, values in history.items()}
    assert diagnose(larger).verdict == diagnose(history).verdict


def test_an_accuracy_is_judged_as_what_it_lacks_of_1():
    rng = np.random.default_rng(2)
    for name in laws.NAMES:
        history = laws.curves(name, rng)
        top = np.nanmax(history["loss"])
        shares = {k.replace("loss", "acc"): 1.0 - v / top for k, v in history.items()}
        scaled = {key: values / top for key, values in history.items()}
        assert diagnose(shares, metric="acc").verdict == diagnose(scaled).verdict


def digits(units, rate, epochs, examples=1200):
    """Returns the history of a network on digits."""
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 16.0, y[order]
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(number, "relu") for number in units]
    model = keras.Sequential(
        [keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")]
    )
    adam = keras.optimizers.Adam(rate)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(
        x[:examples],
        y[:examples],
        batch_size=64,
        epochs=epochs,
        validation_data=(x[1300:], y[1300:]),
        verbose=0,
    )


@pytest.mark.parametrize(
    ("units", "rate", "epochs", "examples", "verdict"),
    sampling.one_in(
        2,
        [
            ([512, 512, 512], 1e-3, 40, 100, "overfitting"),
            ([64], 1e-7, 10, 1200, "not learning at all"),
            ([1], 1e-2, 40, 1200, "underfitting"),
            ([64], 1e-3, 2, 1200, "still improving at the end"),
            ([64], 10.0, 20, 1200, "not learning at all"),
            ([64], 1e-2, 25, 1200, "learning well"),
        ],
    ),
)
def test_trainings_made_wrong_on_purpose_are_seen_as_such(
    units, rate, epochs, examples, verdict
):
    diagnosis = diagnose(digits(units, rate, epochs, examples))
    assert diagnosis.verdict == verdict, str(diagnosis)


def test_a_training_that_does_not_beat_the_baseline_has_learned_nothing():
    """It falls from 3 to the loss of the prior, and looks like learning."""
    history = {"loss": 0.69 + 2.0 * np.exp(-EPOCHS / 5.0)}
    assert diagnose(history, baseline=0.69).verdict == "not learning at all"
    assert diagnose(history, baseline=5.0).verdict != "not learning at all"


def test_what_people_reach_is_the_floor():
    """The same curve is good or bad by what can be reached."""
    history = {"loss": 0.8 + 1.2 * np.exp(-EPOCHS / 6.0)}
    assert diagnose(history, human_level=0.79).verdict == "learning well"
    assert diagnose(history, human_level=0.1).verdict == "underfitting"


def test_the_best_epoch_of_an_overfit_run_is_told():
    """The minimum of the sum of a falling exponential and a line, by its derivative."""
    rising = 2.0 * np.exp(-EPOCHS / 6.0) + 0.02 * EPOCHS
    found = diagnose({"loss": FALLING, "val_loss": rising})
    assert found.verdict == "overfitting"
    assert abs(found.evidence["best_epoch"] - 1 - 6.0 * math.log(2.0 / 0.12)) <= 1.0


def test_known_noise_replaces_the_estimate():
    """A fall of 0.3 is progress, but not where runs differ by as much."""
    history = {"loss": 3.0 - 0.3 * (1.0 - np.exp(-EPOCHS / 6.0))}
    assert diagnose(history).verdict != "not learning at all"
    assert diagnose(history, noise=0.5).verdict == "not learning at all"


def test_one_epoch_tells_nothing():
    found = diagnose({"loss": [2.0], "val_loss": [1.9]})
    assert (found.verdict, found.verdicts[0].confidence) == ("undecided", 0.5)


T = np.arange(40.0)
TURNS = np.where(T < 10, 10.0 - T, 0.2 * T - 1.0)
FALLS_AND_RISES = {
    "loss": 10.0 - 0.25 * T,
    "val_loss": np.where(T < 20, 10.0 - 0.25 * T, 5.0 + 0.1 * (T - 20)),
}


@pytest.mark.parametrize(
    ("history", "given", "verdict", "evidence", "strength"),
    [
        # Ten epochs have nine steps; the end is the mean of 63, 62 and 61.
        (100 - T, {}, "still improving at the end", [9, 38], 9 / (0.03 * 38)),
        ([4, 3, 2, 1.5], {}, "still improving at the end", [0.5, 2.5], 0.5 / 0.08),
        (np.where(T < 20, 2.0, 1.0), {}, "step change", [21, -1], 1 / 0.15),
        (np.where(T < 20, 1.0, 2.0), {}, "step change", [21, 1], 1 / 0.15),
        (np.where(T < 20, 2.0, 1.0), {"noise": 0.1}, "step change", [21, -1], 1 / 0.6),
        # It is flat where 5 epochs are at (5 + 4.5 + 3 * 4) / 5, 5 % above the end.
        (np.maximum(10 - 0.5 * T, 4), {}, "plateaued", [13], 0.75 * 40 / 12),
        # From 1 to 6.5; the best five epochs, from the tenth on, have a mean of 1.24.
        (TURNS, {}, "diverging", [5.5, 12], 5.5 / (0.25 * 8.76)),
        # 6.75 - 0.625; 6.75 - 5.17; training goes from 10 to 0.5.
        (FALLS_AND_RISES, {}, "overfitting", [6.125, 1.58, 22], 6.125 / (0.1 * 9.5)),
        (np.maximum(10 - T, 1), {}, "learning well", [0.1], 3.5),
        # A loss that falls below 0 has its least value as its floor.
        (np.maximum(1 - 0.1 * T, -0.5), {}, "learning well", [0], 50),
        (
            np.maximum(10 - 0.5 * T, 4),
            {"human_level": 3.0},
            "underfitting",
            [1 / 7, 4],
            10 / 7,
        ),
        (
            10 - 0.01 * T,
            {"baseline": 9.62},
            "not learning at all",
            [-0.005, 0.02 * 9.62],
            2 + 0.005 / (0.02 * 9.62),
        ),
        (np.zeros(20), {}, "not learning at all", [0, 0], 2),
        # From 10 to the mean of the last four epochs.
        (
            10 - T / 1e3,
            {"noise": 0.0},
            "not learning at all",
            [0.0375, 0.2],
            2 - 0.0375 / 0.2,
        ),
        # With noise from the mean of the first four to that of the second half.
        (
            10 - T / 1e3,
            {"noise": 0.2},
            "not learning at all",
            [0.028, 0.6 * math.sqrt(1 / 4 + 1 / 20)],
            2 - 0.028 / (0.6 * math.sqrt(0.3)),
        ),
    ],
)
def test_evidence_and_confidence_are_those_of_a_count_by_hand(
    history, given, verdict, evidence, strength
):
    """Of curves without noise; an effect twice the limit has a confidence of 0.75."""
    history = history if isinstance(history, dict) else {"loss": history}
    found = diagnose(history, **given)
    assert found.verdict == verdict
    assert [*found.evidence.values()] == pytest.approx(evidence)
    assert found.verdicts[0].confidence == pytest.approx(1 - 0.5 / strength)


def test_an_accuracy_that_stays_at_a_guess_counts_more_than_a_loss_that_exploded():
    accuracy = np.where(T % 2, 0.48, 0.52)
    history = {"loss": np.where(T < 1, 1e6, 0.7), "accuracy": accuracy}
    found = diagnose(history)
    assert found.verdict == "not learning at all"
    assert found.verdicts[0].sentence.startswith("accuracy stays at 0.48. ")
    assert diagnose({**history, "accuracy": accuracy + 0.1}).verdict == "learning well"


@pytest.mark.parametrize(("gap", "noise"), [(0.7, 0.0), (1.5, 0.0), (1.5, 1.0)])
def test_a_model_underfits_where_validation_is_near_training(gap, noise):
    """Near is half of the progress, which is 2, or four deviations of four's mean."""
    training = np.maximum(10 - 0.1 * T, 8)
    found = diagnose({"loss": training, "val_loss": training + gap}, noise=noise)
    verdicts = {each.name: each for each in found.verdicts}
    assert ("underfitting" in verdicts) == (gap <= max(1.0, 2.0 * noise))
    if "underfitting" in verdicts:
        assert verdicts["underfitting"].evidence == pytest.approx(
            {"level": 0.8, "end": 8.0}
        )


class Record:
    """As a trial's record is."""

    def __init__(self, curves):
        self.executions = [type("Execution", (), {"curves": curves})()]


def written(path, curves):
    """Yields one history in each of the forms in which people have it."""
    lists = {name: list(map(float, values)) for name, values in curves.items()}
    yield lists
    history = keras.callbacks.History()
    history.history = lists
    yield history
    yield pd.DataFrame(lists)
    yield Record(lists)
    record = path / "record.json"
    record.write_text(json.dumps({"executions": [{"curves": lists}]}))
    yield record
    for separator in ",;":
        table = path / f"log{ord(separator)}.csv"
        with open(table, "w", newline="") as file:
            writer = csv.writer(file, delimiter=separator)
            writer.writerow(["epoch", *lists])
            rows = zip(*lists.values(), strict=True)
            writer.writerows([number, *row] for number, row in enumerate(rows))
        yield str(table)


def test_each_form_of_a_history_is_the_same_history(tmp_path):
    curves = laws.curves("overfitting", np.random.default_rng(3))
    expected = diagnose(curves)
    for history in written(tmp_path, curves):
        assert diagnose(history) == expected


def test_a_training_of_one_epoch_is_a_history_too(tmp_path):
    curves = {"loss": [2.0], "val_loss": [1.5]}
    for history in written(tmp_path, curves):
        assert diagnose(history).evidence == {"start": 1.5, "end": 1.5}


def test_event_files_of_tensorboard_are_read(tmp_path):
    """Keras's callback needs tensorboard; what it writes are these summaries."""
    tf = pytest.importorskip("tensorflow")
    curves = laws.curves("overfitting", np.random.default_rng(3))
    for folder, name in (("train", "loss"), ("validation", "val_loss")):
        with tf.compat.v1.Graph().as_default():
            writer = tf.compat.v1.summary.FileWriter(str(tmp_path / folder))
            for epoch, value in enumerate(curves[name]):
                summary = tf.compat.v1.Summary()
                summary.value.add(tag="epoch_loss", simple_value=float(value))
                writer.add_summary(summary, epoch)
            writer.close()
    found = diagnose(tmp_path)
    assert found.verdict == "overfitting"
    expected = diagnose(curves).evidence
    assert found.evidence == pytest.approx(expected, rel=1e-4)


def test_epochs_without_validation_are_left_out():
    """As with `validation_freq=2`, and as CSVLogger writes it."""
    sparse = np.where(EPOCHS % 2, FALLING + 0.05, np.nan)
    expected = diagnose({"loss": FALLING, "val_loss": (FALLING + 0.05)[1::2]})
    assert diagnose({"loss": FALLING, "val_loss": sparse}) == expected


def test_text_from_outside_is_escaped():
    found = diagnose({"<script>": FALLING}, metric="<script>", direction="min")
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


@pytest.mark.parametrize(
    ("history", "error", "match"),
    [
        (3, TypeError, "`history` must be what `fit` returned"),
        ({"loss": "falling"}, TypeError, "one number an epoch for 'loss'"),
        ({"loss": [[1.0], [2.0]]}, TypeError, r"shape \(2, 1\)"),
        ({"loss": []}, ValueError, "one epoch at least"),
        ({}, ValueError, "one epoch at least"),
        ({"mae": [1.0, 0.5]}, ValueError, "`metric` must be one of 'mae'"),
        ("nowhere.csv", FileNotFoundError, "nowhere.csv"),
    ],
)
def test_what_is_no_history_is_refused(history, error, match):
    with pytest.raises(error, match=match):
        diagnose(history)


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"executions": [1]}', ""])
def test_a_file_that_holds_no_curves_is_named(text, tmp_path):
    for name in ("record.json", "log.csv"):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(ValueError, match=name):
            diagnose(path)
