"""TF1 code of kinds that no rule covers: told once a file, so that none is silent."""

import ast
import bisect
import collections
import re
from collections.abc import Sequence

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS

_MOST = 8
# What TensorFlow 2 has under another name, or not at all.
_ONLY_TF1 = re.compile(
    r"tensorflow\.(contrib|layers|flags|gfile|app|python_io|metrics|losses|estimator"
    r"|logging|Session|InteractiveSession|ConfigProto|placeholder|get_variable"
    r"|variable_scope|get_variable_scope|global_variables|trainable_variables"
    r"|all_variables|assign|assign_add|gradients|reset_default_graph|tables_initializer"
    r"|local_variables_initializer|initialize_all_variables"
    r"|global_variables_initializer|get_collection|add_to_collection"
    r"|set_random_seed|to_float|to_int32|py_func|tpu|AUTO_REUSE"
    r"|train\.(\w*Optimizer|Saver|MonitoredTrainingSession|MonitoredSession"
    r"|Supervisor|Scaffold|\w*Hook|ExponentialMovingAverage|SyncReplicasOptimizer"
    r"|batch|shuffle_batch|string_input_producer|import_meta_graph)"
    r"|summary\.(FileWriter|merge_all|merge|scalar|histogram))(\.|$)"
)


def note(
    context: Context, covered: set[int], gone: Sequence[tuple[int, int]]
) -> Finding | None:
    """Returns the finding that names what else of TF1 a file has, if it has any.

    Args:
        context: The file.
        covered: Where in the text the expressions begin that rules have found.
        gone: The parts of the text that are rewritten.
    """
    spans = sorted(gone)
    starts = [start for start, _ in spans]
    source = context.source
    counts: collections.Counter[str] = collections.Counter()
    first: dict[str, ast.AST] = {}
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute | ast.Name):
            continue
        # The longest name alone.
        if isinstance(source.parents[node], ast.Attribute):
            continue
        path = source.path_of(node) or ""
        if not _ONLY_TF1.match(path) or ".keras." in path or ".FLAGS" in path:
            continue
        place = source.span(node)[0]
        if path.rpartition(".")[2] in DECAYS or place in covered:
            continue
        index = bisect.bisect_right(starts, place) - 1
        if index >= 0 and place < spans[index][1]:
            continue
        shown = "tf." + ".".join(path.split(".")[1:3])
        counts[shown] += 1
        first.setdefault(shown, node)
    if not counts:
        return None
    named = [f"{name} ({n})" for name, n in counts.most_common(_MOST)]
    if len(counts) > _MOST:
        named.append(f"{len(counts) - _MOST} more")
    return finding.make(
        source,
        min(first.values(), key=source.place),
        f"other TF1 code: {', '.join(named)}",
        "no advice: this package does not cover it",
    )
