"""Libraries with optimizers and schedules that grew out of BERT's: calls of them here.

Hugging Face's transformers and tf-models (`official`), by their documented signatures.
"""

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_tricks.tf1.lint.context import Context

_OPTIMIZERS, _SCHEDULES = "keras_tricks.optimizers", "keras_tricks.schedules"
_REQUIRED = object()
_RECIPE_DEFAULTS: dict[str, Any] = {
    "weight_decay_rate": 0.01,
    "power": 1.0,
    "min_lr_ratio": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-6,
    "adam_clipnorm": None,
    "adam_global_clipnorm": 1.0,
    "include_in_weight_decay": None,
}
_RUN = dict.fromkeys(("init_lr", "num_train_steps", "num_warmup_steps"), _REQUIRED)
_ADAM = {
    "learning_rate": 0.001,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "amsgrad": False,
    "weight_decay_rate": 0.0,
    "include_in_weight_decay": None,
    "exclude_from_weight_decay": None,
}
_WARM_UP = {
    "initial_learning_rate": _REQUIRED,
    "decay_schedule_fn": _REQUIRED,
    "warmup_steps": _REQUIRED,
    "power": 1.0,
    "name": None,
}


@dataclasses.dataclass(frozen=True)
class LibraryAdvice:
    """What to write for a call of another library.

    Attributes:
        text: The advice.
        module: Where what is called instead comes from.
        name: What is called instead.
        arguments: Its arguments as they are written; `None` if there is no such call.
        check: What it is equal to, and under which condition.
    """

    text: str
    module: str = ""
    name: str = ""
    arguments: tuple[str, ...] | None = None
    check: str = ""


# From the library's name for it to what makes the advice, and its parameters.
_SIGNATURES: dict[str, tuple[str, dict[str, Any]]] = {
    "transformers.create_optimizer": (
        "hugging_face",
        {
            **_RUN,
            "min_lr_ratio": 0.0,
            "adam_beta1": 0.9,
            "adam_beta2": 0.999,
            "adam_epsilon": 1e-8,
            "adam_clipnorm": None,
            "adam_global_clipnorm": None,
            "weight_decay_rate": 0.0,
            "power": 1.0,
            "include_in_weight_decay": None,
        },
    ),
    "transformers.AdamWeightDecay": ("adam", {**_ADAM, "name": None}),
    "transformers.WarmUp": ("warm_up_shift", _WARM_UP),
    "official.nlp.optimization.create_optimizer": (
        "tf_models",
        {
            **_RUN,
            "end_lr": 0.0,
            "optimizer_type": "adamw",
            "beta_1": 0.9,
            "poly_power": 1.0,
        },
    ),
    "official.nlp.optimization.AdamWeightDecay": (
        "clipped_adam",
        {**_ADAM, "gradient_clip_norm": 1.0, "name": None},
    ),
    "official.nlp.optimization.WarmUp": ("warm_up_overlap", _WARM_UP),
    "official.modeling.optimization.LinearWarmup": (
        "linear_warmup",
        {
            "after_warmup_lr_sched": _REQUIRED,
            "warmup_steps": _REQUIRED,
            "warmup_learning_rate": _REQUIRED,
            "name": None,
        },
    ),
    "official.modeling.optimization.PolynomialWarmUp": (
        "polynomial_warmup",
        {
            "after_warmup_lr_sched": _REQUIRED,
            "warmup_steps": _REQUIRED,
            "power": 1.0,
            "name": None,
        },
    ),
    "official.modeling.optimization.DirectPowerDecay": (
        "power_decay",
        {"initial_learning_rate": _REQUIRED, "power": _REQUIRED, "name": None},
    ),
    "official.modeling.optimization.PowerDecayWithOffset": (
        "power_decay",
        {
            "initial_learning_rate": _REQUIRED,
            "power": _REQUIRED,
            "offset": _REQUIRED,
            "pre_offset_learning_rate": _REQUIRED,
            "name": None,
        },
    ),
}
_ALIASES = {
    "transformers.optimization_tf.": "transformers.",
    "official.modeling.optimization.lr_schedule.": "official.modeling.optimization.",
}
_FACTORIES = {
    "official.modeling.optimization.OptimizerFactory": (
        f"{_OPTIMIZERS}.create_optimizer, or a Keras optimizer on a schedule of "
        f"{_SCHEDULES} (tf-models' names are in the guide to schedules)"
    ),
    "official.modeling.optimization.OptimizationConfig": (
        "arguments of the optimizer and of its schedule"
    ),
}


def advice(context: Context, call: ast.Call, path: str) -> LibraryAdvice | None:
    """Returns what to write for a call of transformers or tf-models."""
    for old, new in _ALIASES.items():
        if path.startswith(old):
            path = new + path.removeprefix(old)
    if path in _FACTORIES:
        return LibraryAdvice(_FACTORIES[path])
    if path.startswith("official.modeling.optimization.") and path not in _SIGNATURES:
        if path.endswith("WithOffset") or "Decay" in path:
            return LibraryAdvice(
                "the schedule beside tf-models' name in the guide to schedules"
            )
        return None
    if path not in _SIGNATURES:
        return None
    kind, signature = _SIGNATURES[path]
    given = _given(call, signature)
    if given is None:
        return LibraryAdvice(
            "no advice: its arguments are not those of the documented signature"
        )
    return _made(kind, given)


def _given(call: ast.Call, signature: Mapping[str, Any]) -> dict[str, str] | None:
    """Returns the arguments by name as they are written, also those by default."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return None
    values = dict(zip(signature, map(ast.unparse, call.args), strict=False))
    for keyword in call.keywords:
        if keyword.arg not in signature:
            return None
        values[str(keyword.arg)] = ast.unparse(keyword.value)
    if len(call.args) > len(signature):
        return None
    for name, default in signature.items():
        if name not in values:
            if default is _REQUIRED:
                return None
            values[name] = repr(default)
    return values


def _made(kind: str, given: dict[str, str]) -> LibraryAdvice:
    match kind:
        case "hugging_face":
            fixed = ('join="shift"', "bias_correction=True", "return_schedule=True")
            return _recipe(given, fixed)
        case "tf_models":
            if given["optimizer_type"] != "'adamw'":
                return LibraryAdvice(
                    f"no advice: its optimizer is {given['optimizer_type']}"
                )
            values = {name: given[name] for name in _RUN}
            values["power"] = given["poly_power"]
            values["adam_beta1"] = given["beta_1"]
            if given["end_lr"] != "0.0":
                values["min_lr_ratio"] = f"{given['end_lr']} / {given['init_lr']}"
            return _recipe(values, ("bias_correction=True",))
        case "adam" | "clipped_adam":
            return _adam(given)
        case "warm_up_shift" | "warm_up_overlap":
            parts = [given["decay_schedule_fn"], given["warmup_steps"]]
            if given["power"] != "1.0":
                parts.append(f"power={given['power']}")
            if kind == "warm_up_overlap":
                parts.append('join="overlap"')
            peak = given["initial_learning_rate"]
            condition = f"if {parts[0]} begins with {peak}"
            return _call(_SCHEDULES, "Warmup", parts, condition)
        case "linear_warmup":
            parts = [given["after_warmup_lr_sched"], given["warmup_steps"]]
            if given["warmup_learning_rate"] not in ("0", "0.0"):
                parts.append(f"start={given['warmup_learning_rate']}")
            return _call(_SCHEDULES, "Warmup", [*parts, 'join="lower"'])
        case "polynomial_warmup":
            parts = [given["after_warmup_lr_sched"], given["warmup_steps"]]
            parts += [f"power={given['power']}", 'join="lower"']
            return _call(_SCHEDULES, "Warmup", parts, "from step 1 on")
    parts = [given["initial_learning_rate"], given["power"]]
    for name in ("offset", "pre_offset_learning_rate"):
        if name in given:
            parts.append(f"{name}={given[name]}")
    return _call(_SCHEDULES, "PowerDecay", parts)


def _call(module: str, name: str, parts: list[str], check: str = "") -> LibraryAdvice:
    text = f"{module}.{name}({', '.join(parts)})"
    return LibraryAdvice(text, module, name, tuple(parts), check)


def _recipe(given: Mapping[str, str], fixed: tuple[str, ...]) -> LibraryAdvice:
    parts = [given[name] for name in _RUN]
    for name, default in _RECIPE_DEFAULTS.items():
        value = given.get(name, repr(default))
        if value != repr(default):
            parts.append(f"{name}={value}")
    return _call(_OPTIMIZERS, "create_optimizer", [*parts, *fixed])


def _adam(given: Mapping[str, str]) -> LibraryAdvice:
    if given["amsgrad"] != "False":
        return LibraryAdvice("no advice: this package has no amsgrad")
    parts = [given["learning_rate"], f"weight_decay={given['weight_decay_rate']}"]
    for name, default in (("beta_1", "0.9"), ("beta_2", "0.999"), ("epsilon", "1e-06")):
        if given[name] != default:
            parts.append(f"{name}={given[name]}")
    excluded = given["exclude_from_weight_decay"]
    parts.append(
        f"exclude_from_weight_decay={'()' if excluded == 'None' else excluded}"
    )
    if given["include_in_weight_decay"] != "None":
        parts.append(f"include_in_weight_decay={given['include_in_weight_decay']}")
    made = _call(_OPTIMIZERS, "AdamWeightDecay", [*parts, "bias_correction=True"])
    limit = given.get("gradient_clip_norm")
    if limit in (None, "None", "0", "0.0"):
        return made
    return LibraryAdvice(
        f"{_OPTIMIZERS}.ClippedOptimizer({made.text}, global_clipnorm={limit})"
    )
