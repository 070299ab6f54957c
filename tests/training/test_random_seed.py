"""Seeding that keeps what is compiled: the numbers of Keras's own seeding."""

import contextlib
import random

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import random_seed

SEEDS = (11, 22, 22, 11, 33)


def drawn():
    """Returns numbers of all global generators."""
    return [
        random.random(),
        np.random.normal(),
        keras.random.SeedGenerator().state.numpy()[0],
        *tf.random.normal((2,)).numpy(),
        *tf.random.uniform((2,), seed=3).numpy(),
    ]


def numbers(set_seed, more=lambda: ()):
    found = []
    for seed in SEEDS:
        set_seed(seed)
        found.append([*drawn(), *drawn(), *more()])
    return found


def test_all_generators_draw_what_they_draw_by_keras():
    assert numbers(random_seed.set_random_seed) == numbers(keras.utils.set_random_seed)


def test_an_operation_within_a_function_begins_anew():
    @tf.function
    def noise():
        return tf.random.normal((2,), seed=3)

    def more():
        return [*noise().numpy(), *noise().numpy()]

    keras.utils.set_random_seed(1)
    more()  # It is traced once.
    right = numbers(keras.utils.set_random_seed, more)
    assert numbers(random_seed.set_random_seed, more) == right
    name = noise.get_concrete_function().function_def.signature.name
    assert keras_hooks.has_random_state(name)


def test_a_function_without_a_random_state_stays_as_it_was_set_up():
    from tensorflow.python.eager import context

    double = tf.function(lambda x: 2.0 * x)
    double(tf.constant(1.0))
    name = double.get_concrete_function(tf.constant(1.0)).function_def.signature.name
    assert name in keras_hooks.known_functions()
    assert not keras_hooks.has_random_state(name)
    before = context.context()._rng
    with keras_hooks.kernels_kept():
        keras.utils.set_random_seed(7)
    assert context.context()._rng is not before
    assert context.context()._seed == 7
    drawn_after = tf.random.uniform((2,)).numpy().tolist()
    keras.utils.set_random_seed(7)
    assert tf.random.uniform((2,)).numpy().tolist() == drawn_after


def test_a_function_may_be_gone_that_was_just_listed(monkeypatch):
    """As garbage collection, or another thread, removes it in between."""
    listed = keras_hooks.known_functions() | {"collected_meanwhile"}
    monkeypatch.setattr(keras_hooks, "known_functions", lambda: listed)
    monkeypatch.setattr(random_seed, "_KERNELS", random_seed._Kernels())
    random_seed.set_random_seed(5)
    random_seed.set_random_seed(6, after_build=True)
    random_seed._KERNELS.build_drew = False
    random_seed.set_random_seed(7, after_build=True)
    assert random_seed._KERNELS._functions["collected_meanwhile"] is False
    after = drawn()
    keras.utils.set_random_seed(7)
    assert drawn() == after


def test_a_second_build_by_one_seed_draws_what_the_first_has_drawn():
    def built(after_build):
        random_seed.set_random_seed(17, after_build=after_build)
        with random_seed.build_watched():
            return drawn()

    assert built(False) == built(True) == built(True)


def test_a_build_that_draws_nothing_keeps_what_is_compiled(monkeypatch):
    kept = []
    monkeypatch.setattr(keras_hooks, "known_functions", set)
    monkeypatch.setattr(
        keras_hooks, "kernels_kept", lambda: kept.append(1) or contextlib.nullcontext()
    )
    for draws in (False, True):
        random_seed.set_random_seed(19)
        with random_seed.build_watched():
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
            if draws:
                tf.random.normal((1,), seed=3)
        kept.clear()
        random_seed.set_random_seed(19, after_build=True)
        assert bool(kept) == (not draws)
