"""Sample values of quantities that a file does not know, by what they are called."""

import ast
import re

from keras_tricks.tf1.lint.reading.source import last_name

SAMPLES = 4
# Parameters have their default values in it.
DEFAULT_SAMPLE = 3
_RATE_WORDS = re.compile(
    r"rate|lr|ratio(?!n)|prop|frac|percent|alpha|power|min_|decay_to"
)
_COUNT_ENDS = re.compile(r"(step|iter|iteration|epoch|batch|batche)s?$")
_COUNT_WORDS = re.compile(r"step|iter|epoch|num|batch|warm|max|total|every|n_|size")


def is_rate(name: str) -> bool:
    """Returns whether a name, such as `params["lr"]`, is that of a rate or a share.

    That of a count of steps may hold the words of one, as in `learning_rate_steps`.
    """
    is_count = _COUNT_ENDS.search(name.rstrip("\"'])"))
    return bool(_RATE_WORDS.search(name)) and not is_count


def is_flag(test: ast.expr) -> bool:
    """Returns whether a test is of a name that tells of no number."""
    inner = test.operand if isinstance(test, ast.UnaryOp) else test
    if isinstance(inner, ast.Name | ast.Attribute | ast.Subscript):
        name = last_name(inner).lower()
        return not (_COUNT_WORDS.search(name) or is_rate(name)) or bool(
            re.match(r"(use|do|is|has|with|enable)_", name)
        )
    return False


def sample_value(name: str, number: int, sample: int, is_warmup: bool | None) -> float:
    """Returns a value that a quantity of a name may have.

    Warmups are shorter than runs, counts are whole, and no two are alike.
    """
    if is_warmup is False:
        return (100, 61, 250, 1_000_000)[sample] + 3 * number
    if is_warmup or ("warm" in name and not is_rate(name)):
        return (20, 7, 12, 16)[sample] + number
    if is_rate(name) or not _COUNT_WORDS.search(name):
        if "power" in name:
            return (1.5, 0.7, 2.0, 1.2)[sample]
        if re.search(r"ratio|prop|frac|percent|alpha|min", name):
            return (0.1, 0.05, 0.2, 0.15)[sample]
        return (0.3, 0.04, 1.7, 0.9)[sample] * (1 + 0.13 * number)
    return (100, 61, 250, 1_000_000)[sample] + 3 * number
