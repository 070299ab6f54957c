"""WarmupPolynomialDecay against BERT's TF1 graph."""

import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules import WarmupPolynomialDecay
from tests import tf1_reference

CONFIGURATIONS = [
    {"power": power, "cycle": cycle, "end_learning_rate": end, "warmup": warmup}
    for power in (0.5, 1.0, 2.0)
    for cycle in (False, True)
    for end in (0.0, 1e-6)
    for warmup in (0, 100)
]


def build(configuration, decay_steps=1000, **kwargs):
    return WarmupPolynomialDecay(
        5e-5,
        decay_steps,
        configuration["warmup"],
        end_learning_rate=configuration["end_learning_rate"],
        power=configuration["power"],
        cycle=configuration["cycle"],
        **kwargs,
    )


def reference(steps, configuration, decay_steps=1000, grappler=False):
    return tf1_reference.bert_rates(
        steps,
        init_lr=5e-5,
        num_train_steps=decay_steps,
        num_warmup_steps=configuration["warmup"],
        end_learning_rate=configuration["end_learning_rate"],
        power=configuration["power"],
        cycle=configuration["cycle"],
        grappler=grappler,
    )


# Before, at and after the end of the warmup, of the run, and of a second cycle.
STEPS = [0, 1, 50, 99, 100, 101, 333, 500, 777, 998, 999, 1000, 1001, 1500, 1999, 2001]


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_eager_rates_are_those_of_tf1_without_grappler_bit_for_bit(configuration):
    schedule = build(configuration)
    rates = np.array([float(schedule(step)) for step in STEPS], np.float32)
    np.testing.assert_array_equal(rates, reference(STEPS, configuration))


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_graph_rates_are_those_of_tf1_with_grappler_bit_for_bit(configuration):
    compiled = tf.function(build(configuration), jit_compile=False)
    rates = [compiled(tf.constant(step, tf.int64)).numpy() for step in STEPS]
    expected = reference(STEPS, configuration, grappler=True)
    np.testing.assert_array_equal(rates, expected)


@pytest.mark.parametrize("decay_steps", [41, 300, 4095, 12345])
def test_graph_rates_have_tf1s_bits_where_a_reciprocal_misses_the_end(decay_steps):
    """1/41 * 41 is not 1 in float32, so that TF1's graph misses the end itself."""
    configuration = {"power": 1.0, "cycle": False, "end_learning_rate": 0, "warmup": 0}
    compiled = tf.function(build(configuration, decay_steps))
    steps = [0, 1, decay_steps // 3, decay_steps // 2, decay_steps - 2, decay_steps - 1]
    rates = [compiled(tf.constant(step, tf.int64)).numpy() for step in steps]
    expected = reference(steps, configuration, decay_steps, grappler=True)
    np.testing.assert_array_equal(rates, expected)
    assert float(compiled(tf.constant(decay_steps, tf.int64))) == 0.0


def test_the_rates_of_bert_base_fine_tuning():
    """Hand-computed: 5e-5 over 10,000 steps, 1,000 of them warmup."""
    schedule = WarmupPolynomialDecay(5e-5, 10000, 1000)
    expected = {0: 0.0, 500: 2.5e-5, 999: 4.995e-5, 1000: 4.5e-5, 5000: 2.5e-5}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)


def test_shift_is_hugging_faces_join():
    """After the warmup `initial * (10000 - step) / 9000`, by hand."""
    schedule = WarmupPolynomialDecay(5e-5, 10000, 1000, join="shift")
    expected = {500: 2.5e-5, 1000: 5e-5, 5000: 5e-5 * 5000 / 9000, 10000: 0.0}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)


def test_lower_is_the_join_of_tf_models_linear_warmup():
    """The warmup climbs to the 4.5e-5 that the decay has reached by step 1000."""
    schedule = WarmupPolynomialDecay(5e-5, 10000, 1000, join="lower")
    expected = {500: 2.25e-5, 1000: 4.5e-5, 5000: 2.5e-5}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("grappler", [False, True])
def test_multiply_is_electras_join_bit_for_bit(grappler):
    """`rate *= tf.minimum(1.0, step / warmup)`; 0.45 of the peak at step 10 of 20."""
    schedule = WarmupPolynomialDecay(2e-4, 100, 20, join="multiply")
    steps = np.arange(110)
    compiled = tf.function(schedule) if grappler else schedule
    rates = [compiled(tf.constant(step, tf.int64)).numpy() for step in steps]
    expected = tf1_reference.multiplied_warmup_rates(
        steps, init_lr=2e-4, num_train_steps=100, num_warmup_steps=20, grappler=grappler
    )
    np.testing.assert_array_equal(rates, expected)
    assert rates[10] == pytest.approx(0.45 * 2e-4)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("decay_steps", [10, 300, 500, 1000, 2000, 12345])
def test_the_end_is_exact_under_xla(power, decay_steps):
    """Keras's PolynomialDecay is NaN or negative at some of these ends."""
    schedule = WarmupPolynomialDecay(0.1, decay_steps, power=power)
    steps = tf.range(decay_steps - 3, decay_steps + 3, dtype=tf.int64)
    rates = tf.function(schedule, jit_compile=True)(steps).numpy()
    assert (rates[:3] > 0).all()
    np.testing.assert_array_equal(rates[3:], 0.0)


def test_boundaries_are_exact_above_2_to_the_24():
    """A float32 counter does not tell 2**25 from 2**25 + 1."""
    warmup, decay = 2**25 + 1, 2**26 + 1
    schedule = WarmupPolynomialDecay(1.0, decay, warmup)
    assert float(schedule(warmup - 1)) > 0.9
    assert float(schedule(warmup)) < 0.6
    assert float(schedule(decay)) == 0.0


def test_a_cycle_ends_at_the_end_rate_where_tf1_jumps():
    """In a graph TF1's rounded quotient starts the next cycle at step 3000."""
    [of_tf1] = tf1_reference.bert_rates(
        [3000],
        init_lr=1.0,
        num_train_steps=1000,
        num_warmup_steps=0,
        cycle=True,
        grappler=True,
    )
    assert of_tf1 == pytest.approx(0.25)
    schedule = WarmupPolynomialDecay(1.0, 1000, cycle=True)
    for jit_compile in (False, True):
        compiled = tf.function(schedule, jit_compile=jit_compile)
        for step in (1000, 2000, 3000, 7000):
            assert float(compiled(tf.constant(step, tf.int64))) == 0.0


def test_whole_rates_mean_the_float():
    """Keras's PolynomialDecay(1, 100, .1, power=.5)(50) is 1.0."""
    schedule = WarmupPolynomialDecay(1, 100, end_learning_rate=0, power=0.5)
    assert float(schedule(75)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((float("nan"), 10), ValueError, "initial_learning_rate"),
        ((float("inf"), 10), ValueError, "initial_learning_rate"),
        ((-1e-3, 10), ValueError, "initial_learning_rate"),
        ((tf.constant([1e-3]), 10), TypeError, "initial_learning_rate"),
        ((1e-3, 0), ValueError, "decay_steps"),
        ((1e-3, 10.5), ValueError, "decay_steps"),
        ((1e-3, None), TypeError, "decay_steps"),
        ((1e-3, 10, -1), ValueError, "warmup_steps"),
        ((1e-3, 10, 11), ValueError, "warmup_steps"),
        ((1e-3, 10, 1, -1.0), ValueError, "end_learning_rate"),
        ((1e-3, 10, 1, 0.0, 0.0), ValueError, "power"),
        ((1e-3, 10, 1, 0.0, 1.0, "yes"), TypeError, "cycle"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, message):
    with pytest.raises(error, match=rf"`{message}` must be .*Received: {message}="):
        WarmupPolynomialDecay(*arguments)


@pytest.mark.parametrize("join", ["shift", "lower"])
@pytest.mark.parametrize("end", [0.0, 0.01])
def test_a_warmup_as_long_as_the_run_is_refused_where_it_leaves_no_decay(join, end):
    """`decay(decay_steps)` is the end rate, to which "lower" would climb."""
    with pytest.raises(ValueError, match=r"`warmup_steps` must .*Received: warmup_"):
        WarmupPolynomialDecay(0.1, 10, 10, end, join=join)


@pytest.mark.parametrize("warmup_steps", [10, 20])
def test_a_warmup_to_the_end_of_a_cycle_is_refused(warmup_steps):
    """It would be 0 all along."""
    with pytest.raises(ValueError, match=r'`warmup_steps` must .*join="lower"'):
        WarmupPolynomialDecay(0.1, 10, warmup_steps, cycle=True, join="lower")


def test_a_warmup_as_long_as_the_run_is_bert_s_with_overlap():
    """All updates of the run have a rate; only those after it have none."""
    rates = WarmupPolynomialDecay(0.1, 10, 10)(np.arange(12))
    np.testing.assert_allclose(rates, [0.01 * i for i in range(10)] + [0, 0], rtol=1e-6)


@pytest.mark.parametrize("cycle", [False, True])
def test_a_run_of_one_step_of_warmup_is_refused(cycle):
    """Its one rate is that of step 0, which is 0."""
    with pytest.raises(ValueError, match=r"`warmup_steps` must .*Received: warmup_"):
        WarmupPolynomialDecay(0.1, 1, 1, cycle=cycle)
    with pytest.raises(ValueError, match=r"`warmup_steps` must .*Received: warmup_"):
        WarmupPolynomialDecay.from_epochs(
            0.1, num_examples=1, epochs=1, warmup_fraction=1.0, cycle=cycle
        )


@pytest.mark.parametrize(
    ("initial", "end", "expected"), [(0.1, 0.01, [0, 0.01]), (0.0, 0.0, [0, 0])]
)
def test_a_run_of_one_step_of_warmup_is_taken_with_its_rates(initial, end, expected):
    """Where a rate comes after it, or 0 was asked for."""
    rates = WarmupPolynomialDecay(initial, 1, 1, end)(np.arange(2))
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_an_unknown_join_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'overlap', 'shift', 'lower'.*'hf'"):
        WarmupPolynomialDecay(1e-3, 10, join="hf")
