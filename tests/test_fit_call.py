"""The arguments of `fit`, held against Keras's own signature and splits."""

import inspect

import keras
import numpy as np
import pytest

from keras_tricks._fit_call import FitCall

NAMES = [*inspect.signature(keras.Model.fit).parameters][1:]


def test_every_argument_is_read_by_place_and_by_name():
    values = [object() for _ in NAMES]
    placed = FitCall.of(tuple(values), {})
    named = FitCall.of((), dict(zip(NAMES, values, strict=True)))
    for name, value in zip(NAMES, values, strict=True):
        assert placed[name] is value
        assert named[name] is value
        assert placed.is_given(name)
        assert named.is_given(name)


def test_what_is_left_out_has_the_default_of_keras():
    call = FitCall.of((), {})
    parameters = inspect.signature(keras.Model.fit).parameters
    assert {name: call[name] for name in NAMES} == {
        name: parameters[name].default for name in NAMES
    }
    assert not any(map(call.is_given, NAMES))


def test_a_call_is_handed_on_with_the_meaning_it_had():
    call = FitCall.of((1, 2, 16, 3), {"verbose": 0, "own": 5})
    bound = inspect.signature(keras.Model.fit).bind(
        None, *call.args, **call.without("own").kwargs
    )
    expected = {"x": 1, "y": 2, "batch_size": 16, "epochs": 3, "verbose": 0}
    assert expected.items() <= bound.arguments.items()
    assert call.unknown() == ["own"]


def test_a_replaced_argument_stays_where_it_was():
    call = FitCall.of((1, 2), {"epochs": 3}).replace(x=5, epochs=4, shuffle=False)
    assert call.args == (5, 2)
    assert call.kwargs == {"epochs": 4, "shuffle": False}


def test_an_argument_given_twice_is_refused():
    with pytest.raises(TypeError, match="`epochs` must be given by its place or by"):
        FitCall.of((1, 2, 3, 4), {"epochs": 4})


def test_too_many_arguments_are_refused():
    with pytest.raises(TypeError, match="at most 16 positional arguments"):
        FitCall.of((None,) * 17, {})


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3])
@pytest.mark.parametrize("num_examples", [10, 33, 100])
def test_keras_splits_off_the_same_validation_examples(share, num_examples):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.params["steps"])

    x = np.zeros((num_examples, 1), "float32")
    call = FitCall.of((x, x), {"validation_split": share, "batch_size": 1})
    model.fit(*call.args, **call.kwargs, callbacks=[Spy()], verbose=0)
    assert seen == [call.num_training_examples(num_examples)]


def test_validation_data_win_over_a_split():
    call = FitCall.of((), {"validation_split": 0.5, "validation_data": (1, 2)})
    assert call.validation_share == 0
    assert call.has_validation


def test_no_split_at_all_may_be_written_as_none():
    assert FitCall.of((), {"validation_split": None}).validation_share == 0


@pytest.mark.parametrize(
    ("given", "number"), [(None, 0), ([], 0), ("one", 1), (("a", "b"), 2)]
)
def test_callbacks_are_a_list(given, number):
    assert len(FitCall.of((), {"callbacks": given}).callbacks) == number
