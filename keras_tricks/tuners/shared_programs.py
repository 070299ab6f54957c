"""Trials by compiled programs that all trials of one structure share.

A search takes as many trials at a time as it may, groups them by the structure of their
models, and trains each group by one program: one trial after the other, or, with
`packed_trials`, several in a step. What a program cannot do, `fit` does.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import logging
import time
from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner

from keras_tricks import parameters
from keras_tricks.training import choice
from keras_tricks.training import memory
from keras_tricks.training import packing
from keras_tricks.training.networks import Network
from keras_tricks.training.programs import ProgramCache
from keras_tricks.training.progress import Outcome
from keras_tricks.training.progress import Run
from keras_tricks.training.steps import FunctionalModel
from keras_tricks.training.steps import NotUnderstood
from keras_tricks.training.trials import Trial
from keras_tricks.tuners import budget
from keras_tricks.tuners import cross_validation
from keras_tricks.tuners import fit_plan
from keras_tricks.tuners import judgement
from keras_tricks.tuners import one_trial
from keras_tricks.tuners import store
from keras_tricks.tuners import tensorflow_hooks
from keras_tricks.tuners.running_trial import RunningTrial

_LOG = logging.getLogger(__name__)

# Trials taken at a time, in packs, where the oracle need not see their scores: of these
# some have one structure.
WINDOW = 8
# Of what is free: for what the trials that are taken start from.
SHARE_OF_MEMORY = 0.125


def search(tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
    """Runs the trials of the tuner's oracle until there are none left."""
    programs = SharedPrograms(tuner, fit_args, fit_kwargs)
    tuner.on_search_begin()
    is_over = False
    while not is_over:
        taken, is_over = programs.take()
        programs.train(taken)
    tuner.on_search_end()


def why_not(tuner: Any) -> str | None:
    """Returns why no trial of a search can share a program, or None."""
    if not tuner.trains_in_the_known_way():
        return f"{type(tuner).__name__} has its own way to run a trial"
    for name in ("distribution_strategy", "max_model_size"):
        if getattr(tuner, name) is not None:
            return f"the tuner has a `{name}`"
    hypermodel = _innermost(tuner.hypermodel)
    if not (judgement.trains_by_fit(hypermodel) or _prepares_fit(hypermodel)):
        return "the hypermodel has its own `fit`"
    return None


@dataclasses.dataclass(eq=False)
class _Job:
    """One training of a trial.

    Attributes:
        taken: The trial.
        execution: Which of its trainings it is.
        plan: What `fit` would be asked for.
        functional: The model whose program trains it.
        start: Where it begins.
        history: Its epochs.
        model: Stands for the model before callbacks.
    """

    taken: _Taken
    execution: int
    plan: fit_plan.FitPlan
    functional: FunctionalModel
    start: Trial
    history: keras.callbacks.History
    model: _Followed
    outcome: Outcome | None = None

    @property
    def group(self) -> tuple[int, ...]:
        """What the jobs of a pack have in common."""
        plan = self.plan
        return id(self.functional), id(plan.data), plan.initial_epoch, plan.epochs


@dataclasses.dataclass(eq=False)
class _Taken:
    """A trial that this process runs.

    Attributes:
        trial: KerasTuner's trial.
        running: What is known of it.
        jobs: Its trainings; none where `fit` does them.
        num_bytes: Of what they start from.
    """

    trial: Any
    running: RunningTrial
    jobs: list[_Job] = dataclasses.field(default_factory=list)
    num_bytes: int = 0

    @property
    def is_trained(self) -> bool:
        return all(job.outcome is not None for job in self.jobs)


class _Followed:
    """Stands for a model in training before callbacks that follow its metrics."""

    def __init__(self, metrics: list[keras.metrics.Metric]):
        self.metrics = metrics
        self.stop_training = False

    def get_weights(self) -> None:
        """The best epoch's are kept anyway."""

    def set_weights(self, weights: None) -> None:
        """The best epoch's are kept anyway."""


class SharedPrograms:
    """Takes the trials of a search and trains them.

    Args:
        tuner: The tuner.
        fit_args: What its `search` was given.
        fit_kwargs: The same.
    """

    def __init__(
        self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ):
        self.tuner = tuner
        self.fit_args = fit_args
        self.fit_kwargs = fit_kwargs
        self._plans = fit_plan.Plans(tuner.oracle.seed)
        if tuner.programs is None:
            tuner.programs = ProgramCache()
        self._cache = tuner.programs
        self._sizes: dict[int, int] = {}
        self._reason = why_not(tuner)
        self._networks: dict[Any, Network] = {}
        self._optimizers: dict[str, Any] = {}
        self._logged: set[str] = set()
        self._window = _window_of(tuner) if self._reason is None else 1
        # Their data differ, so that each fold has trials of its own to be packed.
        self._folds: list[Any] | None = None

    # Taking trials.

    def take(self) -> tuple[list[_Taken], bool]:
        """Returns the trials to be run next, and whether they are the last ones."""
        tuner, free = self.tuner, memory.available_bytes()
        taken: list[_Taken] = []
        with tuner.own_oracle.writing_together():
            # What the trials start from shall not take much of the memory.
            while len(taken) < self._window and (
                sum(each.num_bytes for each in taken) <= SHARE_OF_MEMORY * free
            ):
                tuner.pre_create_trial()
                trial = tuner.next_trial(len(taken))
                if trial.status == "STOPPED":
                    return taken, True
                if trial.status == "IDLE":
                    break
                taken.append(self._begun(trial))
        return taken, False

    def _begun(self, trial: Any) -> _Taken:
        """Builds what a trial starts from, which also shows what it asks for."""
        tuner = self.tuner
        tuner.on_trial_begin(trial)
        taken = _Taken(trial, tuner.running_trial)
        try:
            if self._reason is not None:
                raise NotUnderstood(self._reason)
            with tensorflow_hooks.custom_gradients_forgotten():
                taken.jobs = list(self._jobs(taken))
            taken.num_bytes = sum(
                memory.bytes_of_weights(job.functional) for job in taken.jobs
            )
        except NotUnderstood as error:
            self._fall_back([taken], str(error))
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            taken.running.failure = error
        if self._window > 1:
            # A search that runs trials one by one learns it when the trial ends.
            tuner.own_oracle.learn(trial)
        taken.running.stop_clock()
        return taken

    def _jobs(self, taken: _Taken) -> Iterator[_Job]:
        tuner, hp = self.tuner, taken.trial.hyperparameters
        hypermodel = _innermost(tuner.hypermodel)
        for fold_args, fold_kwargs in self._data_of_folds():
            args, kwargs = tuner.fit_arguments_of(taken.trial, fold_args, fold_kwargs)
            if _prepares_fit(hypermodel):
                args, kwargs = hypermodel.fit_arguments(hp, *args, **kwargs)
            plan = self._plans.plan(args, kwargs)
            for _ in range(tuner.executions_per_trial):
                yield self._job(taken, plan)

    def _data_of_folds(self) -> list[Any]:
        if self._folds is None:
            tuner = self.tuner
            # Functions that stand for data are called once, not in each trial.
            args, kwargs = one_trial.with_data(self.fit_args, self.fit_kwargs)
            self._folds = [(args, kwargs)]
            if tuner.splits is not None:
                self._folds = list(
                    cross_validation.folds(
                        tuner.splits, args, kwargs, tuner.groups, tuner.preprocess
                    )
                )
        return self._folds

    def _job(self, taken: _Taken, plan: fit_plan.FitPlan) -> _Job:
        hp, running = taken.trial.hyperparameters, taken.running
        execution = len(running.executions)
        network = self._network(hp)
        functional, start = network.trial(
            self._cache,
            taken.trial,
            running.seed_of(execution),
            plan.data,
            plan.num_steps,
        )
        if len(running.executions) == execution:  # Nothing had to be built.
            running.begin_execution()
        self._remember(hp, network)
        running.set_parameters(self._parameters(functional))
        model = _Followed(functional.model.metrics)
        history = keras.callbacks.History()
        history.history, history.epoch = {}, []
        stopping = copy.deepcopy(plan.stopping)
        for callback in stopping:
            callback.set_model(model)
            callback.on_train_begin()
        return _Job(
            taken,
            execution,
            plan._replace(stopping=stopping),
            functional,
            start,
            history,
            model,
        )

    def _network(self, hp: Any) -> Network:
        """Returns the network of settings, a new one if they may have none yet."""
        hypermodel = _innermost(self.tuner.hypermodel)
        if not _prepares_fit(hypermodel) or "tuner/trial_id" in hp.values:
            return Network(self._build)
        known = self._networks.get(hypermodel.same_network(hp))
        return known or Network(self._build, self._compile_arguments)

    def _remember(self, hp: Any, network: Network) -> None:
        hypermodel = _innermost(self.tuner.hypermodel)
        if _prepares_fit(hypermodel):
            key = hypermodel.same_network(hp)
            if key is not None:
                self._networks[key] = network

    def _build(self, trial: Any) -> keras.Model:
        model = self.tuner.built_model(trial.hyperparameters)
        if isinstance(model, budget.OverBudget):
            raise budget.InfeasibleTrialError(
                str(model.budget), model.budget.parameters
            )
        return model

    def _compile_arguments(self, trial: Any) -> dict[str, Any]:
        hypermodel, hp = _innermost(self.tuner.hypermodel), trial.hyperparameters
        arguments = hypermodel.compile_arguments(
            hp, hypermodel.total_steps, used_before=self._optimizers
        )
        return {**arguments, "rate": hypermodel.fed_rate(hp)}

    def _parameters(self, functional: FunctionalModel) -> int:
        key = id(functional)
        if key not in self._sizes:
            self._sizes[key] = parameters.count_parameters(functional.model)
        return self._sizes[key]

    # Training them.

    def train(self, taken: list[_Taken]) -> None:
        """Trains the trials and ends each as soon as it is trained."""
        groups: dict[Any, list[_Job]] = collections.defaultdict(list)
        for each in taken:
            if not each.jobs:
                self._end([each])
            for job in each.jobs:
                groups[job.group].append(job)
        for jobs in groups.values():
            self._train_group([job for job in jobs if job.taken.jobs])

    def _train_group(self, jobs: list[_Job]) -> None:
        """Trains the jobs of one group, and ends the trials that are then trained."""
        if not jobs:
            return
        packs = choice.train_group(
            self._cache,
            jobs[0].functional,
            [job.start for job in jobs],
            jobs[0].plan.data,
            self._run_of(jobs),
            packed=self.tuner.packed_trials,
            jit_compile=bool(jobs[0].functional.model.jit_compile),
        )
        while jobs:
            began = time.perf_counter()
            try:
                with tensorflow_hooks.custom_gradients_forgotten():
                    outcomes = next(packs)
            except NotUnderstood as error:
                trials = list(dict.fromkeys(job.taken for job in jobs))
                self._fall_back(trials, str(error))
                self._end(trials)
                return
            except keras_tuner.errors.FatalError:
                raise
            except Exception as error:
                # The others may be spared it: memory that ran out, for instance.
                failed = jobs[0].taken
                failed.running.failure, failed.jobs = error, []
                self._end([failed])
                self._train_group([job for job in jobs if job.taken.jobs])
                return
            ended, jobs = jobs[: len(outcomes)], jobs[len(outcomes) :]
            seconds = (time.perf_counter() - began) / len(ended)
            for job, outcome in zip(ended, outcomes, strict=True):
                job.outcome = outcome
                job.taken.running.add_seconds(seconds)
            self._end_trained([job.taken for job in ended])

    def _run_of(self, jobs: list[_Job]) -> Run:
        objective, plan = self.tuner.oracle.objective, jobs[0].plan
        sign = -1.0 if objective.direction == "max" else 1.0
        return Run(
            plan.epochs,
            plan.initial_epoch,
            on_epoch=lambda number, *epoch: self._on_epoch(jobs[number], *epoch),
            score_of=lambda logs: sign * float(objective.get_value(logs)),
        )

    def _on_epoch(self, job: _Job, epoch: int, logs: dict[str, float]) -> bool:
        """Tells the tuner and the callbacks; returns whether the training is to end."""
        job.history.epoch.append(epoch)
        for name, value in logs.items():
            job.history.history.setdefault(name, []).append(value)
        job.taken.running.execution = job.execution
        self.tuner.running_trial = job.taken.running
        self.tuner.on_epoch_end(job.taken.trial, job.model, epoch, logs)
        for callback in job.plan.stopping:
            callback.on_epoch_end(epoch, logs)
        return job.model.stop_training

    def _end_trained(self, trials: list[_Taken]) -> None:
        trained = [each for each in dict.fromkeys(trials) if each.is_trained]
        with self.tuner.own_oracle.writing_together():
            with store.flushed_together():
                self._write_weights(trained)
            # The records are there before a trial counts as ended.
            with store.flushed_together():
                self._end(trained)

    def _write_weights(self, trained: list[_Taken]) -> None:
        """Writes the best weights of the trials that may be among the best ones."""
        best = {each.trial.trial_id: _best_job(each.jobs) for each in trained}
        found = {name: job for name, job in best.items() if job is not None}
        kept = self.tuner.own_oracle.worth_a_checkpoint(
            {name: job.outcome.score for name, job in found.items()}  # type: ignore[union-attr]
        )
        for name in kept:
            job = found[name]
            model = job.functional.model
            assert job.outcome is not None
            model.set_weights(packing.weights_of(job.functional, job.outcome))
            self.tuner.save_checkpoint(name, model)

    def _end(self, trials: list[_Taken]) -> None:
        for each in trials:
            if each.jobs:
                each.running.results = [job.history for job in each.jobs]
            self.tuner.running_trial = each.running
            each.running.start_clock()
            self.tuner.run_and_update(each.trial, self.fit_args, self.fit_kwargs)
            self.tuner.on_trial_end(each.trial)

    def _fall_back(self, trials: list[_Taken], reason: str) -> None:
        """Leaves trials to `fit`, and logs why if that is news."""
        for each in trials:
            each.jobs = []
            each.running.executions.clear()
        if reason not in self._logged:
            self._logged.add(reason)
            _LOG.log(
                logging.WARNING if self.tuner.packed_trials else logging.INFO,
                "Trained by `fit`, one by one, since %s.",
                reason,
            )


def _window_of(tuner: Any) -> int:
    """Returns how many trials a search takes at a time."""
    packed = tuner.packed_trials
    if packed is None or tuner.is_worker:
        # KerasTuner's chief lends one at a time.
        return 1
    size = choice.AUTO_SIZE if packed == "auto" else packed
    return size if tuner.own_oracle.looks_at_scores else WINDOW * size


def _best_job(jobs: list[_Job]) -> _Job | None:
    """Returns the first of the trainings with the best epoch of all."""
    finite = [job for job in jobs if job.outcome and job.outcome.best_epoch is not None]
    return min(finite, key=lambda job: job.outcome.score, default=None)  # type: ignore[union-attr]


def _innermost(hypermodel: Any) -> Any:
    """Returns the hypermodel inside of `WithinBudget`."""
    while isinstance(hypermodel, budget.WithinBudget):
        hypermodel = hypermodel.hypermodel
    return hypermodel


def _prepares_fit(hypermodel: Any) -> bool:
    """Whether `fit` is no more than its `fit_arguments`, `compile` and the model's."""
    owners = [
        next((c for c in type(hypermodel).__mro__ if name in vars(c)), None)
        for name in ("fit", "fit_arguments")
    ]
    # Whoever overrides `fit` alone means something else by it.
    return None not in owners and issubclass(owners[1], owners[0])  # type: ignore[arg-type]
