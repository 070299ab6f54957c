"""`python -m keras_tricks.tf1 FILE.py ...`: see `keras_tricks.tf1.lint`."""

import os
import sys

from keras_tricks.tf1 import lint

if __name__ == "__main__":
    try:
        status = lint.main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Such as that of `| head -1`, which reads no further.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
