"""`python -m keras_tricks COMMAND ...`: see `keras_tricks.commands`."""

from keras_tricks.commands.command_line import run

if __name__ == "__main__":
    run()
