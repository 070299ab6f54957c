"""Rewrites of single calls and classes that are certain to keep their values."""

import ast
import re

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.originals import reference_classes
from keras_tricks.tf1.lint.originals import reference_optimizers
from keras_tricks.tf1.lint.reading import type_inference
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.rewrite_checks import addition
from keras_tricks.tf1.lint.rewrites.rewrite_checks import call_arguments
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_float
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_graph_mode
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_is_only_made
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_name
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_no_star_import
from keras_tricks.tf1.lint.rewrites.rewrite_checks import check_number
from keras_tricks.tf1.lint.rewrites.rewrite_checks import is_list_of_texts
from keras_tricks.tf1.lint.rewrites.rewrite_checks import is_literal
from keras_tricks.tf1.lint.rewrites.rewrite_checks import removal
from keras_tricks.tf1.lint.rewrites.rewrite_checks import renaming
from keras_tricks.tf1.lint.rewrites.rewrite_checks import value_of

_DECAY_ARGUMENTS = (
    "learning_rate",
    "global_step",
    "decay_steps",
    "end_learning_rate",
    "power",
    "cycle",
    "name",
)


def polynomial_decay(source: Source, call: ast.Call) -> Rewrite:
    """Returns the rewrite of a call of `tf.train.polynomial_decay`.

    Raises:
        UncertainError: If it might change what the code does.
    """
    name, module = "WarmupPolynomialDecay", "keras_tricks.schedules"
    check_name(source, name, module)
    check_graph_mode(source)
    given = call_arguments(source, call, _DECAY_ARGUMENTS)
    if not {"learning_rate", "global_step", "decay_steps"} <= set(given):
        raise UncertainError("an argument is missing")
    if "name" in given:
        raise UncertainError("other code may look its graph node up by `name`")
    check_float(source, given["learning_rate"])
    check_number(source, given, "learning_rate", 0)
    check_number(source, given, "decay_steps", 1, whole=True)
    check_number(source, given, "end_learning_rate", 0)
    check_number(source, given, "power", 0, exclusive=True)
    if "cycle" in given and not is_literal(value_of(given["cycle"]), bool):
        raise UncertainError("`cycle` is neither True nor False")
    if is_literal(value_of(given["global_step"]), type(None)):
        raise UncertainError("`global_step` is None")
    edits = [Edit(*source.span(call.func), name)]
    edits.append(removal(source, call, given["global_step"]))
    if "end_learning_rate" not in given:
        edits.append(addition(source, call, "end_learning_rate=0.0001"))
    for old, argument in given.items():
        new = "initial_learning_rate" if old == "learning_rate" else old
        if isinstance(argument, ast.keyword):
            if old == "learning_rate":
                edits.append(renaming(source, argument, new))
        elif old in ("end_learning_rate", "power", "cycle"):
            # Here `warmup_steps` comes before them.
            start = source.span(argument)[0]
            edits.append(Edit(start, start, f"{new}="))
    end = source.span(call)[1]
    step = source.text[slice(*source.span(value_of(given["global_step"])))]
    edits.append(Edit(end, end, f"({step})"))
    return Rewrite((source.span(call),), tuple(edits), (Import(module, name, name),))


def bert_optimizer(
    context: Context, call: ast.Call, variant: reference_optimizers.Variant
) -> Rewrite:
    """Returns the rewrite of a call of BERT's `AdamWeightDecayOptimizer`.

    Raises:
        UncertainError: If it might change what the code does.
    """
    source = context.source
    name, module = "AdamWeightDecay", "keras_tricks.optimizers"
    check_name(source, name, module)
    path = source.path_of(call.func) or ""
    if variant.kind == "unknown" and path.split(".")[-2:-1] != ["optimization"]:
        raise UncertainError("its class is not at hand, and may differ from BERT's")
    if variant.kind not in ("bert", "unknown"):
        raise UncertainError("its class differs from BERT's")
    check_is_only_made(source, call)
    given = call_arguments(source, call, reference_optimizers.ADAM_ARGUMENTS)
    if "learning_rate" not in given:
        raise UncertainError("an argument is missing")
    # Keras's optimizers refuse an int.
    check_float(source, given["learning_rate"])
    for argument in given:
        if argument not in ("exclude_from_weight_decay", "name"):
            check_number(source, given, argument, 0, exclusive=argument == "epsilon")
    edits = [Edit(*source.span(call.func), name)]
    if isinstance(given.get("weight_decay_rate"), ast.keyword):
        edits.append(renaming(source, given["weight_decay_rate"], "weight_decay"))
    if "weight_decay_rate" not in given:
        edits.append(addition(source, call, "weight_decay=0.0"))
    if "exclude_from_weight_decay" in given:
        patterns = value_of(given["exclude_from_weight_decay"])
        if is_literal(patterns, type(None)):
            edits.append(Edit(*source.span(patterns), "()"))
        elif not is_list_of_texts(source, patterns):
            raise UncertainError(
                f"`{ast.unparse(patterns)}` may be something else than a list of texts"
            )
    else:
        edits.append(addition(source, call, "exclude_from_weight_decay=()"))
    if "name" in given:
        if not is_literal(value_of(given["name"]), str):
            raise UncertainError("`name` may be something else than a text")
        if not isinstance(given["name"], ast.keyword):
            start = source.span(given["name"])[0]
            edits.append(Edit(start, start, "name="))
    return Rewrite((source.span(call),), tuple(edits), (Import(module, name, name),))


def schedule_class(source: Source, definition: ast.ClassDef) -> Rewrite:
    """Returns the rewrite of the Transformer tutorial's schedule into an import.

    Raises:
        UncertainError: If it might change what the code does.
    """
    module = "keras_tricks.schedules"
    if not reference_classes.is_transformer_schedule(source, definition):
        raise UncertainError("it is not the tutorial's formula and nothing more")
    check_no_star_import(source)
    body = source.tree.body
    if definition not in body or definition.decorator_list or definition.keywords:
        raise UncertainError("it is not a plain class of the module")
    alias = definition.name
    check_name(source, alias, module, but=definition)
    for node in source.names.get(alias, []):
        user = source.parents[node]
        if not isinstance(user, ast.Call) or user.func is not node:
            if source.enclosing(node, ast.ClassDef) is definition:
                continue
            raise UncertainError(f"`{alias}` is used in other ways than by a call")
        given = call_arguments(source, user, ("d_model", "warmup_steps"))
        if any(
            type_inference.kind(source, value_of(a)) != "int" for a in given.values()
        ):
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
    return Rewrite(
        ((start, end),), (Edit(start, end, ""),), (Import(module, name, alias),)
    )
