"""What the rules know of a file: its names, its definitions, its rates."""

import dataclasses

from keras_tricks.tf1.lint.rates.schedule_advice import Advisor
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import Source


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """A file, its definitions and the advice on its rates."""

    source: Source
    flows: Flows
    advisor: Advisor

    @classmethod
    def of(cls, source: Source) -> "Context":
        """Returns the context of a file."""
        flows = Flows(source)
        return cls(source, flows, Advisor(source, flows))
