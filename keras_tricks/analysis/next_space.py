"""The space to search next, as decisions and as Python code."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_tricks.analysis.boundaries import Boundaries
from keras_tricks.analysis.compare import Comparison
from keras_tricks.analysis.importances import Importances
from keras_tricks.analysis.searches import Search
from keras_tricks.analysis.space import Hyperparameter

# A value is dropped for good, and there are several to be compared.
_SIGNIFICANT = 0.01
# What explains less than this, with some certainty, is fixed.
_NEGLIGIBLE = 0.05


@dataclasses.dataclass(frozen=True)
class NextSpace:
    """What becomes of each hyperparameter.

    Attributes:
        hyperparameters: The next space, without those that have no condition left.
        reasons: Why one is another than before, by its name.

    Example:

    >>> from keras_tricks.analysis.next_space import NextSpace
    >>> from keras_tricks.analysis.space import Hyperparameter
    >>> rate = Hyperparameter("rate", min_value=1e-4, max_value=0.1, sampling="log")
    >>> print(NextSpace([rate], {"rate": "the best crowd at the upper edge"}).code)
    import keras_tuner
    <BLANKLINE>
    hp = keras_tuner.HyperParameters()
    # the best crowd at the upper edge
    hp.Float('rate', 0.0001, 0.1, sampling='log')
    """

    hyperparameters: list[Hyperparameter]
    reasons: dict[str, str]

    @property
    def code(self) -> str:
        """Python code that makes it, for a tuner's `hyperparameters=hp`."""
        lines = ["import keras_tuner", "", "hp = keras_tuner.HyperParameters()"]
        for hp in self.hyperparameters:
            if hp.name in self.reasons:
                lines.append(f"# {_on_one_line(self.reasons[hp.name])}")
            indent = ""
            for name, values in hp.conditions:
                lines.append(
                    f"{indent}with hp.conditional_scope({name!r}, {list(values)!r}):"
                )
                indent += "    "
            lines.append(f"{indent}{_call(hp)}")
        return "\n".join(lines)


def next_space(
    search: Search,
    edges: Boundaries | None,
    matter: Importances | None,
    comparisons: dict[str, Comparison],
) -> NextSpace:
    """Returns the space to search next.

    A range is extended where the best trials crowd at its edge; a choice loses the
    values that are worse than the best one beyond chance; what explains next to
    nothing, with certainty, is fixed at the best trial's value. All else stays.

    Args:
        search: The search.
        edges: Its boundaries, or None where they are not known.
        matter: Its importances.
        comparisons: Of its choices, by name.
    """
    ranked = search.ranked
    best = ranked[0].settings if ranked else {}
    crowded: dict[str, Any] = {}
    if edges is not None:
        crowded = {
            row.hyperparameter: row
            for row in edges.table.itertuples(index=False)
            if row.edge is not None
        }
    idle: set[str] = set()
    if matter is not None and matter.reason is None:
        table = matter.table
        idle = set(table.loc[table["high"] < _NEGLIGIBLE, "hyperparameter"])
        pairs = matter.interactions
        pairs = pairs[pairs["high"] >= 2 * _NEGLIGIBLE]
        idle -= {*pairs["one"], *pairs["other"]}
    kept: list[Hyperparameter] = []
    reasons: dict[str, str] = {}
    for hp in search.space:
        if not _can_be_active(hp, kept):
            continue
        new, reason = _decided(
            hp, best, crowded.get(hp.name), hp.name in idle, comparisons.get(hp.name)
        )
        kept.append(new)
        if reason is not None:
            reasons[hp.name] = reason
    return NextSpace(kept, reasons)


def _can_be_active(hp: Hyperparameter, kept: list[Hyperparameter]) -> bool:
    """Whether the values that are left of its parents switch it on."""
    known = {parent.name: parent.values for parent in kept}
    return all(
        not known.get(name) or set(map(repr, known[name])) & set(map(repr, values))
        for name, values in hp.conditions
    )


def _decided(
    hp: Hyperparameter,
    best: dict[str, Any],
    edge: Any,
    is_idle: bool,
    comparison: Comparison | None,
) -> tuple[Hyperparameter, str | None]:
    if edge is not None and edge.can_grow:
        # A frame has all numbers of a column as floats.
        kind = type(hp.min_value)
        extended = dataclasses.replace(
            hp, values=(), min_value=kind(edge.low), max_value=kind(edge.high)
        )
        return extended, f"The best trials crowd at the {edge.edge} edge: extended."
    if is_idle and hp.name in best and len(hp.values) != 1:
        fixed = dataclasses.replace(
            hp, values=(best[hp.name],), min_value=None, max_value=None
        )
        return fixed, "It explains next to nothing of the scores: fixed at the best."
    if comparison is not None and hp.min_value is None:
        table = comparison.table
        worse = table.loc[table["p_value"] < _SIGNIFICANT, "value"].tolist()
        left = tuple(value for value in hp.values if value not in worse)
        if left and len(left) < len(hp.values):
            gone = ", ".join(map(repr, worse))
            return (
                dataclasses.replace(hp, values=left),
                f"Worse than {comparison.best!r} beyond chance: {gone}.",
            )
    return hp, None


def _call(hp: Hyperparameter) -> str:
    """Returns the call that makes a hyperparameter."""
    if hp.min_value is None:
        if len(hp.values) == 1:
            return f"hp.Fixed({hp.name!r}, {hp.values[0]!r})"
        if set(hp.values) == {False, True} and isinstance(hp.values[0], bool):
            return f"hp.Boolean({hp.name!r})"
        return f"hp.Choice({hp.name!r}, {list(hp.values)!r})"
    kind = "Int" if isinstance(hp.min_value, int) else "Float"
    arguments = [repr(hp.name), repr(hp.min_value), repr(hp.max_value)]
    if hp.step is not None and not (kind == "Int" and hp.step == 1):
        arguments.append(f"step={hp.step!r}")
    if hp.sampling != "linear":
        arguments.append(f"sampling={hp.sampling!r}")
    return f"hp.{kind}({', '.join(arguments)})"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
