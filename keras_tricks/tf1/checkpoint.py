"""Restoring: weights to fine-tune, or a whole TF1 run to go on with."""

import os
import warnings
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.optimizers import keras_hooks
from keras_tricks.tf1 import joining
from keras_tricks.tf1 import name_maps
from keras_tricks.tf1 import numbering
from keras_tricks.tf1 import report
from keras_tricks.tf1 import slots
from keras_tricks.tf1 import torn
from keras_tricks.tf1.matching import Matching
from keras_tricks.tf1.reader import CheckpointReader

_BETAS = {"beta1_power": "beta_1", "beta2_power": "beta_2"}


def restore_optimizer(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    checkpoint: str | os.PathLike,
    variable_map: name_maps.VariableMap = None,
    *,
    strict: bool = True,
) -> report.RestoreReport:
    """Restores a model and its optimizer from a TF1 checkpoint, to train on from it.

    The weights, the optimizer's slots and `global_step` are read from what
    `tf.compat.v1.train.Saver` wrote; `optimizer.iterations` becomes `global_step`, the
    updates made so far, so that schedules go on where they were. Either all is
    restored, or an error is raised and nothing is changed.

    | TF1 | slots | Keras | equal if |
    |---|---|---|---|
    | BERT's `AdamWeightDecayOptimizer` | `adam_m`, `adam_v` | `AdamWeightDecay` | the arguments are |
    | `AdamOptimizer` | `Adam`, `Adam_1` | `keras.optimizers.Adam` | `epsilon=1e-8` is given where TF1 had its default: Keras's is 1e-7. In both it is added to the root of the uncorrected second moment ("epsilon hat"). |
    | `MomentumOptimizer` | `Momentum` | `keras.optimizers.SGD` | the rate is constant from here on |
    | `GradientDescentOptimizer` | none | `keras.optimizers.SGD` | the rate is |

    The Keras optimizer may be inside a `ClippedOptimizer` or a `LossScaleOptimizer`.
    Its arguments are the caller's: a checkpoint holds no rate and no betas.

    *Adam.* `beta1_power` and `beta2_power` are not restored, since Keras computes them
    from `iterations`. They are checked: if they are not those of `global_step` updates
    with the optimizer's betas, the runs would part (`strict=False` makes a note
    instead).

    *Momentum.* TF1 sums gradients and multiplies by the rate last, Keras sums steps:

    ```
    TF1:    accum = momentum * accum + g;                     w = w - rate(t) * accum
    Keras:  velocity = momentum * velocity - rate(t) * g;     w = w + velocity
    ```

    `velocity = -rate(global_step) * accum` makes the next update the same. Later ones
    are the same as long as the rate stays; when it changes, TF1 rescales the past
    gradients and Keras does not.

    *Names of slots.* Slots that were made under a scope (`train/a/kernel/Adam`), or by
    an optimizer with a name of its own (`a/kernel/MyAdam`), are led to those above by a
    rule, `Rename("^train/", "")` or `Rename("MyAdam", "Adam")`, which does so for Adam's
    powers as well.

    *Averages.* With `use_ema=True` the optimizer's averages are restored from
    `tf.train.ExponentialMovingAverage` (`<name>/ExponentialMovingAverage`).

    A TF1 name is matched with the Keras variable whose path is the same, apart from
    a ":0", the model's name in front, `LayerNorm` for `layer_norm` or
    `layer_normalization`, a last part `embeddings`, and "_" for "/". So BERT's
    `bert/encoder/layer_0/attention/self/query/kernel` is found in a layer `query` in a
    layer `self` in a layer `attention` and so on, or in one layer
    `bert_encoder_layer_0_attention_self_query`. `restore_weights` says how the layers
    of Keras and KerasHub stand for BERT's, and how layouts are converted. Slots follow
    their weights. Anything else is for `variable_map`.

    *Numbers.* Keras numbers layers without a name from the start of the process on, so
    that TF1's `dense`, `dense_1` may be `dense_1`, `dense_2` here. Layers whose name is
    that of their class and a number are matched by it if both sides begin with the same
    numbers; if not, by their order if they are as many and all shapes fit, which is
    noted. Else they are left unmatched: an error shows both lists and a map to begin
    with.

    A warning is issued where the schedule is at its end, so that the rate stays 0.

    Args:
        model: A built model.
        optimizer: Its optimizer, built with `model.trainable_variables`.
        checkpoint: The prefix of the checkpoint's files, such as `"model.ckpt-400"`, or
            a directory, whose latest checkpoint is taken.
        variable_map: A dictionary from TF1 names to Keras paths or variables, for names
            that are not matched by themselves or wrongly; or a function from a TF1 name
            to a path or variable, which is then asked for every name but those of
            slots, `global_step` and Adam's powers. A path may also be another TF1 name
            that would be matched, a slot's too (`a/kernel/Adam`). `None` leaves a variable out, with its slots. Or a
            rule, `Rename`, `Transpose`, `Reshape`, `Split` or `Join`; or a list of all these.
        strict: Whether anything unmatched on either side is an error. If not, it stays
            as it is and is listed in the report. What is left out on purpose counts as
            matched in the checkpoint, but not in Keras.

    Returns:
        A `RestoreReport` with `restored`, `unmatched_checkpoint`, `unmatched_keras`,
        `left_out`, `global_step` and `notes`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        OSError: If it is cut off or damaged.
        TypeError: If an argument is of the wrong type, or the optimizer none of the
            above.
        ValueError: If model or optimizer is not built, if shapes or kinds of number
            differ, if `variable_map` names what does not exist, if a name stands for
            several variables or several names for one, if Adam's powers disagree, or,
            with `strict=True`, if numbered layers cannot be told apart or anything
            stays unmatched.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import tensorflow as tf
    >>> from keras_tricks.tf1 import restore_optimizer
    >>> prefix = tempfile.mkdtemp() + "/model.ckpt"
    >>> with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    ...     kernel = tf.compat.v1.get_variable("dense/kernel", (3, 1))
    ...     step = tf.compat.v1.train.get_or_create_global_step()
    ...     update = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9).minimize(
    ...         tf.reduce_sum(kernel**2), step
    ...     )
    ...     session.run(tf.compat.v1.global_variables_initializer())
    ...     _ = [session.run(update) for _ in range(5)]
    ...     _ = tf.compat.v1.train.Saver().save(session, prefix)
    >>> layers = [keras.Input((3,)), keras.layers.Dense(1, use_bias=False, name="dense")]
    >>> model = keras.Sequential(layers)
    >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    >>> optimizer.build(model.trainable_variables)
    >>> report = restore_optimizer(model, optimizer, prefix)
    >>> report.global_step, sorted(report.restored)
    (5, ['dense/kernel', 'dense/kernel/Momentum', 'global_step'])

    Reference:
        `optimization.py` of google-research/bert; `tf.compat.v1.train`.
    """  # noqa: E501
    _check_model(model)
    strict = _validation.check_flag("strict", strict)
    state = slots.OptimizerState(model, optimizer)
    variable_map, joins = joining.taken_out(variable_map)
    reader = joining.JoinedReader(CheckpointReader(checkpoint), joins)
    matching = Matching(model, state, reader.shapes, variable_map)
    _check_shapes(matching, reader)

    update = state.updates
    step_name = matching.name_of(state.counter)
    if step_name is not None:
        update = _whole_step(step_name, reader, state)
    notes = [
        *reader.notes,
        *_numbering_notes(matching, strict=strict),
        *_notes(matching, state, reader, update, strict=strict),
    ]
    made = report.of(matching, reader, None if step_name is None else update, notes)
    if strict and made.unmatched_lines():
        raise ValueError(
            "With strict=True every variable must have its match. Match these by "
            "`variable_map`, or give strict=False to leave them as they are.\n"
            + "\n".join(made.unmatched_lines() + _slot_hints(matching, reader))
        )
    values = _values(matching, reader)
    for number, (variable, value) in enumerate(values):
        values[number] = variable, state.converted(variable, value, update)
    values += [(v, np.zeros(v.shape)) for v in state.cleared()]
    _assign(values)
    if step_name is not None:
        _warn_of_an_ended_schedule(state, update)
    return made


def restore_weights(
    model: keras.Model,
    checkpoint: str | os.PathLike,
    variable_map: name_maps.VariableMap = None,
    *,
    strict: bool = True,
) -> report.RestoreReport:
    """Restores a model's weights from a TF1 checkpoint, to fine-tune it.

    What `init_checkpoint` does in BERT's `run_classifier.py`: weights alone are read,
    and what the checkpoint does not hold, such as a new classifier, stays as it is. The
    optimizer is not touched; slots and `global_step` are passed over. Either all that
    matches is restored, or an error is raised and nothing is changed.

    Names are matched as by `restore_optimizer`. The variables of BERT, ALBERT and
    ELECTRA are found in these models without a map:

    | the Keras model | such as |
    |---|---|
    | layers that are named by the scopes of TF1 | `bert/encoder/layer_0/attention/self/query/kernel`, or a layer `bert_encoder_layer_0_attention_self_query` |
    | `keras.layers.MultiHeadAttention`, named by the scope of `self` or of `attention` | a layer `bert_encoder_layer_0_attention_self`, whose output layer stands for TF1's `attention/output/dense` |
    | the same without `bert`, `albert` or `electra` in front | a layer `encoder_layer_0_attention` |
    | KerasHub's `BertBackbone`, `AlbertBackbone`, `ElectraBackbone` | `transformer_layer_0/self_attention_layer/query/kernel` |
    | a classifier `Dense`, called `classifier` or `output` | for `output_weights` and `output_bias` |

    The kernels of attention, (H, H), become (H, heads, d) or, for its output,
    (heads, d, H); `output_weights`, (classes, H), becomes a `Dense` kernel,
    (H, classes). For other names and layouts give rules: `Rename`, `Transpose`,
    `Reshape`, `Split` and `Join`, also in a list.

    Args:
        model: A built model.
        checkpoint: The prefix of the checkpoint's files, such as `"bert_model.ckpt"`,
            or a directory, whose latest checkpoint is taken.
        variable_map: As for `restore_optimizer`: names, a function, rules, or a list of
            these.
        strict: Whether it is an error if nothing is restored; if a layer is restored
            in part: one of the model's, or a numbered one of the checkpoint's, such as
            `bert/encoder/layer_3`; or if it looks like another model's: an encoder
            without its embeddings, a `generator` in the model with the weights of
            ELECTRA's discriminator. If not, it is a note in the report.

    Returns:
        A `RestoreReport` with `restored`, `fresh` (what only the model has),
        `left_over` (what only the checkpoint has), `conversions`, `left_out` and
        `notes`; it prints as a short table.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        OSError: If it is cut off or damaged.
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, shapes or kinds of number differ, a rule
            fits nothing, `variable_map` names what does not exist, a name stands for
            several variables or several names for one, or, with `strict=True`, if
            layers are restored in part, nothing is, it looks like another model's, or
            numbered layers cannot be told apart.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import tensorflow as tf
    >>> from keras_tricks.tf1 import restore_weights
    >>> prefix = tempfile.mkdtemp() + "/model.ckpt"
    >>> with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    ...     for name, shape in {
    ...         "bert/pooler/dense/kernel": (8, 8),
    ...         "bert/pooler/dense/bias": (8,),
    ...         "cls/seq_relationship/output_bias": (2,),
    ...     }.items():
    ...         _ = tf.compat.v1.get_variable(name, shape)
    ...     session.run(tf.compat.v1.global_variables_initializer())
    ...     _ = tf.compat.v1.train.Saver().save(session, prefix)
    >>> pooler = keras.layers.Dense(8, activation="tanh", name="pooler")
    >>> layers = [keras.Input((8,)), pooler, keras.layers.Dense(3, name="classifier")]
    >>> report = restore_weights(keras.Sequential(layers), prefix)
    >>> sorted(report.restored), len(report.fresh), len(report.left_over)
    (['bert/pooler/dense/bias', 'bert/pooler/dense/kernel'], 2, 1)

    Reference:
        `run_classifier.py` and `modeling.py` of google-research/bert.
    """  # noqa: E501
    _check_model(model)
    strict = _validation.check_flag("strict", strict)
    variable_map, joins = joining.taken_out(variable_map)
    reader = joining.JoinedReader(CheckpointReader(checkpoint), joins)
    matching = Matching(model, None, reader.shapes, variable_map)
    _check_shapes(matching, reader)
    notes = [*reader.notes, *_numbering_notes(matching, strict=strict)]
    faults = torn.faults(matching, reader.shapes)
    faults += torn.other_models(model, matching, reader.shapes)
    if strict and faults:
        raise ValueError(
            "With strict=True a layer must be restored whole or not at all, and at "
            "least one. Match these by `variable_map`, or give strict=False to leave "
            "them as they are.\n" + "\n".join(faults)
        )
    notes += faults
    if not matching.doubts:
        notes += torn.look_alikes(matching, reader.shapes)
    made = report.of(matching, reader, None, notes)
    _assign(_values(matching, reader))
    return made


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a Keras model. "
            f"{_validation.received('model', model, True)}"
        )
    if not model.built:
        raise ValueError(
            f"`model` must be built to have weights. {model.name} is not: call "
            "model.build(input_shape), or start it with keras.Input."
        )


def _numbering_notes(matching: Matching, *, strict: bool) -> list[str]:
    if strict and matching.doubts:
        raise ValueError(
            "\n".join(matching.doubts)
            + "\nGive strict=False to leave them as they are."
        )
    return matching.doubts + numbering.order_notes(matching.by_order)


def _slot_hints(matching: Matching, reader: joining.JoinedReader) -> list[str]:
    """Returns a sentence if something unmatched looks like slots of other names."""
    for name in matching.unmatched:
        *scopes, last = name.split("/")
        ends = ["/".join(scopes[start:]) for start in range(len(scopes))]
        # TF1 puts a slot's name behind that of its weight.
        is_slot = any(end in reader.shapes for end in ends)
        if is_slot and not (ends[0] in reader.shapes and last in slots.SLOT_NAMES):
            return [
                f"{name!r} looks like a slot under the name of a scope or of an "
                "optimizer. A rule leads slots to those of the optimizer here, such as "
                "Rename('^train/', '') or Rename('MyAdam', 'Adam'). What a second "
                "optimizer has left is passed over with strict=False."
            ]
    return []


def _check_shapes(matching: Matching, reader: joining.JoinedReader) -> None:
    faults = []
    for name, variable in matching.matched.items():
        source = matching.sources[name]
        dtype, wanted = reader.dtype(source), _numpy_dtype(variable)
        shape, needed = reader.shapes[source], tuple(variable.shape)
        try:
            converted = matching.conversions[name].shape(shape, needed)
        except ValueError as error:
            faults.append(f"{name!r}, for {variable.path!r}: {error}")
            continue
        if converted != needed:
            became = "" if converted == shape else f", which becomes {converted}"
            faults.append(
                f"{name!r} has the shape {shape}{became}, {variable.path!r} the "
                f"shape {needed}"
            )
        elif _kind(dtype) != _kind(wanted):
            faults.append(
                f"{name!r} has the dtype {dtype.name}, {variable.path!r} the dtype "
                f"{wanted.name}"
            )
    if faults:
        raise ValueError(
            "Matched variables must have the same shape and kind of number; rules such "
            "as Transpose and Reshape in `variable_map` convert a shape, and None "
            "leaves a name out:\n  " + "\n  ".join(faults)
        )


def _kind(dtype: np.dtype) -> str:
    if dtype.kind in "iu":
        return "integer"
    # NumPy knows bfloat16 only as some bytes ("V").
    return "float" if dtype.kind == "f" or dtype.name == "bfloat16" else dtype.kind


def _numpy_dtype(variable: keras.Variable) -> np.dtype:
    import tensorflow as tf

    return np.dtype(tf.as_dtype(variable.dtype).as_numpy_dtype)


def _whole_step(
    name: str, reader: joining.JoinedReader, state: slots.OptimizerState
) -> int:
    step = int(reader.read(name))
    largest = np.iinfo(_numpy_dtype(state.counter)).max // state.steps_per_update
    if not 0 <= step <= largest:
        raise ValueError(
            f"The global step must be from 0 to {largest}. Received: {name}={step}"
        )
    return step


def _notes(
    matching: Matching,
    state: slots.OptimizerState,
    reader: joining.JoinedReader,
    update: int,
    *,
    strict: bool,
) -> list[str]:
    notes = []
    mismatches = []
    for name, power_name in matching.powers.items():
        beta_name = _BETAS[power_name]
        beta = getattr(state.optimizer, beta_name)
        power = float(reader.read(name))
        if slots.power_mismatch(beta, update, power):
            mismatches.append(
                f"{name!r} is {power:g}, but {update} updates with "
                f"{beta_name}={beta:g} make {float(beta) ** (update + 1):g}"
            )
    if mismatches:
        note = (
            f"{'; '.join(mismatches)}: TF1's Adam had another beta or another number "
            "of updates, and its bias correction is not that of the Keras optimizer."
        )
        if matching.name_of(state.counter) is None:
            note = f"The checkpoint has no `global_step`. {note}"
        if strict:
            raise ValueError(f"{note} Give strict=False to go on all the same.")
        notes.append(note)
    if state.converts_momentum and any(
        state.is_momentum(variable) for variable in matching.matched.values()
    ):
        notes.append(
            f"Momentum is TF1's times -{state.rate(update):g}, the rate of update "
            f"{update}."
        )
    return notes


def _warn_of_an_ended_schedule(state: slots.OptimizerState, update: int) -> None:
    if keras_hooks.schedule_of(state.optimizer) is None:
        return
    # A rate of 0 may be a warmup's first, or between two cycles.
    if not any(state.rate(update + further) for further in (0, 1, 2, 1_000, 100_000)):
        warnings.warn(
            f"The learning rate is 0.0 from update {update} on, the restored "
            "`global_step`: the optimizer's schedule is at its end, and nothing will "
            "train. Give it the steps of the whole run, those made and those to come; "
            "or restore the weights alone, by `restore_weights`, to begin a new run.",
            stacklevel=3,
        )


def _values(
    matching: Matching, reader: joining.JoinedReader
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Returns the variables with their values, all of which are read."""
    return [
        (
            variable,
            matching.conversions[name].converted(
                reader.read(matching.sources[name]), tuple(variable.shape)
            ),
        )
        for name, variable in matching.matched.items()
    ]


def _assign(values: list[tuple[keras.Variable, np.ndarray]]) -> None:
    lost = []
    for variable, value in values:
        with np.errstate(over="ignore"):
            value = np.asarray(value).astype(_numpy_dtype(variable))
        if _kind(value.dtype) == "float" and not np.isfinite(value.astype("f4")).all():
            lost.append(variable.path)
        variable.assign(value)
    if lost:
        warnings.warn(
            f"{len(lost)} variables hold NaN or infinity after they were restored, "
            f"such as {lost[0]!r}: the checkpoint does, or its numbers are beyond the "
            "dtype of the layer.",
            stacklevel=3,
        )
