"""An optimizer wrapper that clips gradients once, where they are final."""

import warnings
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import Literal
from typing import get_args

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.optimizers import clipped_arguments
from keras_tricks.optimizers import clipping
from keras_tricks.optimizers import gradients as gradient_ops
from keras_tricks.optimizers import keras_hooks
from keras_tricks.optimizers import limits
from keras_tricks.optimizers import state
from keras_tricks.optimizers.shown_optimizers import shown_optimizer
from keras_tricks.optimizers.statistics import ClippingStatistics
from keras_tricks.schedules.display import shown

KINDS = ("global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip")
Nonfinite = Literal["propagate", "skip", "zero", "raise"]
NONFINITE = get_args(Nonfinite)


def _limit_property(kind: str) -> property:
    """The limit of one kind as an attribute; `None` where another kind is in use."""

    def get(self: "ClippedOptimizer") -> limits.Limit | None:
        return self._limit_now() if self._kind == kind else None

    def set_to(self: "ClippedOptimizer", value: Any) -> None:
        # Keras's constructor sets its own clipping arguments to None.
        if "_kind" in vars(self):
            self._change_limit(kind, value)

    return property(get, set_to)


@keras.saving.register_keras_serializable(package="keras_tricks")
class ClippedOptimizer(keras.optimizers.Optimizer):
    """Clips the gradients of another optimizer, once, where they are final.

    Final are gradients that have been unscaled, accumulated, and summed over all
    replicas. Keras's own clipping acts on each replica before the sum, so that its
    result depends on the number of replicas; this one's does not. All else is the
    inner optimizer's: its learning rate, step counter, weight decay, moving averages
    and saved state. At most one limit is given; with none, gradients pass unchanged
    and are only measured.

    | limit | what it does to gradients `g` of norm `n` |
    |---|---|
    | `global_clipnorm` | all: `g * limit / max(n, limit)`, `n` over all together |
    | `clipnorm` | each: `g * limit / max(n, limit)`, `n` its own |
    | `clipvalue` | each number to `[-limit, limit]` |
    | `adaptive_clip` | each unit: `n` to `limit * max(norm of its weights, 1e-3)` |

    The global norm is computed as `tf.clip_by_global_norm` does, operation for
    operation: plain SGD gives TF1's bits in a graph. Squares are summed in float32 at
    least, and norms of up to 1e37 (and 1e37 times the limit) are clipped right; with
    `nonfinite="zero"` those of all finite gradients in float32, too large ones as well.

    The limit of a schedule may come down to 0, which makes all gradients 0: plain SGD
    then leaves the weights as they are, while momenta and weight decay go on. Below 0
    counts as 0, infinity clips nothing, and NaN is treated as a norm that is NaN.

    Args:
        inner_optimizer: The Keras optimizer that makes the updates; a
            `MultiOptimizer` is clipped as one. It must not clip by itself.
        global_clipnorm: A number > 0, a `LearningRateSchedule` over updates, or a
            `PercentileLimit`.
        clipnorm: A number > 0 or a schedule.
        clipvalue: A number > 0 or a schedule.
        adaptive_clip: A number > 0 (NFNets use 0.01) or a schedule.
        nonfinite: What to do when the global norm is NaN or infinite: `"propagate"`
            it into the weights, as TF1 does (into all of them with
            `global_clipnorm`); `"skip"` the update, which leaves weights, moments,
            averages and counters as they are, on all replicas; `"zero"` the numbers
            that are not finite; or `"raise"` an error, with nothing updated (not
            under XLA or JAX, which cannot).
        max_consecutive_skips: With `"skip"`, how many updates in a row may be
            skipped; the next one raises. Under XLA and JAX, which cannot raise,
            `keras_tricks.callbacks.GradientMonitor` ends the run instead.
        sparse_norm: Norm of embeddings' gradients: `"raw"` counts each row as it
            comes, as TF1 does; `"dedup"` adds up rows of one index first, which
            gives the norm of what is applied.
        gradient_accumulation_steps: Batches whose mean gradient makes one update,
            >= 2, or `None`. Steps of the inner optimizer and its schedule are then
            real updates. What accumulates is dense, for embeddings too, so that its
            norm is the one of `sparse_norm="dedup"`.
        name: Name of the wrapper.

    Attributes:
        gradient_norm: The global norm before clipping at the latest update, a float.
        num_updates: Updates so far, skipped ones included.
        num_skipped: Of them skipped.
        clipped_fraction: Share of the updates made that were clipped, from 0 to 1.

    A limit that is a number may be changed at any time, also in a compiled step:
    `optimizer.global_clipnorm = 0.5`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a limit is 0, negative, NaN or infinite, if there are two, or
            if the inner optimizer clips, accumulates or scales the loss by itself.
            At the first update, if the model, the inner optimizer and this one were
            not all made in the scope of one `tf.distribute` strategy.

    Example:

    >>> import keras
    >>> from keras_tricks.optimizers import ClippedOptimizer
    >>> weight = keras.Variable([0.0, 0.0])
    >>> optimizer = ClippedOptimizer(keras.optimizers.SGD(1.0), global_clipnorm=1.0)
    >>> optimizer.apply([keras.ops.array([3.0, 4.0])], [weight])
    >>> print(weight.numpy().round(4), optimizer.gradient_norm)
    [-0.6 -0.8] 5.0

    Reference:
        Pascanu et al., "On the difficulty of training recurrent neural networks",
        2013; `tf.clip_by_global_norm`; Brock et al., "High-Performance Large-Scale
        Image Recognition Without Normalization", 2021 (adaptive clipping).
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        *,
        global_clipnorm: limits.Limit | None = None,
        clipnorm: float | LearningRateSchedule | None = None,
        clipvalue: float | LearningRateSchedule | None = None,
        adaptive_clip: float | LearningRateSchedule | None = None,
        nonfinite: Nonfinite = "propagate",
        max_consecutive_skips: int | None = None,
        sparse_norm: gradient_ops.SparseNorm = "raw",
        gradient_accumulation_steps: int | None = None,
        name: str = "clipped_optimizer",
    ):
        clipped_arguments.check_inner_optimizer(inner_optimizer, ClippedOptimizer)
        kind, limit = clipped_arguments.only_limit(
            global_clipnorm=global_clipnorm,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            adaptive_clip=adaptive_clip,
        )
        _validation.check_choice("nonfinite", nonfinite, NONFINITE)
        _validation.check_choice("sparse_norm", sparse_norm, gradient_ops.SPARSE_NORMS)
        max_consecutive_skips = clipped_arguments.checked_count(
            "max_consecutive_skips", max_consecutive_skips, 1
        )
        gradient_accumulation_steps = clipped_arguments.checked_count(
            "gradient_accumulation_steps", gradient_accumulation_steps, 2
        )
        _validation.check_text("name", name)
        if max_consecutive_skips is not None and nonfinite != "skip":
            raise ValueError(
                '`max_consecutive_skips` needs nonfinite="skip". Received: '
                f"max_consecutive_skips={max_consecutive_skips!r} with "
                f"nonfinite={nonfinite!r}"
            )
        if nonfinite == "raise" and keras.backend.backend() == "jax":
            raise ValueError(
                '`nonfinite="raise"` is not possible on JAX, whose compiled steps '
                'cannot raise. Use nonfinite="skip" with max_consecutive_skips=1 and '
                "the callback GradientMonitor."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        keras_hooks.share_counters(self, inner_optimizer)
        keras_hooks.take_over_reduction(inner_optimizer)
        # Gradients are unscaled here, and only here.
        self.loss_scale_factor = inner_optimizer.loss_scale_factor
        inner_optimizer.loss_scale_factor = None
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.nonfinite = nonfinite
        self.max_consecutive_skips = max_consecutive_skips
        self.sparse_norm = sparse_norm
        self._statistics = ClippingStatistics(self)
        self._make_limit(limit)
        self._kind = kind

    global_clipnorm = _limit_property("global_clipnorm")
    clipnorm = _limit_property("clipnorm")
    clipvalue = _limit_property("clipvalue")
    adaptive_clip = _limit_property("adaptive_clip")

    def _make_limit(self, limit: limits.Limit | None) -> None:
        """Keeps the limit, with the state that it needs."""
        self._limit: Any = limit
        if isinstance(limit, float):
            # A variable, so that a change reaches steps that are compiled already.
            self._limit = state.scalar(self, "limit", limit)
            self._given_limit = limit
        elif isinstance(limit, limits.PercentileLimit):
            self._remembered_norms = self.add_variable(
                (limit.window,),
                name="remembered_norms",
                dtype="float32",
                aggregation="only_first_replica",
            )
            self._num_norms = state.scalar(self, "num_norms", 0, "int")

    def _limit_now(self) -> limits.Limit | None:
        """The limit as it was given, with the changes made since."""
        if not isinstance(self._limit, keras.Variable):
            return self._limit
        value = np.float32(self._limit.numpy())
        if value == np.float32(self._given_limit):
            return self._given_limit
        # Loaded: the shortest number that is the same in float32.
        return float(str(value))

    def _change_limit(self, kind: str, value: Any) -> None:
        if kind != self._kind or not isinstance(self._limit, keras.Variable):
            in_use = f"{self._kind}={self._limit_now()!r}" if self._kind else "none"
            raise ValueError(
                f"`{kind}` can be changed only where the optimizer was made with a "
                f"number for it. Its limit is {in_use}. "
                f"{_validation.received(kind, value)}"
            )
        self._given_limit = limits.check_limit(kind, value)
        self._limit.assign(self._given_limit)

    def build(self, variables: Iterable[keras.Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        keras_hooks.check_scope(
            variables,
            {
                "ClippedOptimizer": self._statistics.norm,
                "the inner optimizer": self.inner_optimizer.iterations,
            },
        )
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        # A group may make its optimizers only now.
        clipped_arguments.check_inner_optimizer(self.inner_optimizer, ClippedOptimizer)
        keras_hooks.take_over_reduction(self.inner_optimizer)
        keras_hooks.share_averages(self, self.inner_optimizer)
        if self.gradient_accumulation_steps:
            self._batches = state.scalar(self, "accumulated_batches", 0, "int")
        super().build(variables)  # Makes the accumulators, too.

    def apply(
        self, grads: list, trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
            self._check_variables_are_known(trainable_variables)
        variables = trainable_variables or (self._trainable_variables or [])
        usable = gradient_ops.usable_places(grads, variables)
        if len(grads) != len(variables) or not usable:
            # Keras's own errors, and its empty update.
            self.inner_optimizer.apply(grads, trainable_variables)
            return
        clipped_variables = [variables[number] for number in usable]

        def update_inner(final_gradients: list) -> None:
            for number, gradient in zip(usable, final_gradients, strict=True):
                grads[number] = gradient
            self.inner_optimizer.apply(grads, trainable_variables)

        def update(gradients: list) -> None:
            self._clip_and_update(gradients, clipped_variables, update_inner)

        gradients = [grads[number] for number in usable]
        if self.loss_scale_factor is not None:
            inverse = 1.0 / self.loss_scale_factor
            gradients = gradient_ops.scaled(gradients, inverse)
        steps = self.gradient_accumulation_steps
        if steps:
            self._accumulate(steps, gradients, clipped_variables, update)
        else:
            update(gradients)

    def _accumulate(
        self,
        steps: int,
        gradients: list,
        variables: list,
        update: Callable[[list], None],
    ) -> None:
        """Adds gradients up, and updates with their mean once there are enough."""
        accumulators = [
            self._accumulated_gradients[self._get_variable_index(variable)]
            for variable in variables
        ]
        batch = ops.convert_to_tensor(self._batches)
        # Both before the counter moves: `batch` is the variable itself.
        is_first, is_last = ops.equal(batch, 0), ops.equal(batch, steps - 1)
        # Not a product with 0: what is left from before may be NaN.
        sums = [
            ops.where(is_first, ops.convert_to_tensor(g), g + accumulator)
            for g, accumulator in zip(gradients, accumulators, strict=True)
        ]
        keras_hooks.assign_per_replica(accumulators, sums)
        used = {id(accumulator) for accumulator in accumulators}
        unused = [a for a in self._accumulated_gradients if id(a) not in used]
        if unused:
            # Or a variable without a gradient now would add to what is long applied.
            emptied = [ops.where(is_first, ops.zeros_like(a), a) for a in unused]
            keras_hooks.assign_per_replica(unused, emptied)
        self._batches.assign((batch + 1) % steps)
        keras_hooks.update_if(
            is_last,
            update,
            gradient_ops.scaled(sums, 1.0 / steps),
            self._everything(variables),
        )

    def _clip_and_update(
        self,
        gradients: list,
        variables: list,
        update_inner: Callable[[list], None],
    ) -> None:
        gradients = keras_hooks.reduced_over_replicas(gradients)
        if self.sparse_norm == "dedup":
            gradients = [gradient_ops.deduplicated(g) for g in gradients]
        if self.nonfinite == "zero":
            gradients = gradient_ops.zero_where_not_finite(gradients)
        norm = gradient_ops.global_norm(gradients)
        was_clipped = ops.convert_to_tensor(False)
        finite = ops.isfinite(norm)
        if self._kind is not None:
            limit = limits.usable(self._limit_for(norm))
            is_number = ops.isfinite(limit)
            if self.nonfinite == "zero":
                limit = ops.where(is_number, limit, np.float32(0))
            finite = ops.logical_and(finite, is_number)
            clip = getattr(clipping, self._kind)
            if self.nonfinite == "zero" and self._kind == "global_clipnorm":
                clip = clipping.global_clipnorm_of_finite
            gradients, was_clipped = clip(gradients, variables, norm, limit)
        gradients = gradient_ops.prevent_constant_folding(gradients)
        if self.nonfinite in ("propagate", "zero"):
            self._statistics.record(norm, was_clipped, ops.convert_to_tensor(False))
            update_inner(gradients)
            return
        skips = self._statistics.record(norm, was_clipped, ops.logical_not(finite))
        self._raise_if_needed(finite, skips)
        keras_hooks.update_if(
            finite, update_inner, gradients, self._everything(variables)
        )

    def _everything(self, variables: list) -> list:
        return [*variables, *self.variables]

    def _limit_for(self, norm: Any) -> Any:
        """The limit of this update, a float32 scalar."""
        limit = self._limit
        if isinstance(limit, limits.PercentileLimit):
            remembered, number = limit.remember(
                norm,
                ops.convert_to_tensor(self._remembered_norms),
                ops.convert_to_tensor(self._num_norms),
            )
            self._remembered_norms.assign(remembered)
            self._num_norms.assign(number)
            return limit.limit(norm, remembered, number)
        if isinstance(limit, keras.Variable):
            return ops.convert_to_tensor(limit)
        return ops.cast(limit(self.inner_optimizer.iterations), "float32")

    def _raise_if_needed(self, finite: Any, skips: Any) -> None:
        if self.nonfinite == "raise":
            keras_hooks.raise_unless(
                finite,
                "The gradients' norm is not finite, or the limit is NaN, so that "
                "nothing was updated. Lower the learning rate or look for what "
                'overflows; nonfinite="skip" leaves such updates out.',
                required=True,
            )
        elif self.max_consecutive_skips is not None:
            keras_hooks.raise_unless(
                skips <= self.max_consecutive_skips,
                f"More than {self.max_consecutive_skips} updates in a row "
                "(`max_consecutive_skips`) were skipped, since the gradients' norm was "
                "not finite. Lower the learning rate or look for the operation that "
                "overflows.",
            )

    @property
    def variables(self) -> list[keras.Variable]:
        return keras_hooks.own_variables(self) + self.inner_optimizer.variables

    @property
    def iterations(self) -> keras.Variable:
        return self.inner_optimizer.iterations

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        # Keras's callbacks look here for rates; an AttributeError tells them that the
        # inner optimizer is no group.
        return self.inner_optimizer.optimizers

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def gradient_norm(self) -> float:
        return float(self._statistics.norm.numpy())

    @property
    def num_updates(self) -> int:
        return self._statistics.num_updates

    @property
    def num_skipped(self) -> int:
        return self._statistics.num_skipped

    @property
    def clipped_fraction(self) -> float:
        made = self.num_updates - self.num_skipped
        return self._statistics.num_clipped / max(made, 1)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[keras.Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def set_weights(self, weights: list[np.ndarray]) -> None:
        own = keras_hooks.own_variables(self)
        for variable, value in zip(own, weights, strict=False):
            variable.assign(value)
        self.inner_optimizer.set_weights(weights[len(own) :])

    def save_own_variables(self, store: Any) -> None:
        # The inner optimizer is saved as a child; storing its variables here too
        # would double the file and clash on loading.
        for index, variable in enumerate(keras_hooks.own_variables(self)):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        own = keras_hooks.own_variables(self)
        if len(store.keys()) != len(own):
            warnings.warn(
                f"The counts of optimizer '{self.name}' start anew: the file holds "
                f"{len(store.keys())} variables, and {len(own)} were "
                "expected.",
                stacklevel=2,
            )
            return
        for index, variable in enumerate(own):
            variable.assign(store[str(index)])

    def __repr__(self) -> str:
        given = {kind: getattr(self, kind) for kind in KINDS}
        given |= {
            "nonfinite": self.nonfinite,
            "max_consecutive_skips": self.max_consecutive_skips,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }
        arguments = [
            f"{name}={shown.value_of(value)}"
            for name, value in given.items()
            if value is not None
        ]
        inner = shown_optimizer(self.inner_optimizer)
        return f"ClippedOptimizer({', '.join([inner, *arguments])})"

    def get_config(self) -> dict:
        config = {
            "inner_optimizer": keras.saving.serialize_keras_object(
                self.inner_optimizer
            ),
            "nonfinite": self.nonfinite,
            "max_consecutive_skips": self.max_consecutive_skips,
            "sparse_norm": self.sparse_norm,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "name": self.name,
        }
        if self.loss_scale_factor is not None:
            inner_config = config["inner_optimizer"]["config"]
            inner_config["loss_scale_factor"] = self.loss_scale_factor
        for kind in KINDS:
            config[kind] = keras.saving.serialize_keras_object(getattr(self, kind))
        return config

    @classmethod
    def from_config(
        cls, config: dict, custom_objects: dict | None = None
    ) -> "ClippedOptimizer":
        config = dict(config)
        for name in ("inner_optimizer", *KINDS):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)
