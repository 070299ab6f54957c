"""What curves and predictions say after a training: verdicts and bad cases."""

from keras_tricks.diagnosis.bad_cases import BadCases
from keras_tricks.diagnosis.bad_cases import bad_cases
from keras_tricks.diagnosis.diagnose import Diagnosis
from keras_tricks.diagnosis.diagnose import diagnose
from keras_tricks.diagnosis.trivial import trivial_score
from keras_tricks.diagnosis.verdicts import Verdict

__all__ = [
    "BadCases",
    "Diagnosis",
    "Verdict",
    "bad_cases",
    "diagnose",
    "trivial_score",
]
