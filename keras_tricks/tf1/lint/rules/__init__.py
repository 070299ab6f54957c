"""Rules: what is found, and what to write instead."""

from keras_tricks.tf1.lint.rules.all_rules import findings
from keras_tricks.tf1.lint.rules.all_rules import report

__all__ = ["findings", "report"]
