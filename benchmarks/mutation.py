"""How many small faults, put into the code one at a time, the tests see.

Each mutant is one change by cosmic-ray: a number plus or minus one, another operator of
the same kind, a condition negated, a loop that runs not once, a decorator or an
`except` that is gone. It is killed if a test fails, or if they take three times as
long, and half a minute, of processor time. Drawn are places in the code, then one
mutant of each, since an operator has up to six. Not counted are those of annotations,
of what is for type checkers only, of `strict=` (of a `zip` of equal lengths), and of
the arguments of a `raise` or a warning, which are texts; and those that
`equivalent_mutants.txt` names, with the reason why they behave alike.

    python benchmarks/mutation.py [--only schedules] [--sample 60] [--seed 0]
        [--jobs 2] [--seconds 60] [--map FOLDER] [--again FILE]
    pip install 'cosmic-ray>=8.7.0' 'coverage>=7.10.6'

A mutant meets the ordinary tests of its folder and the folder's doctests, in this
order: those that are new, those that have executed its statement, quickest first, and
others that have executed its module or start processes, until `--seconds` are over.
Which these are is known from one run under coverage, which must pass, kept in the
folder of `--map` until the code changes. What no test executes survives, unless those
others see it. Each process works in a copy of the repository, so that the tests' child
processes see the mutant, too; it is forked from one that has imported TensorFlow, and
has done nothing with it. With `--again` only those mutants of the sample are run that
an earlier run has printed to FILE, its survivors.
"""

import argparse
import ast
import difflib
import gc
import hashlib
import importlib
import importlib.util
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.operators.provider
import pytest
import rich.console
import rich.table

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("schedules", "optimizers", "diagnosis", "data")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
OPTIONS = (
    *("-o", "addopts=", "--import-mode=importlib", "--doctest-modules"),
    *("-p", "no:xdist", "-p", "no:cacheprovider", "-q", "-x"),
    *("-m", "not exhaustive and not slow"),
)
IMPORTS = ("tensorflow", "keras", "scipy.stats", "scipy.optimize", "pandas")
IMPORTS += ("sklearn.model_selection", "hypothesis", "matplotlib.pyplot", "rich")
KINDS = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"RShift", "LShift", "BitOr", "BitAnd", "BitXor"},
    {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"},
    {"Is", "IsNot"},
)
PASSED, NOTHING_RUN, WRONG_COPY = 0, 5, 99


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=FOLDERS, default=FOLDERS)
    parser.add_argument("--sample", type=int, default=60, help="of each folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a mutant")
    parser.add_argument("--map", type=Path, default=Path("runs/mutation"))
    parser.add_argument("--again", type=Path, metavar="FILE", help="what was printed")
    arguments = parser.parse_args()
    for name in IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # No process that is forked looks through it again.
    arguments.map.mkdir(parents=True, exist_ok=True)
    table = rich.table.Table("folder", "mutants", "equivalent", "killed", "95 %")
    with tempfile.TemporaryDirectory() as directory:
        copies = [copied(Path(directory) / str(job)) for job in range(arguments.jobs)]
        for folder in arguments.only:
            seen = tests_by_line(folder, arguments.map.resolve(), copies[0])
            mutants = sample(folder, arguments.sample, arguments.seed)
            if arguments.again:
                known = arguments.again.read_text(encoding="utf-8")
                mutants = [one for one in mutants if one.diff in known]
            alike = [one for one in mutants if one.key in equivalent()]
            counted = [one for one in mutants if one not in alike]
            alive = run(counted, seen, copies, arguments.seconds)
            killed = len(counted) - len(alive)
            table.add_row(
                folder,
                str(len(counted)),
                str(len(alike)),
                f"{killed / len(counted):.1%}",
                interval(killed, len(counted)),
            )
    rich.console.Console().print(table)


class Mutant:
    """One changed line, or several, of a file of the package."""

    def __init__(self, path, operator, line, source, code):
        self.path = path
        self.operator = operator
        self.line = line
        self.source = source
        self.code = code
        changed = difflib.ndiff(source.splitlines(), code.splitlines())
        lines = [one for one in changed if one.startswith(("- ", "+ "))]
        self.diff = "  ".join(f"{one[0]} {one[2:].strip()}" for one in lines)
        self.is_executed = True

    @property
    def key(self):
        """What `equivalent_mutants.txt` calls it: lines move, their text stays."""
        return f"{self.path.relative_to('keras_tricks')}: {self.diff}"

    def __str__(self):
        note = "" if self.is_executed else "  (not executed)"
        return f"{self.path}:{self.line} {self.operator}{note}\n    {self.diff}"


def equivalent():
    """Returns the mutants that behave alike: lines of their keys, each above why."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", " "))}


def sample(folder, number, seed):
    """Returns mutants of as many places, drawn by a hash: other edits move none."""
    places = []
    for path in sorted((ROOT / "keras_tricks" / folder).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for start, found in positions(source).items():
            name = f"{seed} {path.name} {lines[start[0] - 1].strip()} {start[1]}"
            rank = hashlib.sha256(name.encode()).hexdigest()
            places.append((rank, path, source, start, found))
    chosen = []
    for rank, path, source, start, found in sorted(places, key=lambda one: one[:2]):
        operator, occurrence = found[int(rank, 16) % len(found)]
        code = cosmic_ray.mutating.mutate_code(source, operator(), occurrence)
        if is_code(code):
            relative = path.relative_to(ROOT)
            name = operator.__name__
            chosen.append(Mutant(relative, name, start[0], source, code))
        if len(chosen) == number:
            break
    return chosen


def positions(source):
    """Returns, of each place that may change, the operators and their occurrences."""
    hidden = uncounted(ast.parse(source))
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(source)))
    provider = cosmic_ray.operators.provider.OperatorProvider()
    places = {}
    for operator in map(provider.__getitem__, provider):
        if operator.arguments():
            continue  # Asks which variables are to be replaced.
        before, _, after = operator.__name__.partition("Operator_")[2].partition("_")
        if "Binary" in operator.__name__ or "Comparison" in operator.__name__:
            if not any({before, after} <= kind for kind in KINDS):
                continue
        occurrence = 0
        for node in nodes:
            for start, _ in operator().mutation_positions(node):
                if not any(first <= start < last for first, last in hidden):
                    places.setdefault(start, []).append((operator, occurrence))
                occurrence += 1
    return places


def uncounted(tree):
    """Returns where code begins and ends whose change changes nothing, or texts."""
    hidden = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.AnnAssign)):
            hidden.append(node.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            hidden += [node.returns, *map(overload, node.decorator_list)]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            hidden.append(node)
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            hidden.append(node.value)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            hidden += node.exc.args
        elif isinstance(node, ast.Call) and "warn" in ast.unparse(node.func):
            hidden.append(node)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in hidden
        if node is not None
    ]


def overload(decorator):
    return decorator if "overload" in ast.unparse(decorator) else None


def is_code(code):
    if code is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "mutant", "exec")
        except SyntaxError:
            return False
    return True


def copied(folder):
    unneeded = shutil.ignore_patterns(".git", "__pycache__", "runs", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=unneeded)
    return folder


def tests_by_line(folder, cache, copy):
    """Returns the tests of a folder, their seconds, and which execute what."""
    sources = sorted((ROOT / "keras_tricks" / folder).rglob("*.py"))
    digest = hashlib.sha256(b"".join(map(Path.read_bytes, sources))).hexdigest()
    file = cache / f"{folder}.json"
    if not file.exists() or json.loads(file.read_text())["digest"] != digest:
        pid = forked(copy, record, folder, file, digest)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != PASSED:
            sys.exit(f"The tests of {folder} fail:\n{(copy / 'log').read_text()}")
    return json.loads(file.read_text())


def forked(copy, function, *arguments):
    """Starts a process that works in a copy and ends with the function's status."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path[:0] = [str(copy)]
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        status = function(*arguments)
        module = sys.modules.get("keras_tricks")
        if module and not module.__file__.startswith(str(copy)):
            status = WRONG_COPY
    finally:
        sys.stdout.flush()
        os._exit(status)


def record(folder, file, digest):
    """Runs the tests of a folder under coverage, and writes what each executes."""
    import coverage

    package = Path("keras_tricks", folder).resolve()
    measured = coverage.Coverage(data_file=None, include=[f"{package}/*"])
    plugin = Recorder(measured)
    measured.start()
    status = pytest.main([*OPTIONS, f"tests/{folder}", str(package)], [plugin])
    measured.stop()
    data = measured.get_data()
    numbers = {name: number for number, name in enumerate(plugin.tests)}
    lines = {}
    for path in data.measured_files():
        lines[str(Path(path).relative_to(Path.cwd()))] = {
            line: [numbers[name] for name in names if name]
            for line, names in data.contexts_by_lineno(path).items()
        }
    found = {"digest": digest, "tests": plugin.tests, "lines": lines}
    if status == PASSED:
        file.write_text(json.dumps({**found, "starters": plugin.starters}))
    return status


class Recorder:
    """Says which test is executed, takes its time, and sees which start processes."""

    def __init__(self, measured):
        self.measured = measured
        self.tests = {}
        self.starters = []
        sys.addaudithook(self.starts)

    def starts(self, event, _):
        if event == "subprocess.Popen" and self.tests:
            self.starters.append([*self.tests][-1])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.tests[item.nodeid] = 0.0
        if "run_shared" in getattr(item, "fixturenames", ()):
            self.starters.append(item.nodeid)  # Of a process that is there already.
        self.measured.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report):
        self.tests[report.nodeid] += report.duration


def run(mutants, seen, copies, most_seconds):
    """Runs the tests of each mutant. Prints and returns those that survive."""
    waiting, free, running, alive = list(mutants), list(copies), {}, []
    while waiting or running:
        while waiting and free:
            mutant, copy = waiting.pop(0), free.pop()
            tests = chosen_tests(mutant, seen, most_seconds)
            put(copy, mutant.path, mutant.code)
            seconds = 30.0 + 3.0 * sum(seen["tests"][name] for name in tests)
            pid = forked(copy, tested, tests, seen["tests"], seconds)
            # Where it waits for ever it takes no processor time.
            running[pid] = mutant, copy, time.monotonic() + 10.0 * seconds
        time.sleep(0.02)
        for pid, (mutant, copy, deadline) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() < deadline:
                continue
            end(pid, ended)
            del running[pid]
            put(copy, mutant.path, mutant.source)
            free.append(copy)
            code = os.waitstatus_to_exitcode(status) if ended else None
            if code == WRONG_COPY:
                sys.exit("The tests import another copy of the package.")
            if code in (PASSED, NOTHING_RUN):
                alive.append(mutant)
                print(mutant, flush=True)
            done = len(mutants) - len(waiting) - len(running)
            print(f"{done} of {len(mutants)}", end="\r", file=sys.stderr, flush=True)
    return alive


def end(pid, ended):
    """Ends what the tests have started, and a process that takes too long."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if not ended:
        os.waitpid(pid, 0)


def put(copy, path, code):
    """Writes a module; a compiled one of the same second and size is not used."""
    (copy / path).write_text(code, encoding="utf-8")
    Path(importlib.util.cache_from_source(copy / path)).unlink(missing_ok=True)


def chosen_tests(mutant, seen, most_seconds):
    """Returns the tests that a mutant meets, in order."""
    names, lines = list(seen["tests"]), seen["lines"].get(str(mutant.path), {})
    first, last = statement(mutant)
    inside = {n for line in range(first, last + 1) for n in lines.get(str(line), ())}
    mutant.is_executed = bool(inside)
    others = {n for numbers in lines.values() for n in numbers}
    others |= {names.index(name) for name in seen["starters"]}
    seconds = list(seen["tests"].values()).__getitem__
    chosen, spent = [], 0.0
    for number in sorted(inside, key=seconds) + sorted(others - inside, key=seconds):
        spent += seconds(number)
        if chosen and spent > most_seconds:
            break
        chosen.append(names[number])
    return chosen


def statement(mutant):
    """Returns the first and last line of what must have been executed.

    That is the smallest statement: of an `if` or `for` its head, of a function all,
    since its head is executed by no test, and so of all outside of functions.
    """
    tree = ast.parse(mutant.source)
    found = None
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(one.lineno for one in decorators)])
            if first <= mutant.line <= node.end_lineno:
                found = first, node  # A node comes before those that it holds.
    first, node = found
    if hasattr(node, "body") and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return first, node.body[0].lineno - 1
    return first, node.end_lineno


def tested(tests, known, seconds):
    """Runs tests in their order, and before them those that are new in their files.

    The limit is one of processor time, which does not depend on what else is running.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    spent = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(spent + seconds), most))
    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    if not files:
        return NOTHING_RUN
    return pytest.main([*OPTIONS, *files], [Order(tests, known)])


class Order:
    """Takes of what is collected some, in a given order."""

    def __init__(self, tests, known):
        self.ranks = {name: rank for rank, name in enumerate(tests)}
        self.known = known

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = sorted(
            (
                item
                for item in items
                if item.nodeid in self.ranks or item.nodeid not in self.known
            ),
            key=lambda item: self.ranks.get(item.nodeid, -1),
        )


def interval(killed, number):
    """Returns Wilson's interval of a share."""
    from scipy import stats

    found = stats.binomtest(killed, number).proportion_ci(method="wilson")
    return f"{found.low:.0%} to {found.high:.0%}"


if __name__ == "__main__":
    main()
