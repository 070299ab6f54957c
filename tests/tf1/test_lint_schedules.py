"""Advice on schedules against TF1 graphs, and the check's formulas against Keras."""

import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import schedules
from keras_tricks.tf1.lint.rates import schedule_formulas as formulas
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import findings
from tests import sampling
from tests.tf1 import rate_programs
from tests.tf1_reference import session_config

v1 = tf.compat.v1
K = keras.optimizers.schedules
S = schedules
STEPS = [0, 1, 2, 9, 10, 19, 20, 21, 29, 30, 45, 60, 79, 80, 99, 100, 101, 150]

OBJECTS = {
    "exponential": (
        formulas.exponential_decay(0.3, 30, 0.5),
        K.ExponentialDecay(0.3, 30, 0.5),
    ),
    "exponential, staircase": (
        formulas.exponential_decay(0.3, 30, 0.5, True),
        K.ExponentialDecay(0.3, 30, 0.5, staircase=True),
    ),
    "inverse time": (
        formulas.inverse_time_decay(0.3, 30, 0.5),
        K.InverseTimeDecay(0.3, 30, 0.5),
    ),
    "inverse time, staircase": (
        formulas.inverse_time_decay(0.3, 30, 0.5, True),
        K.InverseTimeDecay(0.3, 30, 0.5, staircase=True),
    ),
    "cosine": (formulas.cosine_decay(0.3, 80, 0.1), K.CosineDecay(0.3, 80, 0.1)),
    "cosine with restarts": (
        formulas.cosine_decay_restarts(0.3, 17, 1.5, 0.9, 0.1),
        K.CosineDecayRestarts(0.3, 17, 1.5, 0.9, 0.1),
    ),
    "cosine with restarts of one length": (
        formulas.cosine_decay_restarts(0.3, 17, 1.0, 0.9, 0.1),
        K.CosineDecayRestarts(0.3, 17, 1.0, 0.9, 0.1),
    ),
    "piecewise": (
        formulas.piecewise_constant([20, 80], [1.0, 0.5, 0.1]),
        K.PiecewiseConstantDecay([20, 80], [1.0, 0.5, 0.1]),
    ),
    "noam": (formulas.noam(64, 20), S.NoamSchedule(64, 20)),
    "noam, scaled": (formulas.noam(64, 20, 0.7), S.NoamSchedule(64, 20, scale=0.7)),
    "inverse square root": (
        formulas.inverse_square_root(0.3, 20),
        S.InverseSquareRoot(0.3, 20),
    ),
    "shifted": (
        formulas.shifted(formulas.inverse_square_root(0.3, 20), 1),
        S.Shifted(S.InverseSquareRoot(0.3, 20), 1),
    ),
    **{
        f"polynomial, {join}, {cycle}": (
            formulas.warmup_polynomial_decay(0.3, 80, 20, 0.01, 1.5, cycle, join),
            S.WarmupPolynomialDecay(0.3, 80, 20, 0.01, 1.5, cycle, join=join),
        )
        for join in ("overlap", "shift", "lower", "multiply")
        for cycle in (False, True)
    },
    **{
        f"warmup, {join}": (
            formulas.warmup(formulas.cosine_decay(0.3, 80), 20, 0.0, 2.0, join),
            S.Warmup(K.CosineDecay(0.3, 80), 20, power=2.0, join=join),
        )
        for join in ("overlap", "shift", "lower", "multiply")
    },
    "warmup from a rate": (
        formulas.warmup(formulas.constant(0.3), 20, 0.01),
        S.Warmup(0.3, 20, start=0.01),
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_formula_is_that_of_the_schedule(name):
    """The check compares TF1 code with these, and has no TensorFlow to ask."""
    formula, schedule = OBJECTS[name]
    rates = [formula(step) for step in STEPS]
    ours = [float(schedule(step)) for step in STEPS]
    np.testing.assert_allclose(ours, rates, rtol=2e-5, atol=1e-8)


TF1 = {
    "exponential_decay": (0.3, 30, 0.5),
    "natural_exp_decay": (0.3, 30, 0.5),
    "inverse_time_decay": (0.3, 30, 0.5),
    "polynomial_decay": (0.3, 30, 0.01, 2.0),
    "cosine_decay": (0.3, 80, 0.1),
    "cosine_decay_restarts": (0.3, 17, 1.5, 0.9, 0.1),
}


@pytest.mark.parametrize("name", TF1)
def test_a_formula_is_that_of_tf1(name):
    first, *rest = TF1[name]
    with (
        tf.Graph().as_default(),
        v1.Session(config=session_config(grappler=False)) as s,
    ):
        step = v1.placeholder(tf.int64, ())
        rate = getattr(v1.train, name)(first, step, *rest)
        rates = [s.run(rate, {step: number}) for number in STEPS]
    formula = getattr(formulas, name)(first, *rest)
    ours = [formula(step) for step in STEPS]
    np.testing.assert_allclose(rates, ours, rtol=2e-5, atol=1e-8)


# A rate as people compute it, and the schedule. `peak`, `total` and `warmup` are
# parameters, so that the check must find out about them.
RATES = {
    "the least of a root and a climb": (
        """
        step = tf.cast(step, tf.float32)
        least = tf.minimum(tf.math.rsqrt(step), step * warmup**-1.5)
        return tf.pow(float(total), -0.5) * least
        """,
        "NoamSchedule(total, warmup)",
    ),
    "the same by a peak, counted from 1": (
        """
        number = tf.cast(step + 1, tf.float32)
        least = tf.minimum(number * warmup**-1.5, number**-0.5)
        return peak * warmup**0.5 * least
        """,
        "Shifted(InverseSquareRoot(peak, warmup), 1)",
    ),
    "a factor, and the root of the larger": (
        """
        step = tf.cast(step, tf.float32)
        rate = peak * total**-0.5
        rate *= tf.minimum(1.0, step / warmup)
        rate *= tf.math.rsqrt(tf.maximum(step, float(warmup)))
        return rate
        """,
        "NoamSchedule(total, warmup, scale=peak)",
    ),
    "values of a comprehension": (
        """
        return tf.train.piecewise_constant(
            step, [20, 60], [peak * x for x in (1.0, 0.1, 0.01)])
        """,
        "keras.optimizers.schedules.PiecewiseConstantDecay([20, 60], "
        "[peak * 1.0, peak * 0.1, peak * 0.01])",
    ),
    "a factor on a decay that the warmup shortens": (
        """
        rate = tf.train.polynomial_decay(peak, step, total - warmup, 0.0)
        return rate * tf.minimum(1.0, tf.cast(step, tf.float32) / float(warmup))
        """,
        'WarmupPolynomialDecay(peak, total - warmup, warmup, join="multiply")',
    ),
    "decay alone": (
        "return tf.train.polynomial_decay(peak, step, total, 0.0)",
        "WarmupPolynomialDecay(peak, total)",
    ),
    "BERT's mask": (
        """
        rate = tf.constant(peak, tf.float32)
        rate = tf.train.polynomial_decay(rate, step, total, 0.0)
        done = tf.cast(step, tf.float32) / tf.cast(warmup, tf.float32)
        is_warmup = tf.cast(step < warmup, tf.float32)
        return (1.0 - is_warmup) * rate + is_warmup * (peak * done)
        """,
        "WarmupPolynomialDecay(peak, total, warmup)",
    ),
    "BERT's mask behind an if": (
        """
        rate = tf.train.polynomial_decay(
            peak, step, total, end_learning_rate=0.0, power=2.0)
        if warmup:
            step_int = tf.cast(step, tf.int32)
            # A comment that stays.
            until = tf.constant(warmup, dtype=tf.int32)
            part = tf.cast(step_int, tf.float32) / tf.cast(until, tf.float32)
            mask = tf.cast(step_int < until, tf.float32)
            rate = (1.0 - mask) * rate + mask * (peak * part)
        return rate
        """,
        "WarmupPolynomialDecay(peak, total, warmup, power=2.0)",
    ),
    "the offset of XLNet": (
        """
        warmup_rate = tf.cast(step, tf.float32) / tf.cast(warmup, tf.float32) * peak
        rate = tf.train.polynomial_decay(
            peak, step - warmup, total - warmup, end_learning_rate=peak * 0.1)
        return tf.where(step < warmup, warmup_rate, rate)
        """,
        "WarmupPolynomialDecay(peak, total, warmup, end_learning_rate=peak * 0.1, "
        'join="shift")',
    ),
    "the factor of ELECTRA": (
        """
        rate = tf.train.polynomial_decay(peak, step, total, end_learning_rate=0.0)
        rate *= tf.minimum(1.0, tf.cast(step, tf.float32) / tf.cast(warmup, tf.float32))
        return rate
        """,
        'WarmupPolynomialDecay(peak, total, warmup, join="multiply")',
    ),
    "a factor by Python's operators": (
        """
        decayed = tf.train.cosine_decay(peak, step, total)
        return decayed * tf.minimum(1., tf.to_float(step) / warmup)
        """,
        "Warmup(keras.optimizers.schedules.CosineDecay(peak, total), warmup, "
        'join="multiply")',
    ),
    "a warmup to what the decay has come down to": (
        """
        rate = tf.train.polynomial_decay(peak, step, total, 0.0)
        top = tf.train.polynomial_decay(peak, warmup, total, 0.0)
        return rate
        """,
        "WarmupPolynomialDecay(peak, total)",
    ),
    "cond with lambdas": (
        """
        rate = tf.train.exponential_decay(peak, step, total, 0.5)
        return tf.cond(
            step < warmup,
            lambda: peak * tf.to_float(step) / tf.to_float(warmup),
            lambda: rate)
        """,
        "Warmup(keras.optimizers.schedules.ExponentialDecay(peak, total, 0.5), warmup, "
        'join="overlap")',
    ),
    "cond with functions": (
        """
        def climb():
            return peak * tf.to_float(step) / tf.to_float(warmup)
        def fall():
            return tf.train.cosine_decay(peak, step - warmup, total - warmup)
        return tf.cond(tf.less(step, warmup), climb, fall)
        """,
        "Warmup(keras.optimizers.schedules.CosineDecay(peak, total - warmup), warmup)",
    ),
    "a warmup of a constant rate": (
        """
        climb = peak * tf.to_float(step) / tf.to_float(warmup)
        return tf.where(step < warmup, climb, peak)
        """,
        "Warmup(peak, warmup)",
    ),
    "a warmup from a rate": (
        """
        done = tf.to_float(step) / tf.to_float(warmup)
        climb = 0.001 + (peak - 0.001) * done
        return tf.where(step < warmup, climb, peak)
        """,
        "Warmup(peak, warmup, start=0.001)",
    ),
    "natural exponential": (
        "return tf.train.natural_exp_decay(peak, step, total, 0.5, True)",
        "keras.optimizers.schedules.ExponentialDecay(peak, total, math.exp(-0.5), "
        "staircase=True)",
    ),
    "inverse time": (
        "return tf.train.inverse_time_decay(peak, step, total, 0.5)",
        "keras.optimizers.schedules.InverseTimeDecay(peak, total, 0.5)",
    ),
    "piecewise": (
        "return tf.train.piecewise_constant(step, [20, 80], [peak, 0.01, 0.001])",
        "keras.optimizers.schedules.PiecewiseConstantDecay([20, 80], "
        "[peak, 0.01, 0.001])",
    ),
    "cosine with restarts": (
        "return tf.train.cosine_decay_restarts(peak, step, warmup, m_mul=0.5)",
        "keras.optimizers.schedules.CosineDecayRestarts(peak, warmup, m_mul=0.5)",
    ),
    "a cyclic decay": (
        "return tf.train.polynomial_decay(peak, step, total, 0.01, cycle=True)",
        "WarmupPolynomialDecay(peak, total, end_learning_rate=0.01, cycle=True)",
    ),
}


def program(body):
    code = "import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\n"
    code += "def rate(step, peak, total, warmup):\n"
    return code + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"


def run(code, name="rate"):
    names = {}
    exec(code.replace("tf.disable_v2_behavior()", ""), names)
    return names[name]


@pytest.mark.parametrize("name", RATES)
def test_advice_has_the_rates_of_tf1s_graph(name):
    """The advised object, and the rewritten program, at all steps of a run."""
    body, expected = RATES[name]
    source = Source(program(body))
    found = [f for f in findings(source) if f.check]
    assert found
    for finding in found:
        advised = finding.instead.replace("keras_tricks.schedules.", "")
        assert advised == expected
        assert finding.check.startswith("equal at ")
    known = {
        "peak": 0.3,
        "total": 100,
        "warmup": 20,
        "keras": keras,
        "math": __import__("math"),
    }
    schedule = eval(expected, known | {n: getattr(S, n) for n in S.__all__})
    new = edits.rewritten(source, edits.chosen(findings(source)))
    assert new != source.text
    assert "tf.train" not in new
    arguments = (0.3, 100, 20)
    with (
        tf.Graph().as_default(),
        v1.Session(config=session_config(grappler=False)) as s,
    ):
        step = v1.placeholder(tf.int32, ())
        both = [run(code)(step, *arguments) for code in (source.text, new)]
        rates = np.array([s.run(both, {step: number}) for number in STEPS])
    ours = [float(schedule(step)) for step in STEPS]
    np.testing.assert_allclose(ours, rates[:, 0], rtol=2e-5, atol=1e-8)
    np.testing.assert_allclose(rates[:, 1], rates[:, 0], rtol=2e-5, atol=1e-8)
    assert np.ptp(rates[:, 0]) > 1e-3


NO_ADVICE = {
    "a comprehension with a test": """
        values = [peak * x for x in (1.0, 0.1) if x < warmup]
        return tf.train.piecewise_constant(step, [total], values)
    """,
    "another power of the step": """
        step = tf.cast(step, tf.float32)
        return peak * tf.minimum(tf.math.rsqrt(step), step * warmup**-1.25)
    """,
    "another warmup": "return tf.where(step < warmup, peak, 2 * rate)",
    "an offset": "return rate + 0.1 * tf.minimum(1.0, tf.to_float(step) / warmup)",
    "a sum": "return rate + tf.train.cosine_decay(peak, step, total)",
    "a warmup to another rate": """
        climb = 2 * peak * tf.to_float(step) / tf.to_float(warmup)
        return tf.where(step < warmup, climb, rate)
    """,
    "another warmup's end": """
        climb = peak * tf.to_float(step) / tf.to_float(warmup)
        return tf.where(step < warmup + 5, climb, rate)
    """,
    "a worker's share": "return rate * hvd.size() / 2.0",
    "a quadratic warmup": """
        done = tf.to_float(step) / tf.to_float(warmup)
        return tf.where(step < warmup, peak * done * done, rate)
    """,
    "a step that is shifted": "return tf.train.polynomial_decay(peak, step + 1, total)",
}


@pytest.mark.parametrize("name", NO_ADVICE)
def test_where_no_schedule_has_the_rates_there_is_no_advice(name):
    """What comes near is no advice, and nothing is rewritten."""
    body = "rate = tf.train.polynomial_decay(peak, step, total, 0.0)\n"
    source = Source(program(body + textwrap.dedent(NO_ADVICE[name]).strip("\n")))
    found = findings(source)
    last = [f for f in found if "tf.train" in f.what or "warmup" in f.what][-1]
    assert last.instead.startswith("no advice: ")
    assert all(not f.check for f in found if f.line == last.line)
    assert all(f.rewrite is None for f in found if f.instead.startswith("no advice"))


FALL = "rate = tf.train.polynomial_decay(peak, step, total, 0.0)\n"
CLIMB = "return tf.where(step < warmup, peak * tf.to_float(step) / warmup, rate)\n"
NOT_CERTAIN = {
    "a step that is cut": f"step = tf.minimum(step, total)\n{FALL}{CLIMB}",
    "a call": FALL.replace("peak", "peak * hvd.size()") + "return rate + rate\n",
    "a condition on a rate": f"{FALL}return rate * (1 if peak > 1e-4 else 0.5)\n",
    "a condition between lengths": (
        FALL + CLIMB.replace("rate)", "rate) * (0.5 if warmup > total // 2 else 1)")
    ),
    "a warmup by a condition": (
        f"{FALL}if peak > 1e-4 and warmup > 0:\n"
        "    rate *= tf.minimum(1.0, tf.to_float(step) / warmup)\nreturn rate\n"
    ),
    "one step": f"{FALL}return tf.where(tf.equal(step, 70), 0.0, rate)\n",
    "every some steps": f"{FALL}return tf.where(step % 777 < 1, 0.0, rate)\n",
    "an attribute": (
        "a.peak = 0.1\n"
        + FALL.replace("peak", "a.peak")
        + "a.peak *= 0.5\n"
        + CLIMB.replace("peak", "a.peak")
    ),
    "an item": (
        "a = {'peak': 0.1}\n"
        + FALL.replace("peak", "a['peak']")
        + "a['peak'] = 1\n"
        + CLIMB.replace("peak", "a['peak']")
    ),
}


@pytest.mark.parametrize("name", NOT_CERTAIN)
def test_what_holds_for_some_values_is_not_rewritten(name):
    """The values by default are among those that are compared."""
    code = program(NOT_CERTAIN[name]).replace(
        "peak, total, warmup)", "peak=5e-5, total=100, warmup=60)"
    )
    found = findings(Source(code))
    assert all(finding.rewrite is None for finding in found)
    for finding in found:
        is_conditional = " for `" in finding.check or "step" in finding.why_not
        assert not finding.check or is_conditional


IN_BRANCHES = {
    "one that goes before another": """
        rate = tf.train.polynomial_decay(peak, step, total, 0.0)
        if kind:
            rate = tf.train.cosine_decay(peak, step, total)
        return rate
    """,
    "one or the other": """
        if kind:
            rate = tf.train.cosine_decay(peak, step, total)
        else:
            rate = tf.train.exponential_decay(peak, step, total, 0.5)
        return rate
    """,
    "one or the other, with a warmup below": """
        if kind:
            rate = tf.train.cosine_decay(peak, step, total)
        else:
            rate = tf.train.polynomial_decay(peak, step, total, 0.0)
        rate = rate * tf.minimum(1.0, tf.cast(step, tf.float32) / float(warmup))
        return rate
    """,
    "one of several lines": """
        rate = peak
        if kind:
            twice = 2 * total
            rate = tf.train.cosine_decay(peak, step, twice)
        return rate
    """,
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        rate = rate *", "        if kind:\n            rate = rate *"),
        ("        rate = rate *", "        other = rate + 1\n        rate = rate *"),
    ],
)
def test_decays_in_branches_stay_if_what_is_below_is_more_than_a_warmup(old, new):
    body = IN_BRANCHES["one or the other, with a warmup below"].replace(old, new)
    code = program(body).replace("warmup):", "warmup, kind):", 1)
    source = Source(code)
    assert edits.rewritten(source, edits.chosen(findings(source))) == code


@pytest.mark.parametrize("name", IN_BRANCHES)
def test_a_decay_that_is_all_of_a_branch_stays_in_it(name):
    code = program(IN_BRANCHES[name]).replace("warmup):", "warmup, kind):", 1)
    source = Source(code)
    new = edits.rewritten(source, edits.chosen(findings(source)))
    assert "cosine_decay" not in new
    for kind in (True, False):
        with tf.Graph().as_default(), v1.Session() as session:
            step = v1.placeholder(tf.int32, ())
            both = [run(one)(step, 0.3, 100, 20, kind) for one in (code, new)]
            both = [tf.convert_to_tensor(rate) for rate in both]
            rates = np.array([session.run(both, {step: number}) for number in STEPS])
        np.testing.assert_allclose(rates[:, 1], rates[:, 0], rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize(
    "code",
    [
        "tf.train.linear_cosine_decay(0.1, step, 10)",
        "tf.train.noisy_linear_cosine_decay(0.1, step, 10)",
    ],
)
def test_a_decay_without_a_schedule_is_told(code):
    [finding] = findings(Source(f"import tensorflow as tf\nx = {code}\n"))
    assert finding.instead.startswith("no advice: no schedule")


@pytest.mark.parametrize(
    "steps", ["10 ** 10 ** 8", "2 ** 3 ** 4 ** 5", "pow(10, 10 ** 8)", "n"]
)
def test_an_integer_beyond_all_floats_is_not_computed(steps):
    """It would take hours; with 10 ** 4 the advice is as for any number."""
    code = "import tensorflow as tf\ndef f(step):\n    n = 10 ** 300\n{}    return {}\n"
    decay = "tf.train.polynomial_decay(0.1, step, {})"
    squared = "    n = n * n\n" * 8
    [finding] = findings(Source(code.format(squared, decay.format(steps))))
    assert finding.instead.startswith("no advice: ")
    [finding] = findings(Source(code.format("", decay.format("10 ** 4"))))
    assert finding.instead.endswith(
        "WarmupPolynomialDecay(0.1, 10 ** 4, end_learning_rate=0.0001)"
    )


@pytest.mark.parametrize(
    ("decay", "error"),
    [
        ("polynomial_decay(0.1, step, 7.5)", "whole numbers of steps, not 7.5"),
        ("polynomial_decay(0.1, step, 9, power=0.0)", "a positive power, not 0.0"),
    ],
)
def test_no_schedule_is_advised_that_cannot_be_made(decay, error):
    """The class itself refuses these arguments."""
    code = f"import tensorflow as tf\ndef f(step):\n    return tf.train.{decay}\n"
    [finding] = findings(Source(code))
    assert finding.instead == f"no advice: WarmupPolynomialDecay takes {error}"
    steps = 7.5 if "7.5" in decay else 9
    with pytest.raises(ValueError, match=r"decay_steps|power"):
        schedules.WarmupPolynomialDecay(0.1, steps, power=0.0 if steps == 9 else 1.0)


def test_no_schedule_is_advised_in_which_a_name_has_two_values():
    source = Source(
        textwrap.dedent("""
            import tensorflow as tf

            def f(step, total=60):
                total = total * 2
                rate = tf.train.cosine_decay(0.1, step, total)
                total = total // 4
                return rate * tf.minimum(1.0, tf.to_float(step) / total)
        """)
    )
    [finding] = findings(source)
    assert finding.instead.startswith("no advice: `total` has two values in Warmup(")
    assert finding.rewrite is None


def test_a_decay_of_the_branch_not_taken_has_no_advice_of_the_other():
    code = textwrap.dedent("""
        import tensorflow as tf

        def f(step, peak):
            rate = (
                tf.train.exponential_decay(peak, step, 50, 0.1)
                if peak > 1e-4
                else tf.train.cosine_decay(peak, step, 50)
            )
            return rate * tf.minimum(1.0, tf.to_float(step) / 10.0)
    """)
    exponential, cosine = findings(Source(code))
    assert "ExponentialDecay(peak, 50, 0.1)" in exponential.instead
    assert exponential.check.endswith("for `peak > 0.0001`")
    assert cosine.instead == "no advice: a test chooses it or another rate"
    assert not [f for f in (exponential, cosine) if f.rewrite]


def test_a_condition_of_advice_is_named():
    """ALBERT's warmup may begin later; by default it does not."""
    source = Source(
        program("""
            rate = tf.train.polynomial_decay(peak, step, total, 0.0)
            shifted = tf.to_float(step - start)
            is_warmup = tf.to_float(step - start < warmup)
            return (1 - is_warmup) * rate + is_warmup * peak * shifted / warmup
        """).replace("warmup):", "warmup, start=0):")
    )
    found = findings(source)
    assert {f.instead for f in found} == {
        "keras_tricks.schedules.WarmupPolynomialDecay(peak, total, warmup)"
    }
    assert all(f.check.endswith(" for start=0") for f in found)
    assert all("start=0 only" in f.why_not for f in found)


ELSEWHERE = {
    "an attribute": """
        class Trainer:
            def __init__(self, step, warmup):
                self.rate = tf.train.exponential_decay(0.1, step, 100, 0.5)
                self.warm = self.rate * tf.minimum(1.0, tf.to_float(step) / warmup)
    """,
    "an attribute that is set twice": """
        class Trainer:
            def __init__(self, step):
                self.rate = tf.train.exponential_decay(0.1, step, 100, 0.5)
                self.rate = tf.constant(0.1)
    """,
    "a caller": """
        def decayed(step):
            return tf.train.exponential_decay(0.1, step, 100, 0.5)
        def rate(step, warmup):
            return decayed(step) * tf.minimum(1.0, tf.to_float(step) / warmup)
    """,
    "a caller, under a name": """
        def decayed(step):
            rate = tf.train.exponential_decay(0.1, step, 100, 0.5)
            return rate
        def make(step):
            rate = decayed(step)
            rate = rate * 0.5
            return rate
    """,
    "epochs": """
        def decayed(epoch):
            return tf.train.exponential_decay(0.1, epoch, 100, 0.5)
    """,
    "a loop": """
        rate = tf.train.exponential_decay(0.1, tf.train.get_global_step(), 100, 0.5)
        for _ in range(3):
            rate = rate * 0.5
    """,
    "a branch of which nothing is known": """
        rate = tf.train.exponential_decay(0.1, tf.train.get_global_step(), 100, 0.5)
        if flag:
            rate = rate * scale
    """,
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_rate_that_is_changed_elsewhere_gets_no_advice_of_its_own(name):
    code = "import tensorflow as tf\n" + textwrap.dedent(ELSEWHERE[name])
    decays = [f for f in findings(Source(code)) if "exponential" in f.what]
    assert len(decays) == 1
    assert decays[0].instead.startswith("no advice: ")


def test_a_rate_that_is_only_shown_elsewhere_keeps_its_advice():
    code = """
        import tensorflow as tf

        class Trainer:
            def __init__(self, step):
                self.rate = tf.train.exponential_decay(0.1, step, 100, 0.5)
                tf.summary.scalar("rate", self.rate * 1e3)
                print(f"{self.rate * 2}")
                self.optimizer = tf.train.AdamOptimizer(self.rate)
    """
    [decay] = [f for f in findings(Source(textwrap.dedent(code))) if f.check]
    assert decay.instead.endswith("ExponentialDecay(0.1, 100, 0.5)")


def test_a_warmup_below_decays_in_branches_goes_into_each():
    """As in XLNet's code; each branch has the rates that it had."""
    body = """
        if warmup > 0:
            climb = tf.cast(step, tf.float32) / tf.cast(warmup, tf.float32) * peak
        else:
            climb = 0.0
        # Down again.
        if kind == "poly":
            fall = tf.train.polynomial_decay(
                peak, step - warmup, total - warmup, end_learning_rate=peak * 0.1)
        elif kind == "cos":
            fall = tf.train.cosine_decay(peak, step - warmup, total - warmup, alpha=0.1)
        else:
            raise ValueError(kind)
        rate = tf.where(step < warmup, climb, fall)
        return rate
    """
    code = program(body).replace("warmup):", "warmup, kind):", 1)
    source = Source(code)
    found = [f for f in findings(source) if f.check]
    advised = [f.instead.replace("keras_tricks.schedules.", "") for f in found]
    polynomial = (
        "WarmupPolynomialDecay(peak, total, warmup, end_learning_rate=peak * 0.1, "
        'join="shift")'
    )
    cosine = (
        "Warmup(keras.optimizers.schedules.CosineDecay(peak, total - warmup, "
        "alpha=0.1), warmup)"
    )
    assert advised == [polynomial, cosine, f"{polynomial} or {cosine}"]
    new = edits.rewritten(source, edits.chosen(found))
    assert "    # Down again.\n" in new
    assert "    rate = fall(step)\n" in new
    assert not {"climb", "tf.train", "tf.where"} & set(new.replace("(", " ").split())
    for kind in ("poly", "cos"):
        with tf.Graph().as_default(), v1.Session() as session:
            step = v1.placeholder(tf.int32, ())
            both = [run(one)(step, 0.3, 100, 20, kind) for one in (code, new)]
            rates = np.array([session.run(both, {step: number}) for number in STEPS])
        np.testing.assert_allclose(rates[:, 1], rates[:, 0], rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize(
    "code",
    [
        "x = tf.train.polynomial_decay(0.1, step, tf.add())",
        "x = tf.train.polynomial_decay(0.1, step, step)",
        "x = tf.train.polynomial_decay(0.1, step, 1 if step else 2)",
        "x = tf.train.piecewise_constant(step, [step], [0.1, 0.2])",
        "x = tf.train.exponential_decay(0.1, step, 0, 0)",
        "x = tf.train.polynomial_decay(x, step, 10)",
        "x = tf.train.polynomial_decay(1e400, step, 10)",
        "def f(): return tf.train.polynomial_decay(f(), step, 10)",
        "x = (lambda: x())() * tf.train.cosine_decay(0.1, step, 10)",
    ],
)
def test_code_that_cannot_be_right_gets_no_advice(code):
    found = findings(Source(f"import tensorflow as tf\n{code}\n"))
    assert all(f.instead.startswith("no advice: ") for f in found)
    assert found


@pytest.mark.parametrize(
    "name", ["learning_rate_warmup_steps", "warmup_iterations", "lr_warmup_epochs"]
)
def test_a_count_that_is_called_after_a_rate_is_none(name):
    """Its samples are whole, so that steps before and after it are compared."""
    code = f"""
import tensorflow as tf
def rate(step, peak, {name}):
    return peak * tf.minimum(1.0, tf.to_float(step) / {name})
"""
    [finding] = [f for f in findings(Source(code)) if f.check]
    assert finding.instead == f"keras_tricks.schedules.Warmup(peak, {name})"
    assert finding.check == "equal at 18 steps"


@pytest.mark.parametrize("first", sampling.one_in(10, range(0, 400, 20)))
def test_rewritten_random_programs_have_the_rates_of_the_originals(first):
    """For each way that their tests may turn out; about a third are rewritten."""
    rewritten = 0
    for seed in range(first, first + 20):
        code = rate_programs.program(seed)
        source = Source(code)
        new = edits.rewritten(source, edits.chosen(findings(source)))
        rewritten += new != code
        for flag, kind in ((False, "a"), (True, "b"), (True, "c")):
            arguments = (0.3, 100, 20, flag, kind)
            if new == code or (kind == "c" and "raise ValueError" in code):
                continue
            with tf.Graph().as_default(), v1.Session() as session:
                step = v1.placeholder(tf.int32, ())
                both = [run(one, "rate_of")(step, *arguments) for one in (code, new)]
                both = [tf.convert_to_tensor(rate) for rate in both]
                rates = np.array([session.run(both, {step: s}) for s in STEPS])
            ours, theirs = rates[:, 1], rates[:, 0]
            np.testing.assert_allclose(ours, theirs, rtol=5e-5, atol=1e-6, err_msg=code)
    assert rewritten
