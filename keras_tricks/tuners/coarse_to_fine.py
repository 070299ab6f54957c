"""A search in rounds, each over a better space than the one before."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.data import rows
from keras_tricks.tuners import seeds
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners.deadline import Deadline
from keras_tricks.tuners.oracles import base
from keras_tricks.tuners.random_search import RandomSearch
from keras_tricks.tuners.results import confirmation
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.live_report import LiveReport
from keras_tricks.tuners.search_space import narrowing
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import identity
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    import pandas as pd

    from keras_tricks.tuners._typing import InitialSettings

# Below so much rank agreement, cheap trials say too little about whole ones.
TRUSTED_AGREEMENT = 0.5


@dataclasses.dataclass
class Round:
    """A round of the search.

    Attributes:
        number: From 1.
        tuner: The tuner that ran it.
        is_cheap: Whether its trials saw less data or fewer epochs than the others.
        agreement: Kendall's tau between cheap and whole scores, -1 to 1, of the trials
            that were run both ways; None in a round that is not cheap.
        decisions: What becomes of each hyperparameter in the next round.
        remarks: What was found besides, as sentences.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import CoarseToFine
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("x") ** 2
    >>> search = CoarseToFine(
    ...     Parabola(), rounds=2, trials_per_round=8, seed=0,
    ...     directory=tempfile.mkdtemp())
    >>> search.search(verbose=0)
    >>> [each.number for each in search.rounds_run]
    [1, 2]
    """

    number: int
    tuner: Any
    is_cheap: bool = False
    agreement: float | None = None
    decisions: list[narrowing.Decision] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"Round {self.number}{' (cheap)' if self.is_cheap else ''}"]
        return "\n  ".join([*lines, *self.remarks, *map(str, self.decisions)])


class CoarseToFine:
    """Rounds of another tuner, from a wide space to the part of it that matters.

    After each round it decides on every hyperparameter, and says why. A range is
    narrowed to where the best quantile of the trials lies, with a margin; where the
    best trial lies at an edge it is expanded instead; a hyperparameter that explains
    nothing of the scores is fixed at its best value, if it is certain enough that it
    does not; a choice loses the values that no good trial has. The search stops when a
    round gained less than the spread between reruns of its best settings.

    The first round may be cheap: on a stratified part of the data (`subset`), or with
    other arguments of `fit` (`first_round`, fewer epochs for instance). A few of its
    trials, from the best to the worst, are then run whole, and the cheap scores are
    trusted only if both rank them alike.

    Each round is a project in a folder of its own, so that an interrupted search goes
    on where it was. What is asked of a single search is asked of a round's tuner:
    `search.rounds_run[-1].tuner` has `note`, `curves`, `confirm` and `pareto_front`, of
    that round's trials.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        tuner: The class that runs each round, one of this package's.
        rounds: Rounds at most, >= 1.
        trials_per_round: Trials of each round, >= 1.
        quantile: The share of all trials that counts as the best, above 0, at most 1.
        importance_threshold: A hyperparameter whose permutation importance, two
            standard deviations added, is below it is fixed; as a share of the explained
            variance.
        reruns: Trainings of the best settings that show the spread, >= 2.
        subset: Share of the data in the first round, above 0 and below 1. Needs arrays
            `x` and class labels `y` as the first two arguments of `search`.
        first_round: Arguments of `search` for the first round only, such as
            `{"epochs": 3}`.
        agreement_trials: Trials of a cheap round that are run whole, >= 3.
        limits: Name -> (least, largest) to which its range may be expanded. By default
            a linear range does not leave the positive numbers, nor one below 1 the
            shares.
        seed: See `RandomSearch`.
        hyperparameters: See `RandomSearch`.
        directory: See `keras_tuner.Tuner`.
        project_name: See `keras_tuner.Tuner`.
        overwrite: See `keras_tuner.Tuner`.
        **tuner_arguments: What else the tuner of each round is given, such as `splits`.

    Attributes:
        rounds_run: A `Round` for each round, with its tuner, decisions and remarks.

    Raises:
        TypeError: If a number is of another type, or if an argument is neither one of
            these nor one of the tuner's.
        ValueError: If a number is out of its range.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import CoarseToFine
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", 0.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return (hp.get("x") - 1.25) ** 2
    >>> search = CoarseToFine(
    ...     Parabola(), rounds=2, trials_per_round=40, seed=0, limits={"x": (0, 2)},
    ...     directory=tempfile.mkdtemp())
    >>> search.search(verbose=0)
    >>> search.rounds_run[0].decisions[0].action
    'expand'

    Reference:
        Godbole et al., "Deep Learning Tuning Playbook", 2023 (boundaries, what matters,
        adopting); Bergstra and Bengio, "Random Search for Hyper-Parameter
        Optimization", 2012.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike,
        objective: Any = None,
        *,
        tuner: type = RandomSearch,
        rounds: int = 3,
        trials_per_round: int = 20,
        quantile: float = 0.25,
        importance_threshold: float = 0.05,
        reruns: int = 3,
        subset: float | None = None,
        first_round: dict[str, Any] | None = None,
        agreement_trials: int = 5,
        limits: dict[str, tuple[float, float]] | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        directory: str | Path | None = None,
        project_name: str = "coarse_to_fine",
        overwrite: bool = False,
        **tuner_arguments: Any,
    ):
        files.checked_directory(directory)
        budget.check_hypermodel(hypermodel)
        if not (isinstance(tuner, type) and issubclass(tuner, TunerMixin)):
            raise TypeError(
                "`tuner` must be a tuner class of this package. "
                f"{_validation.received('tuner', tuner)}"
            )
        _check_tuner_arguments(tuner, tuner_arguments)
        base.check_hyperparameters(hyperparameters)
        self.hypermodel = hypermodel
        self.objective = base.checked_objective(objective)
        self.tuner = tuner
        self.rounds = _validation.check_int("rounds", rounds, minimum=1)
        self.trials_per_round = _validation.check_int(
            "trials_per_round", trials_per_round, minimum=1
        )
        self.quantile = _share("quantile", quantile)
        self.importance_threshold = _validation.check_float(
            "importance_threshold", importance_threshold
        )
        self.reruns = _validation.check_int("reruns", reruns, minimum=2)
        self.subset = None if subset is None else _share("subset", subset)
        self.first_round = _dictionary("first_round", first_round)
        self.agreement_trials = _validation.check_int(
            "agreement_trials", agreement_trials, minimum=3
        )
        self.limits = _dictionary("limits", limits)
        self.seed = _validation.check_seed("seed", seed)
        self.hyperparameters = hyperparameters
        self.directory = Path(directory or ".").absolute()
        self.project_name = _validation.check_text("project_name", project_name)
        self.overwrite = _validation.check_flag("overwrite", overwrite)
        self.tuner_arguments = tuner_arguments
        self.rounds_run: list[Round] = []
        self._identity = identity.Identity(
            None,
            self.seed,
            None,
            identity.kind_of(self),
            identity.arguments_of(self, {}),
        )
        self._check_project()

    def _check_project(self) -> None:
        """Refuses a folder in which rounds were decided on in another way."""
        folder = self.directory / self.project_name
        saved = None if self.overwrite else identity.Identity.read(folder)
        differences = [] if saved is None else saved.differences(self._identity)
        if differences and any(folder.glob(f"round_*/trial_*/{records.RECORD_FILE}")):
            raise identity.refusal(folder, differences)

    def search(
        self,
        *fit_args: Any,
        workers: int | None = None,
        executor: Any = None,
        gpus_per_trial: float | None = None,
        initial_settings: InitialSettings | None = None,
        max_seconds: float | None = None,
        stop_hopeless: bool = False,
        live_curves: bool = False,
        report: str | os.PathLike[str] | None = None,
        **fit_kwargs: Any,
    ) -> None:
        """Runs the rounds that are left; arguments as of a tuner's `search`.

        `initial_settings` are trials of the first round. Trainings between the rounds,
        which tell whether one was settled, run in this process. `max_seconds` are those
        of all rounds together; a round for which there was no time is left to the next
        `search`. `report` is one page of all rounds.
        """
        deadline = Deadline.after(max_seconds)
        self.rounds_run = []
        folder = self.directory / self.project_name
        folder.mkdir(parents=True, exist_ok=True)
        self._identity.write(folder)
        # One page of all rounds, whose folders are in this one.
        page = None if report is None else LiveReport(folder, report)
        space = self.hyperparameters
        for number in range(1, self.rounds + 1):
            is_cheap = number == 1 and bool(self.subset or self.first_round)
            current = Round(number, self._tuner_of(number, space), is_cheap)
            self.rounds_run.append(current)
            call, rest = current.tuner._search_call(fit_args, fit_kwargs)
            own: dict[str, Any] = {
                "workers": workers,
                "executor": executor,
                "gpus_per_trial": gpus_per_trial,
                "stop_hopeless": stop_hopeless,
                "live_curves": live_curves,
                "report": page,
            }
            if number == 1:
                own["initial_settings"] = initial_settings
            if deadline.is_set:
                own["max_seconds"] = max(deadline.seconds_left, 1e-3)
            args, kwargs = fit_args, fit_kwargs
            if is_cheap:
                cheap = self._cheap(call)
                args, kwargs = (*cheap.args, *rest), cheap.kwargs
            current.tuner.search(*args, **own, **kwargs)
            if deadline.is_over:
                break
            if is_cheap:
                self._check_agreement(current, fit_args, fit_kwargs)
            stopped = self._is_settled(current, fit_args, fit_kwargs)
            if not stopped and number < self.rounds:
                space = self._next_space(current)
            if call["verbose"] != 0:
                progress.say(str(current))
            if stopped:
                break

    @property
    def report(self) -> str:
        """What each round found and decided, in words and numbers."""
        return "\n".join(map(str, self.rounds_run))

    def leaderboard(self) -> pd.DataFrame:
        """Returns the table of all trials, best first, with the round of each.

        The trials of a cheap round stand below, since their scores mean another thing.
        """
        import pandas as pd

        tables = []
        for one in self.rounds_run:
            table = one.tuner.leaderboard()
            table.insert(1, "round", one.number)
            table["cheap"] = one.is_cheap
            tables.append(table)
        # Empty tables would change the types of columns.
        everything = pd.concat(
            [t for t in tables if len(t)] or tables, ignore_index=True
        )
        objective = self._last.oracle.objective
        everything["unscored"] = everything["status"] != records.COMPLETED
        everything = everything.sort_values(
            ["unscored", "cheap", objective.name, "round", "trial_id"],
            ascending=[True, True, objective.direction == "min", True, True],
            ignore_index=True,
        ).drop(columns="unscored")
        everything["rank"] = range(1, len(everything) + 1)
        return everything

    def get_best_hyperparameters(
        self, num_trials: int = 1
    ) -> list[keras_tuner.HyperParameters]:
        """Returns the settings of the best whole trials of all rounds, best first."""
        num_trials = _validation.check_int("num_trials", num_trials, minimum=1)
        found = []
        for one, record in self._whole_records()[:num_trials]:
            trial = one.tuner.oracle.get_trial(record.trial_id)
            found.append(trial.hyperparameters)
        return found

    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """Returns the best models, as KerasTuner's tuners do."""
        num_models = _validation.check_int("num_models", num_models, minimum=1)
        found = []
        for one, record in self._whole_records()[:num_models]:
            trial = one.tuner.oracle.get_trial(record.trial_id)
            found.append(one.tuner.load_model(trial))
        return found

    @property
    def _last(self) -> Any:
        if not self.rounds_run:
            raise ValueError("There are no trials yet: call `search` first.")
        return self.rounds_run[-1].tuner

    def _seed_for(self, *purpose: Any) -> int:
        # Without a seed of its own the search draws from that of its first round.
        seed = self.rounds_run[0].tuner.oracle.seed if self.seed is None else self.seed
        return seeds.derived_seed(seed, *purpose)

    def _tuner_of(self, number: int, space: Any) -> Any:
        return self.tuner(
            self.hypermodel,
            objective=self.objective,
            max_trials=self.trials_per_round,
            seed=None if self.seed is None else self._seed_for("round", number),
            hyperparameters=space,
            directory=self.directory / self.project_name,
            project_name=f"round_{number}",
            overwrite=self.overwrite,
            **self.tuner_arguments,
        )

    def _cheap(self, call: FitCall) -> FitCall:
        """Returns what the first round is given."""
        if self.subset is None:
            return call.replace(**self.first_round)
        from sklearn.model_selection import train_test_split

        several_outputs = keras.tree.is_nested(call["y"])
        for name in ("x", "y"):
            if not rows.has_rows(call[name]) or several_outputs:
                raise TypeError(
                    "`subset` needs arrays `x` and `y` as the first two arguments of "
                    "`search`; for other data give "
                    "`first_round={'steps_per_epoch': ...}`. "
                    f"Received: {name} of type {type(call[name]).__name__}"
                )
        chosen, _ = train_test_split(
            np.arange(len(call["y"])),
            train_size=self.subset,
            stratify=np.asarray(call["y"]),
            random_state=self._seed_for("subset"),
        )
        return call.replace(
            **{**cross_validation.part(call, chosen), **self.first_round}
        )

    def _check_agreement(
        self, current: Round, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> None:
        """Runs some cheap trials whole, and remarks whether both rank them alike."""
        from scipy import stats

        ranked = confirmation.best_records(current.tuner)
        count = min(self.agreement_trials, len(ranked))
        if count < 3:
            current.remarks.append("Too few cheap trials have a score to be trusted.")
            current.agreement = 0.0
            return
        # From the best to the worst, evenly.
        chosen = [ranked[i * (len(ranked) - 1) // (count - 1)] for i in range(count)]
        whole = [
            current.tuner._rerun(
                record,
                1,
                name=f"whole_{record.trial_id}",
                fit_args=fit_args,
                fit_kwargs=fit_kwargs,
            ).mean
            for record in chosen
        ]
        pairs = [
            (record.score, score)
            for record, score in zip(chosen, whole, strict=True)
            if math.isfinite(score)
        ]
        tau = (
            float(stats.kendalltau(*zip(*pairs, strict=True)).statistic) if pairs else 0
        )
        current.agreement = tau if math.isfinite(tau) else 0.0
        trusted = current.agreement >= TRUSTED_AGREEMENT
        current.remarks.append(
            f"Kendall's tau between cheap and whole scores of {len(pairs)} trials is "
            f"{current.agreement:.2f}: the cheap ones are "
            f"{'trusted' if trusted else 'not trusted, and the space stays as it was'}."
        )

    def _is_settled(
        self, current: Round, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> bool:
        """Whether the round gained less than the spread between reruns."""
        before = [r for one, r in self._whole_records() if one is not current]
        here = [r for one, r in self._whole_records() if one is current]
        if not here:
            return False
        current.remarks.append(f"The best score of the round is {here[0].score:.4g}.")
        if not before:
            return False
        sign = scores.sign(current.tuner.oracle.objective.direction)
        gain = sign * (before[0].known_score - here[0].known_score)
        again = current.tuner._rerun(
            here[0],
            self.reruns,
            name="spread",
            fit_args=fit_args,
            fit_kwargs=fit_kwargs,
        )
        if math.isnan(again.deviation):
            current.remarks.append("Its best settings have no score when run again.")
            return False
        settled = gain < again.deviation or gain <= 0
        current.remarks.append(
            f"It gained {gain:.2g}; {len(again.scores)} reruns of its best settings "
            f"spread by {again.deviation:.2g}: the search "
            f"{'has settled' if settled else 'goes on'}."
        )
        return settled

    def _next_space(self, current: Round) -> keras_tuner.HyperParameters:
        space = current.tuner.oracle.get_space()
        if current.agreement is not None and current.agreement < TRUSTED_AGREEMENT:
            return self.hyperparameters or keras_tuner.HyperParameters()
        ranked = confirmation.best_records(current.tuner)
        scored = [record.settings for record in ranked]
        best = scored[: max(2, math.ceil(self.quantile * len(scored)))]
        known = narrowing.importances(
            space.space,
            scored,
            [record.known_score for record in ranked],
            self._seed_for("importances", current.number),
        )
        current.decisions = [
            narrowing.decide(
                hp,
                best,
                known.get(hp.name),
                self.importance_threshold,
                self.limits.get(hp.name),
            )
            for hp in space.space
        ]
        hp = keras_tuner.HyperParameters.from_config(
            {"space": [decision.entry for decision in current.decisions], "values": {}}
        )
        for parameter in hp.space:
            if hp.is_active(parameter):
                hp.values[parameter.name] = parameter.default
        return hp

    def _whole_records(self) -> list[tuple[Round, records.TrialRecord]]:
        """Returns the scored trials that were not cheap, best first."""
        found = [
            (one, record)
            for one in self.rounds_run
            if not one.is_cheap
            for record in confirmation.best_records(one.tuner)
        ]
        if not found:
            return []
        sign = scores.sign(self._last.oracle.objective.direction)
        return sorted(found, key=lambda pair: sign * pair[1].known_score)


def _check_tuner_arguments(tuner: type, given: dict[str, Any]) -> None:
    """Checks what the tuner of each round is given besides.

    Raises:
        TypeError: If it takes no such argument, or has it from the rounds already.
    """
    own = [*inspect.signature(CoarseToFine).parameters]
    taken = _arguments_of(tuner) - {"max_trials", *own}
    for name in given:
        if name in taken:
            continue
        if name == "max_trials":
            hint = "; the number of trials is `trials_per_round`"
        else:
            near = difflib.get_close_matches(name, [*own, *sorted(taken)], n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
        raise TypeError(
            f"`{name}` must be an argument of `CoarseToFine`, or one of "
            f"`{tuner.__name__}` that the rounds leave open{hint}. "
            f"{_validation.received(name, given[name])}"
        )


def _arguments_of(tuner: type) -> set[str]:
    """Returns the names that a tuner's constructor takes, or hands on to its bases."""
    found: set[str] = set()
    for cls in tuner.__mro__:
        if "__init__" in vars(cls):
            signature = inspect.signature(vars(cls)["__init__"])
            kinds = {p.kind for p in signature.parameters.values()}
            found |= signature.parameters.keys()
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return found - {"self", "oracle", "options", "args", "kwargs"}


def _dictionary(name: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise TypeError(
            f"`{name}` must be a dictionary or None. "
            f"{_validation.received(name, value, True)}"
        )
    return dict(value or {})


def _share(name: str, value: float) -> float:
    return _validation.check_float(name, value, exclusive=True, maximum=1)
