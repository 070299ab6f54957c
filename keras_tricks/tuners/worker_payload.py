"""What is sent to a worker process, and between it and the process that started it."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import keras

# What a worker makes itself, or is sent apart.
_OWN = (
    "oracle",
    "own_oracle",
    "_progress",
    "running_trial",
    "keras_settings",
    "programs",
    "_searched_with",
)


def payload(tuner: Any, fit_args: Any, fit_kwargs: Any) -> bytes:
    """Returns all that a worker needs, pickled.

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
        "settings": global_settings(),
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
        return cloudpickle.dumps(content)
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


def _is_picklable(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def global_settings() -> dict[str, Any]:
    """Returns what the script may have set for the whole process."""
    settings: dict[str, Any] = {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.dtype_policies.serialize(keras.config.dtype_policy()),
    }
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        threading_ = tf.config.threading
        settings["tensorflow"] = {
            "intra": threading_.get_intra_op_parallelism_threads(),
            "inter": threading_.get_inter_op_parallelism_threads(),
            "eagerly": tf.config.functions_run_eagerly(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        }
    return settings


def apply_settings(settings: dict[str, Any]) -> None:
    """Sets in a worker what `global_settings` found in the searching process."""
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_dtype_policy(
        keras.dtype_policies.deserialize(settings["dtype_policy"])
    )
    if "tensorflow" in settings:
        import tensorflow as tf

        own = settings["tensorflow"]
        tf.config.threading.set_intra_op_parallelism_threads(own["intra"])
        tf.config.threading.set_inter_op_parallelism_threads(own["inter"])
        tf.config.run_functions_eagerly(own["eagerly"])
        tf.config.experimental.enable_tensor_float_32_execution(own["tf32"])


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
