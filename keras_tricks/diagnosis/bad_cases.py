"""Bad cases: what a classifier gets wrong or is least sure of."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.diagnosis import predictions
from keras_tricks.diagnosis.label_errors import likely_label_errors

if TYPE_CHECKING:
    import keras
    import matplotlib.figure


@dataclasses.dataclass(frozen=True)
class BadCases:
    """What `bad_cases` found. `print` shows it; a notebook shows the cases, too.

    Attributes:
        table: A frame of the worst cases, by loss: `row`, `label`, `predicted`,
            `confidence` (the probability of what was predicted), `of_label` (that of
            the label), `loss` (`-log(of_label)`) and `is_wrong`.
        confusions: A frame of the classes that are taken for others, the most frequent
            pair first: `label`, `predicted`, `count`, and `share` of the label's rows.
        likely_label_errors: A frame of rows whose label is probably wrong, the surest
            first; see `keras_tricks.diagnosis.label_errors`.
        accuracy: The share of the rows that are right.
        is_out_of_fold: Whether each row was judged by a model not trained on it.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_tricks.diagnosis import bad_cases
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> x = np.array([[4.0, 0.0], [0.0, 4.0], [3.0, 0.0]])
    >>> found = bad_cases(model, x, np.array([0, 1, 1]))
    >>> found.table.row.tolist(), found.confusions["count"].tolist()
    ([2, 0, 1], [1])
    >>> more_x, more_y = found.add_to(x[:2], np.array([0, 1]), least=1)
    >>> more_y.tolist()
    [0, 1, 1]
    """

    table: pd.DataFrame
    confusions: pd.DataFrame
    likely_label_errors: pd.DataFrame
    accuracy: float
    is_out_of_fold: bool
    _wrong: pd.DataFrame = dataclasses.field(repr=False)
    _x: Any = dataclasses.field(repr=False)
    _y: Any = dataclasses.field(repr=False)
    _vocabulary: Sequence[str] | None = dataclasses.field(repr=False, default=None)

    def add_to(
        self,
        x: Any,
        y: Any,
        *,
        times: int = 1,
        least: int = 2,
        leaves_label_errors: bool = True,
    ) -> tuple[Any, Any]:
        """Returns training data with the frequent kinds of wrong cases added.

        Rows that were looked at and are trained on can no longer measure anything:
        take others to validate on.

        Args:
            x: An array, a frame, or a nest of them, as `bad_cases` was given.
            y: Its labels, of the same form as those that `bad_cases` was given.
            times: How often each case is added, >= 1.
            least: How many rows a pair of label and prediction must have, >= 1.
            leaves_label_errors: Whether likely label errors are left out.

        Returns:
            `(x, y)`, the cases at the end.

        Raises:
            ValueError: If a number is out of its range, or data are of another form.
        """
        times = _validation.check_int("times", times, minimum=1)
        least = _validation.check_int("least", least, minimum=1)
        _validation.check_flag("leaves_label_errors", leaves_label_errors)
        wrong = self._wrong
        count = wrong.groupby(["label", "predicted"])["row"].transform("size")
        wrong = wrong[count >= least]
        if leaves_label_errors:
            wrong = wrong[~wrong["row"].isin(self.likely_label_errors["row"])]
        rows = np.tile(wrong["row"].to_numpy(int), times)
        return (
            _joined("x", x, predictions.rows_of(self._x, rows)),
            _joined("y", y, predictions.rows_of(self._y, rows)),
        )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the table."""
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"`path` must be a path. {_validation.received('path', path, True)}"
            )
        self.table.to_csv(path, index=False)

    def plot(self) -> matplotlib.figure.Figure:
        """Returns a figure of the worst cases, where the inputs are images.

        Raises:
            ImportError: If matplotlib is missing.
            ValueError: If the inputs are no images.
        """
        _plotting.require_matplotlib("plot")
        from matplotlib import figure

        images = [self._image(row) for row in self.table["row"]]
        if any(image is None for image in images):
            raise ValueError(
                "`plot` needs images, arrays of shape (rows, height, width) or with "
                f"1, 3 or 4 channels. Received: {_shape(self._x)}"
            )
        columns = min(len(images), 8)
        lines = -(-len(images) // columns)
        made = figure.Figure(figsize=(1.5 * columns, 1.9 * lines), layout="constrained")
        cases = zip(self.table.itertuples(), images, strict=True)
        for place, (case, image) in enumerate(cases, 1):
            axes = made.add_subplot(lines, columns, place)
            axes.imshow(np.asarray(image), cmap="gray")
            axes.set_axis_off()
            axes.set_title(
                f"row {case.row}\n{case.label} as {case.predicted}", fontsize=8
            )
        return made

    def __str__(self) -> str:
        by = "models not trained on them" if self.is_out_of_fold else "the model"
        lines = [
            f"{self.accuracy:.2%} right by {by}; the worst:",
            self.table.round(4).to_string(index=False),
        ]
        if len(self.confusions):
            lines += ["", "taken for another class, the most frequent first:"]
            lines.append(self.confusions.head(10).round(4).to_string(index=False))
        if len(self.likely_label_errors):
            lines += ["", f"{len(self.likely_label_errors)} labels are likely wrong:"]
            shown = self.likely_label_errors.head(10).round(4)
            lines.append(shown.to_string(index=False))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.table.round(4).copy()
        # To pandas it is HTML: what comes from users is escaped here.
        table["case"] = [self._case_html(row) for row in table["row"]]
        for name in ("label", "predicted"):
            table[name] = [html.escape(str(value)) for value in table[name]]
        confusions = self.confusions.head(10).round(4).to_html(index=False)
        errors = self.likely_label_errors.head(10).round(4).to_html(index=False)
        return (
            f"<p>{self.accuracy:.2%} right</p>"
            f"{table.to_html(index=False, escape=False)}"
            f"<p>Taken for another class</p>{confusions}"
            f"<p>{len(self.likely_label_errors)} labels are likely wrong</p>{errors}"
        )

    def _case_html(self, row: int) -> str:
        image = self._image(row)
        if image is not None:
            return _png(image) or ""
        text = self._text(row)
        return "" if text is None else html.escape(text)

    def _image(self, row: int) -> np.ndarray | None:
        """Returns an input as an image, if it can be one."""
        if not isinstance(self._x, np.ndarray) or self._x.ndim not in (3, 4):
            return None
        if self._x.ndim == 4 and self._x.shape[3] not in (1, 3, 4):
            return None
        image = self._x[row].astype("float64")
        low, high = image.min(), image.max()
        image = (image - low) / (high - low) if high > low else image * 0.0
        return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image

    def _text(self, row: int) -> str | None:
        """Returns token numbers as their words, 0 left out."""
        if self._vocabulary is None or not isinstance(self._x, np.ndarray):
            return None
        words = self._vocabulary
        tokens = [int(token) for token in self._x[row].reshape(-1) if token]
        return " ".join(
            str(words[token]) if token < len(words) else f"[{token}]"
            for token in tokens
        )


def bad_cases(
    model: keras.Model | Callable[[], keras.Model],
    x: Any,
    y: Any,
    *,
    top: int = 20,
    class_names: Sequence[Any] | None = None,
    vocabulary: Sequence[str] | None = None,
    batch_size: int | None = None,
    folds: int = 5,
    seed: int = 0,
    **fit_arguments: Any,
) -> BadCases:
    """Returns what a classifier gets wrong, and what it is least sure of.

    Give it a trained model and data that it was not trained on; or a function that
    builds a compiled model, and all data: then each row is judged by a model that was
    trained on the other folds, which is what likely label errors in training data are
    to be told by.

    Args:
        model: A trained model that gives a probability, or a logit, for each class; of
            two classes one number may stand for the second. Or a function without
            arguments that returns a compiled one.
        x: An array, a frame, or a list, tuple or dictionary of them.
        y: Class numbers from 0, of shape `(rows,)` or `(rows, 1)`, or one-hot rows.
        top: How many cases the table has, >= 1.
        class_names: The name of each class, for the tables.
        vocabulary: The word of each token number, to show texts; 0 is padding.
        batch_size: Rows a batch; Keras's own 32 by default.
        folds: Into how many parts the rows are cut, >= 2, where models are trained.
        seed: Seed of the parts and of the models.
        **fit_arguments: What `fit` is given where models are trained, such as `epochs`.

    Returns:
        A `BadCases`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If labels are no class numbers, the model predicts another number of
            classes or rows, or what is not finite.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_tricks.diagnosis import bad_cases
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> x = np.array([[4.0, 0.0], [0.0, 4.0], [3.0, 0.0]])
    >>> print(bad_cases(model, x, [0, 1, 1], top=1, class_names=["no", "yes"]))
    66.67% right by the model; the worst:
     row label predicted  confidence  of_label   loss  is_wrong
       2   yes        no      0.9526    0.0474 3.0486      True
    <BLANKLINE>
    taken for another class, the most frequent first:
    label predicted  count  share
      yes        no      1    0.5
    """
    import keras  # Here, since diagnoses of curves do without.

    top = _validation.check_int("top", top, minimum=1)
    folds = _validation.check_int("folds", folds, minimum=2)
    seed = _validation.check_int("seed", seed)
    if batch_size is not None:
        batch_size = _validation.check_int("batch_size", batch_size, minimum=1)
    is_model = isinstance(model, keras.Model)
    _validation.check_function(
        "model", model, "a keras.Model, or a function that returns a compiled one"
    )
    if is_model and fit_arguments:
        raise TypeError(
            "Arguments of `fit` are for a function that builds a model; a trained one "
            f"is not trained again. Received: {', '.join(fit_arguments)}"
        )
    if vocabulary is not None:
        _check_list("vocabulary", vocabulary)
    labels = predictions.label_numbers(y)
    _check_rows(x, labels)
    if is_model:
        probabilities = predictions.predicted(model, x, batch_size)
    else:
        least = np.bincount(labels)[np.unique(labels)].min()
        if least < folds:
            raise ValueError(
                f"`folds` must be at most the rows of the rarest class, {least}. "
                f"{_validation.received('folds', folds)}"
            )
        if batch_size is not None:
            fit_arguments["batch_size"] = batch_size
        probabilities = predictions.out_of_fold(
            model, x, labels, y, folds=folds, seed=seed, fit_arguments=fit_arguments
        )
    _check_shape(labels, probabilities)
    named = _namer(class_names, probabilities.shape[1])
    all_cases = _cases(labels, probabilities)
    wrong = all_cases[all_cases["is_wrong"]]
    return BadCases(
        table=_named(all_cases.head(top), named),
        confusions=_named(_confusions(wrong, labels), named),
        likely_label_errors=_named(likely_label_errors(labels, probabilities), named),
        accuracy=1.0 - len(wrong) / len(labels),
        is_out_of_fold=not is_model,
        _wrong=wrong,
        _x=x,
        _y=y,
        _vocabulary=vocabulary,
    )


def _check_rows(x: Any, labels: np.ndarray) -> None:
    """Raises unless `x` is arrays, or a nest of them, with a row for each label."""
    import keras

    for leaf in keras.tree.flatten(x) or [x]:
        shape = tuple(getattr(leaf, "shape", ()))
        if not shape or not hasattr(leaf, "__getitem__"):
            raise TypeError(
                "`x` must be an array, a frame, or a nest of them, in whose rows cases "
                f"are found again. {_validation.received('x', x, True)}"
            )
        if shape[0] != len(labels):
            raise ValueError(
                "`x` and `y` must have as many rows, one label for each row. Received: "
                f"{shape[0]} rows in `x`, and {len(labels)} labels in `y`"
            )
    if not len(labels):
        raise ValueError("`x` must hold one row at least. Received: none")


def _check_list(name: str, given: Any) -> None:
    is_list = isinstance(given, list | tuple | np.ndarray) and np.ndim(given) == 1
    if not is_list:
        raise TypeError(
            f"`{name}` must be a list of names. "
            f"{_validation.received(name, given, True)}"
        )


def _check_shape(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if len(labels) != len(probabilities):
        raise ValueError(
            "`model` must predict one row for each row of `x`. Received: "
            f"{len(probabilities)} predictions for {len(labels)} rows"
        )
    classes = probabilities.shape[1]
    if labels.max() >= classes:
        row = int(labels.argmax())
        raise ValueError(
            f"`y` must hold class numbers below {classes}, as many as the model has "
            f"classes. Received: {labels[row]} in row {row}"
        )


def _cases(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    rows = np.arange(len(labels))
    guess = probabilities.argmax(1)
    of_label = probabilities[rows, labels]
    with np.errstate(divide="ignore"):
        loss = -np.log(of_label)
    order = np.argsort(-loss, kind="stable")
    return (
        pd.DataFrame(
            {
                "row": rows,
                "label": labels,
                "predicted": guess,
                "confidence": probabilities[rows, guess],
                "of_label": of_label,
                "loss": loss,
                "is_wrong": guess != labels,
            }
        )
        .iloc[order]
        .reset_index(drop=True)
    )


def _confusions(wrong: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    pairs = wrong.groupby(["label", "predicted"]).size().reset_index(name="count")
    pairs["share"] = pairs["count"] / np.bincount(labels)[pairs["label"].to_numpy(int)]
    return pairs.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def _namer(names: Sequence[Any] | None, classes: int) -> Callable[[int], Any]:
    if names is None:
        return int
    _check_list("class_names", names)
    if len(names) != classes:
        raise ValueError(
            f"`class_names` must have a name for each of the {classes} classes. "
            f"{_validation.received('class_names', names)}"
        )
    given = list(names)
    return lambda number: given[int(number)]


def _named(frame: pd.DataFrame, named: Callable[[int], Any]) -> pd.DataFrame:
    columns = [c for c in ("label", "predicted", "likely") if c in frame.columns]
    return frame.assign(**{c: list(map(named, frame[c])) for c in columns})


def _joined(name: str, data: Any, cases: Any) -> Any:
    """Returns data with cases at the end, of the data's form."""
    if (
        isinstance(data, dict)
        and isinstance(cases, dict)
        and data.keys() == cases.keys()
    ):
        return {key: _joined(name, data[key], cases[key]) for key in data}
    if isinstance(cases, list | tuple) and isinstance(data, type(cases)):
        parts = zip(data, cases, strict=True)
        return type(data)(_joined(name, one, other) for one, other in parts)
    if hasattr(data, "iloc") and hasattr(cases, "iloc"):
        return pd.concat([data, cases])
    array, more = np.asarray(data), np.asarray(cases)
    if array.shape[1:] != more.shape[1:] or array.dtype.kind != more.dtype.kind:
        raise ValueError(
            f"`{name}` must be of the form that `bad_cases` was given. Received: "
            f"{_shape(array)} of {array.dtype}, where the cases are {_shape(more)} of "
            f"{more.dtype}"
        )
    return np.concatenate([array, more.astype(array.dtype)])


def _shape(data: Any) -> str:
    shape = getattr(data, "shape", None)
    return type(data).__name__ if shape is None else f"an array of shape {shape}"


def _png(image: np.ndarray) -> str | None:
    """Returns an image as an element of HTML, where matplotlib is there."""
    try:
        from matplotlib import image as images
    except ImportError:
        return None
    file = io.BytesIO()
    images.imsave(file, image, cmap="gray", format="png")
    text = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" height="64" src="data:image/png;base64,{text}">'
