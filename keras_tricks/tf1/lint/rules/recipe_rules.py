"""Rules for `create_optimizer` and its like: BERT's, Hugging Face's, tf-models'."""

import ast
from collections.abc import Iterator

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.originals import libraries
from keras_tricks.tf1.lint.originals import recipes
from keras_tricks.tf1.lint.reading import modules
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import rewrite_recipes

_MODULES = ("optimization", "model_utils")


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields functions that make an optimizer as BERT does, and calls of them."""
    if isinstance(node, ast.FunctionDef):
        recipe = recipes.of(context, node)
        if recipe is not None:
            what = f"definition of {node.name}, BERT's recipe"
            made = recipes.Filled(recipe.arguments, ()).text()
            if recipe.other:
                what = f"definition of {node.name}, much as BERT's recipe"
                yield finding.make(
                    context.source,
                    node,
                    what,
                    f"not rewritten: `{recipe.other}` is not in BERT's recipe; without "
                    f"that: {made}",
                )
                return
            yield finding.make(
                context.source,
                node,
                what,
                made,
                lambda: rewrite_recipes.definition(context, node, recipe),
                recipe.check,
            )
    elif isinstance(node, ast.Call):
        yield from _check_call(context, node)


def _path_of(source: Source, function: ast.expr) -> str:
    """Returns what a call calls, also where a star import gives it its name."""
    path = source.path_of(function)
    if path is None and isinstance(function, ast.Name):
        if function.id == recipes.CREATE and not source.bindings(function):
            for module in source.star_imports:
                if _is_known(source, module):
                    return f"{module}.{recipes.CREATE}"
    return path or ""


def _is_known(source: Source, module: str) -> bool:
    """Returns whether a module is at hand, or has the name of BERT's."""
    is_named = module.split(".")[-1] in _MODULES
    return is_named or modules.imported(source, module) is not None


def _check_call(context: Context, call: ast.Call) -> Iterator[Finding]:
    source = context.source
    path = _path_of(source, call.func)
    what = ast.unparse(call.func)
    known = libraries.advice(context, call, path)
    if known is not None:
        yield finding.make(
            source,
            call,
            what,
            known.text,
            (lambda: rewrite_recipes.library_call(context, call, known))
            if known.arguments is not None
            else None,
            known.check,
        )
        return
    module, _, name = path.rpartition(".")
    if name != recipes.CREATE:
        bindings = source.bindings(call.func) if isinstance(call.func, ast.Name) else []
        if not any(
            isinstance(b.node, ast.FunctionDef) and b.node.name == recipes.CREATE
            for b in bindings
        ):
            return
    elif not _is_known(source, module):
        if "tensorflow" in source.words:
            instead = (
                f"no advice: `{module}` is not at hand; if its {recipes.CREATE} is "
                f"BERT's, keras_tricks.optimizers.{recipes.CREATE}"
            )
            yield finding.make(source, call, what, instead)
        return
    recipe = recipes.called(context, call, path)
    if recipe is None:
        reason = f"no advice: this {recipes.CREATE} is not BERT's recipe"
        yield finding.make(source, call, what, reason)
        return
    try:
        filled = recipes.filled(recipe, call)
    except recipes.UnclearCallError as reason:
        yield finding.make(source, call, what, f"no advice: {reason}")
        return
    check = recipe.check
    if recipe.conditions or recipe.tests:
        check = check.partition(" for ")[0]
    if filled.conditions:
        check += f" if {' and '.join(filled.conditions)}"
    yield finding.make(
        source,
        call,
        what,
        filled.text(),
        lambda: rewrite_recipes.call(context, call, filled),
        check,
    )
