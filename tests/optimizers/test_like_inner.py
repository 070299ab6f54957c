"""What is not clipping happens as in the inner optimizer alone."""

import functools

import h5py
import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from tests import sampling
from tests.optimizers import numpy_reference
from tests.optimizers import test_contract as suite
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import state_of
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of
from tests.optimizers.small_steps import with_every_state

# A power of two that is not reached: TF1's factor is 1 then, and no bit changes.
UNREACHED = 1024.0

every_mode = pytest.mark.parametrize("mode", MODES)
wraps = pytest.mark.parametrize(
    "arguments",
    [{"global_clipnorm": UNREACHED}, {"nonfinite": "skip"}],
    ids=["limit", "skip"],
)

requires_multi_optimizer = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"),
    reason=f"Keras {keras.__version__} has no MultiOptimizer",
)


def weights_before_and_after_the_end(optimizer, mode):
    """After five steps, and after what an optimizer does when training ends."""
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    for seed in range(1, 6):
        step(*random_arrays(seed))
    trained = [v.numpy() for v in variables]
    optimizer.finalize_variable_values(variables)
    return trained, [v.numpy() for v in variables]


@functools.cache
def without_a_wrapper(mode):
    return weights_before_and_after_the_end(with_every_state(), mode)


@every_mode
@wraps
def test_weight_decay_and_moving_averages_are_the_inner_optimizers(arguments, mode):
    results = (
        weights_before_and_after_the_end(
            ClippedOptimizer(with_every_state(), **arguments), mode
        ),
        without_a_wrapper(mode),
    )
    for found, expected in zip(*results, strict=True):
        # XLA compiles the two steps differently.
        assert_close(found, expected, rtol=1e-6 if mode == "xla" else 0, atol=1e-7)


def test_variables_are_excluded_from_weight_decay():
    def decayed(wrap):
        optimizer = wrap(keras.optimizers.AdamW(1.0, weight_decay=0.5))
        variables = [keras.Variable([2.0], name=n) for n in ("kernel", "bias", "gain")]
        optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
        optimizer.apply([np.zeros(1, "float32")] * 3, variables)
        return [float(v.numpy()[0]) for v in variables]

    assert decayed(ClippedOptimizer) == decayed(lambda inner: inner) == [1.0, 2.0, 2.0]


@pytest.mark.usefixtures("uncompiled")
def test_a_frozen_layer_stays_and_does_not_count_for_the_norm():
    model = suite.compiled_model(ClippedOptimizer(sgd(), global_clipnorm=0.1))
    model.layers[0].trainable = False
    model.compile(ClippedOptimizer(sgd(), global_clipnorm=0.1), "mse")
    before = model.get_weights()
    x, y = suite.data()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    moved = [b - a for a, b in zip(model.get_weights(), before, strict=True)]
    assert_same_bits(moved[:1], [np.zeros((4, 3))])
    assert numpy_reference.global_norm(moved[1:]) == pytest.approx(0.1, rel=1e-5)


def trained_without_a_gradient(optimizer, mode):
    variables = variables_of(random_arrays(0))
    optimizer.build(variables)
    gradients = random_arrays(1)

    def step(*gradients):
        optimizer.apply([gradients[0], None, gradients[1]])

    if mode != "eager":
        import tensorflow as tf

        step = tf.function(step, jit_compile=mode == "xla")
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        step(gradients[0], gradients[2])
    return [v.numpy() for v in variables]


@functools.cache
def adam_without_a_gradient(mode):
    return trained_without_a_gradient(keras.optimizers.Adam(0.1), mode)


@every_mode
@wraps
def test_variables_without_a_gradient_stay_and_are_warned_of(arguments, mode):
    optimizer = ClippedOptimizer(keras.optimizers.Adam(0.1), **arguments)
    found = trained_without_a_gradient(optimizer, mode)
    assert_same_bits(found, adam_without_a_gradient(mode))
    assert_same_bits(found[1::2], random_arrays(0)[1::2])


def test_accumulated_gradients_of_variables_that_take_turns_are_as_in_keras():
    """Half of a variable's batches have no gradient for it; Keras is the oracle."""

    def trained(wrap):
        variables = [keras.Variable([0.0]), keras.Variable([0.0])]
        optimizer = wrap()
        optimizer.build(variables)
        for number in range(6):
            optimizer.apply([np.ones(1, "float32")], [variables[number % 2]])
        return [float(v.numpy()[0]) for v in variables]

    steps = {"gradient_accumulation_steps": 2}
    found = trained(lambda: ClippedOptimizer(sgd(), **steps))
    assert found == trained(lambda: keras.optimizers.SGD(1.0, **steps)) == [0.0, -1.5]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"nonfinite": "skip"}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_unknown_variables_are_refused_as_keras_refuses_them(arguments):
    optimizer = ClippedOptimizer(sgd(), **arguments)
    known, unknown = variables_of(random_arrays(0))[:2]
    optimizer.apply([np.ones((4, 3), "float32")], [known])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([np.ones(3, "float32")], [unknown])


@pytest.mark.parametrize(
    "call",
    [
        lambda o, v: o.apply([None, None], v),
        lambda o, v: o.apply([np.ones(3, "float32")]),
        lambda o, v: o.apply_gradients([(None, v[0])]),
    ],
    ids=["no gradients", "not built", "no gradient"],
)
def test_wrong_calls_raise_what_keras_raises(call):
    errors = []
    for optimizer in (sgd(), ClippedOptimizer(sgd())):
        with pytest.raises(ValueError, match=r"\w") as info:
            call(optimizer, variables_of(random_arrays(0))[1:3])
        errors.append(str(info.value))
    assert errors[0] == errors[1]


def test_an_empty_list_of_gradients_changes_nothing():
    optimizer = ClippedOptimizer(sgd())
    optimizer.apply([], [])
    assert int(optimizer.iterations) == 0


def test_statistics_in_the_place_of_gradients_replace_the_variable():
    """As float8 training has them; they are neither clipped nor counted."""
    weight, statistic = keras.Variable([1.0]), keras.Variable([1.0])
    statistic.overwrite_with_gradient = True
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0)
    optimizer.apply(
        [np.array([4.0], "float32"), np.array([30.0], "float32")], [weight, statistic]
    )
    assert float(weight.numpy()[0]) == 0
    assert float(statistic.numpy()[0]) == 30
    assert optimizer.gradient_norm == 4


@pytest.mark.usefixtures("uncompiled")
def test_constraints_of_weights_hold_after_the_update():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_constraint=keras.constraints.NonNeg()),
        ]
    )
    model.compile(ClippedOptimizer(sgd(), global_clipnorm=5.0), "mse")
    x, _ = suite.data()
    model.fit(x, -np.ones((32, 3)), verbose=0)
    assert model.get_weights()[0].min() == 0


ACCUMULATED = (None, "global_clipnorm")


def test_rate_and_step_are_those_of_the_inner_optimizer():
    optimizer = ClippedOptimizer(keras.optimizers.SGD(0.1), global_clipnorm=1.0)
    weight = keras.Variable([1.0])
    steps = optimizer.apply_gradients([(keras.ops.array([1.0]), weight)])
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    assert int(steps) == int(optimizer.iterations) == 1


# Each way to compile, and each kind; a step without a limit does less of the same.
@pytest.mark.parametrize(
    ("kind", "mode"),
    sampling.only(
        [
            *((kind, "eager") for kind in ACCUMULATED),
            (None, "graph"),
            ("global_clipnorm", "xla"),
        ],
        [(kind, mode) for kind in ACCUMULATED for mode in MODES],
    ),
)
def test_accumulation_equals_one_larger_batch_and_counts_updates(kind, mode):
    """Keras's clipping of the mean gradient of each four is the oracle."""
    limit = {kind: 2.0} if kind else {}
    batches = [random_arrays(seed, 1 + seed % 4) for seed in range(12)]
    variables = variables_of(random_arrays(20))
    optimizer = ClippedOptimizer(
        with_every_state(), gradient_accumulation_steps=4, **limit
    )
    step = stepper(optimizer, variables, mode)
    for batch in batches:
        step(*batch)
    expected = variables_of(random_arrays(20))
    reference = with_every_state()
    step = stepper(reference, expected)
    for start in (0, 4, 8):
        four = zip(*batches[start : start + 4], strict=True)
        mean = [np.mean(np.float64(gs), axis=0) for gs in four]
        if kind:
            mean = numpy_reference.clipped(kind, mean, 2.0)
        step(*[g.astype("float32") for g in mean])
    assert_close(
        [v.numpy() for v in variables],
        [v.numpy() for v in expected],
        rtol=1e-5,
        atol=1e-5,
    )
    assert int(optimizer.iterations) == optimizer.num_updates == 3
    assert_close(
        state_of(optimizer.inner_optimizer), state_of(reference), rtol=1e-4, atol=1e-5
    )


@pytest.mark.usefixtures("uncompiled")
def test_accumulation_in_fit_equals_fit_on_larger_batches():
    x, y = suite.data()

    def weights(batch_size, **arguments):
        optimizer = ClippedOptimizer(suite.momentum(), global_clipnorm=0.5, **arguments)
        model = suite.compiled_model(optimizer)
        model.fit(x, y, batch_size=batch_size, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    found = weights(4, gradient_accumulation_steps=4)
    assert_close(found, weights(16), rtol=1e-5, atol=1e-6)


def group(**of_bias):
    """Adam for matrices, SGD for vectors."""
    of_rank = {2: keras.optimizers.Adam(0.1), 1: keras.optimizers.SGD(1.0, **of_bias)}
    return keras.optimizers.MultiOptimizer(lambda v: of_rank[len(v.shape)])


@requires_multi_optimizer
@every_mode
def test_a_group_of_optimizers_is_clipped_by_one_norm(mode):
    gradients, weights = random_arrays(0), random_arrays(1)
    optimizer = ClippedOptimizer(group(), global_clipnorm=0.5)
    variables = variables_of(weights)
    stepper(optimizer, variables, mode)(*gradients)
    expected = numpy_reference.clipped("global_clipnorm", gradients, 0.5)
    found = [w - v.numpy() for w, v in zip(weights, variables, strict=True)]
    # SGD moves the vectors by what the norm of all, matrices too, leaves of them.
    assert_close(found[1::2], expected[1::2], atol=1e-6)
    norm = numpy_reference.global_norm(gradients)
    assert optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)


@requires_multi_optimizer
@every_mode
def test_a_skipped_update_leaves_the_whole_group_as_it_was(mode):
    optimizer = ClippedOptimizer(group(momentum=0.9), nonfinite="skip")
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    step(*random_arrays(1))
    weights, state = [v.numpy() for v in variables], state_of(optimizer.inner_optimizer)
    bad = random_arrays(2)
    bad[0][0] = np.nan
    step(*bad)
    assert_same_bits([v.numpy() for v in variables], weights)
    assert_same_bits(state_of(optimizer.inner_optimizer), state)


@requires_multi_optimizer
def test_an_optimizer_that_clips_is_refused_in_a_group_made_late():
    """A group given as a function makes its optimizers when it is built."""
    optimizer = ClippedOptimizer(
        keras.optimizers.MultiOptimizer(lambda v: keras.optimizers.SGD(clipnorm=1.0))
    )
    with pytest.raises(ValueError, match="Leave out `clipnorm` of SGD"):
        optimizer.build(variables_of(random_arrays(0)))


@requires_multi_optimizer
def test_a_group_is_shown_by_its_optimizers():
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
    optimizers[".*bias"] = keras.optimizers.SGD(0.1)
    group = keras.optimizers.MultiOptimizer(optimizers)
    assert repr(ClippedOptimizer(group, clipnorm=1.0)) == (
        "ClippedOptimizer(MultiOptimizer([SGD(learning_rate=0.1), "
        "Adam(learning_rate=0.01)]), clipnorm=1.0, nonfinite='propagate')"
    )


@pytest.mark.usefixtures("uncompiled")
@requires_multi_optimizer
def test_a_group_trains_in_fit_and_comes_back_from_a_file(tmp_path):
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
    optimizers[".*bias"] = keras.optimizers.SGD(0.1, momentum=0.9)
    group = keras.optimizers.MultiOptimizer(optimizers)
    model = suite.compiled_model(ClippedOptimizer(group, global_clipnorm=0.5))
    suite.train(model)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert_same_bits(suite.train(restored), suite.train(model))


def halved_each_epoch(epoch, rate):
    return rate / 2


def by_epoch_alone(epoch):
    return 0.1 / (epoch + 1)


CALLBACKS_ON_RATES = {
    "plateau": lambda: keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=1e9
    ),
    "plateau with a floor": lambda: keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.1, patience=1, min_delta=1e9, min_lr=0.02, cooldown=1
    ),
    "scheduler": lambda: keras.callbacks.LearningRateScheduler(halved_each_epoch),
    "old scheduler": lambda: keras.callbacks.LearningRateScheduler(by_epoch_alone),
}


CASES = [
    (callback, kind)
    for callback in CALLBACKS_ON_RATES
    for kind in ("map", "function", "default alone", "schedule")
]
SAMPLE = [case for case in CASES if case[0] == "plateau" or case[1] == "map"]


def groups():
    """Groups as people write them: a map, a function, one optimizer for all."""
    Map = keras.optimizers.OptimizerMap

    def of_map():
        optimizers = Map(keras.optimizers.Adam(0.01))
        optimizers[".*bias"] = keras.optimizers.SGD(0.1, momentum=0.9)
        return keras.optimizers.MultiOptimizer(optimizers)

    def with_a_schedule():
        schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.9)
        optimizers = Map(keras.optimizers.Adam(0.01))
        optimizers[".*bias"] = keras.optimizers.SGD(schedule)
        return keras.optimizers.MultiOptimizer(optimizers)

    return {
        "map": of_map,
        "function": group,
        "default alone": lambda: keras.optimizers.MultiOptimizer(
            Map(keras.optimizers.Adam(0.01))
        ),
        "schedule": with_a_schedule,
    }


@pytest.mark.usefixtures("uncompiled")
@requires_multi_optimizer
@pytest.mark.parametrize(("callback", "kind"), sampling.only(SAMPLE, CASES))
def test_keras_s_callbacks_set_the_rates_of_a_group_as_without_clipping(callback, kind):
    """Errors are the same, too, where this Keras has no such thing."""

    def outcome(wrap):
        keras.utils.clear_session()  # Names, which are in the logs, begin anew.
        model = suite.compiled_model(wrap(groups()[kind]()))
        x, y = suite.data()
        callbacks = [CALLBACKS_ON_RATES[callback]()]
        try:
            history = model.fit(x, y, epochs=4, verbose=0, callbacks=callbacks).history
        except (AttributeError, TypeError, ValueError) as error:
            return type(error)
        return history, [w.tolist() for w in model.get_weights()]

    bare, wrapped = outcome(lambda group: group), outcome(ClippedOptimizer)
    if isinstance(bare, type) or isinstance(wrapped, type):
        assert wrapped is bare
        return
    assert wrapped[0].keys() == bare[0].keys()
    for name, values in bare[0].items():
        np.testing.assert_allclose(wrapped[0][name], values, rtol=1e-5)
    assert_close(map(np.array, wrapped[1]), map(np.array, bare[1]), rtol=1e-4)


@pytest.mark.usefixtures("uncompiled")
@requires_multi_optimizer
def test_a_file_holds_each_variable_of_a_group_as_often_as_without_clipping(tmp_path):
    """The group is a child, and is found through `optimizers` as well."""

    def stored(optimizer):
        model = suite.compiled_model(optimizer)
        suite.train(model)
        model.save_weights(path := tmp_path / "all.weights.h5")
        found = []
        with h5py.File(path) as file:
            file["optimizer"].visititems(
                lambda _, item: found.append(item) if hasattr(item, "shape") else None
            )
        return len(found)

    own = 2  # The norm and the counts.
    assert (
        stored(ClippedOptimizer(groups()["map"]())) == stored(groups()["map"]()) + own
    )


@requires_multi_optimizer
def test_the_optimizers_of_a_group_are_found_on_the_wrapper():
    inner = groups()["map"]()
    assert ClippedOptimizer(inner).optimizers is inner.optimizers


def test_an_optimizer_that_is_no_group_has_no_optimizers():
    """Callbacks would go by them, and a loop over none sets no rate."""
    assert not hasattr(ClippedOptimizer(sgd()), "optimizers")
