"""`python -m keras_tricks.tf1 FILE.py ...`: see `keras_tricks.tf1.lint`."""

import sys

from keras_tricks.tf1 import lint

if __name__ == "__main__":
    sys.exit(lint.main())
