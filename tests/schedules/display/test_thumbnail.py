"""What a notebook shows of a schedule."""

import re
import xml.etree.ElementTree

import keras
import numpy as np
import pytest

from keras_tricks.schedules import CyclicalSchedule
from keras_tricks.schedules import Joined
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.display import thumbnail
from tests.schedules import families

restarts = keras.optimizers.schedules.CosineDecayRestarts


@pytest.mark.parametrize("name", families.SCHEDULES)
def test_the_curve_is_the_schedules(name):
    schedule = families.SCHEDULES[name][0]()
    shown = schedule._repr_html_()
    text = re.sub(r"<small>.*</small>", "", shown).replace("<br>", "")
    picture = xml.etree.ElementTree.fromstring(text)
    assert picture.find("code").text == repr(schedule)
    svg = picture.find("svg")
    left, above, width, height = map(int, svg.get("viewBox").split())
    assert (svg.get("width"), svg.get("height")) == (str(width), str(height))
    # As much room on each side.
    assert (width, height) == (thumbnail.WIDTH - 2 * left, thumbnail.HEIGHT - 2 * above)
    line = next(picture.iter("polyline")).get("points")
    x, y = np.array([point.split(",") for point in line.split()], float).T
    last = thumbnail.span(schedule)
    steps = np.unique(np.linspace(0, last, thumbnail.POINTS).astype(int))
    rates = np.array([float(schedule(int(step))) for step in steps])
    np.testing.assert_allclose(x, thumbnail.WIDTH * steps / last, atol=0.06)
    height = thumbnail.HEIGHT * (1 - rates / max(rates.max(), 1e-30))
    np.testing.assert_allclose(y, height, atol=0.06)


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (lambda: WarmupPolynomialDecay(0.1, 500, 50), 500),
        (lambda: NoamSchedule(64, 300), 1200),
        (lambda: Warmup(0.1, 10), 40),
        (lambda: Warmup(keras.optimizers.schedules.CosineDecay(0.1, 700), 10), 700),
        (lambda: Joined([0.1, 0.01], [200]), 300),
        (lambda: Warmup(0.1, 0), 1000),
        (lambda: CyclicalSchedule(0.1, 0.5, 50), 300),
        (lambda: Warmup(restarts(0.1, 100), 10), 300),
    ],
)
def test_so_many_steps_are_shown_that_something_happens(schedule, last):
    assert thumbnail.span(schedule()) == last
