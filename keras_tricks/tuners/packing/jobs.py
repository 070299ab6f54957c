"""Trials as shared programs train them: each training is a job."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_tricks._fit_call import FitCall
from keras_tricks.training.compiled.captured import CapturedModel
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.families import python_state
from keras_tricks.training.families.model_family import ModelFamily
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.families.trial_state import seeded
from keras_tricks.training.packs.callback_model import LiveModel
from keras_tricks.training.packs.progress import TrainingResult
from keras_tricks.tuners import errors
from keras_tricks.tuners.packing import epoch_callbacks
from keras_tricks.tuners.packing import fit_plan
from keras_tricks.tuners.trials import arrays
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation
from keras_tricks.tuners.trials import overrides
from keras_tricks.tuners.trials import runner
from keras_tricks.tuners.trials.context import RunningTrial


@dataclasses.dataclass(eq=False)
class Job:
    """One training of a trial.

    Attributes:
        taken: The trial.
        execution: Which of its trainings it is.
        plan: What `fit` would be asked for.
        steps: The steps that its program consists of.
        start: Where it begins.
        follower: What is told of its epochs.
        outcome: How it went.
    """

    taken: PendingTrial
    execution: int
    plan: fit_plan.FitPlan
    steps: Steps
    start: TrialState
    follower: epoch_callbacks.CallbackFollower
    outcome: TrainingResult | None = None

    @property
    def group(self) -> tuple[int, ...]:
        """What the jobs of a pack have in common."""
        plan = self.plan
        return id(self.steps), id(plan.data), plan.initial_epoch, plan.epochs


@dataclasses.dataclass(eq=False)
class PendingTrial:
    """A trial that this process runs.

    Attributes:
        trial: KerasTuner's trial.
        running: What is known of it.
        jobs: Its trainings; none where `fit` does them.
        num_bytes: Of what they start from.
        builds_next: Whether it must be run before another one is built, since building
            or training changes what the next build goes by.
        given: What `fit` is given where functions stand for data, once these were
            called for this trial: `(args, kwargs)`.
    """

    trial: Any
    running: RunningTrial
    jobs: list[Job] = dataclasses.field(default_factory=list)
    num_bytes: int = 0
    builds_next: bool = False
    given: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @property
    def is_trained(self) -> bool:
        """Whether all of its jobs are done."""
        return all(job.outcome is not None for job in self.jobs)


class Jobs:
    """Makes the jobs of the trials of a search.

    Args:
        tuner: The tuner.
        cache: The programs of the search.
        fit_args: Positional arguments of its `search`, which are those of `fit`.
        fit_kwargs: Keyword arguments of its `search`, which are those of `fit`.
    """

    def __init__(
        self,
        tuner: Any,
        cache: ProgramCache,
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
    ):
        self._tuner = tuner
        self._hypermodel = overrides.innermost(tuner.hypermodel)
        self._cache = cache
        self._fit_args = fit_args
        self._fit_kwargs = fit_kwargs
        self._plans = fit_plan.Plans(tuner._local_oracle.seed)
        # Keyed by the hypermodel's number for a network, the latest used at the end.
        self._networks: dict[Any, ModelFamily] = {}
        self._optimizers: dict[str, Any] = {}
        self._folds: list[Any] | None = None
        self._given: Any = None

    def of(self, taken: PendingTrial, before: python_state.Remembered) -> list[Job]:
        """Returns the trainings of a trial, each with what it starts from.

        Args:
            taken: The trial.
            before: What its build can reach.

        Raises:
            UnsupportedModelError: If only `fit` can do them.
        """
        with taken.running.asked_for.asked(taken.trial.hyperparameters):
            return self._of(taken, before)

    def _of(self, taken: PendingTrial, before: python_state.Remembered) -> list[Job]:
        tuner, jobs = self._tuner, []
        if before.read_once is not None:
            # A model is built again for callbacks, and where `fit` trains it.
            raise UnsupportedModelError(
                f"building the model may read a {before.read_once}, which may hold "
                "something else when it is read again"
            )
        for fold_args, fold_kwargs in self._data_of_folds(taken):
            args, kwargs = tuner._fit_arguments_of(taken.trial, fold_args, fold_kwargs)
            if overrides.prepares_fit(self._hypermodel):
                args, kwargs = self._hypermodel.fit_arguments(
                    taken.trial.hyperparameters, *args, **kwargs
                )
            call = FitCall.of(args, kwargs)
            given = arrays.given_arrays(call)
            may_change = before.shares_memory(given) or (
                python_state.before_a_build(call.callbacks).shares_memory(given)
            )
            plan = self._plans.plan(call, may_change)
            for _ in range(tuner.executions_per_trial):
                jobs.append(self._job(taken, plan))
            if may_change and self._plans.plan(call, may_change).data is not plan.data:
                raise UnsupportedModelError(
                    "building the model changes the arrays that it trains on"
                )
        return jobs

    def _data_of_folds(self, taken: PendingTrial) -> list[Any]:
        tuner = self._tuner
        args, kwargs = self._fit_args, self._fit_kwargs
        if runner.has_data_functions(args, kwargs):
            # Each trial calls them once. Without them nothing is seeded here, which
            # would empty the cache that makes TensorFlow's single operations quick.
            with seeded(taken.running.seed_of(execution=0)):
                args, kwargs = taken.given = runner.with_data(args, kwargs)
            if not _are_equal(taken.given, self._given):
                self._given, self._folds = taken.given, None
                self._plans = fit_plan.Plans(tuner._local_oracle.seed)
        if self._folds is None:
            self._folds = [(args, kwargs)]
            if tuner._runner.session.splits is not None:
                self._folds = list(
                    cross_validation.folds(
                        tuner._runner.session.splits,
                        args,
                        kwargs,
                        tuner.options.groups,
                        tuner.options.preprocess,
                    )
                )
        return self._folds

    def _job(self, taken: PendingTrial, plan: fit_plan.FitPlan) -> Job:
        running = taken.running
        execution = len(running.executions)
        seed = running.seed_of(execution)
        steps, start = self._started(taken.trial, plan, seed)
        was_built = len(running.executions) > execution
        if not was_built:
            running.begin_execution()
            running.asked_for.forget()
        running.set_parameters(sum(map(_size, steps.start.trainable)))
        follower = self._follower(taken, execution, plan, steps, seed, was_built)
        return Job(taken, execution, plan, steps, start, follower)

    def _follower(
        self,
        taken: PendingTrial,
        execution: int,
        plan: fit_plan.FitPlan,
        steps: Steps,
        seed: int,
        was_built: bool,
    ) -> epoch_callbacks.CallbackFollower:
        tuner, trial, running = self._tuner, taken.trial, taken.running
        callbacks = tuner._callbacks_of(trial, execution, plan.callbacks)
        callbacks += tuner._runner.callbacks_added_to(running)
        model: Any = epoch_callbacks.ModelStub(steps.model.metrics)
        live = None
        early_hook = epoch_callbacks.early_hook(callbacks)
        if early_hook is not None and isinstance(steps, CapturedModel):
            # Where all code is known, the model tells whether it was changed.
            raise UnsupportedModelError(early_hook)
        if epoch_callbacks.reaches_model(callbacks):
            raise UnsupportedModelError(
                "a callback knows a model, or a part of one, from elsewhere"
            )
        if epoch_callbacks.needs_model(callbacks):
            before = python_state.before_a_build(tuner.hypermodel)
            try:
                with seeded(seed, after_build=was_built):
                    model = tuner._spare_model(trial.hyperparameters)
                before.put_back()
                live = LiveModel(model, steps, plan.data.sample, plan.num_steps)
            except Exception as error:
                raise UnsupportedModelError(
                    f"callbacks want a model ({type(error).__name__}: {error})"
                ) from error

        def on_begin() -> None:
            running.executions[execution].curves.clear()

        def on_epoch(epoch: int, logs: dict[str, Any]) -> None:
            running.execution = execution
            tuner._runner.trial = running
            tuner.on_epoch_end(trial, model, epoch, logs)

        return epoch_callbacks.CallbackFollower(
            callbacks,
            model,
            live,
            epochs=plan.epochs,
            steps=plan.data.steps_per_epoch,
            is_early=early_hook is not None,
            on_begin=on_begin,
            on_epoch=on_epoch,
        )

    def _started(
        self, trial: Any, plan: fit_plan.FitPlan, seed: int
    ) -> tuple[Steps, TrialState]:
        """Returns the steps that train a trial, and where the trial starts.

        A trial that goes on from another's weights is built in any case.
        """
        hp = trial.hyperparameters
        arguments = self._cache, trial, seed, plan.data, plan.num_steps
        # A model that callbacks look at has the same weights as the steps.
        joins = not epoch_callbacks.needs_model(plan.callbacks)
        is_copied = overrides.prepares_fit(self._hypermodel)
        if not is_copied or "tuner/trial_id" in hp.values:
            return self._new_family(None, joins).trial(*arguments)
        network = self._networks.pop(self._hypermodel.same_network(hp), None)
        if network is None:
            network = self._new_family(self._compile_arguments, joins)
        try:
            return network.trial(*arguments)
        finally:
            # Known from the build on, if not before.
            key = self._hypermodel.same_network(hp)
            if key is not None:
                self._networks[key] = network
            while len(self._networks) > self._cache.max_models:
                del self._networks[next(iter(self._networks))]

    def _new_family(self, compile_arguments: Any, joins_weights: bool) -> ModelFamily:
        return ModelFamily(
            self._build,
            compile_arguments,
            joins_weights=joins_weights,
            build_seeds=True,
            code=self._tuner.hypermodel,
        )

    def _build(self, trial: Any) -> keras.Model:
        model = self._tuner._built_model(trial.hyperparameters)
        if isinstance(model, budget.OverBudget):
            raise errors.InfeasibleTrialError(
                str(model.budget), model.budget.parameters
            )
        return model

    def _compile_arguments(self, trial: Any) -> dict[str, Any]:
        hypermodel, hp = self._hypermodel, trial.hyperparameters
        arguments = hypermodel.compile_arguments(
            hp, hypermodel.total_steps, used_before=self._optimizers
        )
        return {**arguments, "rate": hypermodel.fed_rate(hp)}


def _are_equal(one: Any, other: Any) -> bool:
    """Whether all leaves are the same objects, or arrays of the same numbers."""
    try:
        keras.tree.assert_same_structure(one, other)
    except (ValueError, TypeError):
        return False
    leaves = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return all(
        a is b
        or (
            isinstance(a, np.ndarray)
            and isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and np.array_equal(a, b)
        )
        for a, b in leaves
    )


def _size(tensor: Any) -> int:
    return tensor.shape.num_elements()


def best_job(jobs: list[Job]) -> tuple[Job, TrainingResult] | None:
    """Returns the first of the trainings with the best epoch of all, and its result."""
    finite = [
        (job, job.outcome)
        for job in jobs
        if job.outcome is not None and job.outcome.best_epoch is not None
    ]
    return min(finite, key=lambda found: found[1].score, default=None)
