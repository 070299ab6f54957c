"""Pictures of learning curves, and a training that does not notice them."""

import copy
import pickle
import sys
import threading
import time

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import LiveCurves
from keras_tricks.callbacks import curve_picture
from keras_tricks.callbacks import live_curves
from keras_tricks.tuners import RandomSearch

X = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
Y = X.sum(1, keepdims=True)


def compiled(rate=0.1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


def fitted(callbacks, model=None, epochs=3, **arguments):
    model = compiled() if model is None else model
    data = {"validation_data": (X[:4], Y[:4]), "batch_size": 8, "verbose": 0}
    arguments = {"epochs": epochs, "callbacks": callbacks, **data, **arguments}
    return model.fit(X, Y, **arguments).history, model.get_weights()


def is_whole(path):
    """Whether a picture ends as files of its kind do."""
    content = path.read_bytes()
    return content.endswith((b"IEND\xaeB`\x82", b"</svg>\n"))


def lines_of(axes):
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
    }


@pytest.mark.parametrize("name", ["curves.png", "below/curves.SVG"])
def test_training_is_as_without_it_and_the_picture_is_whole(name, tmp_path):
    plain, weights = fitted([])
    history, watched = fitted([LiveCurves(tmp_path / name)])
    assert history == plain
    for one, other in zip(watched, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert is_whole(tmp_path / name)
    assert [p.name for p in (tmp_path / name).parent.iterdir()] == [name[-10:]]


def test_the_picture_shows_what_was_logged():
    """Epochs from 1; the best one by validation; the rate of a schedule below."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 6, 0.0)
    callback = LiveCurves(None, metrics=["mae"])
    history, _ = fitted([callback], compiled(schedule))
    panels = curve_picture.figure_of({"": callback.run}, "Title", ["mae"]).axes
    assert [axes.get_ylabel() for axes in panels] == ["mae", "rate"]
    lines = lines_of(panels[0])
    assert lines["training"] == ([1, 2, 3], history["mae"])
    assert lines["validation"] == ([1, 2, 3], history["val_mae"])
    best = int(np.argmin(history["val_mae"]))
    mark = ([best + 1], [history["val_mae"][best]])
    assert lines[f"best: {mark[1][0]:.4g}, epoch {best + 1}"] == mark
    # After two updates an epoch, of six.
    rates = panels[1].lines[0].get_ydata()
    np.testing.assert_allclose(rates, [0.1 * 4 / 6, 0.1 * 2 / 6, 0.0], atol=1e-8)


def test_of_an_accuracy_the_greatest_is_best():
    run = curve_picture.Run(np.arange(3), {"acc": np.array([0.1, 0.9, 0.5])})
    (axes,) = curve_picture.figure_of({"": run}).axes
    assert "best: 0.9, epoch 2" in lines_of(axes)


def test_a_rate_that_is_logged_counts(tmp_path):
    callback = LiveCurves(tmp_path / "a.png")
    logged = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(learning_rate=0.5)
    )
    fitted([logged, callback])
    assert callback.run.rates.tolist() == [0.5] * 3
    assert "learning_rate" not in callback.run.curves


def test_another_training_goes_on_or_begins_anew(tmp_path):
    callback = LiveCurves(tmp_path / "a.png")
    model = compiled()
    fitted([callback], model)
    fitted([callback], model, epochs=5, initial_epoch=3)
    assert callback.run.epochs.tolist() == [0, 1, 2, 3, 4]
    fitted([callback], epochs=2)
    assert callback.run.epochs.tolist() == [0, 1]


def test_epochs_without_validation_have_a_gap(tmp_path):
    callback = LiveCurves(tmp_path / "a.png")
    history, _ = fitted([callback], validation_freq=2)
    assert np.isnan(callback.run.curves["val_loss"]).tolist() == [True, False, True]
    assert callback.run.curves["val_loss"][1] == history["val_loss"][0]


def test_what_fails_is_told_once_and_ends_no_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    callback = LiveCurves(tmp_path / "file" / "a.png")
    with pytest.warns(UserWarning, match="LiveCurves draws no more") as caught:
        history, _ = fitted([callback], epochs=4)
    assert len(history["loss"]) == 4
    assert len([w for w in caught if "LiveCurves" in str(w.message)]) == 1


def test_slow_drawing_holds_nothing_up_and_the_last_picture_is_there(
    tmp_path, monkeypatch
):
    drawn = []

    def slowly(figure, kind):
        time.sleep(0.2)
        drawn.append(figure.axes[0].lines[0].get_xdata().tolist())
        return b"picture"

    monkeypatch.setattr(curve_picture, "drawn", slowly)
    callback = LiveCurves(tmp_path / "a.png")
    callback.set_model(compiled())
    callback.on_train_begin()
    begun = time.monotonic()
    for epoch in range(20):
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert time.monotonic() - begun < 0.2 * 20 / 2
    callback.on_train_end()
    assert drawn[-1] == [*range(1, 21)]
    assert len(drawn) < 20
    assert (tmp_path / "a.png").read_bytes() == b"picture"


def test_an_interrupted_training_leaves_no_thread(tmp_path):
    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    stopped = keras.callbacks.LambdaCallback(on_epoch_end=interrupt)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        fitted([LiveCurves(tmp_path / "a.png"), stopped])
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert is_whole(tmp_path / "a.png")


def test_it_is_copied_and_pickled_as_tuners_do(tmp_path):
    callback = LiveCurves(tmp_path / "a.png", title="Title")
    fitted([callback])
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert other.run.epochs.tolist() == [0, 1, 2]
        fitted([other])
    assert repr(callback).endswith(
        "a.png'), metrics=None, title='Title', terminal=False)"
    )

    def build(hp):
        return compiled(hp.Float("rate", 0.01, 0.1))

    tuner = RandomSearch(build, "val_loss", max_trials=2, seed=0, directory=tmp_path)
    data = {"validation_data": (X, Y), "epochs": 2, "verbose": 0}
    tuner.search(X, Y, callbacks=[LiveCurves(tmp_path / "trial.png")], **data)
    assert is_whole(tmp_path / "trial.png")
    assert tuner.leaderboard()["status"].tolist() == ["COMPLETED"] * 2


def test_a_terminal_is_shown_the_course(tmp_path, capsys):
    callback = LiveCurves(None, terminal=True, metrics=["loss"])
    callback.set_model(compiled())
    for epoch, loss in enumerate([8.0, 4.0, 1.0, 2.0]):
        capsys.readouterr()
        callback.on_epoch_end(epoch, {"loss": loss, "mae": 3.0})
    printed = capsys.readouterr().out.split()
    assert printed == "loss █▄▁▂ 2 best 1 at epoch 3".split()


def test_runs_are_compared_in_one_picture(tmp_path):
    watched = LiveCurves(None)
    fitted([watched])
    runs = {"dict": {"loss": [3.0, 1.0], "val_loss": [2.0, 4.0]}, "watched": watched}
    path = LiveCurves.compare(runs, tmp_path / "both.svg", metrics=["loss"])
    assert is_whole(path)
    figure = curve_picture.figure_of(
        {label: live_curves.run_of(run) for label, run in runs.items()}
    )
    assert lines_of(figure.axes[0])["dict"] == ([1, 2], [2.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"path": "curves.jpg"}, ValueError, "`path` must end in .png or .svg"),
        ({"path": 3}, TypeError, "`path` must be a path"),
        ({"metrics": "loss"}, TypeError, "`metrics` must be a list"),
        ({"terminal": 2}, TypeError, "`terminal` must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        LiveCurves(**arguments)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        LiveCurves()


def test_a_metric_of_several_values_is_drawn_and_an_unknown_one_told(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    x, y = np.ones((6, 2)), np.eye(3)[[0, 1, 2] * 2]
    shown = LiveCurves(tmp_path / "f.png", metrics=["f1_score", "acuracy"])
    with pytest.warns(UserWarning, match=r"`metrics` must name .*f1_score.*acuracy"):
        history = model.fit(x, y, epochs=2, verbose=0, callbacks=[shown])
    means = [np.mean(each) for each in history.history["f1_score"]]
    np.testing.assert_allclose(shown.run.curves["f1_score"], means)
    assert (tmp_path / "f.png").exists()
