"""Trained models of tables that take frames."""

import json

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from keras_tricks.hypermodels import HyperTable
from keras_tricks.hypermodels import RawTablePredictor
from tests.hypermodels import cases

SMALL = {"layers": 1, "units": 32}
ROWS = 60


def trained(task="classification", y=None, frame=None, **options):
    """A hypermodel and its model after a short training on the frame of the case."""
    keras.utils.set_random_seed(0)
    frame = cases.table(np.arange(ROWS) % 3) if frame is None else frame
    hypermodel = HyperTable(frame, task=task, batch_size=16, **options)
    hp = cases.fixed(**SMALL)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, frame, y, verbose=0)
    return hypermodel, model, frame


@pytest.fixture(scope="module")
def classes():
    """The classes of the case, which are easily told apart."""
    return trained(y=np.arange(ROWS) % 3, num_classes=3, epochs=20)


def softmax(logits):
    exponentials = np.exp(logits.astype("float64"))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_probabilities_are_those_of_the_network_for_what_it_was_trained_on(classes):
    hypermodel, model, frame = classes
    hp = keras_tuner.HyperParameters()
    (arrays, _), _ = hypermodel.fit_arguments(hp, frame, np.arange(ROWS) % 3)
    expected = softmax(model.predict(arrays, verbose=0))
    found = hypermodel.predictor(model).predict(frame, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_row_is_classified_by_its_label(classes):
    hypermodel, model, frame = classes
    names = np.array(["red", "green", "blue"])
    found = hypermodel.predictor(model, names).classify(frame)
    assert np.mean(np.array(found) == names[np.arange(ROWS) % 3]) > 0.9
    assert isinstance(hypermodel.predictor(model).classify(frame)[0], int)


def test_one_file_gives_the_same_in_a_process_that_imports_the_hypermodels(
    classes, run_shared, tmp_path
):
    hypermodel, model, frame = classes
    predictor = hypermodel.predictor(model, labels=["red", "green", "blue"])
    predictor.save(tmp_path / "model.keras")
    # Other columns besides, another order, a new word, a gap.
    later = frame[frame.columns[::-1]].assign(other=1).iloc[:5]
    later.loc[0, "word"] = "never seen"
    later.loc[1, "second"] = None
    later.to_pickle(tmp_path / "later.pickle")
    printed = run_shared(
        """
        import json
        import keras
        import pandas as pd
        import keras_tricks.hypermodels

        model = keras.models.load_model("model.keras")
        later = pd.read_pickle("later.pickle")
        print(json.dumps([model.predict(later, verbose=0).tolist(), model.labels]))
        """
    )
    probabilities, labels = json.loads(printed)
    expected = predictor.predict(later, verbose=0)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    assert labels == ["red", "green", "blue"]


def test_numbers_are_predicted_in_their_unit(tmp_path):
    """A line, in thousands; a mean would be off by a deviation of 300."""
    frame = pd.DataFrame({"size": np.linspace(0, 1, 200)})
    y = 5000 + 1000 * frame["size"]
    hypermodel, model, _ = trained("regression", y, frame, epochs=60, plain=True)
    predictor = hypermodel.predictor(model)
    found = predictor.predict(frame, verbose=0)
    assert found.shape == (200, 1)
    assert np.abs(found[:, 0] - y).mean() < 50
    predictor.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.predict(frame, verbose=0), found)
    with pytest.raises(ValueError, match="A regression has no classes"):
        restored.classify(frame)


def test_several_labels_are_those_more_probable_than_not():
    frame = cases.table(np.arange(ROWS) % 3)
    y = np.stack([frame["flag"], np.ones(ROWS)], axis=1).astype(int)
    hypermodel, model, _ = trained("multi_label", y, num_classes=2, epochs=30)
    predictor = hypermodel.predictor(model, ["flag", "always"])
    logits = model.predict(predictor.arrays(frame), verbose=0)
    found = predictor.predict(frame, verbose=0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    names = predictor.classify(frame)
    assert names == [["flag"] * int(a > 0) + ["always"] * int(b > 0) for a, b in logits]
    assert names[0] == ["flag", "always"]
    assert names[1] == ["always"]


def test_the_network_can_be_measured_on_what_the_predictor_reads(classes):
    hypermodel, model, frame = classes
    arrays = hypermodel.predictor(model).arrays(frame)
    loss, accuracy = model.evaluate(arrays, np.arange(ROWS) % 3, verbose=0)
    probabilities = hypermodel.predictor(model).predict(frame, verbose=0)
    expected = -np.log(probabilities[np.arange(ROWS), np.arange(ROWS) % 3]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert accuracy > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["red"]}, "each of the 3 outputs once"),
        ({"labels": ["red", "red", "blue"]}, "each of the 3 outputs once"),
        ({"labels": "red"}, "each of the 3 outputs once"),
        ({"task": "regression", "labels": [1, 2, 3]}, "must be left out"),
        ({"task": "ranking"}, "`task` must be one of"),
        (
            {"network": keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])},
            "with the inputs",
        ),
        ({"network": "model"}, "`network` must be a trained model"),
    ],
    ids=str,
)
def test_what_does_not_belong_together_is_refused(classes, change, message):
    hypermodel, model, _ = classes
    arguments = {"network": model, "task": "classification", **change}
    with pytest.raises((ValueError, TypeError), match=message):
        RawTablePredictor(hypermodel.columns, **arguments)
