"""Likely label errors, counted by hand."""

import numpy as np

from keras_tricks.diagnosis.label_errors import likely_label_errors

# Rows 0 to 3 are labelled 0, rows 4 to 7 1, and none 2.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.5, 0.5, 0.0],  # 0.5 is not sure of 0, whose mean is 0.6, but is of 1.
        [0.7, 0.2, 0.1],
        [
            0.3,
            0.3,
            0.4,
        ],  # Of 2, which is no label, nothing is sure: it counts for none.
        [0.65, 0.35, 0.0],  # Sure of 0, though not the least probable label.
        [0.55, 0.15, 0.3],  # Likely another label, the least probable one.
        [0.1, 0.5, 0.4],
        [0.3, 0.6, 0.1],
    ]
)


def test_as_many_rows_are_taken_as_count_for_other_classes():
    """The mean of class 1 is 0.4, that of class 0 is 0.6.

    Of the rows labelled 0 there count 0 and 2 for 0, and 1 for 1: 4 / 3 are wrong. Of
    those labelled 1 there count 6 and 7 for 1, and 4 for 0: 4 / 3. That is 2.67 in all,
    and three rows are taken: of the four whose label is not the greatest, those whose
    label is least probable.
    """
    found = likely_label_errors(LABELS, PROBABILITIES)
    assert found.to_dict("list") == {
        "row": [5, 3, 4],
        "label": [1, 0, 1],
        "likely": [0, 2, 0],
        "probability": [0.55, 0.4, 0.65],
        "of_label": [0.15, 0.3, 0.35],
    }


def test_a_probability_at_the_mean_is_sure():
    """Each row of 0.75 is as probable as the mean; the last one counts for class 0."""
    probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.0, 1.0], [0.75, 0.25]])
    found = likely_label_errors(np.array([0, 0, 1, 1]), probabilities)
    assert found["row"].tolist() == [3]


def test_a_class_of_which_nothing_counts_has_no_share():
    """In floats the mean of three times 0.1 is above 0.1, so that no row is sure."""
    assert likely_label_errors(np.zeros(3, int), np.tile([0.1, 0.9], (3, 1))).empty


def test_right_labels_are_no_errors():
    probabilities = np.eye(3)[[0, 1, 2]]
    assert likely_label_errors(np.array([0, 1, 2]), probabilities).empty
