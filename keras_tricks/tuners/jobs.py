"""Trials as shared programs train them: each training is a job."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import keras

from keras_tricks.training.networks import Network
from keras_tricks.training.programs import ProgramCache
from keras_tricks.training.progress import Outcome
from keras_tricks.training.steps import FunctionalModel
from keras_tricks.training.trials import Trial
from keras_tricks.tuners import budget
from keras_tricks.tuners import cross_validation
from keras_tricks.tuners import fit_plan
from keras_tricks.tuners import one_trial
from keras_tricks.tuners.running_trial import RunningTrial


@dataclasses.dataclass(eq=False)
class Job:
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

    taken: Taken
    execution: int
    plan: fit_plan.FitPlan
    functional: FunctionalModel
    start: Trial
    history: keras.callbacks.History
    model: Followed
    outcome: Outcome | None = None

    @property
    def group(self) -> tuple[int, ...]:
        """What the jobs of a pack have in common."""
        plan = self.plan
        return id(self.functional), id(plan.data), plan.initial_epoch, plan.epochs


@dataclasses.dataclass(eq=False)
class Taken:
    """A trial that this process runs.

    Attributes:
        trial: KerasTuner's trial.
        running: What is known of it.
        jobs: Its trainings; none where `fit` does them.
        num_bytes: Of what they start from.
    """

    trial: Any
    running: RunningTrial
    jobs: list[Job] = dataclasses.field(default_factory=list)
    num_bytes: int = 0

    @property
    def is_trained(self) -> bool:
        """Whether all of its jobs are done."""
        return all(job.outcome is not None for job in self.jobs)


class Followed:
    """Stands for a model in training before callbacks that follow its metrics."""

    def __init__(self, metrics: list[keras.metrics.Metric]):
        self.metrics = metrics
        self.stop_training = False

    def get_weights(self) -> None:
        """The best epoch's are kept anyway."""

    def set_weights(self, weights: None) -> None:
        """The best epoch's are kept anyway."""


class Jobs:
    """Makes the jobs of the trials of a search.

    Args:
        tuner: The tuner.
        cache: The programs of the search.
        fit_args: What its `search` was given.
        fit_kwargs: The same.
    """

    def __init__(
        self,
        tuner: Any,
        cache: ProgramCache,
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
    ):
        self._tuner = tuner
        self._hypermodel = innermost(tuner.hypermodel)
        self._cache = cache
        self._fit_args = fit_args
        self._fit_kwargs = fit_kwargs
        self._plans = fit_plan.Plans(tuner.own_oracle.seed)
        # By the number that the hypermodel knows them by; that used last is the last.
        self._networks: dict[Any, Network] = {}
        self._optimizers: dict[str, Any] = {}
        self._folds: list[Any] | None = None

    def of(self, taken: Taken) -> list[Job]:
        """Returns the trainings of a trial, each with what it starts from.

        Raises:
            NotUnderstood: If only `fit` can do them.
        """
        tuner, jobs = self._tuner, []
        for fold_args, fold_kwargs in self._data_of_folds():
            args, kwargs = tuner.fit_arguments_of(taken.trial, fold_args, fold_kwargs)
            if prepares_fit(self._hypermodel):
                args, kwargs = self._hypermodel.fit_arguments(
                    taken.trial.hyperparameters, *args, **kwargs
                )
            plan = self._plans.plan(args, kwargs)
            for _ in range(tuner.executions_per_trial):
                jobs.append(self._job(taken, plan))
        return jobs

    def _data_of_folds(self) -> list[Any]:
        if self._folds is None:
            tuner = self._tuner
            # Functions that stand for data are called once, not in each trial.
            args, kwargs = one_trial.with_data(self._fit_args, self._fit_kwargs)
            self._folds = [(args, kwargs)]
            if tuner.splits is not None:
                self._folds = list(
                    cross_validation.folds(
                        tuner.splits, args, kwargs, tuner.groups, tuner.preprocess
                    )
                )
        return self._folds

    def _job(self, taken: Taken, plan: fit_plan.FitPlan) -> Job:
        running = taken.running
        execution = len(running.executions)
        functional, start = self._started(taken.trial, plan, running.seed_of(execution))
        if len(running.executions) == execution:  # Nothing had to be built.
            running.begin_execution()
        running.set_parameters(sum(map(_size, functional.start.trainable)))
        model = Followed(functional.model.metrics)
        history = keras.callbacks.History()
        history.history, history.epoch = {}, []
        stopping = copy.deepcopy(plan.stopping)
        for callback in stopping:
            callback.set_model(model)
            callback.on_train_begin()
        plan = plan._replace(stopping=stopping)
        return Job(taken, execution, plan, functional, start, history, model)

    def _started(
        self, trial: Any, plan: fit_plan.FitPlan, seed: int
    ) -> tuple[FunctionalModel, Trial]:
        """Returns the model whose program trains a trial, and where the trial starts.

        A trial that goes on from another's weights is built in any case.
        """
        hp = trial.hyperparameters
        arguments = self._cache, trial, seed, plan.data, plan.num_steps
        if not prepares_fit(self._hypermodel) or "tuner/trial_id" in hp.values:
            return Network(self._build).trial(*arguments)
        network = self._networks.pop(self._hypermodel.same_network(hp), None)
        if network is None:
            network = Network(self._build, self._compile_arguments)
        try:
            return network.trial(*arguments)
        finally:
            # Known from the build on, if not before.
            key = self._hypermodel.same_network(hp)
            if key is not None:
                self._networks[key] = network
            while len(self._networks) > self._cache.max_models:
                del self._networks[next(iter(self._networks))]

    def _build(self, trial: Any) -> keras.Model:
        model = self._tuner.built_model(trial.hyperparameters)
        if isinstance(model, budget.OverBudget):
            raise budget.InfeasibleTrialError(
                str(model.budget), model.budget.parameters
            )
        return model

    def _compile_arguments(self, trial: Any) -> dict[str, Any]:
        hypermodel, hp = self._hypermodel, trial.hyperparameters
        arguments = hypermodel.compile_arguments(
            hp, hypermodel.total_steps, used_before=self._optimizers
        )
        return {**arguments, "rate": hypermodel.fed_rate(hp)}


def _size(tensor: Any) -> int:
    return tensor.shape.num_elements()


def best_job(jobs: list[Job]) -> Job | None:
    """Returns the first of the trainings with the best epoch of all."""
    finite = [job for job in jobs if job.outcome and job.outcome.best_epoch is not None]
    return min(finite, key=lambda job: job.outcome.score, default=None)  # type: ignore[union-attr]


def innermost(hypermodel: Any) -> Any:
    """Returns the hypermodel inside of `WithinBudget`."""
    while isinstance(hypermodel, budget.WithinBudget):
        hypermodel = hypermodel.hypermodel
    return hypermodel


def prepares_fit(hypermodel: Any) -> bool:
    """Whether `fit` is no more than its `fit_arguments`, `compile` and the model's."""
    owners = [
        next((c for c in type(hypermodel).__mro__ if name in vars(c)), None)
        for name in ("fit", "fit_arguments")
    ]
    # Whoever overrides `fit` alone means something else by it.
    return None not in owners and issubclass(owners[1], owners[0])  # type: ignore[arg-type]
