"""BERT's recipe against the original's TF1 graph."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import create_optimizer
from keras_tricks.optimizers import layer_wise_multipliers
from keras_tricks.schedules import WarmupPolynomialDecay
from tests import tf1_reference
from tests import transformer

RUN = {"init_lr": 1e-3, "num_train_steps": 1000, "num_warmup_steps": 100}


class Classifier(keras.Model):
    """The Transformer's weights under their TF1 names, dots for slashes."""

    def __init__(self, initial):
        super().__init__()
        self.by_name = {
            name: self.add_weight(
                shape=value.shape,
                initializer=lambda *_, value=value, **__: tf.constant(value),
                name=name.replace("/", "."),
            )
            for name, value in initial.items()
        }
        self.built = True

    def trained_step(self, optimizer):
        @functools.partial(tf.function, autograph=False)
        def step(tokens, labels):
            tensors = {name: weight.value for name, weight in self.by_name.items()}
            with tf.GradientTape() as tape:
                loss = transformer.loss(tensors, tokens, labels)
            gradients = tape.gradient(loss, list(tensors.values()))
            optimizer.apply(gradients, list(self.by_name.values()))

        return step

    @staticmethod
    def train(step, batches):
        for tokens, labels in batches:
            step(tf.constant(tokens), tf.constant(labels))

    def values(self):
        return {name: weight.numpy() for name, weight in self.by_name.items()}


@pytest.fixture(scope="module")
def tf1_run(tmp_path_factory):
    """1,000 steps of the original: weights after 100, a checkpoint after 700."""
    batches = list(transformer.batches(RUN["num_train_steps"]))
    run = tf1_reference.BertRun(transformer.initial_weights(), transformer.loss, **RUN)
    run.run(batches[:100])
    after_100 = run.weights()
    run.run(batches[100:700])
    checkpoint = run.save(tmp_path_factory.mktemp("tf1") / "model.ckpt")
    run.run(batches[700:])
    return batches, checkpoint, after_100, run.weights()


@pytest.fixture(scope="module")
def keras_run(tf1_run):
    """The weights after 100 and 1,000 steps of the port on the same batches."""
    batches = tf1_run[0]
    model = Classifier(transformer.initial_weights())
    step = model.trained_step(create_optimizer(**RUN))
    model.train(step, batches[:100])
    after_100 = model.values()
    model.train(step, batches[100:])
    return after_100, model.values()


def distance(weights, others):
    squares = (np.square(weights[name] - others[name]).sum() for name in others)
    return np.sqrt(sum(squares))


def distance_moved(weights):
    return distance(transformer.initial_weights(), weights)


def test_1000_steps_of_a_transformer_end_where_the_original_ends(tf1_run, keras_run):
    """The issue asks for 1e-4 of the distance moved; about 4e-7 is measured."""
    expected, (_, found) = tf1_run[-1], keras_run
    assert distance(found, expected) <= 1e-5 * distance_moved(expected)


def test_either_side_of_the_race_on_the_step(tf1_run, keras_run):
    """100 steps with the increment before the update, against both settings."""
    batches = tf1_run[0][:100]
    initial = transformer.initial_weights()
    run = tf1_reference.BertRun(initial, transformer.loss, **RUN, increment="before")
    run.run(batches)
    expected = run.weights()
    model = Classifier(initial)
    model.train(model.trained_step(create_optimizer(**RUN, rate_of="next")), batches)
    of_this, _ = keras_run
    moved = distance_moved(expected)
    assert distance(model.values(), expected) <= 1e-5 * moved
    assert distance(of_this, expected) > 1e-3 * moved


def test_keras_adamw_with_the_same_settings_ends_elsewhere(tf1_run):
    """Its bias correction makes the difference that users meet."""
    batches, _, expected, _ = tf1_run
    model = Classifier(transformer.initial_weights())
    schedule = WarmupPolynomialDecay(*RUN.values())
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01, epsilon=1e-6)
    optimizer.exclude_from_weight_decay(var_names=["LayerNorm", "bias"])
    step = model.trained_step(ClippedOptimizer(optimizer, global_clipnorm=1.0))
    model.train(step, batches[:100])
    assert distance(model.values(), expected) > 0.05 * distance_moved(expected)


def test_a_run_stopped_at_700_goes_on_from_its_checkpoint(tf1_run):
    from keras_tricks.tf1 import restore_optimizer

    batches, checkpoint, _, expected = tf1_run
    model = Classifier(transformer.initial_weights(seed=7))
    optimizer = create_optimizer(**RUN)
    optimizer.build(model.trainable_variables)
    restore_optimizer(model, optimizer, checkpoint, dict(model.by_name))
    assert int(optimizer.iterations) == 700
    model.train(model.trained_step(optimizer), batches[700:])
    assert distance(model.values(), expected) <= 1e-5 * distance_moved(expected)


def test_the_recipe_has_berts_values():
    optimizer = create_optimizer(5e-5, 10_000, 1_000)
    inner = optimizer.inner_optimizer
    assert isinstance(inner, AdamWeightDecay)
    assert (inner.beta_1, inner.beta_2, inner.epsilon) == (0.9, 0.999, 1e-6)
    assert inner.weight_decay == 0.01
    assert not inner.bias_correction
    assert optimizer.global_clipnorm == 1.0
    assert float(optimizer.learning_rate) == 0.0


@pytest.mark.parametrize("warmup", [0, None])
def test_no_warmup_starts_at_the_first_rate(warmup):
    optimizer = create_optimizer(5e-5, 10_000, warmup)
    assert float(optimizer.learning_rate) == pytest.approx(5e-5)


def test_hugging_faces_arguments_have_their_meaning():
    optimizer = create_optimizer(
        1.0, 100, 10, min_lr_ratio=0.1, power=2.0, join="shift", adam_beta1=0.8
    )
    weight = keras.Variable([0.0])
    optimizer.build([weight])
    optimizer.inner_optimizer.iterations.assign(55)
    # Half of the 90 steps after the warmup: 0.9 * 0.5**2 + 0.1.
    assert float(optimizer.learning_rate) == pytest.approx(0.9 * 0.25 + 0.1)
    assert optimizer.inner_optimizer.beta_1 == 0.8


def test_a_pair_of_optimizer_and_schedule_as_hugging_face_returns_it():
    optimizer, schedule = create_optimizer(
        1.0, 100, 10, join="shift", adam_global_clipnorm=None, return_schedule=True
    )
    assert optimizer.inner_optimizer._learning_rate is schedule
    assert float(schedule(5)) == pytest.approx(0.5)


def test_the_rate_of_the_next_step():
    optimizer, schedule = create_optimizer(
        1.0, 100, 10, rate_of="next", return_schedule=True
    )
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    np.testing.assert_array_equal(
        schedule(np.arange(100)), WarmupPolynomialDecay(1.0, 100, 10)(np.arange(1, 101))
    )


def test_each_gradient_is_clipped_by_its_own_norm():
    optimizer = create_optimizer(
        1e-3, 100, adam_clipnorm=0.5, adam_global_clipnorm=None
    )
    assert (optimizer.clipnorm, optimizer.global_clipnorm) == (0.5, None)


def test_two_limits_are_refused_in_the_callers_words():
    with pytest.raises(
        ValueError, match=r"`adam_global_clipnorm` must be None .*=0\.5"
    ):
        create_optimizer(1e-3, 100, adam_clipnorm=0.5)


def test_what_is_included_decays_whatever_is_excluded():
    """As in Hugging Face's, tf-models' and XLNet's classes."""
    optimizer = create_optimizer(
        1e-3, 100, include_in_weight_decay=["layer_1/.*bias"]
    ).inner_optimizer
    paths = ["layer_0/dense/bias", "layer_1/dense/bias", "layer_1/layer_norm/gamma"]
    variables = [keras.Variable([1.0], name=path.replace("/", "_")) for path in paths]
    for variable, path in zip(variables, paths, strict=True):
        variable._path = path
    optimizer.build(variables)
    assert list(optimizer.weight_decay_report().values()) == [False, True, False]
    restored = AdamWeightDecay.from_config(optimizer.get_config())
    assert restored.included_patterns == ("layer_1/.*bias",)


def test_a_warmup_as_long_as_the_run_climbs_throughout():
    _, schedule = create_optimizer(1.0, 10, 10, return_schedule=True)
    np.testing.assert_allclose(schedule(np.arange(10)), np.arange(10) / 10, rtol=1e-6)


def test_rates_shrink_layer_by_layer_towards_the_embeddings():
    """Two layers at 0.5: 1 above, 0.5, 0.25, and 0.125 for the embeddings."""
    optimizer = create_optimizer(1e-3, 100, layer_decay=0.5, num_layers=2)
    paths = {
        "bert/embeddings/word_embeddings": 0.125,
        "encoder_layer_0_query/kernel": 0.25,
        "bert/encoder/layer_0/query/kernel": 0.25,
        "bert/encoder/layer_1/output/bias": 0.5,
        "bert/encoder/layer_10/output/bias": 1.0,
        "classifier/kernel": 1.0,
    }
    multiplier = optimizer.inner_optimizer._multiplier
    assert {path: multiplier(path) for path in paths} == paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_decay": 0.9}, "must be given together"),
        ({"num_layers": 12}, "must be given together"),
        (
            {"layer_decay": 1.5, "num_layers": 2},
            "`layer_decay` must be .* <= 1",
        ),
        ({"min_lr_ratio": -0.1}, "`min_lr_ratio` must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer(1e-3, 100, **arguments)


def test_multipliers_of_no_layers_are_refused():
    with pytest.raises(ValueError, match="`num_layers` must be a whole number >= 1"):
        layer_wise_multipliers(0, 0.9)


@pytest.mark.parametrize("ratio", [-0.1, 1.5])
def test_the_last_rate_is_a_share_of_the_first(ratio):
    with pytest.raises(ValueError, match=r"`min_lr_ratio` must be .*or the rate grows"):
        create_optimizer(1e-3, 100, 10, min_lr_ratio=ratio)
