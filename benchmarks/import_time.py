"""What `import keras_tricks` adds to `import keras`.

Fresh child processes import one or both, in turn, so that a slow moment of the machine
falls on both alike. Keras takes seconds, and from one start to the next it differs by
more than we add; the last line therefore times our import alone, in the processes
that imported Keras before it.

    python benchmarks/import_time.py [--pairs N]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

LIMIT_MS = 50.0
OPTIONAL = ("keras_tuner", "matplotlib", "optuna", "sklearn")

# Keras imports some optional packages itself where they are installed. They are kept
# from it, and whoever asks for one after Keras is reported.
CHILD = f"""
import sys, time
both = sys.argv[1] == "both"
asked = []
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            asked.append(name)
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refusal())
start = time.perf_counter()
import keras
middle = time.perf_counter()
asked.clear()
if both:
    import keras_tricks
end = time.perf_counter()
print("TIMES", end - start, end - middle, *asked)
"""


def import_in_child(what: str, bytecode: str) -> tuple[float, float]:
    """Seconds of all imports and of our own; `what` is "keras" or "both".

    Modules are kept compiled in the folder `bytecode`, also where the machine forbids
    bytecode beside the sources: users import what pip has compiled.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    finished = subprocess.run(
        [sys.executable, "-c", CHILD, what],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(finished.stderr)
    whole, ours, *asked = finished.stdout.rpartition("TIMES")[2].split()
    if asked:
        raise SystemExit(f"import keras_tricks asks for optional packages: {asked}")
    return float(whole), float(ours)


def main() -> None:
    """Prints the table; fails above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="pairs of processes")
    pairs = parser.parse_args().pairs
    if pairs < 1:
        parser.error(f"--pairs must be at least 1. Received: {pairs}")

    keras_seconds, both_seconds, our_seconds = [], [], []
    with tempfile.TemporaryDirectory() as bytecode:
        import_in_child("both", bytecode)  # Compiles the modules.
        for pair in range(pairs):
            # Either one goes first in every other pair.
            for what in ("keras", "both") if pair % 2 else ("both", "keras"):
                whole, ours = import_in_child(what, bytecode)
                if what == "keras":
                    keras_seconds.append(whole)
                else:
                    both_seconds.append(whole)
                    our_seconds.append(ours)

    median = statistics.median
    differences = [b - k for b, k in zip(both_seconds, keras_seconds, strict=True)]
    ratios = [b / k for b, k in zip(both_seconds, keras_seconds, strict=True)]
    ours_ms = 1000 * median(our_seconds)
    print(f"Medians of {pairs} pairs of fresh processes, in turn")
    for label, value, unit in (
        ("import keras", f"{median(keras_seconds):.3f}", "s"),
        ("import keras; import keras_tricks", f"{median(both_seconds):.3f}", "s"),
        ("ratio within a pair", f"{median(ratios):.3f}", ""),
        ("difference within a pair", f"{1000 * median(differences):.1f}", "ms"),
        ("import keras_tricks alone, after keras", f"{ours_ms:.1f}", "ms"),
    ):
        print(f"  {label:<40}{value:>10} {unit}".rstrip())
    print(f"No optional package asked for: {', '.join(OPTIONAL)}")
    verdict = "within" if ours_ms <= LIMIT_MS else "ABOVE"
    print(f"{verdict} the limit of {LIMIT_MS:.0f} ms")
    if ours_ms > LIMIT_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
