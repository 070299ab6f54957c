"""A display of each update's gradient norm, and of what clipping made of it."""

import math
import statistics
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import clipped
from keras_tricks.optimizers.statistics import Counts
from keras_tricks.schedules.display import shown

# From this share of clipped updates on, the learning rate is what should be changed.
_TOO_MANY_CLIPPED = 0.5


class GradientMonitor(keras.callbacks.Callback):
    """Puts the norm of the gradients, and how often they are clipped, into `logs`.

    The model's optimizer is a `ClippedOptimizer`, with or without a limit, or a
    `LossScaleOptimizer` around one. It measures within the compiled step; this
    callback reads what it measured once a batch, after the batch.

    | in `logs` | after a batch | of an epoch, so in `history` |
    |---|---|---|
    | `gradient_norm` | the global norm before clipping of the latest update | the mean over its updates, without norms that are not finite |
    | `clipped_fraction` | the share of the epoch's updates, until now, that were clipped | the same at its end |
    | `skipped_updates` | how many of the epoch's updates, until now, were skipped | the same at its end |

    Skipped updates count neither as made nor as clipped. Callbacks that are to see
    these values are listed after this one; `TensorBoard(update_freq="batch")` then
    shows every update. With `gradient_accumulation_steps` a norm is that of the mean
    gradient of one update, and with `steps_per_execution` that of the last update of
    each execution. Updates that a `LossScaleOptimizer` leaves out never reach the
    `ClippedOptimizer` and are not counted.

    When training ends and more than half of the updates were clipped, one line says
    so: a limit in constant use does the work of a lower learning rate, and the *Deep
    Learning Tuning Playbook* advises to lower that instead.

    Where the optimizer has `max_consecutive_skips` and more updates in a row were
    skipped, this callback ends the run. Steps that XLA or JAX compiled cannot do so
    by themselves.

    On JAX Keras gives the model its new state after each batch only because a
    callback like this one asks for it; the values are those of the batch that ended.

    Args:
        verbose: 1 to print the line at the end of training, 0 to be quiet.

    Attributes:
        norms: The global norm before clipping of each update of the latest `fit`,
            those of skipped updates included, a list of floats.

    Raises:
        TypeError: If `verbose` is not a number.
        ValueError: If `verbose` is negative; when training begins, if the model has no
            `ClippedOptimizer`.
        RuntimeError: During training, if more than `max_consecutive_skips` updates in
            a row were skipped.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import GradientMonitor
    >>> from keras_tricks.optimizers import ClippedOptimizer
    >>> model = keras.Sequential(
    ...     [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(ClippedOptimizer(keras.optimizers.SGD(0.1)), "mse")
    >>> monitor = GradientMonitor()
    >>> history = model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, epochs=2,
    ...                     verbose=0, callbacks=[monitor])
    >>> print([round(norm, 3) for norm in monitor.norms])
    [2.828, 1.697, 1.018, 0.611]
    >>> print([round(norm, 3) for norm in history.history["gradient_norm"]])
    [2.263, 0.815]

    Reference:
        Godbole et al., *Deep Learning Tuning Playbook*, 2023, "How can we debug and
        mitigate optimization failures?".
    """  # noqa: E501

    def __init__(self, verbose: int = 1):
        super().__init__()
        self.verbose = _validation.check_int("verbose", verbose)
        self.norms: list[float] = []
        self._made = self._clipped = 0

    def __repr__(self) -> str:
        return shown.made(self)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _clipped_optimizer(self.model)  # Raises now rather than after the first batch.
        self.norms = []
        self._made = self._clipped = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not when training begins: another callback may restore the counts there.
        self._before_epoch = self._latest = self._read()
        self._norms_before_epoch = len(self.norms)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        counts = self._read()
        if counts.updates > self._latest.updates:
            self.norms.append(counts.norm)
        self._latest = counts
        if logs is not None and self.norms:
            logs["gradient_norm"] = self.norms[-1]
            logs.update(self._shares_of_epoch())
        self._end_if_all_are_skipped(counts)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        norms = _finite(self.norms[self._norms_before_epoch :])
        made, clipped_updates, _ = self._of_epoch()
        self._made += made
        self._clipped += clipped_updates
        if logs is not None:
            # As the other numbers of an epoch are means over it.
            logs["gradient_norm"] = statistics.fmean(norms)
            logs.update(self._shares_of_epoch())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.verbose and self._clipped > _TOO_MANY_CLIPPED * self._made:
            median = statistics.median(_finite(self.norms))
            print(
                f"GradientMonitor: {self._clipped} of {self._made} updates "
                f"({self._clipped / self._made:.0%}) were clipped"
                f"{_limit_in_words(self.model)}; the median norm was {median:.3g}. "
                "Clipping most updates does the work of a smaller learning rate, less "
                "predictably: lower the learning rate instead."
            )

    def _read(self) -> Counts:
        # By way of `model` each time, which is what makes Keras synchronize on JAX.
        return _clipped_optimizer(self.model)._statistics.read()

    def _of_epoch(self) -> tuple[int, int, int]:
        """Returns how many updates were made, of them clipped, and skipped."""
        now, before = self._latest, self._before_epoch
        skipped = now.skipped - before.skipped
        made = now.updates - before.updates - skipped
        return made, now.clipped - before.clipped, skipped

    def _shares_of_epoch(self) -> dict[str, float]:
        made, clipped_updates, skipped = self._of_epoch()
        return {
            "clipped_fraction": clipped_updates / max(made, 1),
            "skipped_updates": skipped,
        }

    def _end_if_all_are_skipped(self, counts: Counts) -> None:
        most = _clipped_optimizer(self.model).max_consecutive_skips
        if most is not None and counts.consecutive_skips > most:
            raise RuntimeError(
                f"{counts.consecutive_skips} updates in a row were skipped, since the "
                "gradients' norm was not finite; the ClippedOptimizer allows "
                f"max_consecutive_skips={most}. The weights are those before the first "
                "of them. Lower the learning rate or look for the operation that "
                "overflows."
            )


def _clipped_optimizer(model: keras.Model) -> ClippedOptimizer:
    """Returns the model's `ClippedOptimizer`, which a loss scaler may hold."""
    optimizer = outermost = model.optimizer
    while not isinstance(optimizer, ClippedOptimizer):
        if not hasattr(optimizer, "inner_optimizer"):
            raise ValueError(
                "GradientMonitor shows what a ClippedOptimizer measures. Compile the "
                "model with one, for instance model.compile(ClippedOptimizer("
                "keras.optimizers.Adam(1e-3), global_clipnorm=1.0), ...); without a "
                "limit it only measures. "
                f"Received: a model with the optimizer {type(outermost).__name__}"
            )
        optimizer = optimizer.inner_optimizer
    return optimizer


def _finite(norms: list[float]) -> list[float]:
    """Returns those that are finite, or a NaN if there are none."""
    return [norm for norm in norms if math.isfinite(norm)] or [math.nan]


def _limit_in_words(model: keras.Model) -> str:
    optimizer = _clipped_optimizer(model)
    for kind in clipped.KINDS:
        limit = getattr(optimizer, kind)
        if isinstance(limit, float):
            return f" at {kind}={limit:g}"
    return ""
