"""What `restore_optimizer` reads, maps, reports and refuses."""

import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers.adam_weight_decay import AdamWeightDecay
from keras_tricks.tf1 import restore_optimizer
from keras_tricks.tf1.slots import power_mismatch
from tests.tf1 import mlp

SHAPES = {
    "hidden/kernel": (4, 8),
    "hidden/bias": (8,),
    "output/kernel": (8, 1),
    "output/bias": (1,),
}


def values(shapes=SHAPES, step=7, slots=("adam_m", "adam_v")):
    """A checkpoint's content, each number another."""
    rng = np.random.default_rng(5)
    content = {}
    for name, shape in shapes.items():
        for key in (name, *(f"{name}/{slot}" for slot in slots)):
            content[key] = rng.normal(size=shape).astype(np.float32)
    return content | ({} if step is None else {"global_step": np.int64(step)})


@pytest.fixture
def model():
    return mlp.keras_model()


@pytest.fixture
def optimizer(model):
    return mlp.built(ClippedOptimizer(AdamWeightDecay(), global_clipnorm=1.0), model)


@pytest.fixture
def save(tmp_path):
    return lambda content: mlp.save_values(content, tmp_path / "model.ckpt")


def held(model, optimizer):
    """Path -> value, of weights, slots and the step, without the optimizer's name."""
    found = {v.path.removeprefix(f"{model.name}/"): v.numpy() for v in model.weights}
    for variable in optimizer.inner_optimizer.variables:
        found[variable.name.removeprefix(f"{model.name}_")] = variable.numpy()
    found.pop("learning_rate")
    return found


def keras_name(name):
    """The name in `held` of a name in a checkpoint."""
    for slot, kind in (("adam_m", "momentum"), ("adam_v", "velocity")):
        if name.endswith(f"/{slot}"):
            return f"{name.removesuffix(f'/{slot}').replace('/', '_')}_{kind}"
    return "iteration" if name == "global_step" else name


def test_every_value_arrives_bit_for_bit(model, optimizer, save):
    """Weights, `adam_m`, `adam_v` and the step are those of the checkpoint."""
    content = values()
    report = restore_optimizer(model, optimizer, save(content))
    expected = {keras_name(name): value for name, value in content.items()}
    np.testing.assert_equal(held(model, optimizer), expected)
    assert (report.global_step, set(report.restored)) == (7, set(content))
    assert str(report).startswith("Restored 13 variables from ")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_values_are_rounded_to_the_dtype_of_the_variable(dtype, save):
    """As TensorFlow casts them; all numbers of float32 are numbers of float64."""
    layer = keras.layers.Dense(8, use_bias=False, name="hidden", dtype=dtype)
    model = keras.Sequential([keras.Input((4,)), layer])
    optimizer = mlp.built(AdamWeightDecay(), model)
    content = values({"hidden/kernel": (4, 8)})
    restore_optimizer(model, optimizer, save(content))
    for variable, name in (
        (layer.kernel, "hidden/kernel"),
        (optimizer.velocities[0], "hidden/kernel/adam_v"),
    ):
        assert variable.dtype == dtype
        expected = tf.cast(content[name], dtype).numpy()
        assert variable.numpy().tobytes() == expected.tobytes()


class Nested(keras.layers.Layer):
    """Layers inside one another, named by the scopes of a TF1 graph."""

    def __init__(self, layers, name):
        super().__init__(name=name)
        self.parts = [
            Nested(part, key) if isinstance(part, dict) else part(name=key)
            for key, part in layers.items()
        ]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


BERT_SHAPES = {
    "bert/embeddings/word_embeddings": (11, 6),
    "bert/embeddings/LayerNorm/gamma": (6,),
    "bert/embeddings/LayerNorm/beta": (6,),
    "bert/encoder/layer_0/attention/self/query/kernel": (6, 6),
    "bert/encoder/layer_0/attention/self/query/bias": (6,),
    "bert/encoder/layer_1/attention/self/query/kernel": (6, 6),
    "bert/encoder/layer_1/attention/self/query/bias": (6,),
}


def bert_layers():
    def query(name):
        return keras.layers.Dense(6, name=name)

    layer = {"attention": {"self": {"query": query}}}
    return {
        "embeddings": {
            "word_embeddings": lambda name: keras.layers.Embedding(11, 6, name=name),
            "LayerNorm": lambda name: keras.layers.LayerNormalization(name=name),
        },
        "encoder": {"layer_0": layer, "layer_1": layer},
    }


def flat(layers, scope):
    for key, part in layers.items():
        name = f"{scope}_{key}"
        yield from flat(part, name) if isinstance(part, dict) else [part(name=name)]


def bert_model(form):
    tokens = keras.Input((3,), dtype="int32")
    if form == "nested":
        outputs = Nested(bert_layers(), "bert")(tokens)
        return keras.Model(tokens, outputs, name="classifier")
    layers = list(flat(bert_layers(), "bert"))
    return keras.Sequential([tokens, *layers], name="classifier")


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_layers_named_by_berts_scopes_need_no_map(form, save):
    """Nested layers, and flat ones named by joined scopes, hold BERT's variables."""
    content = values(BERT_SHAPES)
    model = bert_model(form)
    optimizer = mlp.built(AdamWeightDecay(), model)
    restore_optimizer(model, optimizer, save(content))
    expected = [content[name] for name in BERT_SHAPES]
    np.testing.assert_equal([w.numpy() for w in model.weights], expected)
    for slots, slot in (
        (optimizer.momentums, "adam_m"),
        (optimizer.velocities, "adam_v"),
    ):
        expected = [content[f"{name}/{slot}"] for name in BERT_SHAPES]
        np.testing.assert_equal([s.numpy() for s in slots], expected)


def moved(shapes):
    return {f"net/{name.replace('hidden', 'first')}": s for name, s in shapes.items()}


@pytest.mark.parametrize("form", ["paths", "variables", "function", "names"])
def test_a_map_leads_names_that_differ_to_their_variables(form, model, optimizer, save):
    """Dictionaries and functions do; slots follow; "global_step" needs no map."""
    content = values(moved(SHAPES))
    names = list(moved(SHAPES))
    maps = {
        "paths": {n: w.path for n, w in zip(names, model.weights, strict=True)},
        "variables": dict(zip([f"{n}:0" for n in names], model.weights, strict=True)),
        "function": lambda name: name.replace("net/first", "hidden").replace(
            "net/", f"{model.name}/"
        ),
        "names": dict(zip(names, SHAPES, strict=True)),
    }
    restore_optimizer(model, optimizer, save(content), maps[form])
    back = {
        keras_name(name.removeprefix("net/").replace("first", "hidden")): value
        for name, value in content.items()
    }
    np.testing.assert_equal(held(model, optimizer), back)


def test_a_map_may_name_slots_and_the_step(model, optimizer, save):
    """Those that TF1 saved under other names are found by the optimizer's paths."""
    content = values(step=None)
    content["updates"] = np.int64(3)
    content["scope/hidden/bias/adam_m"] = content.pop("hidden/bias/adam_m")
    inner = optimizer.inner_optimizer
    paths = {variable.name: variable.path for variable in inner.variables}
    report = restore_optimizer(
        model,
        optimizer,
        save(content),
        {
            "updates": paths["iteration"],
            "scope/hidden/bias/adam_m": paths["mlp_hidden_bias_momentum"],
        },
    )
    assert report.global_step == int(optimizer.iterations) == 3
    np.testing.assert_equal(
        held(model, optimizer)["hidden_bias_momentum"],
        content["scope/hidden/bias/adam_m"],
    )


def test_what_is_left_out_keeps_its_value_and_is_reported(model, optimizer, save):
    """`None` leaves a weight and its slots as they were."""
    before = held(model, optimizer)
    content = values() | {"cls/bias": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=r"(?s)'?mlp/output/bias \(1,\)"):
        restore_optimizer(model, optimizer, save(content), {"output/bias": None})
    report = restore_optimizer(
        model, optimizer, save(content), {"output/bias": None}, strict=False
    )
    left_out = ("output/bias", "output/bias/adam_m", "output/bias/adam_v")
    assert report.left_out == left_out
    assert report.unmatched_checkpoint == {"cls/bias": (3,)}
    assert set(report.unmatched_keras.values()) == {(1,)}
    assert len(report.unmatched_keras) == 3
    after = held(model, optimizer)
    for name in left_out:
        np.testing.assert_equal(after[keras_name(name)], before[keras_name(name)])
    np.testing.assert_equal(after["hidden/bias"], content["hidden/bias"])
    for line in ("Left out by variable_map (3):", "Only in the checkpoint (1):"):
        assert line in str(report)


def test_other_weights_than_the_trainable_ones_are_restored(save):
    """The averages of a BatchNormalization are; they have no slots."""
    shapes = {f"norm/{name}": (2,) for name in ("gamma", "beta")}
    content = values(shapes)
    content |= {
        "norm/moving_mean": np.float32([1, 2]),
        "norm/moving_variance": np.float32([3, 4]),
    }
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.5),
        ]
    )
    optimizer = mlp.built(AdamWeightDecay(), model)
    report = restore_optimizer(model, optimizer, save(content))
    assert len(report.restored) == 9
    np.testing.assert_equal(model.layers[0].moving_mean.numpy(), [1, 2])
    np.testing.assert_equal(model.layers[0].moving_variance.numpy(), [3, 4])


def test_paths_that_slot_names_cannot_tell_apart_keep_their_own_slots(save):
    """The slots of `a/b_c` and `a_b/c` have one name in Keras, and are two."""
    shapes = {"a/b_c/kernel": (2, 2), "a_b/c/kernel": (2, 2)}
    content = values(shapes)
    layers = {
        scope: lambda name: keras.layers.Dense(2, use_bias=False, name=name)
        for scope in ("b_c", "c")
    }
    inputs = keras.Input((2,))
    first = Nested({"b_c": layers["b_c"]}, "a")(inputs)
    model = keras.Model(inputs, Nested({"c": layers["c"]}, "a_b")(first))
    optimizer = mlp.built(AdamWeightDecay(), model)
    restore_optimizer(model, optimizer, save(content))
    for name, slot in zip(shapes, optimizer.momentums, strict=True):
        np.testing.assert_equal(slot.numpy(), content[f"{name}/adam_m"])


def without(*names):
    return {name: value for name, value in values().items() if name not in names}


BAD_CONTENT = {
    "a weight's shape": (
        values() | {"hidden/kernel": np.zeros((8, 4), np.float32)},
        r"'hidden/kernel' has the shape \(8, 4\), 'mlp/hidden/kernel' the shape "
        r"\(4, 8\)",
    ),
    "a slot's shape": (
        values() | {"output/bias/adam_v": np.zeros(2, np.float32)},
        r"'output/bias/adam_v' has the shape \(2,\)",
    ),
    "a kind of number": (
        values() | {"hidden/bias": np.zeros(8, np.int32)},
        "'hidden/bias' has the dtype int32, 'mlp/hidden/bias' the dtype float32",
    ),
    "a step that is a fraction": (
        values() | {"global_step": np.float32(3)},
        "'global_step' has the dtype float32",
    ),
    "a negative step": (values(step=-1), "must be from 0 to .* global_step=-1"),
    "one weight more": (
        values() | {"more/bias": np.zeros(3, np.float32)},
        r"Only in the checkpoint \(1\):\n  more/bias \(3,\)$",
    ),
    "one weight less": (
        without("hidden/bias", "hidden/bias/adam_m", "hidden/bias/adam_v"),
        r"Only in the model and the optimizer \(3\):\n  mlp/hidden/bias \(8,\)\n",
    ),
    "one slot less": (without("hidden/bias/adam_v"), "mlp_hidden_bias_velocity"),
    "no step": (without("global_step"), r"adam_weight_decay/iteration \(\)"),
    "slots of another optimizer": (
        values(slots=("Momentum",)),
        "hidden/kernel/Momentum",
    ),
    "one variable under two names": (
        values() | {"mlp/hidden/bias": np.zeros(8, np.float32)},
        "'hidden/bias', 'mlp/hidden/bias' stand for one variable, 'mlp/hidden/bias'",
    ),
}

BAD_MAPS = {
    "an unknown TF1 name": ({"hidden/weights": "hidden/kernel"}, "'hidden/weights'"),
    "an unknown path": (
        {"hidden/kernel": "hidden/weights"},
        "'hidden/weights' for 'hidden/kernel'",
    ),
    "a path by a function": (lambda name: f"no/{name}", "'no/hidden/kernel'"),
    "one variable twice": (
        {"hidden/bias": "output/bias"},
        "'hidden/bias', 'output/bias' stand for one variable, 'mlp/output/bias'",
    ),
    "a stranger": (
        {"hidden/bias": keras.Variable(np.zeros(8), name="stranger")},
        "'stranger' for 'hidden/bias', which belongs neither",
    ),
    "a number": ({"hidden/bias": 3}, "Received: 3 for 'hidden/bias'"),
    "a list": (["hidden/bias"], r"Received: variable_map=\['hidden/bias'\]"),
}


@pytest.mark.parametrize(("content", "message"), BAD_CONTENT.values(), ids=BAD_CONTENT)
def test_a_checkpoint_that_does_not_fit_changes_nothing(
    content, message, model, optimizer, save
):
    """The error names what does not fit."""
    before = mlp.state(model, optimizer)
    with pytest.raises(ValueError, match=message):
        restore_optimizer(model, optimizer, save(content))
    assert mlp.state(model, optimizer) == before


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("bad", "message"), BAD_MAPS.values(), ids=BAD_MAPS)
def test_a_map_that_does_not_fit_changes_nothing(
    bad, message, strict, model, optimizer, save
):
    """The error names what it maps, strict or not."""
    before = mlp.state(model, optimizer)
    with pytest.raises((TypeError, ValueError), match=message):
        restore_optimizer(model, optimizer, save(values()), bad, strict=strict)
    assert mlp.state(model, optimizer) == before


class Namesakes(keras.Model):
    """Two layers of one name, which functional models do not allow."""

    def __init__(self):
        super().__init__(name="namesakes")
        self.first = keras.layers.Dense(2, use_bias=False, name="a")
        self.second = keras.layers.Dense(2, use_bias=False, name="a")

    def call(self, x):
        return self.second(self.first(x))


def test_weights_of_one_path_are_told_apart_by_variables_only(save):
    """By name they are an error; their slots have one name, too, and are two."""
    model = Namesakes()
    model(np.zeros((1, 2)))
    optimizer = mlp.built(AdamWeightDecay(), model)
    content = values({"a/kernel": (2, 2), "b/kernel": (2, 2)})
    before = mlp.state(model, optimizer)
    meant = (
        r"  'a/kernel' stands for 2 variables of the path 'namesakes/a/kernel'\. Give "
        r"the one that is meant as a variable, such as layer\.kernel, in `variable_map`"
    )
    with pytest.raises(ValueError, match=meant):
        restore_optimizer(model, optimizer, save(content), strict=False)
    assert mlp.state(model, optimizer) == before
    named = {"b/kernel": model.first.kernel, "a/kernel": model.second.kernel}
    restore_optimizer(model, optimizer, save(content), named)
    for index, name in enumerate(named):
        np.testing.assert_equal(model.weights[index].numpy(), content[name])
        slot = optimizer.velocities[index]
        np.testing.assert_equal(slot.numpy(), content[f"{name}/adam_v"])


def test_names_of_slots_are_in_a_long_list(model, optimizer, save):
    """A list by scopes shows the last parts, which tell slots of another optimizer."""
    path = save(values(slots=("Adagrad", "Other")))
    with pytest.raises(ValueError, match=r"hidden/bias/\.\.\. \(Adagrad, Other\): 2"):
        restore_optimizer(model, optimizer, path)


def files(folder):
    return sorted(
        path for path in pathlib.Path(folder).iterdir() if "ckpt" in str(path)
    )


@pytest.mark.parametrize("part", ["data", "index"])
def test_a_file_cut_off_anywhere_changes_nothing(
    part, model, optimizer, save, tmp_path
):
    """Every length below the full one is noticed, though most variables are whole."""
    prefix = save(values())
    before = mlp.state(model, optimizer)
    (path,) = (p for p in files(tmp_path) if f".{part}" in p.name)
    whole = path.read_bytes()
    for length in {0, 1, *range(40, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(OSError, match=r"cannot be read: .*cut off"):
            restore_optimizer(model, optimizer, prefix, strict=False)
        assert mlp.state(model, optimizer) == before
    path.write_bytes(whole)
    restore_optimizer(model, optimizer, prefix)


def test_a_damaged_byte_changes_nothing(model, optimizer, save, tmp_path):
    """The error names the variable whose number is not what was written."""
    prefix = save(values())
    before = mlp.state(model, optimizer)
    (path,) = (p for p in files(tmp_path) if ".data" in p.name)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(OSError, match="the data of 'output/kernel/adam_v' are"):
        restore_optimizer(model, optimizer, prefix)
    assert mlp.state(model, optimizer) == before


@pytest.mark.parametrize("missing", ["prefix", "folder", "empty", "other", "data"])
def test_a_missing_checkpoint_changes_nothing(
    missing, model, optimizer, save, tmp_path
):
    """No file, no folder, no state file, another step, no data file."""
    prefix = save(values())
    before = mlp.state(model, optimizer)
    (tmp_path / "empty").mkdir()
    checkpoint = {
        "prefix": tmp_path / "none",
        "folder": tmp_path / "none" / "model.ckpt",
        "empty": tmp_path / "empty",
        "other": prefix.removesuffix("t"),
        "data": prefix,
    }[missing]
    if missing == "data":
        for path in files(tmp_path):
            if ".data" in path.name:
                path.unlink()
    error = OSError if missing == "data" else FileNotFoundError
    with pytest.raises(error, match=str(checkpoint)):
        restore_optimizer(model, optimizer, checkpoint)
    assert mlp.state(model, optimizer) == before


def test_a_folder_stands_for_its_latest_checkpoint(model, optimizer, save, tmp_path):
    """It is the one that the saver's state file names."""
    mlp.save_values(values(step=3), tmp_path / "early.ckpt")
    save(values(step=9))
    assert restore_optimizer(model, optimizer, tmp_path).global_step == 9


def test_a_checkpoint_of_tf2_is_refused(model, optimizer, tmp_path):
    """Its names are those of attributes."""
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "tf2"))
    with pytest.raises(ValueError, match=r"must have been written by .*Saver"):
        restore_optimizer(model, optimizer, path)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: (m, keras.optimizers.Adam()), ValueError, "optimizer.build"),
        (lambda m: (m, keras.optimizers.RMSprop()), TypeError, "type RMSprop"),
        (lambda m: (m, "adam"), TypeError, "optimizer='adam'"),
        (lambda m: ("m", keras.optimizers.Adam()), TypeError, "model='m'"),
        (
            lambda m: (keras.Sequential(name="s"), keras.optimizers.Adam()),
            ValueError,
            "s is not: call model.build",
        ),
    ],
)
def test_other_arguments_are_refused(make, error, message, model, save):
    """The message says what is needed."""
    with pytest.raises(error, match=message):
        restore_optimizer(*make(model), save(values()))


def adam_content(updates, beta_1=0.9, beta_2=0.999):
    """What TF1's Adam saves: its powers are products in float32."""
    content = values(step=updates, slots=("Adam", "Adam_1"))
    for name, beta in (("beta1_power", beta_1), ("beta2_power", beta_2)):
        factors = np.full(updates + 1, beta, np.float32)
        content[name] = np.multiply.accumulate(factors, dtype=np.float32)[-1]
    return content


@pytest.mark.parametrize("updates", [0, 1, 10, 1000, 100_000])
def test_powers_of_adam_agree_with_the_step(updates, model, save):
    """What float32 products lose over many updates is no disagreement."""
    optimizer = mlp.built(keras.optimizers.Adam(), model)
    report = restore_optimizer(model, optimizer, save(adam_content(updates)))
    assert (report.global_step, report.notes) == (updates, ())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"global_step": np.int64(11)}, "beta1_power"),
        ({"beta2_power": np.float32(0.99**11)}, "beta2_power"),
    ],
)
def test_powers_that_disagree_are_an_error_or_a_note(change, name, model, save):
    """They tell of another number of updates, or of another beta."""
    optimizer = mlp.built(keras.optimizers.Adam(), model)
    before = mlp.state(model, optimizer)
    prefix = save(adam_content(10) | change)
    with pytest.raises(ValueError, match=f"'{name}' is .* but 1[01] updates"):
        restore_optimizer(model, optimizer, prefix)
    assert mlp.state(model, optimizer) == before
    report = restore_optimizer(model, optimizer, prefix, strict=False)
    assert name in report.notes[0]


def test_what_powers_disagree_about_is_said_once(model, save):
    """Both powers, and the step that is missing, are one sentence each."""
    optimizer = mlp.built(keras.optimizers.Adam(), model)
    content = adam_content(10)
    del content["global_step"]
    report = restore_optimizer(model, optimizer, save(content), strict=False)
    [note] = report.notes
    assert note.count("has no `global_step`") == note.count("another beta") == 1
    assert "'beta1_power' is" in note
    assert "'beta2_power' is" in note


def test_a_power_that_is_no_number_disagrees():
    """NaN compares with nothing."""
    assert power_mismatch(0.9, 10, float("nan"))


def test_loss_scaling_stays_as_it_is(model, save):
    """The optimizer inside is restored, what the wrapper holds is not touched."""
    inner = keras.optimizers.Adam()
    optimizer = mlp.built(keras.optimizers.LossScaleOptimizer(inner, 512.0), model)
    restore_optimizer(model, optimizer, save(adam_content(10)))
    assert int(optimizer.iterations) == 10
    assert float(optimizer.dynamic_scale) == 512.0


def test_a_moved_checkpoint_is_read_by_its_prefix(model, optimizer, save, tmp_path):
    """The files may lie anywhere, under any name."""
    prefix = save(values())
    for path in files(tmp_path):
        name = path.name.replace("model.ckpt", "moved")
        shutil.copy(path, tmp_path / name)
        path.unlink()
    with pytest.raises(FileNotFoundError, match=prefix):
        restore_optimizer(model, optimizer, prefix)
    assert restore_optimizer(model, optimizer, tmp_path / "moved").global_step == 7
