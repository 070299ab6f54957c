import pytest


def test_code_runs_in_the_test_directory_with_its_arguments(run_python, tmp_path):
    """The child prints its directory, its arguments and the variable it was given."""
    code = """
        import os, sys
        print(os.path.realpath(os.getcwd()))
        print(sys.argv[1:], os.environ["COLOUR"])
    """
    printed = run_python(code, "a", "--b", env={"COLOUR": "red"})
    assert printed.splitlines() == [str(tmp_path.resolve()), "['a', '--b'] red"]


def test_a_script_imports_its_neighbours(run_python, tmp_path):
    """As with `python folder/script.py`, the script's own folder is searched first."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "neighbour.py").write_text("answer = 6 * 7\n")
    script = folder / "script.py"
    script.write_text("import neighbour\nprint(neighbour.answer)\n")
    assert run_python(script) == "42\n"


def test_a_failing_child_fails_the_test_and_shows_its_stderr(run_python):
    """The report holds the child's traceback."""
    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        run_python("1 / 0")


def test_a_warning_from_our_code_fails_the_child(run_python):
    """A warning attributed to a submodule of the package ends the child."""
    code = """
        import warnings
        exec("warnings.warn('mind this')",
             {"warnings": warnings, "__name__": "keras_tricks.schedules.noam"})
    """
    with pytest.raises(pytest.fail.Exception, match="UserWarning: mind this"):
        run_python(code)


def test_a_warning_from_other_code_does_not_fail_the_child(run_python):
    """A warning attributed to another package leaves the child running."""
    code = """
        import warnings
        exec("warnings.warn('theirs')",
             {"warnings": warnings, "__name__": "keras_tricksters"})
        print("went on")
    """
    assert run_python(code) == "went on\n"


CRASHES = """
    import os, pathlib, signal
    crashes = pathlib.Path("crashes")
    with crashes.open("a") as file:
        file.write("x")
    if len(crashes.read_text()) <= {times}:
        os.kill(os.getpid(), signal.SIGSEGV)
    print("went on")
"""
TOLD = r"child.py  crashed, and is run once more:\n(?s:.)*line 7"


def test_a_child_that_crashes_is_run_once_more_and_tells_where(run_python):
    with pytest.warns(UserWarning, match=TOLD):
        printed = run_python(CRASHES.format(times=1))
    assert printed == "went on\n"


@pytest.mark.filterwarnings("ignore:child.py  crashed")
def test_a_second_crash_fails_the_test(run_python):
    with pytest.raises(pytest.fail.Exception, match="ended with status -11"):
        run_python(CRASHES.format(times=2))
