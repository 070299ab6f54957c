"""The guide's table of hyperparameters holds all that the spaces hold, and no more."""

import re
from pathlib import Path

from tests.hypermodels import cases

GUIDE = Path(__file__).parents[2] / "docs" / "hypermodels.md"


def test_every_name_of_every_space_is_in_the_guides_table_and_none_besides():
    section = GUIDE.read_text(encoding="utf-8").split("## All names")[1].split("## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    declared = {
        hp.name
        for case in cases.CASES.values()
        for task in cases.TASKS
        for hp in cases.space(case, task).space
    }
    # Joined hypermodels have their name in front.
    declared = {name.rpartition("/")[2] for name in declared}
    # FineTune pools only what has positions; the toy backbone has none.
    assert listed == declared
