"""Counting allocates nothing, and leaves nothing behind."""

import random
import sys
import threading
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import count_parameters
from tests import child_process

layers = keras.layers

# What a child process needs to hold its peak against. Linux keeps the peak of a process
# from its start, while `getrusage` begins with that of the parent.
PEAK = """
import gc
import os
gc.set_threshold(700, 10, 10)  # Python's own, as users have it.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
from keras_tricks.parameters import count_parameters

layers = keras.layers

def mebibytes(field):
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines[field].split()[0]) / 1024

def print_growth(*counted):
    print(*counted, round(mebibytes("VmHWM") - before), sep=",")

layers.Dense(1).build((None, 1))  # TensorFlow's own start.
before = mebibytes("VmRSS")
"""

TRANSFORMER = """
def transformer(num_layers, width, vocabulary=50_257, positions=2048):
    heads = width // 128
    ids = keras.Input((positions,), dtype="int32")
    x = layers.Embedding(vocabulary, width)(ids)
    x = layers.Add()([x, layers.Embedding(positions, width)(ids)])
    for _ in range(num_layers):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(heads, 128)(y, y, use_causal_mask=True)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(4 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    return keras.Model(ids, layers.LayerNormalization()(x))
"""

measured = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Peak memory is read from /proc."
)


def transformer_parameters(num_layers, width, vocabulary=50_257, positions=2048):
    """Attention 4 d^2 + 4 d, dense layers 8 d^2 + 5 d, two norms 4 d; and the rest."""
    layer = 12 * width**2 + 13 * width
    return num_layers * layer + (vocabulary + positions) * width + 2 * width


def model():
    """Draws seeds: for the weights, and for the dropout."""
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5), layers.Dense(2)]
    )


PARAMETERS = 4 * 3 + 3 + 3 * 2 + 2


class ModelFailed(Exception):
    """What only the counted function raises."""


def failing():
    model()
    raise ModelFailed


def count_or_fail(function):
    try:
        count_parameters(function)
    except ModelFailed:
        assert function is failing


@pytest.fixture(scope="module")
def counted_in_a_child(tmp_path_factory):
    """Name -> words that a child process printed of what it counted.

    Each but the first would take 0.4 GiB or more; `Opaque` is a layer that Keras has to
    trace.
    """
    code = """
import time

class Opaque(layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(10_000, 10_000), initializer="ones")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)

def model(*inner):
    return keras.Sequential([keras.Input((10_000,)), *inner])

def compiled():
    made = model(layers.Dense(10_000))
    made.compile("adam", "mse")
    made.optimizer.build(made.trainable_variables)
    return made

def after_clear_session():
    keras.utils.clear_session()
    return model(Opaque(), Opaque())

seconds = []
for _ in range(3):
    start = time.process_time()
    counted = count_parameters(lambda: transformer(96, 12_288))
    seconds.append(time.process_time() - start)
print_growth("175 billion", counted, min(seconds))
dense = layers.Dense(10_000, use_bias=False)
print_growth("unbuilt", count_parameters(dense, input_shape=(None, 10_000)))
print_growth("dense", count_parameters(lambda: model(layers.Dense(10_000))))
print_growth("traced", count_parameters(lambda: model(Opaque(), Opaque())))
print_growth("compiled", count_parameters(compiled))
print_growth("cleared", count_parameters(after_clear_session))
"""
    printed = child_process.run_python(
        PEAK + TRANSFORMER + code, cwd=tmp_path_factory.mktemp("counted")
    )
    lines = [line.split(",") for line in printed.splitlines()]
    return {name: numbers for name, *numbers in lines}


@measured
def test_175_billion_parameters_count_in_2_seconds_and_100_mebibytes(
    counted_in_a_child,
):
    """Processor time, the best of three: the machine's other load must not decide.

    On an idle core it is what a clock shows, since all of it is in one thread.
    """
    expected = transformer_parameters(96, 12_288)
    assert expected == 174_604_259_328
    counted, seconds, growth = counted_in_a_child["175 billion"]
    assert int(counted) == expected
    assert int(growth) < 100
    assert float(seconds) < 2.0


@measured
def test_no_way_to_a_large_model_allocates_it(counted_in_a_child):
    kernel = 10_000**2
    expected = {
        "unbuilt": kernel,
        "dense": kernel + 10_000,
        "traced": 2 * kernel,
        "compiled": kernel + 10_000,
        "cleared": 2 * kernel,
    }
    assert {n: int(counted_in_a_child[n][0]) for n in expected} == expected
    assert [n for n in expected if int(counted_in_a_child[n][-1]) >= 100] == []


@pytest.mark.parametrize("function", [model, failing])
def test_the_next_layer_has_the_name_that_it_would_have_had(function):
    first = layers.Dense(1).name
    number = int(first.rpartition("_")[2]) if "_" in first else 0
    count_or_fail(function)
    assert layers.Dense(1).name == f"dense_{number + 1}"


@pytest.mark.parametrize("function", [model, failing])
def test_the_draws_of_the_generators_go_on_as_if_nothing_had_been_counted(function):
    def draws(between):
        keras.utils.set_random_seed(7)
        before = random.random(), float(np.random.random())
        between()
        return before, random.random(), float(np.random.random())

    assert draws(lambda: count_or_fail(function)) == draws(lambda: None)


@pytest.mark.parametrize("function", [model, failing])
def test_the_initial_weights_of_the_next_layer_are_the_same(function):
    def kernel(between):
        keras.utils.set_random_seed(7)
        between()
        layer = layers.Dense(5)
        layer.build((None, 4))
        return layer.kernel.numpy()

    counted = kernel(lambda: count_or_fail(function))
    np.testing.assert_array_equal(counted, kernel(lambda: None))


@pytest.mark.parametrize("function", [model, failing])
def test_keras_has_its_own_methods_again(function):
    optimizer = keras.optimizers.Optimizer
    own = keras.Variable.__init__, optimizer._var_key
    seen = []

    def looking():
        seen.append(keras.Variable.__init__)
        return function()

    with pytest.raises(ModelFailed) if function is failing else nullcontext():
        count_parameters(looking)
    # The look inside shows that there is something to put back.
    assert seen[0] is not own[0]
    assert (keras.Variable.__init__, optimizer._var_key) == own
    assert "__init__" not in vars(keras.Variable)
    assert "_var_key" not in vars(optimizer)


def test_a_scope_afterwards_gives_no_values_to_what_was_counted():
    """At its end Keras initializes all variables that wait for their values."""
    kept, made_values = [], []

    def initializer(shape, dtype=None):
        made_values.append(shape)
        return keras.ops.ones(shape, dtype)

    def keeping():
        kept.append(layers.Dense(3, kernel_initializer=initializer))
        return keras.Sequential([keras.Input((4,)), *kept])

    assert count_parameters(keeping) == 15
    with keras.StatelessScope():
        pass
    assert made_values == []


def test_a_layer_that_is_built_afterwards_has_values():
    count_parameters(model)
    layer = layers.Dense(3, kernel_initializer="ones")
    layer.build((None, 4))
    np.testing.assert_array_equal(layer.kernel.numpy(), np.ones((4, 3)))
    np.testing.assert_array_equal(layer(np.ones((2, 4))), np.full((2, 3), 4.0))


def test_a_layer_that_outlives_the_function_tells_the_remedy():
    kept = []

    def keeping():
        kept.append(model())
        return kept[0]

    count_parameters(keeping)
    remedy = "no value: .* Make all layers inside the function"
    with pytest.raises(RuntimeError, match=remedy):
        kept[0].layers[0].kernel.numpy()
    with pytest.raises(RuntimeError, match=remedy):
        kept[0](np.ones((2, 4)))


def test_a_layer_that_the_function_builds_for_others_tells_the_remedy():
    outer = layers.Dense(3)
    built = lambda: keras.Sequential([keras.Input((4,)), outer])  # noqa: E731
    assert count_parameters(built) == 15
    with pytest.raises(RuntimeError, match="or build that layer before it is counted"):
        outer(np.ones((2, 4)))


def test_a_layer_that_was_built_before_keeps_its_values():
    outer = layers.Dense(3, kernel_initializer="ones")
    outer.build((None, 4))
    assert count_parameters(lambda: keras.Sequential([keras.Input((4,)), outer])) == 15
    np.testing.assert_array_equal(outer.kernel.numpy(), np.ones((4, 3)))


@pytest.fixture
def mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("mixed_precision")
def test_the_callers_policy_is_in_force():
    seen = []

    def looking():
        made = model()
        seen.append((made.layers[0].compute_dtype, made.layers[0].kernel.dtype))
        return made

    count_parameters(looking)
    assert seen == [("float16", "float32")]
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_a_policy_that_the_function_sets_is_not_the_callers():
    def setting():
        keras.config.set_dtype_policy("bfloat16")
        return model()

    count_parameters(setting)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(1e-3),
        lambda: keras.optimizers.SGD(1e-3, momentum=0.9, use_ema=True),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
        lambda: ClippedOptimizer(keras.optimizers.Adam(1e-3), global_clipnorm=1.0),
    ],
    ids=["adam", "averages", "loss scale", "clipped"],
)
def test_the_variables_of_an_optimizer_are_neither_counted_nor_in_the_way(optimizer):
    def compiled():
        made = model()
        made.compile(optimizer(), "mse", metrics=["mae"])
        made.optimizer.build(made.trainable_variables)
        return made

    assert count_parameters(compiled, None) == PARAMETERS


@pytest.mark.usefixtures("mixed_precision")
def test_a_model_that_compile_gives_a_loss_scale_counts():
    def compiled():
        made = model()
        made.compile("adam", "mse")
        assert isinstance(made.optimizer, keras.optimizers.LossScaleOptimizer)
        return made

    assert count_parameters(compiled) == PARAMETERS


def test_a_function_that_clears_the_session_counts():
    def cleared():
        model()
        keras.utils.clear_session()
        return model()

    assert count_parameters(cleared) == PARAMETERS


def test_values_that_the_function_sets_or_learns_are_in_order():
    """4 * 3 + 3, and mean, variance and number of what was seen."""

    def adapted():
        norm = layers.Normalization()
        norm.adapt(np.ones((10, 4), "float32"))
        made = keras.Sequential([keras.Input((4,)), norm, layers.Dense(3)])
        made.layers[1].set_weights([np.ones((4, 3)), np.ones(3)])
        return made

    assert count_parameters(adapted) == 15
    assert count_parameters(adapted, False) == 4 + 4 + 1


def test_a_function_that_counts_another_counts():
    """The size that a search would settle for: the widest of at most 100."""

    def of_width(width):
        return keras.Sequential([keras.Input((4,)), layers.Dense(width)])

    def widest():
        def fits(width):
            return count_parameters(lambda: of_width(width)) <= 100

        return of_width(max(filter(fits, range(1, 40))))

    assert count_parameters(widest) == 100
    assert "__init__" not in vars(keras.Variable)


def test_an_error_of_the_function_reaches_the_caller_as_it_is():
    error = ModelFailed("no such width")

    def raising():
        raise error

    with pytest.raises(ModelFailed) as raised:
        count_parameters(raising)
    assert raised.value is error
    assert raised.traceback[-1].name == "raising"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_in_the_function_reaches_the_caller(interruption):
    def interrupted():
        raise interruption

    with pytest.raises(interruption):
        count_parameters(interrupted)


def built_layers(number, between=lambda: None):
    """Initial kernels of layers that are made one after the other."""
    kernels = []
    for _ in range(number):
        layer = layers.Dense(3)
        layer.build((None, 4))
        kernels.append(layer.kernel.numpy())
        between()
    return np.stack(kernels)


class Counting:
    """Two threads that count all the while, and how often each was right."""

    def __init__(self):
        self.counts = [[], []]
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=self.run, args=(found,)) for found in self.counts
        ]

    def run(self, found):
        while not self.stop.is_set():
            found.append(count_parameters(model))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def wait_for_more(self):
        """Waits until both have begun and ended a count since now."""
        wanted = [len(found) + 2 for found in self.counts]
        while any(len(f) < w for f, w in zip(self.counts, wanted, strict=True)):
            assert all(thread.is_alive() for thread in self.threads)
            self.stop.wait(0.001)


def test_threads_that_count_and_one_that_builds_do_not_mix():
    with Counting() as counting:
        kernels = built_layers(20, counting.wait_for_more)
    assert all(set(found) == {PARAMETERS} for found in counting.counts)
    assert np.all(np.abs(kernels) <= np.sqrt(6 / (4 + 3)))  # Glorot's bound
    assert np.all(kernels.std(axis=(1, 2)) > 0)
    assert "__init__" not in vars(keras.Variable)
    assert "_var_key" not in vars(keras.optimizers.Optimizer)


def test_a_thread_that_builds_draws_what_it_would_have_drawn_alone():
    keras.utils.set_random_seed(7)
    alone = built_layers(20)
    keras.utils.set_random_seed(7)
    with Counting() as counting:
        beside = built_layers(20, counting.wait_for_more)
    np.testing.assert_array_equal(beside, alone)


def test_under_jax_it_counts_and_leaves_nothing_behind_either(run_shared):
    code = """
import random

init = keras.Variable.__init__
random.seed(7)
before, recurrent = layers.Dense(1).name, layers.LSTM(6)
state = random.getstate()

def compiled():
    made = transformer(2, 256)
    made.compile(ClippedOptimizer(keras.optimizers.Adam(), global_clipnorm=1.0), "mse")
    made.optimizer.build(made.trainable_variables)
    return made

print(keras.backend.backend())
print(count_parameters(compiled))
print(count_parameters(lambda: transformer(96, 12_288)))
print(count_parameters(recurrent, input_shape=(None, 9, 5)))
print(keras.Variable.__init__ is init, random.getstate() == state)
print(before, layers.Dense(1).name)
layer = layers.Dense(3, kernel_initializer="ones")
print(float(layer(keras.ops.ones((1, 4)))[0, 0]))
"""
    header = """
import keras
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import count_parameters

layers = keras.layers
"""
    printed = run_shared(header + TRANSFORMER + code, backend="jax")
    assert printed.split() == [
        "jax",
        str(transformer_parameters(2, 256)),
        "174604259328",
        str(4 * ((5 + 6) * 6 + 6)),
        *("True", "True"),
        *("dense", "dense_1"),
        "4.0",
    ]
