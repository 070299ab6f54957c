"""What the hypermodels share: run lengths, early stopping, the user's own space."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.base import SupervisedHyperModel
from tests.hypermodels import cases

MLP = cases.CASES["HyperMLP"]


class ValidationLoss(keras.callbacks.Callback):
    """Sets the validation loss to `losses(epoch)` and remembers the weights."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.losses(epoch)
        self.weights.append(self.model.get_weights())


def stopped(patience, warmup_fraction, losses, epochs=20):
    hypermodel = MLP.make(plain=True, patience=patience, epochs=epochs, batch_size=48)
    hp = cases.fixed(warmup_fraction=warmup_fraction, units=16)
    x, y = MLP.data(48)
    reported = ValidationLoss(losses)
    model = hypermodel.build(hp)
    fit = {"validation_data": (x, y), "callbacks": [reported], "verbose": 0}
    hypermodel.fit(hp, model, x, y, **fit)
    return model, reported.weights


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("warmup_fraction", "warmup", "patience"),
    [(0.0, 0, 3), (0.1, 2, 1), (0.2, 4, 1), (0.2, 4, 2)],
)
def test_patience_begins_after_the_warmup(warmup_fraction, warmup, patience):
    """A loss that only rises: the first epoch after the warmup is the best."""
    _, weights = stopped(patience, warmup_fraction, lambda epoch: 1.0 + epoch)
    assert len(weights) == warmup + 1 + patience


@pytest.mark.usefixtures("uncompiled")
def test_a_loss_that_rises_in_the_warmup_stops_nothing():
    _, weights = stopped(1, 0.2, lambda epoch: float(abs(epoch - 3)), epochs=10)
    assert len(weights) == 5  # Best in epoch 3, worse in epoch 4.


@pytest.mark.usefixtures("uncompiled")
def test_stopping_brings_the_best_epoch_s_weights_back():
    model, weights = stopped(2, 0.0, lambda epoch: float(abs(epoch - 3)))
    for restored, best, last in zip(
        model.get_weights(), weights[3], weights[-1], strict=True
    ):
        np.testing.assert_array_equal(restored, best)
        assert best.shape == last.shape
    assert len(weights) == 6


@pytest.mark.parametrize("fit", [{}, {"validation_split": 0.0}], ids=str)
def test_patience_without_a_validation_loss_is_refused_with_the_remedy(fit):
    hypermodel, hp = MLP.make(patience=2), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    with pytest.raises(ValueError, match="pass `validation_data` or `validation_split"):
        hypermodel.fit(hp, model, *MLP.data(48), verbose=0, **fit)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("num_examples", "fit", "updates"),
    [
        (50, {}, 3 * 4),
        (50, {"epochs": 2}, 2 * 4),
        (50, {"batch_size": 7}, 3 * 8),
        (50, {"validation_split": 0.3}, 3 * 3),  # 35 examples
    ],
    ids=str,
)
def test_the_updates_of_a_run_over_arrays_are_counted(num_examples, fit, updates):
    hypermodel = MLP.make(plain=True, epochs=3, batch_size=16)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, *MLP.data(num_examples), verbose=0, **fit)
    assert hypermodel.total_steps == updates
    assert int(model.optimizer.iterations) == updates


@pytest.mark.usefixtures("uncompiled")
def test_the_updates_of_a_run_over_a_dataset_are_its_batches():
    hypermodel = MLP.make(plain=True, epochs=2)
    hp = keras_tuner.HyperParameters()
    dataset = tf.data.Dataset.from_tensor_slices(MLP.data(50)).batch(8)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, dataset, verbose=0)
    assert int(model.optimizer.iterations) == hypermodel.total_steps == 2 * 7


def counted(*args, **fit):
    """Returns the hypermodel, and the model that it has trained."""
    hypermodel = MLP.make(plain=True, epochs=3, batch_size=16)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, *args, verbose=0, **fit)
    return hypermodel, model


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("by_name", [0, 1, 2])
def test_arguments_by_their_places_count_as_those_by_their_names(by_name):
    x, y = MLP.data(50)
    arguments = {"x": x, "y": y, "batch_size": 10, "epochs": 2}
    placed = [*arguments.values()][: 4 - by_name]
    named = dict([*arguments.items()][4 - by_name :])
    hypermodel, model = counted(*placed, **named)
    assert hypermodel.total_steps == int(model.optimizer.iterations) == 2 * 5


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("fit", "updates"),
    [
        ({"validation_split": None}, 3 * 4),
        ({"batch_size": None}, 3 * 4),  # As if it were left out.
        ({"validation_split": 0.3, "validation_data": MLP.data(9)}, 3 * 4),
        ({"validation_data": tuple(map(tf.constant, MLP.data(9)))}, 3 * 4),
    ],
    ids=["no split", "no size", "data win over a split", "tensors"],
)
def test_the_updates_are_those_that_keras_makes(fit, updates):
    hypermodel, model = counted(*MLP.data(50), **fit)
    assert hypermodel.total_steps == int(model.optimizer.iterations) == updates


@pytest.mark.usefixtures("uncompiled")
def test_a_run_that_goes_on_has_the_schedule_of_the_whole_run():
    hypermodel, model = counted(*MLP.data(50), initial_epoch=2)
    assert hypermodel.total_steps == 3 * 4
    assert int(model.optimizer.iterations) == 4


def test_patience_begins_after_the_warmup_of_a_run_that_goes_on():
    """That of 2 epochs of 20, which begin with epoch 5."""
    hypermodel = MLP.make(patience=1, epochs=20)
    hp = cases.fixed(warmup_fraction=0.1)
    data = MLP.data(48)
    fit = {"validation_data": data, "initial_epoch": 5}
    _, arguments = hypermodel.fit_arguments(hp, *data, **fit)
    assert arguments["callbacks"][-1].start_from_epoch == 7


@pytest.mark.parametrize("several", [False, True])
def test_patience_adds_to_callbacks_given_in_any_way(several):
    own = keras.callbacks.TerminateOnNaN()
    hypermodel, hp = MLP.make(patience=1), keras_tuner.HyperParameters()
    given = [own] if several else own
    x, y = MLP.data(48)
    call = hypermodel.fit_arguments(hp, x, y, None, 2, 0, given, 0.5)
    assert call[1]["callbacks"][0] is own
    assert type(call[1]["callbacks"][1]) is keras.callbacks.EarlyStopping


@pytest.mark.parametrize("reuse_programs", [False, True])
def test_a_search_trains_for_the_epochs_that_have_their_place(reuse_programs, tmp_path):
    tuner = tuners.RandomSearch(
        hypermodel := MLP.make(plain=True),
        "val_loss",
        max_trials=1,
        directory=tmp_path,
        reuse_programs=reuse_programs,
    )
    data = MLP.data(48)
    tuner.search(*data, 16, 3, verbose=0, validation_data=data)
    assert hypermodel.total_steps == 3 * 3
    (trial,) = tuner.oracle.trials.values()
    assert trial.best_step < 3


@pytest.mark.usefixtures("uncompiled")
def test_a_generator_is_refused_with_the_remedy():
    batches = (MLP.data(8) for _ in range(9))
    with pytest.raises(ValueError, match="pass `steps_per_epoch`"):
        counted(batches)
    hypermodel, model = counted(batches, steps_per_epoch=3, epochs=2)
    assert hypermodel.total_steps == int(model.optimizer.iterations) == 6


@pytest.mark.usefixtures("uncompiled")
def test_a_dataset_of_unknown_length_is_refused_with_the_remedy():
    hypermodel, hp = MLP.make(plain=True), keras_tuner.HyperParameters()
    endless = tf.data.Dataset.from_tensor_slices(MLP.data(48)).batch(8).repeat()
    model = hypermodel.build(hp)
    with pytest.raises(ValueError, match="pass `steps_per_epoch`"):
        hypermodel.fit(hp, model, endless)
    hypermodel.fit(hp, model, endless, steps_per_epoch=2, epochs=1, verbose=0)
    assert hypermodel.total_steps == 2


def searched(directory, hypermodel, **arguments):
    tuner = tuners.RandomSearch(
        hypermodel,
        objective="val_loss",
        seed=0,
        directory=directory,
        project_name="search",
        **arguments,
    )
    data = MLP.data(48)
    tuner.search(*data, validation_data=data, verbose=0)
    return [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]


@pytest.mark.usefixtures("uncompiled")
def test_declared_hyperparameters_alone_are_searched_without_new_entries(tmp_path):
    """What is not declared has its default, like the learning rate here."""
    own = cases.fixed(dropout=0.25, activation="tanh")
    own.Int("units", 20, 30)
    trials = searched(
        tmp_path,
        MLP.make(epochs=1),
        hyperparameters=own,
        tune_new_entries=False,
        max_trials=2,
    )
    assert len(trials) == 2
    assert {values["dropout"] for values in trials} == {0.25}
    assert {values["activation"] for values in trials} == {"tanh"}
    assert all(20 <= values["units"] <= 30 for values in trials)
    assert len({values["units"] for values in trials}) > 1
    default = cases.space(MLP).get("learning_rate")
    assert {values["learning_rate"] for values in trials} == {default}


@pytest.mark.usefixtures("uncompiled")
def test_declared_hyperparameters_override_a_space_that_is_searched(tmp_path):
    own = cases.fixed(layers=2, norm="layer", units=16)
    seen = []

    class Seen(HyperMLP):
        def network(self, hp):
            seen.append(super().network(hp))
            return seen[-1]

    trials = searched(
        tmp_path, Seen((6,), 3, epochs=1), hyperparameters=own, max_trials=2
    )
    assert {(v["layers"], v["norm"], v["units"]) for v in trials} == {(2, "layer", 16)}
    assert len({values["learning_rate"] for values in trials}) == 2
    for model in seen:
        kinds = [type(layer).__name__ for layer in model.layers]
        assert kinds.count("LayerNormalization") == 2
        assert kinds.count("BatchNormalization") == 0


@pytest.mark.parametrize(
    ("activation", "initializer"),
    [("relu", "HeNormal"), ("gelu", "HeNormal"), ("tanh", "GlorotUniform")],
)
def test_the_initializer_suits_the_activation(activation, initializer):
    model = MLP.make().build(cases.fixed(activation=activation, layers=2))
    hidden = [n for n in model.layers if isinstance(n, keras.layers.Dense)][:-1]
    assert [type(n.kernel_initializer).__name__ for n in hidden] == [initializer] * 2


@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("batch", ["BatchNormalization"]),
        ("layer", ["LayerNormalization"]),
        ("group", ["GroupNormalization"]),
        ("none", []),
    ],
)
def test_the_norm_is_the_declared_one(norm, kinds):
    model = MLP.make().build(cases.fixed(norm=norm))
    names = [type(layer).__name__ for layer in model.layers]
    assert [name for name in names if "Normalization" in name] == kinds


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("HyperMLP", "weight"),
        ("HyperMLP", "instance"),  # Of one number for each feature: it would be 0.
        ("HyperTextTransformer", "group"),  # Padding would be among the positions.
        ("HyperTextTransformer", "instance"),
    ],
)
def test_a_norm_that_is_unknown_or_of_no_use_is_refused(name, norm):
    with pytest.raises(ValueError, match="`norm` must be one of 'batch', 'layer'"):
        cases.CASES[name].make().build(cases.fixed(norm=norm))


def test_the_optimizer_s_space_is_narrowed_by_its_arguments():
    hypermodel = MLP.make(
        optimizer_arguments={"optimizers": ("sgd",), "learning_rate": 0.1}
    )
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    assert hp.get("optimizer") == "sgd"
    assert hp.get("learning_rate") == 0.1


def test_the_logits_are_float32_in_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = MLP.make().build(keras_tuner.HyperParameters())
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    assert model.layers[1].compute_dtype == "float16"


def test_the_base_class_asks_for_a_network():
    with pytest.raises(NotImplementedError, match=r"implement `trunk\(hp\)`"):
        SupervisedHyperModel(2).build(keras_tuner.HyperParameters())
