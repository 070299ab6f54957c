"""Rewrites of TF1 code that are certain to keep its values."""

import ast
import itertools
import re
from collections.abc import Sequence

from keras_tricks.tf1 import reference_classes
from keras_tricks.tf1 import type_inference
from keras_tricks.tf1.edits import Edit
from keras_tricks.tf1.edits import Rewrite
from keras_tricks.tf1.source import Source

_DECAY_ARGUMENTS = (
    "learning_rate",
    "global_step",
    "decay_steps",
    "end_learning_rate",
    "power",
    "cycle",
    "name",
)
# What only a program that builds graphs mentions. Run eagerly, TF1's decay is a
# function of no arguments, and no tensor.
_GRAPH_WORDS = {
    "disable_eager_execution",
    "disable_v2_behavior",
    "EstimatorSpec",
    "Graph",
    "MonitoredTrainingSession",
    "placeholder",
    "Session",
    "TPUEstimatorSpec",
}
_EAGER_WORDS = {"enable_eager_execution", "enable_v2_behavior"}
# A gap between two arguments without parentheses: a comma, white space, comments.
_GAP = re.compile(r"(\s|\\|#[^\r\n]*)*,(\s|\\|#[^\r\n]*)*")
_TAIL = re.compile(r"(\s|\\|,|#[^\r\n]*)*\)")


class UncertainError(Exception):
    """A rewrite might change what the code does; the message says why."""


def polynomial_decay(source: Source, call: ast.Call) -> Rewrite:
    """Returns the rewrite of a call of `tf.train.polynomial_decay`.

    Raises:
        UncertainError: If it might change what the code does.
    """
    name, module = "WarmupPolynomialDecay", "keras_tricks.schedules"
    _check_name(source, name, module)
    _check_graph_mode(source)
    given = _arguments(source, call, _DECAY_ARGUMENTS)
    if not {"learning_rate", "global_step", "decay_steps"} <= set(given):
        raise UncertainError("an argument is missing")
    if "name" in given:
        raise UncertainError("other code may look its graph node up by `name`")
    _check_float(source, given["learning_rate"])
    _check_number(source, given, "learning_rate", 0)
    _check_number(source, given, "decay_steps", 1, whole=True)
    _check_number(source, given, "end_learning_rate", 0)
    _check_number(source, given, "power", 0, exclusive=True)
    if "cycle" in given and not _is_literal(_value(given["cycle"]), bool):
        raise UncertainError("`cycle` is neither True nor False")
    if _is_literal(_value(given["global_step"]), type(None)):
        raise UncertainError("`global_step` is None")
    edits = [Edit(*source.span(call.func), name)]
    edits.append(_removal(source, call, given["global_step"]))
    if "end_learning_rate" not in given:
        edits.append(_addition(source, call, "end_learning_rate=0.0001"))
    for old, argument in given.items():
        new = "initial_learning_rate" if old == "learning_rate" else old
        if isinstance(argument, ast.keyword):
            if old == "learning_rate":
                edits.append(_renaming(source, argument, new))
        elif old in ("end_learning_rate", "power", "cycle"):
            # Here `warmup_steps` comes before them.
            start = source.span(argument)[0]
            edits.append(Edit(start, start, f"{new}="))
    end = source.span(call)[1]
    step = source.text[slice(*source.span(_value(given["global_step"])))]
    edits.append(Edit(end, end, f"({step})"))
    return Rewrite(source.span(call), tuple(edits), module, name, name)


def bert_optimizer(source: Source, call: ast.Call) -> Rewrite:
    """Returns the rewrite of a call of BERT's `AdamWeightDecayOptimizer`.

    Raises:
        UncertainError: If it might change what the code does.
    """
    name, module = "AdamWeightDecay", "keras_tricks.optimizers"
    _check_name(source, name, module)
    _check_is_bert_optimizer(source, call.func)
    _check_is_only_made(source, call)
    given = _arguments(source, call, reference_classes.ADAM_ARGUMENTS)
    if "learning_rate" not in given:
        raise UncertainError("an argument is missing")
    # Keras's optimizers refuse an int.
    _check_float(source, given["learning_rate"])
    for argument in given:
        if argument not in ("exclude_from_weight_decay", "name"):
            _check_number(source, given, argument, 0, exclusive=argument == "epsilon")
    edits = [Edit(*source.span(call.func), name)]
    if isinstance(given.get("weight_decay_rate"), ast.keyword):
        edits.append(_renaming(source, given["weight_decay_rate"], "weight_decay"))
    if "weight_decay_rate" not in given:
        edits.append(_addition(source, call, "weight_decay=0.0"))
    if "exclude_from_weight_decay" in given:
        patterns = _value(given["exclude_from_weight_decay"])
        if _is_literal(patterns, type(None)):
            edits.append(Edit(*source.span(patterns), "()"))
        elif not _is_list_of_texts(source, patterns):
            raise UncertainError(
                f"`{ast.unparse(patterns)}` may be something else than a list of texts"
            )
    else:
        edits.append(_addition(source, call, "exclude_from_weight_decay=()"))
    if "name" in given:
        if not _is_literal(_value(given["name"]), str):
            raise UncertainError("`name` may be something else than a text")
        if not isinstance(given["name"], ast.keyword):
            start = source.span(given["name"])[0]
            edits.append(Edit(start, start, "name="))
    return Rewrite(source.span(call), tuple(edits), module, name, name)


def schedule_class(source: Source, definition: ast.ClassDef) -> Rewrite:
    """Returns the rewrite of the Transformer tutorial's schedule into an import.

    Raises:
        UncertainError: If it might change what the code does.
    """
    module = "keras_tricks.schedules"
    if not reference_classes.is_transformer_schedule(source, definition):
        raise UncertainError("it is not the tutorial's formula and nothing more")
    _check_no_star_import(source)
    body = source.tree.body
    if definition not in body or definition.decorator_list or definition.keywords:
        raise UncertainError("it is not a plain class of the module")
    alias = definition.name
    _check_name(source, alias, module, but=definition)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Name) or node.id != alias:
            continue
        user = source.parents[node]
        if not isinstance(user, ast.Call) or user.func is not node:
            if source.enclosing(node, ast.ClassDef) is definition:
                continue
            raise UncertainError(f"`{alias}` is used in other ways than by a call")
        given = _arguments(source, user, ("d_model", "warmup_steps"))
        if any(type_inference.kind(source, _value(a)) != "int" for a in given.values()):
            raise UncertainError(
                f"`{ast.unparse(user)}` may have arguments that are no Python ints"
            )
    index = body.index(definition)
    start = source.line_start(definition.lineno)
    end = source.line_start(source.end_line(definition) + 1)
    if source.text[source.span(definition)[1] : end].strip():
        raise UncertainError("something stands behind it in its last line")
    # The blank lines below go with it, so that those above stay as they are. But a
    # comment above it must not come to stand above the next statement.
    above = source.lines[definition.lineno - 2] if definition.lineno > 1 else ""
    below = re.compile(r"([ \t]*(\r\n?|\n))*").match(source.text, end)
    if below and index + 1 < len(body) and not above.lstrip().startswith("#"):
        end = below.end()
    name = alias if alias in ("CustomSchedule", "NoamSchedule") else "NoamSchedule"
    return Rewrite((start, end), (Edit(start, end, ""),), module, name, alias)


def _check_no_star_import(source: Source) -> None:
    if source.has_star_import:
        raise UncertainError("`from ... import *` may give names another meaning")


def _check_name(
    source: Source, name: str, module: str, but: ast.AST | None = None
) -> None:
    """Refuses if a name that is to be imported may mean something else."""
    _check_no_star_import(source)
    for scope in set(source.scopes.values()):
        for binding in scope.bindings.get(name, []):
            if binding.node is not but and binding.path != f"{module}.{name}":
                raise UncertainError(f"`{name}` is already something else here")


def _check_graph_mode(source: Source) -> None:
    words = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word):
                words.add(word)
            case ast.alias(name=path):
                words |= set(path.split("."))
            case ast.ImportFrom(module=str(path)):
                words |= set(path.split("."))
    may_be_tf2 = "compat" in words or "tensorflow_v1" in words
    if words & _EAGER_WORDS or (may_be_tf2 and not words & _GRAPH_WORDS):
        raise UncertainError("it may run eagerly, where the result is a function")


def _check_is_bert_optimizer(source: Source, function: ast.expr) -> None:
    different = UncertainError("its class differs from BERT's")
    if isinstance(function, ast.Name):
        bindings = source.bindings(function)
        if len(bindings) > 1:
            raise UncertainError(f"`{function.id}` may be one of several things")
        if bindings and isinstance(bindings[0].node, ast.ClassDef):
            if not reference_classes.is_bert_optimizer(source, bindings[0].node):
                raise different
            return
    path = source.path_of(function)
    if path is None:
        raise UncertainError("where its class comes from is unclear")
    known = reference_classes.imported_class(source, path)
    if known is False:
        raise different
    if known is None and path.split(".")[-2:-1] != ["optimization"]:
        raise UncertainError("its class may differ from BERT's")


def _check_is_only_made(source: Source, call: ast.Call) -> None:
    """Refuses if the optimizer is used here in a way that Keras's do not know."""
    parent = source.parents[call]
    places: list[ast.AST] = [call]
    if isinstance(parent, ast.Assign):
        match parent.targets:
            case [ast.Name(id=name) as target]:
                if len(source.bindings(target)) != 1:
                    raise UncertainError(f"`{name}` may be one of several things")
                places = [
                    node
                    for node in ast.walk(source.tree)
                    if isinstance(node, ast.Name)
                    and isinstance(node.ctx, ast.Load)
                    and node.id == name
                    and source.bindings(node) == source.bindings(target)
                ]
            case _:
                raise UncertainError("it is kept in an attribute")
    for place in places:
        match source.parents[place]:
            case ast.Return():
                continue
            case ast.keyword(arg="optimizer"):
                continue
        raise UncertainError("it is used as an optimizer of TF1 here")


def _arguments(
    source: Source, call: ast.Call, names: Sequence[str]
) -> dict[str, ast.expr | ast.keyword]:
    """Returns the arguments of a call by name; those given by keyword as keywords."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        raise UncertainError("it has *arguments")
    if any(keyword.arg is None for keyword in call.keywords):
        raise UncertainError("it has **arguments")
    given: dict[str, ast.expr | ast.keyword] = dict(zip(names, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in names or keyword.arg in given:
            raise UncertainError(f"`{keyword.arg}` is no argument of it")
        given[str(keyword.arg)] = keyword
    if len(given) != len(call.args) + len(call.keywords):
        raise UncertainError("it has too many arguments")
    order = sorted(given.values(), key=lambda argument: source.span(argument))
    for left, right in itertools.pairwise(order):
        gap = source.text[source.span(left)[1] : source.span(right)[0]]
        if not _GAP.fullmatch(gap):
            raise UncertainError("an argument stands in parentheses of its own")
    if order:
        tail = source.text[source.span(order[-1])[1] : source.span(call)[1]]
        head = source.text[source.span(call.func)[1] : source.span(order[0])[0]]
        if not _TAIL.fullmatch(tail) or head.count("(") != 1:
            raise UncertainError("an argument stands in parentheses of its own")
    return given


def _value(argument: ast.expr | ast.keyword) -> ast.expr:
    return argument.value if isinstance(argument, ast.keyword) else argument


def _check_float(source: Source, argument: ast.expr | ast.keyword) -> None:
    node = _value(argument)
    if type_inference.kind(source, node) != "float":
        raise UncertainError(
            f"`{ast.unparse(node)}` may be something else than a Python float"
        )


def _is_literal(node: ast.expr, kind: type) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, kind)


def _is_list_of_texts(source: Source, node: ast.expr) -> bool:
    node = source.definition(node) or node
    return isinstance(node, ast.List | ast.Tuple) and all(
        _is_literal(element, str) for element in node.elts
    )


def _check_number(
    source: Source,
    given: dict[str, ast.expr | ast.keyword],
    name: str,
    minimum: float,
    *,
    exclusive: bool = False,
    whole: bool = False,
) -> None:
    """Refuses an argument that may be no number, or one that ours refuse."""
    if name not in given:
        return
    node = _value(given[name])
    kind, value = type_inference.kind(source, node), type_inference.value(source, node)
    if kind is None:
        raise UncertainError(f"`{ast.unparse(node)}` may be no Python number")
    if whole and kind == "float" and (value is None or value % 1):
        raise UncertainError(f"`{ast.unparse(node)}` may be no whole number")
    if value is not None and (value < minimum or (exclusive and value == minimum)):
        raise UncertainError(f"`{name}` is out of its range")


def _removal(source: Source, call: ast.Call, argument: ast.expr | ast.keyword) -> Edit:
    """Returns the edit that takes an argument and its comma out of a call."""
    order = sorted([*call.args, *call.keywords], key=lambda a: source.span(a))
    index = order.index(argument)
    start, end = source.span(argument)
    if index + 1 < len(order):
        following = source.span(order[index + 1])[0]
        if "#" not in source.text[end:following]:
            return Edit(start, following, "")
        raise UncertainError("a comment stands behind the step")
    before = source.span(order[index - 1])[1]
    if "#" in source.text[before:start]:
        raise UncertainError("a comment stands before the step")
    return Edit(before, end, "")


def _renaming(source: Source, keyword: ast.expr | ast.keyword, new: str) -> Edit:
    assert isinstance(keyword, ast.keyword)
    start = source.span(keyword)[0]
    return Edit(start, start + len(str(keyword.arg)), new)


def _addition(source: Source, call: ast.Call, text: str) -> Edit:
    """Returns the edit that adds an argument behind the last one."""
    end = max(source.span(argument)[1] for argument in [*call.args, *call.keywords])
    return Edit(end, end, f", {text}")
