"""Rules for optimizers of Keras 2: arguments that Keras 3 refuses."""

import ast
import re
from collections.abc import Iterator

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.reading.arguments import argument
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

# The classes of Keras 2 that had `lr` and `decay`, and the default of `lr`.
_DEFAULT_RATES = {
    "Adadelta": 1.0,
    "Adagrad": 0.01,
    "Adam": 0.001,
    "Adamax": 0.002,
    "Nadam": 0.002,
    "RMSprop": 0.001,
    "SGD": 0.01,
}
_REFUSED = ("schedule_decay",)
_PATH = re.compile(r"(tensorflow\.)?keras\.optimizers\.(legacy\.)?(?P<name>\w+)")


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields optimizers with `lr` or `decay`; its rate is `lr / (1 + decay * step)`."""
    if not isinstance(node, ast.Call):
        return
    match = _PATH.fullmatch(context.source.path_of(node.func) or "")
    if match is None or match["name"] not in _DEFAULT_RATES:
        return
    name = match["name"]
    keywords = {keyword.arg: keyword for keyword in node.keywords}
    if not {"lr", "decay"} & keywords.keys():
        return
    rate = argument(node, 0, "lr") or argument(node, 0, "learning_rate")
    rate = rate or str(_DEFAULT_RATES[name])
    decay = argument(node, 99, "decay") or "0.0"
    new_rate = rate
    if decay not in ("0", "0.0"):
        new_rate = f"keras.optimizers.schedules.InverseTimeDecay({rate}, 1, {decay})"
    others = [ast.unparse(value) for value in node.args[1:]]
    others += [
        f"{keyword.arg}={ast.unparse(keyword.value)}" if keyword.arg else "**..."
        for keyword in node.keywords
        if keyword.arg not in ("lr", "learning_rate", "decay", *_REFUSED)
        and not _is_no_epsilon(keyword)
    ]
    instead = f"keras.optimizers.{name}({', '.join([new_rate, *others])})"
    lost = [ast.unparse(k) for k in node.keywords if k.arg in _REFUSED]
    instead += "".join(f"; without `{one}`" for one in lost)
    yield finding.make(
        context.source,
        node,
        f"{ast.unparse(node.func)} of Keras 2",
        instead,
        lambda: _renamed(context, node, rate, new_rate),
    )


def _is_no_epsilon(keyword: ast.keyword) -> bool:
    """Returns whether an argument is None for 1e-7, which is Keras 3's default."""
    is_none = isinstance(keyword.value, ast.Constant) and keyword.value.value is None
    return keyword.arg == "epsilon" and is_none


def _renamed(context: Context, call: ast.Call, rate: str, new_rate: str) -> Rewrite:
    """Returns the rewrite of the arguments `lr` and `decay`."""
    source = context.source
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise UncertainError("it has arguments by position")
    imports: tuple[Import, ...] = ()
    kept, gone = {}, []
    for keyword in call.keywords:
        if keyword.arg in _REFUSED:
            raise UncertainError(f"Keras 3 has no `{ast.unparse(keyword)}`")
        if keyword.arg == "decay" or _is_no_epsilon(keyword):
            gone.append(keyword)
        elif keyword.arg in ("lr", "learning_rate"):
            kept[keyword] = f"learning_rate={new_rate}"
        else:
            kept[keyword] = source.text[slice(*source.span(keyword))]
    if len(gone) > 1:
        # Removals of neighbours would overlap.
        first = source.span(call.keywords[0])[0]
        last = source.span(call.keywords[-1])[1]
        if "#" in source.text[first:last]:
            raise UncertainError("there are comments among its arguments")
        edits = [Edit(first, last, ", ".join(kept.values()))]
    else:
        edits = [rewrite_checks.removal(source, call, keyword) for keyword in gone]
        edits += [Edit(*source.span(keyword), text) for keyword, text in kept.items()]
    if not any(keyword.arg in ("lr", "learning_rate") for keyword in call.keywords):
        raise UncertainError(f"its rate is the default of Keras 2, {rate}")
    if new_rate != rate:
        rewrite_checks.check_module(source, "keras")
        for keyword in call.keywords:
            if keyword.arg in ("lr", "learning_rate", "decay"):
                definitions = context.flows.definitions(keyword.value)
                rewrite_checks.check_plain(context, keyword.value, definitions)
        imports = (Import("keras", "", "keras"),)
    return Rewrite((source.span(call),), tuple(edits), imports)
