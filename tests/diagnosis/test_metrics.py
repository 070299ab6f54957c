"""Whether less or more of a metric is better, by its name."""

import inspect

import keras
import numpy as np
import pytest

from keras_tricks.diagnosis import diagnose
from keras_tricks.diagnosis import metrics


def exported():
    """Every metric that Keras exports, made with what it needs, and what it says."""
    needed = {
        "MeanIoU": {"num_classes": 2},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 2},
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "BinaryIoU": {},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
        "MeanMetricWrapper": None,
    }
    for name, kind in vars(keras.metrics).items():
        arguments = needed.get(name, {})
        if inspect.isclass(kind) and issubclass(kind, keras.Metric):
            if kind is not keras.Metric and arguments is not None:
                metric = kind(**arguments)
                if getattr(metric, "_direction", None):
                    yield metric.name, metric._direction


@pytest.mark.parametrize(("name", "says"), sorted(set(exported())))
def test_keras_s_own_are_known_as_keras_has_them(name, says):
    expected = {"up": "max", "down": "min"}[says]
    assert metrics.direction_of(name) == expected
    assert metrics.direction_of(f"val_{name}_1") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((n, "max") for n in ("dice", "dice_coef", "psnr", "ssim", "reward", "kappa")),
        *((n, "max") for n in ("mcc", "ndcg", "map", "mrr", "bleu", "val_f1_score")),
        *((n, "max") for n in ("log_likelihood", "spearman", "hit_rate", "r2_score")),
        *((n, "min") for n in ("negative_log_likelihood", "nll", "perplexity", "wer")),
        *((n, "min") for n in ("dice_loss", "iou_loss", "Val_Loss", "false_positives")),
        *((n, None) for n in ("score", "my_metric", "mean", "mapped", "answer")),
    ],
)
def test_names_that_people_use(name, expected):
    assert metrics.known_direction(name) == expected


@pytest.mark.parametrize("name", ["val_accuracy", "AUC", "dice", "top_k"])
def test_shares_are_those_of_which_all_is_1(name):
    assert metrics.is_share(name)
    assert not metrics.is_share(f"{name}_loss")
    assert not metrics.is_share("psnr")


def test_a_name_that_does_not_tell_is_asked_for():
    with pytest.raises(
        ValueError, match=r'`metric` must tell .* or `direction` be "min"'
    ):
        metrics.direction_of("answer")
    with pytest.raises(ValueError, match=r"`metric` must tell .*'answer'"):
        diagnose({"answer": [1.0, 2.0]}, metric="answer")
    assert diagnose({"answer": [1.0, 0.5]}, metric="answer", direction="min")


def test_a_dice_that_rises_is_no_divergence():
    t = np.arange(30.0)
    dice = 1 - 0.6 * 0.8**t
    found = diagnose({"dice": dice, "val_dice": dice}, metric="dice")
    assert found.verdict == "learning well"


def test_of_several_values_the_mean_counts():
    rows = [np.array([0.2, 0.4]), np.array([0.6, 0.8])]
    t = np.arange(2)
    found = diagnose({"loss": 1.0 - t, "f1_score": rows}, metric="f1_score")
    same = diagnose({"f1_score": [0.3, 0.7]}, metric="f1_score")
    assert found.verdicts == same.verdicts


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [slice(None), slice(20, None), slice(-1, None)])
def test_validation_that_is_not_finite_is_diverging(bad, where):
    loss = 2 * 0.8 ** np.arange(30.0) + 0.05
    val_loss = loss.copy()
    val_loss[where] = bad
    found = diagnose({"loss": loss, "val_loss": val_loss})
    first = np.arange(30)[where][0] + 1
    assert found.verdict == "diverging"
    assert found.evidence == {"first_epoch_not_finite": first}


def test_epochs_without_validation_may_be_nan():
    loss = 2 * 0.8 ** np.arange(30.0) + 0.05
    val_loss = np.full(30, np.nan)
    val_loss[2::3] = loss[2::3]
    found = diagnose({"loss": loss, "val_loss": val_loss})
    assert found == diagnose({"loss": loss, "val_loss": loss[2::3]})
    assert found.verdict != "diverging"


def test_more_validation_than_training_is_refused():
    with pytest.raises(ValueError, match="10 of 'loss' and 30 of 'val_loss'"):
        diagnose({"loss": np.ones(10), "val_loss": np.ones(30)})
