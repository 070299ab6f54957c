"""Code that remembers its calls is told from code that does not.

A step of such code is another one each time that it is traced, and `fit` decides when.
"""

import itertools
import logging
import random
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training import train
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.families import python_state

NUM_CALLS = 0
CALLS = {"number": 0}


class CountsInItsClass(keras.layers.Layer):
    calls = 0

    def call(self, x):
        CountsInItsClass.calls += 1
        return x * (1 + self.calls % 2)


class CountsInABase(CountsInItsClass):
    def call(self, x):
        return super().call(x)


class CountsInAnAttribute(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self._calls = 0

    def call(self, x):
        self._calls += 1
        return x * (1 + self._calls % 2)


class CountsInAGlobal(keras.layers.Layer):
    def call(self, x):
        global NUM_CALLS
        NUM_CALLS += 1
        return x * (1 + NUM_CALLS % 2)


def counted(x):
    CALLS["number"] += 1
    return x * (1 + CALLS["number"] % 2)


class AsksAFunctionThatCounts(keras.layers.Layer):
    def call(self, x):
        return counted(x)


class Counter:
    def __init__(self):
        self.number = 0

    def __call__(self, x):
        self.number += 1
        return x * (1 + self.number % 2)


def counting_closure():
    seen = []

    def call(x):
        seen.append(len(seen))
        return x * (1 + len(seen) % 2)

    return call


def counting_nonlocal():
    number = 0

    def call(x):
        nonlocal number
        number += 1
        return x * (1 + number % 2)

    return call


def counting_iterator():
    numbers = itertools.count()
    return lambda x: x * (1 + next(numbers) % 2)


def counting_default():
    def call(x, seen={"number": 0}):  # noqa: B006 - it is what counts.
        seen["number"] += 1
        return x * (1 + seen["number"] % 2)

    return call


def counting_attribute():
    def call(x):
        call.number += 1
        return x * (1 + call.number % 2)

    call.number = 0
    return call


def drawing(generator):
    return lambda x: x * float(generator.random())


def activated(function):
    return keras.layers.Dense(2, activation=function)


REMEMBERING = {
    "class": CountsInItsClass,
    "base": CountsInABase,
    "attribute": CountsInAnAttribute,
    "global": CountsInAGlobal,
    "function of the module": AsksAFunctionThatCounts,
    "object": lambda: activated(Counter()),
    "closure": lambda: activated(counting_closure()),
    "nonlocal": lambda: activated(counting_nonlocal()),
    "iterator": lambda: activated(counting_iterator()),
    "default": lambda: activated(counting_default()),
    "attribute of a function": lambda: activated(counting_attribute()),
    "lambda layer": lambda: keras.layers.Lambda(counting_closure()),
    "nested model": lambda: keras.Sequential([activated(counting_closure())]),
    "random": lambda: activated(drawing(random.Random(0))),
    "NumPy": lambda: activated(drawing(np.random.default_rng(0))),
    "legacy NumPy": lambda: activated(drawing(np.random.RandomState(0))),
}


def model_of(layer, loss="mse", metrics=()):
    model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", loss, metrics=list(metrics))
    return model


def call(model):
    x = np.ones((4, 2), "float32")
    model.compute_loss(x, x[:, :1], model(x))
    model.compute_metrics(x, x[:, :1], model(x))


@pytest.mark.parametrize("name", REMEMBERING)
def test_layers_that_remember_their_calls_are_found(name):
    model = model_of(REMEMBERING[name]())
    call(model)  # As a build may have called it.
    with pytest.raises(UnsupportedModelError, match="changes when a step is traced"):
        with python_state.unchanged(model):
            call(model)


class KeepsItsFirstInput(keras.layers.Layer):
    """Its first call finds nothing, and the others what that one has left."""

    def __init__(self):
        super().__init__()
        self.first = None

    def call(self, x):
        if self.first is None:
            self.first = [x]
        return x


def test_a_plain_value_that_another_takes_the_place_of_is_found():
    layer = KeepsItsFirstInput()
    model = model_of(layer)
    layer.first = None  # Building has called it.
    with pytest.raises(UnsupportedModelError, match="'first' of an object"):
        with python_state.unchanged(model):
            call(model)


class MakesItsFunction(keras.layers.Layer):
    """What is made by the call uses a global that nothing did before."""

    def call(self, x):
        self.made = types.SimpleNamespace(times=lambda value: value * FACTOR)
        return self.made.times(x)


FACTOR = 2.0


def test_a_global_that_a_new_function_uses_has_not_changed():
    model = model_of(MakesItsFunction())
    with python_state.unchanged(model):
        call(model)


def counting_loss():
    count = counting_closure()
    return lambda y, p: count(y - p) ** 2


@pytest.mark.parametrize(
    "compiled", [{"loss": counting_loss()}, {"metrics": [counting_loss()]}], ids=[*"lm"]
)
def test_losses_and_metrics_that_remember_their_calls_are_found(compiled):
    model = model_of(keras.layers.Dense(2), **compiled)
    call(model)
    with pytest.raises(UnsupportedModelError, match="'seen' of the function"):
        with python_state.unchanged(model):
            call(model)


class Notes(keras.layers.Layer):
    """What is made by the first call and kept is the same for all."""

    def call(self, x):
        self.last_input = x
        return x * SCALES["times"]


SCALES = {"times": 2.0}


@pytest.mark.parametrize(
    "layer",
    [
        lambda: activated(lambda x: x * SCALES["times"]),
        lambda: Notes(),
        lambda: keras.layers.Dropout(0.5),
        lambda: keras.layers.BatchNormalization(),
        lambda: keras.layers.Lambda(lambda x: keras.ops.tanh(x)),
        # Python refuses to print so long a number.
        lambda: activated(lambda x, number=10**5000: x * (number % 7)),
    ],
)
def test_layers_that_remember_nothing_are_not(layer):
    model = model_of(layer())
    call(model)
    with python_state.unchanged(model):
        call(model)


def test_fit_trains_what_remembers_and_says_so():
    def build(rate):
        model = model_of(CountsInItsClass())
        model.optimizer.learning_rate = rate
        return model

    x = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
    trained = train([0.01, 0.1], build, x, x[:, :1], epochs=1, batch_size=8)
    for each in trained:
        assert "'calls' of the class 'CountsInItsClass'" in each.reason


def test_what_has_changed_is_put_back():
    """`fit`, which takes over, begins where it would have begun."""
    number, items, table = 0, [1], {"a": 1}
    array, count = np.zeros(3), itertools.count(5)
    generator = random.Random(0)
    next_draw = random.Random(0).random()

    class Counting(keras.layers.Layer):
        calls = 0

        def call(self, x):
            nonlocal number
            number += 1
            Counting.calls += 1
            self.own = 1
            items.append(2)
            table["b"] = 2
            array[0] += 1
            next(count)
            generator.random()
            counted(x)
            return x

    model = keras.Sequential([keras.Input((1,)), Counting()])
    Counting.calls, number, CALLS["number"] = 0, 0, 0
    items[:], array[:] = [1], 0
    table.pop("b")
    count, generator = itertools.count(5), random.Random(0)
    with (
        pytest.raises(UnsupportedModelError, match="changes when"),
        python_state.unchanged(model),
    ):
        model(np.zeros((1, 1)))
    assert (Counting.calls, number, CALLS["number"]) == (0, 0, 0)
    assert (items, table, array.tolist()) == ([1], {"a": 1}, [0, 0, 0])
    assert next(count) == 5
    assert generator.random() == next_draw


def test_a_build_that_logs_reads_nothing(tmp_path):
    log = logging.getLogger("of_a_build")
    log.addHandler(logging.FileHandler(tmp_path / "log"))
    numbers = (n for n in range(3))
    file = open(__file__)

    def logs(hp):
        log.info("builds")

    def draws(hp):
        return next(numbers)

    def reads(hp):
        return file.readline()

    found = [python_state.before_a_build(build).read_once for build in (logs, draws)]
    assert found == [None, "generator"]
    assert python_state.before_a_build(reads).read_once == "TextIOWrapper"
    file.close()
    assert python_state.before_a_build(reads).read_once is None


def test_an_iterator_that_was_moved_on_is_put_back():
    seeds = itertools.cycle([1, 2])
    variable = tf.Variable(1.0)

    def build(hp):
        return next(seeds), variable.assign_add(1.0)

    next(seeds)
    before = python_state.before_a_build(build)
    build(None)
    assert before.put_back() is not None
    assert [next(seeds) for _ in range(3)] == [2, 1, 2]
    assert float(variable) == 1.0
