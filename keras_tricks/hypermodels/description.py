"""Descriptions of hypermodels: a network's settings, parameters, memory and budget."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING
from typing import Any

from keras_tricks.parameters import ParameterBudget
from keras_tricks.parameters import ParameterTable

if TYPE_CHECKING:
    import rich.console


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` returns; `print` shows it as tables.

    Attributes:
        name: The class of the hypermodel.
        settings: A row for each hyperparameter: its name, its value, and in words what
            it can be.
        parameters: Layers, parameters and bytes; see `parameter_table`.
        budget: The parameters against the data; None where their number is not known.
        advice: What to mind of the settings.
    """

    name: str
    settings: tuple[tuple[str, Any, str], ...]
    parameters: ParameterTable
    budget: ParameterBudget | None
    advice: tuple[str, ...] = ()

    @property
    def training_bytes(self) -> int:
        """What weights, gradients and the optimizer's state take; no activations."""
        table = self.parameters
        return table.weight_bytes + table.gradient_bytes + (table.optimizer_bytes or 0)

    def __str__(self) -> str:
        import rich.console

        text = io.StringIO()
        rich.console.Console(file=text, width=100).print(self.__rich__())
        return text.getvalue().rstrip("\n")

    def __rich__(self) -> rich.console.Group:
        import rich.box
        import rich.console
        import rich.table
        import rich.text

        table = rich.table.Table(
            title=rich.text.Text(f"Settings of {self.name}"), box=rich.box.SIMPLE_HEAD
        )
        for column in ("name", "value", "range"):
            table.add_column(column, overflow="fold")
        for name, value, possible in self.settings:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(*map(rich.text.Text, (name, shown, possible)))
        lines = [] if self.budget is None else [str(self.budget)]
        text = rich.text.Text("\n".join([*lines, *self.advice]))
        return rich.console.Group(table, self.parameters, text)


def range_in_words(hp: Any) -> str:
    """Returns what a hyperparameter of KerasTuner's can be."""
    if hasattr(hp, "min_value"):
        scale = "" if hp.sampling in (None, "linear") else f", {hp.sampling}"
        step = f", step {hp.step:g}" if hp.step not in (None, 1) else ""
        return f"{hp.min_value:g} to {hp.max_value:g}{scale}{step}"
    values = list(hp.values)
    return "fixed" if len(values) == 1 else ", ".join(map(str, values))
