"""What holds for every optimizer of the package, in `fit`."""

import functools
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

import keras_tricks.optimizers
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.optimizers import create_optimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from tests import sampling
from tests import shared_process
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits


def adam():
    return keras.optimizers.Adam(0.01)


def momentum():
    return keras.optimizers.SGD(WarmupPolynomialDecay(0.1, 100, 10), momentum=0.9)


def averaging():
    return keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True)


# Public name -> what is special -> function that builds one for small models.
OPTIMIZERS = {
    "ClippedOptimizer": {
        "number": lambda: ClippedOptimizer(adam(), global_clipnorm=0.5),
        "no-limit": lambda: ClippedOptimizer(adam()),
        "limit-schedule": lambda: ClippedOptimizer(
            momentum(), global_clipnorm=WarmupPolynomialDecay(1.0, 8, 2, 0.1)
        ),
        "percentile": lambda: ClippedOptimizer(
            momentum(), global_clipnorm=PercentileLimit(50, window=4, min_updates=2)
        ),
        "clipnorm": lambda: ClippedOptimizer(momentum(), clipnorm=0.1),
        "clipvalue": lambda: ClippedOptimizer(
            momentum(), clipvalue=0.05, nonfinite="zero"
        ),
        "adaptive": lambda: ClippedOptimizer(momentum(), adaptive_clip=0.02),
        "skip": lambda: ClippedOptimizer(
            averaging(), global_clipnorm=0.5, nonfinite="skip", max_consecutive_skips=3
        ),
        "accumulation": lambda: ClippedOptimizer(
            momentum(),
            global_clipnorm=0.5,
            nonfinite="skip",
            # Four batches make an epoch, so that epochs end amid the batches of an
            # update.
            gradient_accumulation_steps=3,
        ),
    },
}

OPTIMIZERS["AdamWeightDecay"] = {
    "alone": lambda: AdamWeightDecay(0.01),
    "berts-recipe": lambda: create_optimizer(0.01, 100, 10),
    "bias-correction": lambda: AdamWeightDecay(
        0.01, bias_correction=True, use_ema=True, learning_rate_multipliers={"bias": 2}
    ),
}

OPTIMIZERS["SwitchedOptimizer"] = {
    # Two epochs are eight updates: one switch is before a file is written, and one
    # after it was loaded.
    "step": lambda: SwitchedOptimizer(adam(), momentum(), at=5),
    "later": lambda: SwitchedOptimizer(averaging(), momentum(), at=11),
    "swats": lambda: SwitchedOptimizer(
        adam(), keras.optimizers.SGD(0.01, momentum=0.9), at="swats", tolerance=1e-3
    ),
    "clipped": lambda: ClippedOptimizer(
        SwitchedOptimizer(adam(), momentum(), at=2),
        global_clipnorm=0.5,
        gradient_accumulation_steps=3,
    ),
}

CASES = [(name, case) for name, cases in OPTIMIZERS.items() for case in cases]

every_optimizer = pytest.mark.parametrize(
    ("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES]
)


def data(*, bad_batch=False):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    if bad_batch:
        x[8:16] = np.nan
    return x, y


def compiled_model(optimizer, **compile_arguments):
    """A small model, which starts from the same weights on every backend."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            # Each weight more is traced in each test of each optimizer.
            keras.layers.Dense(3, use_bias=False),
            keras.layers.Dense(1),
        ]
    )
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def train(model, epochs=2, **data_arguments):
    x, y = data(**data_arguments)
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model.get_weights()


def train_eagerly(model):
    """For what a saved model holds; a step is compiled for longer than it runs."""
    model.run_eagerly = True
    model.make_train_function(force=True)
    return train(model)


class Trained(NamedTuple):
    """What training step by step gives, not compiled.

    Attributes:
        weights: After two epochs.
        num_steps: Of the optimizer, after two epochs.
        file: A `.keras` file, written after two epochs.
        later_weights: After two more epochs.
    """

    weights: list
    num_steps: int
    file: bytes
    later_weights: list


@functools.cache
def trained(name, case):
    model = compiled_model(OPTIMIZERS[name][case]())
    weights = train_eagerly(model)
    num_steps = int(model.optimizer.iterations)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        file = path.read_bytes()
    return Trained(weights, num_steps, file, train_eagerly(model))


def test_every_public_optimizer_is_in_the_suite():
    members = {
        n: getattr(keras_tricks.optimizers, n) for n in keras_tricks.optimizers.__all__
    }
    public = {
        name
        for name, member in members.items()
        if isinstance(member, type) and issubclass(member, keras.optimizers.Optimizer)
    }
    assert public == set(OPTIMIZERS)


@every_optimizer
def test_fit_lowers_the_loss(name, case):
    x, y = data()
    model = compiled_model(OPTIMIZERS[name][case]())
    before = np.mean((model(x) - y) ** 2)
    model.set_weights(trained(name, case).weights)
    assert np.mean((model(x) - y) ** 2) < before


@pytest.mark.parametrize(
    ("name", "case", "compile_arguments"),
    sampling.one_in(
        3,
        (
            (name, case, arguments)
            for arguments in ({"jit_compile": False}, {"jit_compile": True})
            for name, case in CASES
        ),
    ),
    ids=str,
)
def test_graph_and_xla_training_equal_eager_training(name, case, compile_arguments):
    model = compiled_model(OPTIMIZERS[name][case](), **compile_arguments)
    expected = trained(name, case).weights
    assert_close(train(model), expected, rtol=1e-4, atol=1e-6)


@every_optimizer
def test_the_config_makes_an_optimizer_of_the_same_config(name, case):
    """Whether it trains alike is seen in a new process, below."""
    config = keras.saving.serialize_keras_object(OPTIMIZERS[name][case]())
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert keras.saving.serialize_keras_object(restored) == config


@pytest.fixture(scope="module")
def continued_elsewhere(tmp_path_factory):
    """The weights that a new process has after loading each file and two epochs."""
    folder = tmp_path_factory.mktemp("models")
    for name, case in CASES:
        path = folder / f"{name} {case}.keras"
        path.write_bytes(trained(name, case).file)
    shared_process.run(
        """
        from pathlib import Path
        import keras
        import numpy as np
        from tests.optimizers import test_contract as suite

        for path in Path().glob("*.keras"):
            # The package is imported, and nothing else is told to Keras.
            np.savez(path.stem, *suite.train_eagerly(keras.models.load_model(path)))
        """,
        cwd=folder,
    )
    weights = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            weights[path.stem] = [arrays[key] for key in arrays.files]
    return weights


@every_optimizer
def test_training_goes_on_bit_for_bit_in_a_new_process(name, case, continued_elsewhere):
    expected = trained(name, case)
    assert_same_bits(continued_elsewhere[f"{name} {case}"], expected.later_weights)
    assert any(
        np.any(a != b)
        for a, b in zip(expected.later_weights, expected.weights, strict=True)
    )


# Of each way that an update takes through the two classes.
KINDS = [
    ("ClippedOptimizer", "limit-schedule"),
    ("ClippedOptimizer", "percentile"),
    ("ClippedOptimizer", "adaptive"),
    ("ClippedOptimizer", "skip"),
    ("ClippedOptimizer", "accumulation"),
    ("AdamWeightDecay", "bias-correction"),
    ("SwitchedOptimizer", "step"),
    ("SwitchedOptimizer", "swats"),
]
every_kind = pytest.mark.parametrize(("name", "case"), sampling.only(KINDS, CASES))


@every_kind
def test_a_custom_loop_equals_fit(name, case):
    import tensorflow as tf

    model = compiled_model(OPTIMIZERS[name][case]())
    optimizer, (x, y) = model.optimizer, data()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        return optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )

    for start in [0, 8, 16, 24] * 2:
        step(tf.constant(x[start : start + 8]), tf.constant(y[start : start + 8]))
    optimizer.finalize_variable_values(model.trainable_variables)
    expected = trained(name, case)
    assert_close(model.get_weights(), expected.weights, rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == expected.num_steps


def flat(weights):
    return np.concatenate([w.ravel() for w in weights])


def handles_bad_batches(name, case):
    optimizer = OPTIMIZERS[name][case]()
    return getattr(optimizer, "nonfinite", "propagate") in ("skip", "zero")


def weights_of_every_backend(name, case, **compile_arguments):
    """In spite of a bad batch where that is handled."""
    bad_batch = handles_bad_batches(name, case)
    model = compiled_model(OPTIMIZERS[name][case](), **compile_arguments)
    return flat(train(model, bad_batch=bad_batch))


def assert_equal_under(backend, name, case, run_shared):
    printed = run_shared(
        f"""
        import keras
        from tests.optimizers import test_contract as suite
        print(keras.backend.backend(), *suite.weights_of_every_backend{name, case})
        """,
        backend=backend,
    )
    found, *numbers = printed.split()
    assert found == backend
    if handles_bad_batches(name, case):
        expected = weights_of_every_backend(name, case, run_eagerly=True)
        assert np.isfinite(expected).all()
    else:
        expected = flat(trained(name, case).weights)
    np.testing.assert_allclose(np.array(numbers, float), expected, rtol=1e-4, atol=1e-6)


@every_kind
def test_training_under_jax_equals_training_under_tensorflow(name, case, run_shared):
    assert_equal_under("jax", name, case, run_shared)


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed, so Keras's torch backend cannot run",
)
@every_kind
def test_training_under_torch_equals_training_under_tensorflow(name, case, run_shared):
    assert_equal_under("torch", name, case, run_shared)
