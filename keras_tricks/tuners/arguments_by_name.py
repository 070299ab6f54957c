"""Arguments that tuners and `search` take by name, for editors and type checkers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from typing import Literal
from typing import TypedDict

Packed = int | Literal["auto"] | None


class TunerArguments(TypedDict, total=False):
    """What every tuner takes beside its own arguments; see `RandomSearch`."""

    parameter_budget: float | None
    keep_checkpoints: int | None
    packed_trials: Packed
    reuse_programs: bool
    splits: Any
    groups: Any
    preprocess: Any
    # KerasTuner's own.
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
