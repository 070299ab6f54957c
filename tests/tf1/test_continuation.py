"""A TF1 run is stopped at step 30 and continued to 60, in TF1 and in Keras.

Both round each operation to float32, in other orders: about 1e-7 of a weight a step,
hence a few 1e-6 over 30 steps where the weights themselves are about as large as the
distance moved. The bound is 2e-5 of that distance. What is compared with it, forgetting
the momentum, is 1,000 times farther away.
"""

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.tf1 import Rename
from keras_tricks.tf1 import restore_optimizer
from keras_tricks.tf1 import restore_weights
from tests.tf1 import mlp

v1 = mlp.v1
STOP, END = 30, 60
BOUND = 2e-5

RUNS = {
    "adam": (
        lambda step: v1.train.AdamOptimizer(0.01),
        lambda: keras.optimizers.Adam(0.01, epsilon=1e-8),
        None,
    ),
    "adam clipped": (
        lambda step: v1.train.AdamOptimizer(0.01, beta1=0.8, beta2=0.95, epsilon=1e-4),
        lambda: ClippedOptimizer(
            keras.optimizers.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4),
            global_clipnorm=0.1,
        ),
        0.1,
    ),
    "adam scheduled": (
        lambda step: v1.train.AdamOptimizer(
            v1.train.polynomial_decay(0.02, step, END, 0.001)
        ),
        lambda: keras.optimizers.Adam(
            keras.optimizers.schedules.PolynomialDecay(0.02, END, 0.001), epsilon=1e-8
        ),
        None,
    ),
    "momentum": (
        lambda step: v1.train.MomentumOptimizer(0.05, 0.9),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        None,
    ),
    "nesterov": (
        lambda step: v1.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        None,
    ),
    "gradient descent": (
        lambda step: v1.train.GradientDescentOptimizer(0.05),
        lambda: keras.optimizers.SGD(0.05),
        None,
    ),
}


@pytest.fixture(scope="module", params=RUNS)
def stopped(request, tmp_path_factory):
    """A checkpoint at STOP, the TF1 run's weights, and a maker of Keras's optimizer."""
    make_tf1, make_keras, clipnorm = RUNS[request.param]
    prefix = tmp_path_factory.mktemp("run") / "model.ckpt"
    history = mlp.tf1_run(make_tf1, END, save_at=STOP, prefix=prefix, clipnorm=clipnorm)
    return f"{prefix}-{STOP}", history, make_keras


def test_a_stopped_tf1_run_goes_on_in_keras(stopped):
    """The weights at the end are those of the run that went on in TF1."""
    prefix, history, make_optimizer = stopped
    model = mlp.keras_model()
    optimizer = mlp.built(make_optimizer(), model)
    restore_optimizer(model, optimizer, prefix)
    np.testing.assert_equal([w.numpy() for w in model.weights], history[STOP - 1])
    assert int(optimizer.iterations) == STOP
    weights = mlp.train(model, optimizer, range(STOP, END))[-1]
    moved = mlp.distance(history[-1], history[STOP - 1])
    assert mlp.distance(weights, history[-1]) <= BOUND * moved


@pytest.mark.parametrize(
    "stopped", sorted(RUNS.keys() - {"gradient descent"}), indirect=True
)
def test_the_bound_notices_what_is_not_restored(stopped):
    """With momentum forgotten the run ends far outside the bound."""
    prefix, history, make_optimizer = stopped
    model = mlp.keras_model()
    optimizer = mlp.built(make_optimizer(), model)
    restore_optimizer(model, optimizer, prefix)
    for variable in optimizer.variables:
        if variable.name.endswith("_momentum"):
            variable.assign(np.zeros(variable.shape))
    weights = mlp.train(model, optimizer, range(STOP, END))[-1]
    moved = mlp.distance(history[-1], history[STOP - 1])
    assert mlp.distance(weights, history[-1]) > 1000 * BOUND * moved


def test_momentum_under_a_changing_rate_has_the_next_update_of_tf1(tmp_path):
    """One update is TF1's; the ones after differ by the formulas' own difference."""
    history = mlp.tf1_run(
        lambda step: v1.train.MomentumOptimizer(
            v1.train.exponential_decay(0.1, step, 10, 0.5), 0.9
        ),
        STOP + 2,
        save_at=STOP,
        prefix=tmp_path / "model.ckpt",
    )
    model = mlp.keras_model()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = mlp.built(keras.optimizers.SGD(schedule, momentum=0.9), model)
    report = restore_optimizer(model, optimizer, tmp_path)
    assert "-0.0125, the rate of update 30" in str(report)
    one, two = mlp.train(model, optimizer, range(STOP, STOP + 2))
    moved = mlp.distance(history[STOP], history[STOP - 1])
    assert mlp.distance(one, history[STOP]) <= BOUND * moved
    # w differs by momentum * (rate(30) - rate(31)) * accum, and rate * accum is the
    # last movement.
    expected = 0.9 * (1 - 0.5**0.1) * moved
    difference = mlp.distance(two, history[STOP + 1])
    assert difference == pytest.approx(expected, rel=1e-3)


def test_gradient_accumulation_goes_on_at_the_update(tmp_path):
    """Each batch given twice to an optimizer that averages two is one update of TF1."""
    history = mlp.tf1_run(
        lambda step: v1.train.MomentumOptimizer(0.05, 0.9),
        END,
        save_at=STOP,
        prefix=tmp_path / "model.ckpt",
    )
    model = mlp.keras_model()
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2)
    mlp.built(optimizer, model)
    mlp.train(model, optimizer, range(1))  # leaves half an update behind
    restore_optimizer(model, optimizer, tmp_path)
    assert int(optimizer.iterations) == STOP
    weights = mlp.train(model, optimizer, range(STOP, END), repeats=2)[-1]
    moved = mlp.distance(history[-1], history[STOP - 1])
    assert mlp.distance(weights, history[-1]) <= BOUND * moved


def test_averages_of_the_weights_go_on(tmp_path):
    """`use_ema` continues `tf.train.ExponentialMovingAverage`."""
    history = mlp.tf1_run(
        lambda step: v1.train.AdamOptimizer(0.01),
        END,
        save_at=STOP,
        prefix=tmp_path / "model.ckpt",
        ema=0.9,
    )
    model = mlp.keras_model()
    optimizer = keras.optimizers.Adam(
        0.01, epsilon=1e-8, use_ema=True, ema_momentum=0.9
    )
    mlp.built(optimizer, model)
    restore_optimizer(model, optimizer, tmp_path)
    mlp.train(model, optimizer, range(STOP, END))
    averages = [v for v in optimizer.variables if v.name.endswith("_average")]
    moved = mlp.distance(history[-1][4:], history[STOP - 1][4:])
    assert mlp.distance(averages, history[-1][4:]) <= BOUND * moved


# How TF1's Adam was made, and what leads its slots to Keras's.
RENAMED = {
    "a scope": ("train", "Adam", Rename("^train/", "")),
    "a name": (None, "MyAdam", Rename("MyAdam", "Adam")),
    "both": ("train", "MyAdam", [Rename("^train/", ""), Rename("MyAdam", "Adam")]),
    "a function": (
        "train",
        "MyAdam",
        lambda name: name.removeprefix("train/").replace("MyAdam", "Adam"),
    ),
    "a dictionary": (
        "train",
        "Adam",
        {
            f"train/{name}": name
            for name in (
                "beta1_power",
                "beta2_power",
                *(
                    f"{layer}/{part}/{slot}"
                    for layer in ("hidden", "output")
                    for part in ("kernel", "bias")
                    for slot in ("Adam", "Adam_1")
                ),
            )
        },
    ),
}


@pytest.mark.parametrize("how", RENAMED)
def test_slots_of_other_names_are_led_to_the_optimizers(how, tmp_path):
    """Those of a scope and of an optimizer's own name; the powers are checked."""
    scope, name, variable_map = RENAMED[how]
    history = mlp.tf1_run(
        lambda step: v1.train.AdamOptimizer(0.01, name=name),
        END,
        save_at=STOP,
        prefix=tmp_path / "model.ckpt",
        slot_scope=scope,
    )
    model = mlp.keras_model()
    optimizer = mlp.built(keras.optimizers.Adam(0.01, epsilon=1e-8), model)
    with pytest.raises(ValueError, match="looks like a slot under the") as caught:
        restore_optimizer(model, optimizer, tmp_path)
    assert f"({name}, {name}_1): " in str(caught.value)
    report = restore_optimizer(model, optimizer, tmp_path, variable_map)
    assert not report.left_over
    weights = mlp.train(model, optimizer, range(STOP, END))[-1]
    moved = mlp.distance(history[-1], history[STOP - 1])
    assert mlp.distance(weights, history[-1]) <= BOUND * moved
    # The same map passes over them where weights alone are wanted.
    report = restore_weights(model, tmp_path, variable_map)
    assert len(report.of_optimizer) == 11
    assert not report.left_over
    other = mlp.built(keras.optimizers.Adam(0.01, beta_1=0.8), model)
    with pytest.raises(ValueError, match=r"beta1_power' is .* but 30 updates with"):
        restore_optimizer(model, other, tmp_path, variable_map)
