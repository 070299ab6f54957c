"""Scores are those of `fit` whatever a trial's numbers come from.

What a build, a callback, an optimizer or the data take from outside of the model, and
what has been replaced in Keras itself, must act in a program as it does in `fit`.
"""

import functools
import itertools
import tempfile
import types

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.tuners import RandomSearch
from tests import sampling
from tests.tuners import forks

_DRAWN = np.random.default_rng(0)
X = _DRAWN.normal(size=(50, 4)).astype("float32")
Y = (2 * X[:, :1] + X[:, 1:2]).astype("float32")
BY_FIT = {"reuse_programs": False}
WAYS = {"one by one": {}, "in packs": {"packed_trials": 2}}


def rate(hp):
    return hp.Float("rate", 1e-3, 1e-1, sampling="log")


def network(hp, optimizer=None, loss="mse", first=None, **compiled):
    layers = [first or keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer or keras.optimizers.Adam(rate(hp)), loss, **compiled)
    return model


class Case(types.SimpleNamespace):
    """One search: what it builds, and what its `search` is given."""

    def scores(self, folder, **way):
        names = {"objective": "val_loss", "trials": 2, "callbacks": [], **vars(self)}
        given = {
            "x": X[:40],
            "y": Y[:40],
            "validation_data": (X[40:], Y[40:]),
            "batch_size": 16,
            **names.pop("fit", {}),
        }
        tuner = RandomSearch(
            names["build"],
            names["objective"],
            max_trials=names["trials"],
            seed=3,
            directory=folder,
            **way,
        )
        callbacks = names["callbacks"]
        tuner.search(**given, epochs=3, verbose=0, callbacks=callbacks)
        found = tuner.leaderboard().sort_values("trial_id")
        name = getattr(names["objective"], "name", names["objective"])
        return found[name].tolist()


def epoch_callback():
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)


def infinite_label():
    labels = Y[:40].copy()
    labels[0] = np.inf
    return Case(build=lambda hp: network(hp, loss="mae"), fit={"y": labels})


def infinite_validation_loss():
    labels = Y[40:].copy()
    labels[0] = np.inf

    def finite(y, p):
        return keras.ops.where(keras.ops.isfinite(y), keras.ops.abs(y - p), 0.0)

    return Case(
        build=lambda hp: network(hp, metrics=[finite]),
        objective=keras_tuner.Objective("val_finite", "min"),
        fit={"validation_data": (X[40:], labels)},
    )


def loss_by_the_step():
    def build(hp):
        optimizer = keras.optimizers.Adam(rate(hp))

        def loss(y, p):
            step = keras.ops.cast(optimizer.iterations, "float32")
            return keras.ops.mean((y - p) ** 2, -1) + 0.1 * step

        return network(hp, optimizer, loss)

    return Case(build=build)


def replaced_apply_gradients():
    def build(hp):
        optimizer = keras.optimizers.Adam(rate(hp))
        original = optimizer.apply_gradients
        optimizer.apply_gradients = lambda pairs: original(
            [(0.0 * g if len(v.shape) > 1 else g, v) for g, v in pairs]
        )
        return network(hp, optimizer)

    return Case(build=build)


class HeadOnly(keras.Model):
    def __init__(self):
        super().__init__()
        self.base, self.head = keras.layers.Dense(8, "relu"), keras.layers.Dense(1)

    def build(self, shape):
        self.base.build(shape)
        self.head.build((None, 8))
        self.built = True

    def call(self, x):
        return self.head(self.base(x))

    @property
    def trainable_weights(self):
        return self.head.trainable_weights


def own_trainable_weights():
    def build(hp):
        model = HeadOnly()
        model.build((None, 4))
        model.compile(keras.optimizers.Adam(rate(hp)), "mse")
        return model

    return Case(build=build)


class ReadsMetrics(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_read"] = float(self.model.get_metrics_result()["mae"])


def metrics_read_by_a_callback():
    return Case(
        build=lambda hp: network(hp, metrics=["mae"]),
        objective=keras_tuner.Objective("val_read", "min"),
        callbacks=[ReadsMetrics()],
    )


def seeded_by(draw, **more):
    """A build that takes each model's seed from outside, and takes it once."""

    def build(hp):
        seed = keras.initializers.GlorotUniform(draw())
        penalty = more.get("activity_regularizer")
        first = keras.layers.Dense(
            8, "relu", kernel_initializer=seed, activity_regularizer=penalty
        )
        return network(hp, first=first)

    callbacks = [] if more else [epoch_callback()]
    return Case(build=build, trials=3, callbacks=callbacks)


def seeds_of_a_list_iterator():
    seeds = iter([*range(1, 100)])
    return seeded_by(lambda: next(seeds))


def seeds_of_a_generator():
    seeds = (n for n in range(1, 100))
    return seeded_by(lambda: next(seeds))


def seeds_of_a_cycle():
    seeds = itertools.cycle([5, 1, 4])
    return seeded_by(lambda: next(seeds))


def seeds_of_a_range_left_to_fit():
    seeds = iter(range(1, 100))
    return seeded_by(lambda: next(seeds), activity_regularizer="l2")


def seeds_of_a_variable():
    count = tf.Variable(1)
    return seeded_by(lambda: int(count.assign_add(1)))


def seeds_of_a_module():
    module = types.ModuleType("settings_of_mine")
    module.count = 0

    def draw():
        module.count += 1
        return module.count

    return seeded_by(draw)


def statistics_of_the_training_data():
    """`adapt` reads the shuffled dataset once more each time."""
    tf.random.set_seed(0)
    train = tf.data.Dataset.from_tensor_slices((X[:40], Y[:40])).shuffle(40, seed=1)
    train = train.batch(16)

    def build(hp):
        norm = keras.layers.Normalization()
        norm.adapt(train.map(lambda x, y: x))
        model = keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(rate(hp)), "mse")
        return model

    fit = {"x": train, "y": None, "batch_size": None}
    return Case(build=build, callbacks=[epoch_callback()], fit=fit)


def data_made_anew():
    def data():
        made = tf.data.Dataset.from_tensor_slices((X[:40], Y[:40]))
        return made.shuffle(40, seed=1).batch(16)

    fit = {"x": data, "y": None, "batch_size": None}
    return Case(build=network, trials=3, fit=fit)


def data_that_change_by_the_call():
    scales = iter([1.0, 0.5, 2.0])

    def data():
        return next(scales) * X[:40]

    return Case(build=network, trials=3, fit={"x": data})


def data_changed_by_the_build():
    x = X[:40].copy()

    def build(hp):
        x[...] = X[:40] * hp.Float("scale", 0.1, 3.0)
        return network(hp)

    return Case(build=build, trials=3, fit={"x": x})


def base_tuned_in_some_trials():
    base = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu")])
    for weight in base.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))

    def build(hp):
        base.trainable = bool(hp.Choice("tuned", [True, False]))
        model = keras.Sequential([base, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.05), "mse")
        return model

    return Case(build=build)


class Counting(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self.rate, self.count = rate, 0

    def __call__(self, step):
        self.count += 1
        return self.rate / self.count


def schedule_that_counts():
    return Case(build=lambda hp: network(hp, keras.optimizers.Adam(Counting(rate(hp)))))


class ByLength(keras.layers.Layer):
    def call(self, x):
        return x * (1.0 if x.shape[0] is None else float(x.shape[0]))

    def compute_output_shape(self, shape):
        return shape


def length_of_the_batch():
    return Case(build=lambda hp: network(hp, first=ByLength()), fit={"batch_size": 10})


def wired_by(connect, activation=None):
    """Two inputs, connected in one way or another by layers that are the same."""

    def build(hp):
        one, other = keras.Input((4,)), keras.Input((4,))
        inputs, joined = connect(one, other, hp.Choice("wiring", [0, 1]))
        start = keras.initializers.GlorotUniform(seed=1)
        output = keras.layers.Dense(1, activation, kernel_initializer=start)(joined)
        model = keras.Model(inputs, output)
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    fit = {
        "x": [X[:40], 2 * X[:40][::-1] + 1],
        "validation_data": ([X[40:], 2 * X[40:][::-1] + 1], Y[40:]),
    }
    return Case(build=build, fit=fit)


def order_of_inputs(one, other, wiring):
    joined = keras.layers.Subtract()([one, other])
    return [[one, other], [other, one]][wiring], joined


def order_in_a_call(one, other, wiring):
    pair = [[one, other], [other, one]][wiring]
    return [one, other], keras.layers.Subtract()(pair)


def which_tensor_is_taken(one, other, wiring):
    start = keras.initializers.GlorotUniform(seed=2)
    hidden = keras.layers.Dense(4, "relu", kernel_initializer=start)(one)
    deeper = keras.layers.Dense(4, "relu", kernel_initializer=start)(hidden)
    return [one, other], keras.layers.Add()([deeper, [hidden, other][wiring]])


def inputs_in_an_order():
    return wired_by(order_of_inputs)


def arguments_in_an_order():
    return wired_by(order_in_a_call)


def arguments_in_an_order_and_own_code():
    return wired_by(order_in_a_call, activation=lambda x: 1.5 * x)


def another_tensor_taken():
    return wired_by(which_tensor_is_taken)


class Restarts(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.iterations.assign(0)


def schedule_that_a_callback_restarts():
    def build(hp):
        decay = keras.optimizers.schedules.ExponentialDecay(rate(hp), 1, 0.5)
        return network(hp, keras.optimizers.SGD(decay))

    return Case(build=build, callbacks=[Restarts()])


class TracesAnew(keras.callbacks.Callback):
    def __init__(self, change, name="make_train_function"):
        super().__init__()
        self.change, self.name = change, name

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.change(self.model)
            getattr(self.model, self.name)(force=True)


def freeze_first(model):
    model.layers[0].trainable = False


def layer_frozen_in_training():
    return Case(build=network, callbacks=[TracesAnew(freeze_first)])


def double(model):
    model.layers[0].by = 2.0


class Times(keras.layers.Layer):
    by = 1.0

    def call(self, x):
        return self.by * x


def validation_traced_anew():
    def build(hp):
        return network(hp, first=Times())

    return Case(build=build, callbacks=[TracesAnew(double, "make_test_function")])


class ReplacesTheStep(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.train_function = lambda iterator: {"loss": tf.constant(0.5)}


def step_replaced_in_training():
    return Case(build=network, objective="loss", callbacks=[ReplacesTheStep()])


def scheduler_that_sets_what_the_loss_reads():
    weight = {"of": 1.0}

    def loss(y, p):
        return weight["of"] * keras.ops.mean((y - p) ** 2, -1)

    def build(hp):
        weight["of"] = 1.0
        return network(hp, loss=loss)

    def schedule(epoch, rate):
        weight["of"] = 5.0
        return rate

    return Case(
        build=build, callbacks=[keras.callbacks.LearningRateScheduler(schedule)]
    )


def callback_that_knows_the_model_from_the_build():
    held = {}

    def build(hp):
        held["model"] = network(hp)
        return held["model"]

    def halve(epoch, logs):
        kernel = held["model"].layers[0].kernel
        kernel.assign(0.5 * kernel)

    return Case(
        build=build, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=halve)]
    )


def dtype_policy_of_some_trials():
    def build(hp):
        if hp.Choice("policy", ["mixed", "plain"]) == "mixed":
            keras.config.set_dtype_policy("mixed_bfloat16")
        return network(hp, first=keras.layers.Dense(8, "relu"))

    return Case(build=build)


def float_type_of_some_trials():
    def build(hp):
        keras.config.set_floatx(hp.Choice("floats", ["float64", "float32"]))
        return network(hp)

    return Case(build=build)


def seeds_of_a_file():
    """An open file cannot be told from what a build reads of it."""
    file = tempfile.TemporaryFile("w+")
    file.writelines(f"{n}\n" for n in range(1, 100))
    file.seek(0)
    return seeded_by(lambda: int(file.readline()))


CASES = [
    seeds_of_a_file,
    infinite_label,
    infinite_validation_loss,
    loss_by_the_step,
    replaced_apply_gradients,
    own_trainable_weights,
    metrics_read_by_a_callback,
    seeds_of_a_list_iterator,
    seeds_of_a_generator,
    seeds_of_a_cycle,
    seeds_of_a_range_left_to_fit,
    seeds_of_a_variable,
    seeds_of_a_module,
    statistics_of_the_training_data,
    data_made_anew,
    data_that_change_by_the_call,
    data_changed_by_the_build,
    base_tuned_in_some_trials,
    schedule_that_counts,
    length_of_the_batch,
    inputs_in_an_order,
    arguments_in_an_order,
    arguments_in_an_order_and_own_code,
    another_tensor_taken,
    schedule_that_a_callback_restarts,
    layer_frozen_in_training,
    validation_traced_anew,
    step_replaced_in_training,
    scheduler_that_sets_what_the_loss_reads,
    callback_that_knows_the_model_from_the_build,
    dtype_policy_of_some_trials,
    float_type_of_some_trials,
]
# What may be otherwise where trials are built before earlier ones are trained.
IN_PACKS = [
    infinite_label,
    loss_by_the_step,
    replaced_apply_gradients,
    metrics_read_by_a_callback,
    data_changed_by_the_build,
    base_tuned_in_some_trials,
    inputs_in_an_order,
    schedule_that_a_callback_restarts,
    layer_frozen_in_training,
    scheduler_that_sets_what_the_loss_reads,
    callback_that_knows_the_model_from_the_build,
    float_type_of_some_trials,
]


# One of each sort: two of what begins at another place each time, for instance.
# Of what acts through labels, the optimizer, a callback, data, a schedule, a step that
# is replaced, and the order of inputs.
SAMPLE = [
    (replaced_apply_gradients, "one by one"),
    (seeds_of_a_list_iterator, "one by one"),
    (data_changed_by_the_build, "one by one"),
    (arguments_in_an_order_and_own_code, "one by one"),
    (scheduler_that_sets_what_the_loss_reads, "one by one"),
    (infinite_label, "in packs"),
    (callback_that_knows_the_model_from_the_build, "in packs"),
]


@pytest.fixture(scope="module", name="fitted")
def fitted_fixture(tmp_path_factory):
    """Returns a function from a case to its scores by `fit`, which runs once."""

    @functools.cache
    def fitted(make):
        return make().scores(tmp_path_factory.mktemp("fit"), **BY_FIT)

    return fitted


@pytest.mark.parametrize(
    ("make", "way"),
    sampling.only(
        SAMPLE,
        [(make, "one by one") for make in CASES]
        + [(make, "in packs") for make in IN_PACKS],
    ),
    ids=lambda value: getattr(value, "__name__", value),
)
def test_scores_are_those_of_fit(make, way, fitted, tmp_path):
    found = make().scores(tmp_path / "shared", **WAYS[way])
    np.testing.assert_allclose(found, fitted(make), rtol=3e-4)


def test_a_model_sees_the_length_that_fit_shows_it(tmp_path):
    """Keras shows batches of arrays with their length where all have the same."""
    shown = []

    class Notes(keras.layers.Layer):
        def call(self, x):
            shown.append(x.shape[0])
            return x

    def build(hp):
        hp.Float("unused", 0.0, 1.0)
        return network(hp, keras.optimizers.SGD(0.1), first=Notes())

    def lengths(train):
        shown.clear()
        train()
        return {length for length in shown if length != 1}

    by_keras = lengths(
        lambda: build(keras_tuner.HyperParameters()).fit(
            X[:40], Y[:40], batch_size=10, verbose=0
        )
    )
    case = Case(build=build, trials=1, fit={"batch_size": 10})
    assert lengths(lambda: case.scores(tmp_path, **BY_FIT)) == by_keras


@pytest.mark.parametrize("way", [BY_FIT, {}], ids=["by fit", "shared"])
def test_the_model_with_the_best_score_is_kept_before_callbacks_end_it(way, tmp_path):
    """EarlyStopping, which watches something else, puts other weights back."""
    classes = (X[:, 0] > 0).astype("int32")

    def build(hp):
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate(hp)), loss, metrics=["accuracy"])
        return model

    tuner = RandomSearch(
        build, "val_loss", max_trials=3, seed=3, directory=tmp_path, **way
    )
    stops = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=1, restore_best_weights=True
    )
    tuner.search(
        X[:40],
        classes[:40],
        validation_data=(X[40:], classes[40:]),
        epochs=12,
        batch_size=16,
        verbose=0,
        callbacks=[stops, keras.callbacks.ReduceLROnPlateau("val_loss")],
    )
    (best,) = tuner.get_best_models()
    loss, _ = best.evaluate(X[40:], classes[40:], verbose=0)
    assert loss == pytest.approx(tuner.leaderboard()["val_loss"][0], rel=1e-5)


@pytest.mark.parametrize(
    "way", sampling.one_in(2, [{}, BY_FIT]), ids=["shared", "by fit"]
)
@pytest.mark.parametrize(
    ("make", "dtypes"),
    [
        (dtype_policy_of_some_trials, {"mixed": "bfloat16", "plain": "float32"}),
        (float_type_of_some_trials, {"float64": "float64", "float32": "float32"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_build_begins_with_keras_as_the_search_found_it(
    make, dtypes, way, tmp_path
):
    """The builds that look for hyperparameters change nothing, either."""
    built, build = {}, make().build

    def noting(hp):
        model = build(hp)
        (value,) = (v for v in hp.values.values() if isinstance(v, str))
        built.setdefault(value, set()).add(model.layers[0].compute_dtype)
        return model

    before = keras.config.dtype_policy().name, keras.config.floatx()
    Case(build=noting, trials=4).scores(tmp_path, **way)
    assert built == {value: {dtype} for value, dtype in dtypes.items()}
    assert (keras.config.dtype_policy().name, keras.config.floatx()) == before


def test_a_model_is_loaded_under_the_policy_of_the_search(tmp_path):
    tuner = RandomSearch(network, "val_loss", max_trials=1, directory=tmp_path)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        given = {"validation_data": (X[40:], Y[40:]), "epochs": 1, "verbose": 0}
        tuner.search(X[:40], Y[:40], **given)
        (best,) = tuner.get_best_models()
        assert best.layers[0].compute_dtype == "bfloat16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


PATCHED = """
    import keras, sys, tempfile
    from tests.tuners import test_outside_influences as cases

    case = cases.Case(build=cases.network)
    for method in ("train_step", "test_step"):
        original = getattr(keras.Model, method)

        def replaced(self, data):
            return original(self, (data[0], 2 * data[1]))

        setattr(keras.Model, method, replaced)
        for way in (cases.BY_FIT, {}):
            print(case.scores(tempfile.mkdtemp(), **way))
        setattr(keras.Model, method, original)
    """


def test_what_is_replaced_in_keras_counts(tmp_path):
    """The training's step, and the validation's."""
    printed = forks.run_python(PATCHED, cwd=tmp_path)
    scores = [*map(eval, printed.strip().splitlines()[-4:])]
    np.testing.assert_allclose(scores[1::2], scores[::2], rtol=3e-4)
