import pytest

from tests import shared_process


def test_code_runs_in_the_test_directory_with_its_arguments(run_shared, tmp_path):
    code = """
        import os, sys
        print(os.path.realpath(os.getcwd()))
        print(sys.argv[1:], __name__)
    """
    printed = run_shared(code, "a", "--b")
    assert printed.splitlines() == [str(tmp_path.resolve()), "['a', '--b'] __main__"]


def test_each_script_begins_as_if_it_were_alone(run_shared, tmp_path):
    """Names, layers' numbers, Keras's dtype and neighbours are not those of before."""
    code = """
        import keras
        import neighbour
        policy = keras.config.dtype_policy().name
        print("name" in globals(), keras.layers.Dense(1).name, policy)
        print(neighbour.answer)
        name = 1
        keras.config.set_dtype_policy("mixed_float16")
    """
    for answer in ("first", "second"):
        (tmp_path / "neighbour.py").write_text(f"answer = {answer!r}\n")
        printed = run_shared(code).split()
        assert printed == ["False", "dense", "float32", answer]


def test_a_failing_script_fails_the_test_and_the_next_one_runs(run_shared):
    with pytest.raises(pytest.fail.Exception, match=r"(?s)so far.*ZeroDivisionError"):
        run_shared("print('so far')\n1 / 0")
    with pytest.raises(pytest.fail.Exception, match="SystemExit: 2"):
        run_shared("raise SystemExit(2)")
    assert run_shared("print('went on')") == "went on\n"


def test_a_warning_from_our_code_fails_the_script(run_shared):
    """Whatever an earlier script made of warnings."""
    run_shared("import warnings\nwarnings.simplefilter('ignore')")
    with pytest.raises(pytest.fail.Exception, match="UserWarning: mind this"):
        run_shared("import warnings\nwarnings.warn('mind this')")


def test_a_process_that_dies_is_told_with_its_errors(tmp_path):
    process = shared_process.SharedProcess("jax")
    script = tmp_path / "dies.py"
    script.write_text("import os\nos.write(2, b'last words')\nos._exit(3)\n")
    with pytest.raises(pytest.fail.Exception, match="last words"):
        process.run(script, cwd=tmp_path)
