"""A model's parameters held against the size of its data."""

import dataclasses
import html
import logging
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.parameters import counting
from keras_tricks.parameters.counting import Countable
from keras_tricks.parameters.counting import count_parameters

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ParameterBudget:
    """What `check_parameter_budget` found.

    Attributes:
        parameters: Trainable parameters of the model.
        num_samples: Samples in the training data.
        ratio: `parameters / num_samples`.
        limit: The ratio above which the model is over budget.
        recommended: The ratio up to which it is well within.
        verdict: `"recommended"`, `"within limit"` or `"over budget"`.

    Example:

    >>> from keras_tricks.parameters import ParameterBudget
    >>> ParameterBudget(650, 1000, limit=0.5, recommended=0.1).verdict
    'over budget'
    """

    parameters: int
    num_samples: int
    limit: float
    recommended: float

    @property
    def ratio(self) -> float:
        return self.parameters / self.num_samples

    @property
    def verdict(self) -> str:
        if self.ratio <= self.recommended:
            return "recommended"
        return "within limit" if self.ratio <= self.limit else "over budget"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"

    def __str__(self) -> str:
        advice = {
            "recommended": "well within the budget",
            "within limit": f"within the limit of {self.limit:g}, though "
            f"{self.recommended:g} is better",
            "over budget": f"over the limit of {self.limit:g}: take a smaller model, "
            "more data, or stronger regularization",
        }[self.verdict]
        return (
            f"{self.parameters:,} trainable parameters for {self.num_samples:,} "
            f"samples: {self.ratio:.3g} a sample, {advice}."
        )


def check_parameter_budget(
    model: Countable,
    num_samples: Any,
    limit: float = 0.5,
    recommended: float = 0.1,
    *,
    strict: bool = False,
    input_shape: Any = None,
    log: bool = False,
) -> ParameterBudget:
    """Holds a model's trainable parameters against the number of its samples.

    An old rule of thumb for small data: at most half as many parameters as samples,
    and a tenth is better. Regularized networks often do well far above it, so being
    over budget is a warning, not a verdict on the model.

    Args:
        model: What `count_parameters` takes; it is not allocated for this.
        num_samples: Training samples, > 0, or the data that hold them: an array, a
            tuple or dict of arrays (their first axis counts), a `tf.data.Dataset` of
            known cardinality, or a `keras.utils.PyDataset`. See `number_of_samples`
            in `keras_tricks.parameters.budget` for what a dataset's batches count.
        limit: The largest `parameters / num_samples` that is within budget.
        recommended: The ratio to aim for.
        strict: Whether to raise when over budget.
        input_shape: See `count_parameters`.
        log: Whether to write the sentence to this module's logger: at level
            `WARNING` when over budget, else at `INFO`.

    Returns:
        A `ParameterBudget`; `str()` of it is a sentence.

    Raises:
        TypeError: If `num_samples` is neither a number nor data.
        ValueError: If `num_samples` is not positive or the data do not tell it, if
            `recommended` is larger than `limit`, or, with `strict=True`, if the model
            is over budget.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import check_parameter_budget
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    >>> print(check_parameter_budget(model, num_samples=1437))
    650 trainable parameters for 1,437 samples: 0.452 a sample, within the limit of 0.5, though 0.1 is better.
    """  # noqa: E501
    counting.check_countable("model", model)
    strict, log = (
        _validation.check_flag("strict", strict),
        _validation.check_flag("log", log),
    )
    for name, ratio in (("limit", limit), ("recommended", recommended)):
        if not _validation.is_number(_validation.plain(ratio)):
            raise TypeError(
                f"`{name}` must be a number of parameters per sample. "
                f"{_validation.received(name, ratio, True)}"
            )
    limit, recommended = map(_validation.plain, (limit, recommended))
    if not 0 < recommended <= limit or limit > _validation.GREATEST:
        raise ValueError(
            "`recommended` must be positive and at most `limit`. "
            f"{_validation.received('recommended', recommended)}, "
            f"limit={_validation.shown(limit)}"
        )
    samples = number_of_samples(num_samples)
    budget = ParameterBudget(
        count_parameters(model, input_shape=input_shape),
        samples,
        float(limit),
        float(recommended),
    )
    over = budget.verdict == "over budget"
    if log:
        logger.log(logging.WARNING if over else logging.INFO, "%s", budget)
    if strict and over:
        raise ValueError(str(budget))
    return budget


def number_of_samples(data: Any) -> int:
    """Returns the number of samples in training data, or `data` if it is a number.

    A `tf.data.Dataset` is taken as `fit` takes it, in batches, unless the leading
    sizes of its components differ or one has none. Where batches may be smaller than
    the others, TensorFlow does not know the number of samples, and the dataset is read
    once, from the beginning to the end. Of a `PyDataset` the first and the last batch
    are read; those in between count as the first.

    Raises:
        TypeError: If `data` is none of what `check_parameter_budget` takes.
        ValueError: If the number is not positive, if arrays have different numbers of
            rows, or if the dataset is infinite or of unknown cardinality.
    """
    if hasattr(data, "element_spec") and hasattr(data, "cardinality"):
        count = _samples_of_dataset(data)
    elif isinstance(data, keras.utils.PyDataset):
        count = _samples_of_py_dataset(data)
    elif hasattr(data, "shape") and len(data.shape):
        count = int(data.shape[0])
    elif isinstance(data, tuple | list | dict):
        count = _first_size(data)
        _check_sizes(data, count)
    elif isinstance(data, bool) or not hasattr(data, "__index__"):
        raise TypeError(
            "`num_samples` must be a whole number, an array, a tuple or dict of "
            "arrays, a tf.data.Dataset or a keras.utils.PyDataset. "
            f"{_validation.received('num_samples', data, True)}"
        )
    else:
        count = _validation.check_int("num_samples", data.__index__(), minimum=-(2**63))
    if count <= 0:
        raise ValueError(
            "`num_samples` must be positive. "
            f"{_validation.received('num_samples', data)}"
        )
    return count


def _check_sizes(data: Any, count: int) -> None:
    sizes = [leaf.shape[0] for leaf in keras.tree.flatten(data) if _has_rows(leaf)]
    if any(size not in (count, None) for size in sizes):
        raise ValueError(
            "`num_samples` must hold arrays with equally many rows. Received: arrays "
            f"with {', '.join(map(str, sizes))} rows"
        )


def _has_rows(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and len(leaf.shape) > 0


def _samples_of_dataset(dataset: Any) -> int:
    elements = int(dataset.cardinality())
    if elements < 0:
        raise ValueError(
            "The number of batches of the dataset must be known. Use "
            "`tf.data.experimental.assert_cardinality`, or `take` of an infinite one. "
            f"{_validation.received('num_samples', dataset)}"
        )
    shapes = [spec.shape for spec in keras.tree.flatten(dataset.element_spec)]
    if any(shape.rank == 0 for shape in shapes):
        return elements
    leading = {shape[0] if shape.rank else None for shape in shapes}
    if len(leading) > 1:
        return elements
    (batch_size,) = leading
    if batch_size is not None:
        return elements * batch_size
    return sum(_first_size(batch) for batch in dataset)


def _samples_of_py_dataset(dataset: keras.utils.PyDataset) -> int:
    try:
        batches = dataset.num_batches
    except NotImplementedError:  # As Keras's own has it, without `__len__`.
        batches = None
    if batches is None:
        raise ValueError(
            "The number of batches of the PyDataset must be known: implement "
            f"`__len__`. {_validation.received('num_samples', dataset)}"
        )
    if batches == 0:
        return 0
    last = _first_size(dataset[batches - 1])
    return (batches - 1) * _first_size(dataset[0]) + last if batches > 1 else last


def _first_size(arrays: Any) -> int:
    """Returns the number of rows in a structure of arrays."""
    for leaf in keras.tree.flatten(arrays):
        if _has_rows(leaf):
            return int(leaf.shape[0])
    raise TypeError(
        "`num_samples` must hold arrays whose first axis counts the samples. "
        f"{_validation.received('num_samples', arrays)}"
    )
