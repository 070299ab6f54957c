"""Bad cases of classifiers whose errors are known."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn import datasets

from keras_tricks.diagnosis import bad_cases

# Of three classes; row 2 is wrong, row 4 least certain of those that are right.
PROBABILITIES = np.array(
    [
        [0.9, 0.05, 0.05],
        [0.1, 0.8, 0.1],
        [0.7, 0.2, 0.1],
        [0.0625, 0.0625, 0.875],
        [0.3, 0.4, 0.3],
    ]
)
LABELS = np.array([0, 1, 1, 2, 1])


def passing(activation=None):
    """Returns a model whose outputs are its inputs."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Activation(activation)])


PROBABLE = passing()


def test_cases_come_in_the_order_of_their_loss():
    found = bad_cases(PROBABLE, PROBABILITIES, LABELS, top=3)
    assert found.table["row"].tolist() == [2, 4, 1]
    np.testing.assert_allclose(found.table["loss"], -np.log([0.2, 0.4, 0.8]), rtol=1e-6)
    assert found.table["is_wrong"].tolist() == [True, False, False]
    assert found.accuracy == pytest.approx(0.8)
    assert found.confusions.to_dict("records") == [
        {"label": 1, "predicted": 0, "count": 1, "share": pytest.approx(1 / 3)}
    ]


@pytest.mark.parametrize(
    "y",
    [
        LABELS[:, None],
        LABELS.tolist(),
        LABELS.astype("float32"),
        np.eye(3)[LABELS],
        pd.Series(LABELS, index=range(9, 4, -1)),
        tf.constant(LABELS),
    ],
    ids=lambda y: f"{type(y).__name__}",
)
def test_labels_in_any_form_are_the_same_labels(y):
    expected = bad_cases(PROBABLE, PROBABILITIES, LABELS).table
    pd.testing.assert_frame_equal(bad_cases(PROBABLE, PROBABILITIES, y).table, expected)


def test_logits_are_told_from_probabilities():
    found = bad_cases(PROBABLE, np.log(PROBABILITIES) + 3.0, LABELS).table
    expected = bad_cases(PROBABLE, PROBABILITIES, LABELS).table
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


@pytest.mark.parametrize("outputs", [[0.9, 0.2, 0.6], [2.197225, -1.386294, 0.405465]])
def test_one_output_stands_for_the_second_class(outputs):
    """As a probability, and as its logit."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation(None)])
    found = bad_cases(model, np.array(outputs)[:, None], [1, 1, 0]).table
    assert found["row"].tolist() == [1, 2, 0]
    np.testing.assert_allclose(found["of_label"], [0.2, 0.4, 0.9], rtol=1e-5)


def test_classes_have_their_names_and_text_from_outside_is_escaped():
    names = ["<script>", "b", "c"]
    found = bad_cases(PROBABLE, PROBABILITIES, LABELS, class_names=names)
    assert found.table["predicted"][0] == "<script>"
    shown = found._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "<th>0</th>" not in shown  # Numbers of lines say nothing.


def test_tokens_are_shown_as_their_words():
    tokens = np.array([[1, 2, 0], [2, 9, 1]])
    inputs = keras.Input((3,), dtype="int32")
    zeros = keras.layers.Lambda(lambda x: keras.ops.cast(x[:, :2], "float32") * 0.0)
    model = keras.Model(inputs, zeros(inputs))
    words = ["", "good", "<film>"]
    shown = bad_cases(model, tokens, [0, 1], vocabulary=words)._repr_html_()
    assert "good &lt;film&gt;</td>" in shown
    assert "&lt;film&gt; [9] good</td>" in shown


@pytest.fixture(scope="module")
def flipped():
    """Digits of which 3 % have a wrong label, judged out of fold, and these rows."""
    x, y = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.choice(len(y), 54, replace=False)
    y[rows] = (y[rows] + rng.integers(1, 10, 54)) % 10
    images = (x / 16.0).astype("float32").reshape(-1, 8, 8)

    def build():
        layers = [
            keras.Input((8, 8)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss)
        return model

    return bad_cases(build, images, y, epochs=15, batch_size=64), {*rows}, images, y


def test_nine_of_ten_flipped_labels_are_found_among_as_many_rows(flipped):
    found, rows, *_ = flipped
    likely = set(found.likely_label_errors["row"][: len(rows)])
    assert len(likely & rows) >= 0.9 * len(rows)
    assert len(found.likely_label_errors) <= 1.3 * len(rows)
    assert found.is_out_of_fold


def test_frequent_kinds_are_added_without_likely_label_errors(flipped):
    found, _, images, y = flipped
    more_x, more_y = found.add_to(images, y, times=2, least=5)
    added = len(more_y) - len(y)
    assert added > 0
    assert added % 2 == 0
    np.testing.assert_array_equal(more_x[: len(y)], images)
    half = added // 2
    np.testing.assert_array_equal(more_y[-half:], more_y[len(y) : -half])
    pairs = found.confusions[found.confusions["count"] >= 5]
    assert set(more_y[len(y) :]) <= set(pairs["label"])
    everything = found.add_to(images, y, least=1, leaves_label_errors=False)[1]
    assert len(everything) - len(y) == found.confusions["count"].sum()


def test_folds_are_trained_in_silence_with_their_weights(capsys):
    """Of weights 0 nothing is learned: each fold predicts as its first weights do."""
    x, y = np.random.default_rng(0).normal(size=(20, 2)), np.tile([0, 1], 10)
    built = []

    def build():
        built.append(True)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    def table(**arguments):
        return bad_cases(build, x, y, **{"folds": 2, **arguments}).table

    untrained = table(epochs=3, sample_weight=np.zeros(20))
    assert not capsys.readouterr().out
    pd.testing.assert_frame_equal(
        untrained, table(epochs=1, sample_weight=0.0 * x[:, 0])
    )
    assert (untrained["loss"] != table(epochs=3)["loss"]).any()
    built.clear()
    bad_cases(build, x, y)
    assert len(built) == 5


def test_images_are_shown(flipped):
    found, *_ = flipped
    assert found._repr_html_().count("data:image/png;base64,") == 20
    titles = [axes.get_title() for axes in found.plot().axes]
    assert titles[0].startswith(f"row {found.table['row'][0]}\n")
    assert len(titles) == 20


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (1, 2, 3), (1, 2, 4)])
def test_images_are_shown_from_black_to_white(shape):
    images = 2.0 * np.arange(3 * np.prod(shape)).reshape(3, *shape) - 5.0
    images[2] = 7.0
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Flatten()(inputs)[:, :2])
    found = bad_cases(model, images, [0, 0, 0])
    assert found._repr_html_().count("data:image/png;base64,") == 3
    axes = found.plot().axes
    shown = np.stack([one.images[0].get_array() for one in axes])
    rising = np.linspace(0.0, 1.0, np.prod(shape)).reshape(shown.shape[1:])
    # The two classes are as likely in the last one, which comes after the others.
    np.testing.assert_allclose(shown, [rising, rising, 0.0 * rising])


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2), (2, 2, 5), (2, 2, 1, 1)])
def test_what_is_no_image_is_not_plotted(shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Flatten()(inputs)[:, :2])
    found = bad_cases(model, np.ones((3, *shape)), [0, 0, 0])
    with pytest.raises(ValueError, match=r"needs images.*Received: an array of shape"):
        found.plot()


def test_rows_of_frames_and_of_nests_are_added(tmp_path):
    frame = pd.DataFrame(PROBABILITIES, columns=list("abc"), index=range(5, 10))
    x = {"a": frame["a"], "rest": frame[["b", "c"]]}
    inputs = {"a": keras.Input((1,), name="a"), "rest": keras.Input((2,), name="rest")}
    model = keras.Model(inputs, keras.layers.Concatenate()([*inputs.values()]))
    found = bad_cases(
        model, {k: v.to_numpy().reshape(5, -1) for k, v in x.items()}, LABELS
    )
    assert found.table["row"][0] == 2
    found.to_csv(tmp_path / "cases.csv")
    assert pd.read_csv(tmp_path / "cases.csv")["row"].tolist() == [*found.table["row"]]
    kept = bad_cases(PROBABLE, frame.to_numpy(), LABELS)
    more, labels = kept.add_to(frame.to_numpy(), LABELS, least=1)
    np.testing.assert_array_equal(more[5:], PROBABILITIES[[2]])
    assert labels[5:].tolist() == [1]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["cat", "dog", "cat", "cat", "dog"], "class numbers 0, 1, .*return_inverse"),
        ([1, 2, 3, 1, 2], "class numbers below 3.*Received: 3 in row 2"),
        ([0, 1, 7, 0, 0], "class numbers below 3.*Received: 7 in row 2"),
        ([0, 1, -1, 0, 0], "Received: -1 in row 2"),
        ([0.0, np.nan, 0.5, 0.0, 0.0], "Received: nan in row 1"),
        ([0, 1], "one label for each row. Received: 5 rows in `x`, and 2"),
        (np.full((5, 3), 0.5), "or one-hot rows.*Received: row 0"),
        ([[0, 1], [1], [1], [0], [1]], "class numbers 0, 1, .*Received: y="),
    ],
)
def test_labels_that_are_none_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        bad_cases(PROBABLE, PROBABILITIES, y)


def test_models_that_do_not_classify_are_refused():
    broken = PROBABILITIES.copy()
    broken[1] = np.nan
    with pytest.raises(ValueError, match=r"finite numbers.*for row 1"):
        bad_cases(PROBABLE, broken, LABELS)
    inputs = keras.Input((3,))
    same = keras.layers.Identity()
    two = keras.Model(inputs, [same(inputs), same(inputs)])
    with pytest.raises(ValueError, match="one number a class"):
        bad_cases(two, PROBABILITIES, LABELS)
    with pytest.raises(TypeError, match="Received: epochs"):
        bad_cases(PROBABLE, PROBABILITIES, LABELS, epochs=3)
    with pytest.raises(ValueError, match="rarest class, 1"):
        bad_cases(passing, PROBABILITIES, LABELS)
    with pytest.raises(TypeError, match="a function that returns None"):
        bad_cases(lambda: None, np.tile(PROBABILITIES, (9, 1)), np.tile(LABELS, 9))


def test_datasets_are_refused():
    data = tf.data.Dataset.from_tensor_slices((PROBABILITIES, LABELS)).batch(2)
    with pytest.raises(TypeError, match="`x` must be an array"):
        bad_cases(PROBABLE, data, LABELS)


def test_ten_lines_of_each_table_are_printed_and_all_cases():
    """Twelve classes, each row taken for the next one, with labels likely wrong."""
    labels = np.repeat(np.arange(12), 2)
    outputs = 0.6 * np.eye(12)[labels] + 0.4 * np.eye(12)[(labels + 1) % 12]
    outputs[1::2] = (
        0.123456 * np.eye(12)[labels[1::2]]
        + 0.876544 * np.eye(12)[(labels[1::2] + 1) % 12]
    )
    inputs = keras.Input((12,))
    found = bad_cases(keras.Model(inputs, inputs), outputs, labels)
    assert len(found.table) == 20
    assert len(found.confusions) == len(found.likely_label_errors) == 12
    text = str(found)
    # Three heads, their titles and two empty lines; 20, 10 and 10 rows.
    assert len(text.splitlines()) == 2 + 20 + 3 + 10 + 3 + 10
    assert text.startswith("50.00% right by the model; the worst:\n")
    assert "0.1235" in text
    assert "0.12346" not in text
    html = found._repr_html_()
    assert html.count("<tr>") == 20 + 10 + 10
    assert "0.1235" in html
    assert "0.12346" not in html
    assert "<p>12 labels are likely wrong</p>" in html


def test_images_stand_in_rows_of_eight():
    images = np.random.default_rng(0).normal(size=(10, 2, 2))
    inputs = keras.Input((2, 2))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs)[:, :2])
    for top, grid in ((9, (2, 8)), (8, (1, 8)), (3, (1, 3))):
        figure = bad_cases(model, images, [0] * 10, top=top).plot()
        places = [axes.get_subplotspec() for axes in figure.axes]
        assert {one.get_gridspec().get_geometry() for one in places} == {grid}
        assert [one.num1 for one in places] == [*range(top)]


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        ({}, [2, 4]),
        ({"least": 1}, [2, 3, 4]),
        ({"least": 3}, []),
        ({"times": 2}, [2, 4, 2, 4]),
    ],
)
def test_kinds_of_two_cases_are_added_once(arguments, added):
    """Rows 2 and 4 are taken for the same class, row 3 for another one."""
    taken, labels = np.array([0, 1, 0, 2, 0]), np.array([0, 1, 1, 1, 1])
    outputs = 0.1 + 0.7 * np.eye(3)[taken]
    found = bad_cases(PROBABLE, outputs, labels)
    more, _ = found.add_to(
        np.arange(15.0).reshape(5, 3), labels, leaves_label_errors=False, **arguments
    )
    np.testing.assert_array_equal(more[5:], outputs[added])
