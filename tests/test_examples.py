import csv
import functools
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib import image

from keras_tricks.hypermodels import RawTextClassifier
from tests import sampling
from tests import shared_process
from tests.child_process import ROOT
from tests.child_process import run_script
from tests.child_process import stdout_of

# Each script with the arguments that make it short and the files it has to write.
EXAMPLES = {
    "bert_from_checkpoint.py": (
        ["--examples", "640", "--epochs", "1", "--output", "out"],
        ["out/classifier.keras"],
    ),
    "bert_style_finetune.py": (
        ["--pretraining-epochs", "1", "--epochs", "1", "--output", "out"],
        ["out/rate_and_norm.png"],
    ),
    "fine_tune.py": (
        ("--seeds", "1", "--pretraining-epochs", "1", "--epochs", "1", "--output=out"),
        ("out/fine_tuned.keras",),
    ),
    "first_steps.py": (
        ("--trials", "5", "--epochs", "2", "--output", "out"),
        ("out/rates.png", "out/live_curves.png"),
    ),
    "forecast.py": (
        ("--trials", "1", "--epochs", "1", "--output", "out"),
        ("out/leaderboard.csv", "out/forecast.png"),
    ),
    "playbook.py": (
        ("--trials", "16", "--epochs", "7", "--seeds", "2", "--output", "out"),
        ("out/leaderboard.csv", "out/report.html"),
    ),
    "search_with_workers.py": (
        ("--trials", "2", "--epochs", "1", "--output", "out"),
        ("out/leaderboard.csv",),
    ),
    "tune_digits.py": (
        ("--trials", "2", "--epochs", "2", "--output", "out"),
        (
            *("out/leaderboard.csv", "out/learning_curves.png", "out/schedule.png"),
            "out/report.html",
        ),
    ),
    "tune_images.py": (
        ("--trials", "1", "--epochs", "1", "--output", "out"),
        ("out/confusion.png",),
    ),
    "tune_regression.py": (
        ("--trials", "1", "--epochs", "2", "--output", "out"),
        ("out/leaderboard.csv", "out/predictor.keras"),
    ),
    "tune_text.py": (
        ("--trials", "1", "--epochs", "1", "--output", "out"),
        ("out/leaderboard.csv", "out/classifier.keras"),
    ),
}
WITH_PROCESSES_OF_THEIR_OWN = ("search_with_workers.py",)
TUNE_DIGITS = ROOT / "examples" / "tune_digits.py"
TUNE_TEXT = ROOT / "examples" / "tune_text.py"


@pytest.fixture(scope="module")
def finished_example(tmp_path_factory):
    """`finished_example(name)` is the folder and stdout of one run, made once."""

    @functools.cache
    def run(name: str) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp(Path(name).stem)
        arguments, _ = EXAMPLES[name]
        script = ROOT / "examples" / name
        if name in WITH_PROCESSES_OF_THEIR_OWN:
            return folder, stdout_of(run_script(script, *arguments, cwd=folder))
        return folder, shared_process.run(script, *arguments, cwd=folder)

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
    scripts = {path.name for path in ROOT.glob("examples/*.py")}
    assert scripts - {"command_line.py"} == set(EXAMPLES)


# The others are like one of these.
TYPICAL = (
    "bert_style_finetune.py",
    "search_with_workers.py",
    "tune_digits.py",
    "tune_text.py",
)


@pytest.mark.parametrize("name", sampling.only(TYPICAL, EXAMPLES))
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
        elif path.suffix == ".keras":
            assert zipfile.is_zipfile(path)
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").count("<section") > 10
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


@pytest.mark.exhaustive  # Of scripts; tests/tuners/test_contract.py has it of tuners.
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


def test_the_written_text_classifier_takes_strings(finished_example):
    """Its labels are packages of the standard library, its outputs probabilities."""
    folder, printed = finished_example("tune_text.py")
    model = keras.models.load_model(folder / "out/classifier.keras")
    assert isinstance(model, RawTextClassifier)
    assert f"{len(model.labels)} classes: {', '.join(model.labels)}" in printed
    assert set(model.labels) <= sys.stdlib_module_names
    probabilities = model.predict(["Return the payload of the message."], verbose=0)
    assert probabilities.shape == (1, len(model.labels))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("good\ta fine film\nbad\n", "Received in line 2 of "),
        ("good\ta fine film\n" * 9, "Received: {'good': 9}"),
        ("good\tfine\n" * 9 + "bad\tpoor\n", "Received: {'good': 9, 'bad': 1}"),
        ("", "Received: {}"),
    ],
    ids=["no tab", "one label", "a rare label", "empty"],
)
def test_unusable_texts_are_refused_in_one_line(lines, message, tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text(lines, encoding="utf-8")
    finished = run_script(TUNE_TEXT, f"--data={path}", cwd=tmp_path)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert "argument --data: " in line
    assert message in line
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--data", "missing.tsv"), ("--model", "rnn"), ("--trials", "-1")],
)
def test_bad_value_for_the_text_example_is_one_clear_line(option, value, tmp_path):
    finished = run_script(TUNE_TEXT, f"{option}={value}", cwd=tmp_path)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert option in line
    assert value in line
    assert list(tmp_path.iterdir()) == []
