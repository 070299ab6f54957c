"""The encodings, against scikit-learn and the formula of the paper."""

import keras
import numpy as np
import pytest
from sklearn import impute
from sklearn import pipeline
from sklearn import preprocessing

from keras_tricks.hypermodels.table.columns import columns_of
from keras_tricks.hypermodels.table.columns import table_of
from keras_tricks.hypermodels.table.fitted import fitted
from keras_tricks.hypermodels.table.layers import MOST_ONE_HOT
from keras_tricks.hypermodels.table.layers import CategoryVectors
from keras_tricks.hypermodels.table.layers import PiecewiseLinearNumbers
from keras_tricks.hypermodels.table.layers import StandardizedNumbers

TRAINING = 80


@pytest.fixture(scope="module")
def read():
    """A table of 100 rows, and what its first 80 say."""
    random = np.random.default_rng(0)
    numbers = np.stack(
        [
            random.normal(size=100),
            np.exp(3 * random.normal(size=100)),
            random.integers(0, 3, 100).astype(float),
            np.full(100, 7.0),
            random.normal(size=100),
            np.full(100, np.nan),
        ],
        axis=1,
    )
    numbers[random.random(100) < 0.2, 4] = np.nan
    columns = columns_of(numbers, None, 10)
    table = table_of(numbers, columns, "`x`")
    return table, fitted(table, columns, TRAINING, 10)


def test_standardized_numbers_are_scikit_learn_s(read):
    table, known = read
    oracle = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="median", keep_empty_features=True),
        preprocessing.StandardScaler(),
    ).fit(table.numbers[:TRAINING])
    # Scikit-learn counts imputed numbers in mean and deviation; ours are of what is
    # there, so the column with gaps is scaled by hand.
    found = StandardizedNumbers(fitted=known)(table.numbers).numpy()
    expected = oracle.transform(table.numbers)
    kept = table.numbers[:TRAINING, 4]
    filled = np.where(
        np.isnan(table.numbers[:, 4]), np.nanmedian(kept), table.numbers[:, 4]
    )
    expected[:, 4] = (filled - np.nanmean(kept)) / np.nanstd(kept)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bins", [2, 8, 64])
def test_a_piecewise_linear_encoding_is_the_paper_s(read, bins):
    """Equation 1 of the paper, bin by bin, within the range of the training rows."""
    table, known = read
    layer = PiecewiseLinearNumbers(bins, fitted=known)
    found = layer(table.numbers).numpy().reshape(100, 6, bins)
    for column in range(5):
        training = table.numbers[:TRAINING, column].astype("float64")
        training = training[~np.isnan(training)]
        edges = np.unique(np.quantile(training, np.arange(bins + 1) / bins))
        rows = np.clip(table.numbers[:, column], edges[0], edges[-1])
        rows = np.where(np.isnan(rows), np.median(training), rows)
        for number in range(bins):
            if number + 1 >= len(edges):
                assert not found[:, column, number].any()
                continue
            low, high = edges[number : number + 2]
            expected = np.clip((rows - low) / (high - low), 0, 1)
            np.testing.assert_allclose(
                found[:, column, number], expected, rtol=1e-3, atol=1e-4
            )
    # A column of gaps alone tells nothing.
    assert not found[:, 5].any()


@pytest.mark.parametrize("layer", [StandardizedNumbers, PiecewiseLinearNumbers])
def test_each_number_that_may_be_missing_has_an_indicator(read, layer):
    table, known = read
    found = layer(may_miss=(4, 5), fitted=known)(table.numbers).numpy()
    expected = np.isnan(table.numbers[:, 4:])
    np.testing.assert_array_equal(found[:, -2:], expected)


def test_few_categories_are_one_hot_and_unknown_ones_zeros():
    """By scikit-learn, of codes from 1 on."""
    codes = np.array([[1, 2], [0, 3], [2, 0], [2, 1]])
    encoder = preprocessing.OneHotEncoder(
        categories=[[1, 2], [1, 2, 3]], handle_unknown="ignore", sparse_output=False
    )
    expected = encoder.fit_transform(codes)
    found = CategoryVectors(sizes=(2, 3))(codes).numpy()
    np.testing.assert_array_equal(found, expected)


def test_many_categories_have_a_vector_each_and_unknown_ones_zeros():
    size = MOST_ONE_HOT + 1
    layer = CategoryVectors(sizes=(size, 2, size), units=3)
    found = layer(np.array([[0, 1, size], [5, 0, 0], [5, 2, 1]])).numpy()
    one_hot, first, second = found[:, :2], found[:, 2:5], found[:, 5:]
    np.testing.assert_array_equal(one_hot, [[1, 0], [0, 0], [0, 1]])
    vectors = layer.vectors.embeddings.numpy()
    # The rows of a column begin with that of the unknown one.
    np.testing.assert_array_equal(first, [0 * vectors[0], vectors[5], vectors[5]])
    start = size + 1
    expected = [vectors[start + size], 0 * vectors[0], vectors[start + 1]]
    np.testing.assert_array_equal(second, expected)


@pytest.mark.parametrize("bins", [1, 3, 48, 128])
def test_bins_that_quantiles_do_not_have_are_refused(bins):
    with pytest.raises(ValueError, match="`bins` must be"):
        PiecewiseLinearNumbers(bins)


@pytest.mark.parametrize(
    "make",
    [
        lambda known: StandardizedNumbers((1, 4), known),
        lambda known: PiecewiseLinearNumbers(8, (1, 4), known),
    ],
    ids=["standard", "piecewise"],
)
def test_a_layer_is_saved_with_what_it_knows(read, make, tmp_path):
    table, known = read
    inputs = keras.Input((6,))
    model = keras.Model(inputs, make(known)(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(table.numbers), model(table.numbers))
    assert model.output_shape[1] == model(table.numbers).shape[1]


def test_what_is_known_may_be_set_later(read):
    table, known = read
    late, early = StandardizedNumbers(), StandardizedNumbers(fitted=known)
    late(table.numbers)
    late.set(known)
    np.testing.assert_array_equal(late(table.numbers), early(table.numbers))
