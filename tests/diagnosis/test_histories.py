"""Curves from histories with gaps, texts and values of several kinds."""

import json

import numpy as np
import pytest

from keras_tricks.diagnosis.histories import curves_of


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_that_hold_no_numbers_are_left_out_and_those_after_them_kept(
    separator, tmp_path
):
    """A validation that never was, and a text; what is known of some epochs is kept."""
    lines = [
        ["epoch", "val_loss", "note", "loss", "lr", "mae"],
        ["0", "NA", "begun", "2.0", "0.1", "NA"],
        ["1", "", "ended", "1.0", "0.1", "0.5"],
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(map(separator.join, lines)))
    found = curves_of(path)
    assert sorted(found) == ["loss", "mae"]
    np.testing.assert_array_equal(found["loss"], [2.0, 1.0])
    np.testing.assert_array_equal(found["mae"], [np.nan, 0.5])


def test_one_column_is_a_table(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("loss\n2.0\n1.0\n")
    np.testing.assert_array_equal(curves_of(path)["loss"], [2.0, 1.0])


def test_the_first_training_of_a_record_counts(tmp_path):
    runs = [{"curves": {"loss": [2.0, 1.0]}}, {"curves": {"loss": [5.0]}}]
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"executions": runs}))
    np.testing.assert_array_equal(curves_of(path)["loss"], [2.0, 1.0])
    path.write_text(json.dumps({"executions": []}))
    with pytest.raises(ValueError, match="a trial without a training"):
        curves_of(path)


def test_none_and_several_values_an_epoch_are_numbers():
    history = {
        "loss": [2.0, None],
        "f1": [np.array([0.2, 0.4]), np.array([0.5, 0.7])],
        "count": [np.float32(1.0), np.int64(2)],
        "learning_rate": [0.1, 0.1],
        "empty": [],
    }
    found = curves_of(history)
    assert sorted(found) == ["count", "empty", "f1", "loss"]
    np.testing.assert_array_equal(found["loss"], [2.0, np.nan])
    np.testing.assert_allclose(found["f1"], [0.3, 0.6])
    np.testing.assert_array_equal(found["count"], [1.0, 2.0])


@pytest.mark.parametrize(
    "history", [{"loss": 3.0}, {"loss": [[1.0], [2.0]]}, {"loss": [[1.0], [2.0, 3.0]]}]
)
def test_what_has_no_number_an_epoch_is_refused(history):
    with pytest.raises(TypeError, match="one number an epoch for 'loss'"):
        curves_of(history)


def test_event_files_have_their_epochs_in_order(tmp_path):
    """Summaries as scalars and as tensors; no others than those of epochs."""
    tf = pytest.importorskip("tensorflow")
    for folder in ("train", "validation", "run"):
        with tf.compat.v1.Graph().as_default():
            writer = tf.compat.v1.summary.FileWriter(str(tmp_path / folder))
            for step in (2, 0, 1):
                summary = tf.compat.v1.Summary()
                for tag in ("evaluation_loss", "epoch_learning_rate"):
                    summary.value.add(tag=tag, simple_value=9.0)
                if folder == "run":
                    summary.value.add(tag="epoch_mae", simple_value=3.0 - step)
                else:
                    tensor = tf.make_tensor_proto(2.0 - step)
                    for name in ("epoch_loss", "epoch_accuracy"):
                        summary.value.add(tag=name, tensor=tensor)
                writer.add_summary(summary, step)
            writer.close()
    found = curves_of(tmp_path)
    of_both = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert sorted(found) == sorted([*of_both, "mae"])
    for name in of_both:
        np.testing.assert_allclose(found[name], [2.0, 1.0, 0.0])
    np.testing.assert_allclose(found["mae"], [3.0, 2.0, 1.0])


def test_a_folder_without_event_files_is_named(tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="holds no event file"):
        curves_of(tmp_path)
