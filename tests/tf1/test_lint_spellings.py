"""Two snapshots: what the check says about twenty spellings, and how it rewrites them.

Each file in `samples/spellings` has one construct as people write it. After a change
that is meant, `python tests/tf1/test_lint_spellings.py` writes both snapshots anew.
"""

import contextlib
import io
import os
import tempfile
from pathlib import Path

import pytest

from keras_tricks.tf1 import lint

SAMPLES = Path(__file__).parent / "samples"


def said(*options):
    """What the command prints on stdout about copies with names of Python files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for sample in sorted((SAMPLES / "spellings").iterdir()):
            text = sample.read_text(encoding="utf-8")
            Path(folder, sample.name.removesuffix(".txt")).write_text(text)
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                with contextlib.redirect_stderr(io.StringIO()):
                    assert lint.main([*options, "."]) == 1
        finally:
            os.chdir(before)
    return out.getvalue()


SNAPSHOTS = {"spellings.lst": (), "spellings.diff": ("--diff",)}


def test_there_are_twenty_spellings():
    assert len(list((SAMPLES / "spellings").iterdir())) == 20


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_what_is_said_about_the_spellings_is_what_was(name):
    snapshot = (SAMPLES / name).read_text(encoding="utf-8")
    assert said(*SNAPSHOTS[name]) == snapshot


def test_a_rewritten_spelling_is_python():
    """And the check has nothing left to rewrite in it."""
    from keras_tricks.tf1.lint.reading.source import Source
    from keras_tricks.tf1.lint.rewrites import edits
    from keras_tricks.tf1.lint.rules import findings

    for sample in (SAMPLES / "spellings").iterdir():
        source = Source(sample.read_text(encoding="utf-8"))
        new = edits.rewritten(source, edits.chosen(findings(source)))
        assert not edits.chosen(findings(Source(new))), sample.name


if __name__ == "__main__":
    for name, options in SNAPSHOTS.items():
        (SAMPLES / name).write_text(said(*options), encoding="utf-8")
