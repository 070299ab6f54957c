"""The table's numbers against counts by hand, Keras's own, and arrays that exist."""

import csv
import html.parser
import json
import math

import hypothesis
import keras
import pytest
import rich.console
from hypothesis import strategies as st

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import parameter_table

layers = keras.layers
optimizers = keras.optimizers


def classifier():
    """4 * 3 + 3 weights, then 2 * 3 and 2 * 3 moving ones, then 3 * 2 + 2."""
    backbone = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, name="dense"),
            layers.BatchNormalization(name="norm"),
        ],
        name="backbone",
    )
    inputs = keras.Input((4,))
    outputs = layers.Dense(2, name="head")(backbone(inputs))
    return keras.Model(inputs, outputs, name="classifier")


def attention():
    inputs = keras.Input((5, 8))
    attended = layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    return keras.Model(inputs, attended, name="decoder")


def shared():
    """One layer of 5 * 5 + 5 weights in two models, of which one has 5 + 1 more."""
    layer = layers.Dense(5, name="shared")
    first = keras.Sequential([keras.Input((5,)), layer], name="first")
    second = keras.Sequential(
        [keras.Input((5,)), layer, layers.Dense(1, name="own")], name="second"
    )
    left, right = keras.Input((5,)), keras.Input((5,))
    return keras.Model([left, right], [first(left), second(right)], name="siamese")


class Scaled(keras.Model):
    """Weights of its own beside an inner layer's: 3 and 2 * 3 + 3."""

    def __init__(self):
        super().__init__(name="scaled")
        self.dense = layers.Dense(3, name="dense")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.scale = self.add_weight(shape=(3,), name="scale")

    def call(self, inputs):
        return self.dense(inputs) * self.scale


def scaled():
    model = Scaled()
    model.build((None, 2))
    return model


def recurrent():
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both"),
            layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)], name="stack"),
        ],
        name="recurrent",
    )


def preprocessed():
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Normalization(name="normalization"),
            layers.TimeDistributed(layers.Dense(2), name="each"),
            layers.Dropout(0.5, seed=0),
        ],
        name="preprocessed",
    )


def frozen():
    model = classifier()
    model.get_layer("backbone").trainable = False
    return model


def lone_layer():
    layer = layers.Dense(2, name="lone")
    layer.build((None, 3))
    return layer


MODELS = {
    make.__name__: make
    for make in (
        classifier,
        attention,
        shared,
        scaled,
        recurrent,
        preprocessed,
        frozen,
        lone_layer,
    )
}

every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def array_bytes(variables):
    """What the values take, of variables that have some."""
    return sum(v.value.numpy().nbytes for v in variables)


def size(rows):
    return sum(row.trainable + row.frozen for row in rows)


def rows_of(table):
    return {row.path: (row.trainable, row.frozen) for row in table.rows}


def test_rows_equal_the_hand_count():
    table = parameter_table(classifier)
    assert rows_of(table) == {
        "backbone": (15 + 6, 6),
        "backbone/dense": (15, 0),
        "backbone/norm": (6, 6),
        "head": (8, 0),
    }
    assert [row.level for row in table.rows] == [0, 1, 1, 0]
    assert [row.bytes for row in table.rows] == [4 * n for n in (27, 15, 12, 8)]
    assert [row.share for row in table.rows] == [n / 35 for n in (27, 15, 12, 8)]
    assert table.rows[1].shapes == {"kernel": (4, 3), "bias": (3,)}
    assert {row.dtype for row in table.rows} == {"float32"}


@every_model
def test_totals_are_those_that_keras_counts(make):
    model = make()
    table = parameter_table(model)
    assert table.total == model.count_params()
    assert table.trainable == sum(math.prod(v.shape) for v in model.trainable_weights)
    assert table.weight_bytes == array_bytes(model.weights)
    assert table.gradient_bytes == array_bytes(model.trainable_weights)


@every_model
def test_top_level_rows_sum_to_the_total_at_any_depth(make):
    for depth in (None, 1, 2):
        table = parameter_table(make, depth=depth)
        top = [row for row in table.rows if row.level == 0]
        assert size(top) == table.total
        assert sum(row.bytes for row in top) == table.weight_bytes
        assert sum(row.share for row in top) == pytest.approx(1.0)


@every_model
def test_shapes_of_all_rows_account_for_each_parameter_once(make):
    table = parameter_table(make)
    shapes = [shape for row in table.rows for shape in row.shapes.values()]
    assert sum(map(math.prod, shapes)) == make().count_params()


@every_model
def test_depth_leaves_out_deeper_rows_and_changes_no_other(make):
    whole = parameter_table(make)
    for depth in (1, 2, 9):
        shallow = parameter_table(make, depth=depth)
        assert shallow.rows == tuple(row for row in whole.rows if row.level < depth)


@every_model
@pytest.mark.parametrize("pattern", [r"dense|each", r"^[a-f]", "no such layer", ""])
def test_groups_sum_to_the_total(make, pattern):
    table = parameter_table(make, group_by=pattern)
    assert size(table.rows) == table.total == make().count_params()
    assert sum(row.bytes for row in table.rows) == table.weight_bytes
    assert {row.level for row in table.rows} == {0}


@every_model
def test_a_function_has_the_table_of_the_model_it_builds(make):
    # Unnamed layers are numbered on from model to model, unless each starts anew.
    keras.backend.clear_session()
    built = make()
    assert parameter_table(make, optimizer=optimizers.Adam()) == parameter_table(
        built, optimizer=optimizers.Adam(name="adam")
    )


def nested(tree, name):
    """A Sequential of Dense layers, one for each number, and of inner Sequentials."""
    return keras.Sequential(
        [
            layers.Dense(node, name=f"{name}_{index}")
            if isinstance(node, int)
            else nested(node, f"{name}_{index}")
            for index, node in enumerate(tree)
        ],
        name=name,
    )


def counts_by_hand(tree, width, outer, name, counts):
    """Fills in path -> parameters, and returns the output width and their sum."""
    total = 0
    for index, node in enumerate(tree):
        path = f"{outer}{name}_{index}"
        if isinstance(node, int):
            counts[path] = count = (width + 1) * node
            width = node
        else:
            counts[path] = 0  # Here, so that it stands before what it contains.
            width, count = counts_by_hand(
                node, width, f"{path}/", f"{name}_{index}", counts
            )
            counts[path] = count
        total += count
    return width, total


TREES = st.recursive(
    st.integers(1, 5), lambda inner: st.lists(inner, min_size=1, max_size=3)
).filter(lambda tree: isinstance(tree, list))


@hypothesis.settings(max_examples=25)
@hypothesis.given(TREES)
def test_nested_models_of_any_form_equal_the_hand_count(tree):
    expected = {}
    _, total = counts_by_hand(tree, 4, "", "m", expected)
    table = parameter_table(lambda: nested(tree, "m"), input_shape=(None, 4))
    assert {row.path: row.trainable for row in table.rows} == expected
    assert list(expected) == [row.path for row in table.rows]
    assert table.total == total


def test_attention_shows_its_four_projections():
    projection = 8 * 2 * 4
    assert rows_of(parameter_table(attention)) == {
        "attention": (4 * projection + 3 * 8 + 8, 0),
        "attention/query": (projection + 8, 0),
        "attention/key": (projection + 8, 0),
        "attention/value": (projection + 8, 0),
        "attention/attention_output": (projection + 8, 0),
    }


def test_a_shared_layer_counts_where_it_is_met_first():
    assert rows_of(parameter_table(shared)) == {
        "first": (30, 0),
        "first/shared": (30, 0),
        "second": (6, 0),
        "second/own": (6, 0),
    }


def test_weights_of_the_model_itself_stand_under_its_name():
    assert rows_of(parameter_table(scaled)) == {"scaled": (3, 0), "dense": (9, 0)}


def test_variables_of_one_name_are_all_shown():
    class Twins(layers.Layer):
        def build(self, input_shape):
            self.first = self.add_weight(shape=(2,), name="w")
            self.second = self.add_weight(shape=(3,), name="w")

        def call(self, inputs):
            return inputs

    [row] = parameter_table(Twins(), input_shape=(None, 1)).rows
    assert sorted(row.shapes.values()) == [(2,), (3,)]


def test_frozen_layers_have_no_gradients_and_no_optimizer_state():
    table = parameter_table(frozen, optimizer=optimizers.SGD(momentum=0.9))
    bare = parameter_table(frozen, optimizer=optimizers.SGD())
    assert rows_of(table)["backbone"] == (0, 27)
    assert (table.trainable, table.frozen) == (8, 27)
    assert table.gradient_bytes == 4 * 8
    assert table.optimizer_bytes - bare.optimizer_bytes == 4 * 8


@pytest.mark.parametrize(
    ("dtype", "bytes_each"), [("float16", 2), ("bfloat16", 2), ("float64", 8)]
)
def test_bytes_follow_the_dtype(dtype, bytes_each):
    table = parameter_table(layers.Dense(3, dtype=dtype), input_shape=(None, 4))
    assert table.weight_bytes == table.gradient_bytes == 15 * bytes_each
    assert table.rows[0].dtype == dtype


def test_mixed_precision_keeps_its_weights_in_float32():
    table = parameter_table(
        layers.Dense(3, dtype="mixed_bfloat16"), input_shape=(None, 4)
    )
    assert (table.weight_bytes, table.rows[0].dtype) == (4 * 15, "float32")


def test_a_quantized_layer_takes_a_byte_a_weight():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(10, name="dense")])
    model.quantize("int8")
    table = parameter_table(model)
    assert table.weight_bytes == 64 * 10 + 4 * 10 + 4 * 10  # The bias, and the scale.
    assert table.weight_bytes == array_bytes(model.weights)
    assert table.total == model.count_params()
    assert set(table.rows[0].dtype.split(", ")) == {"float32", "int8"}


def mixed_dtypes():
    return keras.Sequential(
        [
            keras.Input((40,)),
            layers.Dense(40, name="single"),
            layers.Dense(7, dtype="bfloat16", name="brain"),
            layers.Dense(5, dtype="float16", name="half"),
        ]
    )


OPTIMIZERS = {
    "Adam": optimizers.Adam,
    "Adam, amsgrad, averaged": lambda: optimizers.Adam(amsgrad=True, use_ema=True),
    "AdamW": optimizers.AdamW,
    "Adafactor": optimizers.Adafactor,
    "Lion": optimizers.Lion,
    "SGD": optimizers.SGD,
    "SGD, momentum": lambda: optimizers.SGD(momentum=0.9),
    "SGD, accumulating": lambda: optimizers.SGD(gradient_accumulation_steps=4),
    "ClippedOptimizer": lambda: ClippedOptimizer(
        optimizers.Adam(), global_clipnorm=1.0
    ),
    "ClippedOptimizer, accumulating": lambda: ClippedOptimizer(
        optimizers.Adam(), global_clipnorm=1.0, gradient_accumulation_steps=4
    ),
    "AdamWeightDecay": AdamWeightDecay,
    "LossScaleOptimizer": lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
    "LossScaleOptimizer around ClippedOptimizer": lambda: optimizers.LossScaleOptimizer(
        ClippedOptimizer(optimizers.Adam(), global_clipnorm=1.0)
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("make_model", [frozen, attention, mixed_dtypes])
def test_optimizer_state_is_what_a_built_optimizer_allocates(make, make_model):
    model, optimizer = make_model(), make()
    optimizer.build(model.trainable_variables)
    expected = array_bytes(optimizer.variables)
    assert parameter_table(make_model, optimizer=make()).optimizer_bytes == expected
    assert parameter_table(model, optimizer=optimizer).optimizer_bytes == expected


def test_an_optimizer_built_for_another_model_is_counted_for_this_one():
    optimizer = optimizers.Adam()
    optimizer.build(frozen().trainable_variables)
    table = parameter_table(attention, optimizer=optimizer)
    expected = parameter_table(attention, optimizer=optimizers.Adam())
    assert table.optimizer_bytes == expected.optimizer_bytes


def test_an_optimizer_is_left_unbuilt():
    optimizer = optimizers.Adam()
    parameter_table(classifier(), optimizer=optimizer)
    assert not optimizer.built


def test_adam_of_a_model_too_large_to_allocate_takes_twice_its_weights():
    def large():
        return keras.Sequential(
            [keras.Input((10**6,)), layers.Dense(10**6, use_bias=False)]
        )

    table = parameter_table(large, optimizer="adam")
    bare = parameter_table(lone_layer, optimizer="adam")
    assert table.weight_bytes == table.gradient_bytes == 4 * 10**12
    besides = bare.optimizer_bytes - 2 * bare.weight_bytes  # A counter and the rate.
    assert table.optimizer_bytes == 2 * table.weight_bytes + besides


def test_without_an_optimizer_nothing_is_said_about_its_state():
    table = parameter_table(classifier)
    assert (table.optimizer, table.optimizer_bytes) == (None, None)
    assert "state" not in str(table)


def test_groups_are_named_by_the_first_group_of_the_pattern():
    table = parameter_table(attention, group_by="(query|key|value)")
    projection = 8 * 2 * 4 + 8
    assert rows_of(table) == {
        "query": (projection, 0),
        "key": (projection, 0),
        "value": (projection, 0),
        "(other)": (projection, 0),
    }


def test_groups_may_be_found_in_any_part_of_a_path():
    table = parameter_table(classifier, group_by=r"^[^/]+")
    assert rows_of(table) == {"backbone": (21, 6), "head": (8, 0)}


def test_a_group_that_takes_no_part_in_the_match_is_other():
    table = parameter_table(classifier, group_by=r"(dense)|norm")
    assert rows_of(table) == {"dense": (15, 0), "(other)": (6 + 8, 6)}
    assert "(other)" in str(table)


def test_the_printed_table_shows_names_numbers_and_bytes():
    text = str(parameter_table(classifier, optimizer=optimizers.SGD()))
    words = [line.split() for line in text.splitlines()]
    assert "Parameters of classifier".split() in words
    assert "backbone 21 6 float32 108 B 77.1%".split() in words
    shapes = "kernel (4, 3), bias (3,)"
    assert f"dense {shapes} 15 0 float32 60 B 42.9%".split() in words
    assert "total 29 6 140 B 100.0%".split() in words
    assert "35 parameters: 140 B of weights".split() in words
    assert "116 B of gradients".split() in words


def test_the_printed_table_indents_inner_layers_below_their_model():
    lines = str(parameter_table(classifier)).splitlines()
    starts = {
        line.split()[0]: len(line) - len(line.lstrip())
        for line in lines
        if line.split()[:1] in (["backbone"], ["dense"], ["norm"], ["head"])
    }
    assert starts["dense"] == starts["norm"] == starts["backbone"] + 2
    assert starts["head"] == starts["backbone"]


def test_the_printed_table_is_at_most_100_columns_wide_and_cuts_no_name():
    names = [f"{'a_very_long_name_of_a_layer_' * 3}{index}" for index in range(2)]
    table = parameter_table(
        lambda: keras.Sequential(
            [keras.Input((2,)), *(layers.Dense(2, name=name) for name in names)]
        )
    )
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= 100
    first_column = "".join(line[:26].strip() for line in lines)
    assert all(name in first_column for name in names)


def test_a_rich_console_prints_what_print_does():
    table = parameter_table(classifier)
    console = rich.console.Console(width=100)
    with console.capture() as capture:
        console.print(table)
    assert capture.get().rstrip("\n") == str(table)


class Cells(html.parser.HTMLParser):
    """The texts of a page, by row of its table, and its tags."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.tags[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", ["[bold]x[red]", ":smile:", "a<b>&amp;\"c\"'d'"])
def test_names_are_shown_as_they_are(name):
    def make():
        return keras.Sequential(
            [keras.Input((2,)), layers.Dense(2, name=name)], name=name
        )

    table = parameter_table(make)
    assert str(table).count(name) == 2
    page = Cells(table._repr_html_())
    assert page.rows[1][0] == name
    assert f"Parameters of {name}" in page.text


def test_html_holds_the_rows_and_only_its_own_tags():
    table = parameter_table(classifier, optimizer=optimizers.SGD())
    page = Cells(table._repr_html_())
    assert [row[:1] + row[2:] for row in page.rows] == [
        ["layer", "trainable", "frozen", "dtype", "bytes", "share"],
        ["backbone", "21", "6", "float32", "108 B", "77.1%"],
        ["  dense", "15", "0", "float32", "60 B", "42.9%"],
        ["  norm", "6", "6", "float32", "48 B", "34.3%"],
        ["head", "8", "0", "float32", "32 B", "22.9%"],
        ["total", "29", "6", "", "140 B", "100.0%"],
    ]
    assert set(page.tags) <= {
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "p", "br")
    }
    assert "116 B of gradients" in page.text


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_to_dict_survives_json(optimizer):
    content = parameter_table(classifier, optimizer=optimizer).to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["name"] == "classifier"
    assert content["total"] == 35
    assert content["weight_bytes"] == 140
    assert content["rows"][1] == {
        "path": "backbone/dense",
        "level": 1,
        "shapes": {"kernel": [4, 3], "bias": [3]},
        "trainable": 15,
        "frozen": 0,
        "dtype": "float32",
        "bytes": 60,
        "share": 15 / 35,
    }


def test_csv_has_a_line_a_row_with_full_paths_and_plain_numbers(tmp_path):
    table = parameter_table(
        lambda: keras.Sequential(
            [keras.Input((999,)), layers.Dense(1000, name="größe, °")]
        )
    )
    table.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        [line] = csv.DictReader(file)
    assert line == {
        "path": "größe, °",
        "level": "0",
        "shapes": "kernel (999, 1000), bias (1000,)",
        "trainable": "1000000",
        "frozen": "0",
        "dtype": "float32",
        "bytes": "4000000",
        "share": "1.0",
    }


def test_csv_of_inner_layers_gives_their_whole_path(tmp_path):
    table = parameter_table(classifier)
    table.to_csv(str(tmp_path / "table.csv"))
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        paths = [line["path"] for line in csv.DictReader(file)]
    assert paths == ["backbone", "backbone/dense", "backbone/norm", "head"]


def test_a_model_without_parameters_has_no_rows():
    table = parameter_table(
        lambda: keras.Sequential([keras.Input((2, 2)), layers.Flatten()])
    )
    assert (table.rows, table.total, table.weight_bytes) == ((), 0, 0)
    assert "0 parameters: 0 B of weights" in str(table)


@pytest.mark.parametrize("depth", [0, -1, True])
def test_a_depth_that_shows_nothing_is_refused(depth):
    error = TypeError if depth is True else ValueError
    with pytest.raises(error, match=f"`depth` must be .* Received: depth={depth}"):
        parameter_table(classifier, depth=depth)


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"`group_by` must be a regular expression"):
        parameter_table(classifier, group_by="(")


@pytest.mark.parametrize("model", [[1, 2], 3, lambda: []])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"`model` must be a Keras model or layer"):
        parameter_table(model)


def test_an_unbuilt_model_without_a_shape_is_refused_with_the_remedy():
    model = keras.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match="input_shape"):
        parameter_table(model)
    assert parameter_table(model, input_shape=(None, 4)).total == 15
    assert not model.built
