"""The one place where the search space of optimizers is declared."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import keras_tuner
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay

WITH_BETAS = ("adam", "nadam", "adamw", "adam_then_sgd")
WITH_MOMENTUM = ("sgd", "adam_then_sgd")

# Decay shrinks what a norm or a bias has learned for no gain in generality.
NOT_DECAYED = ("bias", "gamma", "beta")


def hyper_optimizer(
    hp: keras_tuner.HyperParameters,
    total_steps: int,
    *,
    optimizers: tuple[str, ...] = ("adam", "nadam", "adamw", "sgd"),
    learning_rate: float = 1e-3,
    global_clipnorm: tuple[float, float, float] = (0.1, 1.0, 15.0),
) -> ClippedOptimizer:
    """Declares an optimizer's hyperparameters in `hp` and returns the optimizer.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `optimizer` | `optimizers` | choice | the first | structural | 1 |
    | `learning_rate` | a tenth to 100 times the default | log | 1e-3 | scalar | 1, 2 |
    | `warmup_fraction` | 0 to 0.2 of the updates | linear | 0.1 | scalar | 1 |
    | `decay_power` | 0.5 to 2 | linear | 1 | scalar | 3 |
    | `global_clipnorm` | 0.1 to 15, or as given | log | 1 | scalar | 3, 4 |
    | `beta_1` | fixed | | 0.9 | scalar | 5 |
    | `beta_2` | fixed | | 0.999 | scalar | 5 |
    | `epsilon` | fixed | | 1e-7 | scalar | Keras |
    | `weight_decay` (only with "adamw") | 1e-4 to 0.3 | log | 0.01 | scalar | 3, 6 |
    | `momentum` (only with "sgd") | 0.8 to 0.99 | linear | 0.9 | scalar | 2, 7 |
    | `switch_fraction` (1) | 0.25 to 0.75 of the updates | linear | 0.5 | scalar | 8 |
    | `second_learning_rate` (1) | 1e-3 to 1 | log | 1e-2 | scalar | 8 |

    (1) Only with "adam_then_sgd", a `SwitchedOptimizer`: Adam until `switch_fraction`
    of the updates, with the schedule below, and then SGD with Nesterov momentum, whose
    rate falls from `second_learning_rate` to 0 at the last update. It has `momentum`,
    too. A search trains it by `fit`: its trials share no compiled program.

    The rate warms up from 0 and then decays to 0 at the last update, as
    `WarmupPolynomialDecay` with `join="shift"` does, so that `learning_rate` is the
    highest rate of the run. "adamw" is `AdamWeightDecay` with bias correction, whose
    updates are AdamW's; it leaves biases and norms alone. To fix a value, or to search
    one that is fixed here, declare the name in the `hyperparameters` of the tuner, as
    with any KerasTuner space; `beta_1`, `beta_2` and `epsilon` concern "adam", "nadam"
    and "adamw", and matter for the last bit of quality.

    Args:
        hp: The hyperparameters of the trial.
        total_steps: Optimizer updates of the whole run, >= 1.
        optimizers: The choices, from "adam", "nadam", "adamw", "sgd" (with Nesterov
            momentum) and "adam_then_sgd".
        learning_rate: Default of the rate of that name, > 0.
        global_clipnorm: Least, default and greatest limit of that name, > 0 and in this
            order. Recurrent networks want more than others (4).

    Returns:
        The optimizer inside a `ClippedOptimizer`.

    Raises:
        ValueError: If `total_steps` is below 1, `learning_rate` is not positive, an
            optimizer is unknown or the limits are in another order.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import hyper_optimizer
    >>> hp = keras_tuner.HyperParameters()
    >>> optimizer = hyper_optimizer(hp, total_steps=1000)
    >>> type(optimizer.inner_optimizer).__name__, hp.get("learning_rate")
    ('Adam', 0.001)

    Reference:
        1. What practitioners advise: Adam first, SGD to finish; start small and raise
        the rate by tens; warm up for the first 10 to 20 % of the updates.
        2. Godbole et al., "Deep Learning Tuning Playbook", 2023.
        3. Devlin et al., "BERT", 2018 (power 1, norm 1, decay 0.01).
        4. Practitioners clip recurrent networks at 5, 10 or 15.
        5. Kingma and Ba, "Adam", 2015.
        6. Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
        7. Sutskever et al., "On the importance of initialization and momentum", 2013.
        8. Keskar and Socher, "Improving Generalization Performance by Switching from
        Adam to SGD", 2017: rates of SGD some ten times those of Adam, and switches
        after a part of the run.
    """
    return optimizer_settings(
        hp,
        total_steps,
        optimizers=optimizers,
        learning_rate=learning_rate,
        global_clipnorm=global_clipnorm,
    ).optimizer()


class OptimizerSettings(NamedTuple):
    """An optimizer of `hyper_optimizer` before it is made.

    Attributes:
        name: The kind of the inner optimizer, from "adam" to "sgd".
        schedule: Its learning rate.
        numbers: Its other arguments; of "adam_then_sgd" those of Adam, `momentum`, `at`
            and the rate of the `second`.
        global_clipnorm: The limit around it.
    """

    name: str
    schedule: WarmupPolynomialDecay
    numbers: dict[str, Any]
    global_clipnorm: float

    def optimizer(self) -> ClippedOptimizer:
        """Returns a new optimizer."""
        inner = _OPTIMIZERS[self.name](self.schedule, **self.numbers)
        return ClippedOptimizer(inner, global_clipnorm=self.global_clipnorm)

    def set_in(self, optimizer: ClippedOptimizer) -> None:
        """Turns an optimizer of the same kind, not built yet, into this one.

        That takes a fraction of the time that a new one takes.
        """
        inner, numbers = optimizer.inner_optimizer, dict(self.numbers)
        if isinstance(inner, SwitchedOptimizer):
            inner.at = numbers.pop("at")
            inner.second.learning_rate = numbers.pop("second")
            inner.second.momentum = numbers.pop("momentum")
            inner = inner.first
        inner.learning_rate = self.schedule
        for name, number in numbers.items():
            setattr(inner, name, number)
        optimizer.global_clipnorm = self.global_clipnorm


def optimizer_settings(
    hp: keras_tuner.HyperParameters,
    total_steps: int,
    *,
    optimizers: tuple[str, ...] = ("adam", "nadam", "adamw", "sgd"),
    learning_rate: float = 1e-3,
    global_clipnorm: tuple[float, float, float] = (0.1, 1.0, 15.0),
) -> OptimizerSettings:
    """Declares what `hyper_optimizer` declares, and makes no optimizer."""
    if not isinstance(hp, keras_tuner.HyperParameters):
        raise TypeError(
            "`hp` must be a keras_tuner.HyperParameters. "
            f"{_validation.received('hp', hp, True)}"
        )
    total_steps = _validation.check_int("total_steps", total_steps, minimum=1)
    learning_rate = _validation.check_float(
        "learning_rate", learning_rate, exclusive=True
    )
    if not isinstance(optimizers, tuple | list):
        raise TypeError(
            "`optimizers` must be a tuple of names. "
            f"{_validation.received('optimizers', optimizers, True)}"
        )
    most = 1000 if "adam_then_sgd" in optimizers else 100
    if learning_rate * most > _validation.GREATEST:
        raise ValueError(
            f"`learning_rate` must be a number of which {most} times are one in "
            "float32. "
            f"{_validation.received('learning_rate', learning_rate)}"
        )
    least, default, greatest = _checked_limits(global_clipnorm)
    if not optimizers:
        raise ValueError("`optimizers` must name at least one optimizer. Received: ()")
    for name in optimizers:
        _validation.check_choice("optimizers", name, tuple(_OPTIMIZERS))
    # A user may have declared another one before.
    name = hp.Choice("optimizer", list(optimizers))
    _validation.check_choice("optimizer", name, tuple(optimizers))
    peak = hp.Float(
        "learning_rate",
        learning_rate / 10,
        learning_rate * 100,
        sampling="log",
        default=learning_rate,
    )
    warmup_fraction = hp.Float("warmup_fraction", 0.0, 0.2, default=0.1)
    power = hp.Float("decay_power", 0.5, 2.0, default=1.0)
    clipnorm = hp.Float(
        "global_clipnorm", least, greatest, sampling="log", default=default
    )
    schedule = WarmupPolynomialDecay(
        peak,
        decay_steps=total_steps,
        warmup_steps=int(total_steps * warmup_fraction),
        power=power,
        join="shift",
    )
    numbers: dict[str, Any] = {}
    if set(optimizers) & set(WITH_BETAS):
        defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
        betas = {key: hp.Fixed(key, value) for key, value in defaults.items()}
        numbers |= betas if name in WITH_BETAS else {}
    if "adamw" in optimizers:
        with hp.conditional_scope("optimizer", ["adamw"]):
            decay = hp.Float("weight_decay", 1e-4, 0.3, sampling="log", default=0.01)
        numbers |= {"weight_decay": decay} if name == "adamw" else {}
    with_momentum = [other for other in optimizers if other in WITH_MOMENTUM]
    if with_momentum:
        with hp.conditional_scope("optimizer", with_momentum):
            momentum = hp.Float("momentum", 0.8, 0.99, default=0.9)
        numbers |= {"momentum": momentum} if name in WITH_MOMENTUM else {}
    if "adam_then_sgd" in optimizers:
        numbers |= _switch(hp, name, total_steps, learning_rate, power)
    return OptimizerSettings(name, schedule, numbers, clipnorm)


def _checked_limits(limits: Any) -> tuple[float, ...]:
    checked = _validation.check_floats("global_clipnorm", limits, exclusive=True)
    in_order = len(checked) == 3 and list(checked) == sorted(checked)
    if not in_order or checked[0] == checked[-1]:
        raise ValueError(
            "`global_clipnorm` must be three limits: the least, the default and the "
            f"greatest. {_validation.received('global_clipnorm', limits)}"
        )
    return checked


def _switch(
    hp: keras_tuner.HyperParameters,
    name: str,
    total_steps: int,
    learning_rate: float,
    power: float,
) -> dict[str, Any]:
    """Declares when "adam_then_sgd" switches, and the rate after that.

    Returns:
        Both, empty where the optimizer is another one.
    """
    with hp.conditional_scope("optimizer", ["adam_then_sgd"]):
        fraction = hp.Float("switch_fraction", 0.25, 0.75, default=0.5)
        peak = hp.Float(
            "second_learning_rate",
            learning_rate,
            learning_rate * 1000,
            sampling="log",
            default=learning_rate * 10,
        )
    if name != "adam_then_sgd":
        return {}  # Keras has no values for what is not asked for.
    at = min(max(int(total_steps * fraction), 1), max(total_steps - 1, 1))
    steps_left = max(total_steps - at, 1)
    second = WarmupPolynomialDecay(peak, decay_steps=steps_left, power=power)
    return {"at": at, "second": second}


def _adamw(
    learning_rate: LearningRateSchedule, **numbers: Any
) -> keras.optimizers.Optimizer:
    # Keras's AdamW does not save which variables it leaves alone: loaded, it would
    # decay them all.
    return AdamWeightDecay(
        learning_rate,
        exclude_from_weight_decay=tuple(f"{name}[^/]*$" for name in NOT_DECAYED),
        bias_correction=True,
        **numbers,
    )


def _nesterov(
    learning_rate: LearningRateSchedule, momentum: float
) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=True)


def _adam_then_sgd(
    learning_rate: LearningRateSchedule,
    at: int,
    second: LearningRateSchedule,
    momentum: float,
    **numbers: Any,
) -> keras.optimizers.Optimizer:
    return SwitchedOptimizer(
        keras.optimizers.Adam(learning_rate, **numbers),
        _nesterov(second, momentum),
        at=at,
    )


_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "nadam": keras.optimizers.Nadam,
    "adamw": _adamw,
    "sgd": _nesterov,
    "adam_then_sgd": _adam_then_sgd,
}
