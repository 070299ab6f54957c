"""Hypermodels that strangers derive, and the arguments and data that they bring."""

import warnings

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperFineTune
from keras_tricks.hypermodels import HyperJoin
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels import HyperTable
from keras_tricks.hypermodels.base import SupervisedHyperModel

X = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
PRICES = (250_000 + 40_000 * X[:, 0]).astype("float32")


class WithTrunk(HyperMLP):
    def trunk(self, hp):
        return super().trunk(hp)


class WithFit(HyperMLP):
    def fit(self, hp, model, *args, **kwargs):
        return super().fit(hp, model, *args, **kwargs)


class WithNetwork(HyperMLP):
    def network(self, hp):
        inputs, features = self.trunk(hp)
        return keras.Model(inputs, self.outputs(features))


class WithOutputs(HyperMLP):
    def outputs(self, x, max_norm=0.0):
        return super().outputs(keras.layers.Dense(8)(x), max_norm)


class WithMetric(HyperMLP):
    def compile_arguments(self, hp, total_steps, **kwargs):
        arguments = super().compile_arguments(hp, total_steps, **kwargs)
        return {**arguments, "metrics": [*arguments["metrics"], "mse"]}


class Gated(SupervisedHyperModel):
    def trunk(self, hp):
        inputs = keras.Input((4,))
        gate = keras.layers.Dense(16, "sigmoid")(inputs)
        return inputs, keras.layers.Multiply()([keras.layers.Dense(16)(inputs), gate])


class WithoutScale(HyperMLP):
    def network(self, hp):
        inputs, features = self.trunk(hp)
        return keras.Model(inputs, keras.layers.Dense(1)(features))


DERIVED = [WithTrunk, WithFit, WithNetwork, WithOutputs, WithMetric]


def made(cls, **kwargs):
    arguments = {"task": "regression", "plain": True, "epochs": 15, **kwargs}
    if cls is Gated:
        arguments["optimizer_arguments"] = {"learning_rate": 3e-3}
        return cls(**arguments)
    return cls((4,), **arguments)


def fit(hypermodel, *args, **kwargs):
    keras.utils.set_random_seed(0)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, *args, verbose=0, **kwargs).history
    return model, history


@pytest.mark.parametrize("cls", [HyperMLP, *DERIVED, Gated])
def test_a_regression_of_any_class_is_in_the_unit_of_its_targets(cls):
    model, _ = fit(made(cls), X, PRICES)
    found = model.predict(X, verbose=0)[:, 0]
    assert sklearn.metrics.r2_score(PRICES, found) > 0.8


@pytest.mark.parametrize("packed_trials", [None, 2])
@pytest.mark.parametrize("cls", DERIVED)
def test_a_search_of_it_finds_what_each_trial_finds_alone(cls, packed_trials, tmp_path):
    tuner = tuners.RandomSearch(
        made(cls, epochs=3),
        "val_r2",
        max_trials=2,
        seed=0,
        directory=tmp_path,
        packed_trials=packed_trials,
    )
    tuner.search(
        X[:200], PRICES[:200], validation_data=(X[200:], PRICES[200:]), verbose=0
    )
    assert (tuner.leaderboard()["status"] == "COMPLETED").all()
    model = tuner.get_best_models()[0]
    r2 = sklearn.metrics.r2_score(PRICES[200:], model.predict(X[200:], verbose=0)[:, 0])
    assert r2 == pytest.approx(tuner.leaderboard()["val_r2"][0], abs=1e-4)


def test_a_network_that_does_not_end_in_the_unit_of_its_targets_is_told_of():
    hypermodel = made(WithoutScale, epochs=1)
    fit(hypermodel, X, PRICES)
    with pytest.warns(UserWarning, match="outputs"):
        hypermodel.build(keras_tuner.HyperParameters())


def test_a_balance_counts_in_a_class_of_one_s_own():
    labels = (X[:, :2] > 1).astype("float32")
    losses = []
    for cls in (HyperMLP, WithTrunk):
        hp = keras_tuner.HyperParameters()
        hp.Fixed("balance", 1.0)
        keras.utils.set_random_seed(0)
        hypermodel = cls((4,), 2, task="multi_label", plain=True, epochs=1)
        model = hypermodel.build(hp)
        losses += hypermodel.fit(hp, model, X, labels, verbose=0).history["loss"]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("returned", "message"),
    [(None, "two things"), (keras.Input((4,)), "two things")],
)
def test_a_trunk_that_returns_something_else_is_refused(returned, message):
    class Wrong(SupervisedHyperModel):
        def trunk(self, hp):
            return returned

    with pytest.raises(TypeError, match=message):
        Wrong(2).build(keras_tuner.HyperParameters())


def test_features_at_each_position_are_refused_where_the_trunk_returns_them():
    class Positions(SupervisedHyperModel):
        def trunk(self, hp):
            inputs = keras.Input((4, 3))
            return inputs, keras.layers.Dense(8)(inputs)

    class Pooled(Positions):
        def outputs(self, x, max_norm=0.0):
            return super().outputs(keras.layers.GlobalMaxPooling1D()(x), max_norm)

    hp = keras_tuner.HyperParameters()
    with pytest.raises(ValueError, match=r"pool them.*shape \(None, 4, 8\)"):
        Positions(3, total_steps=1).build(hp)
    assert Pooled(3, total_steps=1).build(hp).output_shape == (None, 3)


def test_a_network_that_is_no_model_is_refused():
    class Wrong(SupervisedHyperModel):
        def network(self, hp):
            return None

    with pytest.raises(TypeError, match="must return a keras"):
        Wrong(2).build(keras_tuner.HyperParameters())


# What is computed of weights that are copied.


def test_a_normalization_inside_a_backbone_stays_one(tmp_path):
    x = 100 + 5 * X
    norm = keras.layers.Normalization()
    norm.adapt(x)
    inner = keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(8, "tanh")])
    inputs = keras.Input((4,))
    for backbone in (inner, keras.Model(inputs, inner(inputs))):
        hypermodel = HyperFineTune(backbone, 2, kind="image", epochs=1)
        model, _ = fit(hypermodel, x, (X[:, 0] > 0).astype(int))
        fresh = hypermodel.build(keras_tuner.HyperParameters())
        np.testing.assert_array_equal(fresh.get_layer("backbone")(x), backbone(x))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(
            loaded.predict(x, verbose=0), model.predict(x, verbose=0)
        )


def numbers_looked_up():
    x = np.random.default_rng(0).integers(10, 20, size=(16, 4))
    layer = keras.layers.IntegerLookup()
    layer.adapt(x)
    inputs = keras.Input((4,), dtype="int64")
    return keras.Model(inputs, keras.layers.Embedding(20, 3)(layer(inputs))), x


def texts_looked_up():
    texts = np.array([["the cat sat"], ["a dog ran\u00fc off"], ["no"], ["dog"]] * 4)
    layer = keras.layers.TextVectorization()
    layer.adapt(texts)
    inputs = keras.Input((1,), dtype="string")
    x = keras.layers.Embedding(20, 3, mask_zero=True)(layer(inputs))
    inner = keras.Model(inputs, x)
    return keras.Model(inputs, inner(inputs)), tf.constant(texts)


def numbers_weighed():
    x = np.random.default_rng(0).integers(10, 20, size=(16, 4))
    layer = keras.layers.IntegerLookup(output_mode="tf_idf")
    layer.adapt(x)
    inputs = keras.Input((4,), dtype="int64")
    return keras.Model(inputs, layer(inputs)), x


@pytest.mark.parametrize("make", [numbers_looked_up, texts_looked_up, numbers_weighed])
def test_a_vocabulary_that_was_learned_stays_in_the_backbone(make):
    backbone, x = make()
    hypermodel = HyperFineTune(backbone, 2, epochs=1)
    fit(hypermodel, x, np.arange(16) % 2)
    fresh = hypermodel.build(keras_tuner.HyperParameters()).get_layer("backbone")
    np.testing.assert_array_equal(fresh(x), backbone(x))
    assert np.any(backbone(x)[0] != backbone(x)[1])


def test_a_vocabulary_that_was_not_learned_is_told_of():
    inputs = keras.Input((1,), dtype="string")
    with pytest.raises(ValueError, match="The backbone cannot be made anew"):
        copied(keras.Model(inputs, keras.layers.TextVectorization()(inputs)))


def copied(backbone):
    """The copy of `backbone` that a trial trains."""
    hypermodel = HyperFineTune(backbone, 2, kind="image", epochs=1, total_steps=10)
    return hypermodel.build(keras_tuner.HyperParameters()).get_layer("backbone")


@keras.saving.register_keras_serializable("keras_tricks_tests")
class LastLayerFirst(keras.Model):
    """Its attributes are in another order than its layers, as KerasHub's may be."""

    def __init__(self, units=5, **kwargs):
        self.units = units
        self.last = keras.layers.Dense(units, name="last")
        self.first = keras.layers.Dense(5, activation="tanh", name="first")
        inputs = keras.Input((5,))
        super().__init__(inputs, self.last(self.first(inputs)), **kwargs)

    def get_config(self):
        return {"units": self.units, "name": self.name}


@pytest.mark.parametrize("units", [5, 3])
@pytest.mark.parametrize("inside", [False, True])
def test_a_backbone_whose_attributes_are_not_in_order_keeps_its_weights(units, inside):
    backbone = LastLayerFirst(units)
    assert backbone.weights[0].path == "last/kernel"
    if inside:
        inputs = keras.Input((5,))
        backbone = keras.Model(inputs, keras.layers.Dense(4)(backbone(inputs)))
    copy = copied(backbone)
    x = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_array_equal(copy(x), backbone(x))


def test_a_backbone_of_low_rank_adaptation_goes_on_with_it():
    """Keras's loading of a layer sets both of its matrices to 0, which cannot learn."""
    layer = keras.layers.Dense(4)
    backbone = keras.Sequential([keras.Input((5,)), layer])
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 4)))
    copy = copied(backbone)
    for mine, given in zip(copy.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(mine, given)


@keras.saving.register_keras_serializable("keras_tricks_tests")
class Scaled(keras.Model):
    """A Functional model whose `call` does more than its graph."""

    def __init__(self, factor=10.0, **kwargs):
        self.factor = factor
        inputs = keras.Input((5,))
        super().__init__(inputs, keras.layers.Dense(4)(inputs), **kwargs)

    def call(self, inputs, **kwargs):
        return super().call(inputs, **kwargs) * self.factor + 1

    def get_config(self):
        return {"factor": self.factor, "name": self.name}


def inside(model):
    inputs = keras.Input((5,))
    return keras.Model(inputs, keras.layers.Dense(3)(model(inputs)))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("by_function", [False, True])
def test_a_model_with_a_call_of_its_own_is_called(nested, by_function, tmp_path):
    backbone = inside(Scaled(3.0)) if nested else Scaled(3.0)
    given = (lambda: backbone) if by_function else backbone
    hypermodel = HyperFineTune(given, 2, kind="image", epochs=1, stages=1)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("frozen_stages", 1)
    model = hypermodel.build(hp)
    x = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_array_equal(model.get_layer("backbone")(x), backbone(x))
    hypermodel.fit(hp, model, x, np.arange(6) % 2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


@keras.saving.register_keras_serializable("keras_tricks_tests")
class ScaledByAWeight(Scaled):
    def __init__(self, factor=10.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.weight = self.add_weight(shape=(), initializer="ones", name="weight")

    def call(self, inputs, **kwargs):
        return super().call(inputs, **kwargs) * self.weight


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("frozen", [0, 1])
def test_weights_of_the_model_itself_are_copied_and_frozen(nested, frozen):
    own = ScaledByAWeight()
    own.weight.assign(5.0)
    backbone = inside(own) if nested else own
    x = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_array_equal(copied(backbone)(x), backbone(x))
    hypermodel = HyperFineTune(backbone, 2, kind="image", stages=1, epochs=1)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("frozen_stages", frozen)
    model = hypermodel.build(hp)
    learning = [v.path for v in model.get_layer("backbone").trainable_variables]
    assert len(learning) == (0 if frozen else len(backbone.weights))
    hypermodel.fit(hp, model, x, np.arange(6) % 2, verbose=0)
    assert float(own.weight) == 5.0


def test_a_model_that_its_configuration_does_not_tell_of_needs_a_function():
    class Unknown(Scaled):
        def __init__(self, factor, units):
            super().__init__(factor)

        def get_config(self):
            return {"factor": self.factor}

    with pytest.raises(ValueError, match=r"'units'.* Pass a function that makes it"):
        copied(Unknown(2.0, 4))


# Layers that only their model's class can make.


@keras.saving.register_keras_serializable("keras_tricks_tests")
class Incomplete(keras.layers.Layer):
    """A layer of which Keras cannot make another one from its configuration."""

    def __init__(self, units=1, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(units, name="inner")

    def get_config(self):
        return keras.layers.Layer.get_config(self)

    def call(self, x):
        return self.inner(x)


@keras.saving.register_keras_serializable("keras_tricks_tests")
class ClassOfOneSOwn(keras.Model):
    def __init__(self, units=4, **kwargs):
        self.units = units
        inputs = keras.Input((5,))
        x = keras.layers.Dense(5, activation="tanh", name="first")(inputs)
        super().__init__(inputs, Incomplete(units, name="own")(x), **kwargs)

    def get_config(self):
        return {"units": self.units, "name": self.name, "trainable": self.trainable}


def trained_and_loaded(given, path, x):
    hypermodel = HyperFineTune(given, 2, kind="image", epochs=1, stages=2)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("frozen_stages", 1)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, np.arange(len(x)) % 2, verbose=0)
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    return hypermodel, model


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("by_function", [False, True])
def test_layers_that_only_their_class_can_make_are_kept_in_it(
    nested, by_function, tmp_path
):
    make = (lambda: inside(ClassOfOneSOwn())) if nested else ClassOfOneSOwn
    backbone = make()
    x = np.random.default_rng(0).normal(size=(6, 5))
    hypermodel, model = trained_and_loaded(
        make if by_function else backbone, tmp_path / "model.keras", x
    )
    trainable = [v.path for v in model.trainable_variables]
    assert not [path for path in trainable if "first" in path]
    assert len(trainable) >= 2
    fresh = hypermodel.build(keras_tuner.HyperParameters()).get_layer("backbone")
    if not by_function:
        np.testing.assert_array_equal(fresh(x), backbone(x))


class OfOtherSize(ClassOfOneSOwn):
    def get_config(self):
        return {"units": self.units + 1}


class NotRegistered(Scaled):
    pass


def test_a_class_whose_configuration_makes_other_layers_needs_a_function():
    with pytest.raises(ValueError, match="Pass a function that makes it"):
        copied(OfOtherSize())


@pytest.mark.parametrize("make", [OfOtherSize, NotRegistered])
def test_a_backbone_of_which_no_file_will_load_is_told_of_once(make):
    hypermodel = HyperFineTune(make, 2, kind="image", total_steps=10)
    hp = keras_tuner.HyperParameters()
    with pytest.warns(UserWarning, match="load_weights"):
        hypermodel.build(hp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hypermodel.build(hp)


# What does not learn.


def attention_with(freeze):
    inputs = keras.Input((5, 4))
    layer = keras.layers.MultiHeadAttention(2, 3, name="attention")
    backbone = keras.Model(inputs, layer(inputs, inputs))
    freeze(layer)
    return backbone


def query_alone(layer):
    layer.query_dense.trainable = False


def one_kernel(layer):
    layer.query_dense.kernel.trainable = False


def all_but_the_query(layer):
    layer.trainable = False
    layer.query_dense.trainable = True


def all_of_it(layer):
    layer.trainable = False


@pytest.mark.parametrize(
    "freeze", [query_alone, one_kernel, all_but_the_query, all_of_it]
)
def test_what_is_frozen_inside_of_a_layer_does_not_learn(freeze, tmp_path):
    backbone = attention_with(freeze)
    expected = [v.path for v in backbone.trainable_variables]
    assert len(expected) < 8
    hypermodel = HyperFineTune(backbone, 2, kind="image", epochs=1)
    x = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("float32")
    model, _ = fit(hypermodel, x, np.arange(6) % 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for trained in (model, loaded):
        found = trained.get_layer("backbone")
        assert [v.path for v in found.trainable_variables] == expected
    moved = [
        v.path
        for v, old in zip(found.weights, backbone.weights, strict=True)
        if not np.array_equal(v, old)
    ]
    assert set(moved) <= set(expected)
    again = copied(found)
    assert [v.path for v in again.trainable_variables] == expected


def test_what_was_frozen_in_a_backbone_that_keras_loaded_does_not_learn(tmp_path):
    """Keras's own file says of the layer alone that it is frozen."""
    attention_with(all_of_it).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("attention").query_dense.trainable
    assert not copied(loaded).trainable_variables


@pytest.mark.parametrize("inside", [False, True])
def test_a_cell_that_is_frozen_does_not_learn(inside):
    lstm = keras.layers.LSTM(3)
    inner = keras.Sequential([keras.Input((5, 4)), lstm])
    lstm.cell.trainable = False
    inputs = keras.Input((5, 4))
    backbone = keras.Model(inputs, inner(inputs)) if inside else inner
    assert not copied(backbone).trainable_variables


# Numbers.


@pytest.mark.parametrize("unit", [1e-20, 1e-30, 1.0, 1e25, 1e36])
def test_the_rmse_of_targets_of_any_size_is_scikit_learn_s(unit):
    y = (X[:, 0] * unit).astype("float32")
    model, _ = fit(made(HyperMLP, epochs=2), X, y)
    found = model.evaluate(X, y, verbose=0, return_dict=True)["rmse"]
    predicted = model.predict(X, verbose=0)[:, 0].astype("float64")
    expected = sklearn.metrics.root_mean_squared_error(y.astype("float64"), predicted)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_rmse_of_usual_targets_has_the_bits_of_keras_s():
    model, _ = fit(made(HyperMLP, epochs=2), X, PRICES)
    metric = keras.metrics.RootMeanSquaredError()
    metric.update_state(PRICES[:, None], model.predict(X, verbose=0))
    found = model.evaluate(X, PRICES, batch_size=300, verbose=0, return_dict=True)
    assert found["rmse"] == float(metric.result())


def test_examples_of_weight_0_do_not_count_for_mean_and_deviation():
    y = np.where(np.arange(300) < 150, 1e6, PRICES)
    weights = (np.arange(300) >= 150).astype("float32")
    hypermodel = made(HyperMLP, epochs=1)
    batches = [
        (X[part], y[part], weights[part]) for part in (slice(0, 100), slice(100, 300))
    ]

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return batches[index]

    for args, kwargs in (
        ((X, y), {"sample_weight": weights}),
        ((X, y), {"sample_weight": weights[:, None]}),
        ((Batches(),), {}),
    ):
        fit(hypermodel, *args, **kwargs)
        [mean] = hypermodel._known_of_labels.mean
        assert mean == pytest.approx(PRICES[150:].mean(), rel=1e-6)


def test_constant_targets_are_said_to_be_constant():
    with pytest.raises(ValueError, match="deviation of the targets is 0"):
        fit(made(HyperMLP), X, np.full(300, 1e9))


# Arguments.

CLASSES = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"class_weight": {"0": 1.0, "1": 50.0}}, "'0': 1.0"),
        ({"class_weight": {0: 1.0, 7: 2.0}}, "7: 2.0"),
        ({"class_weight": {0: 1.0, 1: np.nan}}, "1: nan"),
        ({"class_weight": {0: -1.0}}, "0: -1.0"),
        ({"sample_weight": np.where(np.arange(300) == 7, np.nan, 1)}, "nan in row 7"),
        (
            {"validation_data": (X, CLASSES, np.full(300, np.inf))},
            "weights of the examples of `validation_data",
        ),
        ({"validation_data": (X,)}, "`validation_data` must be"),
        ({"validation_split": 1.0}, "`validation_split`"),
        ({"validation_split": -0.1}, "`validation_split`"),
        ({"validation_split": 0.999}, "leave examples to train on"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch`"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_an_argument_of_fit_is_refused_by_its_own_name(kwargs, message):
    with pytest.raises(ValueError, match=message):
        fit(HyperMLP((4,), 2, epochs=1), X, CLASSES, **kwargs)


@pytest.mark.parametrize(
    "kwargs", [{"batch_size": "all"}, {"epochs": 2.5}, {"validation_split": "0.2"}]
)
def test_an_argument_of_fit_that_is_no_number_is_refused_by_its_name(kwargs):
    with pytest.raises((TypeError, ValueError), match=f"`{next(iter(kwargs))}`"):
        fit(HyperMLP((4,), 2), X, CLASSES, **kwargs)


def test_class_numbers_of_numpy_are_class_numbers():
    weights = {np.int64(0): 1, np.int32(1): np.float32(2)}
    _, found = fit(HyperMLP((4,), 2, epochs=1), X, CLASSES, class_weight=weights)
    _, plain = fit(HyperMLP((4,), 2, epochs=1), X, CLASSES, class_weight={0: 1, 1: 2})
    assert found["loss"] == plain["loss"]


def test_a_dataset_without_labels_is_refused():
    class Inputs(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[:32]

    with pytest.raises(ValueError, match=r"\(inputs, labels\)"):
        fit(HyperMLP((4,), 2, epochs=1), Inputs())


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_masked_labels_are_refused(task):
    labels = np.ma.masked_array(CLASSES, mask=np.arange(300) == 3)
    num_classes = 2 if task == "classification" else None
    with pytest.raises(ValueError, match="1 entries masked"):
        fit(HyperMLP((4,), num_classes, task=task, epochs=1), X, labels)


def test_wrong_names_are_refused_by_the_constructor():
    with pytest.raises(TypeError, match="learning_rat"):
        HyperMLP((4,), 2, optimizer_arguments={"learning_rat": 0.1})
    with pytest.raises(TypeError, match="names that are strings"):
        HyperJoin({1: HyperMLP((4,), 2), "b": HyperMLP((4,), 2)}, 2)


def test_an_optimizer_of_one_s_own_has_arguments_of_its_own():
    class Own(HyperMLP):
        def optimizer(self, hp, total_steps):
            return keras.optimizers.SGD(**self.optimizer_arguments)

    hypermodel = Own((4,), 2, total_steps=1, optimizer_arguments={"nesterov": True})
    assert hypermodel.build(keras_tuner.HyperParameters()).optimizer.nesterov


# Searches.


@pytest.mark.parametrize("reuse_programs", [True, False])
def test_a_build_that_compiles_nothing_ends_the_search_with_the_remedy(
    reuse_programs, tmp_path
):
    tuner = tuners.RandomSearch(
        HyperMLP((4,), 2, epochs=1).build,
        "loss",
        max_trials=2,
        directory=tmp_path,
        reuse_programs=reuse_programs,
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match="total_steps"):
        tuner.search(X, CLASSES, verbose=0)


def test_a_build_that_knows_the_steps_is_searched(tmp_path):
    build = HyperMLP((4,), 2, total_steps=10).build
    tuner = tuners.RandomSearch(build, "loss", max_trials=2, directory=tmp_path)
    tuner.search(X, CLASSES, verbose=0)
    assert len(tuner.leaderboard()) == 2


@pytest.mark.parametrize("name", ["splits", "max_trials", "packed_trials"])
def test_an_argument_of_the_tuner_is_refused_by_search(name, tmp_path):
    tuner = tuners.RandomSearch(HyperMLP((4,), 2), "loss", directory=tmp_path)
    with pytest.raises(TypeError, match=f"`{name}` is an argument of RandomSearch"):
        tuner.search(X, CLASSES, verbose=0, **{name: 3})


def test_categories_that_have_become_texts_are_told_of():
    frame = pd.DataFrame({"size": X[:, 0], "zone": np.arange(300) % 3})
    hypermodel = HyperTable(frame, 2, kinds={"zone": "category"}, epochs=1)
    model, _ = fit(hypermodel, frame, CLASSES)
    hypermodel.inputs_for(model, frame)
    with pytest.warns(UserWarning, match="'zone' occurred"):
        hypermodel.inputs_for(model, frame.astype({"zone": str}))
