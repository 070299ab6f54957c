import csv
import functools
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from tests.child_process import ROOT
from tests.child_process import run_script
from tests.child_process import stdout_of

# Each script with the arguments that make it short and the files it has to write.
EXAMPLES = {
    "bert_style_finetune.py": (
        ["--pretraining-epochs", "1", "--epochs", "1", "--output", "out"],
        ["out/rate_and_norm.png"],
    ),
    "tune_digits.py": (
        ("--trials", "2", "--epochs", "2", "--output", "out"),
        ("out/leaderboard.csv", "out/learning_curves.png", "out/schedule.png"),
    ),
}
TUNE_DIGITS = ROOT / "examples" / "tune_digits.py"


@pytest.fixture(scope="module")
def finished_example(tmp_path_factory):
    """`finished_example(name)` is the folder and stdout of one run, made once."""

    @functools.cache
    def run(name: str) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp(Path(name).stem)
        arguments, _ = EXAMPLES[name]
        finished = run_script(ROOT / "examples" / name, *arguments, cwd=folder)
        return folder, stdout_of(finished)

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def leaderboard_lines(printed: str) -> list[str]:
    """The title, the headings and the rows of the printed leaderboard."""
    lines = printed.splitlines()
    title = next(i for i, line in enumerate(lines) if line.startswith("Leaderboard"))
    return lines[title : lines.index("Best settings:")]


def test_every_example_is_in_the_table():
    """A new script in examples/ cannot be forgotten here."""
    assert sorted(EXAMPLES) == sorted(p.name for p in ROOT.glob("examples/*.py"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_writes_its_files_and_says_where(name, finished_example):
    """Pictures show something, tables have rows, and stdout names each file."""
    folder, printed = finished_example(name)
    unwrapped = "".join(line.strip() for line in printed.splitlines())
    for written in EXAMPLES[name][1]:
        path = folder / written
        assert path.name in unwrapped
        if path.suffix == ".png":
            pixels = image.imread(path)
            assert min(pixels.shape[:2]) >= 200
            assert np.ptp(pixels[..., :3]) > 0.5
        else:
            assert len(table(path)) > 0


def test_leaderboard_has_a_row_for_each_trial(finished_example):
    """Two trials were asked for, so two are written and printed, best score first."""
    folder, printed = finished_example("tune_digits.py")
    rows = table(folder / "out/leaderboard.csv")
    scores = [float(row["val_accuracy"]) for row in rows]
    assert len(rows) == 2
    assert 1 >= scores[0] >= scores[1] >= 0
    last_lines = [line.split() for line in leaderboard_lines(printed)[-2:]]
    assert [words[:2] for words in last_lines] == [
        [row["rank"], row["trial_id"]] for row in rows
    ]


def test_one_seed_gives_one_leaderboard(finished_example, tmp_path):
    """A second run with the same seed prints the same leaderboard."""
    _, first = finished_example("tune_digits.py")
    arguments, _ = EXAMPLES["tune_digits.py"]
    second = stdout_of(run_script(TUNE_DIGITS, *arguments, cwd=tmp_path))
    assert leaderboard_lines(second) == leaderboard_lines(first)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trials", "0"),
        ("--trials", "two"),
        ("--epochs", "-1"),
        ("--tuner", "nope"),
        ("--seed", "x"),
    ],
)
def test_bad_value_is_one_clear_line(option, value, tmp_path):
    """The script ends with status 2 and one line that holds the option and value."""
    finished = run_script(TUNE_DIGITS, f"{option}={value}", cwd=tmp_path)
    assert finished.returncode == 2
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    assert option in line
    assert value in line
    assert list(tmp_path.iterdir()) == []
