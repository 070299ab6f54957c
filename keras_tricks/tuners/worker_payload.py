"""What is sent to a worker process, and between it and the process that started it."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import keras

from keras_tricks.tuners.keras_settings import KerasSettings

# What a worker makes itself, or is sent apart.
_OWN = (
    "oracle",
    "_own_oracle",
    "_progress",
    "_running_trial",
    "_keras_settings",
    "programs",
    "_searched_with",
)


def payload(tuner: Any, fit_args: Any, fit_kwargs: Any) -> bytes:
    """Returns all that a worker needs, for `content_of`.

    Raises:
        TypeError: If something of it cannot be, with its name.
    """
    state = {key: value for key, value in vars(tuner).items() if key not in _OWN}
    oracle = tuner.oracle
    leased = {
        "objective": oracle.objective,
        "max_trials": oracle.max_trials,
        "hyperparameters": oracle.get_space(),
        "allow_new_entries": oracle.allow_new_entries,
        "tune_new_entries": oracle.tune_new_entries,
        "seed": oracle.seed,
        "max_consecutive_failed_trials": oracle.max_consecutive_failed_trials,
    }
    content = {
        # The first, so that what follows finds them when it is unpickled.
        "custom_objects": CustomObjects.now(),
        "keras_settings": KerasSettings.now(),
        "tuner_class": type(tuner),
        "state": state,
        "leased": leased,
        "oracle_attributes": {
            name: getattr(oracle, name)
            for name in (
                "remote_methods",
                "looks_at_scores",
                "continues_trials",
                "keep_checkpoints",
            )
        },
        "fit_args": fit_args,
        "fit_kwargs": fit_kwargs,
    }
    try:
        return pickle.dumps((tensorflow_settings(), cloudpickle.dumps(content)))
    except Exception as error:
        named = {
            **{f"argument {n} of search": value for n, value in enumerate(fit_args)},
            **{f"`{name}`": value for name, value in fit_kwargs.items()},
            **{f"`{name}` of the tuner": value for name, value in state.items()},
            "the tuner's class": type(tuner),
        }
        culprits = [name for name, value in named.items() if not _is_picklable(value)]
        raise TypeError(
            f"{' and '.join(culprits) or 'The search'} cannot be sent to worker "
            f"processes ({type(error).__name__}: {error}). Pass data as arrays, as a "
            "keras.utils.PyDataset, or as a function without arguments that returns "
            "them (for instance a tf.data.Dataset), and open files inside of it."
        ) from error


def content_of(payload: bytes) -> dict[str, Any]:
    """Returns what `payload` was made of, in a worker, with its settings in force.

    Unpickling imports the modules of the search, which may make tensors: TensorFlow's
    settings come first. Keras's come last, as they did in a script that imports before
    it sets something, and whatever the modules set themselves.
    """
    settings, pickled = pickle.loads(payload)
    apply_tensorflow_settings(settings)
    content = pickle.loads(pickled)
    content["keras_settings"].apply()
    return content


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

    A worker imports the modules that the search needs, and not the script itself.
    """

    def __init__(self, objects: dict[str, Any]):
        self._objects = objects

    @classmethod
    def now(cls) -> CustomObjects:
        """Returns those registered in this process, of those that can be sent."""
        objects = keras.saving.get_custom_objects()
        return cls({n: each for n, each in objects.items() if _is_picklable(each)})

    def __reduce__(self) -> Any:
        return _registered, (self._objects,)


def _registered(objects: dict[str, Any]) -> CustomObjects:
    known = keras.saving.get_custom_objects()
    for name, each in objects.items():
        known.setdefault(name, each)
    return CustomObjects(objects)


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
