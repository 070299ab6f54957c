"""Every argument of every public callable refuses what it cannot take, by its name."""

import inspect
import operator
import re
import shutil

import pytest

import keras_tricks
from tests import argument_sweep
from tests.argument_sweep import CASES
from tests.argument_sweep import METHODS

ARGUMENTS = [
    (name, argument) for name, case in CASES.items() for argument in case.kinds
]


def public(name):
    return operator.attrgetter(name)(keras_tricks)


def fault_of(call, argument, accepts):
    """Returns what is wrong with the outcome of a call; None if nothing is."""
    try:
        call()
    except (TypeError, ValueError) as error:
        if not re.search(rf"`{argument}\b|\b{argument}=", str(error)):
            return f"{type(error).__name__} without the name: {str(error)[:150]}"
    except Exception as error:
        if accepts and isinstance(error, FileNotFoundError):
            return None  # A path, of something that is not there.
        return f"{type(error).__name__}: {str(error)[:150]}"
    else:
        return None if accepts else "accepted"
    return None


def faults_of(name, argument, folder):
    case = CASES[name]
    valid = dict(case.valid)
    if name in ("tf1.restore_optimizer", "tf1.restore_weights"):
        names = ("model", "optimizer", "checkpoint")
        valid = dict(zip(names, argument_sweep.checkpoint(), strict=True))
        valid = {name: valid[name] for name in valid if name in case.kinds}
    is_tuner = "max_trials" in case.kinds or name == "tuners.CoarseToFine"
    if is_tuner:
        valid["directory"] = folder / "search"
    faults = {}
    for label, value in case.values(argument).items():
        accepts = bool(case.kinds[argument](value))
        # What a function returns, or where a folder is made, is seen in use.
        is_tried = case.tries_accepted and argument not in ("directory", "storage")
        if accepts and (not is_tried or callable(value)):
            continue
        fault = fault_of(
            lambda value=value: case.target(**{**valid, argument: value}),
            argument,
            accepts,
        )
        if fault is not None:
            faults[label] = fault
        elif is_tuner and not accepts and any(folder.iterdir()):
            faults[label] = "refused, but a folder was made"
        shutil.rmtree(folder / "search", ignore_errors=True)
    return faults


def test_every_public_callable_is_swept():
    assert {*CASES} | argument_sweep.RESULTS == argument_sweep.public_callables()


@pytest.mark.parametrize("name", CASES)
def test_every_argument_is_swept(name):
    declared = inspect.signature(public(name)).parameters.values()
    named = {
        parameter.name
        for parameter in declared
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert named <= {*CASES[name].kinds}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS, ids=map(".".join, ARGUMENTS))
def test_wrong_values_are_refused_by_name(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert faults_of(name, argument, tmp_path) == {}


@pytest.mark.parametrize(
    ("method", "argument"), [(m, a) for m, kinds in METHODS.items() for a in kinds]
)
def test_methods_of_tuners_refuse_wrong_values_by_name(method, argument):
    tuner = argument_sweep.searched()
    valid = {"trial_id": "0"} if method == "note" and argument != "trial_id" else {}
    faults = {}
    for label, value in argument_sweep.VALUES.items():
        if METHODS[method][argument](value):
            continue
        fault = fault_of(
            lambda value=value: getattr(tuner, method)(**{**valid, argument: value}),
            argument,
            False,
        )
        if fault is not None:
            faults[label] = fault
    assert faults == {}
