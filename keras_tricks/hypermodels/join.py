"""Several kinds of inputs, each with a network of its own, and one head for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.tasks.arrays import refuse


class HyperJoin(SupervisedHyperModel):
    """Networks side by side, one for each input, joined below one head.

    Each of the hypermodels gives the features that it would classify, the head has them
    side by side and passes them through dense layers. Examples are dictionaries with
    the names of the hypermodels: `fit(hp, model, {"image": images, "table": rows}, y)`.

    A hypermodel's hyperparameters have its name in front, as in `"image/blocks"`, so
    that two of one kind have values of their own. Those of the head, the optimizer and
    the loss have none:

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `layers` (of the head) | 0 to 2 | linear | 1 | structural | 1 |
    | `units` (of each) | 16 to 512, powers of two | log | 128 | structural | 1 |
    | `activation` | fixed | | `"relu"` | structural | 2 |
    | `norm` | fixed; `"batch"`, `"layer"`, `"group"`, `"none"` | | `"batch"` | structural | 3 |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar | 1, 4 |

    What is learned, the batch size, the epochs, the optimizer: all of this is the
    join's. Of the hypermodels only `trunk` is used, so that a `HyperFineTune` among
    them has `frozen_stages`, but neither rates by layer nor its own default rate.

    Args:
        trunks: The hypermodels by the names of their inputs, at least two.
        num_classes: Number of classes, or of labels; not for regressions.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If `trunks` is no dictionary of hypermodels of this package's base
            class.
        ValueError: If there are fewer than two, one is there twice, or a name is
            empty or has a slash.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperCNN, HyperJoin, HyperMLP
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperJoin(
    ...     {
    ...         "image": HyperCNN((28, 28, 1), num_classes=2),
    ...         "table": HyperMLP((5,), num_classes=2),
    ...     },
    ...     task="regression",
    ... )
    >>> hp = keras_tuner.HyperParameters()
    >>> count_parameters(lambda: hypermodel.build(hp))
    127425
    >>> [each.name for each in hp.space if "layers" in each.name]
    ['table/layers', 'layers']

    Reference:
        1. What practitioners advise to start from: one layer up, widths of 16, 32 and
        128 by powers of two, dropout of 0.3, 0.5 or 0.7, and 0 sometimes wins.
        2. He et al., "Delving Deep into Rectifiers", 2015.
        3. Ioffe and Szegedy, "Batch Normalization", 2015.
        4. Srivastava et al., "Dropout", 2014.
    """  # noqa: E501

    def __init__(
        self,
        trunks: Mapping[str, SupervisedHyperModel],
        num_classes: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.trunks = _checked_trunks(trunks)

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        inputs, found = {}, []
        for name, hypermodel in self.trunks.items():
            with hp.name_scope(name):
                own, features = hypermodel.trunk(hp)
            # A model by itself, whose layers may have the names of another's.
            network = keras.Model(own, features, name=_network_name(name))
            inputs[name] = _another_input(name, own)
            found.append(network(inputs[name]))
        x = keras.layers.Concatenate()(found)
        layers = hp.Int("layers", 0, 2, default=1)
        units = hp.Int("units", 16, 512, step=2, sampling="log", default=128)
        return inputs, self.dense_blocks(hp, x, layers, units)

    def inputs_for(self, model: keras.Model, x: Any) -> dict[str, Any]:
        """Returns examples as a trained model takes them, frames as arrays."""
        self._check_names(x, "`x`")
        return {
            name: hypermodel.inputs_for(model.get_layer(_network_name(name)), x[name])
            for name, hypermodel in self.trunks.items()
        }

    def same_network(self, hp: keras_tuner.HyperParameters) -> None:
        """Returns None: what the hypermodels inside depend on is not known here.

        Programs are shared where the models prove alike.
        """
        return None

    def _with_arrays(self, call: FitCall) -> FitCall:
        if not isinstance(call["x"], Mapping):
            return call
        # Each takes its own part.
        self._check_names(call["x"], "`x`")
        x, validation_x = dict(call["x"]), None
        validation, rest = call["validation_data"], []
        if isinstance(validation, tuple | list) and isinstance(validation[0], Mapping):
            self._check_names(validation[0], "`validation_data[0]`")
            validation_x, *rest = validation
            validation_x = dict(validation_x)
        for name, hypermodel in self.trunks.items():
            part = call.replace(x=x[name])
            if validation_x is not None:
                part = part.replace(validation_data=(validation_x[name], *rest))
            part = hypermodel._with_arrays(part)
            x[name] = part["x"]
            if validation_x is not None:
                validation_x[name] = part["validation_data"][0]
        if validation_x is not None:
            call = call.replace(validation_data=(validation_x, *rest))
        return call.replace(x=x)

    def _set_known(self, model: keras.Model) -> None:
        super()._set_known(model)
        for name, hypermodel in self.trunks.items():
            hypermodel._set_known(model.get_layer(_network_name(name)))

    def _limits(self) -> tuple[Any, ...]:
        return (*super()._limits(), *(t._limits() for t in self.trunks.values()))

    def _check_inputs(self, inputs: Any, place: str) -> None:
        self._check_names(inputs, place)
        for name, hypermodel in self.trunks.items():
            hypermodel._check_inputs(inputs[name], f"{place}[{name!r}]")

    def _check_names(self, inputs: Any, place: str) -> None:
        required = (
            f"Examples in {place} must be a dictionary with an entry for each of "
            f"{[*self.trunks]}, the names of the joined hypermodels."
        )
        if not isinstance(inputs, Mapping):
            refuse(required, "", _validation.shown(type(inputs)))
        missing = [name for name in self.trunks if name not in inputs]
        if missing:
            refuse(required, f"There is none for {missing}.", f"{[*inputs]}")


def _network_name(name: str) -> str:
    """Returns the name of the network of an input, which has the name itself."""
    return f"{name}_network"


def _another_input(name: str, own: Any) -> Any:
    """Returns inputs like others, with names that Keras expects in a dictionary."""
    if isinstance(own, dict):
        return {k: _another_input(f"{name}_{k}", each) for k, each in own.items()}
    if isinstance(own, list | tuple):
        return [_another_input(f"{name}_{n}", each) for n, each in enumerate(own)]
    return keras.Input(own.shape[1:], dtype=own.dtype, name=name)


def _checked_trunks(trunks: Any) -> dict[str, SupervisedHyperModel]:
    if not isinstance(trunks, Mapping):
        raise TypeError(
            "`trunks` must be a dictionary from names to hypermodels. "
            f"{_validation.received('trunks', trunks, True)}"
        )
    for name, hypermodel in trunks.items():
        if not isinstance(name, str):
            raise TypeError(
                "`trunks` must have names that are strings. "
                f"{_validation.received('trunks', name, True)}"
            )
        if not isinstance(hypermodel, SupervisedHyperModel):
            raise TypeError(
                "`trunks` must hold hypermodels of this package, or of classes that "
                "derive from SupervisedHyperModel. "
                f"{_validation.received(f'trunks[{name!r}]', hypermodel, True)}"
            )
    names, numbers = [*trunks], {id(each) for each in trunks.values()}
    if len(trunks) < 2 or len(numbers) < len(names):
        raise ValueError(
            "`trunks` must hold at least two hypermodels, each an object of its own. "
            f"{_validation.received('trunks', names)}"
        )
    wrong = [name for name in names if not name or "/" in name]
    if wrong:
        raise ValueError(
            "`trunks` must have names without a slash, which stands between the name "
            f"and a hyperparameter's. {_validation.received('trunks', wrong)}"
        )
    return dict(trunks)
