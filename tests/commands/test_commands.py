"""The command `keras-tricks`: what it prints, its exit status, what it loads."""

import argparse
import csv
import io
import subprocess
import sys
import sysconfig
from pathlib import Path

import pandas as pd
import pytest

import keras_tricks
from keras_tricks.commands import command_line
from keras_tricks.commands import main
from keras_tricks.commands import plot_schedule
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.tuners import CoarseToFine
from tests.analysis.searches import Known
from tests.analysis.searches import searched
from tests.child_process import ROOT

COMMANDS = ("report", "leaderboard", "diagnose", "plot-schedule", "lint")


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("commands"), trials=20)


def test_the_guide_has_every_command_with_its_options():
    guide = (ROOT / "docs" / "after-a-search.md").read_text(encoding="utf-8")
    for name, module in command_line._COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        module.add_arguments(parser)
        [row] = [
            r for r in guide.splitlines() if r.startswith(f"| `keras-tricks {name}")
        ]
        for action in parser._actions:
            for option in action.option_strings:
                assert f"`{option}" in row


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"keras_tricks {keras_tricks.__version__}\n"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(
        " ".join(["usage: keras-tricks", *command])
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nothing",),
        ("leaderboard",),
        ("leaderboard", "{tmp}/none"),
        ("leaderboard", "{tmp}"),
        ("report", "{tmp}"),
        ("report", "{tuner}", "--reload", "-1", "-o", "{tmp}/x.html"),
        ("report", "{tuner}", "-o", "{tmp}/none/x.html"),
        ("diagnose", "{tmp}/none.csv"),
        ("diagnose", "{tmp}"),
        ("plot-schedule", "1 +"),
        ("plot-schedule", "5e-5"),
        ("plot-schedule", "open('x')"),
        ("plot-schedule", "().__class__()"),
        ("plot-schedule", "NoamSchedule(512, warmup_steps=[].append)"),
        ("plot-schedule", "NoamSchedule(*[512])"),
        ("plot-schedule", "NoamSchedule()"),
        ("plot-schedule", "NoamSchedule(512, 'a')"),
        ("plot-schedule", "NoamSchedule(512)", "--steps", "0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, tuner, tmp_path, capsys):
    given = [a.format(tmp=tmp_path, tuner=tuner.project_dir) for a in arguments]
    try:
        status = main(given)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("keras-tricks")


def test_the_leaderboard_is_the_tuners(tuner, capsys):
    assert main(["leaderboard", tuner.project_dir, "--csv"]) == 0
    assert capsys.readouterr().out == tuner.leaderboard().to_csv(index=False)
    assert main(["leaderboard", tuner.project_dir]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[1].split()[:2] == ["1", tuner.leaderboard()["trial_id"][0]]


def test_rounds_are_a_column(tmp_path, capsys):
    rounds = CoarseToFine(
        Known(), "val_loss", rounds=2, trials_per_round=5, seed=0, directory=tmp_path
    )
    rounds.search(verbose=0)
    assert main(["leaderboard", str(tmp_path / "coarse_to_fine"), "--csv"]) == 0
    rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert [row["round"] for row in rows] == ["round_1"] * 5 + ["round_2"] * 5


def test_a_report_is_written(tuner, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["report", tuner.project_dir, "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert "<h1>known</h1>" in path.read_text(encoding="utf-8")


def test_curves_are_diagnosed(tmp_path, capsys):
    path = tmp_path / "history.csv"
    frame = pd.DataFrame({"epoch": range(3), "loss": [2.3, 2.2, float("nan")]})
    frame.to_csv(path, index=False)
    assert main(["diagnose", str(path)]) == 0
    assert "diverging" in capsys.readouterr().out


def test_old_code_is_found(tmp_path, capsys):
    path = tmp_path / "old.py"
    path.write_text("import tensorflow as tf\nadam = tf.train.AdamOptimizer(1e-3)\n")
    assert main(["lint", str(path)]) == 1
    assert "keras.optimizers.Adam" in capsys.readouterr().out


def test_a_schedule_is_read_as_python_would():
    text = "Warmup(WarmupPolynomialDecay(5e-5, 10_000, power=2.), 100, join='shift')"
    made = plot_schedule._made(plot_schedule._parsed(text), text)
    expected = Warmup(WarmupPolynomialDecay(5e-5, 10_000, power=2.0), 100, join="shift")
    assert made.get_config() == expected.get_config()


def test_schedules_are_drawn(tmp_path, capsys):
    path = tmp_path / "schedule.png"
    texts = ["NoamSchedule(512)", "OneCycle(1e-3, 1000)"]
    assert main(["plot-schedule", *texts, "-o", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["leaderboard", "{tuner}"],
        ["report", "{tuner}", "-o", "{tmp}/report.html"],
        ["diagnose", "{tuner}/trial_00/record.json"],
        ["diagnose", "{tmp}/history.csv"],
        ["lint", "{tmp}/old.py"],
        ["--help"],
    ],
)
def test_keras_is_not_loaded(command, tuner, tmp_path):
    """By the script that pip made, or by the module."""
    (tmp_path / "history.csv").write_text("epoch,loss\n0,2.0\n1,1.0\n")
    (tmp_path / "old.py").write_text("x = 1\n")
    given = [a.format(tmp=tmp_path, tuner=tuner.project_dir) for a in command]
    script = Path(sysconfig.get_path("scripts")) / "keras-tricks"
    starts = [[sys.executable, "-X", "importtime", "-m", "keras_tricks"]]
    if script.exists():  # Not where the package is found by its path alone.
        starts.append([sys.executable, "-X", "importtime", str(script)])
    for start in starts:
        done = subprocess.run([*start, *given], capture_output=True, text=True)
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        if command[0] != "diagnose" or "csv" in command[1]:
            assert done.returncode == 0, done.stderr[-500:]
        assert "keras_tricks.commands.command_line" in loaded
        assert not {"keras", "tensorflow", "keras_tuner"} & loaded


def test_the_reader_may_stop_reading(tuner):
    command = [sys.executable, "-m", "keras_tricks", "leaderboard", tuner.project_dir]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 1
