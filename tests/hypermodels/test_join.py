"""HyperJoin: several inputs by name, each with a space of its own."""

import warnings

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperCNN
from keras_tricks.hypermodels import HyperFineTune
from keras_tricks.hypermodels import HyperJoin
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels import HyperTable
from keras_tricks.hypermodels import HyperTextCNN
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.parameters.keras_hooks import all_layers
from tests.hypermodels import cases

JOIN = cases.CASES["HyperJoin"]
X, Y = JOIN.data(48)


def two(**kwargs):
    first, second = HyperMLP((6,), 2), HyperMLP((6,), 2)
    return HyperJoin({"first": first, "second": second}, 3, **kwargs)


def fit(hypermodel, *args, hp=None, **kwargs):
    hp = keras_tuner.HyperParameters() if hp is None else hp
    keras.utils.set_random_seed(0)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, *args, epochs=1, verbose=0, **kwargs)
    return model


def test_two_of_a_kind_have_values_of_their_own():
    hp = cases.fixed(**{"first/units": 16, "second/units": 64, "units": 32})
    model = two(plain=True, total_steps=1).build(hp)
    sizes = [
        layer.units
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.Dense)
    ]
    assert sorted(sizes) == [3, 16, 32, 64]
    names = [each.name for each in hp.space]
    assert len(names) == len(set(names))
    # The optimizer's, the loss's and the head's are the join's.
    assert {n for n in names if "rate" in n} == {"learning_rate"}
    assert {"first/layers", "second/layers", "layers"} <= set(names)


@pytest.mark.usefixtures("uncompiled")
def test_the_head_has_the_features_of_all_side_by_side():
    """By hand: a dense layer of each input, joined, and the last layer."""
    draw = np.random.default_rng(0)
    x = {name: draw.normal(size=(5, 6)).astype("float32") for name in ("a", "b")}
    trunks = {name: HyperMLP((6,), 2, plain=True) for name in x}
    hp = cases.fixed(**{"a/units": 16, "b/units": 16, "layers": 0})
    model = HyperJoin(trunks, 3, plain=True, total_steps=1).build(hp)
    weights = [v.numpy() for v in model.trainable_variables]
    found = []
    for name, (kernel, bias) in zip(x, (weights[:2], weights[2:4]), strict=True):
        found.append(np.maximum(x[name] @ kernel + bias, 0))
    expected = np.concatenate(found, axis=1) @ weights[4] + weights[5]
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4)


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = two(total_steps=1).build(keras_tuner.HyperParameters())
        model(dict.fromkeys(("first", "second"), X["table"]))


@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_examples_come_by_name_in_any_order(kind):
    hypermodel = JOIN.make(plain=True, batch_size=16)
    turned = dict(reversed(X.items()))
    one = fit(hypermodel, X, Y, shuffle=False)
    if kind == "arrays":
        other = fit(hypermodel, turned, Y, shuffle=False)
    else:
        batches = tf.data.Dataset.from_tensor_slices((turned, Y)).batch(16)
        other = fit(hypermodel, batches)
    for now, then in zip(one.get_weights(), other.get_weights(), strict=True):
        # Keras adds up the gradients of a word in any order.
        np.testing.assert_allclose(now, then, rtol=1e-4, atol=1e-6)


def test_an_input_that_is_a_dictionary_itself_stays_one():
    inputs = {"left": keras.Input((6,)), "right": keras.Input((6,))}
    backbone = keras.Model(inputs, keras.layers.Add()([*inputs.values()]))
    trunks = {"pair": HyperFineTune(backbone, 2), "table": HyperMLP((6,), 2)}
    table = X["table"]
    x = {"pair": {"left": table, "right": table}, "table": table}
    model = fit(HyperJoin(trunks, 3), x, Y)
    assert model.predict(x, verbose=0).shape == (48, 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([X["table"], X["text"]], r"a dictionary .*\['table', 'text'\].*list"),
        (X["table"], r"a dictionary .*ndarray"),
        (
            {"table": X["table"], "texts": X["text"]},
            r"none for \['text'\]\. Received: \['table', 'texts'\]",
        ),
        ({**X, "text": X["text"] + 1000}, "Token ids must be .*the id 1012"),
    ],
    ids=["a list", "an array", "a misspelt name", "ids out of range"],
)
def test_examples_that_no_input_takes_are_refused_before_training(x, message):
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        fit(JOIN.make(), x, Y)


def test_labels_are_checked_as_everywhere():
    with pytest.raises(ValueError, match="3 in row 2"):
        fit(JOIN.make(), X, Y + 1)


@pytest.mark.parametrize(
    ("trunks", "error", "message"),
    [
        ([HyperMLP((6,), 2)], TypeError, "a dictionary from names"),
        ({"a": HyperMLP((6,), 2)}, ValueError, "at least two"),
        ({"a": HyperMLP((6,), 2), "b": 3}, TypeError, r"trunks\['b'\]=3"),
        ({"a": HyperMLP((6,), 2), 5: HyperMLP((6,), 2)}, TypeError, "`trunks` must"),
        ({"a/b": HyperMLP((6,), 2), "c": HyperMLP((6,), 2)}, ValueError, "a slash"),
        (dict.fromkeys("ab", HyperMLP((6,), 2)), ValueError, "object of its own"),
    ],
    ids=["a list", "one", "no hypermodel", "a number", "a slash", "one twice"],
)
def test_what_cannot_be_joined_is_refused(trunks, error, message):
    with pytest.raises(error, match=message):
        HyperJoin(trunks, 3)


def test_a_hypermodel_of_one_s_own_is_joined():
    class Own(SupervisedHyperModel):
        def trunk(self, hp):
            inputs = keras.Input((6,))
            return inputs, keras.layers.Dense(hp.Int("width", 2, 8))(inputs)

    trunks = {"own": Own(2), "text": HyperTextCNN(cases.VOCABULARY_SIZE, 8, 2)}
    hp = keras_tuner.HyperParameters()
    x = {"own": X["table"], "text": X["text"]}
    fit(HyperJoin(trunks, 3), x, Y, hp=hp)
    assert hp.get("own/width") == 2


def test_two_texts_have_vocabularies_of_their_own():
    trunks = {
        name: HyperTextCNN(size, 8, 2) for name, size in (("title", 13), ("body", 50))
    }
    x = {"title": X["text"], "body": X["text"] + 30}
    model = fit(HyperJoin(trunks, 3), x, Y)
    sizes = [
        model.get_layer(f"{n}_network").get_layer("embedding").input_dim for n in trunks
    ]
    assert sizes == [13, 50]
    with pytest.raises(ValueError, match=r"Token ids .*the id 42"):
        fit(HyperJoin(trunks, 3), {"title": x["body"], "body": x["body"]}, Y)


STANDARD = {"numbers": "standard"}


def standardized(model):
    """The layer that knows the numbers of a table."""
    [layer] = [n for n in model.layers if type(n).__name__ == "StandardizedNumbers"]
    return layer


def test_frames_are_read_by_what_is_trained_on(tmp_path):
    """Two tables, whose numbers differ in size."""
    frame = cases.table(Y)
    frames = {"small": frame, "large": frame.assign(first=1000 * frame["first"])}
    trunks = {name: HyperTable(each, 2) for name, each in frames.items()}
    hypermodel = HyperJoin(trunks, 3, batch_size=16)
    hp = cases.fixed(**{f"{name}/numbers": "standard" for name in frames})
    model = fit(hypermodel, frames, Y, hp=hp, validation_split=0.25)
    for name, each in frames.items():
        alone = fit(HyperTable(each, 3), each[:36], Y[:36], hp=cases.fixed(**STANDARD))
        found = standardized(model.get_layer(f"{name}_network")).non_trainable_weights
        expected = standardized(alone).non_trainable_weights
        assert len(found) == len(expected) > 0
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    arrays = hypermodel.inputs_for(restored, frames)
    np.testing.assert_array_equal(
        restored.predict(arrays, verbose=0), model.predict(arrays, verbose=0)
    )


def test_what_changes_inside_is_seen_by_the_next_build():
    hypermodel, hp = two(total_steps=1), keras_tuner.HyperParameters()
    hypermodel.build(hp)
    hypermodel.trunks["first"].plain = True
    assert hypermodel.same_network(hp) is None
    model = hypermodel.build(keras_tuner.HyperParameters())
    norms = [n for n in all_layers(model) if "batch_norm" in n.name]
    assert len(norms) == 2


@pytest.mark.parametrize(
    "options", [{}, {"packed_trials": 4}], ids=["shared", "packed"]
)
def test_a_search_scores_as_one_that_trains_each_trial_alone(options, tmp_path):
    scores = []
    for number, own in enumerate(({"reuse_programs": False}, options)):
        hp = cases.fixed(**{"text/embedding_units": 64, "text/filters": 32})
        hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        for name in ("text/dropout", "dropout"):
            hp.Float(name, 0.0, 0.5)
        tuner = tuners.RandomSearch(
            JOIN.make(epochs=1, batch_size=16),
            "val_loss",
            max_trials=4,
            seed=0,
            hyperparameters=hp,
            tune_new_entries=False,
            directory=tmp_path / str(number),
            **own,
        )
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)
        trials = sorted(tuner.oracle.trials.values(), key=lambda t: t.trial_id)
        scores.append([trial.score for trial in trials])
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
    assert len(set(scores[0])) == 4
    if not options:
        assert len(tuner.programs.programs()) == 1


def test_an_image_beside_a_table_learns_what_neither_tells_alone():
    """The class is whether both agree: each alone is right half of the time."""
    draw = np.random.default_rng(0)
    bright, high = draw.integers(0, 2, size=(2, 400))
    images = draw.normal(size=(400, 8, 8, 1)) + 2 * bright[:, None, None, None]
    table = draw.normal(size=(400, 6)) * 0.1 + high[:, None]
    x = {"image": images.astype("float32"), "table": table.astype("float32")}
    labels = (bright == high).astype(int)
    trunks = {"image": HyperCNN((8, 8, 1), 2), "table": HyperMLP((6,), 2)}
    hypermodel = HyperJoin(trunks, 2, epochs=15, batch_size=16)
    hp = cases.fixed(**{"image/blocks": 1, "dropout": 0.0, "learning_rate": 0.01})
    keras.utils.set_random_seed(0)
    model = hypermodel.build(hp)
    train = {name: array[:300] for name, array in x.items()}
    rest = {name: array[300:] for name, array in x.items()}
    hypermodel.fit(hp, model, train, labels[:300], verbose=0)
    found = model.predict(rest, verbose=0).argmax(axis=1)
    assert np.mean(found == labels[300:]) > 0.9
