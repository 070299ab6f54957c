"""What runs in a step has GPU kernels throughout; no GPU is needed to tell.

The oracle is TensorFlow's registry of kernels (`tests/gpu_kernels.py`). No op is
let pass, and only an error's message may be a string.
"""

import itertools

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_tricks.hypermodels
import keras_tricks.schedules
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.families.model_family import ModelFamily
from keras_tricks.training.packs import packing
from keras_tricks.training.packs.progress import RunConfig
from tests import sampling
from tests import traced_steps
from tests.gpu_kernels import assert_gpu_kernels
from tests.gpu_kernels import gpu_kernel_gaps
from tests.gpu_kernels import requires_gpu_registry

# More than one, since accumulated gradients are applied in every second step.
NUM_STEPS = 3


def public_classes(module, base):
    members = [getattr(module, name) for name in module.__all__]
    return {m for m in members if isinstance(m, type) and issubclass(m, base)}


def assert_trains_on_gpu_kernels(program):
    traced = program.trace()
    assert_gpu_kernels(traced)
    # What was audited is a whole training step: it moves every weight.
    before = [variable.numpy() for variable in program.variables]
    for _ in range(NUM_STEPS):
        traced(*keras.tree.map_structure(tf.constant, program.arguments))
    assert before
    for variable, start in zip(program.variables, before, strict=True):
        assert np.any(variable.numpy() != start), variable.path


def test_every_public_schedule_is_audited():
    audited = {type(make()) for make in traced_steps.SCHEDULES.values()}
    base = keras.optimizers.schedules.LearningRateSchedule
    assert public_classes(keras_tricks.schedules, base) == audited


def test_every_public_hypermodel_is_audited():
    public = public_classes(keras_tricks.hypermodels, keras_tuner.HyperModel)
    audited = {name for name, fixed in traced_steps.HYPERMODELS.values() if not fixed}
    assert {hypermodel.__name__ for hypermodel in public} == audited


def test_every_searched_optimizer_is_audited():
    hp = keras_tuner.HyperParameters()
    keras_tricks.hypermodels.hyper_optimizer(hp, total_steps=1)
    [choice] = [parameter for parameter in hp.space if parameter.name == "optimizer"]
    fixed = [fixed for _, fixed in traced_steps.HYPERMODELS.values()]
    audited = {settings.get("optimizer", choice.default) for settings in fixed}
    assert audited == set(choice.values)


@requires_gpu_registry
@pytest.mark.parametrize("steps", traced_steps.STEPS)
@pytest.mark.parametrize("schedule", traced_steps.SCHEDULES)
def test_a_schedule_has_gpu_kernels(schedule, steps):
    assert_gpu_kernels(traced_steps.schedule_program(schedule, steps).trace())


CLIPPED = list(itertools.product(traced_steps.INNER_OPTIMIZERS, ["dense", "sparse"]))


@requires_gpu_registry
@pytest.mark.parametrize(
    ("inner_optimizer", "gradients"),
    sampling.one_in(3, CLIPPED, always=[("adamw", "dense")]),
)
def test_a_clipped_training_step_has_gpu_kernels(inner_optimizer, gradients):
    assert_trains_on_gpu_kernels(
        traced_steps.clipped_program(inner_optimizer, gradients)
    )


# The message of an error is a string constant, which TensorFlow keeps on the host.
RAISING = ("raise", "few skips")


@requires_gpu_registry
@pytest.mark.parametrize(
    "clipping", [c for c in traced_steps.CLIPPING if c not in ("number", *RAISING)]
)
def test_each_way_to_clip_has_gpu_kernels(clipping):
    """The gradients are those of an embedding and of dense layers."""
    assert_trains_on_gpu_kernels(
        traced_steps.clipped_program("sgd", "sparse", clipping)
    )


@requires_gpu_registry
@pytest.mark.parametrize("clipping", RAISING)
def test_a_step_that_can_raise_has_gpu_kernels_for_all_but_its_message(clipping):
    program = traced_steps.clipped_program("sgd", "sparse", clipping)
    gaps = gpu_kernel_gaps(program.trace())
    assert {(gap.op, gap.dtypes) for gap in gaps} == {
        ("Const", (("dtype", ("string",)),))
    }


# The default of each, each optimizer and loss, and each pooling once.
HYPERMODELS = [
    *("HyperCNN attention", "HyperMLP nadam", "HyperMLP focal", "HyperTextRCNN"),
    *("HyperRNN", "HyperRNN gru"),
    *("HyperTable", "HyperTable resnet"),
    "HyperTextTransformer first",
]


@requires_gpu_registry
@pytest.mark.parametrize(
    "hypermodel", sampling.only(HYPERMODELS, traced_steps.HYPERMODELS)
)
def test_the_training_step_of_a_hypermodel_has_gpu_kernels(hypermodel):
    assert_trains_on_gpu_kernels(traced_steps.hypermodel_program(hypermodel))


class Compared(keras_tuner.HyperModel):
    """A model whose steps are compared as graphs, its numbers fed to them."""

    def build(self, hp):
        factor = hp.Float("factor", 0.1, 0.9)

        def loss(y, p):
            return factor * keras.losses.sparse_categorical_crossentropy(y, p)

        model = keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(4, lambda x: keras.ops.tanh(factor * x)),
                keras.layers.Dropout(factor / 2),
                keras.layers.Dense(3, "softmax"),
            ]
        )
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        return model


PACKED = {
    "compared": (Compared, np.ones((20, 6), "float32")),
    "HyperMLP": (
        lambda: keras_tricks.hypermodels.HyperMLP((6,), 3, total_steps=9),
        np.ones((20, 6), "float32"),
    ),
    "HyperTextCNN": (
        lambda: keras_tricks.hypermodels.HyperTextCNN(12, 6, 3, total_steps=9),
        np.ones((20, 6), "int32"),
    ),
}


PACKED_CASES = [(name, packed) for name in PACKED for packed in (False, True)]
PACKED_SAMPLE = [("compared", True), ("HyperMLP", False), ("HyperTextCNN", True)]


@requires_gpu_registry
@pytest.mark.parametrize(
    ("hypermodel", "packed"), sampling.only(PACKED_SAMPLE, PACKED_CASES)
)
def test_an_epoch_of_trials_together_has_gpu_kernels(hypermodel, packed):
    """The functions that were traced, whole epochs of training and of validation."""
    make, x = PACKED[hypermodel]
    network = ModelFamily(make().build)
    examples = tf.constant(x), tf.zeros(20, tf.int32)
    data = Data(examples, examples, 8, 0)
    cache = ProgramCache()
    trials = []
    for seed in range(2):
        hp = keras_tuner.HyperParameters()
        functional, trial = network.trial(cache, hp, seed, data, 3)
        trials.append(trial)
    program = cache.program(functional, packed=packed)
    packing.run(program, trials, data, RunConfig(1))
    # Of a shape, which is on the host anyway: TensorFlow's own form of a product over
    # several trials splits it.
    shapes = {("Split", (("T", ("int32",)),))} if packed else set()
    for function in (program.train_epoch, program.evaluate):
        (traced,) = function._list_all_concrete_functions()
        gaps = {(gap.op, gap.dtypes) for gap in gpu_kernel_gaps(traced)}
        assert gaps <= shapes
