"""Budgets of models counted by hand, and samples counted in every form of data."""

import logging
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.parameters import ParameterBudget
from keras_tricks.parameters import check_parameter_budget
from keras_tricks.parameters.budget import number_of_samples

layers = keras.layers

LOGGER = "keras_tricks.parameters.budget"


def small_model():
    """4 * 3 + 3 dense weights and 3 * 2 trained, 3 * 2 not trained, of the norm."""
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()]
    )


@pytest.mark.parametrize(
    ("num_samples", "verdict"),
    [
        (210, "recommended"),
        (209, "within limit"),
        (42, "within limit"),
        (41, "over budget"),
    ],
)
def test_21_parameters_against_half_and_a_tenth_of_the_samples(num_samples, verdict):
    budget = check_parameter_budget(small_model(), num_samples)
    assert budget.parameters == 21
    assert budget.num_samples == num_samples
    assert budget.ratio == 21 / num_samples
    assert budget.verdict == verdict


def test_limits_of_ones_own_move_the_verdict():
    def verdict(limit, recommended):
        return check_parameter_budget(small_model(), 21, limit, recommended).verdict

    assert verdict(1.0, 1.0) == "recommended"
    assert verdict(1.0, 0.9) == "within limit"
    assert verdict(0.9, 0.9) == "over budget"


@pytest.mark.parametrize(
    ("num_samples", "sentence"),
    [
        (
            2100,
            "21 trainable parameters for 2,100 samples: 0.01 a sample, "
            "well within the budget.",
        ),
        (
            100,
            "21 trainable parameters for 100 samples: 0.21 a sample, "
            "within the limit of 0.5, though 0.1 is better.",
        ),
        (
            10,
            "21 trainable parameters for 10 samples: 2.1 a sample, over the limit of "
            "0.5: take a smaller model, more data, or stronger regularization.",
        ),
    ],
)
def test_a_budget_reads_as_a_sentence(num_samples, sentence):
    assert str(check_parameter_budget(small_model(), num_samples)) == sentence


def test_a_budget_needs_no_model():
    budget = ParameterBudget(3, 4, limit=0.8, recommended=0.7)
    assert (budget.ratio, budget.verdict) == (0.75, "within limit")


def test_strict_raises_over_budget_only():
    assert check_parameter_budget(small_model(), 42, strict=True).ratio == 0.5
    with pytest.raises(ValueError, match="21 trainable parameters for 41 samples"):
        check_parameter_budget(small_model(), 41, strict=True)


@pytest.mark.parametrize(
    ("num_samples", "level"), [(210, "INFO"), (42, "INFO"), (41, "WARNING")]
)
def test_the_log_line_is_the_sentence_and_warns_over_budget(caplog, num_samples, level):
    caplog.set_level(logging.INFO, LOGGER)
    budget = check_parameter_budget(small_model(), num_samples, log=True)
    [record] = caplog.records
    assert (record.name, record.levelname) == (LOGGER, level)
    assert record.getMessage() == str(budget)


def test_strict_logs_before_it_raises(caplog):
    with pytest.raises(ValueError, match="over the limit"):
        check_parameter_budget(small_model(), 1, strict=True, log=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_nothing_is_logged_unasked(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    check_parameter_budget(small_model(), 1)
    assert caplog.records == []


def test_a_model_of_12_terabytes_is_judged():
    def large():
        return keras.Sequential(
            [layers.Dense(10**6, use_bias=False, name=f"{i}") for i in range(3)]
        )

    budget = check_parameter_budget(large, 10**12, input_shape=(None, 10**6))
    assert (budget.ratio, budget.verdict) == (3.0, "over budget")


def test_an_unbuilt_model_is_judged_with_its_input_shape():
    model = keras.Sequential([layers.Dense(3)])
    assert check_parameter_budget(model, 30, input_shape=(None, 4)).ratio == 0.5


x, y = np.zeros((10, 4), "float32"), np.zeros((10,), "int32")


def slices(arrays=(x, y)):
    return tf.data.Dataset.from_tensor_slices(arrays)


@pytest.mark.parametrize(
    "data",
    [
        10,
        np.int64(10),
        np.array(10),
        x,
        y,
        (x, y),
        [x, x],
        {"a": x, "b": y},
        ({"a": x, "b": y}, y, y),
        (None, x),
        pd.DataFrame({"a": y, "b": y}),
        pd.Series(y),
        (pd.DataFrame({"a": y}), pd.Series(y)),
        tf.constant(x),
        keras.ops.convert_to_tensor(x),
        tf.ragged.constant([[0] * length for length in range(10)]),
    ],
    ids=lambda data: type(data).__name__,
)
def test_ten_samples_in_memory_count_as_ten(data):
    assert number_of_samples(data) == 10


BATCHED = [
    (slices().batch(5), 10),
    (slices().batch(4), 10),
    (slices().batch(4, drop_remainder=True), 8),
    (slices().batch(5, drop_remainder=True), 10),
    (slices().batch(64), 10),
    (slices().shuffle(10).batch(4).prefetch(1), 10),
    (slices().batch(4).repeat(3), 30),
    (slices().repeat(3).batch(4), 30),
    (slices().batch(4).take(1), 4),
    (slices().batch(4).skip(2), 2),
    (slices(x).batch(4), 10),
    (slices({"a": x, "b": y}).batch(3), 10),
    (slices(({"a": x, "b": y}, y, y)).batch(4, drop_remainder=True), 8),
    (slices().ragged_batch(4), 10),
    (slices(tf.ragged.constant([[0] * n for n in range(10)])).batch(4), 10),
]
UNBATCHED = [
    (slices(), 10),
    (slices().take(7), 7),
    (slices().repeat(2), 20),
    (slices(({"a": x, "b": y}, y)), 10),
    (slices((x, np.zeros((10, 3)))), 10),
    (tf.data.Dataset.range(10), 10),
]


@pytest.mark.parametrize(("dataset", "samples"), BATCHED, ids=range(len(BATCHED)))
def test_a_batched_dataset_counts_the_rows_of_its_batches(dataset, samples):
    assert number_of_samples(dataset) == samples
    assert len(list(dataset.unbatch())) == samples


@pytest.mark.parametrize(("dataset", "samples"), UNBATCHED, ids=range(len(UNBATCHED)))
def test_an_unbatched_dataset_counts_its_elements(dataset, samples):
    assert number_of_samples(dataset) == samples
    assert len(list(dataset)) == samples


def test_elements_without_a_telling_label_count_as_batches_as_in_fit():
    assert number_of_samples(slices(x)) == 10 * 4


def test_a_dataset_whose_sizes_are_static_is_not_read():
    def fail(*_):
        raise AssertionError("read")

    dataset = slices().map(lambda a, b: (tf.numpy_function(fail, [a], "float32"), b))
    fixed = dataset.map(lambda a, b: (tf.ensure_shape(a, (4,)), b))
    assert number_of_samples(fixed.batch(4, drop_remainder=True)) == 8
    assert number_of_samples(fixed) == 10


ENDLESS = {
    "infinite": slices().batch(4).repeat(),
    "filtered": slices().filter(lambda a, b: b >= 0).batch(4),
    "generated": tf.data.Dataset.from_generator(
        lambda: iter(y), output_signature=tf.TensorSpec((), "int32")
    ),
}


@pytest.mark.parametrize("dataset", ENDLESS.values(), ids=ENDLESS)
def test_a_dataset_without_an_end_or_a_known_one_is_refused_with_the_remedy(dataset):
    with pytest.raises(ValueError, match=r"assert_cardinality.*take.*Received"):
        number_of_samples(dataset)


def test_the_remedies_work():
    known = tf.data.experimental.assert_cardinality(3)
    assert number_of_samples(ENDLESS["filtered"].apply(known)) == 10
    assert number_of_samples(ENDLESS["infinite"].take(6)) == 4 + 4 + 2 + 4 + 4 + 2


class Batches(keras.utils.PyDataset):
    """Ten samples in batches of four, of which the last has two."""

    def __init__(self):
        super().__init__()
        self.read = []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.read.append(index)
        return x[4 * index :][:4], y[4 * index :][:4]


class OneBatch(Batches):
    def __len__(self):
        return 1


class NoBatch(Batches):
    def __len__(self):
        return 0


class InputsByName(Batches):
    def __getitem__(self, index):
        inputs, labels = super().__getitem__(index)
        return {"a": inputs}, labels


@pytest.mark.parametrize(
    ("make", "samples"), [(Batches, 10), (OneBatch, 4), (InputsByName, 10)]
)
def test_a_py_dataset_counts_its_smaller_last_batch(make, samples):
    assert number_of_samples(make()) == samples


def test_a_py_dataset_is_read_at_both_ends_only():
    class Long(Batches):
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            self.read.append(index)
            return np.zeros((4 if index < 999 else 1, 2))

    dataset = Long()
    assert number_of_samples(dataset) == 999 * 4 + 1
    assert sorted(dataset.read) == [0, 999]


class Endless(keras.utils.PyDataset):
    """As Keras has it, `None` batches are infinitely many."""

    num_batches = None

    def __getitem__(self, index):
        return x, y


class Unmeasured(keras.utils.PyDataset):
    """Keras's `num_batches` raises `NotImplementedError`."""

    def __getitem__(self, index):
        return x, y


@pytest.mark.parametrize("make", [Endless, Unmeasured])
def test_a_py_dataset_without_a_length_is_refused_with_the_remedy(make):
    with pytest.raises(ValueError, match=r"implement `__len__`.*Received"):
        number_of_samples(make())


def test_a_budget_counts_the_samples_of_its_data():
    budget = check_parameter_budget(small_model(), slices().batch(4))
    assert (budget.num_samples, budget.ratio) == (10, 2.1)


@pytest.mark.parametrize(
    "num_samples",
    [0, -1, np.zeros((0, 4)), (np.zeros((0, 4)),), slices().take(0), NoBatch()],
    ids=["zero", "minus one", "array", "tuple", "dataset", "PyDataset"],
)
def test_no_samples_are_refused(num_samples):
    with pytest.raises(ValueError, match="`num_samples` must be positive"):
        check_parameter_budget(small_model(), num_samples)


@pytest.mark.parametrize("num_samples", [True, 10.0, math.nan, "10", None, object()])
def test_samples_that_are_no_count_are_refused(num_samples):
    with pytest.raises(TypeError, match="`num_samples` must be a whole number") as info:
        check_parameter_budget(small_model(), num_samples)
    assert f"Received: num_samples={num_samples!r}" in str(info.value)


@pytest.mark.parametrize("num_samples", [(), [], {}, (1, 2), [1.0], ("a",)])
def test_structures_without_arrays_are_refused(num_samples):
    with pytest.raises(TypeError, match="`num_samples` must hold arrays"):
        check_parameter_budget(small_model(), num_samples)


@pytest.mark.parametrize(
    ("limit", "recommended"),
    [(0.5, 0.9), (0.5, 0.0), (0.5, -0.1), (0.0, 0.0), (math.nan, 0.1), (0.5, math.nan)],
)
def test_limits_that_contradict_each_other_are_refused(limit, recommended):
    received = f"Received: recommended={recommended}, limit={limit}"
    with pytest.raises(ValueError, match=received):
        check_parameter_budget(small_model(), 100, limit, recommended)


def test_a_notebook_shows_the_sentence():
    budget = ParameterBudget(650, 1437, limit=0.5, recommended=0.1)
    assert budget._repr_html_() == f"<p>{budget}</p>"
