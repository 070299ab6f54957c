"""BERT's optimizer."""

import inspect
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.optimizers import gradients as gradient_ops
from keras_tricks.optimizers import keras_hooks
from keras_tricks.schedules.display import shown

# BERT's patterns for LayerNorm, and how Keras spells what they mean.
_LAYER_NORM = {"LayerNorm", "layer_norm"}
_KERAS_LAYER_NORM = (
    "layer_norm",
    "/(gamma|beta)$",
    # RMSNormalization's. The attention layers' scale, of which BERT has none, is no
    # norm's; and it has no better sign than the layer's name.
    r"(^|/)(?!(additive_)?attention(_\d+)?/)[^/]+/scale$",
)


@keras.saving.register_keras_serializable(package="keras_tricks")
class AdamWeightDecay(keras.optimizers.Optimizer):
    """BERT's `AdamWeightDecayOptimizer`: Adam without bias correction, with decay.

    For each weight `w` with gradient `g`, at step `t` (counted from 0):

    ```
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    update = m / (sqrt(v) + epsilon)
    update = update + weight_decay * w      # unless w is excluded
    w = w - learning_rate(t) * update
    ```

    Keras's `AdamW` corrects the bias of `m` and `v`: it multiplies the quotient by
    `sqrt(1 - beta_2**(t + 1)) / (1 - beta_1**(t + 1))`. With the settings of BERT it
    therefore trains another model, most of all in the first 1,000 steps.
    `bias_correction=True` does so here, too.

    The rate is that of the step before the update, `learning_rate(t)`. The original
    reads the counter while another op increments it, and takes `learning_rate(t)` or
    `learning_rate(t + 1)` depending on the kind of variable and on graph rewriting.

    A weight is excluded from decay if one of the patterns is found (`re.search`) in
    its path, such as `"encoder/layer_normalization/gamma"`, on every backend;
    Keras's own `exclude_from_weight_decay` sees only the last part, `"gamma"`, on JAX
    and torch. `"LayerNorm"` and `"layer_norm"` also stand for the weights of every
    normalization of Keras's, whatever the layer is called: a last part of `gamma`,
    `beta` or `scale` (but in a layer called `attention` or `additive_attention`).
    A pattern of `include_in_weight_decay` goes before them: a weight that has one of
    those decays, whatever else is found in its path.

    Args:
        learning_rate: A number or a `LearningRateSchedule`.
        weight_decay: Factor of the decay, >= 0.
        beta_1: Decay of the first moment, from 0 to below 1.
        beta_2: Decay of the second moment, from 0 to below 1.
        epsilon: Added to the root of the second moment, > 0.
        exclude_from_weight_decay: Regular expressions for paths of weights that do
            not decay; `None` is none, as in BERT.
        include_in_weight_decay: Regular expressions for paths of weights that decay in
            any case, as in the classes of XLNet, Hugging Face and tf-models.
        bias_correction: Whether to correct the moments as Adam does.
        learning_rate_multipliers: Regular expression for paths -> factor of the rate,
            for rates that differ by layer; of several that are found the first
            counts, and a weight without one has 1.
        **kwargs: `name`, `use_ema` and the other arguments of Keras's optimizers.

    Raises:
        TypeError: If a number is not a number.
        ValueError: If a number is out of its range, or a pattern no regular
            expression.

    Example:

    >>> import keras
    >>> from keras_tricks.optimizers import AdamWeightDecay
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> optimizer = AdamWeightDecay(1e-3, weight_decay=0.01)
    >>> optimizer.build(model.trainable_variables)
    >>> {path.split("/")[-1]: d for path, d in optimizer.weight_decay_report().items()}
    {'kernel': True, 'bias': False}

    Reference:
        `AdamWeightDecayOptimizer` in `optimization.py` of google-research/bert.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 1e-3,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Sequence[str] | None = (
            "LayerNorm",
            "layer_norm",
            "bias",
        ),
        bias_correction: bool = False,
        learning_rate_multipliers: dict[str, float] | None = None,
        name: str = "adam_weight_decay",
        *,
        include_in_weight_decay: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        _validation.check_text("name", name)
        learning_rate = _learning_rate(learning_rate)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.weight_decay = _validation.check_float("weight_decay", weight_decay)
        self.beta_1 = _decay("beta_1", beta_1)
        self.beta_2 = _decay("beta_2", beta_2)
        self.epsilon = _validation.check_float("epsilon", epsilon, exclusive=True)
        self.bias_correction = _validation.check_flag(
            "bias_correction", bias_correction
        )
        self.excluded_patterns = _patterns(
            "exclude_from_weight_decay", exclude_from_weight_decay
        )
        self.included_patterns = _patterns(
            "include_in_weight_decay", include_in_weight_decay
        )
        multipliers = _dictionary(
            "learning_rate_multipliers", learning_rate_multipliers
        )
        _patterns("learning_rate_multipliers", multipliers)
        self.learning_rate_multipliers = {
            pattern: _validation.check_float(
                f"learning_rate_multipliers[{pattern!r}]", factor
            )
            for pattern, factor in multipliers.items()
        }

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums, self.velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        self._paths = [_path(variable) for variable in variables]
        self._decayed = [self._is_decayed(path) for path in self._paths]
        self._multipliers = [self._multiplier(path) for path in self._paths]

    def update_step(
        self,
        gradient: gradient_ops.Gradient,
        variable: keras.Variable,
        learning_rate: Any,
    ) -> None:
        """Applies one gradient; see the class for the formula."""
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        gradient = ops.cast(gradient_ops.dense(gradient), dtype)
        rate = ops.cast(learning_rate, dtype)
        if self._multipliers[index] != 1:
            rate = rate * ops.cast(self._multipliers[index], dtype)
        beta_1, beta_2 = (ops.cast(b, dtype) for b in (self.beta_1, self.beta_2))
        rest_1, rest_2 = (ops.cast(1 - b, dtype) for b in (self.beta_1, self.beta_2))
        momentum, velocity = self.momentums[index], self.velocities[index]
        m = beta_1 * momentum + rest_1 * gradient
        v = beta_2 * velocity + rest_2 * ops.square(gradient)
        self.assign(momentum, m)
        self.assign(velocity, v)
        update = m / (ops.sqrt(v) + ops.cast(self.epsilon, dtype))
        if self.bias_correction:
            step = ops.cast(self.iterations + 1, dtype)
            root = ops.sqrt(1 - ops.power(beta_2, step))
            update = update * (root / (1 - ops.power(beta_1, step)))
        if self._decayed[index]:
            update = update + ops.cast(self.weight_decay, dtype) * variable
        self.assign_sub(variable, rate * update)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[keras.Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Excludes further weights, as Keras's method does.

        Args:
            var_list: Weights.
            var_names: Regular expressions for paths.

        Raises:
            ValueError: If the optimizer is built already.
        """
        if self.built:
            raise ValueError(
                "Weights must be excluded from decay before the optimizer is built."
            )
        paths = [f"^{re.escape(_path(variable))}$" for variable in var_list or ()]
        self.excluded_patterns += _patterns("var_names", [*paths, *(var_names or ())])

    def weight_decay_report(self) -> dict[str, bool]:
        """Returns, for the path of each weight, whether it decays.

        Raises:
            ValueError: If the optimizer is not built yet.
        """
        if not self.built:
            raise ValueError(
                "The optimizer must know its weights first: call "
                "optimizer.build(model.trainable_variables)."
            )
        return dict(zip(self._paths, self._decayed, strict=True))

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        # Keras's own decay is subtracted before the update; BERT's is part of it.
        pass

    def _is_decayed(self, path: str) -> bool:
        if any(re.search(pattern, path) for pattern in self.included_patterns):
            return True
        patterns = self.excluded_patterns
        if _LAYER_NORM.intersection(patterns):
            patterns += _KERAS_LAYER_NORM
        return not any(re.search(pattern, path) for pattern in patterns)

    def _multiplier(self, path: str) -> float:
        for pattern, factor in self.learning_rate_multipliers.items():
            if re.search(pattern, path):
                return factor
        return 1.0

    def __repr__(self) -> str:
        given = {
            "learning_rate": keras_hooks.given_rate(self),
            "exclude_from_weight_decay": list(self.excluded_patterns),
            "include_in_weight_decay": list(self.included_patterns),
        }
        own = [
            n for n in inspect.signature(AdamWeightDecay).parameters if hasattr(self, n)
        ]
        # Those of all of Keras's optimizers.
        kerass = inspect.signature(keras.optimizers.Adam).parameters.values()
        changed = [
            parameter.name
            for parameter in kerass
            if parameter.name not in own
            and getattr(self, parameter.name, parameter.default) != parameter.default
        ]
        names = [name for name in [*own, *changed] if name != "name"]
        return shown.call(
            type(self).__name__,
            [(n, given[n] if n in given else getattr(self, n)) for n in names],
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "weight_decay": self.weight_decay,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "exclude_from_weight_decay": list(self.excluded_patterns),
            "include_in_weight_decay": list(self.included_patterns),
            "bias_correction": self.bias_correction,
            "learning_rate_multipliers": dict(self.learning_rate_multipliers),
        }


def _path(variable: Any) -> str:
    # TensorFlow's own variables have a name only.
    return getattr(variable, "path", variable.name)


def _decay(name: str, value: float) -> float:
    return _validation.check_float(name, value, below=1)


def _learning_rate(value: Any) -> Any:
    """Returns a rate that Keras can use: a number as a float, all else as it is."""
    if _validation.is_number(_validation.plain(value)):
        return _validation.check_float("learning_rate", value)
    is_schedule = isinstance(value, LearningRateSchedule)
    # Keras takes functions without arguments, too.
    if not is_schedule and (not callable(value) or isinstance(value, type)):
        raise TypeError(
            "`learning_rate` must be a number or a LearningRateSchedule. "
            f"{_validation.received('learning_rate', value, True)}"
        )
    return value


def _dictionary(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"`{name}` must be a dictionary from regular expressions to factors. "
            f"{_validation.received(name, value, True)}"
        )
    return dict(value)


def _patterns(name: str, patterns: Any) -> tuple[str, ...]:
    if patterns is None:
        return ()
    if not isinstance(patterns, list | tuple | set | frozenset | Mapping):
        raise TypeError(
            f"`{name}` must be a list of regular expressions, such as ['bias']. "
            f"{_validation.received(name, patterns, True)}"
        )
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"`{name}` must hold regular expressions ({error}). "
                f"{_validation.received(name, patterns)}"
            ) from error
    return tuple(patterns)
