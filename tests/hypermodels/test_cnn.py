"""The space of HyperCNN, and the networks in it."""

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.hypermodels import HyperCNN
from keras_tricks.parameters import count_parameters
from tests.hypermodels import cases


def convolution(kernel_size, inputs, outputs):
    return kernel_size**2 * inputs * outputs + outputs


def network(shape=(8, 8, 1), num_classes=10, plain=False, **fixed):
    return HyperCNN(shape, num_classes, plain=plain).network(cases.fixed(**fixed))


def test_the_default_model_has_the_hand_counted_parameters():
    expected = (
        convolution(3, 1, 32)
        + convolution(3, 32, 64)
        + convolution(3, 64, 128)
        + 2 * (32 + 64 + 128)  # scale and offset of the norms
        + (128 * 10 + 10)
    )
    assert count_parameters(network()) == expected == 94_410


def test_the_largest_model_has_the_hand_counted_parameters():
    largest = {"blocks": 4, "convolutions": 2, "filters": 64, "kernel_size": 5}
    expected = 512 * 10 + 10
    for inputs, outputs in [(1, 64), (64, 128), (128, 256), (256, 512)]:
        expected += convolution(5, inputs, outputs) + convolution(5, outputs, outputs)
    counted = count_parameters(lambda: network(plain=True, **largest))
    assert counted == expected


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [((1, 1, 1), 1), ((2, 9, 1), 2), ((7, 7, 3), 3), ((8, 8, 1), 4), ((99, 64, 3), 4)],
)
def test_the_space_ends_where_the_image_cannot_be_halved(shape, blocks):
    hp = keras_tuner.HyperParameters()
    HyperCNN(shape, 3).network(hp)
    [parameter] = [p for p in hp.space if p.name == "blocks"]
    assert (parameter.min_value, parameter.max_value) == (1, blocks)
    assert parameter.default == min(3, blocks)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 1), (7, 7, 3), (8, 8, 1)])
def test_the_deepest_model_of_a_small_image_sees_at_least_a_pixel(shape):
    hp = keras_tuner.HyperParameters()
    HyperCNN(shape, 3).network(hp)
    deepest = next(p.max_value for p in hp.space if p.name == "blocks")
    model = network(shape, 3, blocks=deepest, filters=16)
    sizes = [
        layer.output.shape[1:3]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    halves = [(shape[0] // 2**n, shape[1] // 2**n) for n in range(deepest)]
    assert sizes == halves
    assert min(sizes[-1]) >= 1
    assert np.all(np.isfinite(model.predict(np.ones((2, *shape)), verbose=0)))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_the_pooling_is_over_all_positions(pooling):
    keras.utils.set_random_seed(0)
    model = network(plain=True, pooling=pooling, blocks=2, filters=16)
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    # Behind the last convolution and its activation.
    last = [n for n in model.layers if isinstance(n, keras.layers.Activation)][-1]
    found = keras.Model(model.inputs, last.output).predict(images, verbose=0)
    found = found.reshape(3, 4 * 4, 32).astype("float64")
    query = np.random.default_rng(1).normal(size=32)
    if pooling == "attention":
        [layer] = [n for n in model.layers if hasattr(n, "query")]
        layer.query.assign(query)
    scores = np.exp(found @ query)[:, :, None]
    pooled = {
        "mean": found.mean(axis=1),
        "max": found.max(axis=1),
        "attention": (found * scores).sum(axis=1) / scores.sum(axis=1),
    }[pooling]
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        model.predict(images, verbose=0), pooled @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_a_pooling_of_sequences_is_refused():
    with pytest.raises(ValueError, match="one of 'mean', 'max', 'attention'"):
        network(pooling="first")


@pytest.mark.parametrize("channels_first", [False, True])
def test_channels_are_last_whatever_keras_is_set_to(channels_first):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(
        "channels_first" if channels_first else "channels_last"
    )
    try:
        model = network((8, 6, 3), blocks=1)
    finally:
        keras.config.set_image_data_format(before)
    [kernel] = [layer.kernel for layer in model.layers if hasattr(layer, "kernel_size")]
    assert kernel.shape == (3, 3, 3, 32)


@pytest.mark.parametrize("shape", [(8, 8), (64,), (2, 8, 8, 1)])
def test_a_shape_without_three_axes_is_refused_with_the_remedy(shape):
    with pytest.raises(ValueError, match=r"`images\[\.\.\., None\]`.*Received"):
        HyperCNN(shape, 10)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="`input_shape` must hold whole numbers >= 1"):
        HyperCNN((8, 0, 1), 10)


def test_the_default_model_tells_digits_apart():
    """On scikit-learn's digits, a held-out fifth: at least 98.5 % are right."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    x, test_x, y, test_y = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    keras.utils.set_random_seed(0)
    hypermodel, hp = HyperCNN((8, 8, 1), 10), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, verbose=0)
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    assert accuracy >= 0.985
