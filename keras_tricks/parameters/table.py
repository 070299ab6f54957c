"""Where the parameters of a model are, and what they take in bytes."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.parameters import rows
from keras_tricks.parameters.abstract_build import built_abstractly
from keras_tricks.parameters.counting import Countable
from keras_tricks.parameters.counting import size_of
from keras_tricks.parameters.counting import variables_of
from keras_tricks.parameters.counting import with_weights
from keras_tricks.parameters.rows import ParameterRow

if TYPE_CHECKING:
    import rich.table


@dataclasses.dataclass(frozen=True)
class ParameterTable:
    """What `parameter_table` returns; `print` shows it as a table.

    Attributes:
        name: The model's name.
        rows: A `ParameterRow` for each layer that has parameters, or for each group.
        trainable: Parameters that training changes.
        frozen: The other parameters.
        weight_bytes: What the parameters take.
        gradient_bytes: What the gradients take: as much as the trainable ones.
        optimizer: The optimizer's class, or None.
        optimizer_bytes: What its state takes, or None without an optimizer.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import parameter_table
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    >>> table = parameter_table(model)
    >>> table.total, table.weight_bytes
    (650, 2600)
    """

    name: str
    rows: tuple[ParameterRow, ...]
    trainable: int
    frozen: int
    weight_bytes: int
    gradient_bytes: int
    optimizer: str | None = None
    optimizer_bytes: int | None = None

    @property
    def total(self) -> int:
        """All parameters, as Keras's `count_params()` has them."""
        return self.trainable + self.frozen

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as numbers, strings, lists and dicts."""
        content = {**dataclasses.asdict(self), "total": self.total}
        content["rows"] = [
            {
                **row,
                "shapes": {name: list(shape) for name, shape in row["shapes"].items()},
            }
            for row in content["rows"]
        ]
        return content

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes one line a row, with full paths and plain numbers."""
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"`path` must be a path. {_validation.received('path', path, True)}"
            )
        names = [field.name for field in dataclasses.fields(ParameterRow)]
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in self.rows:
                fields = {**dataclasses.asdict(row), "shapes": _shapes(row)}
                writer.writerow([fields[name] for name in names])

    def __str__(self) -> str:
        import rich.console

        text = io.StringIO()
        rich.console.Console(file=text, width=100).print(self.__rich__())
        return text.getvalue().rstrip("\n")

    def __rich__(self) -> rich.table.Table:
        import rich.box
        import rich.table
        import rich.text

        # A `Text` is shown as it is: names may look like rich's markup.
        table = rich.table.Table(
            title=rich.text.Text(f"Parameters of {self.name}"),
            caption="\n".join(self._summary()),
            caption_justify="left",
            box=rich.box.SIMPLE_HEAD,
            show_footer=True,
        )
        footers = ("total", "", *self._totals())
        for index, (column, footer) in enumerate(zip(_COLUMNS, footers, strict=True)):
            # A long path is folded rather than cut: its end tells the layers apart.
            numeric = index >= _FIRST_NUMERIC
            table.add_column(
                column,
                footer,
                justify="right" if numeric else "left",
                overflow="fold",
                no_wrap=numeric,
            )
        for cells in self._cells():
            table.add_row(*map(rich.text.Text, cells))
        return table

    def _repr_html_(self) -> str:
        def line(tag: str, cells: tuple[str, ...]) -> str:
            inner = "".join(
                f'<{tag} style="text-align: '
                f"{'right' if index >= _FIRST_NUMERIC else 'left'}; "
                f'white-space: {"normal" if index == 1 else "pre"}">'
                f"{html.escape(cell)}</{tag}>"
                for index, cell in enumerate(cells)
            )
            return f"<tr>{inner}</tr>"

        body = "".join(line("td", cells) for cells in self._cells())
        summary = "<br>".join(html.escape(text) for text in self._summary())
        return (
            f"<table><caption>Parameters of {html.escape(self.name)}</caption>"
            f"<thead>{line('th', _COLUMNS)}</thead><tbody>{body}</tbody>"
            f"<tfoot>{line('th', ('total', '', *self._totals()))}</tfoot></table>"
            f"<p>{summary}</p>"
        )

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in self.rows:
            name = row.path.rpartition("/")[2] if row.level else row.path
            yield (
                "  " * row.level + name,
                _shapes(row),
                f"{row.trainable:,}",
                f"{row.frozen:,}",
                row.dtype,
                format_bytes(row.bytes),
                f"{row.share:.1%}",
            )

    def _totals(self) -> tuple[str, ...]:
        return (
            f"{self.trainable:,}",
            f"{self.frozen:,}",
            "",
            format_bytes(self.weight_bytes),
            "100.0%" if self.total else "",
        )

    def _summary(self) -> list[str]:
        lines = [
            f"{self.total:,} parameters: {format_bytes(self.weight_bytes)} of weights",
            f"{format_bytes(self.gradient_bytes)} of gradients",
        ]
        if self.optimizer_bytes is not None:
            everything = self.weight_bytes + self.gradient_bytes + self.optimizer_bytes
            lines += [
                f"{format_bytes(self.optimizer_bytes)} of {self.optimizer}'s state",
                f"{format_bytes(everything)} in all, without activations",
            ]
        return lines


_COLUMNS = ("layer", "shapes", "trainable", "frozen", "dtype", "bytes", "share")
_FIRST_NUMERIC = 2


def parameter_table(
    model: Countable,
    *,
    depth: int | None = None,
    group_by: str | None = None,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    input_shape: Any = None,
) -> ParameterTable:
    r"""Returns how the parameters are distributed over the layers of a model.

    Inner layers stand indented below the one that contains them, whose numbers include
    theirs; layers without parameters are left out. A layer that is used in several
    places stands where it is met first. Nothing is allocated, as in `count_parameters`.

    Args:
        model: A Keras model or layer, or a function that returns one.
        depth: How many levels to show, >= 1; by default all.
        group_by: A regular expression. Instead of layers, the rows are what it finds
            in the layers' paths: its first group, or the whole match if it has none.
            Layers in whose path it finds nothing make up the row `(other)`.
        optimizer: The optimizer, or its name, whose state is to be added up.
        input_shape: See `count_parameters`.

    Raises:
        TypeError: If `model` is not a model or layer, nor makes one.
        ValueError: If `depth` is below 1 or `group_by` is no regular expression, and as
            `count_parameters` does.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import parameter_table
    >>> def model():
    ...     blocks = [keras.layers.Dense(8, name=f"block_{i}") for i in range(3)]
    ...     return keras.Sequential([keras.Input((8,)), *blocks, keras.layers.Dense(2)])
    >>> for row in parameter_table(model, group_by=r"(block)_\d").rows:
    ...     print(row.path, row.trainable, f"{row.share:.0%}")
    block 216 92%
    (other) 18 8%
    """
    if depth is not None:
        depth = _validation.check_int("depth", depth, minimum=1)
    try:
        pattern = None if group_by is None else re.compile(group_by)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"`group_by` must be a regular expression ({error}). "
            f"{_validation.received('group_by', group_by)}"
        ) from error
    state_of: Any = None if optimizer is None else _optimizer_of(optimizer)

    def table(layer: Any) -> ParameterTable:
        if not isinstance(layer, keras.Layer):
            raise TypeError(
                "`model` must be a Keras model or layer, or a function that returns "
                f"one. {_validation.received('model', layer, True)}"
            )
        trained = variables_of(layer, trainable=True)
        frozen = variables_of(layer, trainable=False)
        state_bytes = None
        if state_of is not None:
            state_bytes = built_abstractly(lambda: _state_bytes(state_of, trained))
        return ParameterTable(
            name=layer.name,
            rows=rows.by_layer(layer, depth)
            if pattern is None
            else rows.by_pattern(layer, pattern),
            trainable=sum(map(size_of, trained)),
            frozen=sum(map(size_of, frozen)),
            weight_bytes=sum(map(rows.bytes_of, [*trained, *frozen])),
            gradient_bytes=sum(map(rows.bytes_of, trained)),
            optimizer=None if state_of is None else type(state_of).__name__,
            optimizer_bytes=state_bytes,
        )

    return with_weights(model, table, input_shape)


def _optimizer_of(optimizer: Any) -> keras.optimizers.Optimizer:
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    try:
        if not isinstance(optimizer, str | dict):
            raise TypeError("it is neither an optimizer nor the name of one")
        return keras.optimizers.get(optimizer)
    except Exception as error:  # A configuration may fail in any way.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            "`optimizer` must be a Keras optimizer, or the name of one. "
            f"{_validation.received('optimizer', optimizer)}"
        ) from error


def _state_bytes(optimizer: keras.optimizers.Optimizer, trained: list[Any]) -> int:
    """Returns the bytes of an optimizer's variables, built for `trained`."""
    optimizer = type(optimizer).from_config(optimizer.get_config())
    optimizer.build(trained)
    return sum(map(rows.bytes_of, optimizer.variables))


def _shapes(row: ParameterRow) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in row.shapes.items())


def format_bytes(count: int) -> str:
    """A number of bytes in the unit that suits it, of which each is 1024 of the last.

    >>> from keras_tricks.parameters.table import format_bytes
    >>> [format_bytes(count) for count in (650, 2600, 701_000_000_000)]
    ['650 B', '2.54 KiB', '653 GiB']
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
