"""Trials by compiled programs that all trials of one structure share.

A search takes as many trials at a time as it may, groups them by the structure of their
models, and trains each group by one program: one trial after the other, or, with
`packed_trials`, several in a step. What a program cannot do, `fit` does.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import keras_tuner

from keras_tricks.training.compiled.functional_model import SharedStateError
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.families import python_state
from keras_tricks.training.packs import memory
from keras_tricks.training.packs import pack_size
from keras_tricks.training.packs import packing
from keras_tricks.training.packs.progress import RunConfig
from keras_tricks.training.packs.progress import TrainingResult
from keras_tricks.tuners.compat import tensorflow_hooks
from keras_tricks.tuners.packing import jobs as trial_jobs
from keras_tricks.tuners.packing.jobs import Job
from keras_tricks.tuners.packing.jobs import PendingTrial
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.trials import out_of_memory
from keras_tricks.tuners.trials import overrides

_LOG = logging.getLogger(__name__)

# How many packs of trials are taken ahead where suggestions do not depend on scores, so
# that enough of them share a structure.
WINDOW = 8
# The share of the free memory that the initial weights of these trials may take.
SHARE_OF_MEMORY = 0.125


def search(tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
    """Runs the trials of the tuner's oracle until there are none left."""
    scheduler = TrialScheduler(tuner, fit_args, fit_kwargs)
    tuner.on_search_begin()
    is_over = False
    while not is_over:
        taken, is_over = scheduler.take()
        scheduler.train(taken)
    tuner.on_search_end()


def reason_for_fit(tuner: Any) -> str | None:
    """Returns why no trial of a search can share a program, or None."""
    if not tuner._trains_in_the_known_way():
        return f"{type(tuner).__name__} has its own way to run a trial"
    if tuner.distribution_strategy is not None:
        return "the tuner has a `distribution_strategy`"
    if tuner._runner.session.shows_fit:
        return "verbose=2 shows the lines of `fit`"
    hypermodel = tuner.hypermodel
    if not overrides.hands_on_to_keras(hypermodel):
        return "the hypermodel has its own `fit`"
    return None


class TrialScheduler:
    """Takes the trials of a search and trains them.

    Args:
        tuner: The tuner.
        fit_args: Positional arguments of its `search`, which are those of `fit`.
        fit_kwargs: Keyword arguments of its `search`, which are those of `fit`.
    """

    def __init__(
        self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ):
        self.tuner = tuner
        self.fit_args = fit_args
        self.fit_kwargs = fit_kwargs
        if tuner.programs is None:
            tuner.programs = ProgramCache()
        self._cache = tuner.programs
        self._jobs = trial_jobs.Jobs(tuner, self._cache, fit_args, fit_kwargs)
        self._reason = reason_for_fit(tuner)
        self._window = _window_of(tuner) if self._reason is None else 1
        self._logged: set[str] = set()
        self._is_first = True

    # Taking trials.

    def take(self) -> tuple[list[PendingTrial], bool]:
        """Returns the trials to be run next, and whether they are the last ones."""
        tuner, free = self.tuner, memory.available_bytes()
        taken: list[PendingTrial] = []
        with tuner._local_oracle.deferred_writes():
            # What the trials start from shall not take much of the memory.
            while len(taken) < self._window and (
                sum(each.num_bytes for each in taken) <= SHARE_OF_MEMORY * free
            ):
                tuner.pre_create_trial()
                trial = tuner._next_trial(len(taken))
                if trial.status == "STOPPED":
                    return taken, True
                if trial.status == "IDLE":
                    break
                taken.append(self._begun(trial))
                if taken[-1].builds_next:
                    break
        return taken, False

    def _begun(self, trial: Any) -> PendingTrial:
        """Builds what a trial starts from, which also shows what it asks for."""
        tuner = self.tuner
        tuner.on_trial_begin(trial)
        taken = PendingTrial(trial, tuner._runner.trial)
        if self._reason is not None:
            self._fall_back([taken], self._reason)
            taken.running.stop_clock()
            return taken
        before = python_state.before_a_build(tuner.hypermodel)
        try:
            with tensorflow_hooks.custom_gradients_forgotten():
                taken.jobs = self._jobs.of(taken, before)
            taken.num_bytes = sum(
                memory.bytes_of_weights(job.steps) for job in taken.jobs
            )
        except UnsupportedModelError as error:
            changed = before.put_back() is not None
            taken.builds_next = changed or isinstance(error, SharedStateError)
            self._fall_back([taken], str(error))
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            taken.running.failure = error
        if self._window > 1:
            # A search that runs trials one by one learns it when the trial ends.
            tuner._local_oracle.update_space_early(trial, taken.running.asked_for.names)
        taken.running.stop_clock()
        return taken

    # Training them.

    def train(self, taken: list[PendingTrial]) -> None:
        """Trains the trials and ends each as soon as it is trained.

        Those that the deadline keeps from beginning are given back, and the next search
        begins with them.
        """
        self._is_first = True
        groups: dict[Any, list[Job]] = collections.defaultdict(list)
        for each in taken:
            if not each.jobs:
                self._end([each])
            for job in each.jobs:
                groups[job.group].append(job)
        for jobs in groups.values():
            self._train_group([job for job in jobs if job.taken.jobs])

    def _may_begin(self) -> bool:
        """Whether a training may begin: the first of those taken, or before the end."""
        is_first, self._is_first = self._is_first, False
        return is_first or not self.tuner._runner.session.deadline.is_over

    def _train_group(self, jobs: list[Job]) -> None:
        """Trains the jobs of one group, and ends the trials that are then trained."""
        if not jobs:
            return
        packs = pack_size.train_group(
            self._cache,
            jobs[0].steps,
            [job.start for job in jobs],
            jobs[0].plan.data,
            self._run_of(jobs),
            packed=self.tuner.options.packed_trials,
            jit_compile=bool(jobs[0].steps.model.jit_compile),
            told=self._logged,
        )
        while jobs and self._may_begin():
            began = time.perf_counter()
            try:
                with self._training(jobs):
                    outcomes = next(packs)
            except keras_tuner.errors.FatalError:
                raise
            except Exception as error:
                self._end_failed(jobs, error)
                return
            ended, jobs = jobs[: len(outcomes)], jobs[len(outcomes) :]
            seconds = (time.perf_counter() - began) / len(ended)
            self._end_trained(
                [
                    job.taken
                    for job, outcome in zip(ended, outcomes, strict=True)
                    if _took_in(job, outcome, seconds)
                ]
            )
        self._give_back([job.taken for job in jobs if job.taken.jobs])

    def _end_failed(self, jobs: list[Job], error: Exception) -> None:
        """Ends the trials of a group whose program raised an error."""
        if out_of_memory.is_out_of_memory(error):
            # It was alone, and the others may be spared it.
            failed = jobs[0].taken
            failed.running.failure, failed.jobs = error, []
            self._end([failed])
            self._train_group([job for job in jobs if job.taken.jobs])
            return
        trials = list(dict.fromkeys(job.taken for job in jobs))
        # Whether it is a trial's own error shows where each is trained by itself.
        self._fall_back(trials, packing.reason_of(error))
        self._end(trials)

    @contextlib.contextmanager
    def _training(self, jobs: list[Job]) -> Iterator[None]:
        """What goes on around a training."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(tensorflow_hooks.custom_gradients_forgotten())
            trial_id = jobs[0].taken.trial.trial_id
            stack.enter_context(self.tuner._kept_alive(trial_id))
            yield

    def _run_of(self, jobs: list[Job]) -> RunConfig:
        objective, plan = self.tuner.oracle.objective, jobs[0].plan
        sign = scores.sign(objective.direction)
        session = self.tuner._runner.session

        def stops(number: int, epoch: int, logs: dict[str, float]) -> bool:
            running, is_last = jobs[number].taken.running, epoch + 1 >= plan.epochs
            return session.cuts_off(running, is_last_epoch=is_last)

        return RunConfig(
            plan.epochs,
            plan.initial_epoch,
            on_epoch=stops if session.deadline.is_set else None,
            score_of=lambda logs: sign * float(objective.get_value(logs)),
            followers=[job.follower for job in jobs],
        )

    def _end_trained(self, trials: list[PendingTrial]) -> None:
        trained = [each for each in dict.fromkeys(trials) if each.is_trained]
        with self.tuner._local_oracle.deferred_writes():
            with files.batched_fsync():
                self._write_weights(trained)
            # The records are there before a trial counts as ended. Where another
            # process ends it, that one reads them at once.
            _is_leased = self.tuner._is_leased
            with contextlib.nullcontext() if _is_leased else files.batched_fsync():
                self._end(trained)

    def _write_weights(self, trained: list[PendingTrial]) -> None:
        """Writes the best weights of the trials that may be among the best ones."""
        best = {each.trial.trial_id: trial_jobs.best_job(each.jobs) for each in trained}
        found = {name: one for name, one in best.items() if one is not None}
        kept = self.tuner._local_oracle.checkpoint_candidates(
            {name: outcome.score for name, (_, outcome) in found.items()}
        )
        for name in kept:
            job, outcome = found[name]
            model = packing.put_into_model(job.steps, job.start, outcome)
            self.tuner._save_checkpoint(name, model)

    def _end(self, trials: list[PendingTrial]) -> None:
        for each in trials:
            is_left = not each.jobs and each.running.failure is None
            if is_left and not self._may_begin():
                self._give_back([each])
                continue
            if each.jobs:
                each.running.results = [job.follower.history for job in each.jobs]
            self.tuner._runner.trial = each.running
            each.running.start_clock()
            fit_args, fit_kwargs = each.given or (self.fit_args, self.fit_kwargs)
            self.tuner._run_and_update(each.trial, fit_args, fit_kwargs)
            self.tuner.on_trial_end(each.trial)

    def _give_back(self, trials: list[PendingTrial]) -> None:
        for trial in {each.trial.trial_id: each.trial for each in trials}.values():
            self.tuner._local_oracle.give_back(trial)

    def _fall_back(self, trials: list[PendingTrial], reason: str) -> None:
        """Leaves trials to `fit`, and logs why if that is news."""
        for each in trials:
            each.jobs = []
            each.running.executions.clear()
        if reason not in self._logged:
            self._logged.add(reason)
            _LOG.log(
                logging.WARNING if self.tuner.options.packed_trials else logging.INFO,
                "Trained by `fit`, one by one, since %s.",
                reason,
            )


def _took_in(job: Job, outcome: TrainingResult, seconds: float) -> bool:
    """Takes in how a training went, unless its trial has failed before."""
    taken = job.taken
    if not taken.jobs:
        return False
    job.outcome = outcome
    taken.running.add_seconds(seconds)
    if job.follower.error is not None:
        taken.running.failure, taken.jobs = job.follower.error, []
    return True


def _window_of(tuner: Any) -> int:
    """Returns how many trials a search takes at a time."""
    packed = tuner.options.packed_trials
    if packed is None or tuner._in_worker:
        # KerasTuner's chief lends one at a time.
        return 1
    size = pack_size.AUTO_SIZE if packed == "auto" else packed
    return size if tuner._local_oracle.is_adaptive else WINDOW * size
