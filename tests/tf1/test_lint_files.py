"""What the check of code reads, what it prints, and how long it takes."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import venv

import pytest

from keras_tricks.tf1 import lint
from keras_tricks.tf1.lint.reading.notebook import python_lines
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import report
from tests import sampling
from tests.child_process import ROOT

CODE = "import tensorflow as tf\nstep = tf.train.get_global_step()\n"
STEP = "optimizer.iterations (a schedule in an optimizer is given the step)"


def notebook(*cells, **more):
    """The JSON of a notebook: a text is code, a list of one text is Markdown."""
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code" if isinstance(cell, str) else "markdown",
                    "source": cell if isinstance(cell, str) else cell[0],
                    "metadata": {},
                }
                for cell in cells
            ],
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            **more,
        }
    )


def test_a_notebook_is_read_cell_by_cell(tmp_path, capsys):
    """Names of one cell are known in the next; lines count within the cell."""
    path = tmp_path / "train.ipynb"
    path.write_text(
        notebook(
            ["# Words, tf.train.get_global_step()"],
            "%matplotlib inline\n!pip install tensorflow \\\n  keras\n"
            "import tensorflow as tf",
            "%%bash\ntf.train.get_global_step()",
            "files = !ls\n\nif files:\n    !ls\nx = (1,\n  tf.train.get_global_step())",
        )
    )
    assert lint.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == (
        f"{path}:cell 4:6:3: tf.train.get_global_step -> {STEP}\n"
    )
    lint.main([str(path), "--diff"])
    assert capsys.readouterr().out == ""


def test_the_source_of_a_cell_may_be_a_list_of_lines(tmp_path, capsys):
    """As Jupyter writes it; and worksheets are those of format 3."""
    lines = CODE.splitlines(keepends=True)
    new, old = tmp_path / "new.ipynb", tmp_path / "old.ipynb"
    new.write_text(json.dumps({"cells": [{"cell_type": "code", "source": lines}]}))
    cell = {"cell_type": "code", "input": lines}
    old.write_text(json.dumps({"worksheets": [{"cells": [cell]}]}))
    assert lint.main([str(new), str(old)]) == 1
    listed = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in listed] == [
        f"{new}:cell 1:2:8",
        f"{old}:cell 1:2:8",
    ]


def test_a_cell_that_is_no_python_is_told_and_the_others_are_read(tmp_path, capsys):
    path = tmp_path / "train.ipynb"
    path.write_text(notebook("print 'x'", CODE))
    assert lint.main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"{path}:cell 1:1:1: not Python 3")
    assert out.startswith(f"{path}:cell 2:2:8: ")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', "\xff", "null"])
def test_a_file_that_is_no_notebook_is_one_line_and_status_2(tmp_path, capsys, text):
    path = tmp_path / "train.ipynb"
    path.write_text(text, encoding="latin-1")
    assert lint.main([str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: not checked: it is no notebook")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("x = 5 % 3\ny = 'a?'", ["x = 5 % 3", "y = 'a?'"]),
        ("%time x = 1", ["pass"]),
        ("%%time\nx = 1", ["pass", "x = 1"]),
        ("%%html\n<b>x</b>", ["", ""]),
        ("x = %who_ls", ["x = None"]),
        ("len?\nlen??", ["pass", "pass"]),
        ("for i in x:\n  !echo {i}", ["for i in x:", "  pass"]),
        ("!a \\\n  b\nx = 1", ["pass", "", "x = 1"]),
        ("", [""]),
    ],
)
def test_what_only_ipython_reads_becomes_a_line_of_python(cell, expected):
    assert python_lines(cell) == expected


@pytest.mark.parametrize("coding", ["rot13", "base64", "undefined", "hex", "klingon"])
def test_an_encoding_that_is_none_of_text_is_told_for_that_file(
    tmp_path, capsys, coding
):
    """The other files are checked all the same."""
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text(f"# coding: {coding}\nx = 1\n")
    good.write_text(CODE)
    assert lint.main([str(bad), str(good)]) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert line.startswith(str(bad))
    assert out == f"{good}:2:8: tf.train.get_global_step -> {STEP}\n"


def test_what_is_no_regular_file_is_not_waited_for(tmp_path, capsys, monkeypatch):
    """A pipe, a socket and a device, named and in a directory."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.py")
    os.mkfifo("pipe.ipynb")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.py")
        os.symlink("/dev/zero", "device.py")
        (tmp_path / "good.py").write_text(CODE)
        # A module that an import names is not waited for, either.
        os.mkfifo("optimization.py")
        (tmp_path / "user.py").write_text(
            "import optimization\noptimization.create_optimizer(a, b, c, d, e)\n"
        )
        assert lint.main(["."]) == 2
    out, err = capsys.readouterr()
    assert sorted(line.partition(":")[0] for line in err.splitlines()) == [
        "device.py",
        "optimization.py",
        "pipe.ipynb",
        "pipe.py",
        "socket.py",
    ]
    assert {"good.py", "user.py"} == {
        line.partition(":")[0] for line in out.splitlines()
    }


def test_a_fault_of_the_check_is_told_for_that_file(tmp_path, capsys, monkeypatch):
    """It does not keep the other files from being checked."""
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text("x = 1\n")
    good.write_text(CODE)

    def report_or_fail(source):
        assert source.path != str(bad), "a fault"
        return report(source)

    monkeypatch.setattr("keras_tricks.tf1.lint.command.report_of", report_or_fail)
    assert lint.main([str(bad), str(good)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"{bad}: not checked, by a fault of this check: Assertion")
    assert out.startswith(f"{good}:2:8: ")


def test_the_exit_status_says_what_there_is_to_do(tmp_path):
    """0 for nothing, 1 for a finding, 2 for what could not be read."""
    nothing, something, broken = (tmp_path / f"{name}.py" for name in "abc")
    nothing.write_text("x = 1\n")
    something.write_text(CODE)
    broken.write_text("x = (\n")
    assert lint.main([str(nothing)]) == 0
    assert lint.main([str(nothing), str(something)]) == 1
    assert lint.main([str(something), str(broken)]) == 2
    assert lint.main([str(broken), str(something)]) == 2


def test_the_format_of_github_annotates_lines(tmp_path, capsys):
    """Commas, colons and percent signs are escaped as its documentation says."""
    path = tmp_path / "a,b.py"
    path.write_text(f"{CODE}x = tf.clip_by_global_norm(g, '100%')\n")
    assert lint.main(["--format", "github", str(path), str(tmp_path / "no.py")]) == 2
    first, second, third = capsys.readouterr().out.splitlines()
    place = f"file={tmp_path}/a%2Cb.py,line=2,col=8,title=keras_tricks"
    assert first == f"::warning {place}::tf.train.get_global_step -> {STEP}"
    assert "global_clipnorm='100%25')" in second
    assert third.startswith(f"::error title=keras_tricks::{tmp_path}/no.py: cannot")


def test_the_format_of_json_is_one_document(tmp_path, capsys):
    path = tmp_path / "a.py"
    path.write_text(
        "import tensorflow as tf\ntf.disable_v2_behavior()\n"
        "x = tf.train.polynomial_decay(0.1, tf.train.get_global_step(), 10, 0.0)\n"
    )
    broken = tmp_path / "b.py"
    assert lint.main(["--format", "json", str(path), str(broken)]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == [
        f"{broken}: cannot be read: No such file or directory"
    ]
    first, second = document["findings"]
    assert first == {
        "path": str(path),
        "cell": None,
        "line": 3,
        "column": 5,
        "found": "tf.train.polynomial_decay",
        "instead": "keras_tricks.schedules.WarmupPolynomialDecay(0.1, 10)",
        "check": "equal at 18 steps",
        "rewrite": "code",
        "reason": "",
    }
    # It stands in what is rewritten.
    assert (second["column"], second["rewrite"]) == (36, "code")


def test_other_tf1_code_is_told_once_a_file(tmp_path, capsys):
    """No file with TF1 code is passed over in silence."""
    path = tmp_path / "old.py"
    path.write_text(
        "import tensorflow as tf\n"
        "x = tf.placeholder(tf.float32)\n"
        "y = tf.contrib.layers.flatten(x)\n"
        "with tf.Session() as s:\n  s.run(tf.placeholder(tf.int32))\n"
    )
    assert lint.main([str(path)]) == 1
    assert capsys.readouterr().out == (
        f"{path}:2:5: other TF1 code: tf.placeholder (2), tf.contrib.layers (1), "
        "tf.Session (1) -> no advice: this package does not cover it\n"
    )


def test_a_directory_is_read_without_its_virtual_environment(tmp_path, capsys):
    """Whatever that is called; but it is read where it is named itself."""
    venv.create(tmp_path / "py38", symlinks=True)
    for folder in ("src", "py38/lib", "build/site-packages", "node_modules/a"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "old.py").write_text(CODE)
    assert lint.main([str(tmp_path)]) == 1
    own = tmp_path / "src" / "old.py"
    assert capsys.readouterr().out == f"{own}:2:8: tf.train.get_global_step -> {STEP}\n"
    assert lint.main([str(tmp_path / "py38")]) == 1
    assert f"{tmp_path / 'py38' / 'lib' / 'old.py'}:2:8" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no `patch`")
@pytest.mark.parametrize("name", ["old.py", "my old.py", "two  spaces/a b.py"])
def test_patch_finds_a_file_whatever_its_name(name, tmp_path):
    """`patch` takes a name to end at a tab, or else at a space."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "import tensorflow as tf\n\n\ndef f(step):\n"
        "    return tf.train.polynomial_decay(0.1, step, 10)\n"
    )
    source = Source(path.read_text(), name)
    new = edits.rewritten(source, edits.chosen(report(source)))
    assert new != source.text
    change = edits.unified_diff(source, new)
    subprocess.run(
        ["patch", "-p0"], input=change, text=True, check=True, cwd=tmp_path, timeout=60
    )
    assert path.read_text() == new


def seconds_for(code):
    start = time.perf_counter()
    source = Source(code)
    found = report(source)
    edits.unified_diff(source, edits.rewritten(source, edits.chosen(found)))
    return time.perf_counter() - start, len(found)


LINES = {
    "decays": "x{0} = tf.train.polynomial_decay(0.1, step, {0} + 10, 0.0)\n",
    "functions": (
        "def f{0}(rate, n, w):\n"
        "    step = tf.train.get_global_step()\n"
        "    rate = tf.train.polynomial_decay(rate, step, n, 0.0)\n"
        "    m = tf.cast(step < w, tf.float32)\n"
        "    return (1.0 - m) * rate + m * 0.1 * step / w\n\n"
    ),
    "one name": (
        "step = tf.train.get_global_step()\nx = tf.where(step < warm, step, x)\n"
    ),
    "optimizers of one name": (
        "optimizer = tf.train.AdamOptimizer(0.1)\nop = optimizer.minimize(loss)\n"
    ),
    "clips behind tests": (
        "if x:\n    grads = tf.clip_by_global_norm(grads, 1.0)[0]\n"
        "else:\n    optimizer.apply_gradients(grads)\n"
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_time_grows_with_the_findings_and_not_with_their_square(kind):
    """Four times the findings take six times as long at most; 10,000 take 10 s."""
    beginning = "import tensorflow as tf\ntf.disable_v2_behavior()\nstep = x = 1\n"
    code = [
        beginning + "".join(LINES[kind].format(i) for i in range(count))
        for count in (150, 600)
    ]
    seconds_for(code[0])
    (short, few), (long, many) = (
        min(seconds_for(one) for _ in range(2)) for one in code
    )
    assert many > 3.9 * few
    assert long < 6 * short + 0.1
    if kind == "decays":
        # A third of the speed asked for leaves room on a machine that is busy.
        assert long / many < 3 * 10 / 10_000


def test_the_command_starts_without_keras(tmp_path):
    """`python -X importtime` names neither Keras, nor TensorFlow, nor NumPy."""
    (tmp_path / "old.py").write_text(CODE)
    command = [sys.executable, "-X", "importtime", "-m", "keras_tricks.tf1", "old.py"]
    finished = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    imported = {
        line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()
    }
    assert "keras_tricks.tf1.lint.rules" in imported
    assert not imported & {"keras", "tensorflow", "numpy", "keras_tricks.schedules"}
    assert (finished.returncode, finished.stdout.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "way",
    sampling.one_in(2, ["from keras_tricks.tf1 import lint", "import keras_tricks"]),
)
def test_every_other_import_registers_the_classes(run_python, way):
    """Also where a script is run by `-m`, and its arguments name the command."""
    code = f"""
        import subprocess, sys
        open("other.py", "w").write('''{way}
        import keras
        print(keras.saving.get_registered_object("keras_tricks>NoamSchedule"))
        '''.replace("        ", ""))
        command = [sys.executable, "-m", "other", "keras_tricks.tf1"]
        print(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
    """
    assert "NoamSchedule" in run_python(textwrap.dedent(code))
