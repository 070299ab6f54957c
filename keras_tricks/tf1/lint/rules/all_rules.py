"""The TF1 code that this package replaces, and what to write instead."""

import ast
import bisect
import dataclasses

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import class_rules
from keras_tricks.tf1.lint.rules import count_rules
from keras_tricks.tf1.lint.rules import keras_rules
from keras_tricks.tf1.lint.rules import optimizer_rules
from keras_tricks.tf1.lint.rules import recipe_rules
from keras_tricks.tf1.lint.rules import schedule_rules
from keras_tricks.tf1.lint.rules import uncovered

_RULES = (
    schedule_rules.check,
    optimizer_rules.check,
    recipe_rules.check,
    count_rules.check,
    class_rules.check,
    keras_rules.check,
)
_REQUIRES = "code that stays as it is calls it"


def findings(source: Source) -> list[Finding]:
    r"""Returns what this package replaces in a file, in the order of the text.

    Example:

    >>> from keras_tricks.tf1.lint.rules import findings
    >>> from keras_tricks.tf1.lint.reading.source import Source
    >>> text = "import tensorflow as tf\nstep = tf.train.get_global_step()"
    >>> [(f.line, f.column, f.what) for f in findings(Source(text))]
    [(2, 8, 'tf.train.get_global_step')]
    """
    return _found(Context.of(source))


def report(source: Source) -> list[Finding]:
    """Returns the findings of a file, and one on TF1 code of other kinds, if any."""
    context = Context.of(source)
    found = _found(context)
    gone = [s for r in edits.chosen(found) if not r.is_comment for s in r.spans]
    other = uncovered.note(context, {f.start for f in found}, gone)
    return found if other is None else [*found, other]


def _found(context: Context) -> list[Finding]:
    found: list[Finding] = []
    for node in ast.walk(context.source.tree):
        for check in _RULES:
            found += check(context, node)
    found = _with_what_is_around(found)
    return sorted(found, key=lambda f: (f.cell or 0, f.line, f.column))


def _with_what_is_around(found: list[Finding]) -> list[Finding]:
    """Gives what goes with the rewrite of something larger that rewrite, too."""
    chosen = edits.chosen(found)
    made = [r for r in chosen if not r.is_comment]
    spans = sorted((span, number) for number, r in enumerate(made) for span in r.spans)
    starts = [span[0] for span, _ in spans]
    result = []
    for one in found:
        if one.rewrite is not None and one.rewrite.requires:
            if one.rewrite not in made:
                one = dataclasses.replace(one, rewrite=None, why_not=_REQUIRES)
        index = bisect.bisect_right(starts, one.start) - 1
        is_own = one.rewrite is not None and not one.rewrite.is_comment
        if not is_own and index >= 0 and spans[index][0][1] > one.start:
            rewrite = made[spans[index][1]]
            one = dataclasses.replace(one, rewrite=rewrite, why_not="")
        elif not chosen:
            # Comments alone change no file.
            one = dataclasses.replace(one, rewrite=None)
        result.append(one)
    return result
