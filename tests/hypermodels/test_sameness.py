"""When a network may be copied: nothing that it was made from is another."""

import copy
import pickle

import keras
import keras_tuner
import pytest

from keras_tricks._watched_values import WatchedValues
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels import sameness
from tests.hypermodels import cases

# A backbone may have changed, and what joined hypermodels depend on is theirs to know.
BUILT = ("HyperFineTune", "HyperJoin")
COPIED = [name for name in cases.CASES if name not in BUILT]


def built(hypermodel=None, **values):
    hypermodel = HyperMLP((6,), 3) if hypermodel is None else hypermodel
    hp = cases.fixed(**values)
    hypermodel.build(hp)
    return hypermodel, hp


@pytest.mark.parametrize("name", COPIED)
def test_settings_that_the_network_does_not_read_share_it(name):
    hypermodel, hp = built(cases.CASES[name].make())
    assert hypermodel.same_network(hp) == 0
    for other, value in {"learning_rate": 0.123, "dropout": 0.2}.items():
        hp.values[other] = value
        assert hypermodel.same_network(hp) == 0
    hp.values["norm" if "norm" in hp.values else "pooling"] = "another"
    assert hypermodel.same_network(hp) is None


@pytest.mark.parametrize("name", BUILT)
def test_a_backbone_and_joined_hypermodels_are_never_copied(name):
    hypermodel, hp = built(cases.CASES[name].make())
    assert hypermodel.same_network(hp) is None


WIDTH = 16


def dense(hp):
    inputs = keras.Input((6,))
    x = keras.layers.Dense(WIDTH)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


class OwnNetwork(HyperMLP):
    def network(self, hp):
        return dense(hp)


class OwnActivation(HyperMLP):
    def activation(self, hp, default="relu"):
        return ("relu" if WIDTH > 9 else "tanh"), "he_normal"


class OwnOptimizer(HyperMLP):
    def optimizer(self, hp, total_steps):
        return keras.optimizers.SGD(float(WIDTH))


class Helper:
    def outputs(self, x, max_norm=0.0):
        return keras.layers.Dense(3)(x)


class Mixed(Helper, HyperMLP):
    pass


class OnlyAnother(HyperMLP):
    """Adds what nobody of the package calls: unknown all the same."""

    helper = staticmethod(dense)


@pytest.mark.parametrize(
    "cls", [OwnNetwork, OwnActivation, OwnOptimizer, Mixed, OnlyAnother]
)
def test_code_of_others_is_built_again(cls):
    hypermodel, hp = built(cls((6,), 3))
    assert hypermodel.same_network(hp) is None


@pytest.mark.parametrize("name", ["network", "build", "_build", "norm", "outputs"])
def test_a_function_in_the_place_of_a_method_is_built_again(name):
    hypermodel, hp = built()
    assert hypermodel.same_network(hp) == 0
    setattr(hypermodel, name, getattr(OwnNetwork((6,), 3), name))
    assert hypermodel.same_network(hp) is None


@pytest.mark.parametrize("name", ["network", "compile_arguments"])
def test_a_method_that_was_replaced_in_the_class_is_built_again(name, monkeypatch):
    hypermodel, hp = built()
    original = getattr(HyperMLP, name)
    monkeypatch.setattr(HyperMLP, name, lambda *a, **k: original(*a, **k))
    assert hypermodel.same_network(hp) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_classes", 4),
        ("plain", True),
        ("plain", 0),  # It equals False and is none.
        ("input_shape", (7,)),
        ("optimizer_arguments", {"learning_rate": 0.1}),
        ("of_the_user_s_own", 1),
    ],
)
def test_another_attribute_wants_another_network(name, value):
    hypermodel, hp = built()
    before = vars(hypermodel).get(name)
    setattr(hypermodel, name, value)
    assert hypermodel.same_network(hp) is None
    hypermodel.build(hp)
    assert hypermodel.same_network(hp) == 1
    if name in vars(HyperMLP((6,), 3)):
        setattr(hypermodel, name, before)
        assert hypermodel.same_network(hp) == 0


def test_a_change_inside_of_an_attribute_wants_another_network():
    hypermodel, hp = built(
        HyperMLP((6,), 3, optimizer_arguments={"optimizers": ["adam"]})
    )
    assert hypermodel.same_network(hp) == 0
    hypermodel.optimizer_arguments["optimizers"].append("sgd")
    assert hypermodel.same_network(hp) is None


def test_what_keras_was_told_wants_another_network():
    hypermodel, hp = built()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert hypermodel.same_network(hp) is None
    finally:
        keras.config.set_dtype_policy(before)
    assert hypermodel.same_network(hp) == 0


def test_the_number_of_updates_does_not():
    hypermodel, hp = built()
    hypermodel.fit_arguments(hp, *cases.CASES["HyperMLP"].data(48))
    assert hypermodel.total_steps is not None
    assert hypermodel.same_network(hp) == 0


def test_targets_of_another_mean_or_deviation_want_another_network():
    hypermodel, hp = built(HyperMLP((6,), task="regression"))
    x, y = cases.CASES["HyperMLP"].data(48)
    hypermodel.fit_arguments(hp, x, 1.0 * y)
    assert hypermodel.same_network(hp) is None
    hypermodel.build(hp)
    hypermodel.fit_arguments(hp, x, 1.0 * y)
    assert hypermodel.same_network(hp) == 1
    hypermodel.fit_arguments(hp, x, 2.0 * y)
    assert hypermodel.same_network(hp) is None


@pytest.mark.parametrize(
    ("copied", "number"),
    [
        (copy.deepcopy, 0),
        (lambda hypermodel: pickle.loads(pickle.dumps(hypermodel)), 0),
        # Its `build` is still that of the other object.
        (copy.copy, None),
    ],
    ids=["deepcopy", "pickle", "copy"],
)
def test_a_copy_builds_by_itself_or_is_built_again(copied, number):
    hypermodel, hp = built()
    assert copied(hypermodel).same_network(hp) == number


def test_a_setting_of_another_type_is_another_setting():
    hypermodel, hp = built(layers=1)
    hp.values["layers"] = True
    assert hypermodel.same_network(hp) is None


def test_the_values_are_the_same_object_after_a_build():
    hp = keras_tuner.HyperParameters()
    values = hp.values
    HyperMLP((6,), 3).build(hp)
    assert hp.values is values
    assert type(values) is dict
    assert values["layers"] == 1


ONE = {
    "get": lambda values: values.get("a"),
    "[]": lambda values: values["a"],
    "in": lambda values: "a" in values,
    "pop": lambda values: values.pop("a"),
    "setdefault": lambda values: values.setdefault("a", 1),
}
ALL = {
    "items": lambda values: values.items(),
    "keys": lambda values: values.keys(),
    "values": lambda values: values.values(),
    "iteration": list,
    "reversed": reversed,
    "len": len,
    "bool": bool,
    "copy": lambda values: values.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "dict": dict,
    "**": lambda values: {**values},
    "update": lambda values: {}.update(values),
    "==": lambda values: values == {},
    "!=": lambda values: values != {},
    "reflected ==": lambda values: {} == values,
    "|": lambda values: values | {},
    "reflected |": lambda values: {} | values,
    "popitem": lambda values: values.popitem(),
    "repr": repr,
    "sorted": sorted,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("way", ONE)
def test_a_value_that_was_read_is_known(way):
    values = WatchedValues({"a": 1, "b": 2})
    ONE[way](values)
    assert values.read == {"a"}
    assert not values.all_read


@pytest.mark.parametrize("way", ALL)
def test_values_that_were_read_together_are_not_told_apart(way):
    values = WatchedValues({"a": 1, "b": 2})
    ALL[way](values)
    assert sameness.what_was_read(values) is None
