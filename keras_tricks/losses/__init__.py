"""Losses of classifiers, of several labels an example, and of regressions."""

from keras_tricks.losses.classification import ClassificationLoss
from keras_tricks.losses.multi_label import MultiLabelLoss
from keras_tricks.losses.regression import RegressionLoss

__all__ = ["ClassificationLoss", "MultiLabelLoss", "RegressionLoss"]
