"""What curves and predictions say after a training: verdicts and bad cases."""

from keras_tricks.diagnosis.diagnose import Diagnosis
from keras_tricks.diagnosis.diagnose import diagnose
from keras_tricks.diagnosis.verdicts import Verdict

__all__ = ["Diagnosis", "Verdict", "diagnose"]
