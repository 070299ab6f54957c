"""Payloads: what a worker process is sent, and what it sends back."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import platform
import sys
from typing import Any

import cloudpickle
import keras

import keras_tricks
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.trials.session import SearchSession

# Attributes of a tuner that belong to its process, or that a worker is sent apart.
_NOT_SENT = (
    "oracle",
    "_local_oracle",
    "_runner",
    "_searched_with",
    "programs",
)
_ORACLE_ARGUMENTS = (
    "objective",
    "max_trials",
    "allow_new_entries",
    "tune_new_entries",
    "seed",
    "max_consecutive_failed_trials",
)
_ORACLE_ATTRIBUTES = (
    "remote_methods",
    "is_adaptive",
    "continues_trials",
    "keep_checkpoints",
    "roles",
)


@dataclasses.dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs; unpickled in this order.

    Attributes:
        custom_objects: What the script has registered, before something needs it.
        keras_settings: What it has set in Keras.
        tuner_class: The class of its tuner.
        attributes: Those of the tuner that a worker's has, too.
        session: The search, without the progress that is shown.
        oracle_arguments: Those of the constructor of `LeasedOracle`.
        oracle_attributes: Further attributes of the oracle.
        fit_args: What `search` was given.
        fit_kwargs: What `search` was given by name.
    """

    custom_objects: CustomObjects
    keras_settings: KerasSettings
    tuner_class: type[Any]
    attributes: dict[str, Any]
    session: SearchSession
    oracle_arguments: dict[str, Any]
    oracle_attributes: dict[str, Any]
    fit_args: tuple[Any, ...]
    fit_kwargs: dict[str, Any]

    @classmethod
    def of(cls, tuner: Any, fit_args: Any, fit_kwargs: Any) -> WorkerSpec:
        """Returns what the workers of a search by `tuner` need."""
        oracle, idle = tuner.oracle, SearchSession.idle(tuner.oracle.objective, None)
        arguments = {name: getattr(oracle, name) for name in _ORACLE_ARGUMENTS}
        return cls(
            CustomObjects.now(),
            KerasSettings.now(),
            type(tuner),
            {n: value for n, value in vars(tuner).items() if n not in _NOT_SENT},
            dataclasses.replace(
                tuner._runner.session, progress=idle.progress, report=None
            ),
            {**arguments, "hyperparameters": oracle.get_space()},
            {name: getattr(oracle, name) for name in _ORACLE_ATTRIBUTES},
            fit_args,
            fit_kwargs,
        )


def payload(tuner: Any, fit_args: Any, fit_kwargs: Any) -> bytes:
    """Returns the `WorkerSpec` of a search as bytes, for `spec_of`.

    Raises:
        TypeError: If something of it cannot be sent, with its name.
    """
    spec = WorkerSpec.of(tuner, fit_args, fit_kwargs)
    try:
        pickled = cloudpickle.dumps(spec)
        return pickle.dumps((_needed_versions(), tensorflow_settings(), pickled))
    except Exception as error:
        named = {
            **{f"argument {n} of search": value for n, value in enumerate(fit_args)},
            **{f"`{name}`": value for name, value in fit_kwargs.items()},
            **{
                f"`{name}` of the tuner": value
                for name, value in spec.attributes.items()
            },
            "the tuner's class": type(tuner),
        }
        culprits = [name for name, value in named.items() if not _is_picklable(value)]
        raise TypeError(
            f"{' and '.join(culprits) or 'The search'} cannot be sent to worker "
            f"processes ({type(error).__name__}: {error}). Pass data as arrays, as a "
            "keras.utils.PyDataset, or as a function without arguments that returns "
            "them (for instance a tf.data.Dataset), and open files inside of it."
        ) from error


def spec_of(payload: bytes) -> WorkerSpec:
    """Returns what `payload` was made of, in a worker, with its settings in force.

    Unpickling imports the modules of the search, which may make tensors: TensorFlow's
    settings come first. Keras's come last, as they did in a script that imports before
    it sets something, and whatever the modules set themselves.

    Raises:
        RuntimeError: If this process is another Python or keras_tricks.
    """
    needed, settings, pickled = pickle.loads(payload)
    if needed != _needed_versions():
        raise RuntimeError(
            "Workers must have the versions of the process that searches, whose code "
            f"they are sent: {_shown(needed)}. Received: {_shown(_needed_versions())}, "
            f"on {platform.node()}"
        )
    apply_tensorflow_settings(settings)
    spec = pickle.loads(pickled)
    spec.keras_settings.apply()
    return spec


def _needed_versions() -> dict[str, str]:
    """Returns versions by which what is pickled, and its seeds, may differ."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"Python": python, "keras_tricks": keras_tricks.__version__}


def _shown(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {number}" for name, number in versions.items())


def environment() -> dict[str, str]:
    """Returns variables that a worker needs before it imports Keras.

    GPUs' memory is taken as it is needed, so that workers can share one.
    """
    return {
        "KERAS_BACKEND": keras.config.backend(),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def _is_picklable(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def tensorflow_settings() -> dict[str, Any] | None:
    """Returns what the script may have set in TensorFlow for the whole process."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    threading_ = tf.config.threading
    return {
        "intra": threading_.get_intra_op_parallelism_threads(),
        "inter": threading_.get_inter_op_parallelism_threads(),
        "eagerly": tf.config.functions_run_eagerly(),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
    }


def apply_tensorflow_settings(settings: dict[str, Any] | None) -> None:
    """Sets in a worker what `tensorflow_settings` found in the searching process.

    TensorFlow takes some of them only before it has made a tensor.
    """
    if settings is None or settings == tensorflow_settings():
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(settings["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["inter"])
    tf.config.run_functions_eagerly(settings["eagerly"])
    tf.config.experimental.enable_tensor_float_32_execution(settings["tf32"])


class CustomObjects:
    """What the script has registered by `keras.saving`; unpickling registers it again.

    A worker imports the modules that the search needs, and not the script itself. Each
    object is pickled by itself, since a search may need none of those that cannot be
    sent, or whose module a worker does not find.
    """

    def __init__(self, pickled: dict[str, bytes]):
        self._pickled = pickled

    @classmethod
    def now(cls) -> CustomObjects:
        """Returns those registered in this process, of those that can be sent."""
        pickled = {}
        for name, each in keras.saving.get_custom_objects().items():
            with contextlib.suppress(Exception):
                pickled[name] = cloudpickle.dumps(each)
        return cls(pickled)

    def __reduce__(self) -> Any:
        return _registered, (self._pickled,)


def _registered(pickled: dict[str, bytes]) -> CustomObjects:
    known = keras.saving.get_custom_objects()
    for name, each in pickled.items():
        with contextlib.suppress(Exception):
            known.setdefault(name, pickle.loads(each))
    return CustomObjects(pickled)


def transportable(error: BaseException) -> Any:
    """Returns an exception as bytes, or as text where it cannot be pickled."""
    try:
        pickled = cloudpickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        return f"{type(error).__name__}: {error}"
    return pickled


def received(sent: Any) -> BaseException:
    """Returns the exception that `transportable` was given."""
    return pickle.loads(sent) if isinstance(sent, bytes) else RuntimeError(sent)
