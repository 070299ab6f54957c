"""Types of what tuners and `search` take, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Protocol
from typing import TypeAlias
from typing import TypedDict

import keras
import keras_tuner

HyperModelLike: TypeAlias = (
    keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model]
)
ObjectiveLike: TypeAlias = (
    str | keras_tuner.Objective | list[str | keras_tuner.Objective]
)
Packed = int | Literal["auto"] | None
InitialSettings = list[
    dict[str, Any] | keras_tuner.HyperParameters | Literal["default"]
]


class RolesLike(TypedDict, total=False):
    """What hyperparameters are to a search; see `RandomSearch`."""

    scientific: Sequence[str]
    nuisance: Sequence[str]
    fixed: Mapping[str, Any]


class TunerArguments(TypedDict, total=False):
    """What every tuner takes of `keras_tuner.Tuner`; see `RandomSearch`."""

    executions_per_trial: int
    max_model_size: int | None
    optimizer: Any
    loss: Any
    metrics: Any
    distribution_strategy: Any
    directory: str | Path | None
    project_name: str | None
    logger: Any
    tuner_id: str | None
    overwrite: bool


class HyperbandArguments(TunerArguments, total=False):
    """The same, and what `Hyperband` takes at the end."""

    max_trials: int | None


class FitArguments(TypedDict, total=False):
    """What `keras.Model.fit` takes, and with it `search`.

    The `fit` of a hypermodel may take more: a type checker lets `search(**arguments)`
    pass where `arguments` is a `dict[str, Any]`.
    """

    x: Any
    y: Any
    batch_size: int | None
    epochs: int
    verbose: int | Literal["auto"]
    callbacks: Any
    validation_split: float | None
    validation_data: Any
    shuffle: bool | str
    class_weight: dict[int, float] | None
    sample_weight: Any
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: Any


class TrialTuner(Protocol):
    """The tuner of a trial, as `TrialRunner` is told of it."""

    oracle: Any
    hypermodel: Any
    max_model_size: int | None
    distribution_strategy: Any

    def get_trial_dir(self, trial_id: str) -> str: ...
    def _checkpoint_file(self, trial_id: str) -> Path: ...


class SearchingTuner(Protocol):
    """The tuner of a search, as its worker processes are told of it."""

    oracle: Any
    hypermodel: Any
    project_dir: str
    options: Any
    _runner: Any

    def save(self) -> None: ...
    def _ended_records(self) -> list[Any]: ...
    def _logs_are_known(self) -> bool: ...
    def _show(self, record: Any) -> None: ...
    def _ranges_watched(self, hp: Any) -> Any: ...
