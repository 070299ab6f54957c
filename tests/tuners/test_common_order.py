"""`fit` goes through arrays in an order that all trials have in common.

The oracle is `fit` without shuffling, one epoch at a time, on arrays that were put in
that order before.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training.data_order import epoch_order
from keras_tricks.tuners import common_order
from tests.tuners import toys

SEED, EPOCHS, BATCH_SIZE, EXAMPLES = 7, 3, 16, 60


def made_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model


def data():
    """Float64, as NumPy makes it; the last batch is partial."""
    whole = toys.toy_data()
    return whole["x"][:EXAMPLES].astype("float64"), whole["y"][:EXAMPLES]


def fitted(**arguments):
    model = made_model()
    common_order.use_common_order(model, SEED)
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
    common_order.use_common_order(model, SEED)
    for call in range(2):
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        order = epoch_order(SEED, call * common_order.EPOCHS_A_CALL, EXAMPLES)
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
    common_order.use_common_order(ours, SEED)
    histories = [model.fit(**arguments).history for model in (ours, keras_own)]
    assert histories[0] == histories[1]
    for one, other in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bad_arguments_get_kerass_own_message():
    model = made_model()
    common_order.use_common_order(model, SEED)
    with pytest.raises(TypeError, match="no_such_argument"):
        model.fit(*data(), no_such_argument=1)
