"""The rule of each verdict, just below and just above what the guide says it asks for.

All curves are made by hand. Of 40 epochs the window has 4, so that the running mean is
over 5, the last fourth has 10, and the mean of a window has half the noise.
"""

import dataclasses
import math

import numpy as np
import pytest

from keras_tricks.diagnosis import diagnose
from keras_tricks.diagnosis import verdicts
from keras_tricks.diagnosis.curves import Curve

T = np.arange(40.0)
STEP = np.where(T < 20, 0.0, 1.0)
FALL = 10.0 - 0.1 * T


def seen(
    training, validation=None, *, noise=0.0, other_noise=0.0, floor=0.0, **arguments
):
    """What the rules look at, with a given noise."""
    arguments = {
        "first_not_finite": None,
        "baseline": None,
        "knows_floor": False,
        **arguments,
    }
    return verdicts.Training(
        training=Curve(np.asarray(training, float), noise),
        validation=None
        if validation is None
        else Curve(np.asarray(validation, float), other_noise),
        floor=floor,
        **arguments,
    )


def check(rule, training, strength):
    """Holds the confidence of a verdict against an effect in shares of its limit."""
    found = rule(training)
    if strength is None:
        assert found is None, found
    else:
        assert found is not None
        expected = 1.0 - 0.5 / min(strength, 50.0)
        assert found.confidence == pytest.approx(expected, rel=1e-6), found


@pytest.mark.parametrize(
    ("strength", "confidence"), [(0.999, None), (1.0, 0.5), (4.0, 0.875), (1e9, 0.99)]
)
def test_confidence_grows_from_a_half_at_the_limit(strength, confidence):
    found = verdicts._verdict("noisy", strength, "")
    assert (found and found.confidence) == confidence


@pytest.mark.parametrize(
    ("effect", "least", "expected"),
    [
        (1.0, [0.0], math.inf),
        (0.5, [0.0, 0.0], math.inf),
        (0.0, [0.0], 0.0),
        (-1.0, [0.0], 0.0),
        (1.0, [0.5, 0.25], 2.0),
        (3.0, [1.0, 2.0], 1.5),
    ],
)
def test_an_effect_counts_beside_the_greatest_of_its_limits(effect, least, expected):
    assert verdicts._strength(effect, *least) == expected


@pytest.mark.parametrize(
    ("arguments", "value", "expected"),
    [
        ({}, 2.5, 0.25),
        ({"floor": 5.0}, 6.0, 0.2),
        ({"floor": 5.0, "baseline": 7.0}, 6.0, 0.5),
        ({"floor": 9.5}, 9.75, 0.5),
        ({"floor": 10.0}, 10.0, math.inf),
        ({"floor": 10.5}, 9.0, math.inf),
    ],
)
def test_levels_lie_between_the_floor_and_the_start(arguments, value, expected):
    assert seen([10.0, 9.0], **arguments).level(value) == expected


@pytest.mark.parametrize(
    ("arguments", "strength"),
    [
        # The mean of the last 4 is 8.75; five deviations of a difference of means.
        (
            {"training": np.maximum(0.5 * (T - 20), 0), "noise": 1.0},
            8.75 / (5 * 0.5 * math.sqrt(2)),
        ),
        # The least value is 1 and the least mean 1.24; two deviations above the least.
        (
            {"training": np.where(T < 10, 10 - T, 0.2 * T - 1), "noise": 0.1},
            (6.5 - 1.2) / (0.25 * (10 - 1.24)),
        ),
        # From the first value, the least one, to the last four; a tenth of the start.
        ({"training": 10 + 0.1 * T}, 3.75),
        ({"training": -10 + 0.1 * T}, 3.75),
        ({"training": 10 + 0.02 * T}, None),
        # A step is none if it is more than 0.6 of the rise. 1 + 17.5 times the slope.
        ({"training": 1 + STEP * (1 + 0.037 * (T - 20))}, None),
        ({"training": 1 + STEP * (1 + 0.039 * (T - 20))}, 1.6825 / 0.1),
        # A step below six deviations is no step.
        ({"training": STEP, "noise": 0.166}, None),
        ({"training": STEP, "noise": 0.167}, 1 / (5 * 0.0835 * math.sqrt(2))),
        ({"training": [2.0]}, None),
        ({"training": [0.0, 0.1]}, 50),
        ({"training": [1.0, 2.0], "first_not_finite": 0}, 50),
    ],
)
def test_diverging(arguments, strength):
    check(verdicts.diverging, seen(**arguments), strength)


@pytest.mark.parametrize(
    ("arguments", "strength"),
    [
        ({"training": [2.0]}, None),
        ({"training": [2.0, 2.0]}, 2),
        ({"training": [2.0, 1.97]}, 2 - 0.03 / 0.04),
        ({"training": [2.0, 1.95]}, None),
        # Two hundredths of the way to the floor.
        ({"training": [10.0, 9.95], "floor": 5.0}, 2 - 0.05 / 0.1),
        ({"training": [10.0, 9.98], "baseline": 10.0, "floor": 8.0}, 2 - 0.02 / 0.04),
        # Four deviations of a mean beside a baseline.
        ({"training": 9 + 0 * T, "noise": 1.0, "baseline": 10.0}, 2 - 1 / 2),
        ({"training": 7.9 + 0 * T, "noise": 1.0, "baseline": 10.0}, None),
        # Three of the difference of the means of 4 and of 20.
        ({"training": np.where(T < 4, 10, 8.3), "noise": 1.0}, None),
        (
            {"training": np.where(T < 4, 10, 8.5), "noise": 1.0},
            2 - 1.5 / (3 * math.sqrt(0.3)),
        ),
        # Where the start is the floor, any gain is something.
        ({"training": [2.0, 1.5], "floor": 2.0}, None),
        ({"training": [2.0, 2.0], "floor": 2.0}, 2),
    ],
)
def test_not_learning(arguments, strength):
    check(verdicts.not_learning, seen(**arguments), strength)


V = np.where(
    T < 20, FALL, 8 + 0.05 * (T - 20)
)  # Its least mean is 8.08, its end 8.875.


def worse(slope):
    """Training that gets worse, too, by 16.3 times the slope, less 0.02."""
    return np.where(T < 20, FALL, 8 + slope * (T - 20))


@pytest.mark.parametrize(
    ("training", "validation", "arguments", "strength"),
    [
        # 0.795 since the best, where training goes from 10 to 6.2.
        (FALL, V, {}, 0.795 / (0.05 * 3.8)),
        # Four deviations of a difference; it lies below training in part.
        (FALL, V - 2, {"other_noise": 0.2}, 0.795 / (4 * 0.1 * math.sqrt(2))),
        (FALL, V - 2, {"other_noise": 0.3}, None),
        # Both get worse: training by less, or more, than half of 0.795.
        (worse(0.025), V, {}, 0.795 / (0.05 * 1.95)),
        (worse(0.027), V, {}, None),
        # The gap in shares of 0.3, or of 0.1 where training is below a fourth.
        (np.maximum(10 - T, 1), np.maximum(10 - T, 4), {}, 3 / (0.3 * 9)),
        (np.maximum(10 - T, 1), np.maximum(10 - T, 3.9), {}, 2.9 / (0.3 * 9)),
        (np.maximum(10 - T, 1), np.maximum(10 - T, 3.6), {}, None),
        (np.maximum(10 - T, 1), np.maximum(10 - T, 4.1), {}, 3.1 / (0.1 * 9)),
        (np.maximum(10 - T, 1), np.maximum(20 - T, 4.1), {}, 3.1 / (0.1 * 19)),
        # Four times the hypotenuse of 0.3 and 0.4.
        (
            np.maximum(10 - T, 1),
            np.maximum(10 - T, 4.1),
            {"noise": 0.6, "other_noise": 0.8},
            3.1 / 2.0,
        ),
        ([3, 2, 1], [3, 2.5, 3], {}, 0.5 / (0.05 * 2)),
        ([3, 1], [3, 3], {}, None),
        ([3, 2, 1], None, {}, None),
    ],
)
def test_overfitting(training, validation, arguments, strength):
    check(verdicts.overfitting, seen(training, validation, **arguments), strength)


def test_what_was_lost_since_the_best_is_never_negative():
    """Sums that run on are a little off: the best of these is 0.2 + 6e-17."""
    found = verdicts.overfitting(seen([0, 0, 0], [0.5, 0.4, 0.2]))
    assert found.evidence["lost_since_best"] == 0.0


SLOWER = 10 - 0.001 * T**2  # Its slope over the last ten is that at 34.5.


@pytest.mark.parametrize(
    ("arguments", "strength"),
    [
        ({"training": [10, 9.7, 9.4, 9.1]}, None),
        # It goes on to fall by 0.3 for five epochs, from 8.8.
        ({"training": [10, 9.7, 9.4, 9.1, 8.8]}, 0.73 / 0.5),
        ({"training": SLOWER}, (10 - 1.4075 - 0.069 * 40) / 10 / 0.5),
        # Training that rises at the end goes on for nothing; validation improves.
        (
            {
                "training": np.maximum(10 - T, 8 + 0.001 * T),
                "validation": 10 - 0.05 * T,
            },
            8.0375 / 10 / 0.5,
        ),
        ({"training": np.maximum(10 - T, 5.1)}, 1.02),
        ({"training": np.maximum(10 - T, 4.9)}, None),
        (
            {"training": np.maximum(10 - T, 3.75), "floor": 3.0, "knows_floor": True},
            0.75 / 7 / 0.1,
        ),
        (
            {"training": np.maximum(10 - T, 3.65), "floor": 3.0, "knows_floor": True},
            None,
        ),
        ({"training": 10 + 0 * T}, None),  # It does not learn.
    ],
)
def test_underfitting(arguments, strength):
    check(verdicts.underfitting, seen(**arguments), strength)


@pytest.mark.parametrize(
    ("arguments", "strength"),
    [
        ({"training": [2.0]}, None),
        ({"training": [2.0, 1.9]}, 0.1 / 0.04),
        ({"training": [2.0, 1.97]}, None),
        ({"training": [4, 3, 2, 1.95]}, None),
        ({"training": [4, 3, 2, 1.9]}, 0.1 / 0.08),
        # Of five epochs by their slope, 0.67 over four steps; each may be worse.
        ({"training": [4, 3, 2, 1.5, 1.4]}, 2.68 / (0.03 * 2.6)),
        # Three deviations of the slope: the squares of -4.5, -3.5, ... make 82.5.
        (
            {"training": FALL, "noise": 0.1},
            0.9 / (3 * 0.1 / math.sqrt(82.5) * 9),
        ),
        ({"training": FALL, "noise": 0.31}, None),
        # 0.18 in nine steps, of 5.7 or 6.3.
        ({"training": np.where(T < 3, 6.4, 1.5 - 0.02 * T)}, 0.18 / (0.03 * 5.66)),
        ({"training": np.where(T < 3, 7.1, 1.5 - 0.02 * T)}, None),
        # What counts is validation.
        ({"training": 10 + 0 * T, "validation": FALL}, 0.9 / (0.03 * 3.8)),
    ],
)
def test_still_improving(arguments, strength):
    check(verdicts.still_improving, seen(**arguments), strength)


def fallen(epoch, length=40):
    """A curve that falls at an epoch, of which a mean over five sees two more."""
    return np.where(np.arange(length) < epoch, 10.0, 4.0)


@pytest.mark.parametrize(
    ("arguments", "early", "plateaued"),
    [
        ({"training": fallen(4)}, 8 / 6, None),
        ({"training": fallen(6)}, 1, None),
        ({"training": fallen(7)}, None, 30 / 9),
        ({"training": fallen(28)}, None, 1),
        ({"training": fallen(29)}, None, None),
        # Eight epochs have a mean over three, which sees one more.
        ({"training": fallen(1, 8)}, None, 0.75 * 8 / 2),
        ({"training": fallen(1, 7)}, None, None),
        # A twentieth of the way from 10 to 4 is 0.3, and near the end.
        ({"training": np.where(T < 3, 10, np.where(T < 20, 4.25, 4))}, 8 / 5, None),
        ({"training": np.where(T < 3, 10, np.where(T < 20, 4.31, 4))}, None, 30 / 18),
        # The mean of the first three is within four deviations of a mean of four.
        ({"training": np.where(T < 4, 10, 8.2), "noise": 1.0}, 8, None),
        ({"training": np.where(T < 4, 10, 7.8), "noise": 1.0}, 8 / 2, None),
        # It goes on to improve, or has never begun to.
        ({"training": np.where(T < 3, 10, 4.8 - 0.022 * T)}, None, None),
        ({"training": 10 + 0 * T}, None, None),
        # What counts is validation.
        ({"training": FALL, "validation": fallen(7)}, None, 30 / 9),
    ],
)
def test_settling(arguments, early, plateaued):
    training = seen(**arguments)
    check(verdicts.improved_only_early, training, early)
    check(verdicts.plateaued, training, plateaued)


@pytest.mark.parametrize(
    ("values", "noise", "strength"),
    [
        (FALL, 0.46, 0.46 / (0.12 * 3.8)),
        (FALL, 0.45, None),
        (10 + 0 * T, 1.0, None),
    ],
)
def test_noisy(values, noise, strength):
    check(verdicts.noisy, seen(values, noise=noise), strength)


def stepping(epoch, length=40, size=1.0):
    return np.where(np.arange(length) < epoch, 0.0, size)


@pytest.mark.parametrize(
    ("values", "noise", "strength"),
    [
        # Neither in the first 15 %, nor among the last two.
        (stepping(5), 0.0, None),
        (stepping(6), 0.0, 1 / 0.15),
        (stepping(37), 0.0, 1 / 0.15),
        (stepping(38), 0.0, None),
        (stepping(6, 41), 0.0, None),
        (stepping(7, 41), 0.0, 1 / 0.15),
        # Nor in the first five, and of eleven epochs at least.
        (stepping(4, 11), 0.0, None),
        (stepping(5, 11), 0.0, 1 / 0.15),
        (stepping(8, 11), 0.0, 1 / 0.15),
        (stepping(9, 11), 0.0, None),
        (stepping(5, 10), 0.0, None),
        # Six deviations of the noise.
        (stepping(20, size=0.5), 0.08, 0.5 / 0.48),
        (stepping(20, size=0.5), 0.084, None),
        # It stays: 0.6 of it are left in the median of the epochs after it.
        (np.where(T == 20, 1.0, 0.61 * STEP), 0.0, 1 / (2 * 0.13)),
        (np.where(T == 20, 1.0, 0.6 * STEP), 0.0, 1 / (0.8 / 3)),
        (np.where(T == 20, 1.0, 0.59 * STEP), 0.0, None),
        (np.where(T == 20, -0.5, -0.31 * STEP), 0.0, 0.5 / (2 * 0.19 / 3)),
        (np.where(T == 20, -0.5, -0.29 * STEP), 0.0, None),
        # Three of the four epochs that count are most of them; two are a spike.
        (np.where((T >= 20) & (T < 23), 1.0, 0.0), 0.0, 1 / (2 / 3)),
        (np.where((T >= 20) & (T < 22), 1.0, 0.0), 0.0, None),
        # And nothing against the course of the curve.
        (np.where(T < 20, 0.0, 1.0 - 0.9 * (T - 20)), 0.0, None),
        # Twice the mean of the next three steps: of 0.4, 0.3 and 0.2, not of 0.1.
        (
            5
            - sum(
                size * (T >= epoch)
                for epoch, size in [(20, 1), (8, 0.4), (12, 0.3), (28, 0.2), (33, 0.1)]
            ),
            0.0,
            1 / 0.6,
        ),
    ],
)
def test_step_change(values, noise, strength):
    check(verdicts.step_change, seen(values, noise=noise), strength)


@pytest.mark.parametrize(
    ("end", "floor", "strength"),
    [
        (3.4, 0.0, 0.35 / 0.34),
        (3.6, 0.0, None),
        (5.45, 5.0, 0.1 / 0.09),
        (5.55, 5.0, None),
        (4.0, 5.0, 50),
    ],
)
def test_learning_well(end, floor, strength):
    values = np.maximum(10 - T, end)
    found = seen(values, floor=floor, knows_floor=floor > 0)
    check(verdicts.learning_well, found, strength)


@pytest.mark.parametrize(
    ("rule", "arguments", "sentence"),
    [
        (
            verdicts.diverging,
            {"training": T, "first_not_finite": 2},
            "The curves are not finite from epoch 3 on.",
        ),
        (
            verdicts.diverging,
            {"training": np.where(T < 10, 10 - T, 0.2 * T - 1)},
            "Training got worse by 5.5 after its best, at epoch 12.",
        ),
        (
            verdicts.not_learning,
            {"training": [2.0, 1.97]},
            "Training ends 0.03 better than the first epochs, where 0.04 would be more "
            "than nothing.",
        ),
        (
            verdicts.not_learning,
            {"training": [2.0, 1.97], "baseline": 2.0},
            "Training ends 0.03 better than the baseline, where 0.04 would be more "
            "than nothing.",
        ),
        (
            verdicts.overfitting,
            {"training": FALL, "validation": V},
            "Validation ends 2.62 above training, and 0.795 above its best, at epoch "
            "22.",
        ),
        (
            verdicts.underfitting,
            {"training": np.maximum(10 - T, 8)},
            "Training is at 80% of the way from 0 to where it began, or would be if it "
            "went on for as long.",
        ),
        (
            verdicts.underfitting,
            {"training": np.maximum(10 - T, 8), "floor": 5.0, "knows_floor": True},
            "Training is at 60% of the way from what can be reached to where it began, "
            "or would be if it went on for as long.",
        ),
        (
            verdicts.still_improving,
            {"training": FALL},
            "The last fourth of the epochs gained 0.9 of 3.8.",
        ),
        (
            verdicts.improved_only_early,
            {"training": fallen(4)},
            "From epoch 7 of 40 on it did not improve.",
        ),
        (
            verdicts.plateaued,
            {"training": fallen(7)},
            "From epoch 10 of 40 on it did not improve.",
        ),
        (
            verdicts.noisy,
            {"training": FALL, "noise": 0.5},
            "From epoch to epoch it changes by 0.5, with a progress of 3.8 in all.",
        ),
        (
            verdicts.step_change,
            {"training": stepping(20, size=0.5)},
            "At epoch 21 training got worse by 0.5 at once.",
        ),
        (
            verdicts.step_change,
            {"training": stepping(20, size=-0.5)},
            "At epoch 21 training got better by 0.5 at once.",
        ),
        (
            verdicts.learning_well,
            {"training": np.maximum(10 - T, 2)},
            "It ends at 20% of the way from the floor to its start.",
        ),
        (
            verdicts.learning_well,
            {"training": np.maximum(10 - T, 2), "floor": 3.0},
            "It ends at 0% of the way from the floor to its start.",
        ),
        (
            verdicts.undecided,
            {"training": FALL},
            "40 epochs do not show more than that training got from 10 to 6.25.",
        ),
    ],
)
def test_sentences_say_the_numbers(rule, arguments, sentence):
    found = rule(seen(**arguments))
    assert found.sentence == sentence
    for name, value in found.evidence.items():
        assert f"poch {value!r}" in sentence or "epoch" not in name


def names(history, **arguments):
    history = history if isinstance(history, dict) else {"loss": history}
    return [verdict.name for verdict in diagnose(history, **arguments).verdicts]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        # What diverges is nothing else, though validation is far above training.
        (
            {"loss": np.where(T < 10, 10 - T, 0.2 * T - 1), "val_loss": 20 + T},
            ["diverging"],
        ),
        # What learns nothing does not overfit, but may be noisy.
        ({"loss": 10 + 0 * T, "val_loss": 10 + 0.2 * T}, ["not learning at all"]),
        (
            {"loss": 10 + 0 * T, "val_loss": 10 - np.sin(T * T)},
            ["not learning at all", "noisy"],
        ),
        # Beside a good end the shape is told, and beside faults.
        (fallen(7) - 2, ["step change", "plateaued"]),
        (np.maximum(10 - T, 2), ["learning well", "plateaued"]),
        (
            np.maximum(10 - 3 * T, 2),
            ["learning well", "improved only at the beginning"],
        ),
        (np.maximum(10 - 0.5 * T, 4), ["plateaued"]),
        (np.maximum(10 - T, 6), ["underfitting", "improved only at the beginning"]),
        ([10.0, 6.0, 5.0, 5.1], ["undecided"]),
    ],
)
def test_which_verdicts_stand_beside_each_other(history, expected):
    assert names(history) == expected


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        (0.54, ["not learning at all"]),
        (0.56, ["learning well"]),
        (-0.1, ["learning well"]),
        (math.nan, ["learning well"]),
    ],
)
def test_an_accuracy_that_stays_at_a_guess(accuracy, expected):
    """Of a loss that looks well, up to 0.55, be it the second of two."""
    loss = np.where(T < 1, 1e6, 0.7)
    constant = np.full(40, accuracy)
    curves = {"loss": loss, "val_accuracy": 0.1 * constant, "mae": 0 * T}
    history = {**curves, "auc": 0.9 - 0.5 * 0.8**T, "accuracy": constant}
    assert names(history)[:1] == expected
    assert "not learning at all" not in names(history, baseline=5.0)
    assert "not learning at all" not in names(history, metric="auc")


def test_an_accuracy_of_which_a_part_is_missing_says_nothing():
    accuracy = np.where(T == 5, math.nan, 0.5)
    history = {"loss": np.where(T < 1, 1e6, 0.7), "accuracy": accuracy}
    assert names(history)[0] == "learning well"


def test_of_a_share_what_is_missing_of_1_counts():
    """A baseline of 0.6 and a human level of 0.9: 0.59 learns nothing, 0.88 is well."""
    low, high = 0.59 + 0 * T, np.minimum(0.1 + 0.1 * T, 0.88)
    arguments = {"metric": "accuracy", "baseline": 0.6, "human_level": 0.9}
    assert names({"accuracy": low}, **arguments)[0] == "not learning at all"
    found = diagnose({"accuracy": high}, **arguments)
    assert found.verdict == "learning well"
    # 0.12 lies 0.02 above what can be reached, of the 0.3 down from the baseline.
    assert found.evidence["level"] == pytest.approx(0.02 / 0.3)


@pytest.mark.parametrize(
    ("history", "first"),
    [
        ({"loss": [1, math.nan, 1, 1], "val_loss": [1, 1, math.inf, 1]}, 2),
        ({"loss": [1, 1, 1, math.nan], "val_loss": [1, math.inf, 1, 1]}, 2),
        # Each third epoch was validated; but not each second of six from the third on.
        ({"loss": [6, 5, 4, 3], "val_loss": [math.nan, 5, math.nan, math.nan]}, 1),
        ({"loss": [6, 5], "val_loss": [5, math.nan]}, 2),
        ({"loss": [math.nan, math.nan]}, 1),
    ],
)
def test_the_first_epoch_that_is_not_finite_is_told(history, first):
    assert diagnose(history).evidence == {"first_epoch_not_finite": first}


@pytest.mark.parametrize("name", ["baseline", "human_level", "noise"])
@pytest.mark.parametrize("value", ["low", math.nan])
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
        diagnose({"loss": FALL}, **{name: value})


def test_a_flat_curve_is_near_its_end_from_the_beginning():
    assert Curve(0 * T, 0.0).settled_epoch(0.05) == 0
    assert Curve(T, 0.0).settled_epoch(0.05) == 40


@pytest.mark.parametrize(
    "made",
    [seen(T), seen(T).training, diagnose({"loss": T}), verdicts.undecided(seen(T))],
)
def test_what_was_found_is_not_changed(made):
    name = dataclasses.fields(made)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, name, None)


def test_a_curve_of_validation_alone_is_one():
    expected = diagnose({"loss": FALL})
    found = diagnose({"val_loss": FALL})
    assert found.verdicts == expected.verdicts
    assert (found.epochs, expected.epochs) == (40, 40)


def test_it_prints_each_verdict_with_its_remedies():
    found = diagnose({"loss": np.maximum(10 - T, 6)})
    first, second = found.verdicts
    assert found.remedies == first.remedies
    lines = str(found).splitlines()
    assert (
        lines[0]
        == f"loss over 40 epochs: underfitting (confidence {0.5 / 1.2 + 1 / 6:.2f})"
    )
    assert lines[2] == f"  1. {first.remedies[0]}"
    at = 2 + len(first.remedies)
    assert lines[at].startswith("also: improved only at the beginning (confidence ")
    assert lines[at + 2] == f"  1. {second.remedies[0]}"
    table = found._repr_html_()
    assert table.count("<tr>") == 3
    assert f"<td>{first.confidence:.2f}</td>" in table


@pytest.mark.parametrize(
    ("length", "window"), [(1, 1), (7, 1), (8, 3), (39, 3), (40, 4), (109, 10)]
)
def test_a_window_is_a_tenth_of_the_epochs_or_three(length, window):
    values = np.random.default_rng(0).normal(size=length)
    curve = Curve(values, 2.0)
    assert curve.window == window
    assert curve.mean_noise == pytest.approx(2.0 / math.sqrt(window))
    around = [
        values[max(at - window // 2, 0) : at + window // 2 + 1] for at in range(length)
    ]
    np.testing.assert_allclose(curve.smooth, [part.mean() for part in around])
    assert curve.end == pytest.approx(values[length - window :].mean())


@pytest.mark.parametrize("length", [5, 17, 40])
def test_a_slope_is_that_of_least_squares(length):
    values = np.random.default_rng(1).normal(size=length)
    used = max(5, round(0.4 * length))
    slope, deviation = Curve(values, 2.0).slope(0.4)
    assert slope == pytest.approx(np.polyfit(np.arange(used), values[-used:], 1)[0])
    # Of numbers 1 to n the variance is (n * n - 1) / 12.
    assert deviation == pytest.approx(2.0 / math.sqrt(used * (used**2 - 1) / 12))


@pytest.mark.parametrize("length", [7, 8, 20, 23])
def test_noise_is_the_median_of_second_differences(length):
    """Of normal noise half lies within 0.6745 deviations."""
    import statistics

    values = np.random.default_rng(length).normal(size=length)
    bends = [
        values[at] - 2 * values[at + 1] + values[at + 2]
        for at in range(length // 5, length - 2)
    ]
    middle = statistics.median(bends)
    spread = statistics.median(abs(bend - middle) for bend in bends)
    half = statistics.NormalDist().inv_cdf(0.75)
    expected = 0.0 if length < 8 else spread / half / math.sqrt(6)
    assert Curve.of(values).noise == pytest.approx(expected, rel=1e-4)
    assert Curve.of(values, 0.3).noise == 0.3
