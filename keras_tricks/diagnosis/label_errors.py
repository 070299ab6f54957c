"""Likely label errors, by what models say that were not trained on them."""

import numpy as np
import pandas as pd


def likely_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Returns the rows whose label is probably another one, the surest first.

    The rule of confident learning. A model is sure of class `j` where its probability
    is at least what it gives, on average, to the class where it is the label:

    `p_j >= t_j = mean(p_j of the rows labelled j)`

    Of the classes that it is sure of, a row counts for the one of the greatest
    probability. The share of the rows labelled `i` that count for other classes, of
    those that count for any, is the share of wrong labels among them. So many rows are
    taken over all classes, those whose label is least probable.

    Args:
        labels: The class number of each row.
        probabilities: Of shape `(rows, classes)`, of models that were not trained on
            the row.

    Returns:
        A frame with the columns `row`, `label`, `likely`, `probability` of the latter
        and `of_label`.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.diagnosis.label_errors import likely_label_errors
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]])
    >>> likely_label_errors(np.array([0, 0, 1, 1]), probabilities).row.tolist()
    [3]

    Reference:
        Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
        Dataset Labels", 2021, arXiv:1911.00068.
    """
    rows, classes = np.arange(len(labels)), np.unique(labels)
    of_label = probabilities[rows, labels]
    likely = probabilities.argmax(1)
    # Of a class that no row is labelled with, nothing is sure.
    thresholds = np.full(probabilities.shape[1], np.inf)
    thresholds[classes] = [of_label[labels == number].mean() for number in classes]
    is_sure = probabilities >= thresholds
    counts_for = np.where(is_sure, probabilities, -np.inf).argmax(1)

    expected = 0.0
    for number in classes:
        labelled = labels == number
        counted = counts_for[labelled & is_sure.any(1)]
        expected += labelled.sum() * np.mean(counted != number) if len(counted) else 0.0
    candidates = rows[likely != labels]
    by_label = candidates[np.argsort(of_label[candidates], kind="stable")]
    chosen = by_label[: round(expected)]
    return pd.DataFrame(
        {
            "row": rows[chosen],
            "label": labels[chosen],
            "likely": likely[chosen],
            "probability": probabilities[chosen, likely[chosen]],
            "of_label": of_label[chosen],
        }
    )
