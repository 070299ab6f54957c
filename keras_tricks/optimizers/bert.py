"""BERT's recipe: the schedule, the clipping and the optimizer in one call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Literal
from typing import TypedDict
from typing import get_args
from typing import overload

from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.optimizers import limits
from keras_tricks.optimizers.adam_weight_decay import AdamWeightDecay
from keras_tricks.optimizers.clipped import ClippedOptimizer
from keras_tricks.schedules import Shifted
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.warmup import JOINS
from keras_tricks.schedules.warmup import Join

if TYPE_CHECKING:
    from typing_extensions import Unpack

RateOf = Literal["this", "next"]


class _Options(TypedDict, total=False):
    """The keyword arguments of `create_optimizer` but `return_schedule`."""

    weight_decay_rate: float
    power: float
    min_lr_ratio: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    adam_clipnorm: float | None
    adam_global_clipnorm: float | None
    exclude_from_weight_decay: Sequence[str] | None
    include_in_weight_decay: Sequence[str] | None
    join: Join
    rate_of: RateOf
    layer_decay: float | None
    num_layers: int | None
    bias_correction: bool


@overload
def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int | None = 0,
    *,
    return_schedule: Literal[False] = False,
    **options: "Unpack[_Options]",
) -> ClippedOptimizer: ...


@overload
def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int | None = 0,
    *,
    return_schedule: Literal[True],
    **options: "Unpack[_Options]",
) -> tuple[ClippedOptimizer, LearningRateSchedule]: ...


def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int | None = 0,
    *,
    weight_decay_rate: float = 0.01,
    power: float = 1.0,
    min_lr_ratio: float = 0.0,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    adam_epsilon: float = 1e-6,
    adam_clipnorm: float | None = None,
    adam_global_clipnorm: float | None = 1.0,
    exclude_from_weight_decay: Sequence[str] | None = (
        "LayerNorm",
        "layer_norm",
        "bias",
    ),
    include_in_weight_decay: Sequence[str] | None = None,
    join: Join = "overlap",
    rate_of: RateOf = "this",
    layer_decay: float | None = None,
    num_layers: int | None = None,
    bias_correction: bool = False,
    return_schedule: bool = False,
) -> ClippedOptimizer | tuple[ClippedOptimizer, LearningRateSchedule]:
    """Returns the optimizer that BERT was trained and fine-tuned with.

    `AdamWeightDecay` on a `WarmupPolynomialDecay`, its gradients clipped to a global
    norm of 1. Argument names are BERT's and, for what BERT fixes, Hugging Face's; the
    values are BERT's. Hugging Face's `create_optimizer` differs in
    `weight_decay_rate=0.0`, `adam_epsilon=1e-8`, `adam_global_clipnorm=None`,
    `join="shift"`, `bias_correction=True` and `return_schedule=True`.

    A warmup may be as long as the run, as in BERT: the rate then climbs throughout, to
    `init_lr * (num_train_steps - 1) / num_train_steps` in the last update.

    The original increments its step while it reads it for the rate. Update `t`, counted
    from 0, has the rate of step `t` or of step `t + 1`, depending on the kind of its
    variables and on graph rewriting; `rate_of` says which is wanted.

    Args:
        init_lr: The rate before decay.
        num_train_steps: Optimizer updates of the whole run.
        num_warmup_steps: Updates of the warmup; 0 or `None` is none.
        weight_decay_rate: Factor of the weight decay.
        power: Exponent of the decay of the rate.
        min_lr_ratio: The last rate, as a share of `init_lr`.
        adam_beta1: Decay of the first moment.
        adam_beta2: Decay of the second moment.
        adam_epsilon: Added to the root of the second moment.
        adam_clipnorm: The limit of each gradient's own norm, or `None`; it needs
            `adam_global_clipnorm=None`.
        adam_global_clipnorm: The limit of the gradients' global norm, or `None`.
        exclude_from_weight_decay: Regular expressions for weights without decay;
            `None` is none, as in BERT.
        include_in_weight_decay: Regular expressions for weights that decay whatever
            `exclude_from_weight_decay` says.
        join: How warmup and decay are joined; see `WarmupPolynomialDecay`.
        rate_of: `"this"`: the first update has the rate of step 0, which is 0 in a
            warmup. `"next"`: it has the rate of step 1.
        layer_decay: Factor of the rate from each layer to the one below, in (0, 1];
            needs `num_layers`. See `layer_wise_multipliers`.
        num_layers: Layers of the encoder.
        bias_correction: Whether Adam's bias correction is made.
        return_schedule: Whether the schedule is returned, too.

    Returns:
        A `ClippedOptimizer` around an `AdamWeightDecay`; with `return_schedule=True` a
        pair of it and its schedule, as Hugging Face's function returns.

    Raises:
        TypeError: If a number is not a number.
        ValueError: If a number is out of its range, only one of `layer_decay` and
            `num_layers` is given, or both limits are.

    Example:

    >>> from keras_tricks.optimizers import create_optimizer
    >>> optimizer = create_optimizer(5e-5, num_train_steps=1000, num_warmup_steps=100)
    >>> type(optimizer.inner_optimizer).__name__, optimizer.global_clipnorm
    ('AdamWeightDecay', 1.0)

    Reference:
        `create_optimizer` in `optimization.py` of google-research/bert.
    """
    # Under the names of this function, before others take them by theirs.
    init_lr = _validation.check_float("init_lr", init_lr)
    ratio = _validation.check_float(
        "min_lr_ratio", min_lr_ratio, maximum=1, hint=", or the rate grows"
    )
    steps = _validation.check_int("num_train_steps", num_train_steps, minimum=1)
    warmup_steps = 0
    if num_warmup_steps is not None:
        warmup_steps = _validation.check_int("num_warmup_steps", num_warmup_steps)
    join = _validation.check_choice("join", join, JOINS)  # type: ignore[assignment]
    if warmup_steps > steps or (join != "overlap" and warmup_steps == steps):
        raise ValueError(
            "`num_warmup_steps` must be shorter than the run, `num_train_steps`, which "
            "includes the warmup. "
            f"{_validation.received('num_warmup_steps', num_warmup_steps)}, "
            f"num_train_steps={num_train_steps!r}"
        )
    weight_decay_rate = _validation.check_float("weight_decay_rate", weight_decay_rate)
    for name, beta in (("adam_beta1", adam_beta1), ("adam_beta2", adam_beta2)):
        _validation.check_float(name, beta, below=1)
    adam_epsilon = _validation.check_float("adam_epsilon", adam_epsilon, exclusive=True)
    rate_of = _validation.check_choice("rate_of", rate_of, get_args(RateOf))  # type: ignore[assignment]
    return_schedule = _validation.check_flag("return_schedule", return_schedule)
    adam_clipnorm, adam_global_clipnorm = _one_limit(
        adam_clipnorm=adam_clipnorm, adam_global_clipnorm=adam_global_clipnorm
    )
    if (layer_decay is None) != (num_layers is None):
        raise ValueError(
            "`layer_decay` and `num_layers` must be given together. Received: "
            f"layer_decay={layer_decay!r}, num_layers={num_layers!r}"
        )
    multipliers = None
    if layer_decay is not None and num_layers is not None:
        multipliers = layer_wise_multipliers(num_layers, layer_decay)
    schedule: LearningRateSchedule = WarmupPolynomialDecay(
        init_lr,
        steps,
        warmup_steps,
        end_learning_rate=init_lr * ratio,
        power=power,
        join=join,
    )
    if rate_of == "next":
        schedule = Shifted(schedule, 1)
    adam = AdamWeightDecay(
        schedule,
        weight_decay=weight_decay_rate,
        beta_1=adam_beta1,
        beta_2=adam_beta2,
        epsilon=adam_epsilon,
        exclude_from_weight_decay=exclude_from_weight_decay,
        include_in_weight_decay=include_in_weight_decay,
        bias_correction=bias_correction,
        learning_rate_multipliers=multipliers,
    )
    optimizer = ClippedOptimizer(
        adam, clipnorm=adam_clipnorm, global_clipnorm=adam_global_clipnorm
    )
    return (optimizer, schedule) if return_schedule else optimizer


def _one_limit(**given: float | None) -> list[float | None]:
    """Returns the limits, of which one at most is not `None`, checked."""
    checked = [
        None if limit is None else limits.check_limit(name, limit)
        for name, limit in given.items()
    ]
    if None not in checked:
        raise ValueError(
            "`adam_global_clipnorm` must be None where `adam_clipnorm` is given: "
            "gradients are clipped once. "
            + _validation.received("adam_clipnorm", given["adam_clipnorm"])
            + f", adam_global_clipnorm={given['adam_global_clipnorm']!r}"
        )
    return checked


def layer_wise_multipliers(num_layers: int, layer_decay: float) -> dict[str, float]:
    """Returns rate multipliers that shrink from an encoder's top to its bottom.

    `layer_decay**(num_layers + 1 - depth)` with depth 0 for paths that contain
    "embeddings", `i + 1` for "layer_i" (or "layer_i" with a further part, counted from
    0), and `num_layers + 1`, hence 1, for what is above the encoder.

    Args:
        num_layers: Layers of the encoder, >= 1.
        layer_decay: Factor from each layer to the one below, above 0 and at most 1.

    Returns:
        `learning_rate_multipliers` for `AdamWeightDecay`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If it is out of its range.

    Example:

    >>> from keras_tricks.optimizers import layer_wise_multipliers
    >>> [round(m, 3) for m in layer_wise_multipliers(2, 0.5).values()]
    [0.25, 0.5, 0.125]

    Reference:
        Howard and Ruder, "Universal Language Model Fine-tuning for Text
        Classification", 2018 (discriminative fine-tuning); Clark et al., "ELECTRA",
        2020, whose code has one factor more everywhere.
    """
    layers = _validation.check_int("num_layers", num_layers, minimum=1)
    decay = _validation.check_float(
        "layer_decay", layer_decay, exclusive=True, maximum=1
    )
    multipliers = {
        rf"(^|[/_])layer_{number}([/_]|$)": decay ** (layers - number)
        for number in range(layers)
    }
    # Last, since the layers of an encoder may be inside a scope of that name.
    return {**multipliers, "embeddings": decay ** (layers + 1)}
