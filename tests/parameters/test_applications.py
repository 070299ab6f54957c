"""Every model of Keras Applications against the numbers that others published."""

import functools
import inspect

import keras
import pytest

from keras_tricks.parameters import count_parameters
from tests import sampling

# All parameters: the table in Keras's documentation of Keras Applications, in the days
# when it gave each digit (keras-team/keras-io, templates/api/applications/index.md).
KERAS_TABLE = {
    "Xception": 22_910_480,
    "VGG16": 138_357_544,
    "VGG19": 143_667_240,
    "ResNet50": 25_636_712,
    "ResNet101": 44_707_176,
    "ResNet152": 60_419_944,
    "ResNet50V2": 25_613_800,
    "ResNet101V2": 44_675_560,
    "ResNet152V2": 60_380_648,
    "InceptionV3": 23_851_784,
    "InceptionResNetV2": 55_873_736,
    "MobileNet": 4_253_864,
    "MobileNetV2": 3_538_984,
    "DenseNet121": 8_062_504,
    "DenseNet169": 14_307_880,
    "DenseNet201": 20_242_984,
    "NASNetMobile": 5_326_716,
    "NASNetLarge": 88_949_818,
    "EfficientNetB0": 5_330_571,
    "EfficientNetB1": 7_856_239,
    "EfficientNetB2": 9_177_569,
    "EfficientNetB3": 12_320_535,
    "EfficientNetB4": 19_466_823,
    "EfficientNetB5": 30_562_527,
    "EfficientNetB6": 43_265_143,
    "EfficientNetB7": 66_658_687,
}

# Trained parameters: `num_params` of the same models in torchvision's tables of
# weights. There, moving averages are buffers and no parameters.
TORCHVISION_TABLE = {
    "ConvNeXtTiny": 28_589_128,
    "ConvNeXtSmall": 50_223_688,
    "ConvNeXtBase": 88_591_464,
    "ConvNeXtLarge": 197_767_336,
    "EfficientNetV2S": 21_458_488,
    "EfficientNetV2M": 54_139_356,
    "EfficientNetV2L": 118_515_272,
    "MobileNetV3Small": 2_542_856,
    "MobileNetV3Large": 5_483_032,
}

# All parameters in millions, and the digits given: the same documentation of today; for
# the last, Liu et al., "A ConvNet for the 2020s" (arXiv:2201.03545), table 1.
IN_MILLIONS = {
    "EfficientNetV2B0": (7.2, 1),
    "EfficientNetV2B1": (8.2, 1),
    "EfficientNetV2B2": (10.2, 1),
    "EfficientNetV2B3": (14.5, 1),
    "ConvNeXtXLarge": (350, 0),
}

# Quick to allocate, and among them each kind of layer that the others have.
SMALL = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "Xception",
)

# One of each family: the others have more of the same layers, and NASNet's and
# Inception's are among those of MobileNet and Xception.
FAMILIES = (*SMALL, "ResNet50", "ResNet50V2", "VGG16")
SMALLEST = ("ConvNeXtTiny", "EfficientNetB0", "MobileNet", "MobileNetV3Small")


def only_small(names):
    return sampling.only([name for name in names if name in FAMILIES], names)


def build(name):
    return getattr(keras.applications, name)(weights=None)


@functools.cache
def counted(name, trainable=True):
    return count_parameters(lambda: build(name), trainable)


def builders():
    """The names of the functions that make a model."""
    return {
        name
        for name, member in vars(keras.applications).items()
        if inspect.isfunction(member)
        and "weights" in inspect.signature(member).parameters
    }


def test_every_model_has_a_published_number():
    assert builders() == {*KERAS_TABLE, *TORCHVISION_TABLE, *IN_MILLIONS}


@pytest.mark.parametrize("name", only_small(KERAS_TABLE))
def test_a_model_has_the_number_of_keras_table(name):
    assert counted(name, None) == KERAS_TABLE[name]


@pytest.mark.parametrize("name", only_small(TORCHVISION_TABLE))
def test_a_model_trains_the_number_of_torchvisions_table(name):
    assert counted(name) == TORCHVISION_TABLE[name]


@pytest.mark.parametrize("name", only_small(IN_MILLIONS))
def test_a_model_has_the_published_millions(name):
    published, digits = IN_MILLIONS[name]
    assert round(counted(name, None) / 1e6, digits) == published


@pytest.mark.parametrize("name", sampling.only(SMALLEST, SMALL))
def test_a_model_without_weights_has_the_number_of_the_allocated_one(name):
    model = build(name)
    trained = sum(weight.numpy().size for weight in model.trainable_weights)
    assert counted(name, None) == model.count_params()
    assert counted(name) == trained
