"""The names of version 0.1: each still works, and says what to write instead."""

import importlib
import warnings

import keras
import keras_tuner
import pytest

from keras_tricks import losses
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.parameters import count_parameters

BASE = "keras_tricks.hypermodels.base"


@pytest.mark.parametrize(
    ("module", "old", "now"),
    [
        (BASE, "HyperClassifier", SupervisedHyperModel),
        (
            "keras_tricks.hypermodels.losses",
            "ClassificationLoss",
            losses.ClassificationLoss,
        ),
    ],
)
def test_an_old_name_is_the_new_one_and_warns_where_it_is_used(module, old, now):
    """The warning names the new name, the last version, and the user's own line."""
    with pytest.warns(
        DeprecationWarning, match=rf"`.*{old}` is now .*0\.4\.0"
    ) as caught:
        assert getattr(importlib.import_module(module), old) is now
    assert [warning.filename for warning in caught] == [__file__]


def test_a_hypermodel_of_version_0_1_builds():
    """The example in 0.1's guide, which counted 739 parameters."""
    with pytest.warns(DeprecationWarning, match="SupervisedHyperModel"):
        from keras_tricks.hypermodels.base import HyperClassifier

    class HyperGatedMLP(HyperClassifier):
        def network(self, hp):
            inputs = keras.Input((8,))
            units = hp.Int("units", 16, 128, step=2, sampling="log", default=32)
            gate = keras.layers.Dense(units, "sigmoid")(inputs)
            x = keras.layers.Multiply()([keras.layers.Dense(units)(inputs), gate])
            x = self.dropout(hp, self.norm(hp, x, "batch"))
            return keras.Model(inputs, self.logits(x))

    with pytest.warns(DeprecationWarning, match="`logits` is now `outputs`") as caught:
        model = HyperGatedMLP(3).build(keras_tuner.HyperParameters())
    assert {warning.filename for warning in caught} == {__file__}
    assert count_parameters(model) == 739


class Own(HyperMLP):
    def logits(self, x, max_norm=0.0):
        return keras.layers.Dense(self.num_classes, name="mine")(x)


class Scaled(HyperMLP):
    def logits(self, x, max_norm=0.0):
        return keras.layers.Rescaling(2.0, name="mine")(super().logits(x, max_norm))


class Both(HyperMLP):
    def outputs(self, x, max_norm=0.0):
        return keras.layers.Rescaling(2.0, name="mine")(super().outputs(x, max_norm))

    def logits(self, x, max_norm=0.0):
        return self.outputs(x, max_norm)


@pytest.mark.parametrize(
    ("hypermodel", "layers"),
    [(Own, ["mine"]), (Scaled, ["logits", "mine"]), (Both, ["logits", "mine"])],
)
def test_the_last_layer_of_a_class_of_version_0_1_is_its_own(hypermodel, layers):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = hypermodel((4,), 3).build(keras_tuner.HyperParameters())
    assert [layer.name for layer in model.layers[-len(layers) :]] == layers
    told = [(w.filename, w.category) for w in caught if "`logits`" in str(w.message)]
    assert set(told) == (
        set() if hypermodel is Both else {(__file__, DeprecationWarning)}
    )


@pytest.mark.parametrize("module", [BASE, "keras_tricks.hypermodels.losses"])
def test_other_names_are_missing_as_ever(module):
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        importlib.import_module(module).Nothing  # noqa: B018
