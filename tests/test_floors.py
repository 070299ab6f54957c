"""The floors of the package: imports lead down, and in no circle.

All imports count, also those inside of functions and for type checkers alone.
"""

import ast
import collections
import graphlib
from pathlib import Path

import keras_tricks

ROOT = Path(keras_tricks.__file__).parent
# From the bottom up. Units of one line do not import each other.
FLOORS = [
    ("_child_process",),
    (
        "_validation",
        "_deprecation",
        "_fit_call",
        "_runtime_scalars",
        "_watched_values",
        "_keras_state",
        "_engine_call",
    ),
    ("_plotting",),
    ("schedules", "losses", "data", "diagnosis"),
    ("optimizers",),
    ("parameters",),
    ("callbacks", "hypermodels", "tf1"),
    ("training.compiled",),
    ("training.families",),
    ("training.packs",),
    ("training.train",),
    ("probes",),
    ("tuners.keras_tuner_errors",),
    (
        "tuners.errors",
        "tuners._typing",
        "tuners._processes",
        "tuners.seeds",
        "tuners.deadline",
    ),
    ("tuners.storage", "tuners.search_space"),
    ("tuners.compat",),
    ("tuners.results",),
    ("tuners.oracles",),
    ("tuners.optuna", "tuners.trials"),
    ("tuners.packing", "tuners.workers"),
    ("tuners.project",),
    ("tuners.tuner",),
    (
        "tuners.random_search",
        "tuners.bayesian_optimization",
        "tuners.grid_search",
        "tuners.hyperband",
        "tuners.quasi_random_search",
        "tuners.optuna_search",
    ),
    ("tuners.coarse_to_fine",),
    ("analysis",),
    ("commands",),
]
MAX_MODULES = 16


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


# What a package exports is on no floor of its own.
MODULES = {
    module_name(path): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
}
PACKAGES = {module_name(path.parent) for path in ROOT.glob("*/**/__init__.py")}
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}


def unit_of(module):
    """Returns the unit of `FLOORS` in which a module, or a package, is."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        if ".".join(parts[:length]) in FLOOR_OF:
            return ".".join(parts[:length])
    raise AssertionError(f"{module} is on no floor: give it a place in FLOORS")


def imported_by(path):
    """Yields the modules and packages of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"a relative import in {path}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            package, _, inner = name.partition(".")
            while package == "keras_tricks" and inner:
                if inner in MODULES or inner in PACKAGES:
                    yield inner
                    break
                inner = inner.rpartition(".")[0]


def test_imports_lead_down():
    upward = []
    for module, path in MODULES.items():
        here = unit_of(module)
        for imported in imported_by(path):
            there = unit_of(imported)
            if there != here and FLOOR_OF[there] >= FLOOR_OF[here]:
                upward.append(f"{module} imports {imported}")
    assert not upward


def test_imports_go_in_no_circle():
    graph = collections.defaultdict(set)
    for module, path in MODULES.items():
        graph[module].update(m for m in imported_by(path) if m in MODULES)
    graphlib.TopologicalSorter(graph).prepare()


def test_a_folder_can_be_surveyed():
    count = collections.Counter(name.rpartition(".")[0] for name in MODULES)
    assert max(count.values()) <= MAX_MODULES, count


def test_each_floor_is_there():
    assert FLOOR_OF.keys() <= MODULES.keys() | PACKAGES
