"""Trained text classifiers that take strings."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.hypermodels import HyperTextCNN
from keras_tricks.hypermodels import RawTextClassifier
from keras_tricks.hypermodels.tasks.target_scale import TargetScale
from keras_tricks.losses import MultiLabelLoss

TEXTS = ["a good film", "a bad film", "good acting , good script", "bad , bad , bad"]
LABELS = np.array([1, 0, 1, 0])
NEW_TEXTS = ["a good script", "Bad acting!", "words never seen", ""]
LENGTH = 6


@pytest.fixture(scope="module")
def parts():
    """A vectorizer with a vocabulary, and a classifier trained on its ids."""
    keras.utils.set_random_seed(0)
    vectorizer = keras.layers.TextVectorization(output_sequence_length=LENGTH)
    vectorizer.adapt(TEXTS)
    hypermodel = HyperTextCNN(vectorizer.vocabulary_size(), LENGTH, 2, epochs=10)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    ids = vectorizer(tf.constant(TEXTS)).numpy()
    hypermodel.fit(hp, model, ids, LABELS, verbose=0)
    return vectorizer, model


@pytest.fixture
def by_hand(parts):
    """The softmax, in NumPy, of the logits of the vectorized new texts."""
    vectorizer, classifier = parts
    ids = vectorizer(tf.constant(NEW_TEXTS)).numpy()
    exponentials = np.exp(classifier.predict(ids, verbose=0).astype("float64"))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "as_input",
    [
        list,
        tuple,
        lambda texts: np.array(texts, dtype=object),
        np.array,
        tf.constant,
        lambda texts: tf.data.Dataset.from_tensor_slices(texts).batch(3),
    ],
    ids=["list", "tuple", "objects", "strings", "tensor", "tf.data"],
)
def test_probabilities_are_those_of_vectorizer_and_classifier(parts, by_hand, as_input):
    found = RawTextClassifier(*parts).predict(as_input(NEW_TEXTS), verbose=0)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_one_file_gives_the_same_probabilities_in_a_fresh_process(
    parts, by_hand, run_shared, tmp_path
):
    RawTextClassifier(*parts, labels=["bad", "good"]).save(tmp_path / "model.keras")
    printed = run_shared(
        f"""
        import json
        import keras
        import keras_tricks.hypermodels

        model = keras.models.load_model("model.keras")
        texts = {NEW_TEXTS!r}
        print(json.dumps([model.predict(texts, verbose=0).tolist(), model.labels]))
        """
    )
    probabilities, labels = json.loads(printed)
    np.testing.assert_allclose(probabilities, by_hand, rtol=1e-5)
    assert labels == ["bad", "good"]


def test_an_exported_model_serves_strings(parts, by_hand, tmp_path):
    RawTextClassifier(*parts).export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(tf.constant(NEW_TEXTS)), by_hand, rtol=1e-5)


def test_a_loaded_model_is_exported_as_well(parts, by_hand, tmp_path):
    RawTextClassifier(*parts).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(tf.constant(NEW_TEXTS)), by_hand, rtol=1e-5)


def test_dropout_is_off_in_whatever_mode_the_model_is_called(parts, by_hand):
    model = RawTextClassifier(*parts)
    found = model(tf.constant(NEW_TEXTS), training=True)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_a_text_is_classified_by_the_label_of_its_largest_probability(parts, by_hand):
    names = ["bad", "good"]
    model = RawTextClassifier(*parts, labels=names)
    expected = [names[int(second > first)] for first, second in by_hand]
    assert model.classify(NEW_TEXTS) == expected
    assert model.classify(TEXTS) == ["good", "bad", "good", "bad"]


def test_labels_are_class_numbers_unless_they_are_named(parts):
    assert RawTextClassifier(*parts).classify(TEXTS) == LABELS.tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["bad", "good"]), ["bad", "good"]),
        (np.array([3, 7]), [3, 7]),
        ((False, True), [False, True]),
    ],
    ids=["numpy strings", "numpy numbers", "a tuple"],
)
def test_labels_of_any_kind_are_saved(parts, labels, expected, tmp_path):
    RawTextClassifier(*parts, labels=labels).save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").labels == expected


@pytest.mark.parametrize(
    "labels", [[], ["bad"], ["bad", "good", "fair"], ["bad", "bad"], "no"], ids=str
)
def test_labels_that_do_not_name_each_class_once_are_refused(parts, labels):
    with pytest.raises(ValueError, match="the 2 classes of the model"):
        RawTextClassifier(*parts, labels=labels)


def test_a_text_outside_of_a_list_is_refused(parts):
    with pytest.raises(ValueError, match=r"come in a list\. Received: 'a good film'"):
        RawTextClassifier(*parts).classify("a good film")


def test_a_vectorizer_of_longer_texts_than_the_classifier_is_refused(parts):
    _, classifier = parts
    vectorizer = keras.layers.TextVectorization(output_sequence_length=LENGTH + 1)
    with pytest.raises(ValueError, match="output_sequence_length=6"):
        RawTextClassifier(vectorizer, classifier)


def other_task(task, num_outputs):
    vectorizer = keras.layers.TextVectorization(output_sequence_length=4)
    vectorizer.adapt(["good film", "bad film"])
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(num_outputs)(inputs)
    if task == "regression":
        outputs = TargetScale([1000.0], [10.0])(outputs)
    model = keras.Model(inputs, outputs)
    if task == "multi_label":
        model.compile("sgd", MultiLabelLoss())
    return vectorizer, model


def test_a_regression_gives_numbers_in_their_unit(tmp_path):
    vectorizer, model = other_task("regression", 1)
    joined = RawTextClassifier(vectorizer, model, task="regression")
    ids = vectorizer(["good film"])
    joined.save(tmp_path / "joined.keras")
    for each in (joined, keras.models.load_model(tmp_path / "joined.keras")):
        found = each.predict(["good film"], verbose=0)
        np.testing.assert_allclose(found, model.predict(ids, verbose=0), rtol=1e-6)
    with pytest.raises(ValueError, match="call `predict`"):
        joined.classify(["good film"])
    with pytest.raises(ValueError, match="`labels` must be left out"):
        RawTextClassifier(vectorizer, model, ["a"], task="regression")


def test_several_labels_have_a_probability_each():
    vectorizer, model = other_task("multi_label", 3)
    joined = RawTextClassifier(vectorizer, model, [*"abc"], task="multi_label")
    logits = model.predict(vectorizer(["good film"]), verbose=0)
    found = joined.predict(["good film"], verbose=0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    expected = [label for label, z in zip("abc", logits[0], strict=True) if z > 0]
    assert joined.classify(["good film"]) == [expected]


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_a_model_that_learned_another_task_is_refused(task):
    with pytest.raises(ValueError, match=f"`task` must be '{task}'"):
        RawTextClassifier(*other_task(task, 1))
