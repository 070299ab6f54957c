"""What finished searches show: which settings matter, and which scores agree."""

from keras_tricks.analysis.compare import Comparison
from keras_tricks.analysis.compare import compare
from keras_tricks.analysis.importances import Importances
from keras_tricks.analysis.importances import importances
from keras_tricks.analysis.rank_agreement import RankAgreement
from keras_tricks.analysis.rank_agreement import rank_agreement

__all__ = [
    "Comparison",
    "Importances",
    "RankAgreement",
    "compare",
    "importances",
    "rank_agreement",
]
