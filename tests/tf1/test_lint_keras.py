"""Optimizers of Keras 2 and clips of tf.contrib: what the check says about them."""

import keras
import numpy as np
import pytest

from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rules import findings
from tests.tf1.test_lint_rewrites import rewritten
from tests.tf1.test_lint_rewrites import run

STEPS = [0, 1, 7, 1000]
SPELLINGS = {
    "keras": ("import keras", "keras.optimizers.Adam(lr=0.1, decay=0.01)"),
    "a class": (
        "from keras.optimizers import Adam as A",
        "A(decay=0.01, lr=0.1, beta_1=0.8)",
    ),
    "TensorFlow's": (
        "import tensorflow as tf",
        "tf.keras.optimizers.SGD(lr=0.1, momentum=0.9, decay=1e-4)",
    ),
    "by its new name": (
        "from tensorflow import keras",
        "keras.optimizers.RMSprop(learning_rate=0.1, decay=0.01)",
    ),
    "no decay": ("import keras", "keras.optimizers.Nadam(lr=0.1, decay=0.0)"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_lr_and_decay_become_a_schedule(name):
    """Keras 2 divided the rate by `1 + decay * iterations`."""
    imports, call = SPELLINGS[name]
    new = rewritten(f"{imports}\n\noptimizer = {call}\n")
    optimizer = run(new)["optimizer"]
    decay = {"no decay": 0.0, "TensorFlow's": 1e-4}.get(name, 0.01)
    rates = []
    for step in STEPS:
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    expected = [0.1 / (1 + decay * step) for step in STEPS]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    if "beta_1" in call:
        assert optimizer.beta_1 == 0.8


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (
            "Adam(0.1, decay=d)",
            "Adam(keras.optimizers.schedules.InverseTimeDecay(0.1, 1, d))",
        ),
        (
            "SGD(decay=0.1)",
            "SGD(keras.optimizers.schedules.InverseTimeDecay(0.01, 1, 0.1))",
        ),
        (
            "SGD(lr=tensor(), decay=0.1)",
            "SGD(keras.optimizers.schedules.InverseTimeDecay(tensor(), 1, 0.1))",
        ),
    ],
)
def test_advice_on_lr_and_decay_that_is_not_certain_is_not_made(call, advice):
    code = f"from keras import optimizers\nx = optimizers.{call}\n"
    [finding] = findings(Source(code))
    assert finding.instead == f"keras.optimizers.{advice}"
    assert finding.rewrite is None
    assert finding.why_not
    assert not findings(Source("import keras\nx = keras.optimizers.Adam(0.1, 0.9)\n"))


@pytest.mark.parametrize("name", ["Adam", "Adagrad", "RMSprop", "Nadam", "Adamax"])
def test_an_epsilon_of_none_is_left_out(name):
    """In Keras 2 it stood for 1e-7, which is the default of Keras 3's class."""
    for given in ("lr=0.1, epsilon=None", "epsilon=None, lr=0.1, decay=0.0"):
        code = f"import keras\n\noptimizer = keras.optimizers.{name}({given})\n"
        new = rewritten(code)
        assert new.endswith(f"keras.optimizers.{name}(learning_rate=0.1)\n")
        assert run(new)["optimizer"].epsilon == 1e-7


def test_the_decay_of_nadams_momentum_is_told_and_stays():
    code = "import keras\nx = keras.optimizers.Nadam(lr=0.1, schedule_decay=0.004)\n"
    [finding] = findings(Source(code))
    lost = "`schedule_decay=0.004`"
    assert finding.instead == f"keras.optimizers.Nadam(0.1); without {lost}"
    assert finding.why_not == f"Keras 3 has no {lost}"
    with pytest.raises(ValueError, match="schedule_decay"):
        keras.optimizers.Nadam(0.1, schedule_decay=0.004)


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        ("tf.contrib.estimator.clip_gradients_by_norm(x, 2.0)", "global_clipnorm=2.0"),
        ("slim.learning.create_train_op(l, x, clip_gradient_norm=4)", "clipnorm=4"),
        ("slim.learning.create_train_op(l, x, clip_gradient_norm=0)", None),
        ("slim.learning.create_train_op(l, x)", None),
        ("slim.learning.clip_gradient_norms(pairs, max_norm=3)", "clipnorm=3"),
        ("tf.contrib.training.clip_gradient_norms_fn(2)", "clipnorm=2"),
    ],
)
@pytest.mark.parametrize("slim", ["import tf_slim as slim", "slim = tf.contrib.slim"])
def test_clips_of_contrib_are_found(call, limit, slim):
    """slim's limit is for each gradient; that of Estimators for all of them."""
    found = findings(Source(f"import tensorflow as tf\n{slim}\nop = {call}\n"))
    advice = "keras_tricks.optimizers.ClippedOptimizer(optimizer, {})"
    expected = [] if limit is None else [advice.format(limit)]
    assert [finding.instead for finding in found] == expected


def test_keras_that_is_something_else_is_not_used():
    code = """
import tensorflow as tf
keras = 1
op = tf.train.AdamOptimizer(0.1).minimize(loss)
"""
    assert rewritten(code) == code
    new = rewritten(code.replace("keras = 1", "from tensorflow import keras"))
    assert "op = keras.optimizers.Adam(" in new
    assert new.count("import keras") == 1
