"""The report of a restored checkpoint: what was matched, and what was not."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What `restore_optimizer` found and did; `str()` of it lists all.

    Attributes:
        checkpoint: The checkpoint's path.
        global_step: The updates that the TF1 run had made, or `None` if the checkpoint
            does not say.
        restored: Name in the checkpoint -> path of the Keras variable.
        left_out: Names that the user's map left out, with their slots.
        unmatched_checkpoint: Name -> shape of what only the checkpoint has.
        unmatched_keras: Path -> shape of what only the model or the optimizer has.
        notes: Sentences about what was not simply copied.
    """

    checkpoint: str
    global_step: int | None
    restored: dict[str, str]
    left_out: tuple[str, ...]
    unmatched_checkpoint: dict[str, tuple[int, ...]]
    unmatched_keras: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        step = "unknown" if self.global_step is None else self.global_step
        lines = [
            f"Restored {len(self.restored)} variables from {self.checkpoint!r}, "
            f"global step {step}.",
            *self.notes,
        ]
        if self.left_out:
            lines.append(f"Left out by variable_map ({len(self.left_out)}):")
            lines += [f"  {name}" for name in self.left_out]
        return "\n".join([*lines, *self.unmatched_lines()])

    def unmatched_lines(self) -> list[str]:
        """Returns the lines that list what is unmatched on either side."""
        sides = {
            "Only in the checkpoint": self.unmatched_checkpoint,
            "Only in the model and the optimizer": self.unmatched_keras,
        }
        lines = []
        for side, shapes in sides.items():
            if shapes:
                lines.append(f"{side} ({len(shapes)}):")
                lines += [f"  {name} {shape}" for name, shape in shapes.items()]
        return lines
