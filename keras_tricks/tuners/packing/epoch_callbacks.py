"""Callbacks of a trial that a program trains: by epoch, with a model if need be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from keras_tricks.callbacks import ReduceScheduleOnPlateau
from keras_tricks.callbacks import StopHopeless
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.families import python_state
from keras_tricks.training.packs.callback_model import LiveModel
from keras_tricks.training.packs.progress import Follower
from keras_tricks.training.packs.progress import TrialView
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.trials import added_callbacks

# Called before the first step, of which `fit` traces what these have left.
_EARLY_HOOKS = ("set_model", "on_train_begin", "on_epoch_begin")
# Hooks that a program never calls: those of batches and of separate evaluations.
_OTHER_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)
# They look at nothing but losses and metrics. Diverged trials end by themselves.
_WITHOUT_MODEL = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.CSVLogger,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.History,
    StopHopeless,
    progress.QuietFit,
    *added_callbacks.WITHOUT_MODEL,
)

# What they do before the first step is known: they change rates at most.
_KNOWN_EARLY = (
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    ReduceScheduleOnPlateau,
)


def reason_not_by_epoch(callback: Any) -> str | None:
    """Returns why a callback needs `fit` itself, or None if it goes by epochs."""
    kind = type(callback)
    name = kind.__name__
    if not isinstance(callback, keras.callbacks.Callback):
        return f"the callback {name} is no keras.callbacks.Callback"
    if kind in _WITHOUT_MODEL:
        return None
    if kind is keras.callbacks.ModelCheckpoint:
        if callback.save_freq == "epoch":
            return None
        return f"the callback {name} counts batches"
    if kind is keras.callbacks.TensorBoard:
        if callback.update_freq == "epoch" and not callback.profile_batch:
            return None
        return f"the callback {name} looks at batches"
    if kind is keras.callbacks.BackupAndRestore:
        return f"the callback {name} restores the state of `fit`"
    hook = _hook_of(callback, _OTHER_HOOKS)
    return None if hook is None else f"the callback {name} has `{hook}`"


def early_hook(callbacks: list[keras.callbacks.Callback]) -> str | None:
    """Returns what may change a model before its first step, or None."""
    for callback in callbacks:
        if type(callback) not in (*_WITHOUT_MODEL, *_KNOWN_EARLY):
            hook = _hook_of(callback, _EARLY_HOOKS)
            if hook is not None:
                return f"the callback {type(callback).__name__} has `{hook}`"
    return None


def _hook_of(callback: Any, hooks: tuple[str, ...]) -> str | None:
    for hook in hooks:
        own = getattr(type(callback), hook) is not getattr(
            keras.callbacks.Callback, hook
        )
        if own or hook in vars(callback):
            return hook
    return None


def reaches_model(callbacks: list[keras.callbacks.Callback]) -> bool:
    """Whether a callback leads to a model, a layer or a variable of somebody's own.

    Beside the model that Keras gives them, callbacks may know one from the build: which
    of several models that is, and whether it is the one that is trained, is not known.
    """
    asked = [each for each in callbacks if type(each) not in _WITHOUT_MODEL]
    return python_state.before_a_build(asked).leads_to(
        (keras.layers.Layer, keras.optimizers.Optimizer, keras.Variable, tf.Variable)
    )


def needs_model(callbacks: list[keras.callbacks.Callback]) -> bool:
    """Whether one of the callbacks may look at the model."""
    return not all(type(callback) in _WITHOUT_MODEL for callback in callbacks)


class ModelStub:
    """Stands for a model in training before callbacks that look at metrics only."""

    def __init__(self, metrics: list[keras.metrics.Metric]):
        self.metrics = metrics
        self.stop_training = False

    def get_weights(self) -> None:
        """The best epoch's are kept anyway."""

    def set_weights(self, weights: None) -> None:
        """The best epoch's are kept anyway."""


class CallbackFollower(Follower):
    """Tells the callbacks of a trial, and its tuner, of each epoch.

    Args:
        callbacks: The trial's own copies.
        model: What they see: a stub, or a live model's.
        live: The model that holds the trial's state, if they may look at it.
        epochs: The number of the epoch after the last one.
        steps: Batches of an epoch.
        is_early: Whether they may change the model before the first step.
        on_begin: Called when the training begins, or begins anew.
        on_epoch: Called with each epoch and what was logged, after the callbacks.

    Attributes:
        error: What a callback or the tuner raised, after which nobody is told anything.
    """

    def __init__(
        self,
        callbacks: list[keras.callbacks.Callback],
        model: Any,
        live: LiveModel | None,
        *,
        epochs: int,
        steps: int,
        is_early: bool,
        on_begin: Any,
        on_epoch: Any,
    ):
        self._logged: dict[str, Any] = {}
        own = [each for each in callbacks if type(each) is not progress.QuietFit]
        self._callbacks = keras.callbacks.CallbackList(
            [*own, _AfterAll(self._end_epoch)],
            add_history=True,
            add_progbar=False,
            model=model,
            verbose=0,
            epochs=epochs,
            steps=steps,
        )
        self._model = model
        self._live = live
        self._is_early = is_early
        self._schedules = [
            each.schedule
            for each in own
            if isinstance(each, keras.callbacks.LearningRateScheduler)
        ]
        self._on_begin = on_begin
        self._on_epoch = on_epoch
        self.error: Exception | None = None

    @property
    def history(self) -> keras.callbacks.History:
        """What was logged."""
        return self._model.history

    def on_train_begin(self, view: TrialView) -> None:
        self._model.stop_training, self.error = False, None
        self._on_begin()
        self._tell(view, self._callbacks.on_train_begin)

    def on_epoch_begin(self, epoch: int, view: TrialView) -> None:
        with self._schedules_checked():
            self._tell(view, self._begin_epoch, epoch)
        if self._model.stop_training:
            raise UnsupportedModelError(
                "a callback ends the training as an epoch begins"
            )
        if self._is_early and self._live is not None:
            self._live.check()
            self._is_early = False  # From then on `fit` traces nothing anew, either.

    @contextlib.contextmanager
    def _schedules_checked(self) -> Iterator[None]:
        """Raises if a rate's function changes what `fit` traces the first step of."""
        schedules, self._schedules = self._schedules, []
        if not schedules:
            yield
            return
        before = python_state.before_a_build(schedules)
        yield
        changed = before.put_back()
        if changed is not None:
            raise UnsupportedModelError(
                f"the function of a LearningRateScheduler changes {changed}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any], view: TrialView) -> bool:
        self._tell(view, self._callbacks.on_epoch_end, epoch, logs)
        logs.update(self._logged)
        return self._model.stop_training or self.error is not None

    def on_train_end(self, view: TrialView) -> None:
        self._tell(view, self._callbacks.on_train_end, self._logged)

    def _begin_epoch(self, epoch: int) -> None:
        if self._live is not None:
            self._live.begin_epoch()
        self._callbacks.on_epoch_begin(epoch)

    def _end_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        # Keras gives callbacks a copy, to which they may add.
        self._logged = dict(logs)
        self._on_epoch(epoch, logs)

    def _tell(self, view: TrialView, function: Any, *arguments: Any) -> None:
        if self.error is not None:
            return
        try:
            if self._live is None:
                function(*arguments)
                return
            self._live.show(view)
            function(*arguments)
            self._live.take_over(view)
        except (UnsupportedModelError, keras_tuner.errors.FatalError):
            raise
        except Exception as error:
            # It ends this trial. Those beside it in the pack go on.
            self.error = error


class _AfterAll(keras.callbacks.Callback):
    """Stands behind a trial's callbacks, where KerasTuner puts its own."""

    def __init__(self, function: Any):
        super().__init__()
        self._function = function

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._function(epoch, logs or {})
