"""What finished searches show: which settings matter, and which scores agree."""

from keras_tricks.analysis.boundaries import Boundaries
from keras_tricks.analysis.boundaries import boundaries
from keras_tricks.analysis.compare import Comparison
from keras_tricks.analysis.compare import compare
from keras_tricks.analysis.importances import Importances
from keras_tricks.analysis.importances import importances
from keras_tricks.analysis.rank_agreement import RankAgreement
from keras_tricks.analysis.rank_agreement import rank_agreement
from keras_tricks.analysis.report.search_report import search_report
from keras_tricks.analysis.saturation import Saturation
from keras_tricks.analysis.saturation import saturation
from keras_tricks.analysis.summary import Summary
from keras_tricks.analysis.summary import summarize

__all__ = [
    "Boundaries",
    "Comparison",
    "Importances",
    "RankAgreement",
    "Saturation",
    "Summary",
    "boundaries",
    "compare",
    "importances",
    "rank_agreement",
    "saturation",
    "search_report",
    "summarize",
]
