"""The one place where the search space of optimizers is declared."""

from collections.abc import Callable

import keras
import keras_tuner

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import arguments

# Nesterov momentum of 0.9 is what practitioners start SGD with.
_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "nadam": keras.optimizers.Nadam,
    "adamw": keras.optimizers.AdamW,
    "sgd": lambda learning_rate: keras.optimizers.SGD(
        learning_rate, momentum=0.9, nesterov=True
    ),
}


def hyper_optimizer(
    hp: keras_tuner.HyperParameters,
    total_steps: int,
    *,
    optimizers: tuple[str, ...] = ("adam", "sgd"),
) -> ClippedOptimizer:
    """Declares an optimizer's hyperparameters in `hp` and returns the optimizer.

    | name | range | scale | default | kind |
    |---|---|---|---|---|
    | `optimizer` | `optimizers` | choice | the first | structural |
    | `learning_rate` | 1e-4 to 1e-1 | log | 1e-3 | scalar |
    | `warmup_fraction` | 0 to 0.2 of the updates | linear | 0.1 | scalar |
    | `decay_power` | 0.5 to 2 | linear | 1 | scalar |
    | `global_clipnorm` | 0.1 to 10 | log | 1 | scalar |

    The rate warms up from 0 and then decays to 0 at the last update, as
    `WarmupPolynomialDecay` with `join="shift"` does, so that `learning_rate` is the
    highest rate of the run. To fix a value or to give another range, declare the
    name in the `hyperparameters` of the tuner, as with any KerasTuner space.

    Args:
        hp: The hyperparameters of the trial.
        total_steps: Optimizer updates of the whole run, >= 1.
        optimizers: The choices, from "adam", "nadam", "adamw", "sgd" (with Nesterov
            momentum of 0.9).

    Returns:
        The optimizer inside a `ClippedOptimizer`.

    Raises:
        ValueError: If `total_steps` is below 1 or an optimizer is unknown.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import hyper_optimizer
    >>> hp = keras_tuner.HyperParameters()
    >>> optimizer = hyper_optimizer(hp, total_steps=1000)
    >>> type(optimizer.inner_optimizer).__name__, hp.get("learning_rate")
    ('Adam', 0.001)
    """
    total_steps = arguments.whole("total_steps", total_steps, minimum=1)
    if not optimizers:
        raise ValueError("`optimizers` must name at least one optimizer. Received: ()")
    for name in optimizers:
        arguments.one_of("optimizers", name, tuple(_OPTIMIZERS))
    name = hp.Choice("optimizer", list(optimizers))
    learning_rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    warmup_fraction = hp.Float("warmup_fraction", 0.0, 0.2, default=0.1)
    power = hp.Float("decay_power", 0.5, 2.0, default=1.0)
    global_clipnorm = hp.Float(
        "global_clipnorm", 0.1, 10.0, sampling="log", default=1.0
    )
    schedule = WarmupPolynomialDecay(
        learning_rate,
        decay_steps=total_steps,
        warmup_steps=int(total_steps * warmup_fraction),
        power=power,
        join="shift",
    )
    return ClippedOptimizer(
        _OPTIMIZERS[name](learning_rate=schedule), global_clipnorm=global_clipnorm
    )
