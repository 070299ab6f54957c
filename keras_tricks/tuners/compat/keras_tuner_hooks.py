"""The private KerasTuner names that this package uses, and why.

Everything else in the package uses public KerasTuner only. Each name below has a test
of its own, so that a KerasTuner release that moves one of them fails there, by name.

| private name | seen in KerasTuner | why no public one serves |
|---|---|---|
| `Tuner._build_hypermodel` | 1.4.7, 1.4.8 | the only place between `clear_session`, which drops Keras's global seed, and the build of the model, which draws from it |
| `Tuner._try_build` | 1.4.7, 1.4.8 | builds the model whose weights are loaded; the public `load_model` loads none into a subclassed model without inputs |
| `Tuner._override_compile_args` | 1.4.7, 1.4.8 | compiles a model again with the tuner's `optimizer`, `loss` or `metrics`, and with metrics that are built already, of which nothing can be serialized; a model that is not compiled has no optimizer to be replaced |
| `Tuner._deepcopy_callbacks` | 1.4.7, 1.4.8 | copies the callbacks for each execution, as `run_trial` does, and explains it where that cannot be |
| `Tuner._configure_tensorboard_dir` | 1.4.7, 1.4.8 | imports tensorboard for every trial, whether or not there is a TensorBoard callback; TensorFlow no longer brings tensorboard from 2.21 on |
| `HyperParameters._retrieve` | 1.4.7, 1.4.8 | what all of `hp.Int`, `hp.Float`, ... call: it returns the value of the first hyperparameter of a name, whatever range the second one has |
| `Oracle._check_consecutive_failures` | 1.4.7, 1.4.8 | raises before the failed trial is saved, with the last message only, and counts a diverged trial as a fault of the program |
| `Oracle._seed_state` | 1.4.7, 1.4.8 | the seed of the next random setting, which grows by one with each: searches with seeds 0 and 1 would share nearly all their settings |
| `Oracle._random_values` | 1.4.7, 1.4.8 | gives up after 20 settings that were tried already, while there are others left in a small space |
| `Oracle._duplicate` | 1.4.7, 1.4.8 | tells settings that were tried already |
| `Oracle._record_values` | 1.4.7, 1.4.8 | adds a trial's settings to those that were tried; replaces the value of one of two hyperparameters of the same name by a random one |
| `Oracle._compute_values_hash` | 1.4.7, 1.4.8 | what settings are known by among those that were tried |
| `Oracle._tried_so_far` | 1.4.7, 1.4.8 | holds them; the settings of a lost trial must leave it |
| `Oracle._id_to_hash` | 1.4.7, 1.4.8 | tells which of them are a trial's |
| `Oracle._run_times` | 1.4.7, 1.4.8 | counts the attempts of each trial, to be restored when `oracle.json` is lost |
| `Oracle._retry_queue` | 1.4.7, 1.4.8 | holds the trials to run again: those that a killed process left |
| `Oracle._project_dir` | 1.4.7, 1.4.8 | the folder of the project |
| `Oracle._set_project_dir` | 1.4.7, 1.4.8 | sets it; a relative one would change with the working directory |
| `Oracle._get_oracle_fname` | 1.4.7, 1.4.8 | the file of the oracle's state, which the public `save` writes in place, so that it is cut off when the process is killed |
| `Oracle._get_trial_dir` | 1.4.7, 1.4.8 | a trial's folder |
| `Oracle._save_trial` | 1.4.7, 1.4.8 | writes `trial.json` in place |
| `BaseTuner._populate_initial_space` | 1.4.7, 1.4.8 | finds the space as it is now; KerasTuner omits it when it resumes, and takes the saved space unseen |
| `BaseTuner._get_tuner_fname` | 1.4.7, 1.4.8 | the file of the tuner's state, which the public `save` writes in place |
| `BaseTuner._try_run_and_update_trial` | 1.4.7, 1.4.8 | a step of the public `search`, which runs one trial after the other |
| `BaseTuner._is_worker` | 1.4.7, 1.4.8 | whether the oracle is another process's |
| `Tuner._get_checkpoint_fname` | 1.4.7, 1.4.8 | the file of a trial's weights, whose absence shall be explained |
| `Tuner._build_and_fit_model` | 1.4.7, 1.4.8 | where `SaveBestEpoch` is among the callbacks, and around the writing of `build_config.json`; who overrides it, as AutoKeras does, trains in another way |
| `Tuner._get_build_config_fname` | 1.4.7, 1.4.8 | the file of what a model was built for, which is written in place |
| `tuner_utils.SaveBestEpoch` | 1.4.7, 1.4.8 | writes the weights in place |
| `SaveBestEpoch._save_model` | 1.4.7, 1.4.8 | what it calls when an epoch was the best one: `AtomicCheckpoint` takes its place |
| `oracle_chief.OracleServicer` | 1.4.7, 1.4.8 | translates the workers' requests; the server around it never ends when a worker dies, and otherwise 20 seconds late |
| `protos` | 1.4.7, 1.4.8 | registers it |
| `Oracle._display` | 1.4.7, 1.4.8 | prints the settings of every trial through our progress bar; the public `verbose` would do, if `search` did not set it |
| `BayesianOptimizationOracle._vectorize_trials` | 1.4.7, 1.4.8 | what the Gaussian process is shown, which passes over failed trials: it suggests a region that diverges again and again |
| `BayesianOptimizationOracle._random_state` | 1.4.7, 1.4.8 | is not saved, so that a resumed search would repeat the random starting points of the first trials |
"""  # noqa: E501

import collections
import contextlib
import copy
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _keras_state
from keras_tricks.tuners import errors
from keras_tricks.tuners import seeds
from keras_tricks.tuners.compat import keras_hooks
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.search_space import exploration
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.roles import Roles
from keras_tricks.tuners.storage import checkpoints
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import seals

# The statuses of KerasTuner's trials that are over.
ENDED = ("COMPLETED", "FAILED")
# What a mixin inherits from, that stands before a class of KerasTuner's: to a type
# checker a class that may have any attribute, since that one's has them.
BeforeKerasTuner: Any = object


class _WithoutReloading(io.TextIOBase):
    """Passes on what is printed, but for KerasTuner's word on reloading."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.is_left_out = False

    def write(self, text: str) -> int:
        if text.startswith("Reloading Tuner from"):
            self.is_left_out = True
        elif self.is_left_out and text == "\n":
            self.is_left_out = False
        else:
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


@contextlib.contextmanager
def silent_reload() -> Iterator[None]:
    """Keeps KerasTuner from telling of a tuner that the user has not made."""
    with contextlib.redirect_stdout(_WithoutReloading(sys.stdout)):
        yield


class _Lenient(io.TextIOBase):
    """Passes on what is printed; characters that the stream lacks as their numbers."""

    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(
                text.encode(encoding, "backslashreplace").decode(encoding)
            )
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()


@contextlib.contextmanager
def lenient_output(path: Path) -> Iterator[None]:
    """Lets KerasTuner tell of a path that standard output may not be able to show."""
    try:
        str(path).encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        is_fit = not getattr(sys.stdout, "closed", False)
    except ValueError:
        is_fit = False
    if is_fit:
        yield
        return
    with contextlib.redirect_stdout(_Lenient(sys.stdout)):
        yield


def has_tensorboard(callbacks: Iterable[Any]) -> bool:
    """Whether a TensorBoard callback, by KerasTuner's own test, is among them."""
    return any(type(callback).__name__ == "TensorBoard" for callback in callbacks)


def atomic(callback: Any) -> checkpoints.AtomicCheckpoint:
    """Returns a `SaveBestEpoch` whose file is whole or not there."""
    found = checkpoints.AtomicCheckpoint(callback)
    callback._save_model = found.save
    return found


@contextlib.contextmanager
def ranges_watched(
    hp: keras_tuner.HyperParameters,
    on_asked: Callable[[Any, Any, Any], None],
    replaced: Callable[[Any], Any] = lambda asked: asked,
) -> Iterator[None]:
    """Tells of each hyperparameter of `hp` that is asked for inside of the block.

    Args:
        hp: The hyperparameters.
        on_asked: Called with `hp`, the one that there is under that name and
            conditions, or None, and the one that was asked for.
        replaced: Returns what is registered in the place of what was asked for.
    """
    if "_retrieve" in vars(hp):  # It is watched already.
        yield
        return
    retrieve = hp._retrieve

    def watched(asked: Any) -> Any:
        asked = replaced(asked)
        on_asked(hp, known_as(asked, hp.space), asked)
        return retrieve(asked)

    hp._retrieve = watched
    try:
        yield
    finally:
        del hp._retrieve


def known_as(asked: Any, space: Iterable[Any]) -> Any:
    """Returns the hyperparameter of that name and those conditions, or None."""
    for known in space:
        if known.name == asked.name and known.conditions == asked.conditions:
            return known
    return None


class TunerHooks(BeforeKerasTuner):
    """Goes before `keras_tuner.Tuner` and calls methods where it has none."""

    oracle: Any
    hypermodel: Any
    optimizer: Any
    distribution_strategy: Any
    # Whether the oracle, and all that is saved, belong to the process that searches.
    _is_leased: bool = False
    # A trial's ID, and where its `build_config.json` is while it is not whole.
    _unfinished_build_config: tuple[str, Path] | None = None
    project_dir: str
    # Names whose ranges `hyperparameters` gave, whatever the hypermodel asks for.
    _given_names: frozenset[str] | None = None
    _roles: Roles = Roles()
    # Whether the space was sought at random points.
    _space_was_drawn: bool = False

    def _on_build_begin(self) -> None:
        """Called when Keras's state is clear, just before a model is built."""

    def _on_build_end(
        self, model: keras.Model, hp: keras_tuner.HyperParameters
    ) -> None:
        """Called when a model has been built."""

    def _asked(self, hp: keras_tuner.HyperParameters) -> Any:
        """Called around what user code makes of the hyperparameters."""
        return contextlib.nullcontext()

    def _on_asked(
        self, hp: keras_tuner.HyperParameters, known: Any, asked: Any
    ) -> None:
        """Called when a trial asks for a hyperparameter.

        Args:
            hp: The trial's hyperparameters.
            known: The one that there is under its name and conditions, or None.
            asked: The one that is asked for.
        """

    def _on_space_populated(self) -> None:
        """Called when the space is known that the hypermodel now has."""

    def _on_load_begin(self) -> None:
        """Called before a model is built outside of a search."""

    def _apply_keras_settings(self) -> None:
        """Called before a model is built of which nobody takes note."""

    @property
    def _is_in_trial(self) -> bool:
        """Whether a trial is running."""
        return False

    @property
    def _in_worker(self) -> bool:
        """Whether the oracle is that of KerasTuner's chief process."""
        return self._is_worker()

    def _checkpoint_file(self, trial_id: str) -> Path:
        """Returns the file of a trial's weights."""
        return Path(self._get_checkpoint_fname(trial_id))

    def _digest_of(self, trial_id: str) -> str | None:
        """Returns the SHA-256 of the file of a trial's weights, or None."""
        return None

    @property
    def _fits_as_keras_tuner_does(self) -> bool:
        """Whether no subclass has its own way to build and fit a model."""
        own = type(self)._build_and_fit_model
        inner = super()._build_and_fit_model
        return (
            own is TunerHooks._build_and_fit_model
            and inner.__func__ is keras_tuner.Tuner._build_and_fit_model
        )

    def _built_model(self, hp: keras_tuner.HyperParameters) -> Any:
        """Builds a model as a trial does, among those that are there already."""
        from keras_tricks.training.compiled import keras_hooks  # It needs TensorFlow.

        with keras_hooks.names_begin_anew():
            return self._build_hypermodel(hp)

    def _spare_model(self, hp: keras_tuner.HyperParameters) -> Any:
        """Builds a trial's model once more, of which nobody takes note."""
        from keras_tricks.training.compiled import keras_hooks

        self._apply_keras_settings()
        with keras_hooks.names_begin_anew():
            return super()._build_hypermodel(hp)

    def _callbacks_of(self, trial: Any, execution: int, callbacks: list[Any]) -> list:
        """Returns a trial's own copies of callbacks, as `run_trial` makes them."""
        copies = self._deepcopy_callbacks(callbacks)
        self._configure_tensorboard_dir(copies, trial, execution)
        return copies

    def _next_trial(self, number: int) -> Any:
        """Asks the oracle for one more trial, beside the `number` that run here."""
        name = self.tuner_id
        return self.oracle.create_trial(f"{name}+{number}" if number else name)

    def _run_and_update(
        self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> None:
        """Runs a trial and tells the oracle its metrics, or keeps its error."""
        self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)

    def _save_checkpoint(self, trial_id: str, model: keras.Model) -> None:
        """Writes the weights of `model`, and what `load_model` builds it by."""
        path = self._checkpoint_file(trial_id)
        try:
            # As KerasTuner writes it, without a checksum.
            config = json.dumps(model.get_build_config() or {})
            files.write_text(self._get_build_config_fname(trial_id), config)
            checkpoints.write_weights(path, model)
        except Exception as error:
            if files.is_full_disk(error):
                raise files.storage_error(error, path) from error
            raise

    def save(self) -> None:
        """Saves the oracle and the tuner, each file whole or not at all."""
        if self._is_leased:
            return
        if not self._in_worker:
            self.oracle.save()
        state = self.get_state()
        path = self._get_tuner_fname()
        files.write_json(path, state, durable=False)

    def reload(self) -> None:
        """Resumes the project, if what it holds is this search."""
        self._populate_initial_space()

    def _reload_state(self) -> None:
        """Restores the tuner's own state, if its file can be read."""
        path = Path(self._get_tuner_fname())
        if not os.path.lexists(path):
            return
        try:
            state = seals.Seal.of(self.project_dir).read(path)
        except errors.DamagedFileError as error:
            warnings.warn(f"{error}. The tuner's own state is new.", stacklevel=2)
            return
        self.set_state(state)

    def _populate_initial_space(self) -> None:
        hypermodel = self.hypermodel
        if self._given_names is None:
            known = self.oracle.get_space().space
            self._given_names = frozenset(
                (*(parameter.name for parameter in known), *self._roles.fixed)
            )
        if hypermodel is not None:
            exploring = exploration.Exploring(hypermodel, self.oracle.seed, self._roles)
            self.hypermodel = exploring
        try:
            with KerasSettings.kept(), exploration.repeatable(self.oracle):
                super()._populate_initial_space()
        finally:
            self.hypermodel = hypermodel
        self._space_was_drawn = hypermodel is not None and exploring.has_drawn
        self._on_space_populated()

    def _ranges_watched(
        self, hp: keras_tuner.HyperParameters
    ) -> contextlib.AbstractContextManager[None]:
        """Has `_on_asked` called for all that is asked for inside of the block."""
        return ranges_watched(hp, self._on_asked, self._roles.replaced)

    def _has_given_range(self, name: str) -> bool:
        """Whether the range of a name is not the hypermodel's to say."""
        return name.startswith("tuner/") or name in (self._given_names or ())

    def _loaded_model(self, trial: Any) -> keras.Model:
        """Builds a trial's model, and loads the weights of its best epoch."""
        with KerasSettings.kept():
            self._on_load_begin()
            # Which clears Keras's dtype policy, too.
            model = self._try_build(trial.hyperparameters)
            self._load_weights_of(trial.trial_id, model)
        return model

    def _load_weights_of(self, trial_id: str, model: keras.Model) -> None:
        """Loads the weights of a trial's best epoch into a model as it was built.

        Raises:
            ValueError: If there are none, or the model has none without data.
            DamagedFileError: If they are not those that the trial has saved.
        """
        path, saved = self._checkpoint_file(trial_id), self._digest_of(trial_id)
        if saved is not None:
            checkpoints.check(path, trial_id, saved)
        elif not os.path.lexists(path):
            raise ValueError(
                f"Trial {trial_id} has saved no weights. The `fit` of the hypermodel "
                "must hand its `callbacks`, and the epochs, on to the model's. "
                f"Received: no file {path}"
            )
        if not keras_hooks.is_built(model):
            file = self._get_build_config_fname(trial_id)
            model.build_from_config(files.read_json(file) or {})
            if not model.weights:
                raise ValueError(
                    f"The model of trial {trial_id} cannot be built without data, so "
                    "that its weights cannot be loaded. Begin it with `keras.Input`, "
                    "or give it the methods `get_build_config` and "
                    f"`build_from_config`. Received: {model!r}"
                )
            # As `keras.models.load_model` does behind it.
            model.built = True
        with (
            keras_tuner.engine.tuner.maybe_distribute(self.distribution_strategy),
            warnings.catch_warnings(),
        ):
            # Weights were asked for. The optimizer begins anew, as by KerasTuner.
            warnings.filterwarnings(
                "ignore", "Skipping variable loading for optimizer", UserWarning
            )
            try:
                model.load_weights(path)
            except Exception as error:  # HDF5 and Keras have many, without the name.
                raise errors.DamagedFileError(
                    f"{path} is damaged, or of another model than the hypermodel now "
                    f"builds ({type(error).__name__}: {error})"
                ) from error

    def _build_and_fit_model(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        from keras_tuner.src.engine import tuner_utils

        kwargs["callbacks"] = [
            atomic(callback)
            if isinstance(callback, tuner_utils.SaveBestEpoch)
            else callback
            for callback in kwargs.get("callbacks") or ()
        ]
        with (
            files.atomic_write(self._get_build_config_fname(trial.trial_id)) as file,
            self._asked(trial.hyperparameters),
            self._ranges_watched(trial.hyperparameters),
        ):
            self._unfinished_build_config = trial.trial_id, file
            try:
                return super()._build_and_fit_model(trial, *args, **kwargs)
            finally:
                self._unfinished_build_config = None

    def _get_build_config_fname(self, trial_id: str) -> str:
        unfinished = self._unfinished_build_config
        if unfinished is not None and unfinished[0] == trial_id:
            return str(unfinished[1])
        return super()._get_build_config_fname(trial_id)

    def _try_build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        with _keras_state.LOCK:  # It clears the session.
            return super()._try_build(hp)

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self._on_build_begin()
        with contextlib.ExitStack() as stack:
            if self._is_in_trial:
                stack.enter_context(self._ranges_watched(hp))
            model = super()._build_hypermodel(hp)
        if not isinstance(model, keras.Model):
            # As KerasTuner says it, before anything looks at the model.
            raise keras_tuner.errors.FatalTypeError(
                "Expected the model-building function, or HyperModel.build() to return "
                f"a valid Keras Model instance. Received: {model} of type {type(model)}"
            )
        self._on_build_end(model, hp)
        return model

    def _override_compile_args(self, model: Any) -> None:
        wanted = {
            name: getattr(self, name)
            for name in ("optimizer", "loss", "metrics")
            if getattr(self, name)
        }
        if not wanted or not isinstance(model, keras.Model):
            return
        if not isinstance(wanted.get("optimizer", ""), str):
            # Each model has one of its own.
            config = keras.optimizers.serialize(self.optimizer)
            wanted["optimizer"] = keras.optimizers.deserialize(config)
        given = keras_hooks.compile_arguments(model)
        if type(model).compile is not keras.Model.compile:
            # It may not know the other names.
            names = ("optimizer", "loss", "metrics")
            given = {name: given[name] for name in names if name in given}
        model.compile(**{**given, **wanted})

    def _configure_tensorboard_dir(
        self, callbacks: list[Any], trial: Any, execution: int = 0
    ) -> None:
        if has_tensorboard(callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)


class HyperbandHooks(keras_tuner.Hyperband):
    """Hyperband whose trials go on from models without inputs, too."""

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> Any:
        # Past KerasTuner's, which loads the weights.
        model = super(keras_tuner.Hyperband, self)._build_hypermodel(hp)
        below = hp.values.get("tuner/trial_id")
        if below is not None and self._continues and isinstance(model, keras.Model):
            self._load_weights_of(below, model)
        return model

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> Any:
        # Past KerasTuner's, which goes on from the epoch of the rung below.
        args, kwargs = self._fit_arguments_of(trial, fit_args, fit_kwargs)
        return super(keras_tuner.Hyperband, self).run_trial(trial, *args, **kwargs)

    @property
    def _continues(self) -> bool:
        """Whether a promoted trial goes on from the weights of the one below."""
        return True

    _fit_arguments_of: Any
    _load_weights_of: Any


class OracleHooks(BeforeKerasTuner):
    """Goes before a `keras_tuner.Oracle`: quiet, and without its limit of failures."""

    # What stood on disk when this process last saved or read it.
    version_on_disk: Any = None
    # Trials to be written, and whether the oracle is, while writing is put off.
    deferred: dict[str, Any] | None = None
    is_to_be_saved: bool = False

    seed: int
    objective: Any
    update_space: Any
    trials: dict[str, Any]
    start_order: list[str]
    end_order: list[str]
    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]
    get_state: Any
    _compute_values_hash: Any
    _display: Any
    _duplicate: Any
    _get_oracle_fname: Any
    _get_trial_dir: Any
    _id_to_hash: dict[str, str | None]
    _project_dir: str
    _set_project_dir: Any
    _retry_queue: list[str]
    _run_times: dict[str, int]
    _tried_so_far: set[str | None]

    def quieten(self) -> None:
        """Stops KerasTuner's own printing."""
        self._display.verbose = 0

    def seed_suggestion(self, trial_id: str) -> None:
        """Makes random settings a function of the search's seed and the trial."""
        self._seed_state = seeds.derived_seed(self.seed, trial_id, "settings")

    @property
    def folder(self) -> Path:
        """The folder of the project."""
        return Path(self._project_dir)

    def set_folder(self, directory: str, project_name: str) -> None:
        """Sets the folder of the project."""
        self._set_project_dir(directory, project_name)

    @contextlib.contextmanager
    def deferred_writes(self) -> Iterator[None]:
        """Puts off what is written inside: each file is written once, at the end."""
        if self.deferred is not None:
            yield
            return
        self.deferred, self.is_to_be_saved = {}, False
        try:
            yield
        finally:
            trials, self.deferred = self.deferred, None
            for trial in trials.values():
                self._save_trial(trial)
            if self.is_to_be_saved:
                self.save()

    def save(self) -> None:
        """Saves all but the trials, if that is due."""
        if self.deferred is not None:
            self.is_to_be_saved = True
            return
        if self.is_save_due():
            self.save_now()

    def is_save_due(self) -> bool:
        """Whether what a save writes is to be written now."""
        return True

    def save_now(self) -> None:
        """Saves all but the trials, whole or not at all."""
        # What a machine that goes down takes with it comes back from the records.
        files.write_json(self._get_oracle_fname(), self.get_state(), durable=False)
        self.version_on_disk = files.version(self._get_oracle_fname())

    def read_state(self) -> dict[str, Any]:
        """Returns what `save` wrote."""
        self.version_on_disk = files.version(self._get_oracle_fname())
        return seals.Seal.of(self.folder).read(self._get_oracle_fname())

    def was_changed_on_disk(self) -> bool:
        """Whether another process has saved since this one saved or read."""
        return files.version(self._get_oracle_fname()) != self.version_on_disk

    def unseen_values(self) -> dict[str, Any] | None:
        """Returns random settings that were not tried, or None if none are left."""
        return self._random_values()

    def record_values(self, trial: Any) -> None:
        """Counts the settings of a trial, as they are now, among those tried."""
        self._record_values(trial)

    def is_duplicate(self, values: dict[str, Any]) -> bool:
        """Whether settings were tried already, in a trial that has begun."""
        return self._duplicate(values)

    def forget_values(self, trial_id: str) -> None:
        """Lets the settings of a trial be suggested again."""
        self._tried_so_far.discard(self._id_to_hash.pop(trial_id, None))

    def forget_history(self) -> None:
        """Clears what `restore_history` derives from the trials."""
        self.start_order = []
        self.end_order = []
        self._run_times = collections.defaultdict(int)
        self._tried_so_far = set()
        self._id_to_hash = collections.defaultdict(lambda: None)

    def restore_history(self, trials: Iterable[Any]) -> None:
        """Makes the order of the trials, and what is to be run, agree with `trials`.

        KerasTuner saves a trial and the oracle one after the other, and may be killed
        in between. The trials are right.
        """
        unfinished, trials = [], list(trials)
        known = {trial.trial_id for trial in trials}
        self.start_order = [
            one for one in dict.fromkeys(self.start_order) if one in known
        ]
        self.end_order = [one for one in dict.fromkeys(self.end_order) if one in known]
        started, ended = set(self.start_order), set(self.end_order)
        for trial in trials:
            if trial.trial_id not in started:
                self.start_order.append(trial.trial_id)
                # It may have asked for more than was known when the rest was saved.
                self.update_space(trial.hyperparameters)
            if trial.status in ENDED:
                if trial.trial_id not in ended:
                    self.end_order.append(trial.trial_id)
                self._run_times[trial.trial_id] = (
                    self._run_times.get(trial.trial_id) or 1
                )
            else:
                unfinished.append(trial.trial_id)
            if trial.hyperparameters.values and not self._id_to_hash[trial.trial_id]:
                self._record_values(trial)
        # KerasTuner takes from the end.
        self._retry_queue = unfinished[::-1]
        self.ongoing_trials = {}
        self.tuner_ids = set()

    def run_again(self, trial_id: str) -> None:
        """Sends a trial, whose worker is gone, to the next worker that asks."""
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                del self.ongoing_trials[tuner_id]
                self.tuner_ids.discard(tuner_id)
        if trial_id not in self._retry_queue:
            self._retry_queue.append(trial_id)

    def run_again_what_was_interrupted(self) -> None:
        """Has the next search, in whatever way, begin with what this one left."""
        for trial in list(self.ongoing_trials.values()):
            self.run_again(trial.trial_id)

    @property
    def are_trials_waiting(self) -> bool:
        """Whether trials are to be run again."""
        return bool(self._retry_queue)

    def is_waiting(self, trial_id: str) -> bool:
        """Whether a trial is to be run again."""
        return trial_id in self._retry_queue

    def _record_values(self, trial: Any) -> None:
        points.keep_active(trial.hyperparameters)
        tried = self._compute_values_hash(trial.hyperparameters.values)
        self._tried_so_far.add(tried)
        before = self._id_to_hash[trial.trial_id]
        if before != tried:
            # A hyperparameter has appeared meanwhile.
            self._id_to_hash[trial.trial_id] = tried
            self._tried_so_far.discard(before)

    def _random_values(self) -> dict[str, Any] | None:
        values = super()._random_values()
        return self.remaining_values() if values is None else values

    def remaining_values(self) -> dict[str, Any] | None:
        """Called when random settings were all tried before."""
        return None

    def _save_trial(self, trial: Any) -> None:
        if self.deferred is not None:
            self.deferred[trial.trial_id] = trial
            return
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        # By the seed it is known as this search's.
        state = {**trial.get_state(), seals.SEED: self.seed}
        files.write_json(path, state, durable=False)

    def _check_consecutive_failures(self) -> None:
        # The tuner counts, after the trial has been saved.
        pass


def placed(trial: Any, space: list[Any]) -> tuple[bool, Any]:
    """Returns whether a trial has a place in `space`, and it, or what of it has one."""
    values = trial.hyperparameters.values
    outside = points.names_out_of_range(space, values)
    if not outside:
        return True, trial
    trial = copy.copy(trial)
    trial.hyperparameters = trial.hyperparameters.copy()
    for name in outside:
        del trial.hyperparameters.values[name]
    return False, trial


class BayesianOracleHooks(OracleHooks):
    """The same for `keras_tuner.oracles.BayesianOptimizationOracle`."""

    def seed_suggestion(self, trial_id: str) -> None:
        """Seeds the points from which the best suggestion is sought, too."""
        super().seed_suggestion(trial_id)
        seed = seeds.derived_seed(self.seed, trial_id, "starting points")
        self._random_state = np.random.RandomState(seed)

    def _vectorize_trials(self) -> tuple[np.ndarray, np.ndarray]:
        """Shows the Gaussian process failed trials, too, with the worst score.

        But for those that failed by an initial setting outside of its range.
        """
        every, ongoing = self.trials, self.ongoing_trials
        scores = [t.score for t in every.values() if t.status == "COMPLETED"]
        worst = (min if self.objective.direction == "max" else max)(scores)
        self.trials = {}
        for trial_id, trial in every.items():
            has_place, trial = placed(trial, self.hyperparameters.space)
            # One whose files were lost has no settings.
            if has_place and trial.status == "FAILED" and trial.hyperparameters.values:
                trial = copy.copy(trial)
                trial.status, trial.score = "COMPLETED", worst
            self.trials[trial_id] = trial
        self.ongoing_trials = {
            tuner_id: self.trials.get(trial.trial_id, trial)
            for tuner_id, trial in ongoing.items()
        }
        try:
            return super()._vectorize_trials()
        finally:
            self.trials, self.ongoing_trials = every, ongoing
