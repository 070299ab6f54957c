"""What holds for every hypermodel of the package."""

import functools
from typing import NamedTuple

import keras
import keras_tuner
import numpy as np
import pytest

import keras_tricks.hypermodels
from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import count_parameters
from tests import sampling
from tests.hypermodels import cases

EXTRAS = (
    ScalarDropout,
    keras.layers.Dropout,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
)


@pytest.fixture(params=cases.CASES)
def case(request):
    return cases.CASES[request.param]


@pytest.fixture
def dtype_policy():
    """`dtype_policy(name)` sets Keras's policy for the rest of the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def random_point(space, seed):
    hp = keras_tuner.HyperParameters()
    for number, parameter in enumerate(space.space):
        hp.values[parameter.name] = parameter.random_sample(1000 * seed + number)
    return hp


def corners(space):
    """All hyperparameters at their least values, and all at their largest."""
    for edge in (0.0, 1.0 - 1e-9):
        hp = keras_tuner.HyperParameters()
        for parameter in space.space:
            hp.values[parameter.name] = parameter.prob_to_value(edge)
        yield hp


def layers_of(model):
    for layer in model.layers:
        yield layer
        yield from layers_of(layer) if hasattr(layer, "layers") else ()


def test_every_public_hypermodel_is_in_the_suite():
    public = {
        name
        for name in keras_tricks.hypermodels.__all__
        for member in [getattr(keras_tricks.hypermodels, name)]
        if isinstance(member, type) and issubclass(member, keras_tuner.HyperModel)
    }
    assert public == set(cases.CASES)


def test_the_corners_of_the_space_build_with_the_parameters_counted_before(case):
    hypermodel = case.make(total_steps=10)
    for hp in corners(cases.space(case)):
        counted = count_parameters(lambda hp=hp: hypermodel.build(hp))
        model = hypermodel.build(hp)
        assert model.count_params() >= count_parameters(model) == counted
        assert model.output_shape == (None, cases.NUM_CLASSES)
        assert isinstance(model.optimizer, ClippedOptimizer)


def test_random_points_build_with_the_parameters_counted_before(case):
    """Eight are built without their weights, the first two with them."""
    hypermodel, space = case.make(total_steps=10), cases.space(case)
    points = [random_point(space, seed) for seed in range(8)]
    counts = [count_parameters(lambda hp=hp: hypermodel.build(hp)) for hp in points]
    built = [count_parameters(hypermodel.build(hp)) for hp in points[:2]]
    assert built == counts[:2]
    # The points differ in what the graph is made of, so they do in size.
    assert len(set(counts)) > 1


def test_building_anew_declares_nothing_new(case):
    hp = cases.space(case)
    declared = [parameter.name for parameter in hp.space]
    case.make(total_steps=10).build(hp)
    assert [parameter.name for parameter in hp.space] == declared
    # Two hyperparameters of one name would share a value.
    assert len(set(declared)) == len(declared)


# Of a layer, of a convolution, or of two heads: tracing and XLA take long for each.
SMALL = {"blocks": 1, "layers": 1, "filters": 32, "embedding_units": 64, "heads": 2}


class Trained(NamedTuple):
    """A model as it is after `fit`, and what it was before.

    Attributes:
        model: After two epochs on 120 of 160 examples, four at a time.
        data: All examples, as the model takes them, and their labels.
        loss_before: Of all examples, by NumPy from the logits.
        compiled_before: Whether `build` compiled the model.
    """

    model: keras.Model
    data: tuple[np.ndarray, np.ndarray]
    loss_before: float
    compiled_before: bool


@functools.cache
def train(case):
    keras.utils.set_random_seed(0)
    hypermodel = case.make(epochs=2, batch_size=4)
    hp = cases.fixed(learning_rate=0.01, **SMALL)
    x, y = case.data(160)
    model = hypermodel.build(hp)
    compiled = model.compiled
    training = cases.part(x, slice(120)), y[:120]
    _, given = hypermodel.fit_arguments(hp, *training, validation_data=(x, y))
    data = given["validation_data"]
    loss = cross_entropy(np.asarray(model(data[0])), y)
    hypermodel.fit(hp, model, *training, verbose=0)
    return Trained(model, data, loss, compiled)


@pytest.fixture
def trained(case):
    """What is trained once for all tests of the case."""
    return train(case)


def cross_entropy(logits, labels):
    logits = logits.astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean()


def test_short_training_lowers_the_loss_below_chance(trained):
    model, (x, y), loss_before, _ = trained
    logits = np.asarray(model(x))
    loss = cross_entropy(logits, y)
    assert loss < loss_before
    assert loss < np.log(cases.NUM_CLASSES) / 2
    assert np.mean(logits.argmax(axis=1) == y) > 0.8


def test_the_schedule_spans_the_updates_that_fit_makes(trained):
    """By hand: two epochs of 120 examples, four at a time."""
    model = trained.model
    assert not trained.compiled_before
    config = model.optimizer.inner_optimizer.get_config()["learning_rate"]["config"]
    assert int(model.optimizer.iterations) == config["decay_steps"] == 2 * 30


def final_losses(case, **compiling):
    """The losses of a short training, whose batches and weights are always the same."""
    batches = 2
    keras.utils.set_random_seed(0)
    # Dropout would draw other numbers in XLA, and in other dtypes.
    hp = cases.fixed(dropout=0.0, learning_rate=1e-3, **SMALL)
    hypermodel = case.make()
    fit = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}
    data, fit = hypermodel.fit_arguments(hp, *case.data(16 * batches), **fit)
    model = hypermodel.build(hp)
    for name, value in compiling.items():
        setattr(model, name, value)
    return model.fit(*data, **fit).history["loss"]


@pytest.fixture(scope="module")
def graph_losses():
    """`graph_losses(case)` in float32, the reference of other ways to train."""
    return functools.cache(lambda case: final_losses(case, jit_compile=False))


# An encoder takes as long as the others together: its logits are compared, compiled and
# in mixed precision, in test_text_transformer.py.
some_cases = pytest.mark.parametrize(
    "case",
    sampling.only(["HyperMLP", "HyperCNN", "HyperTable"], cases.CASES),
    indirect=True,
)


@some_cases
def test_jit_compiled_training_equals_training_in_a_graph(case, graph_losses):
    compiled = final_losses(case, jit_compile=True)
    np.testing.assert_allclose(compiled, graph_losses(case), rtol=1e-4)


@pytest.mark.parametrize(
    "case", sampling.only(["HyperMLP"], cases.CASES), indirect=True
)
def test_eager_training_equals_training_in_a_graph(case, graph_losses):
    eager = final_losses(case, run_eagerly=True, jit_compile=False)
    np.testing.assert_allclose(eager, graph_losses(case), rtol=1e-4)


@some_cases
def test_training_in_mixed_precision_gives_nearly_the_losses_of_float32(
    case, graph_losses, dtype_policy
):
    full = graph_losses(case)
    dtype_policy("mixed_float16")
    mixed = final_losses(case)
    # Half precision keeps three digits.
    np.testing.assert_allclose(mixed, full, rtol=0.01)
    assert full[1] < full[0]
    assert mixed[1] < mixed[0]


def test_a_trained_model_is_saved_and_loaded(trained, uncompiled, tmp_path):
    model, (x, y), *_ = trained
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x), model(x))
    losses = [m.evaluate(x, y, len(x), verbose=0) for m in (restored, model)]
    assert losses[0] == losses[1]


def test_a_plain_model_has_neither_dropout_nor_norms(case):
    hp = keras_tuner.HyperParameters()
    plain = case.make(plain=True).build(hp)
    assert not [layer for layer in layers_of(plain) if isinstance(layer, EXTRAS)]
    assert not {"dropout", "norm"} & {parameter.name for parameter in hp.space}
    # What is left out is there by default.
    default = case.make().build(keras_tuner.HyperParameters())
    assert [layer for layer in layers_of(default) if isinstance(layer, EXTRAS)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_classes": 0},
        {"num_classes": 1},
        {"num_classes": -3},
        {"batch_size": 0},
        {"epochs": 0},
        {"epochs": 1.5},
        {"total_steps": -1},
        {"patience": 0},
    ],
    ids=str,
)
def test_numbers_out_of_their_range_are_refused_in_the_constructor(case, wrong):
    [(name, value)] = wrong.items()
    minimum = 2 if name == "num_classes" else 1
    message = rf"`{name}` must be a whole number >= {minimum}. Received: .*{value}"
    with pytest.raises(ValueError, match=message):
        case.make(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"num_classes": "3"}, {"epochs": None}, {"plain": 1}], ids=str
)
def test_arguments_of_another_type_are_refused_in_the_constructor(case, wrong):
    [name] = wrong
    with pytest.raises(TypeError, match=f"`{name}` must be"):
        case.make(**wrong)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "hinge", "`loss` must be one of 'cross_entropy', 'focal'"),
        ("optimizer", "rmsprop", "`optimizer` must be one of 'adam', 'nadam'"),
    ],
)
def test_an_unknown_name_is_refused_when_the_model_is_built(case, name, value, message):
    hp = cases.fixed(**{name: value})
    with pytest.raises(ValueError, match=message):
        case.make(total_steps=1).build(hp)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("num_examples", [1, 3])
def test_a_batch_larger_than_the_data_is_one_update(num_examples):
    case = cases.CASES["HyperMLP"]
    hypermodel, hp = case.make(epochs=2), keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), *case.data(num_examples), verbose=0)
    assert hypermodel.total_steps == 2
