"""The check of TF1 code: its findings, its advice, its rewrites."""

from keras_tricks.tf1.lint.command import main

__all__ = ["main"]
