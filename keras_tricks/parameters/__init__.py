"""The number of parameters of a model, before a byte of them is allocated."""

from keras_tricks.parameters.budget import ParameterBudget
from keras_tricks.parameters.budget import check_parameter_budget
from keras_tricks.parameters.counting import count_parameters
from keras_tricks.parameters.table import ParameterTable
from keras_tricks.parameters.table import parameter_table

__all__ = [
    "ParameterBudget",
    "ParameterTable",
    "check_parameter_budget",
    "count_parameters",
    "parameter_table",
]
