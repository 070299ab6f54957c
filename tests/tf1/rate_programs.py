"""Random functions that compute a rate as TF1 code does, for comparing rewrites."""

import random
import textwrap
from collections.abc import Callable
from typing import Any

Choose = Callable[[list], Any]

HEAD = """import tensorflow.compat.v1 as tf
tf.disable_v2_behavior()
def rate_of(step, peak, total, warmup, flag=False, kind="a"):
    n = total + 7
    low = 0.01
    done = tf.to_float(step) / tf.to_float(warmup)
"""


def program(seed: int) -> str:
    """Returns the function `rate_of` in a file, of the decays and warmups in use."""
    choose = random.Random(seed).choice
    lines = [*_decays(choose), *choose([[], [], [], _change(choose)])]
    if choose([True, True, True, False]):
        lines += _placed(choose, _warmup(choose))
    lines += choose([[], [], [], _change(choose)])
    lines.append(choose(["return rate", "return rate * 1.0"]))
    return HEAD + textwrap.indent("\n".join(lines), "    ") + "\n"


def _decay(choose: Choose) -> str:
    step = choose(["step", "step", "step - warmup"])
    steps = choose(["total", "total", "total - warmup", "n"])
    run = f"peak, {step}, {steps}"
    end = choose(["0.0", "0.001", "peak * 0.1", "low"])
    return "tf.train." + choose(
        [
            f"polynomial_decay({run}, {end}, power={choose(['1.0', '2.0'])})",
            f"polynomial_decay({run}, end_learning_rate=0.0)",
            f"exponential_decay({run}, 0.5)",
            f"cosine_decay({run}, alpha={choose(['0.0', '0.1'])})",
            f"inverse_time_decay({run}, 0.5)",
            "piecewise_constant(step, [warmup, total], [peak, peak * 0.5, low])",
        ]
    )


def _decays(choose: Choose) -> list[str]:
    first, second, third = (f"rate = {_decay(choose)}" for _ in range(3))
    last = choose(["rate = tf.constant(peak)", "raise ValueError(kind)", third])
    return choose(
        [
            [first],
            [first],
            [first],
            ["rate = tf.constant(peak)"],
            [first, "if flag:", f"    {second}"],
            ["if flag:", f"    {first}", "else:", f"    {second}"],
            [
                *["if kind == 'a':", f"    {first}", "elif kind == 'b':"],
                *[f"    {second}", "else:", f"    {last}"],
            ],
        ]
    )


def _warmup(choose: Choose) -> list[str]:
    climb = choose(
        [
            "peak * tf.to_float(step) / tf.to_float(warmup)",
            "low + (peak - low) * tf.to_float(step) / tf.to_float(warmup)",
            "peak * done",
        ]
    )
    return choose(
        [
            [
                "is_warmup = tf.to_float(step < warmup)",
                f"rate = (1.0 - is_warmup) * rate + is_warmup * {climb}",
            ],
            [f"rate = tf.where(step < warmup, {climb}, rate)"],
            [f"rate = tf.cond(step < warmup, lambda: {climb}, lambda: rate)"],
            ["rate *= tf.minimum(1.0, tf.to_float(step) / tf.to_float(warmup))"],
            ["rate = rate * tf.minimum(1.0, done)"],
            [
                f"warmup_rate = {climb}",
                "rate = tf.where(step < warmup, warmup_rate, rate)",
            ],
        ]
    )


def _placed(choose: Choose, lines: list[str]) -> list[str]:
    inside = [f"    {line}" for line in lines]
    return choose(
        [
            lines,
            lines,
            lines,
            ["if warmup:", *inside],
            ["if flag:", *inside],
            ["if warmup > 0:", *inside, "else:", "    rate = rate * 1.0"],
            ["with tf.name_scope('warmup'):", *inside],
        ]
    )


def _change(choose: Choose) -> list[str]:
    return choose(
        [
            ["rate = rate * 0.5"],
            ["rate = tf.maximum(rate, 0.02)"],
            ["other = rate + 1.0"],
            ["if flag:", "    rate = rate * 2.0"],
            ["rate = tf.identity(rate)"],
            ["rate, other = rate, 3"],
        ]
    )
