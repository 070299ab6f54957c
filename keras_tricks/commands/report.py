"""The command `report`: what searches taught, as one HTML page."""

from __future__ import annotations

import argparse

SUMMARY = "write what searches taught as one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="folder of a search, `directory/project_name`; several are rounds",
    )
    parser.add_argument(
        "-o", "--output", default="report.html", help="the page (report.html)"
    )
    parser.add_argument(
        "--reload",
        type=float,
        metavar="SECONDS",
        help="how often the page loads itself again, while the search runs",
    )


def run(options: argparse.Namespace) -> None:
    """Writes the page, and prints its path."""
    from keras_tricks.analysis.report.search_report import search_report

    folders = options.folders
    search = folders[0] if len(folders) == 1 else folders
    print(search_report(search, options.output, reload_seconds=options.reload))
