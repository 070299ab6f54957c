"""The tables of docs/schedules.md: each new call has the rates of the old one.

The old calls are formulas in float64 here, from what their documentation says.
"""

import re

import keras
import numpy as np
import pytest

from keras_tricks import schedules
from keras_tricks.schedules.display.curve import curve
from tests.child_process import ROOT

SETTINGS = {
    "init_lr": 2e-3,
    "end_lr": 1e-4,
    "min_lr_ratio": 0.1,
    "warmup_learning_rate": 1e-5,
    "power": 1.5,
    "num_train_steps": 1000,
    "num_warmup_steps": 100,
    "num_decay_steps": 300,
    "num_cycles": 3,
    "decay_steps": 700,
    "d_model": 128,
    "warmup_steps": 200,
    "offset": 150,
}
LR, END, MIN_RATIO, START, POWER, TRAIN, WARMUP, TAIL, CYCLES, DECAY, *_ = (
    SETTINGS.values()
)
NAMES = (
    {name: getattr(schedules, name) for name in schedules.__all__}
    | {
        name: getattr(keras.optimizers.schedules, name)
        for name in ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay")
    }
    | SETTINGS
    | {"decay": keras.optimizers.schedules.ExponentialDecay(2e-3, 300, 0.5)}
)
STEPS = np.arange(1300, dtype=np.float64)


def polynomial(step, first=LR, last=0.0, steps=TRAIN, power=1.0, cycle=False):
    """TF1's `polynomial_decay`; a cycle ends at the next multiple of `steps`."""
    if cycle:
        steps = steps * np.maximum(np.ceil(step / steps), 1)
    return (first - last) * (1 - np.minimum(step, steps) / steps) ** power + last


def cosine(step, steps=DECAY, low=0.0):
    share = np.clip(step / steps, 0, 1)
    return LR * ((1 - low) * (1 + np.cos(np.pi * share)) / 2 + low)


def exponential(step):
    return 2e-3 * 0.5 ** (step / 300)


def warmed_up(step, after, top=LR, bottom=0.0, power=1.0):
    climb = bottom + (top - bottom) * (step / WARMUP) ** power
    return np.where(step < WARMUP, climb, after)


def noam(step):
    with np.errstate(divide="ignore"):
        root = np.minimum(step**-0.5, step * 200.0**-1.5)
    return 128.0**-0.5 * root


def stable(step):
    """Hugging Face's with a linear warmup from `min_lr_ratio` and a 1-sqrt tail."""
    low = LR * MIN_RATIO
    tail = 1 - np.sqrt(np.clip((step - (TRAIN - TAIL)) / TAIL, 0, 1))
    return warmed_up(step, low + (LR - low) * tail, bottom=low)


def restarts(step):
    share = (step - WARMUP) / (TRAIN - WARMUP)
    within = np.where(share < 1, CYCLES * share % 1, 1)
    return warmed_up(step, LR * (1 + np.cos(np.pi * within)) / 2)


left = STEPS - WARMUP
# Section of the guide -> old call -> its rates.
OLD = {
    "Transformer": {
        "CustomSchedule(d_model, warmup_steps)": noam(STEPS),
        "CustomSchedule(d_model, warmup_steps), called with step + 1 as in the paper": (
            noam(STEPS + 1)
        ),
    },
    "BERT": {
        "create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu)": (
            warmed_up(STEPS, polynomial(STEPS))
        ),
        "create_optimizer(loss, init_lr, num_train_steps, None, use_tpu)": polynomial(
            STEPS
        ),
        "tf.train.polynomial_decay(init_lr, step, decay_steps, end_lr, power)": (
            polynomial(STEPS, LR, END, DECAY, POWER)
        ),
        "tf.train.polynomial_decay(init_lr, step, decay_steps, end_lr, power, "
        "cycle=True)": polynomial(STEPS, LR, END, DECAY, POWER, cycle=True),
    },
    "Hugging Face": {
        "create_optimizer(init_lr, num_train_steps, num_warmup_steps)": warmed_up(
            STEPS, polynomial(left, steps=TRAIN - WARMUP)
        ),
        "create_optimizer(init_lr, num_train_steps, num_warmup_steps, min_lr_ratio, "
        "power=power)": warmed_up(
            STEPS,
            polynomial(np.maximum(left, 0), LR, LR * MIN_RATIO, TRAIN - WARMUP, POWER),
        ),
        "WarmUp(init_lr, CosineDecay(init_lr, decay_steps), num_warmup_steps, power)": (
            warmed_up(STEPS, cosine(left), power=POWER)
        ),
        "get_constant_schedule_with_warmup(optimizer, num_warmup_steps)": warmed_up(
            STEPS, LR
        ),
        "get_linear_schedule_with_warmup(optimizer, num_warmup_steps, "
        "num_train_steps)": warmed_up(
            STEPS, LR * np.maximum(0, (TRAIN - STEPS) / (TRAIN - WARMUP))
        ),
        "get_polynomial_decay_schedule_with_warmup(optimizer, num_warmup_steps, "
        "num_train_steps, end_lr, power)": warmed_up(
            STEPS, polynomial(np.maximum(left, 0), LR, END, TRAIN - WARMUP, POWER)
        ),
        "get_cosine_schedule_with_warmup(optimizer, num_warmup_steps, "
        "num_train_steps)": warmed_up(STEPS, cosine(left, TRAIN - WARMUP)),
        "get_cosine_with_min_lr_schedule_with_warmup(optimizer, num_warmup_steps, "
        "num_train_steps, min_lr_rate=min_lr_ratio)": warmed_up(
            STEPS, cosine(left, TRAIN - WARMUP, MIN_RATIO)
        ),
        "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, "
        "num_warmup_steps, num_train_steps, num_cycles)": restarts(STEPS),
        "get_inverse_sqrt_schedule(optimizer, num_warmup_steps)": warmed_up(
            STEPS, LR * np.sqrt(WARMUP / np.maximum(STEPS, 1))
        ),
        "get_wsd_schedule(optimizer, num_warmup_steps, num_decay_steps, "
        'num_train_steps, decay_type="1-sqrt", min_lr_ratio=min_lr_ratio)': (
            stable(STEPS)
        ),
    },
    "tf-models": {
        "nlp.create_optimizer(init_lr, num_train_steps, num_warmup_steps, "
        "end_lr=end_lr)": warmed_up(STEPS, polynomial(STEPS, LR, END)),
        "nlp.WarmUp(init_lr, CosineDecay(init_lr, decay_steps), num_warmup_steps, "
        "power)": warmed_up(STEPS, cosine(STEPS), power=POWER),
        "LinearWarmup(decay, num_warmup_steps, warmup_learning_rate)": warmed_up(
            STEPS, exponential(STEPS), top=exponential(WARMUP), bottom=START
        ),
        "LinearWarmup(init_lr, num_warmup_steps, warmup_learning_rate)": warmed_up(
            STEPS, LR, bottom=START
        ),
        "PolynomialWarmUp(decay, num_warmup_steps, power)": warmed_up(
            np.maximum(STEPS, 1),
            exponential(STEPS),
            top=exponential(WARMUP),
            power=POWER,
        ),
        "CosineDecayWithOffset(offset, initial_learning_rate=init_lr, "
        "decay_steps=decay_steps)": cosine(STEPS - 150),
        "DirectPowerDecay(init_lr, power=-power)": (
            LR * np.maximum(STEPS, 1) ** -POWER
        ),
        "PowerDecayWithOffset(init_lr, -power, offset, "
        "pre_offset_learning_rate=end_lr)": np.where(
            STEPS > 150, np.minimum(LR * np.maximum(STEPS - 150, 1) ** -POWER, END), END
        ),
        "StepCosineDecayWithOffset([0, decay_steps], [init_lr, end_lr])": (
            LR - (LR - END) * (1 - np.cos(np.pi * STEPS / DECAY)) / 2
        ),
    },
}
# What the third column of a row begins with -> the steps that it is about.
WHERE = {
    "all steps": slice(None),
    "from step 1": slice(1, None),
    "from `offset`": slice(150, None),
    "to `num_train_steps`": slice(TRAIN + 1),
    "to `decay_steps`": slice(DECAY),
}


def rows():
    """Yields (section, old call, new call, where they are equal)."""
    guide = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
    migrating = guide.partition("\n## Migrating\n")[2].partition("\n## ")[0]
    for section in migrating.split("\n### ")[1:]:
        [name] = [name for name in OLD if name in section.partition("\n")[0]]
        for row in re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", section, re.MULTILINE):
            old, new, where = row
            if old != "old":
                yield name, old.replace("`", ""), new.strip("`"), where


ROWS = list(rows())


def test_each_row_of_the_guide_has_its_old_formula_here_and_the_other_way_round():
    written = {section: set(formulas) for section, formulas in OLD.items()}
    documented = {section: set() for section in OLD}
    for section, old, _, _ in ROWS:
        documented[section].add(old)
    assert documented == written


@pytest.mark.parametrize(
    ("section", "old", "new", "where"), ROWS, ids=[f"{r[0]}: {r[1]}" for r in ROWS]
)
def test_the_new_call_has_the_rates_of_the_old_one(section, old, new, where):
    [steps] = [steps for start, steps in WHERE.items() if where.startswith(start)]
    rates = curve(eval(new, dict(NAMES)), len(STEPS))
    expected = OLD[section][old]
    np.testing.assert_allclose(
        rates[steps], expected[steps], rtol=2e-6, atol=2e-7 * np.nanmax(expected)
    )


def test_an_old_formula_that_is_off_by_one_step_would_be_noticed():
    """The tolerance is far below what a step makes."""
    new = schedules.WarmupPolynomialDecay(LR, TRAIN, WARMUP)
    one_later = warmed_up(STEPS + 1, polynomial(STEPS + 1))
    assert (np.abs(curve(new, 1000) - one_later[:1000]) > 2e-6 * LR).all()
