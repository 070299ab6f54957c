"""Rewrites of `create_optimizer`: where it is called, and where it is defined."""

import ast
from collections.abc import Mapping

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.originals import recipes
from keras_tricks.tf1.lint.originals.libraries import LibraryAdvice
from keras_tricks.tf1.lint.originals.recipes import Filled
from keras_tricks.tf1.lint.originals.recipes import Recipe
from keras_tricks.tf1.lint.rates.values import Value
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.rewrite_comments import above
from keras_tricks.tf1.lint.rewrites.rewrite_comments import block
from keras_tricks.tf1.lint.rewrites.rewrite_comments import call_text
from keras_tricks.tf1.lint.rewrites.rewrite_comments import edit_above
from keras_tricks.tf1.lint.rewrites.rewrite_comments import statement_of

_MODULE = "keras_tricks.optimizers"
_STEPS = ("num_train_steps", "num_warmup_steps")
_PRIORITY = 3


def _free_name(context: Context, module: str, name: str) -> str:
    """Returns what to call a name of this package in a file."""
    try:
        rewrite_checks.check_name(context.source, name, module)
    except UncertainError:
        name = f"keras_{name}"
        rewrite_checks.check_name(context.source, name, module)
    return name


def call(context: Context, node: ast.Call, filled: Filled) -> Rewrite:
    """Returns the rewrite of a call of BERT's `create_optimizer`.

    Raises:
        UncertainError: If it might change what the code does.
    """
    if filled.conditions:
        todo = (
            f"{filled.text(recipes.CREATE)} of {_MODULE} does the same if "
            f"{' and '.join(filled.conditions)}; so does {ast.unparse(node.func)}, "
            "once its definition is rewritten"
        )
        return above(context.source, node, todo, stands_alone=True)
    fractions = []
    for name, value in filled.arguments.items():
        if name in ("join", "exclude_from_weight_decay"):
            continue
        if isinstance(value, ast.Constant) and value.value is None:
            continue
        definitions = _definitions(context, value)
        allowed = name == "num_warmup_steps"
        if not (allowed and _is_none_or_number(value)):
            rewrite_checks.check_plain(context, value, definitions)
        if name in _STEPS and (text := rewrite_checks.fraction(value, definitions)):
            fractions.append(f"`{text}` must be a whole number")
    target = _target(context, node)
    todo = (
        f"a Keras optimizer, and no train op. model.compile({target}, loss) and "
        "model.fit train with it; they take the place of the Estimator or the session"
    )
    if fractions:
        todo += f". {' and '.join(fractions)}"
    return _replaced(
        context,
        node,
        _MODULE,
        recipes.CREATE,
        recipes.written(filled.arguments),
        todo,
    )


def _is_none_or_number(value: ast.expr) -> bool:
    # Such as a variable that is None without training, which is never used then.
    return isinstance(value, ast.Name)


def _definitions(
    context: Context, expression: ast.expr
) -> Mapping[str, Definition | None]:
    return {
        node.id: context.flows.definition(node)
        for node in ast.walk(expression)
        if isinstance(node, ast.Name) and node in context.source.parents
    }


def library_call(context: Context, node: ast.Call, advice: LibraryAdvice) -> Rewrite:
    """Returns the rewrite of a call of transformers or tf-models.

    Raises:
        UncertainError: If it might change what the code does.
    """
    if advice.check:
        raise UncertainError(f"it is equal {advice.check} only")
    assert advice.arguments is not None
    return _replaced(
        context, node, advice.module, advice.name, list(advice.arguments), ""
    )


def _replaced(
    context: Context,
    node: ast.Call,
    module: str,
    name: str,
    arguments: list[str],
    todo: str,
) -> Rewrite:
    source = context.source
    alias = _free_name(context, module, name)
    span = source.span(node)
    if "#" in source.text[slice(*span)]:
        raise UncertainError("there are comments among its arguments")
    statement = statement_of(source, node)
    start = source.line_start(statement.lineno)
    first = source.span(statement)[0]
    indent = source.text[start:first]
    before = span[0] - source.line_start(node.lineno) - len(indent)
    edits = [Edit(*span, call_text(alias, arguments, indent, before))]
    if todo:
        edits.append(edit_above(source, statement, todo))
    needed = (Import(module, name, alias),)
    return Rewrite((span,), tuple(edits), needed, _PRIORITY)


def _target(context: Context, node: ast.Call) -> str:
    """Returns the name of what a call makes."""
    parent = context.source.parents[node]
    match parent:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.Return():
            return "optimizer"
    raise UncertainError("its train op is used at once")


def definition(context: Context, node: ast.FunctionDef, recipe: Recipe) -> Rewrite:
    """Returns the rewrite of a function with BERT's recipe into a call of ours.

    Its parameters stay, so that its callers do. Those that it has no use for any more
    are named in a comment, and an argument that the recipe does not hold for raises.

    Raises:
        UncertainError: If it might change what the code does.
    """
    source = context.source
    advice = recipe.advice
    assert advice is not None
    assert advice.schedule is not None
    assert not recipe.other
    if node.decorator_list or node.args.vararg or node.args.kwarg:
        raise UncertainError("it is no plain function")
    kept = _kept_statements(context, node, recipe)
    _check_is_train_op(node)
    guards = _guards(node, recipe)
    fractions = []
    for name, value in advice.schedule.arguments:
        if isinstance(value, str):
            continue
        definitions = dict(value.names)
        rewrite_checks.check_plain(context, value.expression, definitions)
        if len(name) in (1, 2) and not name.strip():
            text = rewrite_checks.fraction(value.expression, definitions)
            fractions += [f"`{text}` must be a whole number"] if text else []
    alias = _free_name(context, _MODULE, recipes.CREATE)
    arguments = _arguments(recipe)
    called = ast.parse(f"f({', '.join(arguments)})", mode="eval").body
    needed_names = recipes.parameters_in([called, *(test for test, _ in guards)])
    unused = [
        name
        for name in recipe.parameters
        if name not in needed_names and not _is_in(name, kept)
    ]
    body = [s for s in node.body if not _is_docstring(node, s)]
    first, last = body[0], body[-1]
    start = source.line_start(first.lineno)
    indent = source.text[start : source.span(first)[0]]
    if indent.strip():
        raise UncertainError("it has no line of its own")
    todo = (
        "this returns a Keras optimizer, and no train op. model.compile(optimizer, "
        "loss) and model.fit train with it; they take the place of the Estimator or "
        "the session"
    )
    if unused:
        named = ", ".join(f"`{name}`" for name in unused)
        todo += f". Not used any more: {named}"
    if fractions:
        todo += f". {' and '.join(fractions)}"
    lines = [block(todo, indent)]
    for test, message in guards:
        lines.append(f"{indent}if {ast.unparse(test)}:\n")
        inner = f"{indent}    "
        error = call_text("ValueError", [f'"{message}"'], inner, len("raise "))
        lines.append(f"{inner}raise {error}\n")
    for statement in kept:
        lines.append(f"{indent}{source.text[slice(*source.span(statement))]}\n")
    text = call_text(alias, arguments, indent, len("return "))
    lines.append(f"{indent}return {text}")
    span = (start, source.span(last)[1])
    whole = "".join(lines)
    needed = (Import(_MODULE, recipes.CREATE, alias),)
    return Rewrite((span,), (Edit(*span, whole),), needed, _PRIORITY)


def _is_docstring(node: ast.FunctionDef, statement: ast.stmt) -> bool:
    return statement is node.body[0] and ast.get_docstring(node) is not None


def _is_in(name: str, statements: list[ast.stmt]) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == name
        for s in statements
        for n in ast.walk(s)
    )


def _kept_statements(
    context: Context, node: ast.FunctionDef, recipe: Recipe
) -> list[ast.stmt]:
    """Returns the statements that compute arguments of the recipe."""
    assert recipe.advice is not None
    assert recipe.advice.schedule is not None
    kept: dict[ast.stmt, None] = {}
    todo = [d for _, d in recipe.advice.schedule.names()]
    while todo:
        definition = todo.pop()
        if definition is None or definition.is_parameter:
            continue
        statement = definition.node
        if not isinstance(statement, ast.Assign) or statement not in node.body:
            if context.flows.function_of(definition.node) is node:
                raise UncertainError(f"`{definition.name}` is computed in a branch")
            continue
        kept[statement] = None
        todo += [
            context.flows.definition(name)
            for name in ast.walk(statement.value)
            if isinstance(name, ast.Name)
        ]
    return sorted(kept, key=lambda statement: statement.lineno)


def _arguments(recipe: Recipe) -> list[str]:
    """Returns the arguments by the names that the function has for them."""
    assert recipe.advice is not None
    assert recipe.advice.schedule is not None
    values = [
        value for name, value in recipe.advice.schedule.arguments if not name.strip()
    ]
    written = [value.text for value in values if isinstance(value, Value)]
    rest = {
        name: value
        for name, value in recipe.arguments.items()
        if name not in ("init_lr", *_STEPS)
    }
    return [*written, *recipes.written(rest)]


def _guards(node: ast.FunctionDef, recipe: Recipe) -> list[tuple[ast.expr, str]]:
    """Returns tests of arguments that the recipe does not hold for, and messages."""
    guards: list[tuple[ast.expr, str]] = []
    for name, value in recipe.conditions:
        other = ast.Compare(
            ast.Name(name, ast.Load()), [ast.NotEq()], [ast.Constant(value)]
        )
        guards.append((other, f"`{name}` must be {value!r}"))
    parameters = set(recipe.parameters)
    for test, is_true in recipe.tests:
        if not recipes.parameters_in([test]) <= parameters:
            raise UncertainError(f"`{ast.unparse(test)}` is none of its arguments")
        guards.append(_guard(test, is_true, recipe.parameters))
    unique = {ast.unparse(test): (test, message) for test, message in guards}
    return list(unique.values())


def _guard(
    test: ast.expr, is_true: bool, defaults: Mapping[str, ast.expr | None]
) -> tuple[ast.expr, str]:
    """Returns the test of what must not be, and the message that says what must."""
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]) if is_true:
            other: ast.expr = ast.Compare(left, [ast.NotEq()], [right])
            required = ast.unparse(right)
        case ast.Name(id=name) if not is_true and (default := defaults[name]):
            # What is off in its own type: None, False, 0.
            left, other, required = test, test, ast.unparse(default)
        case _:
            left, required = test, str(is_true)
            other = ast.UnaryOp(ast.Not(), test) if is_true else test
    message = f"`{ast.unparse(left)}` must be {required}"
    return other, message.replace('"', "'")


def _check_is_train_op(node: ast.FunctionDef) -> None:
    """Refuses a function that returns something else than the op of its updates."""
    returns = [n for n in ast.walk(node) if isinstance(n, ast.Return)]
    if len(returns) != 1 or returns[0] is not node.body[-1]:
        raise UncertainError("it has several ends")
    applied = [
        n
        for n in ast.walk(node)
        if isinstance(n, ast.Call) and last_name(n.func) == "apply_gradients"
    ]
    if len(applied) != 1:
        raise UncertainError("it does not apply the gradients, or twice")
    if not isinstance(returns[0].value, ast.Name | ast.Call):
        raise UncertainError("it returns more than the train op")
