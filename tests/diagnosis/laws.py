"""Learning curves whose truth is known: laws of learning, with noise.

Errors fall as `level + drop * (1 + t / scale) ** -power`, or exponentially: the two
forms that curves of real trainings are fitted best with (Viering and Loog, 2021).
"""

import numpy as np

NAMES = (
    "learning well",
    "underfitting",
    "overfitting",
    "diverging",
    "not learning at all",
    "still improving at the end",
    "improved only at the beginning",
    "noisy",
    "plateaued",
    "step change",
)


def falling(epochs, scale, power=None):
    """Returns a curve from 1 towards 0; exponential where it has no power."""
    t = np.arange(epochs)
    return np.exp(-t / scale) if power is None else (1.0 + t / scale) ** -power


def curves(name, rng):
    """Returns a history of which `name` is what counts most.

    The noise is a tenth at most of the effect that makes it so.
    """
    # Where noise is large, few epochs do not show the effect.
    epochs = int(rng.integers(80 if name == "noisy" else 25, 150))
    start = rng.uniform(0.5, 8.0)
    noise = rng.uniform(0.0, 0.02)
    training, validation = _MAKERS[name](epochs, rng)
    if name == "noisy":
        noise = rng.uniform(0.2, 0.35) * (validation[0] - validation[-1])
    history = {}
    for key, curve in (("loss", training), ("val_loss", validation)):
        history[key] = start * (curve + noise * rng.normal(size=epochs))
    return history


def _settled(epochs, rng, level, scale=(0.06, 0.1)):
    """Returns training and validation that end alike, flat from some epoch on."""
    fall = falling(epochs, epochs * rng.uniform(*scale))
    training = level + (1.0 - level) * fall
    return training, training + rng.uniform(0.0, 0.05) * (1.0 - fall)


def _learning_well(epochs, rng):
    return _settled(epochs, rng, rng.uniform(0.02, 0.2))


def _underfitting(epochs, rng):
    return _settled(epochs, rng, rng.uniform(0.6, 0.8))


def _overfitting(epochs, rng):
    training = falling(epochs, epochs * rng.uniform(0.05, 0.2))
    turn = rng.uniform(0.2, 0.5)
    risen = np.maximum(np.arange(epochs) / epochs - turn, 0.0) / (1.0 - turn)
    floor = rng.uniform(0.1, 0.4)
    return training, floor + (1.0 - floor) * training + rng.uniform(0.25, 0.8) * risen


def _diverging(epochs, rng):
    training = rng.uniform(0.3, 0.6) + 0.4 * falling(epochs, epochs * 0.1)
    turn = rng.uniform(0.3, 0.7)
    risen = np.maximum(np.arange(epochs) / epochs - turn, 0.0) / (1.0 - turn)
    training = training + rng.uniform(0.6, 3.0) * risen ** rng.uniform(1.0, 2.0)
    if rng.random() < 0.3:
        training[int(epochs * rng.uniform(0.7, 1.0)) :] = np.nan
    return training, training + 0.02


def _not_learning(epochs, rng):
    flat = np.ones(epochs)
    return flat, flat + rng.uniform(-0.05, 0.05)


def _still_improving(epochs, rng):
    if rng.random() < 0.5:
        training = falling(epochs, epochs * rng.uniform(0.4, 0.8))
    else:
        training = 1.0 - rng.uniform(0.4, 0.8) * np.arange(epochs) / epochs
    return training, training + rng.uniform(0.0, 0.02)


def _only_early(epochs, rng):
    return _settled(epochs, rng, rng.uniform(0.38, 0.47), (0.01, 0.03))


def _noisy(epochs, rng):
    return _settled(epochs, rng, rng.uniform(0.1, 0.45))


def _plateaued(epochs, rng):
    return _settled(epochs, rng, rng.uniform(0.38, 0.45), (0.09, 0.12))


def _step_change(epochs, rng):
    training = rng.uniform(0.3, 0.5) + 0.3 * falling(epochs, epochs * 0.08)
    size = rng.uniform(0.2, 0.3) * rng.choice([-1.0, 1.0])
    training[int(epochs * rng.uniform(0.35, 0.75)) :] += size
    return training, training + 0.02


_MAKERS = dict(
    zip(
        NAMES,
        (
            _learning_well,
            _underfitting,
            _overfitting,
            _diverging,
            _not_learning,
            _still_improving,
            _only_early,
            _noisy,
            _plateaued,
            _step_change,
        ),
        strict=True,
    )
)
