"""The command `keras-tricks`: reports, leaderboards, diagnoses, old code, schedules."""

from keras_tricks.commands.command_line import main

__all__ = ["main"]
