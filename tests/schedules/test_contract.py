"""What holds for every schedule of the package."""

import copy
import functools
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tricks.schedules
from tests import child_process
from tests import shared_process
from tests.schedules import families
from tests.schedules import test_in_use

every_schedule = pytest.mark.parametrize(
    "build",
    [build for _, build in families.BUILDERS],
    ids=[label for label, _ in families.BUILDERS],
)

STEPS = np.arange(families.RUN_STEPS + 5)


@functools.cache
def evaluated_one_by_one(build):
    schedule = build()
    return np.array([float(schedule(int(step))) for step in STEPS], np.float32)


def test_every_public_schedule_is_in_the_suite():
    public = {
        name
        for name in keras_tricks.schedules.__all__
        if isinstance(getattr(keras_tricks.schedules, name), type)
    }
    assert public == set(families.SCHEDULES)


@every_schedule
def test_rates_are_float32_finite_and_never_negative(build):
    rates = build()(STEPS)
    assert keras.backend.standardize_dtype(rates.dtype) == "float32"
    rates = np.asarray(rates)
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()


@every_schedule
def test_rates_are_float32_whatever_floatx_is(build, restore_floatx):
    expected = np.asarray(build()(STEPS))
    keras.config.set_floatx("float16")
    rates = build()(STEPS)
    assert keras.backend.standardize_dtype(rates.dtype) == "float32"
    np.testing.assert_array_equal(np.asarray(rates), expected)


@pytest.fixture
def restore_floatx():
    before = keras.config.floatx()
    yield
    keras.config.set_floatx(before)


@every_schedule
def test_a_vector_of_steps_gives_what_the_scalars_give(build):
    np.testing.assert_array_max_ulp(
        np.asarray(build()(STEPS)), evaluated_one_by_one(build), maxulp=2
    )


@every_schedule
def test_every_kind_of_step_is_accepted(build):
    schedule = build()
    expected = float(schedule(5))
    for step in (
        np.int32(5),
        np.int64(5),
        tf.constant(5, tf.int32),
        tf.constant(5, tf.int64),
        tf.constant(5.0, tf.float32),
        tf.Variable(5, dtype=tf.int64),
        keras.Variable(5, dtype="int"),
    ):
        assert float(schedule(step)) == expected


@every_schedule
def test_negative_steps_count_as_step_0(build):
    schedule = build()
    assert float(schedule(-3)) == float(schedule(0))


@every_schedule
def test_steps_up_to_2_to_the_31_and_beyond_stay_finite(build):
    rates = np.asarray(build()(np.array([2**24 + 1, 2**31 - 1, 2**31, 2**40])))
    assert np.isfinite(rates).all()


@every_schedule
def test_the_config_gives_the_same_schedule_back(build):
    schedule = build()
    config = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(restored) == config
    np.testing.assert_array_equal(restored(STEPS), schedule(STEPS))


@every_schedule
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_and_pickles_give_the_same_rates(build, duplicate):
    schedule = build()
    np.testing.assert_array_equal(duplicate(schedule)(STEPS), schedule(STEPS))


@every_schedule
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_rates_equal_eager_rates(build, jit_compile):
    # XLA may contract a product and a sum, or divide by a reciprocal.
    np.testing.assert_allclose(
        compiled_rates(jit_compile)[build], build()(STEPS), rtol=3e-6, atol=1e-8
    )


@functools.cache
def compiled_rates(jit_compile):
    """Those of all schedules, compiled together."""
    schedules = [build() for _, build in families.BUILDERS]
    rates = tf.function(
        lambda steps: [schedule(steps) for schedule in schedules],
        jit_compile=jit_compile,
    )(tf.constant(STEPS))
    return {build: r for (_, build), r in zip(families.BUILDERS, rates, strict=True)}


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_fit_moves_the_weights_by_the_sum_of_the_rates(policy):
    """With a constant gradient of 1, SGD moves a weight by -sum(rate(step)).

    All schedules side by side, as in test_in_use.py.
    """
    schedules = test_in_use.all_schedules()
    with _policy(policy):
        model = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(
                    len(schedules), use_bias=False, kernel_initializer="zeros"
                ),
            ]
        )
        model.compile(
            keras.optimizers.SGD(test_in_use.SideBySide(schedules)),
            loss=lambda y_true, y_pred: keras.ops.sum(y_pred, axis=-1),
            auto_scale_loss=False,
        )
        ones = np.ones((10, 1), "float32")
        model.fit(ones, ones, batch_size=1, verbose=0)
    rates = [evaluated_one_by_one(build)[:10] for _, build in test_in_use.BUILDERS]
    expected = np.sum(rates, axis=1, dtype=np.float64)
    np.testing.assert_allclose(-test_in_use.kernel(model), expected, rtol=1e-5)


class _policy:
    """Sets Keras's global dtype policy for a block."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.name)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self.before)


# Goes on with a saved run, and prints the bits that it ends with.
GO_ON = """
import keras
import keras_tricks
from tests.schedules import test_in_use

model = keras.models.load_model("run.keras")
print(test_in_use.go_on(model).tobytes().hex())
"""


def kernel_of(line):
    return np.frombuffer(bytes.fromhex(line), np.float32)


def test_a_run_saved_during_warmup_goes_on_in_a_new_process_bit_for_bit(
    run_shared, tmp_path
):
    """The uninterrupted run is the oracle; `custom_objects` is not used."""
    model = test_in_use.saved_during_warmup(tmp_path / "run.keras")
    uninterrupted = test_in_use.go_on(model)
    assert len(set(uninterrupted)) == len(test_in_use.LABELS)
    test_in_use.assert_equal(kernel_of(run_shared(GO_ON)), uninterrupted)


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """The folder of a process under JAX, and what it printed."""
    folder = tmp_path_factory.mktemp("jax")
    printed = child_process.run_python(
        """
        import jax
        import numpy as np
        from tests.schedules import families
        from tests.schedules import test_in_use

        for label, build in families.BUILDERS:
            rates = jax.jit(build())(np.arange(families.RUN_STEPS + 5))
            print(label, np.asarray(rates, np.float32).tobytes().hex())
        model = test_in_use.saved_during_warmup("run.keras")
        print(test_in_use.go_on(model).tobytes().hex())
        print(test_in_use.trained_from_ones().tobytes().hex())
        """,
        cwd=folder,
        env={"KERAS_BACKEND": "jax"},
    )
    return folder, printed.splitlines()


def test_under_jax_a_saved_run_goes_on_in_a_new_process_bit_for_bit(under_jax):
    folder, (*_, uninterrupted, _) = under_jax
    resumed = shared_process.run(GO_ON, cwd=folder, backend="jax")
    test_in_use.assert_equal(kernel_of(resumed.strip()), kernel_of(uninterrupted))


def test_rates_under_jax_are_those_of_tensorflow(under_jax):
    lines = under_jax[1][: len(families.BUILDERS)]
    for (label, build), line in zip(families.BUILDERS, lines, strict=True):
        found, rates = line.split()
        assert found == label
        np.testing.assert_allclose(
            kernel_of(rates), build()(STEPS), rtol=3e-6, atol=1e-8
        )


def test_compiled_training_under_jax_is_that_under_tensorflow(under_jax):
    """Of all schedules side by side, as in test_in_use.py."""
    under_jax = kernel_of(under_jax[1][-1])
    test_in_use.assert_close(under_jax, test_in_use.trained_from_ones())
