import importlib
import re

import pytest

from tests import markdown_code
from tests.child_process import ROOT

DOCUMENTS = [
    path
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if "```" in path.read_text(encoding="utf-8")
]
COMMANDS = (
    "python -m pip install -e '.[examples]' && python examples/tune_digits.py",
    "python -m pip install -e '.[test]' && python -m pytest",
)


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_code_blocks_run_and_print_what_they_promise(path, tmp_path):
    """Every python block runs, and every output block equals what was printed."""
    markdown_code.check(path, tmp_path)


def test_readme_shows_both_commands_and_a_checked_example():
    """The commands of a newcomer stand in the README, and an example with output."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    assert [command for command in COMMANDS if command not in lines] == []
    assert markdown_code.promised_outputs(markdown_code.blocks(text))


def check_text(tmp_path, *lines):
    path = tmp_path / "guide.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    markdown_code.check(path, tmp_path)


def test_blocks_share_one_namespace_and_keep_their_outputs_apart(tmp_path):
    """A later block uses an earlier one's names; `...` stands for any text."""
    check_text(
        tmp_path,
        "```python",
        "x = 6",
        "print('first', x)",
        "```",
        "```output",
        "first 6",
        "```",
        "Words between.",
        "  ```python",
        "  for factor in (7,):",
        "      print('second', x * factor, 'and more')",
        "  ```",
        "",
        "  ```text output",
        "  second 42 ...",
        "  ```",
    )


def test_a_wrong_output_fails(tmp_path):
    """The report names the line of the block and shows both texts."""
    with pytest.raises(pytest.fail.Exception, match=r"(?s)line 2 .*Expected:.*3.*Got"):
        check_text(
            tmp_path, "Text", "```python", "print(2)", "```", "```output", "3", "```"
        )


def test_a_block_that_raises_fails_at_its_line(tmp_path):
    """The traceback's line number is the line in the Markdown file."""
    with pytest.raises(pytest.fail.Exception, match="line 4, in <module>"):
        check_text(tmp_path, "Text", "", "```python", "1 / 0", "```")


def test_plain_text_after_code_is_not_compared(tmp_path):
    """Only a block marked as output is compared."""
    check_text(tmp_path, "```python", "print(2)", "```", "```text", "an aside", "```")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("```output", "3", "```"), "output of no python block"),
        (("```py", "print(2)", "```"), "marked 'python', not 'py'"),
        (("Text", "```python", "print(2)"), "opened in line 2 never closes"),
    ],
    ids=["orphan output", "unknown language", "open fence"],
)
def test_blocks_that_could_never_be_checked_are_refused(tmp_path, lines, message):
    """A block that the checks would pass over in silence is an error."""
    with pytest.raises(ValueError, match=message):
        check_text(tmp_path, *lines)


def test_a_longer_fence_holds_shorter_ones(tmp_path):
    """Blocks quoted inside a four-backtick block are text and not run."""
    check_text(tmp_path, "````markdown", "```python", "1 / 0", "```", "````")


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# `schedules.Warmup`, `tuners.OptunaSearch(storage=...)`: what stands in the tables.
NAME = re.compile(
    r"`(schedules|optimizers|callbacks|losses|parameters|training|tuners|hypermodels|tf1)"
    r"\.(\w+)(?:\([^`]*\))?`"
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_names_in_the_tables_are_public(path):
    """Each `folder.Name` of the pages is one that the folder offers."""
    for folder, name in NAME.findall(path.read_text(encoding="utf-8")):
        module = importlib.import_module(f"keras_tricks.{folder}")
        assert name in module.__all__, f"{folder}.{name}"


def test_the_page_of_the_articles_has_all_their_tricks():
    """And names a good part of what the package offers."""
    text = (ROOT / "docs" / "from-the-articles.md").read_text(encoding="utf-8")
    assert len(set(NAME.findall(text))) > 25
