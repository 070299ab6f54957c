"""Rules for optimizers: constructors, clipping, loss scales, train ops, checkpoints."""

import ast
import bisect
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.originals import reference_optimizers
from keras_tricks.tf1.lint.reading import arguments
from keras_tricks.tf1.lint.reading import modules
from keras_tricks.tf1.lint.reading import type_inference
from keras_tricks.tf1.lint.reading.arguments import argument
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.source import STEP_GETTERS
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites import rewrite_comments
from keras_tricks.tf1.lint.rewrites import rewrite_updates
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

_OPTIMIZERS = "keras_tricks.optimizers"
_CLASS = "AdamWeightDecayOptimizer"
_NO_ADVICE = "no advice"
_LOSS_SCALES = (
    "DynamicLossScale",
    "ExponentialUpdateLossScaleManager",
    "FixedLossScale",
    "FixedLossScaleManager",
    "LossScaleOptimizer",
    "MixedPrecisionLossScaleOptimizer",
    "enable_mixed_precision_graph_rewrite",
)
# Functions of tf.contrib that clip: where they have the limit, and which one it is.
_CONTRIB_CLIPS = {
    "clip_gradient_norms": (1, "max_norm", "clipnorm"),
    "clip_gradient_norms_fn": (0, "max_norm", "clipnorm"),
    "clip_gradients_by_norm": (1, "clip_norm", "global_clipnorm"),
    "create_train_op": (99, "clip_gradient_norm", "clipnorm"),
}
# Beside the arguments of the same meaning: what Keras's class needs to do the same.
_KERAS_OPTIMIZERS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str]] = {
    "AdadeltaOptimizer": (
        "Adadelta",
        {"rho": "rho=0.95", "epsilon": "epsilon=1e-08"},
        ("learning_rate", "rho", "epsilon"),
        "",
    ),
    "AdagradOptimizer": (
        "Adagrad",
        {"initial_accumulator_value": "initial_accumulator_value=0.1"},
        ("learning_rate", "initial_accumulator_value"),
        "TF1's adds no epsilon",
    ),
    "AdamOptimizer": (
        "Adam",
        {"epsilon": "epsilon=1e-08"},
        ("learning_rate", "beta1", "beta2", "epsilon"),
        "",
    ),
    "FtrlOptimizer": (
        "Ftrl",
        {},
        (
            "learning_rate",
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
        ),
        "",
    ),
    "GradientDescentOptimizer": ("SGD", {}, ("learning_rate",), ""),
    "MomentumOptimizer": (
        "SGD",
        {},
        ("learning_rate", "momentum", "use_locking", "name", "use_nesterov"),
        "Keras multiplies the rate into the momentum, which differs where it changes",
    ),
    "RMSPropOptimizer": (
        "RMSprop",
        {"decay": "rho=0.9", "epsilon": "epsilon=1e-10"},
        ("learning_rate", "decay", "momentum", "epsilon"),
        "TF1's mean of squares begins at 1, Keras's at 0",
    ),
}
_RENAMED = {
    "beta1": "beta_1",
    "beta2": "beta_2",
    "decay": "rho",
    "use_nesterov": "nesterov",
}
_NO_COUNTERPART = ("use_locking", "name")


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields what TF1 trains with, wherever it is named."""
    if not isinstance(node, ast.Name | ast.Attribute):
        return
    if not isinstance(node.ctx, ast.Load):
        return
    source = context.source
    parent = source.parents[node]
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    path = source.path_of(node) or ""
    if path.startswith("tf_slim."):
        path = f"tensorflow.contrib.{path}"
    if path.startswith("tensorflow.") and ".keras." not in path:
        yield from _check_tensorflow(context, node, call, path)
    elif _CLASS in (path.rpartition(".")[2], last_name(node)):
        around = source.enclosing(node, ast.ClassDef)
        if getattr(around, "name", "") != _CLASS:
            yield _adam_weight_decay(context, node, call)
    elif call is not None and _is_other_optimizer(source, call, path):
        instead = f"{_NO_ADVICE}: this optimizer is not known"
        yield finding.make(source, call, ast.unparse(node), instead)


def _check_tensorflow(
    context: Context, node: ast.expr, call: ast.Call | None, path: str
) -> Iterator[Finding]:
    source, shown = context.source, ast.unparse(node)
    library, _, name = path.rpartition(".")

    def made(instead: str, todo: str = "", place: ast.expr | None = None) -> Finding:
        comment: Callable | None = None
        if todo:
            where = place or node
            comment = lambda: rewrite_comments.above(source, where, todo)  # noqa: E731
        return finding.make(source, place or node, shown, instead, comment)

    if name == "clip_by_global_norm" and _has_own_norm(call):
        yield made(f"{_NO_ADVICE}: it clips by a norm that is computed elsewhere")
    elif name == "clip_by_global_norm":
        limit = argument(call, 1, "clip_norm") or "..."
        instead = f"{_OPTIMIZERS}.ClippedOptimizer(optimizer, global_clipnorm={limit})"
        yield finding.make(
            source,
            node,
            shown,
            instead + _only_if(context, node),
            (lambda: _clipped(context, call)) if call else None,
        )
    elif name in _CONTRIB_CLIPS and ".contrib" in library and call is not None:
        position, keyword, ours = _CONTRIB_CLIPS[name]
        limit = argument(call, position, keyword) or "0"
        if limit not in ("0", "0.0", "None"):
            yield made(f"{_OPTIMIZERS}.ClippedOptimizer(optimizer, {ours}={limit})")
    elif name in ("clip_by_norm", "clip_by_value") and call is not None:
        yield from _check_clip(context, node, call, name)
    elif name in STEP_GETTERS:
        yield made(
            "optimizer.iterations (a schedule in an optimizer is given the step)"
        )
    elif name == "init_from_checkpoint":
        checkpoint = argument(call, 0, "ckpt_dir_or_file") or "checkpoint"
        instead = f"keras_tricks.tf1.restore_weights(model, {checkpoint})"
        todo = f"call {instead}, once the Keras model is built"
        names = argument(call, 1, "assignment_map")
        if names is not None:
            instead += f"; without the assignment map: see that `{names}` maps alike"
        yield made(instead, todo)
    elif name == "optimize_loss" and ".contrib" in library:
        lost = [] if call is None else _lost_in_optimize_loss(call)
        yield made(_optimize_loss(call) + "".join(f"; without {one}" for one in lost))
    elif name in _LOSS_SCALES:
        instead = (
            "keras.mixed_precision.set_dtype_policy("
            '"mixed_float16"), with which compile adds a LossScaleOptimizer by itself'
        )
        yield made(instead)
    elif name == "CrossShardOptimizer":
        instead = (
            "no wrapper: build and compile the model under the scope of a "
            "tf.distribute.TPUStrategy"
        )
        yield made(instead, instead)
    elif name in ("EstimatorSpec", "TPUEstimatorSpec"):
        if call is not None and _has_train_op(call):
            instead = "model.compile(optimizer, loss), and model.fit"
            todo = f"{instead} train a Keras model in place of the Estimator"
            yield finding.make(
                source,
                call,
                f"train_op of {shown}",
                instead,
                lambda: rewrite_comments.above(source, call, todo),
            )
    elif name in _KERAS_OPTIMIZERS and ".train" in library and call is not None:
        yield finding.make(
            source,
            call,
            shown,
            keras_optimizer(context, call, name) + _lost_in_minimize(context, call),
            lambda: _updates(context, call),
        )
    elif name.endswith("Optimizer") and call is not None:
        yield made(f"{_NO_ADVICE}: this optimizer is not known")


def _has_own_norm(call: ast.Call | None) -> bool:
    """Returns whether clipping has another norm than that of what is clipped."""
    norm = argument(call, 2, "use_norm")
    if norm in (None, "None"):
        return False
    return not str(norm).endswith(f"global_norm({argument(call, 0, 't_list')})")


def _is_other_optimizer(source: Source, call: ast.Call, path: str) -> bool:
    """Returns whether a call makes an optimizer of TF1's that no rule is about."""
    if not last_name(call.func).endswith("Optimizer"):
        return False
    if argument_node(call, 0, "learning_rate") is None:
        return False
    definition = None
    if isinstance(call.func, ast.Name):
        bindings = source.bindings(call.func)
        definition = bindings[0].node if len(bindings) == 1 else None
    origin: Source | None = source
    if path:
        module, _, name = path.rpartition(".")
        origin = modules.imported(source, module)
        body = origin.tree.body if origin is not None else []
        named = [n for n in body if isinstance(n, ast.ClassDef) and n.name == name]
        definition = named[0] if named else None
    if isinstance(definition, ast.ClassDef) and origin is not None:
        bases = [origin.path_of(base) for base in definition.bases]
        return "tensorflow.train.Optimizer" in bases
    return False


def _has_train_op(call: ast.Call) -> bool:
    return any(
        keyword.arg == "train_op"
        and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is None
        )
        for keyword in call.keywords
    )


def _difference(context: Context, call: ast.Call, name: str) -> str:
    """Returns what Keras's optimizer does otherwise than that of `tf.train`, or ""."""
    difference = _KERAS_OPTIMIZERS[name][3]
    rate = argument_node(call, 0, "learning_rate")
    if name == "MomentumOptimizer" and type_inference.kind(context.source, rate):
        return "" if argument(call, 1, "momentum") else "its momentum is not given"
    return difference


def keras_optimizer(context: Context, call: ast.Call, name: str) -> str:
    """Returns Keras's optimizer that does what one of `tf.train` does."""
    made, needed, order, _ = _KERAS_OPTIMIZERS[name]
    remark = _difference(context, call, name)
    parts = []
    for position, old in enumerate(order):
        value = argument(call, position, old)
        if old in _NO_COUNTERPART:
            continue
        if value is None:
            parts += [needed[old]] if old in needed else []
        elif position == 0:
            parts.append(value)
        else:
            parts.append(f"{_RENAMED.get(old, old)}={value}")
    text = f"keras.optimizers.{made}({', '.join(parts)})"
    remarks = [remark] if remark else []
    known = (*order, "use_locking", "name")
    lost = _without(call, [k.arg for k in call.keywords if k.arg not in known])
    lost += _without(call, [f"{len(call.args) - len(order)} more arguments"])[
        : len(call.args) > len(order)
    ]
    remarks += [f"without {one}" for one in lost]
    return f"{text} ({'; '.join(remarks)})" if remarks else text


def _without(call: ast.Call, names: Iterable[str | None]) -> list[str]:
    """Returns arguments of a call that are not in the advice, as they are written."""
    values = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    parts = [
        f"`**{values[None]}`"
        if name is None
        else f"`{name}={values[name]}`"
        if name in values
        else name
        for name in names
    ]
    return [part for part in parts if not part.endswith(("=None`", "=False`"))]


def _lost_in_minimize(context: Context, call: ast.Call) -> str:
    """Returns what `minimize`, called on the optimizer, does that `fit` does not."""
    source, flows = context.source, context.flows
    made: list[ast.AST] = [call]
    match source.parents[call]:
        case ast.Assign(targets=[ast.Name(id=name)]) as statement:
            scope = flows.function_of(statement)
            place = flows.place(statement, scope)
            definition = flows.of(scope).defined_at(name, place)
            made += [] if definition is None else flows.uses(definition)
    attributes = [source.parents[node] for node in made]
    users = [
        source.parents[attribute]
        for attribute in attributes
        if isinstance(attribute, ast.Attribute)
    ]
    lost = []
    for user in users:
        if not isinstance(user, ast.Call):
            continue
        if last_name(user.func) in ("minimize", "compute_gradients"):
            position = 2 if last_name(user.func) == "minimize" else 1
            variables = argument(user, position, "var_list")
            if variables not in (None, "None", "tf.trainable_variables()"):
                lost.append(f"`var_list={variables}`: set trainable of the others")
    return "".join(f"; without {one}" for one in dict.fromkeys(lost))


def _made(
    context: Context, call: ast.Call
) -> tuple[Callable[[str], str], list[Import]]:
    """Returns what makes Keras's optimizer from a rate, and the names in that.

    Raises:
        UncertainError: If none does the same as TF1's.
    """
    source = context.source
    rate = argument(call, 0, "learning_rate") or ""
    if last_name(call.func) == _CLASS:
        variant = reference_optimizers.variant_of(source, call.func)
        if variant.kind not in ("bert", "include"):
            raise UncertainError("its class differs from BERT's")
        name = "AdamWeightDecay"
        rewrite_checks.check_name(source, name, _OPTIMIZERS)
        made = f"{name}{adam_arguments(call, variant)}"
        needed = Import(_OPTIMIZERS, name, name)
    elif _is_optimizer(source, call):
        name = last_name(call.func)
        if difference := _difference(context, call, name):
            raise UncertainError(difference)
        made = keras_optimizer(context, call, name)
        if "without " in made or (lost := _lost_in_minimize(context, call)):
            raise UncertainError(f"it is {made if 'without ' in made else lost[2:]}")
        rewrite_checks.check_module(source, "keras")
        needed = Import("keras", "", "keras")
    else:
        raise UncertainError(f"`{ast.unparse(call)}` is no optimizer that is known")
    return lambda new: made.replace(f"({rate}", f"({new}", 1), [needed]


def _updates(context: Context, call: ast.Call) -> Rewrite:
    """Returns the rewrite of an optimizer with its updates."""
    _made(context, call)
    return rewrite_updates.optimizer(context, call, lambda one: _made(context, one))


def _berts(
    context: Context, call: ast.Call, variant: reference_optimizers.Variant
) -> Rewrite:
    """Returns the rewrite of BERT's optimizer, alone or with its updates."""
    try:
        return rewrite.bert_optimizer(context, call, variant)
    except UncertainError as reason:
        if variant.kind not in ("bert", "include"):
            raise
        try:
            return _updates(context, call)
        except UncertainError:
            raise reason from None


def _clipped(context: Context, call: ast.Call) -> Rewrite:
    """Returns the rewrite of the optimizer whose gradients a call clips."""
    source = context.source
    scope = context.flows.function_of(call)
    names = (*_KERAS_OPTIMIZERS, _CLASS)
    calls = [one for name in names for one in context.calls.get((scope, name), [])[:2]]
    found = [one for one in calls if _is_optimizer(source, one)]
    if len(found) != 1:
        raise UncertainError("it is unclear which optimizer takes the gradients")
    [made] = found
    if last_name(made.func) == _CLASS:
        variant = reference_optimizers.variant_of(source, made.func)
        rewrite_made = _berts(context, made, variant)
    else:
        rewrite_made = _updates(context, made)
    if not any(
        span[0] <= source.span(call)[0] < span[1] for span in rewrite_made.spans
    ):
        raise UncertainError("it is unclear which optimizer takes the gradients")
    return rewrite_made


def _is_optimizer(source: Source, call: ast.Call) -> bool:
    path = source.path_of(call.func) or ""
    name = last_name(call.func)
    return name == _CLASS or (
        path.startswith("tensorflow.train.") and name in _KERAS_OPTIMIZERS
    )


def _check_clip(
    context: Context, node: ast.expr, call: ast.Call, name: str
) -> Iterator[Finding]:
    """Clipping of gradients, each by its own norm or by value."""
    source = context.source
    if not call.args or not _is_gradient(source, call.args[0]):
        return
    if (test := _condition_of(source, call)) is not None:
        instead = f"{_NO_ADVICE}: it clips only some gradients, by `{test}`"
        yield finding.make(source, node, ast.unparse(node), instead)
        return
    if name == "clip_by_norm" and argument(call, 2, "axes") not in (None, "None"):
        instead = f"{_NO_ADVICE}: ClippedOptimizer clips whole gradients, without axes"
    elif name == "clip_by_norm":
        limit = argument(call, 1, "clip_norm") or "..."
        instead = f"{_OPTIMIZERS}.ClippedOptimizer(optimizer, clipnorm={limit})"
    else:
        low = argument(call, 1, "clip_value_min") or ""
        high = argument(call, 2, "clip_value_max") or ""
        if not _are_opposite(source, low, high):
            instead = f"no advice: {low} and {high} are not certainly one another's"
            yield finding.make(source, node, ast.unparse(node), f"{instead} negative")
            return
        instead = f"{_OPTIMIZERS}.ClippedOptimizer(optimizer, clipvalue={high})"
    if not instead.startswith(_NO_ADVICE):
        instead += _only_if(context, node)
    yield finding.make(source, node, ast.unparse(node), instead)


def _only_if(context: Context, clip: ast.expr) -> str:
    """Returns the test behind which gradients are clipped, and else are not, or ""."""
    source = context.source
    tests = []
    inner: ast.AST = clip
    while inner is not source.tree and not isinstance(inner, ast.FunctionDef):
        around = source.parents[inner]
        if isinstance(around, ast.If):
            branch, other = around.body, around.orelse
            if inner not in branch:
                branch, other = other, branch
            if not _updates_in(context, branch) or _updates_in(context, other):
                test = ast.unparse(around.test)
                tests.append(f"`{test}`" if branch is around.body else f"not `{test}`")
        inner = around
    return f"; only if {' and '.join(reversed(tests))}" if tests else ""


def _updates_in(context: Context, branch: list[ast.stmt]) -> bool:
    """Returns whether weights are updated in a branch."""
    if not branch:
        return False
    lines = context.update_lines
    first, last = branch[0].lineno, context.source.end_line(branch[-1])
    return bisect.bisect_left(lines, first) < bisect.bisect_right(lines, last)


def _condition_of(source: Source, call: ast.Call) -> str | None:
    """Returns the test by which single gradients are clipped, if it is one of names."""
    inner: ast.AST = call
    while not isinstance(inner, ast.stmt):
        inner = source.parents[inner]
        if isinstance(inner, ast.IfExp) and "None" not in ast.unparse(inner.test):
            return ast.unparse(inner.test)
        if isinstance(inner, ast.ListComp | ast.GeneratorExp):
            tests = [test for clause in inner.generators for test in clause.ifs]
            for test in tests:
                if "None" not in ast.unparse(test):
                    return ast.unparse(test)
    return None


def _are_opposite(source: Source, low: str, high: str) -> bool:
    """Returns whether limits are those of a clipping by value."""
    try:
        return -float(low) == float(high)
    except ValueError:
        return low.replace(" ", "") in (f"-{high}", f"-({high})", f"-1*{high}")


def _is_gradient(source: Source, node: ast.expr, depth: int = 4) -> bool:
    """Returns whether a name, or what it is taken from, tells of a gradient."""
    for inner in ast.walk(node):
        name = last_name(inner).lower()
        if "grad" in name:
            return True
        if isinstance(inner, ast.Name) and depth:
            for binding in source.bindings(inner):
                around = source.parents.get(binding.node)
                while isinstance(around, ast.Tuple | ast.List):
                    around = source.parents.get(around)
                origin = getattr(around, "iter", None) or binding.value
                if isinstance(around, ast.Assign):
                    origin = around.value
                if origin is not None and _is_gradient(source, origin, depth - 1):
                    return True
    return False


def _lost_in_optimize_loss(call: ast.Call) -> list[str]:
    """Returns the arguments of `optimize_loss` that have no place in the advice."""
    found = []
    for position, name in ((4, "gradient_noise_scale"), (5, "gradient_multipliers")):
        if (value := argument(call, position, name)) not in (None, "None"):
            found.append(f"`{name}={value}`")
    variables = argument(call, 9, "variables")
    return [*found, f"`variables={variables}`"] if variables else found


def _optimize_loss(call: ast.Call | None) -> str:
    """Returns what to write for `tf.contrib.layers.optimize_loss`."""
    limit = argument(call, 6, "clip_gradients")
    rate = argument(call, 2, "learning_rate") or "learning_rate"
    decay = argument(call, 7, "learning_rate_decay_fn")
    name = argument(call, 3, "optimizer") or "optimizer"
    if decay not in (None, "None"):
        rate = f"the schedule for {decay}"
    inner = f"the Keras optimizer for {name}, on {rate}"
    if limit in (None, "None"):
        return f"model.compile(optimizer, loss) with {inner}; it clips nothing"
    try:
        assert limit is not None
        float(limit)
    except ValueError:
        return (
            f"{_OPTIMIZERS}.ClippedOptimizer({inner}, global_clipnorm={limit}) if "
            f"{limit} is a number"
        )
    return f"{_OPTIMIZERS}.ClippedOptimizer({inner}, global_clipnorm={limit})"


def _adam_weight_decay(
    context: Context, node: ast.expr, call: ast.Call | None
) -> Finding:
    source = context.source
    variant = reference_optimizers.variant_of(source, node)
    what = _CLASS
    if variant.kind == "other":
        instead = (
            "no advice: its class differs from BERT's and from the variants that are "
            f"known; compare its apply_gradients with {_OPTIMIZERS}.AdamWeightDecay"
        )
        return finding.make(source, call or node, what, instead)
    instead = f"{_OPTIMIZERS}.AdamWeightDecay{adam_arguments(call, variant)}"
    if variant.kind == "layer-wise":
        instead += (
            "; where its learning_rate is a dictionary, with "
            "learning_rate_multipliers={pattern: factor} on one rate"
        )
    return finding.make(
        source,
        call or node,
        what,
        instead,
        (lambda: _berts(context, call, variant)) if call else None,
    )


def adam_arguments(call: ast.Call | None, variant: reference_optimizers.Variant) -> str:
    """Returns the arguments of `AdamWeightDecay` for a call of BERT's class."""
    order = list(reference_optimizers.ADAM_DEFAULTS.items())
    renamed = {"weight_decay_rate": "weight_decay"}
    parts = [argument(call, 0, "learning_rate") or "learning_rate"]
    for position, (name, default) in enumerate(order, 1):
        value = argument(call, position, name) or repr(default)
        if name == "exclude_from_weight_decay" and value == "None":
            value = "()"
        if name.startswith("beta") or name == "epsilon":
            if value == repr(default) or arguments.is_number(value, default):
                continue
        parts.append(f"{renamed.get(name, name)}={value}")
    if variant.kind == "include":
        position, name = len(order) + 1, "include_in_weight_decay"
        parts.append(f"{name}={argument(call, position, name) or variant.included}")
    return f"({', '.join(parts)})"
