"""Summaries of a search: each question of the tuning playbook, with its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from typing import TypeVar

import pandas as pd

from keras_tricks.analysis import next_space
from keras_tricks.analysis import searches
from keras_tricks.analysis.boundaries import Boundaries
from keras_tricks.analysis.boundaries import boundaries
from keras_tricks.analysis.compare import Comparison
from keras_tricks.analysis.compare import compare
from keras_tricks.analysis.finished import FinishedTrials
from keras_tricks.analysis.finished import TooFewTrialsError
from keras_tricks.analysis.finished import trials_of
from keras_tricks.analysis.importances import Importances
from keras_tricks.analysis.importances import importances
from keras_tricks.analysis.saturation import Saturation
from keras_tricks.analysis.saturation import saturation
from keras_tricks.analysis.searches import Search
from keras_tricks.analysis.texts import duration
from keras_tricks.analysis.texts import indented
from keras_tricks.analysis.texts import listed
from keras_tricks.analysis.texts import shown
from keras_tricks.diagnosis import Diagnosis
from keras_tricks.diagnosis import diagnose
from keras_tricks.tuners.results import confirmation
from keras_tricks.tuners.results.records import TrialRecord

# The questions, in the playbook's order, the answer first.
BEST = "What are the best settings?"
BOUNDARIES = "Does the space hold the best settings?"
SATURATION = "Would more trials help?"
CURVES = "What do the learning curves of the best say?"
IMPORTANCES = "Which hyperparameters matter?"
COMPARISONS = "Which values are better, beyond chance?"
INFEASIBLE = "Where do trials fail?"
COST = "What did it cost?"
NEXT = "What to search next?"

_DIAGNOSED = 5
# Numbers are compared in bins; so many hyperparameters at most, the first that matter.
_COMPARED = 8

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `summarize` found. `print` shows it.

    Attributes:
        search: Its trials and its space.
        leaderboard: The table of its trials, best first.
        best: The record of the best trial; None where no trial has a score.
        boundaries: See `boundaries`; None where too few trials tell.
        saturation: See `saturation`.
        importances: See `importances`, by the ranks of the scores.
        comparisons: See `compare`, by the hyperparameter's name.
        diagnoses: See `diagnose`, of the best trials that have curves, by trial ID.
        next_space: The space to search next, with its code.
        conclusions: From each question to the sentences that answer it.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.analysis import summarize
    >>> from keras_tricks.tuners import RandomSearch
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return (hp.get("x") - 0.5) ** 2
    >>> tuner = RandomSearch(
    ...     Parabola(), max_trials=20, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> summary = summarize(tuner)
    >>> round(summary.best.settings["x"], 1)
    0.5
    >>> summary.conclusions["What do the learning curves of the best say?"]
    'Cannot be told: no trial has learning curves.'
    """

    search: Search
    leaderboard: pd.DataFrame
    best: TrialRecord | None
    boundaries: Boundaries | None
    saturation: Saturation | None
    importances: Importances | None
    comparisons: dict[str, Comparison]
    diagnoses: dict[str, Diagnosis]
    next_space: next_space.NextSpace
    conclusions: dict[str, str]

    def __str__(self) -> str:
        return "\n".join(
            f"{question}\n{indented(answer)}"
            for question, answer in self.conclusions.items()
        )


def summarize(search: Any) -> Summary:
    """Answers the tuning playbook's questions on a search.

    Which settings are the best, and would more trials help; does the space hold the
    best point; what do the learning curves of the best say; which hyperparameters
    matter, and which values are better beyond chance; where do trials fail; what did it
    cost; what to search next. What the trials cannot tell is said to be so.

    Args:
        search: A tuner, the folder of a search (`directory/project_name`; one of
            KerasTuner's own tuners will do), or an Optuna study of one objective.

    Returns:
        A `Summary`.

    Raises:
        TypeError: If it is none of them.
        ValueError: If no trial has ended.
        FileNotFoundError: If there is no such folder.

    Example:

    >>> import optuna
    >>> from keras_tricks.analysis import summarize
    >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
    >>> study = optuna.create_study()
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=5)
    >>> summarize(study).conclusions["Would more trials help?"]
    'Cannot be told: that takes 16 trials with a score. There are 5.'

    Reference:
        Godbole, Dahl, Gilmer, Shallue and Nado,
        [Deep Learning Tuning Playbook](
        https://github.com/google-research/tuning_playbook), 2023
    """
    return summary_of(searches.search_of(search))


def summary_of(search: Search) -> Summary:
    """Returns the summary of a search."""
    if not search.records:
        raise ValueError(
            "`search` must have a trial that has ended. Received: a search without"
        )
    trials = trials_of(search)
    leaderboard = search.leaderboard()
    ranked = search.ranked
    reasons: dict[str, str] = {}
    edges = _answer(reasons, BOUNDARIES, lambda: boundaries(trials))
    enough = _answer(reasons, SATURATION, lambda: saturation(trials))
    matter = _answer(reasons, IMPORTANCES, lambda: importances(trials, scores="ranks"))
    comparisons = _comparisons(search, trials, matter)
    diagnoses = _diagnoses(ranked)
    following = next_space.next_space(search, edges, matter, comparisons)
    conclusions = {
        BEST: _best(search, ranked),
        SATURATION: _sentence(enough, reasons, SATURATION),
        BOUNDARIES: _sentence(edges, reasons, BOUNDARIES),
        CURVES: _curves(diagnoses),
        IMPORTANCES: reasons.get(IMPORTANCES) or _importances(matter),
        COMPARISONS: _compared(comparisons),
        INFEASIBLE: _infeasible(search, edges),
        COST: _cost(search),
        NEXT: _next(following),
    }
    return Summary(
        search,
        leaderboard,
        ranked[0] if ranked else None,
        edges,
        enough,
        matter,
        comparisons,
        diagnoses,
        following,
        conclusions,
    )


def _answer(
    reasons: dict[str, str], question: str, asked: Callable[[], Answer]
) -> Answer | None:
    """Returns an answer, or notes why there is none."""
    try:
        return asked()
    except TooFewTrialsError as error:
        there = "There is 1" if error.found == 1 else f"There are {error.found}"
        reasons[question] = (
            f"Cannot be told: that takes {error.needed} trials with a score. {there}."
        )
    except ValueError as error:
        text = str(error).replace("`search` must have", "that takes")
        reasons[question] = f"Cannot be told: {text}."
    return None


def _comparisons(
    search: Search, trials: FinishedTrials, matter: Importances | None
) -> dict[str, Comparison]:
    """Returns comparisons of the scientific hyperparameters, or of all choices first.

    Others follow in the order in which they matter.
    """
    names = list(search.roles.get("scientific", ()))
    if not names:
        names = [hp.name for hp in search.space if hp.min_value is None]
        if matter is not None:
            table = matter.table
            names += table.loc[table["matters"], "hyperparameter"].tolist()
    found: dict[str, Comparison] = {}
    for name in dict.fromkeys(names):
        if len(found) == _COMPARED:
            break
        try:
            found[name] = compare(trials, name)
        except ValueError:  # It has one value, or no trial has it.
            continue
    return found


def _diagnoses(ranked: list[TrialRecord]) -> dict[str, Diagnosis]:
    found: dict[str, Diagnosis] = {}
    for record in ranked:
        if len(found) == _DIAGNOSED:
            break
        try:
            found[record.trial_id] = diagnose(record)
        except (TypeError, ValueError):  # It has no curves, or none of a loss.
            continue
    return found


def _sentence(answer: Any, reasons: dict[str, str], question: str) -> str:
    return str(answer) if answer is not None else reasons[question]


def _best(search: Search, ranked: list[TrialRecord]) -> str:
    name = search.objective.name
    if not ranked:
        return f"None of the {len(search.records)} trials has a score."
    best = ranked[0]
    settings = ", ".join(f"{n} = {shown(v)}" for n, v in best.settings.items())
    score = f"{name} {shown(best.known_score)}"
    if best.score_deviation is not None:
        score += (
            f" +- {shown(best.score_deviation)} over {len(best.executions)} trainings"
        )
    elif best.trial_id not in search.reruns:
        score += "; it was trained once, so that its spread is not known"
    return " ".join(
        [
            f"Trial {best.trial_id}: {settings or 'no hyperparameters'}. {score}.",
            *_confirmed(search, ranked),
        ]
    )


def _confirmed(search: Search, ranked: list[TrialRecord]) -> list[str]:
    """Returns what is known of the best trial's lead."""
    best, said = ranked[0], []
    again = search.reruns.get(best.trial_id)
    if again is not None:
        said.append(
            f"Trained again {len(again.scores)} times, under other seeds: "
            f"{shown(again.mean)} +- {shown(again.deviation)}."
        )
    if len(ranked) < 2:
        return said
    gap = abs(best.known_score - ranked[1].known_score)
    second = search.reruns.get(ranked[1].trial_id)
    if again is not None and second is not None:
        direction = search.objective.direction
        if confirmation.is_better(again, second.scores, direction):
            said.append("It beats the second beyond the spread.")
        else:
            said.append("It does not beat the second beyond the spread.")
    elif best.score_deviation is not None and gap < 2 * best.score_deviation:
        said.append(f"The second is {shown(gap)} behind, which is within the spread.")
    else:
        confirm = "training both again under other seeds"
        if search.kind != searches.OPTUNA:
            confirm = "`tuner.confirm()`"
        said.append(
            f"The second is {shown(gap)} behind; {confirm} tells whether that is more "
            "than luck."
        )
    return said


def _curves(diagnoses: dict[str, Diagnosis]) -> str:
    if not diagnoses:
        return "Cannot be told: no trial has learning curves."
    return "\n".join(
        f"Trial {trial_id}: {', '.join(verdict.name for verdict in found.verdicts)}."
        for trial_id, found in diagnoses.items()
    )


def _importances(matter: Importances | None) -> str:
    assert matter is not None
    if matter.reason is not None:
        return matter.reason
    table, pairs = matter.table, matter.interactions
    names = table.loc[table["matters"], "hyperparameter"].tolist()
    idle = table.loc[~table["matters"], "hyperparameter"].tolist()
    text = f"By the order of the scores {listed(names) or 'none alone'} matter"
    text += "s." if len(names) == 1 or not names else "."
    together = pairs[pairs["matters"]]
    if len(together):
        text += " Together: " + ", ".join(
            f"{row.one} with {row.other}" for row in together.itertuples(index=False)
        )
        text += "."
    if idle:
        text += f" No more than chance: {listed(idle)}."
    return text


def _compared(comparisons: dict[str, Comparison]) -> str:
    if not comparisons:
        return "There is no choice whose values can be compared."
    return "\n".join(
        f"{name}: {shown(found.best)} "
        + ("is better than chance explains." if found.is_clear else "may lead by luck.")
        for name, found in comparisons.items()
    )


def _infeasible(search: Search, edges: Boundaries | None) -> str:
    ended = len(search.records)
    pruned = [r for r in search.records if r.stopped_by == searches.PRUNED]
    without = [
        r for r in search.records if r.status == "INFEASIBLE" and r not in pruned
    ]
    failed = [r for r in search.records if r.status == "FAILED"]
    if not without and not failed and not pruned:
        return (
            "The only trial has a score."
            if ended == 1
            else (f"All {ended} trials have a score.")
        )
    parts = []
    if pruned:
        parts.append(f"{len(pruned)} of {ended} trials were pruned.")
    if without:
        parts.append(f"{len(without)} of {ended} trials have no finite score.")
    if failed:
        parts.append(f"{len(failed)} of {ended} ended with an error.")
    if edges is not None:
        parts += [
            f"Of the {row.trials} where {row.region}, {row.infeasible} have none."
            for row in edges.infeasible.itertuples(index=False)
        ]
        if without and not len(edges.infeasible):
            parts.append("They lie in no region of their own.")
    return " ".join(parts)


def _cost(search: Search) -> str:
    known = [r.seconds for r in search.records if r.seconds is not None]
    if not known:
        return "The seconds of the trials are not known."
    lost = sum(
        r.seconds or 0.0 for r in search.records if r.status != "COMPLETED"
    ) / max(sum(known), 1e-9)
    middle = sorted(known)[len(known) // 2]
    text = (
        f"{len(known)} trials took {duration(sum(known))} in all, "
        f"{duration(middle)} each (median)"
    )
    return text + (
        f"; {lost:.0%} of it went to trials without a score." if lost else "."
    )


def _next(following: next_space.NextSpace) -> str:
    if not following.reasons:
        return "The same space: nothing in it is known to be wrong."
    return "\n".join(f"{name}: {why}" for name, why in following.reasons.items())
