"""The report of a restored checkpoint: what was matched, and what was not."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from keras_tricks.tf1.joining import JoinedReader
from keras_tricks.tf1.matching import Matching

# So many names are listed one by one; more are counted by scope.
_LISTED = 4


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What was restored and what was not; `str()` of it is a short table.

    Attributes:
        checkpoint: The checkpoint's path.
        global_step: The updates that the TF1 run had made, or `None` if the checkpoint
            does not say, or weights alone were restored.
        restored: Name in the checkpoint -> path of the Keras variable. The parts of a
            variable that was split are numbered: `"qkv/kernel[0]"`.
        left_out: Names that the user's map left out, with their slots.
        unmatched_checkpoint: Name -> shape of what only the checkpoint has.
        unmatched_keras: Path -> shape of what only the model or the optimizer has.
        notes: Sentences about what was not simply copied.
        conversions: Name in the checkpoint -> the rules that its value went through.
        of_optimizer: The checkpoint's slots and step, where weights alone were
            restored.
        weights_only: Whether there was no optimizer to restore.
    """

    checkpoint: str
    global_step: int | None
    restored: dict[str, str]
    left_out: tuple[str, ...]
    unmatched_checkpoint: dict[str, tuple[int, ...]]
    unmatched_keras: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]
    conversions: dict[str, str] = dataclasses.field(default_factory=dict)
    of_optimizer: tuple[str, ...] = ()
    weights_only: bool = False

    @property
    def fresh(self) -> dict[str, tuple[int, ...]]:
        """What only the model or the optimizer has, which is as it was."""
        return self.unmatched_keras

    @property
    def left_over(self) -> dict[str, tuple[int, ...]]:
        """What only the checkpoint has."""
        return self.unmatched_checkpoint

    def __str__(self) -> str:
        step = "" if self.global_step is None else f", global step {self.global_step}"
        lines = [
            f"Restored {len(self.restored)} variables from {self.checkpoint!r}{step}.",
            *self.notes,
        ]
        by_rule: dict[str, list[str]] = {}
        for name, rule in self.conversions.items():
            by_rule.setdefault(rule, []).append(name)
        for rule, names in by_rule.items():
            lines += _section(f"By {rule}", names)
        lines += _section("Left out by variable_map", self.left_out)
        lines += self.unmatched_lines()
        lines += _section(
            "Of TF1's optimizer, passed over",
            self.of_optimizer,
        )
        return "\n".join(lines)

    def unmatched_lines(self) -> list[str]:
        """Returns the lines about what is unmatched on either side."""
        sides = ("Only in the checkpoint", "Only in the model and the optimizer")
        if self.weights_only:
            sides = (
                "Left over, only in the checkpoint",
                "Fresh, only in the model, as it was",
            )
        return _section(sides[0], self.unmatched_checkpoint) + _section(
            sides[1], self.unmatched_keras
        )


def of(
    matching: Matching,
    reader: JoinedReader,
    global_step: int | None,
    notes: Iterable[str],
) -> RestoreReport:
    """Returns the report of a matching that is about to be restored."""
    return RestoreReport(
        checkpoint=reader.path,
        global_step=global_step,
        restored={name: v.path for name, v in matching.matched.items()},
        left_out=tuple(matching.left_out),
        unmatched_checkpoint={name: reader.shapes[name] for name in matching.unmatched},
        unmatched_keras={v.path: tuple(v.shape) for v in matching.without_name()},
        notes=tuple(notes),
        conversions={
            name: str(conversion)
            for name, conversion in matching.conversions.items()
            if conversion.rules
        },
        of_optimizer=tuple(matching.of_optimizer),
        weights_only=matching.weights_only,
    )


def _section(title: str, names: Any) -> list[str]:
    """Returns a title and its names: one by one if they are few, else by scope."""
    if not names:
        return []
    shapes = names if isinstance(names, dict) else {}
    lines = [f"{name} {shapes.get(name, '')}".rstrip() for name in names]
    if len(names) > _LISTED:
        scopes: dict[str, list[str]] = {}
        for name in names:
            scopes.setdefault(_scope(name), []).append(name)
        lines = [f"{s}{_ends(s, of)}: {len(of)}" for s, of in scopes.items()]
    return [f"{title} ({len(names)}):", *(f"  {line}" for line in lines)]


def _ends(scope: str, names: list[str]) -> str:
    """Returns the last parts of names whose scope says nothing of them."""
    ends = list(dict.fromkeys(name.rpartition("/")[2] for name in names))
    more = ", ..." if len(ends) > _LISTED else ""
    return f" ({', '.join(ends[:_LISTED])}{more})" if scope.endswith("...") else ""


def _scope(name: str) -> str:
    """Returns the scope by which a name is counted: layers of all numbers are one."""
    match = re.match(r"(.*?)\d+[/_]", name)
    if match:
        return f"{match.group(1)}*"
    parts = name.split("/")
    return "/".join(parts[:2]) + "/..." if len(parts) > 2 else name
