"""Each private KerasTuner name is where the package expects it.

An upgrade of KerasTuner that moves one fails here, by name.
"""

import inspect
import re

import keras
import keras_tuner
import pytest
from keras_tuner.src.engine import tuner_utils

from keras_tricks import tuners
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles.bayesian import BayesianOptimizationOracle
from keras_tricks.tuners.oracles.random import RandomSearchOracle

BaseTuner = keras_tuner.engine.base_tuner.BaseTuner

# Owner and name -> the public or private method of KerasTuner that must use it.
USED_BY = {
    ("Tuner", "_build_hypermodel"): keras_tuner.Tuner._try_build,
    ("Tuner", "_try_build"): keras_tuner.Tuner.load_model,
    ("Tuner", "_override_compile_args"): keras_tuner.Tuner._build_hypermodel,
    ("Tuner", "_deepcopy_callbacks"): keras_tuner.Tuner.run_trial,
    ("Tuner", "_configure_tensorboard_dir"): keras_tuner.Tuner.run_trial,
    ("Tuner", "_build_and_fit_model"): keras_tuner.Tuner.run_trial,
    ("Tuner", "_get_build_config_fname"): keras_tuner.Tuner.load_model,
    ("HyperParameters", "_retrieve"): keras_tuner.HyperParameters.Int,
    ("Oracle", "_check_consecutive_failures"): keras_tuner.Oracle.end_trial,
    ("Oracle", "_seed_state"): keras_tuner.Oracle._random_values,
    ("Oracle", "_display"): keras_tuner.Oracle.create_trial,
    (
        "Oracle",
        "_random_values",
    ): keras_tuner.oracles.RandomSearchOracle.populate_space,
    ("Oracle", "_duplicate"): keras_tuner.Oracle._random_values,
    ("Oracle", "_record_values"): keras_tuner.Oracle.create_trial,
    ("Oracle", "_compute_values_hash"): keras_tuner.Oracle._record_values,
    ("Oracle", "_tried_so_far"): keras_tuner.Oracle._duplicate,
    ("Oracle", "_id_to_hash"): keras_tuner.Oracle._record_values,
    ("Oracle", "_run_times"): keras_tuner.Oracle.end_trial,
    ("Oracle", "_retry_queue"): keras_tuner.Oracle.create_trial,
    ("Oracle", "_project_dir"): keras_tuner.Oracle._get_oracle_fname,
    ("Oracle", "_set_project_dir"): BaseTuner.__init__,
    ("Oracle", "_get_oracle_fname"): keras_tuner.Oracle.save,
    ("Oracle", "_get_trial_dir"): keras_tuner.Oracle._save_trial,
    ("Oracle", "_save_trial"): keras_tuner.Oracle.create_trial,
    ("BaseTuner", "_populate_initial_space"): BaseTuner.__init__,
    ("BaseTuner", "_get_tuner_fname"): BaseTuner.save,
    ("BaseTuner", "_is_worker"): BaseTuner.save,
    ("BaseTuner", "_try_run_and_update_trial"): BaseTuner.search,
    ("Tuner", "_get_checkpoint_fname"): keras_tuner.Tuner.run_trial,
    ("SaveBestEpoch", "_save_model"): tuner_utils.SaveBestEpoch.on_epoch_end,
    (
        "BayesianOptimizationOracle",
        "_vectorize_trials",
    ): keras_tuner.oracles.BayesianOptimizationOracle.populate_space,
    (
        "BayesianOptimizationOracle",
        "_random_state",
    ): keras_tuner.oracles.BayesianOptimizationOracle.populate_space,
}


@pytest.mark.parametrize(("owner", "name"), USED_BY)
def test_kerastuner_still_uses(owner, name):
    user = inspect.unwrap(USED_BY[owner, name])
    if user.__name__ == "wrapped_func":  # `synchronized` hides what it wraps.
        user = inspect.getclosurevars(user).nonlocals["func"]
    assert re.search(rf"self\.(oracle\.)?{name}\b", inspect.getsource(user))


def test_the_file_names_every_private_name_and_no_other():
    """Private attributes in the source against the table in its first lines."""
    source = inspect.getsource(keras_tuner_hooks)
    listed = set(re.findall(r"`\w+\.(_\w+)` \|", keras_tuner_hooks.__doc__))
    ours = {*dir(tuners.RandomSearch), *dir(tuners.Hyperband)}
    own = ours - {*dir(keras_tuner.RandomSearch), *dir(keras_tuner.Hyperband)}
    used = set(re.findall(r"(?:\.|def )(_[a-z]\w+)", source)) - own
    assert listed == used == {name for _, name in USED_BY}


def test_a_model_is_built_after_keras_was_cleared(tmp_path):
    """`_build_hypermodel`: the state is clear before, and the build follows."""
    events = []

    class Watched(keras_tuner_hooks.TunerHooks, keras_tuner.RandomSearch):
        def _on_build_begin(self):
            events.append(keras.layers.Dense(1).name)

        def _on_build_end(self, model, hp):
            events.append(model)

    def build(hp):
        hp.Float("x", 0.0, 1.0)
        events.append("build")
        return keras.Sequential()

    tuner = Watched(build, "val_loss", directory=tmp_path)
    events.clear()
    keras.layers.Dense(1)
    trial = tuner.oracle.create_trial("tuner0")
    model = tuner._try_build(trial.hyperparameters)
    # Keras counts layer names from the start again when its state is cleared.
    assert events == ["dense", "build", model]


def test_the_oracle_prints_nothing(capsys):
    """`_display`: KerasTuner's prints the settings when a trial begins."""
    oracle = RandomSearchOracle(objective="val_loss", seed=0)
    oracle.verbose = 1
    assert oracle._display.verbose == 0
    assert oracle.verbose == 0


def settings(oracle, trial_id):
    space = keras_tuner.HyperParameters()
    space.Float("x", 0.0, 1.0)
    oracle.update_space(space)
    return oracle.populate_space(trial_id)["values"]["x"]


def test_neighbouring_seeds_share_no_settings():
    """`_seed_state`: KerasTuner draws value n of a search with its seed + n."""

    def drawn(oracle_class):
        first, second = (oracle_class(objective="loss", seed=seed) for seed in (1, 2))
        return [{settings(o, str(n)) for n in range(3)} for o in (first, second)]

    stock_first, stock_second = drawn(keras_tuner.oracles.RandomSearchOracle)
    assert len(stock_first & stock_second) == 2
    first, second = drawn(RandomSearchOracle)
    assert not first & second


@pytest.mark.parametrize(
    "oracle_class", [RandomSearchOracle, BayesianOptimizationOracle]
)
def test_settings_are_a_function_of_the_seed_and_the_trial(oracle_class):
    def oracle(seed):
        return oracle_class(objective="val_loss", seed=seed)

    used = oracle(0)
    settings(used, "0")
    assert settings(used, "1") == settings(oracle(0), "1")
    assert settings(used, "1") != settings(used, "2")
    assert settings(used, "1") != settings(oracle(1), "1")


def test_starting_points_depend_on_the_trial_only():
    """`_random_state`: equal for one trial however many were suggested before."""
    oracle = BayesianOptimizationOracle(objective="val_loss", seed=0)

    def starting_points(trial_id):
        oracle.seed_suggestion(trial_id)
        return oracle._random_state.uniform(size=3).tolist()

    first = starting_points("3")
    assert starting_points("4") != first
    assert starting_points("3") == first


@pytest.mark.parametrize(("direction", "worst"), [("min", 3.0), ("max", -1.0)])
def test_a_gaussian_process_is_shown_failed_trials_as_the_worst(direction, worst):
    """`_vectorize_trials`: KerasTuner's leaves them out, and minimizes."""
    sign = 1 if direction == "min" else -1
    shown = {}
    of_keras_tuner = keras_tuner.oracles.BayesianOptimizationOracle
    for oracle_class in (BayesianOptimizationOracle, of_keras_tuner):
        oracle = oracle_class(
            objective=keras_tuner.Objective("score", direction), seed=0
        )
        for number, score in enumerate((1.0, None, 3.0)):
            hp = keras_tuner.HyperParameters()
            hp.Float("x", 0.0, 1.0)
            hp.values["x"] = 0.2 * number
            oracle.update_space(hp)
            trial = keras_tuner.engine.trial.Trial(hp, trial_id=str(number))
            trial.status = "FAILED" if score is None else "COMPLETED"
            trial.score = score
            oracle.trials[trial.trial_id] = trial
        shown[oracle_class] = [
            array.ravel().tolist() for array in oracle._vectorize_trials()
        ]
        assert oracle.trials["1"].status == "FAILED"
    assert shown[of_keras_tuner] == [[0.0, 0.4], [sign * 1.0, sign * 3.0]]
    assert shown[BayesianOptimizationOracle] == [
        [0.0, 0.2, 0.4],
        [sign * 1.0, worst, sign * 3.0],
    ]


def test_the_servicer_answers_what_workers_ask():
    """`oracle_chief.OracleServicer`, `protos`: the requests that are overridden."""
    from keras_tuner.src import protos
    from keras_tuner.src.distribute import oracle_chief

    asked = {"CreateTrial", "GetTrial", "UpdateTrial", "EndTrial"}
    assert asked <= set(vars(oracle_chief.OracleServicer))
    assert asked <= set(vars(protos.get_service_grpc().OracleServicer))
    assert protos.get_proto().STOPPED != protos.get_proto().IDLE


def test_the_weights_are_saved_by_a_callback_that_looks_up_its_path():
    """`tuner_utils.SaveBestEpoch`: it can be told another one for each epoch."""
    assert "tuner_utils.SaveBestEpoch(" in inspect.getsource(
        keras_tuner.Tuner.run_trial
    )
    saved = []

    class Model:
        distribute_strategy = None

        def save_weights(self, path):
            saved.append(path)

    objective = keras_tuner.Objective("val_loss", "min")
    callback = tuner_utils.SaveBestEpoch(objective, "first.weights.h5")
    callback.set_model(Model())
    callback.on_epoch_end(0, {"val_loss": 2.0})
    callback.filepath = "second.weights.h5"
    callback.on_epoch_end(1, {"val_loss": 1.0})
    callback.on_epoch_end(2, {"val_loss": 3.0})
    assert saved == ["first.weights.h5", "second.weights.h5"]
