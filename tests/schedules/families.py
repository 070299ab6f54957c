"""Every public schedule, for the suites that run over all of them."""

import keras

from keras_tricks.schedules import CustomSchedule
from keras_tricks.schedules import CyclicalSchedule
from keras_tricks.schedules import InverseSquareRoot
from keras_tricks.schedules import Joined
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import OneCycle
from keras_tricks.schedules import PerUpdate
from keras_tricks.schedules import PowerDecay
from keras_tricks.schedules import Scaled
from keras_tricks.schedules import Shifted
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import WarmupStableDecay

WARMUP_STEPS = 4
RUN_STEPS = 20

# Public name -> functions that build one. Runs of about RUN_STEPS updates, with a
# warmup of WARMUP_STEPS where there is one, at rates that move a small model.
SCHEDULES = {
    "NoamSchedule": [lambda: NoamSchedule(64, WARMUP_STEPS, scale=0.5)],
    "CustomSchedule": [lambda: CustomSchedule(64, WARMUP_STEPS)],
    "WarmupPolynomialDecay": [
        lambda: WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS),
        lambda: WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS, join="shift"),
        lambda: WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS, join="lower"),
        lambda: WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS, join="multiply"),
        lambda: WarmupPolynomialDecay(
            0.1, 7, WARMUP_STEPS, end_learning_rate=0.01, power=0.5, cycle=True
        ),
    ],
    "Warmup": [
        lambda: Warmup(0.1, WARMUP_STEPS, start=0.01),
        lambda: Warmup(
            InverseSquareRoot(0.1, 2, start_learning_rate=0.05),
            WARMUP_STEPS,
            power=2.0,
        ),
        lambda: Warmup(
            keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5),
            WARMUP_STEPS,
            join="lower",
        ),
    ],
    "PowerDecay": [
        lambda: PowerDecay(0.1),
        lambda: PowerDecay(0.1, -1.5, offset=3, pre_offset_learning_rate=0.05),
    ],
    "Scaled": [
        lambda: Scaled(WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS), 0.5),
    ],
    "InverseSquareRoot": [
        lambda: InverseSquareRoot(0.1, WARMUP_STEPS),
        lambda: InverseSquareRoot(0.1, WARMUP_STEPS, start_learning_rate=0.1),
    ],
    "WarmupStableDecay": [
        lambda: WarmupStableDecay(0.1, RUN_STEPS, WARMUP_STEPS, 8),
        lambda: WarmupStableDecay(
            0.1, RUN_STEPS, WARMUP_STEPS, 16, end_learning_rate=0.01, decay="cosine"
        ),
        lambda: WarmupStableDecay(
            0.1, RUN_STEPS, WARMUP_STEPS, 7, decay="1-sqrt", start_learning_rate=0.02
        ),
        lambda: WarmupStableDecay(0.1, RUN_STEPS, 0, 5),
    ],
    "OneCycle": [
        lambda: OneCycle(0.1, RUN_STEPS, warmup_fraction=0.25),
        lambda: OneCycle(0.1, RUN_STEPS, anneal="linear", three_phase=True),
        lambda: OneCycle(0.1, 7, div_factor=4.0, final_div_factor=10.0),
    ],
    "CyclicalSchedule": [
        lambda: CyclicalSchedule(0.01, 0.1, WARMUP_STEPS),
        lambda: CyclicalSchedule(0.01, 0.1, WARMUP_STEPS, scale="triangular2"),
        lambda: CyclicalSchedule(0.0, 0.1, 3, scale="exp_range", gamma=0.9),
    ],
    "Joined": [
        lambda: Joined([0.05, NoamSchedule(64, WARMUP_STEPS), 0.01], [3, 12]),
        lambda: Joined(
            [
                InverseSquareRoot(0.1, WARMUP_STEPS),
                keras.optimizers.schedules.PolynomialDecay(0.05, 9, 0.01),
            ],
            [WARMUP_STEPS + 5],
        ),
        lambda: Joined(
            [keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.1, 0.05])], []
        ),
    ],
    "PerUpdate": [
        lambda: PerUpdate(WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS), 2),
        lambda: PerUpdate(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), 3),
    ],
    "Shifted": [
        lambda: Shifted(NoamSchedule(64, WARMUP_STEPS), 1),
        lambda: Shifted(WarmupPolynomialDecay(0.1, RUN_STEPS, WARMUP_STEPS), -2),
        # Three deep.
        lambda: Shifted(
            PerUpdate(Joined([0.05, OneCycle(0.1, 10)], [2]), 2),
            WARMUP_STEPS,
        ),
    ],
}

BUILDERS = [
    (f"{name}-{number}", build)
    for name, builders in SCHEDULES.items()
    for number, build in enumerate(builders)
]
