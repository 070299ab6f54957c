"""Where the time of a search goes: a timer around functions of the package, by name."""

import collections
import contextlib
import functools
import time

from keras_tricks.training.compiled import captured
from keras_tricks.training.compiled import data
from keras_tricks.training.compiled import programs
from keras_tricks.training.families import model_family
from keras_tricks.training.families import python_state
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.packing import jobs
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.trials import runner

# (part, owner, functions): the time of each but for that of others inside of it.
TIMED = [
    ("build", jobs.Jobs, ["_build", "_compile_arguments"]),
    ("build", keras_tuner_hooks.TunerHooks, ["_spare_model"]),
    (
        "initial weights",
        model_family,
        ["trial_of", "optimizer_start", "InitialWeights"],
    ),
    ("proof", model_family, ["signature", "compiled_signature", "CapturedModel"]),
    ("proof", python_state, ["before_a_build", "unchanged"]),
    ("trace", model_family, ["FunctionalModel"]),
    ("trace", captured, ["_captured"]),
    (
        "trace",
        programs.Program,
        ["_train_epoch", "_evaluate", "_train_stream", "_evaluate_stream"],
    ),
    ("steps", data.Data, ["train_epoch", "evaluate"]),
    ("steps", model_family, ["rate_curve"]),
    ("suggestions", keras_tuner_hooks.TunerHooks, ["_next_trial"]),
    ("files", files, ["write_json", "write_text", "write_bytes", "batched_fsync"]),
    ("files", keras_tuner_hooks.TunerHooks, ["_save_checkpoint"]),
    ("files", keras_tuner_hooks.OracleHooks, ["deferred_writes"]),
    ("record, progress", runner.TrialRunner, ["begin", "finish", "show"]),
]
PARTS = list(dict.fromkeys([part for part, _, _ in TIMED]))


class Profile:
    """The seconds of each part while `timed()` is on.

    Attributes:
        seconds: By the name of a part, the rest under "rest".
    """

    def __init__(self):
        self.seconds = collections.Counter()
        self._running = ["rest"]
        self._since = 0.0

    @contextlib.contextmanager
    def timed(self):
        """Times what goes on inside."""
        with contextlib.ExitStack() as stack:
            for part, owner, names in TIMED:
                for name in names:
                    if name in vars(owner):
                        original = vars(owner)[name]
                        setattr(owner, name, self._wrapped(part, original))
                        stack.callback(setattr, owner, name, original)
            self._since = time.perf_counter()
            yield
            self._count()

    def shares(self):
        """Returns the seconds of all parts, as texts."""
        whole = sum(self.seconds.values())
        return [
            f"{self.seconds[part]:.2f} ({self.seconds[part] / whole:.0%})"
            for part in (*PARTS, "rest")
        ]

    def _wrapped(self, part, function):
        @functools.wraps(function, updated=())
        def timed(*args, **kwargs):
            with self._part(part):
                found = function(*args, **kwargs)
            if isinstance(found, contextlib.AbstractContextManager):
                return self._around(part, found)
            return found

        return timed

    @contextlib.contextmanager
    def _around(self, part, context):
        """Enters and leaves a context in a part; what is inside is not of it."""
        with self._part(part):
            value = context.__enter__()
        try:
            yield value
        except BaseException as error:
            if not context.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            with self._part(part):
                context.__exit__(None, None, None)

    @contextlib.contextmanager
    def _part(self, part):
        self._count()
        self._running.append(part)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def _count(self):
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now
