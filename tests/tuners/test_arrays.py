"""Arrays in the form in which `fit` shows them to a model.

The oracle is a plain `fit` on what was given, without shuffling.
"""

import collections
import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from keras_tricks._fit_call import FitCall
from keras_tricks.tuners.trials import arrays
from tests import sampling

N = 12
GENERATOR = np.random.default_rng(0)
A = GENERATOR.normal(size=(N, 3))
B = GENERATOR.normal(size=(N, 2)).astype("float32")
LABELS = np.arange(N) % 3
TARGET = GENERATOR.normal(size=N)
WEIGHTS = np.linspace(0.1, 2.0, N)
Pair = collections.namedtuple("Pair", ["a", "b"])


def model_of(x, y, loss="mse", units=1):
    """A model for data of this structure, with one output for each leaf of `y`."""
    keras.utils.set_random_seed(3)
    inputs = keras.tree.map_structure(
        lambda leaf: keras.Input(leaf.shape[1:] if len(leaf.shape) > 1 else (1,)), x
    )
    if isinstance(x, dict):
        inputs = {name: keras.Input(x[name].shape[1:], name=name) for name in x}
    parts = [keras.layers.Dense(3)(leaf) for leaf in keras.tree.flatten(inputs)]
    hidden = keras.layers.add(parts) if len(parts) > 1 else parts[0]
    outputs = keras.tree.map_structure(
        lambda leaf: keras.layers.Dense(units)(hidden), y
    )
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss)
    return model


def weights_after(model, *data, **arguments):
    names = ("x", "y", "sample_weight")
    given = {k: v for k, v in zip(names, data, strict=False) if v is not None}
    model.fit(**given, **arguments, batch_size=5, shuffle=False, verbose=0)
    return model.get_weights()


def assert_trains_alike(found, x, y, sample_weight=None, class_weight=None, **model):
    assert found is not None
    ours = weights_after(model_of(found[0], found[1], **model), *found)
    same = model_of(found[0], found[1], **model)
    theirs = weights_after(same, x, y, sample_weight, class_weight=class_weight)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    "x",
    sampling.one_in(
        3,
        zip(
            [
                A,
                [A, B],
                (A, B),
                {"two": B, "one": A},
                Pair(A, B),
                [{"one": A}, (B, A)],
                A.astype("float16"),
                A.astype(">f8"),
                (A * 9).astype("int16"),
                (A * 9).astype(">i4"),
                A > 0,
                TARGET,
                np.asfortranarray(A)[::-1],
                pd.DataFrame(A, columns=list("abc")),
                pd.DataFrame({"real": TARGET, "whole": LABELS, "flag": LABELS > 0}),
                pd.Series(TARGET, index=range(N, 0, -1)),
                tf.constant(A),
                tf.Variable(B),
                tf.cast(B, "bfloat16"),
                [tf.constant(B), pd.DataFrame(A)],
            ]
        ),
    ),
    ids=lambda x: type(x).__name__,
)
def test_a_model_is_trained_alike_by_what_becomes_of_its_inputs(x):
    found = arrays.as_arrays(x, TARGET)
    assert_trains_alike(found, x, TARGET)
    for leaf in keras.tree.flatten(found[0]):
        assert leaf.dtype.kind != "f" or leaf.dtype == "float32"


@pytest.mark.parametrize(
    ("y", "weights"),
    sampling.one_in(
        3,
        [
            (TARGET, WEIGHTS),
            (TARGET, WEIGHTS[:, None]),
            (pd.Series(TARGET), pd.Series(WEIGHTS)),
            (TARGET[:, None], tf.constant(WEIGHTS)),
            ([TARGET, -TARGET], WEIGHTS),
            ([TARGET, -TARGET], WEIGHTS[:, None]),
            ([TARGET, -TARGET], [WEIGHTS, 1 / WEIGHTS]),
            ([TARGET, -TARGET], [WEIGHTS, None]),
            ({"p": TARGET, "q": -TARGET}, WEIGHTS),
            ({"p": TARGET, "q": -TARGET}, {"p": WEIGHTS, "q": 1 / WEIGHTS}),
            ([TARGET], WEIGHTS),
        ],
    ),
)
def test_a_model_is_trained_alike_by_what_becomes_of_weights(y, weights):
    assert_trains_alike(arrays.as_arrays(A, y, weights), A, y, weights)


ONE_HOT = np.eye(3)[LABELS]


CLASSES = {
    "numbers": (LABELS, "sparse_categorical_crossentropy"),
    "column": (LABELS[:, None].astype("float64"), "sparse_categorical_crossentropy"),
    "series": (pd.Series(LABELS), "sparse_categorical_crossentropy"),
    "one hot": (ONE_HOT, "categorical_crossentropy"),
    "tensor": (tf.constant(ONE_HOT), "categorical_crossentropy"),
    "truth": (LABELS > 0, "mse"),
}
CLASS_WEIGHTS = [{0: 1.0, 1: 2.0, 2: 0.5}, {2: 3.0}, {}, {np.int64(1): 2}, {7: 2.0}]


@pytest.mark.parametrize(
    ("name", "weights"),
    sampling.only(
        # Each once, and the first weights twice.
        zip(CLASSES, [*CLASS_WEIGHTS, CLASS_WEIGHTS[0]], strict=True),
        itertools.product(CLASSES, CLASS_WEIGHTS),
    ),
    ids=str,
)
def test_a_model_is_trained_alike_by_what_becomes_of_class_weights(name, weights):
    y, loss = CLASSES[name]
    found = arrays.as_arrays(A, y, None, weights)
    units = 1 if loss == "mse" else 3
    assert_trains_alike(found, A, y, None, weights, loss=loss, units=units)


@pytest.mark.parametrize(
    "given",
    [
        (list(range(N)), TARGET),
        ([1.0] * N, TARGET),
        (np.array(["a"] * N), TARGET),
        (np.array([[1], [1, 2]], dtype=object), TARGET[:2]),
        (tf.ragged.constant([[1.0], [1.0, 2.0]]), TARGET[:2]),
        (scipy.sparse.csr_matrix(A), TARGET),
        (tf.sparse.from_dense(A), TARGET),
        (tf.data.Dataset.from_tensors((A, TARGET)),),
        ((batch for batch in [(A, TARGET)]),),
        (A.astype("complex64"), TARGET),
        (A.astype("longdouble"), TARGET),
        (np.float64(1.0), np.float64(1.0)),
        (A, TARGET[:5]),
        (A[:0], TARGET[:0]),
        (pd.DataFrame({"a": ["x", "y"]}), TARGET[:2]),
        (None, TARGET),
        (A, [TARGET, TARGET], [WEIGHTS]),
        (A, [TARGET, TARGET], np.ones((N, 2))),
        (A, LABELS, WEIGHTS, {0: 1.0}),
        (A, [LABELS], None, {0: 1.0}),
        (A, LABELS, None, 2.0),
        (A, LABELS, None, {0: "much"}),
        (A, None, None, {0: 1.0}),
    ],
    ids=lambda given: "-".join(type(part).__name__ for part in given),
)
def test_what_keras_does_otherwise_or_refuses_is_left_to_it(given):
    assert arrays.as_arrays(*given) is None


def test_what_is_returned_may_be_given_again():
    first = arrays.as_arrays([A, B], [TARGET, LABELS], WEIGHTS)
    again = arrays.as_arrays(*first)
    keras.tree.map_structure(np.testing.assert_array_equal, first, again)
    assert again[0][1] is first[0][1]


@pytest.mark.parametrize("weights", [{}, {"sample_weight": WEIGHTS}])
def test_a_part_is_split_off_as_fit_does(weights):
    """The validation loss is that of the last examples, with their weights."""
    call = FitCall.of((A, TARGET), {"validation_split": 0.3, **weights})
    training, validation = arrays.training_and_validation(call)
    model = model_of(A, TARGET)
    loss = model.test_on_batch(*validation)
    model.optimizer.learning_rate = 0.0
    history = model.fit(A, TARGET, validation_split=0.3, verbose=0, **weights).history
    assert loss == pytest.approx(history["val_loss"][0], rel=1e-6)
    assert arrays.num_examples(training) == 8


def test_class_weights_weigh_no_validation():
    call = FitCall.of((A, LABELS), {"validation_split": 0.25, "class_weight": {1: 5.0}})
    training, validation = arrays.training_and_validation(call)
    assert training[2].tolist() == [1.0, 5.0, 1.0] * 3
    assert validation[2] is None


@pytest.mark.parametrize("share", [1e-20, 0.99])
def test_a_split_without_examples_is_left_to_keras(share):
    call = FitCall.of((A, TARGET), {"validation_split": share})
    assert arrays.training_and_validation(call) is None
    with pytest.raises(ValueError, match="not sufficient"):
        model_of(A, TARGET).fit(A, TARGET, validation_split=share, verbose=0)
