"""What holds for every hypermodel of the package."""

import keras
import keras_tuner
import numpy as np
import pytest

import keras_tricks.hypermodels
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.base import HyperClassifier
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import count_parameters

# Public name -> (function that builds one, shape of one example, hand-counted
# parameters of the default model).
HYPERMODELS = {
    "HyperMLP": (
        lambda **kwargs: HyperMLP((6,), 3, **kwargs),
        (6,),
        (6 * 128 + 128) + (128 * 3 + 3),
    ),
}

every_hypermodel = pytest.mark.parametrize(
    ("build", "shape", "parameters"), HYPERMODELS.values(), ids=HYPERMODELS
)


def toy_data(shape, num_examples=96):
    """Three classes that lie apart."""
    labels = np.arange(num_examples) % 3
    noise = np.random.default_rng(0).normal(size=(num_examples, *shape))
    return (noise + 4 * labels.reshape(-1, *[1] * len(shape))).astype("float32"), labels


def random_hyperparameters(hypermodel, seed):
    space = keras_tuner.HyperParameters()
    hypermodel.build(space)
    hp = keras_tuner.HyperParameters()
    for number, parameter in enumerate(space.space):
        hp.values[parameter.name] = parameter.random_sample(1000 * seed + number)
    return hp


def corners(hypermodel):
    """All hyperparameters at their least, and all at their largest, values."""
    space = keras_tuner.HyperParameters()
    hypermodel.build(space)
    for edge in (0.0, 1.0 - 1e-9):
        hp = keras_tuner.HyperParameters()
        for parameter in space.space:
            hp.values[parameter.name] = parameter.prob_to_value(edge)
        yield hp


def test_every_public_hypermodel_is_in_the_suite():
    public = {
        name
        for name in keras_tricks.hypermodels.__all__
        if isinstance(getattr(keras_tricks.hypermodels, name), type)
    }
    assert public == set(HYPERMODELS)


@every_hypermodel
def test_the_default_model_has_the_hand_counted_parameters(build, shape, parameters):
    model = build().build(keras_tuner.HyperParameters())
    assert count_parameters(model) == parameters


@every_hypermodel
def test_corners_and_random_points_build_with_one_logit_a_class(
    build, shape, parameters
):
    hypermodel = build(total_steps=10)
    points = [random_hyperparameters(hypermodel, seed) for seed in range(10)]
    for hp in [*corners(hypermodel), *points]:
        model = hypermodel.build(hp)
        assert model.output_shape == (None, 3)
        assert isinstance(model.optimizer, ClippedOptimizer)


@every_hypermodel
def test_training_learns_what_can_be_learnt(build, shape, parameters):
    """Chance is a loss of ln 3 and a third of the labels."""
    keras.utils.set_random_seed(0)
    hypermodel, hp = build(epochs=40), keras_tuner.HyperParameters()
    hp.Fixed("learning_rate", 0.01)
    x, y = toy_data(shape)
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, x, y, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert loss < np.log(3) / 2
    assert accuracy > 0.8


@every_hypermodel
def test_the_schedule_spans_the_updates_that_fit_makes(build, shape, parameters):
    hypermodel, hp = build(epochs=3, batch_size=10), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, *toy_data(shape), validation_split=0.25, verbose=0)
    config = model.optimizer.inner_optimizer.get_config()["learning_rate"]["config"]
    assert int(model.optimizer.iterations) == config["decay_steps"] == 3 * 8


@every_hypermodel
def test_jit_compiled_training_equals_graph_training(build, shape, parameters):
    def losses(jit_compile):
        keras.utils.set_random_seed(0)
        hypermodel, hp = build(epochs=2), keras_tuner.HyperParameters()
        hp.Fixed("dropout", 0.0)  # XLA draws other random numbers.
        hp.Fixed("learning_rate", 1e-3)
        model = hypermodel.build(hp)
        x, y = toy_data(shape)
        hypermodel.total_steps = 6
        model = hypermodel.build(hp)
        model.jit_compile = jit_compile
        return model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


@every_hypermodel
def test_a_trained_model_is_saved_and_loaded(build, shape, parameters, tmp_path):
    hypermodel, hp = build(epochs=1), keras_tuner.HyperParameters()
    x, y = toy_data(shape)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        restored.predict(x, verbose=0), model.predict(x, verbose=0)
    )


@every_hypermodel
@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"epochs": 0}, {"total_steps": -1}, {"epochs": 1.5}],
    ids=str,
)
def test_bad_run_lengths_are_refused_in_the_constructor(
    build, shape, parameters, wrong
):
    [name] = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number"):
        build(**wrong)


@pytest.mark.parametrize("num_classes", [0, 1, -3])
def test_fewer_than_two_classes_are_refused(num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be a whole number >= 2"):
        HyperMLP((4,), num_classes)


def test_a_dataset_of_unknown_length_is_refused_with_the_remedy():
    import tensorflow as tf

    hypermodel, hp = HyperMLP((6,), 3), keras_tuner.HyperParameters()
    endless = tf.data.Dataset.from_tensor_slices(toy_data((6,))).batch(8).repeat()
    model = hypermodel.build(hp)
    with pytest.raises(ValueError, match="pass `steps_per_epoch`"):
        hypermodel.fit(hp, model, endless)
    hypermodel.fit(hp, model, endless, steps_per_epoch=2, epochs=1, verbose=0)
    assert hypermodel.total_steps == 2


def test_the_base_class_asks_for_a_network():
    with pytest.raises(NotImplementedError, match=r"implement `network\(hp\)`"):
        HyperClassifier(2).build(keras_tuner.HyperParameters())
