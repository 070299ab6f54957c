"""Descriptions of hypermodels: what they say is what the built model has."""

import keras_tuner
import pytest

from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels import HyperTextTransformer
from keras_tricks.parameters import parameter_table
from tests.hypermodels import cases


@pytest.mark.parametrize("name", cases.CASES)
def test_the_numbers_are_those_of_the_built_model(name):
    """Oracle: `parameter_table` of the model that `build` makes and compiles."""
    case = cases.CASES[name]
    found = case.make().describe(num_samples=10**6)
    hp = keras_tuner.HyperParameters()
    model = case.make(total_steps=10).build(hp)
    table = parameter_table(model, optimizer=model.optimizer)
    assert found.parameters.trainable == table.trainable
    assert found.parameters.total == model.count_params()
    parts = (table.weight_bytes, table.gradient_bytes, table.optimizer_bytes)
    assert found.training_bytes == sum(parts)
    assert found.budget.parameters == table.trainable
    assert {row[0]: row[1] for row in found.settings} == {
        name: value for name, value in hp.values.items() if hp.is_active(name)
    }
    shown = str(found)
    assert type(case.make()).__name__ in shown
    for setting, _, _ in found.settings:
        assert setting in shown


def test_settings_that_are_given_are_described_and_left_alone():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("layers", 3)
    hp.Fixed("norm", "layer")
    before = hp.get_config()
    found = HyperMLP((8,), 2).describe(hp)
    assert hp.get_config() == before
    settings = {name: (value, words) for name, value, words in found.settings}
    assert settings["layers"] == (3, "fixed")
    assert settings["units"] == (128, "16 to 512, log, step 2")
    assert settings["optimizer"][1] == "adam, nadam, adamw, sgd"
    assert found.budget is None
    # Three layers with their norms and dropout, and the last one.
    assert len(found.parameters.rows) == 10
    assert found.advice == (
        "norm: 'layer' for sequences, 'batch' otherwise. Received: 'layer'.",
    )


def test_advice_on_sequences():
    hp = keras_tuner.HyperParameters()
    assert HyperTextTransformer(100, 8, 2).describe(hp).advice == (
        "norm: 'layer' for sequences, 'batch' otherwise.",
    )


def test_a_description_changes_nothing_of_the_next_build():
    hypermodel = HyperMLP((8,), 2)
    hypermodel.describe()
    assert hypermodel.total_steps is None
    assert hypermodel.same_network(keras_tuner.HyperParameters()) is None


def test_wrong_settings_are_refused():
    with pytest.raises(TypeError, match="`hp` must be KerasTuner's"):
        HyperMLP((8,), 2).describe({"layers": 3})
