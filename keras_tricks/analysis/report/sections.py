"""The report's sections: each question with its answer, its figures and its numbers."""

from __future__ import annotations

from typing import Any

from keras_tricks.analysis import summary as summaries
from keras_tricks.analysis.report import figures
from keras_tricks.analysis.report import page
from keras_tricks.analysis.report.page import Page
from keras_tricks.analysis.rounds import Rounds
from keras_tricks.analysis.summary import Summary
from keras_tricks.diagnosis import Diagnosis
from keras_tricks.tuners.results.records import TrialRecord

# Curves and records of more trials would make the page too large.
_MOST_RECORDS = 300


def add_search(target: Page, summary: Summary, level: int) -> None:
    """Adds what a search taught, the answer first."""
    conclusions = summary.conclusions
    search = summary.search

    def add(question: str, *parts: str, is_first: bool = False) -> None:
        said = page.answer(conclusions[question], is_first=is_first)
        target.section(question, level, said, *parts)

    best = summary.best
    settings = page.listed(best.settings) if best is not None else ""
    add(summaries.BEST, page.folded("Its settings", settings), is_first=True)
    add(
        summaries.SATURATION,
        target.figure(figures.best_so_far(summary), "The score of each trial in turn"),
        page.numbers(_table(summary.saturation), "Best score by number of trials"),
    )
    add(
        summaries.BOUNDARIES,
        *_edges(target, summary),
    )
    add(
        summaries.CURVES,
        page.grid(
            [
                target.figure(
                    figures.curves(record, search.objective.name),
                    f"Trial {record.trial_id}: "
                    f"{summary.diagnoses[record.trial_id].verdict}",
                )
                for record in search.records
                if record.trial_id in summary.diagnoses
            ]
        ),
        _diagnoses(summary.diagnoses, level + 1),
    )
    add(summaries.IMPORTANCES, *_importances(target, summary))
    add(
        summaries.COMPARISONS,
        page.grid(
            [
                target.figure(
                    figures.isolation(found),
                    f"{name}, at the best of the others; bars are nine tenths of what "
                    "the best would be in other searches",
                )
                for name, found in summary.comparisons.items()
            ]
        ),
        *(
            page.numbers(found.table, f"Values of {name}")
            for name, found in summary.comparisons.items()
        ),
    )
    target.section("Where are the good settings?", level, *_slices(target, summary))
    regions = summary.boundaries.infeasible if summary.boundaries is not None else None
    add(summaries.INFEASIBLE, page.numbers(regions, "Regions in which trials fail"))
    add(
        summaries.COST,
        target.figure(figures.seconds(search), "Scores by what the trials took"),
    )
    add(summaries.NEXT, page.code(summary.next_space.code))
    target.section("Leaderboard", level, _leaderboard(target, summary))
    target.section("Notes", level, _notes(search.records, level + 1))
    target.section("How the search was made", level, _provenance(summary))


def add_rounds(target: Page, found: Rounds) -> None:
    """Adds what each of several searches changed and gained."""
    target.section(
        "What did each round change, and gain?",
        2,
        page.answer(str(found), is_first=True),
        target.figure(figures.of_rounds(found), "The best score of each search"),
        page.numbers(found.table, "Rounds"),
    )


def _table(found: Any) -> Any:
    return None if found is None else found.table


def _edges(target: Page, summary: Summary) -> tuple[str, ...]:
    found = summary.boundaries
    if found is None or not len(found.table):
        return ()
    return (
        target.figure(
            figures.edges(summary),
            "At each range's densest edge: the share of the best tenth of the trials, "
            "and of all",
        ),
        page.numbers(found.table, "Edges"),
    )


def _importances(target: Page, summary: Summary) -> tuple[str, ...]:
    found = summary.importances
    if found is None:
        return ()
    parts = [
        target.figure(
            figures.importance(found),
            "What each explains alone; gray: no more than chance; bars: nine tenths of "
            "resamples",
        )
    ]
    if len(found.interactions):
        caption = "What pairs explain beyond each alone"
        parts.append(target.figure(figures.interactions(found), caption))
    return (
        page.grid(parts),
        page.numbers(found.table, "Importances"),
        page.numbers(found.interactions, "Interactions"),
    )


def _slices(target: Page, summary: Summary) -> tuple[str, ...]:
    found = figures.slices(summary.search)
    places = [
        target.figure(figure, f"Score by {name}") for name, figure in found.items()
    ]
    parallel = target.figure(
        figures.parallel(summary.search),
        "A line for each trial, the best in the strongest color",
        is_wide=True,
    )
    if not places:
        return (page.answer("No hyperparameter varies among the trials."),)
    said = "Each point is a trial; a cross at the top is one without a finite score."
    return page.answer(said), page.grid(places), parallel


def _diagnoses(found: dict[str, Diagnosis], level: int) -> str:
    parts = []
    for trial_id, diagnosis in found.items():
        parts.append(_trial_heading(trial_id, level))
        parts += [
            page.listed(
                {
                    verdict.name: verdict.sentence,
                    "what to try": "\n".join(
                        f"{n}. {text}" for n, text in enumerate(verdict.remedies, 1)
                    ),
                }
            )
            for verdict in diagnosis.verdicts
        ]
    return page.folded("What was seen, and what to try", "".join(parts))


def _leaderboard(target: Page, summary: Summary) -> str:
    """Returns the table whose rows open a trial's curves and record."""
    frame = summary.leaderboard
    by_id = {record.trial_id: record for record in summary.search.records}
    head = "".join(
        f'<th scope="col"{page.kind_of(frame[name])}>'
        f'<button type="button">{page.escaped(name)}</button></th>'
        for name in frame.columns
    )
    shown = frame.head(_MOST_RECORDS)
    rows = []
    for row in shown.to_dict("records"):
        record = by_id[row["trial_id"]]
        trial_id = page.escaped(record.trial_id)
        cells = "".join(
            f'<td data-value="{trial_id}"><button type="button" class="open" '
            f'aria-expanded="false" aria-label="Trial {trial_id}, its curves and '
            f'record">{trial_id}</button></td>'
            if name == "trial_id"
            else page.cell(value)
            for name, value in row.items()
        )
        inner = _record(target, record, summary)
        rows.append(
            f'<tr class="trial">{cells}</tr><tr class="record" hidden>'
            f'<td colspan="{len(frame.columns)}">{inner}</td></tr>'
        )
    more = ""
    if len(shown) < len(frame):
        more = f"The best {len(shown)} of {len(frame)} trials. "
    caption = f"{more}A click on a column sorts by it; one on a trial opens its record."
    return (
        f'<div class="table" tabindex="0"><table class="leaderboard">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _record(target: Page, record: TrialRecord, summary: Summary) -> str:
    objective = summary.search.objective.name
    curves = target.figure(
        figures.curves(record, objective), f"Learning curves of trial {record.trial_id}"
    )
    entries = {
        "status": record.status,
        **{f"{name} (setting)": value for name, value in record.settings.items()},
        "stopped by": record.stopped_by,
        "source": record.source,
        "error": record.error,
        "earlier errors": "\n".join(record.earlier_errors),
        "seeds": ", ".join(str(each.seed) for each in record.executions),
        "scores of executions": ", ".join(
            f"{each.score:.6g}" for each in record.executions if each.score is not None
        ),
        **record.note,
    }
    return curves + page.listed(entries)


def _notes(records: list[TrialRecord], level: int) -> str:
    noted = [record for record in records if any(record.note.values())]
    if not noted:
        return page.answer("There are none. `tuner.note(trial_id, why=...)` keeps one.")
    return "".join(
        _trial_heading(record.trial_id, level) + page.listed(dict(record.note))
        for record in noted
    )


def _trial_heading(trial_id: str, level: int) -> str:
    return f"<h{level}>Trial {page.escaped(trial_id)}</h{level}>"


def _provenance(summary: Summary) -> str:
    search = summary.search
    versions: dict[str, str] = {}
    commits: dict[str, None] = {}
    for record in search.records:
        versions.update(record.versions)
        if record.git_commit:
            commits[record.git_commit] = None
    return page.listed(
        {
            "tuner": search.kind,
            "objective": f"{search.objective.name} ({search.objective.direction})",
            "seed": search.seed,
            "roles": search.roles or None,
            "commit": ", ".join(commits),
            **versions,
        }
    )
