"""Hypermodels: from hyperparameters to a compiled model."""

from keras_tricks.hypermodels.cnn import HyperCNN
from keras_tricks.hypermodels.fine_tune import HyperFineTune
from keras_tricks.hypermodels.join import HyperJoin
from keras_tricks.hypermodels.mlp import HyperMLP
from keras_tricks.hypermodels.optimizer_space import hyper_optimizer
from keras_tricks.hypermodels.rnn import HyperRNN
from keras_tricks.hypermodels.table.hyper_table import HyperTable
from keras_tricks.hypermodels.table.raw_table import RawTablePredictor
from keras_tricks.hypermodels.text.cnn import HyperTextCNN
from keras_tricks.hypermodels.text.raw_text import RawTextClassifier
from keras_tricks.hypermodels.text.rcnn import HyperTextRCNN
from keras_tricks.hypermodels.text.transformer import HyperTextTransformer

__all__ = [
    "HyperCNN",
    "HyperFineTune",
    "HyperJoin",
    "HyperMLP",
    "HyperRNN",
    "HyperTable",
    "HyperTextCNN",
    "HyperTextRCNN",
    "HyperTextTransformer",
    "RawTablePredictor",
    "RawTextClassifier",
    "hyper_optimizer",
]
