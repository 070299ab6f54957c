"""The command `leaderboard`: the trials of a search, the best first."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "print the trials of a search, the best first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "folder", metavar="FOLDER", help="folder of a search, `directory/project_name`"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print comma-separated values"
    )


def run(options: argparse.Namespace) -> None:
    """Prints the table; of a `CoarseToFine` search the rounds are a column of it."""
    import pandas as pd

    from keras_tricks import _validation
    from keras_tricks.tuners.results import saved_search

    folder = _validation.check_text("folder", options.folder)
    rounds = saved_search.rounds_in(folder)
    tables = []
    for each in rounds or [Path(folder)]:
        found = saved_search.SavedSearch.read(each).leaderboard()
        if rounds:
            found.insert(0, "round", each.name)
        tables.append(found)
    table = pd.concat(tables, ignore_index=True)
    if options.csv:
        print(table.to_csv(index=False), end="")
    else:
        shown = table.astype(object).where(table.notna(), "")
        print(shown.to_string(index=False, float_format="{:.4g}".format))
