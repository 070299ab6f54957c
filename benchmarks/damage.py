"""Damaged projects: how many are resumed rightly, named, refused, or neither.

    python benchmarks/damage.py [--cases N] [--seconds N] [--seed S]
                                [--kinds KIND ...] [--only SEED]

Each case damages one file of a finished search of one tuner (bytes, JSON values, keys,
copies, links, empty files, encodings, folders in the place of files), and resumes it.
The table counts the outcomes; `tests/tuners/damage.py` says what they mean. What is
obscure, wrong or hangs is printed with the seed that makes it again.
"""

import argparse
import faulthandler
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rich.console
import rich.table

from tests.tuners import damage


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--kinds", nargs="+", default=list(damage.KINDS))
    parser.add_argument("--only", type=int, help="runs the case of one seed")
    arguments = parser.parse_args()
    faulthandler.enable()
    if arguments.cases is arguments.seconds is None:
        arguments.cases = 1000
    if arguments.only is not None:
        arguments.seed, arguments.cases, arguments.seconds = arguments.only, 1, None

    def show(case):
        if case.outcome in damage.BAD or arguments.only is not None:
            print(case, flush=True)

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        damages = damage.Damages(directory, arguments.kinds)
        gc.freeze()  # Of TensorFlow: looking through it costs a tenth of a second.
        cases = damage.run(
            damages,
            cases=arguments.cases,
            seconds=arguments.seconds,
            first_seed=arguments.seed,
            on_case=show,
        )
    table = rich.table.Table("tuner", *damage.OUTCOMES)
    for kind, found in sorted(damage.counts(cases).items()):
        table.add_row(kind, *(str(found[outcome]) for outcome in damage.OUTCOMES))
    rich.console.Console().print(table)
    seconds = time.monotonic() - begun
    print(f"{len(cases)} cases from seed {arguments.seed}, {seconds:.0f} s")
    return any(case.outcome in damage.BAD for case in cases)


if __name__ == "__main__":
    sys.exit(main())
