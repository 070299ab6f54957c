"""Reports on searches, as one HTML page."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from keras_tricks import _validation
from keras_tricks.analysis import searches
from keras_tricks.analysis.report import sections
from keras_tricks.analysis.report.page import Page
from keras_tricks.analysis.rounds import rounds
from keras_tricks.analysis.summary import summary_of
from keras_tricks.tuners.storage import files


def search_report(
    search: Any,
    path: str | os.PathLike[str] = "report.html",
    *,
    reload_seconds: float | None = None,
) -> Path:
    """Writes what searches taught as one HTML page that needs no network.

    The answer comes first: the best settings, and whether more trials would help. Then
    the tuning playbook's questions in its order, each with sentences that conclude, a
    figure, and the numbers behind it; the leaderboard, whose rows open a trial's curves
    and record; the next space as code; notes, versions and seeds. Of several searches
    the page begins with what each changed and gained. `summarize` has the same as
    objects and frames.

    The file is replaced whole or not at all. It needs plotly, whose script it holds,
    and a browser from 2023 or later.

    Args:
        search: A tuner, the folder of a search (`directory/project_name`; one of
            KerasTuner's own tuners will do), an Optuna study of one objective, a
            `CoarseToFine`, or a list of them, the first round first.
        path: Of the page.
        reload_seconds: After how many seconds the page shall load itself again, as
            while a search runs; None: never.

    Returns:
        The path.

    Raises:
        TypeError: If `search` is none of them.
        ValueError: If no trial has ended, several searches have different objectives,
            or something else than a file is at the path.
        FileNotFoundError: If there is no such folder, or none for the page.
        ImportError: If plotly is missing.
        OSError: If the page cannot be written.

    Example:

    >>> import tempfile
    >>> import optuna
    >>> from keras_tricks.analysis import search_report
    >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
    >>> study = optuna.create_study(study_name="parabola")
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=20)
    >>> search_report(study, tempfile.mkdtemp() + "/report.html").name
    'report.html'

    Reference:
        Godbole, Dahl, Gilmer, Shallue and Nado,
        [Deep Learning Tuning Playbook](
        https://github.com/google-research/tuning_playbook), 2023
    """
    if not isinstance(path, os.PathLike):
        path = _validation.check_text("path", path)
    target = _checked_target(path)
    if reload_seconds is not None:
        reload_seconds = _validation.check_float(
            "reload_seconds", reload_seconds, exclusive=True
        )
    several = searches.searches_of(search)
    found = [summary_of(each) for each in several]
    page = Page()
    if len(found) == 1:
        sections.add_search(page, found[0], 2)
    else:
        sections.add_rounds(page, rounds(several))
        for summary in found:
            page.section(f"Search {summary.search.name}", 2)
            sections.add_search(page, summary, 3)
    trials = sum(len(each.records) for each in several)
    subtitle = f"{trials} trials" + (
        f" of {len(several)} searches" if len(several) > 1 else ""
    )
    title = ", ".join(dict.fromkeys(each.name for each in several))
    text = page.html(title, subtitle, reload_seconds)
    try:
        files.write_text(target, text)
    except OSError as error:
        cause = error.__cause__ or error
        raise OSError(
            getattr(cause, "errno", None) or errno.EIO,
            f"The page {target} could not be written: {cause}",
        ) from error
    return Path(path)


def _checked_target(path: str | os.PathLike[str]) -> Path:
    """Returns the file that a path leads to, which need not be there.

    Raises:
        ValueError: If something else than a file is there.
        FileNotFoundError: If its folder is not.
    """
    # A link is followed: it is not to be replaced by a page.
    target = Path(os.path.realpath(os.path.expanduser(path)))
    if target.exists() and not target.is_file():
        raise ValueError(
            "`path` must be that of a file. "
            f"{_validation.received('path', str(path))}, which is none"
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            "`path` must be in a folder that is there. "
            f"{_validation.received('path', str(path))}"
        )
    return target
