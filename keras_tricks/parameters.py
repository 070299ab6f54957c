"""Counts of a model's parameters, held against the size of its data."""

import dataclasses
import math

import keras


def count_parameters(
    model: keras.Model | keras.Layer, trainable: bool | None = True
) -> int:
    """Returns the number of parameters of a built model or layer.

    `sum(prod(shape) for shape of each weight)`; a weight that several layers share
    counts once.

    Args:
        model: A built Keras model or layer.
        trainable: `True` counts the weights that training changes, `False` the other
            ones, `None` all.

    Raises:
        TypeError: If `model` is not a Keras model or layer.
        ValueError: If it is not built, so that it has no weights yet.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import count_parameters
    >>> count_parameters(keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)]))
    650
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(
            "`model` must be a Keras model or layer. "
            f"Received: model={model!r} (of type {type(model).__name__})"
        )
    if not model.built:
        raise ValueError(
            f"`model` must be built to have weights that can be counted. {model.name} "
            "is not: call model.build(input_shape), or start it with keras.Input."
        )
    if trainable is None:
        weights = model.weights
    else:
        weights = model.trainable_weights if trainable else model.non_trainable_weights
    distinct = {id(weight): weight for weight in weights}.values()
    return sum(math.prod(weight.shape) for weight in distinct)


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
    model: keras.Model | keras.Layer,
    num_samples: int,
    limit: float = 0.5,
    recommended: float = 0.1,
    *,
    strict: bool = False,
) -> ParameterBudget:
    """Holds a model's trainable parameters against the number of its samples.

    An old rule of thumb for small data: at most half as many parameters as samples,
    and a tenth is better. Regularized networks often do well far above it, so being
    over budget is a warning, not a verdict on the model.

    Args:
        model: A built Keras model or layer.
        num_samples: Training samples, > 0.
        limit: The largest `parameters / num_samples` that is within budget.
        recommended: The ratio to aim for.
        strict: Whether to raise when over budget.

    Returns:
        A `ParameterBudget`; `str()` of it is a sentence.

    Raises:
        ValueError: If `num_samples` is not positive, if `recommended` is larger than
            `limit`, or, with `strict=True`, if the model is over budget.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import check_parameter_budget
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    >>> print(check_parameter_budget(model, num_samples=1437))
    650 trainable parameters for 1,437 samples: 0.452 a sample, within the limit of 0.5, though 0.1 is better.
    """  # noqa: E501
    if isinstance(num_samples, bool) or not num_samples > 0:
        raise ValueError(
            f"`num_samples` must be positive. Received: num_samples={num_samples!r}"
        )
    if not 0 < recommended <= limit:
        raise ValueError(
            "`recommended` must be positive and at most `limit`. "
            f"Received: recommended={recommended!r}, limit={limit!r}"
        )
    budget = ParameterBudget(
        count_parameters(model), int(num_samples), float(limit), float(recommended)
    )
    if strict and budget.verdict == "over budget":
        raise ValueError(str(budget))
    return budget
