"""Rules for classes: BERT's optimizer, and schedules that Keras 3 has trouble with."""

import ast
import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.originals import reference_classes
from keras_tricks.tf1.lint.originals import reference_optimizers
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite
from keras_tricks.tf1.lint.rewrites import rewrite_classes

_OPTIMIZER = "AdamWeightDecayOptimizer"
_DIFFERENCES = {
    "bert": "from keras_tricks.optimizers import AdamWeightDecay",
    "include": "keras_tricks.optimizers.AdamWeightDecay with "
    "include_in_weight_decay={included}, which this class has beside BERT's",
    "layer-wise": "keras_tricks.optimizers.AdamWeightDecay; where this class takes a "
    "dictionary of rates, with learning_rate_multipliers={{pattern: factor}} on one",
    "other": "no advice: it differs from BERT's and from the variants that are known",
}


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields classes that this package has, or that it can tell the faults of."""
    if not isinstance(node, ast.ClassDef):
        return
    source = context.source
    if node.name == _OPTIMIZER:
        variant = reference_optimizers.variant(source, node)
        instead = _DIFFERENCES[variant.kind].format(included=variant.included)
        yield finding.make(
            source,
            node,
            f"definition of {_OPTIMIZER}",
            instead,
            lambda: rewrite_classes.optimizer_class(source, node, variant),
        )
    bases = [source.path_of(base) or "" for base in node.bases]
    if node.name != _OPTIMIZER and "tensorflow.train.Optimizer" in bases:
        instead = "no advice: an optimizer of its own is a keras.optimizers.Optimizer"
        yield finding.make(source, node, f"definition of {node.name}", instead)
    if not any(base.endswith(".LearningRateSchedule") for base in bases):
        return
    methods = reference_classes.methods(node)
    call = methods.get("__call__")
    if call is None:
        return
    ours = reference_classes.is_transformer_schedule(source, node)
    for place, what, mended in _faults(source, node, call, len(bases) == 1):
        if ours:
            instead = "from keras_tricks.schedules import CustomSchedule"
            steps = len(reference_classes.COMPARED_STEPS)
            whole = finding.make(
                source,
                node,
                what,
                instead,
                lambda: rewrite.schedule_class(source, node),
                f"equal at {steps} steps",
            )
            at = finding.make(source, place, what, instead)
            yield dataclasses.replace(whole, line=at.line, column=at.column)
        else:
            yield finding.make(source, place, what, mended)


def _faults(
    source: Source, node: ast.ClassDef, call: ast.FunctionDef, is_alone: bool
) -> Iterator[tuple[ast.AST, str, str]]:
    """Yields the place, the name and the remedy of what Keras 3 has trouble with."""
    for root in _roots_of_the_step(source, call):
        what = f"{node.name}.__call__: {ast.unparse(root)} without a cast"
        yield root, what, f'{ast.unparse(root.func)}(tf.cast(step, "float32"))'
    methods = reference_classes.methods(node)
    config = methods.get("get_config")
    # With another base it may be inherited.
    if config is None and is_alone:
        mended = "def get_config(self) that returns the constructor's arguments"
        yield node, f"{node.name} without get_config", mended
    if config is not None and "__init__" in methods:
        for name in _tensors_in_config(source, methods["__init__"], config):
            what = f"{node.name}.get_config: {name} is a tensor, which cannot be saved"
            yield config, what, f"float({name})"


def _tensors_in_config(
    source: Source, init: ast.FunctionDef, config: ast.FunctionDef
) -> Iterator[str]:
    """Yields attributes that the constructor casts and the configuration returns."""
    casts = set()
    for node in ast.walk(init):
        match node:
            case ast.Assign(targets=[ast.Attribute() as target], value=ast.Call() as c):
                path = source.path_of(c.func) or ""
                if path.startswith("tensorflow.") and last_name(c.func) == "cast":
                    casts.add(ast.unparse(target))
    for node in ast.walk(config):
        if isinstance(node, ast.Dict):
            yield from (t for v in node.values if (t := ast.unparse(v)) in casts)


def _roots_of_the_step(source: Source, call: ast.FunctionDef) -> Iterator[ast.Call]:
    """Yields TensorFlow's `rsqrt` of what is still the integer step."""
    parameters = [a.arg for a in call.args.args[1:2]]
    if not parameters:
        return
    [step] = parameters
    casts = [
        statement.lineno
        for statement in ast.walk(call)
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        and any(isinstance(n, ast.Name) and n.id == step for n in _targets(statement))
    ]
    for node in ast.walk(call):
        match node:
            case ast.Call(func=function, args=[root]):
                path = source.path_of(function) or ""
                if not path.startswith("tensorflow.") or last_name(function) != "rsqrt":
                    continue
                todo: list[ast.AST] = [root]
                while todo:
                    inner = todo.pop()
                    # Any call may be a cast.
                    if isinstance(inner, ast.BinOp | ast.UnaryOp):
                        todo += ast.iter_child_nodes(inner)
                    elif isinstance(inner, ast.Name) and inner.id == step:
                        if not any(line < node.lineno for line in casts):
                            yield node


def _targets(
    statement: ast.Assign | ast.AnnAssign | ast.AugAssign,
) -> Sequence[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target]
