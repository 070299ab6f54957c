"""Rewrites of BERT's optimizer class into a function that makes Keras's."""

import ast

from keras_tricks.tf1.lint.originals.reference_classes import is_documentation
from keras_tricks.tf1.lint.originals.reference_classes import methods
from keras_tricks.tf1.lint.originals.reference_optimizers import Variant
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.rewrite_comments import block
from keras_tricks.tf1.lint.rewrites.rewrite_comments import call_text

_MODULE, _NAME = "keras_tricks.optimizers", "AdamWeightDecay"
_METHODS = {
    "__init__",
    "apply_gradients",
    "_apply_gradients",
    "_do_use_weight_decay",
    "_get_variable_name",
}
_RENAMED = {"weight_decay_rate": "weight_decay"}
_TODO = (
    "this makes a Keras optimizer, which counts its own iterations. "
    "model.compile(optimizer, loss) and model.fit train with it"
)
_NO_DICTIONARY = (
    "`learning_rate` must be one rate. Rates by layer are "
    "`learning_rate_multipliers={pattern: factor}` of AdamWeightDecay"
)


def optimizer_class(source: Source, node: ast.ClassDef, variant: Variant) -> Rewrite:
    """Returns the rewrite of a class `AdamWeightDecayOptimizer` into a function.

    The function has the class's name and the arguments of its constructor, so that
    calls of it stay. It is made only where all code of the file that calls it is
    rewritten, too.

    Args:
        source: The file.
        node: The class.
        variant: Which of those that are known it is.

    Raises:
        UncertainError: If it might change what the code does.
    """
    if variant.kind not in ("bert", "include", "layer-wise"):
        raise UncertainError("its class differs from BERT's")
    rewrite_checks.check_name(source, _NAME, _MODULE)
    init = _plain_constructor(source, node)
    arguments = [*init.args.posonlyargs, *init.args.args][1:]
    names = [argument.arg for argument in arguments]
    defaults = [None] * (len(arguments) - len(init.args.defaults))
    parameters = [
        name if default is None else f"{name}={ast.unparse(default)}"
        for name, default in zip(names, [*defaults, *init.args.defaults], strict=True)
    ]
    first = node.body[0]
    indent = source.text[source.line_start(first.lineno) : source.span(first)[0]]
    start, end = source.span(node)
    outer = source.text[source.line_start(node.lineno) : start]
    if indent.strip() or outer.strip():
        raise UncertainError("it has no line of its own")
    lines = [call_text(f"def {node.name}", parameters, outer, 1) + ":\n"]
    if is_documentation(first) and isinstance(first, ast.Expr):
        lines.append(f"{indent}{source.text[slice(*source.span(first))]}\n")
    lines.append(block(_TODO, indent))
    if variant.kind == "layer-wise":
        inner = f"{indent}    "
        error = call_text("ValueError", [f'"{_NO_DICTIONARY}"'], inner, len("raise "))
        lines.append(f"{indent}if isinstance(learning_rate, dict):\n")
        lines.append(f"{inner}raise {error}\n")
    given = [f"{_RENAMED.get(name, name)}={name}" for name in names[1:]]
    made = call_text(_NAME, [names[0], *given], indent, len("return "))
    lines.append(f"{indent}return {made}")
    return Rewrite(
        ((start, end),),
        (Edit(start, end, "".join(lines)),),
        (Import(_MODULE, _NAME, _NAME),),
        requires=_calls(source, node),
    )


def _plain_constructor(source: Source, node: ast.ClassDef) -> ast.FunctionDef:
    """Returns the constructor of a class that has nothing but BERT's methods."""
    found = methods(node)
    rest = [s for s in node.body if s not in found.values() and not is_documentation(s)]
    bases = [source.path_of(base) for base in node.bases]
    if node not in source.tree.body or node.decorator_list or node.keywords:
        raise UncertainError("it is not a plain class of the module")
    if rest or not set(found) <= _METHODS or bases != ["tensorflow.train.Optimizer"]:
        raise UncertainError("it has more than BERT's class")
    init = found["__init__"]
    if "#" in source.text[source.span(init)[0] : source.span(init.body[0])[0]]:
        raise UncertainError("there are comments among its arguments")
    return init


def _calls(source: Source, node: ast.ClassDef) -> tuple[int, ...]:
    """Returns where in the text the class is called."""
    places = []
    for use in source.names.get(node.name, []):
        parent = source.parents[use]
        if source.enclosing(use, ast.ClassDef) is node:
            continue
        if not isinstance(parent, ast.Call) or parent.func is not use:
            raise UncertainError(f"`{node.name}` is used in other ways than by a call")
        places.append(source.span(use)[0])
    return tuple(places)
