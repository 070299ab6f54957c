"""The space of a search: as KerasTuner, Optuna and a frame have it."""

import keras_tuner
import numpy as np
import pytest

from keras_tricks.analysis import space as spaces

optuna = pytest.importorskip("optuna")


def of(hp):
    return spaces.of_configuration(type(hp).__name__, hp.get_config())


def made(make, *args, **kwargs):
    """Returns one of KerasTuner's hyperparameters."""
    hp = keras_tuner.HyperParameters()
    getattr(hp, make)("x", *args, **kwargs)
    return hp.space[0]


@pytest.mark.parametrize(
    "hp",
    [
        made("Choice", ["a", "b", "c"]),
        made("Choice", [1, 2, 8]),
        made("Boolean"),
        made("Fixed", 7),
        made("Int", 3, 9),
        made("Int", 16, 128, step=16),
        made("Int", 1, 64, step=2, sampling="log"),
        made("Float", 0.0, 1.0, step=0.25),
        made("Float", 1e-4, 1.0, step=10, sampling="log"),
    ],
    ids=str,
)
def test_the_values_are_keras_tuners(hp):
    """Oracle: `values` of KerasTuner's own classes."""
    values = of(hp).values
    expected = (
        sorted(hp.values) if isinstance(hp.values, tuple | list) else [*hp.values]
    )
    assert sorted(values) == pytest.approx(expected) if values[0] != "a" else True
    assert set(map(type, values)) == {type(values[0])}
    places = of(hp).places
    assert len(places) == len(values)
    if len(values) > 1:
        assert (places[0], places[-1]) == (0.0, pytest.approx(1.0))


def test_a_range_without_a_step_has_places_on_its_scale():
    hp = of(made("Float", 1e-4, 1.0, sampling="log"))
    assert hp.values == ()
    assert hp.has_range
    assert hp.place(1e-2) == pytest.approx(0.5)
    assert hp.place(100.0) == 1.0
    assert hp.place(-1.0) == 0.5
    assert hp.place("a") == 0.5


@pytest.mark.parametrize("settings", [{"o": "sgd", "x": 1.0}, {"o": "adam", "x": 1.0}])
def test_conditions_are_keras_tuners(settings):
    """Oracle: `HyperParameters.is_active`."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("o", ["sgd", "adam"])
    with hp.conditional_scope("o", ["sgd"]):
        hp.Float("x", 0.0, 1.0)
    hp.values.update(settings)
    assert of(hp.space[1]).is_in(settings) == hp.is_active(hp.space[1])
    assert not of(hp.space[1]).is_in({"o": "sgd"})


def test_optuna_and_a_frame_have_the_same():
    distribution = optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    hp = spaces.of_distribution("x", distribution)
    assert (hp.min_value, hp.max_value, hp.sampling) == (1e-3, 1e-1, "log")
    hp = spaces.of_distribution("x", optuna.distributions.IntDistribution(2, 8, step=2))
    assert hp.values == (2, 4, 6, 8)
    hp = spaces.of_values("x", [*np.logspace(-3, -1, 20)])
    assert hp.sampling == "log"
    assert hp.place(1e-2) == pytest.approx(0.5)
    hp = spaces.of_values("x", [None, "a", 1])
    assert hp.is_unordered
    assert hp.value_of(1) == "1"
