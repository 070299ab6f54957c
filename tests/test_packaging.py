import configparser
import importlib
import inspect
import io
import pkgutil
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

import keras_tricks
from tests.child_process import ROOT


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(option):
    return [line for line in option.splitlines() if line and not line.startswith("#")]


def test_version_is_the_one_in_setup_cfg(setup_cfg):
    """`__version__` and the distribution's version are the same."""
    assert keras_tricks.__version__ == setup_cfg["metadata"]["version"]


def test_changelog_tells_of_this_version(setup_cfg):
    """The version has its section in the change log."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(setup_cfg["metadata"]["version"])
    assert re.search(rf"^## .*\b{version}\b", changes, re.MULTILINE)


def test_no_old_name_outlives_the_version_that_it_announced():
    """What `warn_renamed` says is kept: at that version this test fails."""
    package = Path(keras_tricks.__file__).parent
    announced = {
        Version(version)
        for path in package.rglob("*.py")
        for version in re.findall(
            r'removed_in="([\d.]+)"', path.read_text(encoding="utf-8")
        )
    }
    assert announced
    assert min(announced) > Version(keras_tricks.__version__)


def test_citation_is_of_this_version(setup_cfg):
    """CITATION.cff names the version and the licence of the distribution."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    metadata = setup_cfg["metadata"]
    assert f"version: {metadata['version']}" in citation
    assert f"license: {metadata['license']}" in citation


def test_workflows_run_the_checks_and_nothing_else():
    """Each command is `.ci/run`, with parts that it knows."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [known] = re.findall(r"^ +(newest \|.*)\) ;;", script, re.MULTILINE)
    commands = []
    for path in ROOT.glob(".github/workflows/*.yml"):
        text = path.read_text(encoding="utf-8")
        commands += re.findall(r"^\s*-? ?run: (.*)", text, re.MULTILINE)
        parts = re.findall(r"part: (?:\[(.*)\]|(\w+))", text)
        named = {part.strip() for pair in parts for part in "".join(pair).split(",")}
        assert named <= set(known.split(" | "))
    assert set(commands) == {
        "bash .ci/run",
        "bash .ci/run site",
        "bash .ci/run ${{ matrix.part }}",
    }


def source_archive(path, seconds, mode):
    """Writes an archive as setuptools does, with a time, a user and permissions."""
    with tarfile.open(path, "w:gz") as archive:
        for name in ("a-1/b.py", "a-1/a.py"):
            member = tarfile.TarInfo(name)
            member.mtime, member.mode, member.uname = seconds, mode, f"user{mode}"
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))


def wheel(path, _, mode):
    """Writes a wheel, in whose times setuptools heeds SOURCE_DATE_EPOCH."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a/a.py", "a/b.py"):
            member = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, name)


@pytest.mark.parametrize(
    ("build", "suffix", "write"),
    [
        ("build_sdist", ".tar.gz", source_archive),
        ("build_wheel", ".whl", wheel),
    ],
)
def test_archives_of_one_time_have_the_same_bytes(
    build, suffix, write, tmp_path, monkeypatch
):
    """Whatever the clock, the user and the permissions were."""
    backend = runpy.run_path(str(ROOT / ".ci" / "build_backend.py"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    paths = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for path, seconds, mode in zip(paths, (1e9, 1.5e9), (0o600, 0o664), strict=True):
        write(path, seconds, mode)
        monkeypatch.setattr(
            backend["build_meta"], build, lambda *_, name=path.name: name
        )
        assert backend[build](str(tmp_path)) == path.name
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_source_archive_keeps_its_files_and_gets_the_time(tmp_path):
    backend = runpy.run_path(str(ROOT / ".ci" / "build_backend.py"))
    path = tmp_path / "a-1.tar.gz"
    source_archive(path, 1e9, 0o700)
    backend["_rewrite_tar"](path, 1_700_000_000)
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        contents = [archive.extractfile(member).read() for member in members]
    assert contents == [b"a-1/a.py", b"a-1/b.py"]
    assert {(m.mtime, m.mode, m.uname) for m in members} == {(1700000000, 0o755, "")}


def test_a_wheel_keeps_its_files(tmp_path):
    backend = runpy.run_path(str(ROOT / ".ci" / "build_backend.py"))
    path = tmp_path / "a.whl"
    wheel(path, None, 0o600)
    backend["_rewrite_zip"](path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/a.py", "a/b.py"]
        assert archive.read("a/b.py") == b"a/b.py"
        assert {m.external_attr >> 16 for m in archive.infolist()} == {0o100644}


def test_package_is_marked_as_typed(setup_cfg):
    """`py.typed` stands in the package and is shipped with it (PEP 561)."""
    assert (ROOT / "keras_tricks" / "py.typed").is_file()
    assert "py.typed" in setup_cfg["options.package_data"]["keras_tricks"].split()


def test_every_requirement_has_a_lower_bound(setup_cfg):
    """Each dependency, optional ones too, names the oldest version tested."""
    options = [setup_cfg["options"]["install_requires"]]
    options += setup_cfg["options.extras_require"].values()
    lines = [line for option in options for line in requirements(option)]
    unbound = [line for line in lines if ">=" not in line]
    assert unbound == ["keras_tricks[docs]", "keras_tricks[test]"]


def test_lowest_versions_pins_each_lower_bound(tmp_path, capsys, monkeypatch):
    """`>=` becomes `==`, extras and their own references are left out."""
    cfg = tmp_path / "setup.cfg"
    cfg.write_text(
        "[options]\n"
        "install_requires =\n"
        "    alpha>=1.2\n"
        "    # a reason\n"
        "    beta-x >= 3.0, <4\n"
        "[options.extras_require]\n"
        "fast = alpha[cuda]>=1.2\n"
        "more =\n"
        "    ours[fast]\n"
        "    gamma>=0.5.1; python_version < '3.13'\n"
    )
    monkeypatch.setattr(sys, "argv", ["lowest_versions.py", str(cfg)])
    runpy.run_path(str(ROOT / ".ci" / "lowest_versions.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["alpha==1.2", "beta-x==3.0", "gamma==0.5.1"]


def test_each_requirement_of_the_package_has_one_lower_bound():
    """A name with two of them, in two extras, would be refused."""
    script = runpy.run_path(str(ROOT / ".ci" / "lowest_versions.py"))
    pinned = script["lowest_versions"](str(ROOT / "setup.cfg"))
    assert len(pinned) == len({pin.partition("==")[0] for pin in pinned})


OPTIONAL = ("keras_tuner", "matplotlib", "optuna", "pandas", "sklearn", "tensorboard")


def test_import_asks_for_nothing_optional(run_python):
    """`import keras_tricks` never tries one of these; Keras itself may, and is refused.

    Keras imports some of them where they are installed, so looking into `sys.modules`
    afterwards would prove nothing.
    """
    code = f"""
        import sys

        class Refusal:
            asked = []

            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {OPTIONAL!r}:
                    self.asked.append(name)
                    raise ModuleNotFoundError(name, name=name)

        sys.meta_path.insert(0, Refusal())
        import keras
        by_keras = len(Refusal.asked)
        import keras_tricks
        print(Refusal.asked[by_keras:])
        try:
            keras_tricks.tuners.RandomSearch
        except ModuleNotFoundError:
            print("refused where it is needed")
    """
    assert run_python(code).splitlines() == ["[]", "refused where it is needed"]


def public_names():
    """Each (module, name) that the folders and the single modules offer."""
    for module in pkgutil.iter_modules(keras_tricks.__path__):
        if module.name.startswith("_"):
            continue
        imported = importlib.import_module(f"keras_tricks.{module.name}")
        names = getattr(imported, "__all__", None)
        if names is None and not module.ispkg:
            names = [
                name
                for name, thing in vars(imported).items()
                if not name.startswith("_")
                and getattr(thing, "__module__", None) == imported.__name__
            ]
        for name in names:
            yield pytest.param(imported, name, id=f"{module.name}.{name}")


@pytest.mark.parametrize(("module", "name"), list(public_names()))
def test_public_name_has_a_docstring_with_an_example(module, name):
    """What is offered exists and documents itself, not by inheritance."""
    # Of a class, what it says itself and not what it inherits.
    documentation = vars(getattr(module, name)).get("__doc__") or ""
    if inspect.isfunction(getattr(module, name)):
        documentation = getattr(module, name).__doc__ or ""
    assert documentation.split("\n")[0].strip()
    assert ">>> " in documentation


def test_package_offers_its_folders_and_modules():
    """`keras_tricks.__all__` holds just what stands in the package."""
    found = [m.name for m in pkgutil.iter_modules(keras_tricks.__path__)]
    public = sorted(name for name in found if not name.startswith("_"))
    assert sorted(keras_tricks.__all__) == public


WARNINGS_FROM = {
    "keras_tricks": "FAILED",
    "keras_tricks.schedules.noam": "FAILED",
    "tests.schedules.test_noam": "FAILED",
    "keras_tricksters": "PASSED",
    "keras.src.optimizers": "PASSED",
}


def test_only_warnings_from_our_own_code_fail_a_test(tmp_path):
    """Under the repository's settings a warning fails a test by where it comes from."""
    (tmp_path / "setup.cfg").write_bytes((ROOT / "setup.cfg").read_bytes())
    (tmp_path / "test_it.py").write_text(
        "import warnings\n"
        "import pytest\n"
        f"@pytest.mark.parametrize('origin', {list(WARNINGS_FROM)})\n"
        "def test_it(origin):\n"
        "    names = {'warnings': warnings, '__name__': origin}\n"
        "    exec('warnings.warn(\"mind this\")', names)\n"
    )
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *("-n", "0", "-rA", "test_it.py"),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    outcomes = re.findall(
        r"^(PASSED|FAILED) test_it.py::test_it\[(.*?)\]", finished.stdout, re.MULTILINE
    )
    assert {origin: outcome for outcome, origin in outcomes} == WARNINGS_FROM
    assert "3 failed, 2 passed, 2 warnings" in finished.stdout.splitlines()[-1]
