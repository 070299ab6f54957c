"""The notebooks of the examples: kept without outputs, and run."""

import json
import re

import nbclient
import nbformat
import pytest

from tests.child_process import ROOT

# Each notebook, with what it prints somewhere.
NOTEBOOKS = {
    "schedules_and_clipping": [
        r"peak 0\.01 at step 36",
        r"% of 360 updates were clipped",
        r"validation accuracy 0\.[89]",
    ],
    "a_search": [
        r"val_accuracy",
        r"in 3 reruns",
        r"0\.9\d\d of 360 images",
    ],
    "from_tensorflow_1": [
        r'WarmupPolynomialDecay\(5e-05, 10000, warmup_steps, join="multiply"\)',
        r"\+    return WarmupPolynomialDecay",
        r"Restored 13 variables from './model.ckpt-400', global step 400",
        r"rate of the next update: 2\.0e-05",
        r"updates: 401",
    ],
}


def path_of(name):
    return ROOT / "examples" / "notebooks" / f"{name}.ipynb"


def test_every_notebook_is_in_the_table():
    found = {path.stem for path in (ROOT / "examples").rglob("*.ipynb")}
    assert found == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stripped(name):
    """`jupyter nbconvert --clear-output --inplace` does it."""
    text = path_of(name).read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    nbformat.validate(nbformat.reads(text, as_version=4))


def printed(cell):
    """Yields the text of what a cell showed."""
    for output in cell.get("outputs", []):
        yield output.get("text") or output.get("data", {}).get("text/plain", "")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_prints_what_it_should(name, tmp_path, monkeypatch):
    """In a kernel of its own, which finds the package that is tested."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path_of(name), as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    text = "\n".join(line for cell in notebook.cells for line in printed(cell))
    assert [what for what in NOTEBOOKS[name] if not re.search(what, text)] == []
