"""Every public schedule, for the suites that run over all of them."""

from keras_tricks.schedules import CustomSchedule
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import WarmupPolynomialDecay

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
        lambda: WarmupPolynomialDecay(
            0.1, 7, WARMUP_STEPS, end_learning_rate=0.01, power=0.5, cycle=True
        ),
    ],
}

BUILDERS = [
    (f"{name}-{number}", build)
    for name, builders in SCHEDULES.items()
    for number, build in enumerate(builders)
]
