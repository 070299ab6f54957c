"""Models that no program can train, and the reasons."""

import keras
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.families.python_state import Remembered

# What `fit` consists of, and a program does in its own way. `call` and `compute_loss`
# are the model's own in a program, too.
_PARTS_OF_FIT = (
    "fit",
    "evaluate",
    "train_step",
    "test_step",
    "make_train_function",
    "make_test_function",
    "compute_metrics",
    "get_metrics_result",
    "reset_metrics",
    "metrics",
    "losses",
    "trainable_weights",
)
# What `fit` calls of an optimizer, and a program does not.
_PARTS_OF_UPDATE = ("apply_gradients", "finalize_variable_values")
# Known to update by nothing but `update_step` and their variables.
_LIBRARIES = ("keras.", "keras_tricks.")
_HOLDERS_OF_VARIABLES = (
    keras.Variable,
    keras.Layer,
    keras.optimizers.Optimizer,
    keras.metrics.Metric,
)
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)


def reason_not_compiled_once(model: keras.Model) -> str | None:
    """Returns why `model` must be trained by its own `fit`, or None if it need not.

    Args:
        model: A built and compiled model.
    """
    if not getattr(model, "compiled", False):
        return "the model is not compiled"
    if not model.built:
        return "the model is not built: give it an `Input`"
    for method in _PARTS_OF_FIT:
        if _is_overridden(model, method):
            return f"the model has its own `{method}`"
    if model.run_eagerly or tf.config.functions_run_eagerly():
        return "the model runs eagerly"
    if tf.distribute.has_strategy() or keras_hooks.is_distributed(model):
        return "the model is distributed"
    if keras.config.max_epochs() or keras.config.max_steps_per_epoch():
        return "Keras's configuration limits epochs or steps"
    if keras_hooks.compiled_with(model)["loss"] is None:
        return "the model was compiled without a loss"
    if not model.trainable_variables:
        return "the model has nothing to train"
    for layer in all_layers(model):
        if getattr(layer, "activity_regularizer", None) is not None:
            return f"the layer {layer.name!r} has an activity regularizer"
        if keras_hooks.has_added_losses(layer):
            return f"the layer {layer.name!r} has a loss of its own (`add_loss`)"
    return _reason_against_optimizer(model.optimizer)


def reason_not_of_one_trial(
    model: keras.Model, before: keras_hooks.VariablesBefore
) -> str | None:
    """Returns why `model` is not of one trial alone, or None if it is.

    What one trial's training changes in weights that all trials have in common, the
    next begins with. In a program each trial has its own.

    Args:
        model: A model that was just built.
        before: The variables that were there before.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer and any(variable in before for variable in optimizer.variables):
        return "the optimizer was there before the model was built"
    for metric in _given_metrics(model):
        if any(variable in before for variable in metric.variables):
            return f"the metric {metric.name!r} is used by several models"
    frozen = {
        id(weight)
        for layer in all_layers(model)
        if not layer.trainable
        for weight in keras_hooks.weights_that_stay(layer)
    }
    for variable in model.variables:
        if variable in before and id(variable) not in frozen:
            return f"{variable.path!r} was there before the model was built"
    return None


def reason_kept_by_code(
    model: keras.Model, before: keras_hooks.VariablesBefore, reachable: Remembered
) -> str | None:
    """Returns what the code that built `model` keeps of it, or None.

    Whoever looks at it later, the next build or the user, wants to find it trained.

    Args:
        model: A model that was just built.
        before: The variables that were there before.
        reachable: What that code can reach now.
    """
    holders = reachable.reached(_HOLDERS_OF_VARIABLES)
    if not holders:
        return None
    optimizer = getattr(model, "optimizer", None)
    parts = [model, *([optimizer] if optimizer else []), *_given_metrics(model)]
    own = {
        id(variable)
        for part in parts
        for variable in part.variables
        if variable not in before
    }
    for holder in holders:
        is_one = isinstance(holder, keras.Variable)
        if not own.isdisjoint(map(id, [holder] if is_one else holder.variables)):
            return f"the code that builds the model keeps {holder.name!r} of it"
    return None


def _given_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """Returns the metrics that the model was compiled with as objects."""
    compiled = keras_hooks.compiled_with(model)
    given = keras.tree.flatten([compiled["metrics"], compiled["weighted_metrics"]])
    return [each for each in given if isinstance(each, keras.metrics.Metric)]


def reason_not_vectorized(model: keras.Model) -> str | None:
    """Returns why trials of `model` cannot be trained by one step, or None."""
    for layer in all_layers(model):
        if isinstance(layer, _RECURRENT):
            return f"the loop of the layer {layer.name!r} cannot be vectorised"
    return None


def _reason_against_optimizer(optimizer: keras.optimizers.Optimizer) -> str | None:
    if optimizer.built:
        return "the optimizer was used before"
    name = type(optimizer).__name__
    for method in _PARTS_OF_UPDATE:
        if _is_overridden(optimizer, method):
            return f"the optimizer {name} has its own `{method}`"
    if isinstance(optimizer, ClippedOptimizer):
        if optimizer.nonfinite in ("skip", "raise"):
            return f'{name} has nonfinite="{optimizer.nonfinite}"'
        if optimizer.gradient_accumulation_steps:
            return f"{name} accumulates gradients"
        return _reason_against_optimizer(optimizer.inner_optimizer)
    if not type(optimizer).__module__.startswith(_LIBRARIES):
        return f"the optimizer {name} is not one of Keras's or of this package's"
    if leaf_optimizers(optimizer) != [optimizer]:
        return f"the optimizer {name} wraps others"
    if not isinstance(
        keras_hooks.rate_of(optimizer),
        keras.Variable | keras.optimizers.schedules.LearningRateSchedule,
    ):
        return f"the learning rate of {name} is neither a number nor a schedule"
    if optimizer.use_ema:
        return f"{name} keeps averages of the weights"
    if optimizer.gradient_accumulation_steps:
        return f"{name} accumulates gradients"
    if optimizer.loss_scale_factor is not None:
        return f"{name} scales the loss"
    if keras_hooks.excludes_variables_from_decay(optimizer):
        return f"{name} excludes single variables, not names, from weight decay"
    return None


def _is_overridden(
    whole: keras.Model | keras.optimizers.Optimizer, method: str
) -> bool:
    """Whether a method is not Keras's, be it replaced in Keras's own class."""
    own = vars(whole).get(method)
    # A search replaces `fit` by one that goes through the examples in its order.
    if own is not None and not type(own).__module__.startswith(_LIBRARIES):
        return True
    owner = next(c for c in type(whole).__mro__ if method in vars(c))
    found = vars(owner)[method]
    function = found.fget if isinstance(found, property) else found
    written_in = getattr(function, "__globals__", {}).get("__name__", "")
    return not (
        owner.__module__.startswith(_LIBRARIES) and written_in.startswith(_LIBRARIES)
    )
