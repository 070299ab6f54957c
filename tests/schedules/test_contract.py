"""What holds for every schedule of the package."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tricks.schedules
from tests import child_process
from tests.schedules import families
from tests.schedules import saved_runs
from tests.schedules import test_in_use

every_schedule = pytest.mark.parametrize(
    "build",
    [build for _, build in families.BUILDERS],
    ids=[label for label, _ in families.BUILDERS],
)

STEPS = np.arange(families.RUN_STEPS + 5)

# Goes on with the saved runs, and prints the weights that each ends with.
GO_ON = """
import sys
import keras
import keras_tricks
from tests.schedules import saved_runs

for path in saved_runs.paths(sys.argv[1]):
    print(path.stem, saved_runs.end_of(keras.models.load_model(path)))
"""


def evaluate_one_by_one(schedule, steps=STEPS):
    return np.array([float(schedule(int(step))) for step in steps], np.float32)


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
    schedule = build()
    np.testing.assert_array_max_ulp(
        np.asarray(schedule(STEPS)), evaluate_one_by_one(schedule), maxulp=2
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
    schedule = build()
    compiled = tf.function(schedule, jit_compile=jit_compile)(tf.constant(STEPS))
    # XLA may contract a product and a sum, or divide by a reciprocal.
    np.testing.assert_allclose(compiled, schedule(STEPS), rtol=3e-6, atol=1e-8)


@every_schedule
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_fit_moves_the_weights_by_the_sum_of_the_rates(build, policy):
    """With a constant gradient of 1, SGD moves a weight by -sum(rate(step))."""
    schedule = build()
    with _policy(policy):
        model = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
            ]
        )
        model.compile(
            keras.optimizers.SGD(schedule),
            loss=lambda y_true, y_pred: y_pred,
            auto_scale_loss=False,
        )
        ones = np.ones((10, 1), "float32")
        model.fit(ones, ones, batch_size=1, verbose=0)
    moved = -float(model.get_weights()[0].item())
    expected = evaluate_one_by_one(schedule, range(10)).astype(np.float64).sum()
    assert moved == pytest.approx(expected, rel=1e-5)


class _policy:
    """Sets Keras's global dtype policy for a block."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.name)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self.before)


def ends_in_a_new_process(run_python, folder, backend):
    printed = run_python(GO_ON, str(folder), env={"KERAS_BACKEND": backend})
    return dict(line.split() for line in printed.splitlines())


def test_a_run_saved_during_warmup_goes_on_in_a_new_process_bit_for_bit(
    run_python, tmp_path
):
    """The uninterrupted run is the oracle; `custom_objects` is not used."""
    uninterrupted = saved_runs.save_and_go_on(tmp_path)
    assert list(uninterrupted) == [label for label, _ in families.BUILDERS]
    assert len(set(uninterrupted.values())) > len(families.BUILDERS) / 2
    assert ends_in_a_new_process(run_python, tmp_path, "tensorflow") == uninterrupted


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """The folder of a process under JAX, and what it printed for each schedule."""
    folder = tmp_path_factory.mktemp("jax")
    printed = child_process.run_python(
        """
        import jax
        import numpy as np
        from tests.schedules import families
        from tests.schedules import saved_runs
        from tests.schedules import test_in_use

        ends = saved_runs.save_and_go_on(".")
        for label, build in families.BUILDERS:
            rates = jax.jit(build())(np.arange(families.RUN_STEPS + 5))
            print(label, np.asarray(rates, np.float32).tobytes().hex(), ends[label])
        # `fit` compiles its step here, other than for the runs above.
        print(*test_in_use.trained_from_ones())
        """,
        cwd=folder,
        env={"KERAS_BACKEND": "jax"},
    )
    *lines, trained = printed.splitlines()
    return folder, [line.split() for line in lines], [float(w) for w in trained.split()]


def test_under_jax_a_saved_run_goes_on_in_a_new_process_bit_for_bit(
    run_python, under_jax
):
    folder, lines, _ = under_jax
    uninterrupted = {label: end for label, _, end in lines}
    assert list(uninterrupted) == [label for label, _ in families.BUILDERS]
    assert ends_in_a_new_process(run_python, folder, "jax") == uninterrupted


def test_rates_under_jax_are_those_of_tensorflow(under_jax):
    _, lines, _ = under_jax
    rates_under_jax = {label: rates for label, rates, _ in lines}
    for label, build in families.BUILDERS:
        rates = np.frombuffer(bytes.fromhex(rates_under_jax[label]), np.float32)
        np.testing.assert_allclose(rates, build()(STEPS), rtol=3e-6, atol=1e-8)


def test_compiled_training_under_jax_is_that_under_tensorflow(under_jax):
    """Of all schedules side by side, as in test_in_use.py."""
    test_in_use.assert_close(np.array(under_jax[2]), test_in_use.trained_from_ones())
