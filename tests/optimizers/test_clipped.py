"""ClippedOptimizer against TF1's clipping, and its own promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import gradients as gradient_ops
from tests import tf1_reference

SHAPES = [(7, 5), (5,), (5, 3), (3,)]


def random_weights(seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype("float32") for shape in SHAPES]


def test_200_steps_in_a_graph_equal_tf1_bit_for_bit():
    start = random_weights(0)
    # Norms of about 3 to 15, so that some steps are clipped at 8 and some are not.
    scales = np.random.default_rng(1).uniform(0.4, 2, 200).astype("float32")
    gradients = [
        [scale * g for g in random_weights(2 + i)] for i, scale in enumerate(scales)
    ]
    expected = tf1_reference.clipped_gradient_descent(
        start, gradients, learning_rate=0.1, clip_norm=8.0
    )
    variables = [keras.Variable(w) for w in start]
    optimizer = ClippedOptimizer(keras.optimizers.SGD(0.1), global_clipnorm=8.0)
    optimizer.build(variables)
    step = tf.function(lambda fed: optimizer.apply(fed))
    for fed in gradients:
        step([tf.constant(g) for g in fed])
    for variable, reference in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), reference)


def applied_by_sgd(gradients, **limits):
    """What is subtracted from weights of 0 at a learning rate of 1."""
    variables = [keras.Variable(np.zeros_like(g)) for g in gradients]
    optimizer = ClippedOptimizer(keras.optimizers.SGD(1.0), **limits)
    optimizer.apply([tf.constant(g) for g in gradients], variables)
    return [-variable.numpy() for variable in variables]


def norm(gradients):
    """The global norm in float64."""
    return np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in gradients))


def test_the_applied_norm_is_the_limit_and_the_direction_stays():
    gradients = random_weights(3)
    applied = applied_by_sgd(gradients, global_clipnorm=0.5)
    assert norm(applied) == pytest.approx(0.5, rel=1e-6)
    for a, g in zip(applied, gradients, strict=True):
        np.testing.assert_allclose(a, g * 0.5 / norm(gradients), rtol=1e-5)


@pytest.mark.parametrize("limits", [{"global_clipnorm": 1e6}, {}])
def test_below_the_limit_and_without_one_gradients_pass_unchanged(limits):
    gradients = random_weights(3)
    for a, g in zip(applied_by_sgd(gradients, **limits), gradients, strict=True):
        np.testing.assert_allclose(a, g, rtol=2e-7)


def test_a_gradient_of_zeros_stays_zero():
    [applied] = applied_by_sgd([np.zeros(3, "float32")], global_clipnorm=1.0)
    np.testing.assert_array_equal(applied, 0)


def test_a_gradient_that_is_not_finite_shows():
    gradients = [np.array([np.inf, 1], "float32"), np.ones(2, "float32")]
    for applied in applied_by_sgd(gradients, global_clipnorm=1.0):
        assert np.isnan(applied).all()


def test_squares_of_float16_gradients_do_not_overflow():
    """300 squared is beyond float16's 65504."""
    with np.errstate(over="ignore"):
        [applied] = applied_by_sgd([np.full(4, 300, "float16")], global_clipnorm=1.0)
    np.testing.assert_allclose(applied, 0.5, rtol=1e-3)


def test_float16_and_float32_variables_share_one_norm():
    gradients = [np.array([3.0], "float16"), np.array([4.0], "float32")]
    applied = applied_by_sgd(gradients, global_clipnorm=1.0)
    np.testing.assert_allclose(applied[0], 0.6, rtol=1e-3)
    np.testing.assert_allclose(applied[1], 0.8, rtol=1e-6)


def test_a_sparse_gradient_stays_sparse_and_has_tf1s_norm():
    rows = tf.IndexedSlices(
        tf.constant([[3.0], [4.0]]), tf.constant([2, 2]), tf.constant([5, 1])
    )
    [clipped] = gradient_ops.scaled([rows], 0.5)
    assert isinstance(clipped, tf.IndexedSlices)
    np.testing.assert_array_equal(clipped.values, [[1.5], [2.0]])
    assert float(gradient_ops.global_norm([rows])) == float(
        tf.linalg.global_norm([rows])
    )


def test_the_norm_is_that_of_tensorflow_bit_for_bit():
    gradients = [tf.constant(g) for g in random_weights(5)]
    expected = tf.linalg.global_norm(gradients)
    np.testing.assert_array_equal(gradient_ops.global_norm(gradients), expected)


def test_two_replicas_give_what_one_device_gives(run_python):
    """One device on the same global batches is the oracle; 48 Adam steps, limit 1."""
    printed = run_python(
        """
        import keras
        import numpy as np
        import tensorflow as tf
        from keras_tricks.optimizers import ClippedOptimizer

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32") * 3
        y = x.sum(axis=1, keepdims=True)

        def train(strategy):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
                optimizer = keras.optimizers.Adam(1e-3)
                model.compile(ClippedOptimizer(optimizer, global_clipnorm=1.0), "mse")
            model.fit(x, y, batch_size=8, epochs=6, shuffle=False, verbose=0)
            return np.concatenate([w.ravel() for w in model.get_weights()])

        one = train(tf.distribute.get_strategy())
        two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
        print(np.abs(one - two).max())
        """
    )
    assert float(printed) <= 1e-6


def test_the_optimizers_state_is_stored_once():
    optimizer = ClippedOptimizer(keras.optimizers.Adam(0.1), global_clipnorm=1.0)
    optimizer.build([keras.Variable([1.0])])
    distinct = {id(variable) for variable in optimizer.variables}
    assert len(optimizer.variables) == len(distinct) == 4  # step, rate, two moments
    stored = {}
    optimizer.save_own_variables(stored)
    assert stored == {}


def test_rate_and_step_are_those_of_the_inner_optimizer():
    optimizer = ClippedOptimizer(keras.optimizers.SGD(0.1), global_clipnorm=1.0)
    weight = keras.Variable([1.0])
    steps = optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    assert int(steps) == int(optimizer.iterations) == 1


ADAM = keras.optimizers.Adam


@pytest.mark.parametrize("limit", [0, 0.0, -1, float("nan"), float("inf")])
def test_limits_that_bound_nothing_are_refused(limit):
    with pytest.raises(ValueError, match=r"`global_clipnorm` must be .*Received"):
        ClippedOptimizer(ADAM(1e-3), global_clipnorm=limit)


@pytest.mark.parametrize("limit", ["1.0", True, [1.0]])
def test_limits_that_are_no_numbers_are_refused(limit):
    with pytest.raises(TypeError, match=r"`global_clipnorm` must be .*Received"):
        ClippedOptimizer(ADAM(1e-3), global_clipnorm=limit)


@pytest.mark.parametrize(
    ("build_inner", "error", "remedy"),
    [
        (lambda: "adam", TypeError, r"ClippedOptimizer\(keras.optimizers.Adam"),
        (lambda: ADAM(1e-3, clipnorm=1.0), ValueError, "Leave out `clipnorm`"),
        (lambda: ADAM(1e-3, clipvalue=1.0), ValueError, "Leave out `clipvalue`"),
        (lambda: ADAM(1e-3, global_clipnorm=1.0), ValueError, "`global_clipnorm`"),
        (lambda: ClippedOptimizer(ADAM(1e-3)), ValueError, "Use one wrapper"),
        (
            lambda: keras.optimizers.LossScaleOptimizer(ADAM(1e-3)),
            ValueError,
            r"LossScaleOptimizer\(ClippedOptimizer\(...\)\)",
        ),
    ],
)
def test_inner_optimizers_that_cannot_be_wrapped_are_refused_with_the_remedy(
    build_inner, error, remedy
):
    with pytest.raises(error, match=remedy):
        ClippedOptimizer(build_inner(), global_clipnorm=1.0)
