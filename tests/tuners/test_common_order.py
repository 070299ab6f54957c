"""`fit` goes through arrays in an order that all trials have in common.

The oracle is `fit` without shuffling, one epoch at a time, on arrays that were put in
that order before.
"""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.training.compiled.data_order import epoch_order
from keras_tricks.tuners.trials import shuffling
from tests import sampling
from tests.tuners import toys

SEED, EPOCHS, BATCH_SIZE, EXAMPLES = 7, 3, 16, 60


def made_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    # So few steps take less time than to compile them.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    return model


def data():
    """Float64, as NumPy makes it; the last batch is partial."""
    whole = toys.toy_data()
    return whole["x"][:EXAMPLES].astype("float64"), whole["y"][:EXAMPLES]


def fitted(**arguments):
    model = made_model()
    shuffling.use_common_order(model, SEED)
    x, y = data()
    arguments = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0, **arguments}
    history = model.fit(x, y, **arguments).history
    return model.get_weights(), history


def expected(x, y, weights=None, validation=None):
    model = made_model()
    histories = []
    for epoch in range(EPOCHS):
        order = epoch_order(SEED, epoch, len(x))
        histories.append(
            model.fit(
                x[order],
                y[order],
                sample_weight=None if weights is None else weights[order],
                batch_size=BATCH_SIZE,
                validation_data=validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=0,
            ).history
        )
    merged = {name: [h[name][0] for h in histories] for name in histories[0]}
    return model.get_weights(), merged


def assert_same(found, wanted):
    for one, other in zip(found[0], wanted[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[1].keys() == wanted[1].keys()
    for name, curve in found[1].items():
        np.testing.assert_allclose(curve, wanted[1][name], rtol=1e-6)


def test_arrays_come_in_the_common_order():
    assert_same(fitted(), expected(*data()))


def test_weights_of_examples_stay_with_them():
    weights = np.linspace(0.1, 2.0, EXAMPLES).astype("float32")
    assert_same(fitted(sample_weight=weights), expected(*data(), weights))


def test_the_last_examples_are_split_off_before_any_is_moved():
    x, y = data()
    wanted = expected(x[:45], y[:45], validation=(x[45:], y[45:]))
    assert_same(fitted(validation_split=0.25), wanted)


def test_a_later_epoch_has_its_own_order():
    """As when Hyperband goes on with a trial."""
    x, y = data()
    model = made_model()
    order = epoch_order(SEED, 2, EXAMPLES)
    model.fit(x[order], y[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    weights, _ = fitted(initial_epoch=2)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_second_call_goes_on_to_other_orders():
    x, y = data()
    model, other = made_model(), made_model()
    shuffling.use_common_order(model, SEED)
    for call in range(2):
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        order = epoch_order(SEED, call * shuffling.EPOCHS_A_CALL, EXAMPLES)
        other.fit(x[order], y[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("kind", ["unshuffled arrays", "dataset"])
def test_other_data_are_left_to_keras(kind):
    x, y = data()
    if kind == "dataset":
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH_SIZE)
        arguments = {"x": dataset, "epochs": EPOCHS, "verbose": 0}
    else:
        arguments = {"x": x, "y": y, "epochs": EPOCHS, "batch_size": BATCH_SIZE}
        arguments |= {"shuffle": False, "verbose": 0}
    ours, keras_own = made_model(), made_model()
    shuffling.use_common_order(ours, SEED)
    histories = [model.fit(**arguments).history for model in (ours, keras_own)]
    assert histories[0] == histories[1]
    for one, other in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_arguments_get_kerass_own_message():
    model = made_model()
    shuffling.use_common_order(model, SEED)
    with pytest.raises(TypeError, match="no_such_argument"):
        model.fit(*data(), no_such_argument=1)


# Data of strangers: each is compared with a plain `fit` on rows in the same order.

OTHER = np.random.default_rng(9).normal(size=(EXAMPLES, 2))
WEIGHTS = np.linspace(0.1, 2.0, EXAMPLES)
LABELS = np.arange(EXAMPLES) % 3


def rows_of(structure, order):
    """Rows of all arrays, as one writes it by hand."""
    if isinstance(structure, dict):
        return {name: rows_of(part, order) for name, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(rows_of(part, order) for part in structure)
    if structure is None:
        return None
    if hasattr(structure, "iloc"):
        return structure.iloc[order]
    return np.asarray(structure)[order]


def structured_model(x, y, loss="mse", units=1):
    keras.utils.clear_session()  # For the same names of layers.
    keras.utils.set_random_seed(2)
    leaves = x if isinstance(x, dict) else dict(enumerate(x))
    inputs = {
        key: keras.Input(np.shape(leaf)[1:], name=str(key))
        for key, leaf in leaves.items()
    }
    hidden = keras.layers.add([keras.layers.Dense(4)(i) for i in inputs.values()])
    outputs = keras.tree.map_structure(
        lambda leaf: keras.layers.Dense(units)(hidden), y
    )
    if not isinstance(x, dict):
        inputs = list(inputs.values())
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.05), loss, run_eagerly=True)
    return model


def curve_of_plain_fit(model, x, y, sample_weight=None, **arguments):
    """`fit` without shuffling on one epoch after the other, put in order before."""
    curves = {}
    for epoch in range(2):
        order = epoch_order(SEED, epoch, EXAMPLES)
        history = model.fit(
            rows_of(x, order),
            rows_of(y, order),
            sample_weight=rows_of(sample_weight, order),
            batch_size=BATCH_SIZE,
            shuffle=False,
            verbose=0,
            **arguments,
        ).history
        for name, [value] in history.items():
            curves.setdefault(name, []).append(value)
    return curves


FLAT, TARGETS = data()
X_BY_NAME = {"one": FLAT, "two": OTHER}


@pytest.mark.parametrize(
    ("x", "y", "weights"),
    sampling.one_in(
        3,
        [
            ([FLAT, OTHER], TARGETS, None),
            ((FLAT, OTHER), TARGETS, WEIGHTS),
            (X_BY_NAME, TARGETS, None),
            ([FLAT, OTHER], [TARGETS, -TARGETS], None),
            ([FLAT, OTHER], [TARGETS, -TARGETS], WEIGHTS),
            ([FLAT, OTHER], [TARGETS, -TARGETS], [WEIGHTS, WEIGHTS**2]),
            ([FLAT, OTHER], [TARGETS, -TARGETS], [WEIGHTS, None]),
            (X_BY_NAME, {"p": TARGETS, "q": -TARGETS}, WEIGHTS),
            (
                [FLAT, OTHER],
                {"p": TARGETS, "q": -TARGETS},
                {"p": WEIGHTS, "q": WEIGHTS},
            ),
            ([pd.DataFrame(FLAT), tf.constant(OTHER)], pd.Series(TARGETS[:, 0]), None),
        ],
    ),
)
def test_several_inputs_and_outputs_come_in_the_common_order(x, y, weights):
    wanted = curve_of_plain_fit(structured_model(x, y), x, y, weights)
    model = structured_model(x, y)
    shuffling.use_common_order(model, SEED)
    found = model.fit(x, y, BATCH_SIZE, 2, 0, sample_weight=weights).history
    assert found.keys() == wanted.keys()
    for name, curve in found.items():
        np.testing.assert_allclose(curve, wanted[name], rtol=1e-5)


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 4.0, 2: 0.5}, {1: 4.0}])
def test_class_weights_count_as_for_arrays(class_weight):
    """A class without a weight counts 1, which a dataset would fail on."""
    made = {"loss": "sparse_categorical_crossentropy", "units": 3}
    x = [FLAT, OTHER]
    wanted = curve_of_plain_fit(
        structured_model(x, LABELS, **made), x, LABELS, class_weight=class_weight
    )
    model = structured_model(x, LABELS, **made)
    shuffling.use_common_order(model, SEED)
    found = model.fit(x, LABELS, BATCH_SIZE, 2, 0, class_weight=class_weight).history
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    "validation",
    [
        {"validation_data": ([FLAT, OTHER], TARGETS)},
        {"validation_data": [[FLAT, OTHER], TARGETS, WEIGHTS]},
        {"validation_data": ([FLAT, OTHER], TARGETS), "validation_split": 0.5},
        {"validation_data": ([FLAT, OTHER], TARGETS), "validation_batch_size": 7},
        {"validation_data": ([FLAT, OTHER], TARGETS), "validation_batch_size": None},
        {"validation_data": ([FLAT, OTHER], TARGETS), "validation_steps": 2},
        {"validation_split": None},
        {"validation_split": 0},
    ],
)
def test_validation_data_are_keras_own_affair(validation):
    x = [FLAT, OTHER]
    wanted = curve_of_plain_fit(structured_model(x, TARGETS), x, TARGETS, **validation)
    model = structured_model(x, TARGETS)
    shuffling.use_common_order(model, SEED)
    found = model.fit(
        x, TARGETS, batch_size=BATCH_SIZE, epochs=2, verbose=0, **validation
    ).history
    assert found.keys() == wanted.keys()
    for name, curve in found.items():
        np.testing.assert_allclose(curve, wanted[name], rtol=1e-5)


@pytest.mark.parametrize("frequency", [2, [2], [1, 3]])
def test_validation_is_as_frequent_as_it_is_for_fit(frequency):
    weights = np.linspace(0.1, 2.0, EXAMPLES)
    found = fitted(
        validation_split=0.25, validation_freq=frequency, sample_weight=weights
    )
    wanted = EPOCHS // 2 if frequency == 2 else len(frequency)
    assert len(found[1]["val_loss"]) == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps_per_epoch": 2},
        {"shuffle": "batch"},
        {"class_weight": {0: 1.0}, "sample_weight": WEIGHTS},
        {"validation_split": 0.999},
        {"callbacks": "CallbackList"},
    ],
)
def test_what_is_not_ordered_here_reaches_keras_as_it_was(arguments):
    given = {}

    class Model(keras.Sequential):
        pass

    model = Model([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    if "callbacks" in arguments:
        arguments = {"callbacks": keras.callbacks.CallbackList(model=model)}

    def fit(*args, **kwargs):
        given.update(kwargs, args=args)

    shuffling._fit(fit, SEED, iter(range(1)), FLAT, TARGETS, **arguments)
    assert given.pop("args")[0] is FLAT
    assert given.keys() == arguments.keys()
    assert all(given[name] is arguments[name] for name in given)


def test_a_fit_of_the_models_own_gets_the_arrays():
    seen = []

    class Own(keras.Model):
        def fit(self, x, y, **kwargs):
            seen.append(type(x))
            return super().fit(x, y, **kwargs)

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    shuffling.use_common_order(model, SEED)
    model.fit(FLAT, TARGETS, epochs=1, verbose=0)
    assert seen == [np.ndarray]


def test_one_callback_alone_is_called_as_by_fit():
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(epoch)
    )
    fitted(callbacks=callback)
    assert seen == [0, 1, 2]


def test_a_model_that_is_built_again_has_one_order():
    model = made_model()
    shuffling.use_common_order(model, SEED + 1)
    shuffling.use_common_order(model, SEED)
    x, y = data()
    arguments = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0}
    history = model.fit(x, y, **arguments).history
    assert_same((model.get_weights(), history), expected(x, y))
