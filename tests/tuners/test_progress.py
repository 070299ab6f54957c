"""What a search shows: on a terminal, in a file, with and without fit's own lines."""

import io
import operator

import keras
import keras_tuner
import pytest
import rich.console

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results import records
from tests.tuners import toys


def record(score, seconds=2.1, status="COMPLETED", error=None):
    return records.TrialRecord(
        trial_id="0",
        status=status,
        objective="val_accuracy",
        direction="max",
        score=score,
        seconds=seconds,
        error=error,
    )


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch):
    """Seconds that pass only when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_tells_score_best_duration_and_time_left(clock, capsys):
    """Two trials of 2 s leave 18 more, 36 s in all."""
    lines = progress.PlainProgress("val_accuracy", operator.gt, total=20)
    lines.start()
    clock[0] += 2
    lines.trial_finished(record(0.9722))
    clock[0] += 2
    lines.trial_finished(record(0.9611))
    assert capsys.readouterr().out.splitlines() == [
        "1/20  trial 0  val_accuracy 0.9722  best 0.9722  2.1 s  about 38 s left",
        "2/20  trial 0  val_accuracy 0.9611  best 0.9722  2.1 s  about 36 s left",
    ]


def test_trials_of_an_earlier_run_are_done_but_do_not_count_for_the_pace(clock, capsys):
    lines = progress.PlainProgress("val_accuracy", operator.gt, 20, 10, best=0.99)
    lines.start()
    clock[0] += 3
    lines.trial_finished(record(0.9, seconds=3))
    assert capsys.readouterr().out == (
        "11/20  trial 0  val_accuracy 0.9000  best 0.9900  3.0 s  about 27 s left\n"
    )


def test_the_last_trial_leaves_no_time(clock, capsys):
    lines = progress.PlainProgress("val_accuracy", operator.gt, total=1)
    lines.start()
    lines.trial_finished(record(0.5))
    assert capsys.readouterr().out == (
        "1/1  trial 0  val_accuracy 0.5000  best 0.5000  2.1 s\n"
    )


def test_a_failed_trial_tells_the_first_line_of_its_error(clock, capsys):
    lines = progress.PlainProgress("val_accuracy", operator.gt, total=None)
    lines.start()
    lines.trial_finished(record(None, 0.3, "FAILED", "ValueError: no\nmore"))
    assert capsys.readouterr().out == "1 done  trial 0  failed: ValueError: no  0.3 s\n"


def test_the_bar_stays_below_what_others_print(clock):
    """The bar's line is drawn again after each print, and is the last one."""
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=True, width=100)
    bar = progress.BarProgress("val_accuracy", operator.gt, 4, console=console)
    bar.start()
    print("Epoch 1/2")
    clock[0] += 60
    bar.trial_finished(record(0.9611))
    bar.stop()
    plain = rich.text.Text.from_ansi(file.getvalue()).plain.splitlines()
    assert any(line.strip() == "Epoch 1/2" for line in plain)
    last = [line for line in plain if line.strip()][-1]
    assert "1/4" in last
    assert "best val_accuracy 0.9611" in last
    assert "about 3 min left" in last


@pytest.mark.parametrize(
    ("arguments", "lines", "epochs"),
    [
        ({}, 2, 0),
        ({"verbose": "auto"}, 2, 0),
        ({"verbose": 1}, 2, 0),
        ({"verbose": 2}, 2, 2),
        ({"verbose": 0}, 0, 0),
    ],
)
def test_verbose_chooses_between_progress_and_fits_own_lines(
    tmp_path, capsys, arguments, lines, epochs
):
    """Two trials of one epoch print a line each, and two lines of fit's if asked."""

    def build(hp):
        hp.Float("x", 0.0, 1.0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    tuner = RandomSearch(build, "val_loss", max_trials=2, seed=0, directory=tmp_path)
    data = {**toys.toy_data(), "epochs": 1}
    tuner.search(**data, **arguments)
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if "  trial " in line]) == lines
    # Keras begins an epoch's line with the number of its steps.
    assert len([line for line in printed if line.startswith("4/4")]) == epochs
    assert len(printed) == lines + epochs


def test_a_hypermodel_may_set_fits_verbosity_itself(tmp_path, capsys):
    """Passing it a second time would raise, so the search passes none of its own."""

    class Silent(keras_tuner.HyperModel):
        def build(self, hp):
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-2)), "mse")
            return model

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, verbose=0, **kwargs)

    tuner = RandomSearch(Silent(), "val_loss", max_trials=1, directory=tmp_path)
    tuner.search(**toys.toy_data())
    assert capsys.readouterr().out.startswith("1/1  trial 0  val_loss ")


def test_an_unknown_verbosity_is_refused(tmp_path):
    tuner = RandomSearch(toys.Scored(float), directory=tmp_path)
    with pytest.raises(ValueError, match="Received: verbose=3"):
        tuner.search(verbose=3)
