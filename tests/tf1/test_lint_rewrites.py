"""Rewritten programs: they run, and do what the TF1 graph of the original did."""

import ast
import itertools
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import CustomSchedule
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import findings
from tests.child_process import ROOT
from tests.tf1.class_variants import CHANGED
from tests.tf1.class_variants import CHANGED_IN_A_LOOP
from tests.tf1.class_variants import ELECTRA
from tests.tf1.class_variants import IN_A_LOOP
from tests.tf1.class_variants import XLNET

v1 = tf.compat.v1
SAMPLES = ROOT / "tests" / "tf1" / "samples"
BERT = (SAMPLES / "bert_style.py.txt").read_text(encoding="utf-8")
SHAPES = {"dense/kernel": (4, 3), "dense/bias": (3,), "LayerNorm/gamma": (3,)}


def dedented(code):
    return textwrap.dedent(code).lstrip("\n")


def rewritten(code, path="<text>"):
    source = Source(code, str(path))
    return edits.rewritten(source, edits.chosen(findings(source)))


def run(code):
    names = {}
    exec(code.replace("tf.disable_v2_behavior()", ""), names)
    return names


def values(seed=0, count=12):
    """Weights, and gradients of some steps, some of which are clipped."""
    generator = np.random.default_rng(seed)
    weights = {n: generator.normal(size=s).astype("float32") for n, s in SHAPES.items()}
    gradients = [
        [(0.3 * generator.normal(size=s)).astype("float32") for s in SHAPES.values()]
        for _ in range(count)
    ]
    return weights, gradients


def trained_by_tf1(make_train_op, gradients_first=False):
    """The weights after each step of a graph in which the gradients are fed."""
    weights, gradients = values()
    with tf.Graph().as_default():
        variables = [v1.get_variable(n, initializer=w) for n, w in weights.items()]
        fed = [v1.placeholder(tf.float32, shape) for shape in SHAPES.values()]
        if gradients_first:
            update = make_train_op(fed, variables)
        else:
            loss = sum(
                tf.reduce_sum(f * v) for f, v in zip(fed, variables, strict=True)
            )
            update = make_train_op(loss)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for step in gradients:
                session.run(update, dict(zip(fed, step, strict=True)))
            return session.run(variables)


def trained_by_keras(optimizer):
    weights, gradients = values()
    variables = []
    for name, value in weights.items():
        scope, _, last = name.partition("/")
        with keras.name_scope(scope):
            variables.append(keras.Variable(value, name=last))
    for step in gradients:
        optimizer.apply([tf.constant(g) for g in step], variables)
    return [variable.numpy() for variable in variables]


def assert_same_training(ours, theirs):
    """By the distance from the beginning, as the promise for BERT's graph is."""
    begin = values()[0].values()
    for mine, other, start in zip(ours, theirs, begin, strict=True):
        moved = np.abs(other - start).max()
        assert moved > 1e-3
        np.testing.assert_allclose(mine, other, atol=1e-4 * moved)


def test_a_definition_of_berts_recipe_trains_as_its_graph_did():
    """Of a graph without variables as resources, whose rate is that of the step."""
    arguments = (0.02, 40, 4)
    new = rewritten(BERT)
    assert "polynomial_decay" not in new
    optimizer = run(new)["make_train_op"](None, *arguments)
    assert type(optimizer) is ClippedOptimizer
    with_control = BERT.replace(
        "    train_op = optimizer.apply_gradients",
        "    with tf.control_dependencies([rate, *gradients]):\n"
        "      train_op = optimizer.apply_gradients",
    ).replace(
        "    return tf.group(train_op, [step.assign(step + 1)])",
        "    with tf.control_dependencies([train_op]):\n"
        "      return tf.group(step.assign_add(1))",
    )
    theirs = trained_by_tf1(
        lambda loss: run(with_control)["make_train_op"](loss, *arguments)
    )
    assert_same_training(trained_by_keras(optimizer), theirs)


CLASS_AS_FUNCTION = '''\
def AdamWeightDecayOptimizer(
    learning_rate,
    weight_decay_rate=0.0,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-06,
    exclude_from_weight_decay=None,
    name='AdamWeightDecayOptimizer',
):
    """Adam without bias correction, and with decoupled weight decay."""
    # keras_tricks: this makes a Keras optimizer, which counts its own iterations.
    #   model.compile(optimizer, loss) and model.fit train with it
    return AdamWeightDecay(
        learning_rate,
        weight_decay=weight_decay_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        exclude_from_weight_decay=exclude_from_weight_decay,
        name=name,
    )
'''


def test_what_is_around_stays_byte_for_byte():
    """But the import, and the blocks that are rewritten."""
    new = rewritten(BERT)
    ast.parse(new)
    assert new[: new.index("from keras")] == BERT[: BERT.index("\ntf.disable")]
    rest = "\n\ndef make_optimizer():"
    expected = BERT[BERT.index(rest) :]
    for old, other in {
        "return AdamWeightDecayOptimizer(": "return AdamWeightDecay(",
        "weight_decay_rate=0.1,": "weight_decay=0.1,",
    }.items():
        expected = expected.replace(old, other)
    expected = expected[: expected.index("class Adam")] + CLASS_AS_FUNCTION
    assert new[new.index(rest) :] == expected


CALLS = {
    "by position": "optimization.create_optimizer(loss, 5e-5, 1000, 100, False)",
    "by name": (
        "optimization.create_optimizer(loss=loss, init_lr=5e-5, num_warmup_steps=100, "
        "num_train_steps=1000, use_tpu=use_tpu)"
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "imports",
    [
        "import optimization",
        "from bert import optimization",
        "import bert.optimization",
    ],
)
def test_a_call_of_berts_recipe_makes_the_optimizer(name, imports):
    call = CALLS[name]
    if imports.startswith("import bert"):
        call = call.replace("optimization.", "bert.optimization.", 1)
    code = f"{imports}\n\ndef train(loss, use_tpu):\n    train_op = {call}\n"
    code += "    return train_op\n"
    new = rewritten(code)
    assert "    # keras_tricks: a Keras optimizer, and no train op." in new
    optimizer = run(new.replace(imports, ""))["train"](None, False)
    schedule = optimizer.inner_optimizer._learning_rate
    rates = [float(schedule(step)) for step in (50, 100, 550, 1000)]
    np.testing.assert_allclose(rates, [2.5e-5, 4.5e-5, 2.25e-5, 0], rtol=1e-6)
    assert (optimizer.global_clipnorm, optimizer.inner_optimizer.weight_decay) == (
        1,
        0.01,
    )


def test_a_call_is_read_with_the_function_that_it_calls(tmp_path):
    """ELECTRA's warmup is a factor, its defaults count, its layer-wise rates do not."""
    recipe = BERT.replace(
        "def make_train_op(loss, init_lr, num_train_steps, num_warmup_steps):",
        "def create_optimizer(loss, init_lr, num_train_steps, warmup_steps=10,\n"
        "                     layer_decay=-1):",
    ).replace("num_warmup_steps", "warmup_steps")
    start = recipe.index("    if warmup_steps:")
    end = recipe.index("    optimizer = Adam")
    factor = (
        "    rate *= tf.minimum(1.0, tf.to_float(step) / tf.to_float(warmup_steps))\n"
        "    if layer_decay > 0:\n"
        "        rate = by_layer(rate, layer_decay)\n"
    )
    recipe = recipe[:start] + factor + recipe[end:]
    (tmp_path / "optimization.py").write_text(recipe, encoding="utf-8")
    call = (
        "import optimization\nop = optimization.create_optimizer(loss, 1e-3, 100{})\n"
    )
    path = tmp_path / "train.py"
    new = rewritten(call.format(""), path)
    assert 'op = create_optimizer(0.001, 100, 10, join="multiply")\n' in new
    assert "op = create_optimizer(0.001, 100, 7," in rewritten(call.format(", 7"), path)
    assert "create_optimizer(loss, 1e-3, 100, 7, x)\n" in rewritten(
        call.format(", 7, x"), path
    )
    [finding] = findings(Source(call.format(", 7, 0.9"), str(path)))
    assert finding.instead == "no advice: `0.9 > 0` is True"
    # The definition keeps its parameters, and refuses what it has no recipe for.
    make = run(rewritten(recipe))["create_optimizer"]
    assert type(make(None, 1e-3, 100)) is ClippedOptimizer
    with pytest.raises(ValueError, match="`layer_decay > 0` must be False"):
        make(None, 1e-3, 100, layer_decay=0.9)


TRAIN = """    weights = tf.trainable_variables()
    (gradients, _) = tf.clip_by_global_norm(tf.gradients(loss, weights), clip_norm=1.0)
"""
OTHER_BODIES = {
    "all variables, by a flag": (
        TRAIN,
        TRAIN.replace("()\n", "()\n    if not few:\n        weights = few\n", 1),
    ),
    "a flag that changes": (
        TRAIN,
        "    few = few or []\n"
        + TRAIN.replace("()\n", "()\n    if few:\n        weights = few\n", 1),
    ),
    "some variables, by name": (
        "tf.trainable_variables()\n    (",
        "[v for v in tf.trainable_variables() if 'a' in v.name]\n    (",
    ),
    "of a scope": ("trainable_variables()\n    (", "trainable_variables('a')\n    ("),
    "variables that are given": (
        "weights = tf.trainable_variables()",
        "weights = few or tf.trainable_variables()",
    ),
    "pairs of some": (
        "zip(gradients, weights), g",
        "zip(gradients[1:], weights[1:]), g",
    ),
    "gradients that change": (
        "    train_op =",
        "    gradients = [2.0 * g for g in gradients]\n    train_op =",
    ),
    "gradients that stop": (
        "gradients(loss, weights)",
        "gradients(loss, weights, stop_gradients=weights[:1])",
    ),
    "another loss": ("gradients(loss, weights)", "gradients(loss / 4, weights)"),
    "two steps at once": ("assign(step + 1)", "assign(step + 2)"),
    "no step": ("[step.assign(step + 1)]", "[]"),
    "moments of ones": ("zeros_initializer", "ones_initializer"),
}


@pytest.mark.parametrize("name", OTHER_BODIES)
def test_a_definition_that_does_more_than_berts_stays(name, tmp_path):
    """And so do calls of it, for which the statement is named."""
    assert TRAIN in BERT
    head = "def make_train_op(loss, init_lr, num_train_steps, num_warmup_steps"
    other = BERT.replace(*OTHER_BODIES[name]).replace(head, f"{head}, few=None")
    assert other != BERT.replace(head, f"{head}, few=None")
    other = other.replace("def make_train_op", "def create_optimizer")
    new = rewritten(other)
    assert "tf.group(train_op" in new
    assert "import create_optimizer" not in new
    (tmp_path / "optimization.py").write_text(other, encoding="utf-8")
    call = "import optimization\nop = optimization.create_optimizer(loss, 1, 9, 1{})\n"
    for given in ("", ", few=True"):
        source = Source(call.format(given), str(tmp_path / "train.py"))
        [finding] = findings(source)
        assert finding.instead.startswith("no advice: ")
        assert finding.rewrite is None
        is_named = "no argument `few`" in finding.instead
        assert is_named or not given or name == "moments of ones"


@pytest.mark.parametrize(
    "test",
    [
        "num_warmup_steps and init_lr < 1e-3",
        "init_lr < 1e-3",
        "num_warmup_steps and num_train_steps < 5",
    ],
)
def test_a_recipe_stays_whose_warmup_depends_on_another_number(test):
    """It was rewritten without the warmup, and refused those who had one."""
    code = BERT.replace("    if num_warmup_steps:", f"    if {test}:")
    assert code != BERT
    assert "create_optimizer" not in rewritten(code)
    recipe = next(f for f in findings(Source(code)) if "recipe" in f.what)
    assert recipe.instead.startswith(
        f"not rewritten: `if {ast.unparse(ast.parse(test))}"
    )
    assert recipe.rewrite is None


CHOICE = """    if kind == "adamw":
        optimizer = AdamWeightDecayOptimizer(
            learning_rate=rate,
            weight_decay_rate=0.01,
            exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
        )
    elif kind == "momentum":
        optimizer = tf.train.MomentumOptimizer(rate, 0.9)
    else:
        raise ValueError(kind)
    weights = tf.trainable_variables()
    for weight in weights:
        if frozen and weight.name in frozen:
            weights.remove(weight)
    gradients = tf.gradients(loss, weights, colocate_gradients_with_ops=together)
    (gradients, _) = tf.clip_by_global_norm(gradients, clip_norm=1.0)
"""


def test_a_definition_keeps_one_choice_of_its_arguments(tmp_path):
    """The optimizer is chosen by a text, and a switch that is off picks weights."""
    start = BERT.index("    optimizer = AdamWeightDecayOptimizer(")
    end = BERT.index("    train_op = optimizer.apply")
    code = (BERT[:start] + CHOICE + BERT[end:]).replace(
        "def make_train_op(loss, init_lr, num_train_steps, num_warmup_steps):",
        "def create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps,\n"
        '                     kind="adamw", frozen=None, together=False):',
    )
    make = run(rewritten(code))["create_optimizer"]
    arguments = (0.02, 40, 4)
    with_control = code.replace(
        "    train_op = optimizer.apply_gradients",
        "    with tf.control_dependencies([rate, *gradients]):\n"
        "      train_op = optimizer.apply_gradients",
    ).replace(
        "    return tf.group(train_op, [step.assign(step + 1)])",
        "    with tf.control_dependencies([train_op]):\n"
        "      return tf.group(step.assign_add(1))",
    )
    theirs = trained_by_tf1(
        lambda loss: run(with_control)["create_optimizer"](loss, *arguments)
    )
    assert_same_training(trained_by_keras(make(None, *arguments)), theirs)
    with pytest.raises(ValueError, match="`kind` must be 'adamw'"):
        make(None, *arguments, kind="momentum")
    with pytest.raises(ValueError, match="`frozen` must be None"):
        make(None, *arguments, frozen=["dense/bias:0"])
    (tmp_path / "optimization.py").write_text(code, encoding="utf-8")
    for given, expected in {
        "": "create_optimizer(1, 9, 2)",
        ", kind": "create_optimizer(1, 9, 2)",
        ", 'momentum'": "no advice: `'momentum' == 'adamw'` is False",
        ", frozen=True": "no advice: `frozen` is True",
    }.items():
        call = (
            f"import optimization\nx = optimization.create_optimizer(l, 1, 9, 2{given})"
        )
        [finding] = findings(Source(call, str(tmp_path / "train.py")))
        assert finding.instead.endswith(expected)
        is_certain = finding.rewrite is not None and not finding.rewrite.is_comment
        assert is_certain is (not given)
        assert ("if `kind == 'adamw'` is True" in finding.check) is (given == ", kind")


CLASS = (
    "import re\nimport tensorflow.compat.v1 as tf\n\n\n"
    + BERT[BERT.index("class AdamWeightDecayOptimizer") :]
)


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({}, {}),
        ({}, {"exclude_from_weight_decay": ["bias"], "beta_1": 0.7, "epsilon": 1e-3}),
        (XLNET, {"exclude_from_weight_decay": ["dense"]}),
        (IN_A_LOOP, {"exclude_from_weight_decay": ["bias"]}),
        (
            {**XLNET, '["r_bias"]': '["e/bias"]'},
            {"exclude_from_weight_decay": ["dense"]},
        ),
    ],
)
def test_an_optimizer_class_becomes_a_function_that_makes_keras(changes, given):
    code = CLASS
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    name = "AdamWeightDecayOptimizer"
    theirs = trained_by_tf1(
        lambda fed, variables: run(code)[name](0.02, 0.3, **given).apply_gradients(
            list(zip(fed, variables, strict=True))
        ),
        gradients_first=True,
    )
    new = rewritten(code)
    assert "class" not in new
    optimizer = run(new)[name](0.02, 0.3, **given)
    assert type(optimizer) is AdamWeightDecay
    assert_same_training(trained_by_keras(optimizer), theirs)


@pytest.mark.parametrize("name", [*CHANGED, *CHANGED_IN_A_LOOP])
def test_a_class_in_which_other_weights_decay_is_not_taken_for_berts(name):
    """Nor is the recipe that makes it, here or called from another file."""
    code = BERT
    if name in CHANGED_IN_A_LOOP:
        for old, new in IN_A_LOOP.items():
            code = code.replace(old, new)
    old, new = {**CHANGED, **CHANGED_IN_A_LOOP}[name]
    assert code.count(old) == 1
    code = code.replace(old, new)
    found = findings(Source(code))
    assert not any("BERT's recipe" in f.what for f in found)
    for what in ("AdamWeightDecayOptimizer", "definition of AdamWeightDecayOptimizer"):
        for one in (f for f in found if f.what == what):
            assert "differs from BERT's" in one.instead
            assert one.rewrite is None
    new = rewritten(code)
    assert new[new.index("class Adam") :] == code[code.index("class Adam") :]


def test_a_class_with_rates_by_layer_becomes_one_without_them():
    code = CLASS
    for old, new in ELECTRA.items():
        code = code.replace(old, new)
    make = run(rewritten(code))["AdamWeightDecayOptimizer"]
    assert type(make(0.1)) is AdamWeightDecay
    with pytest.raises(ValueError, match="`learning_rate_multipliers="):
        make({"embeddings": 0.1})


@pytest.mark.parametrize(
    "user",
    [
        "def op(pairs, step):\n    optimizer = AdamWeightDecayOptimizer(0.1)\n"
        "    optimizer.compute_gradients(pairs)\n",
        "class Mine(AdamWeightDecayOptimizer):\n    pass\n",
        "optimizers = [AdamWeightDecayOptimizer]\n",
        "def AdamWeightDecay():\n    pass\n",
    ],
)
def test_an_optimizer_class_stays_with_the_code_that_uses_it(user):
    code = f"{CLASS}\n\n{user}"
    assert rewritten(code) == code
    [found] = [f for f in findings(Source(code)) if f.what.startswith("definition")]
    assert found.rewrite is None
    assert found.why_not


def test_an_optimizer_class_with_more_than_berts_stays():
    more = f"{CLASS}\n    def rate(self):\n        return self.learning_rate\n"
    for code in (more, f"@traced\n{CLASS[CLASS.index('class') :]}"):
        assert rewritten(code) == code


@pytest.mark.parametrize(
    ("constructor", "made"),
    [
        ("tf.train.AdamOptimizer(0.01)", "Adam"),
        ("tf.train.AdamOptimizer(0.01, beta1=0.8, epsilon=1e-4)", "Adam"),
        ("tf.train.GradientDescentOptimizer(learning_rate=0.01)", "SGD"),
        ("tf.train.AdagradOptimizer(0.01)", None),
        ("tf.train.AdadeltaOptimizer(0.5, rho=0.9)", "Adadelta"),
        ("tf.train.FtrlOptimizer(0.01)", "Ftrl"),
    ],
)
def test_an_optimizer_with_its_clipping_and_updates(constructor, made):
    """In one function: the first update, which is all that it makes."""
    code = dedented(f"""
        import tensorflow.compat.v1 as tf

        def update(gradients, weights):
            optimizer = {constructor}
            # The limit of the paper.
            (clipped, _) = tf.clip_by_global_norm(gradients, clip_norm=0.5)
            return optimizer.apply_gradients(zip(clipped, weights), global_step=None)
    """)
    new = rewritten(code)
    if made is None:
        assert new == code
        return
    assert "optimizer = ClippedOptimizer(" in new
    assert f"keras.optimizers.{made}(" in new
    assert "    # The limit of the paper.\n    clipped = gradients\n" in new
    assert "apply_gradients(zip(clipped, weights))\n" in new
    weights, gradients = values(count=1)
    variables = [keras.Variable(value) for value in weights.values()]
    run(new)["update"]([tf.constant(g) for g in gradients[0]], variables)
    with tf.Graph().as_default():
        old = [v1.get_variable(n, initializer=w) for n, w in weights.items()]
        op = run(code)["update"]([tf.constant(g) for g in gradients[0]], old)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(op)
            expected = session.run(old)
    for variable, value, start in zip(
        variables, expected, weights.values(), strict=True
    ):
        assert np.abs(value - start).max() > 1e-4
        np.testing.assert_allclose(variable.numpy(), value, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(clipped, _)", "(clipped, norm)"),
        ("    return", "    print(norm)\n    return"),
        ("optimizer = tf", "optimizer = other = tf"),
        ("zip(clipped", "zip(more(clipped)"),
        ("    return", "    optimizer.minimize(x)\n    return"),
        ("(0.01)", "(tf.constant(0.01))"),
        ("(0.01)", "(rate)"),
        ("Adam", "Momentum"),
        ("update(gradients", "update(gradients, ClippedOptimizer"),
    ],
)
def test_updates_that_are_used_otherwise_stay(old, new):
    code = dedented("""
        import tensorflow.compat.v1 as tf

        def update(gradients, weights):
            optimizer = tf.train.AdamOptimizer(0.01)
            (clipped, _) = tf.clip_by_global_norm(gradients, clip_norm=0.5)
            return optimizer.apply_gradients(zip(clipped, weights))
    """)
    if old == "    return":
        code = code.replace("(clipped, _)", "(clipped, norm)")
    changed = code.replace(old, new)
    assert changed != code
    if (old, new) == ("(clipped, _)", "(clipped, norm)"):
        assert rewritten(changed) != changed  # A norm that nothing reads.
    else:
        assert rewritten(changed) == changed


INITS = {
    "cast": "self.d_model = tf.cast(d_model, tf.float32)",
    "cast by name": "self.d_model = tf.cast(d_model, dtype=tf.float32)",
    "plain": "self.d_model = d_model",
    "twice": "self.d_model = d_model\n"
    "        self.d_model = tf.cast(self.d_model, 'float32')",
}
STEPS = {
    "cast by keyword": "step = tf.cast(step, dtype=tf.float32)\n",
    "cast by position": "step = tf.cast(step, tf.float32)\n",
    "cast to a name": "step = tf.cast(step, 'float32')\n",
    "none": "",
}
FORMULAS = {
    "rsqrt": "arg1 = tf.math.rsqrt(step)\narg2 = step * (self.warmup_steps ** -1.5)\n"
    "return tf.math.rsqrt({d}) * tf.math.minimum(arg1, arg2)",
    "minimum at once": "return tf.math.rsqrt({d}) * tf.minimum("
    "tf.math.rsqrt(step), step * self.warmup_steps**-1.5)",
    "powers": "return ({d} ** -0.5) * tf.minimum("
    "step ** -0.5, step * tf.pow({w}, -1.5))",
}


@pytest.mark.parametrize(
    ("init", "step", "formula", "has_config", "has_old_super"),
    [
        case
        for case in itertools.product(INITS, STEPS, FORMULAS, (0, 1), (0, 1))
        # Each pair of spellings that runs, and is in some article.
        if sum(map(len, map(str, case))) % 3 == 0
    ],
)
def test_the_tutorials_schedule_in_its_spellings(
    init, step, formula, has_config, has_old_super
):
    """The imported class has the rates of the one that it replaces."""
    parent = "super(CustomSchedule, self)" if has_old_super else "super()"
    text = FORMULAS[formula].format(
        d="tf.cast(self.d_model, tf.float32)", w="float(self.warmup_steps)"
    )
    text = text.replace(
        "float(self.warmup_steps)", "tf.cast(self.warmup_steps, 'float32')"
    )
    body = textwrap.indent(STEPS[step] + text, " " * 8)
    code = (
        "import tensorflow as tf\n\n\n"
        "class CustomSchedule(tf.keras.optimizers.schedules.LearningRateSchedule):\n"
        "    def __init__(self, d_model, warmup_steps=4000):\n"
        f"        {parent}.__init__()\n"
        f"        {INITS[init]}\n"
        "        self.warmup_steps = warmup_steps\n\n"
        f"    def __call__(self, step):\n{body}\n"
    )
    if has_config:
        code += (
            "\n    def get_config(self):\n"
            '        return {"d_model": self.d_model, "warmup_steps": 50}\n'
        )
    code += "\n\nschedule = CustomSchedule(128, warmup_steps=50)\n"
    new = rewritten(code)
    if new == code:
        # Nothing is wrong with it: it casts, and what it returns can be saved.
        assert has_config
        assert step != "none"
        assert init == "plain"
        return
    schedule = run(new)["schedule"]
    assert type(schedule) is CustomSchedule
    names = {}
    exec(code, names)
    steps = tf.constant([1.0, 20.0, 50.0, 400.0])
    np.testing.assert_allclose(
        schedule(steps).numpy(), names["schedule"](steps).numpy(), rtol=1e-6
    )


def test_hugging_faces_call_makes_the_pair():
    """Optimizer and schedule, as `create_optimizer` of transformers returned them."""
    code = dedented("""
        from transformers import create_optimizer

        optimizer, schedule = create_optimizer(
            init_lr=5e-5, num_train_steps=1000, num_warmup_steps=100,
            weight_decay_rate=0.01, adam_global_clipnorm=1.0)
    """)
    new = rewritten(code)
    assert "from keras_tricks.optimizers import create_optimizer as keras_cr" in new
    names = run(new.replace("from transformers import create_optimizer\n", ""))
    rates = [float(names["schedule"](step)) for step in (50, 100, 550, 1000)]
    np.testing.assert_allclose(rates, [2.5e-5, 5e-5, 2.5e-5, 0], rtol=1e-6)
    adam = names["optimizer"].inner_optimizer
    assert type(adam) is AdamWeightDecay
    assert (adam.epsilon, adam.bias_correction, adam.weight_decay) == (1e-8, True, 0.01)


def test_what_stays_tf1_is_told_what_to_do_once():
    """Beside a rewrite; a second run adds nothing, and alone it changes no file."""
    code = dedented("""
        import optimization
        import tensorflow as tf

        def model_fn(loss, mode, init_checkpoint, assignment_map):
            tf.train.init_from_checkpoint(init_checkpoint, assignment_map)
            if mode == "train":
                train_op = optimization.create_optimizer(loss, 5e-5, 100, 10, False)
                return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)
    """)
    new = rewritten(code)
    todo = [line.strip() for line in new.splitlines() if "# keras_tricks: " in line]
    assert [line.split(" ")[2:4] for line in todo] == [
        ["call", "keras_tricks.tf1.restore_weights(model,"],
        ["a", "Keras"],
        ["model.compile(optimizer,", "loss),"],
    ]
    assert rewritten(new) == new
    alone = code.replace("optimization.create_optimizer", "mine.create_optimizer")
    assert rewritten(alone) == alone


def test_a_sum_of_shapes_counts_the_same_graph():
    code = dedented("""
        import numpy as np
        import tensorflow.compat.v1 as tf

        def count():
            return sum([np.prod(v.shape) for v in tf.trainable_variables()])
    """)
    new = rewritten(code)
    assert "return count_parameters(tf.trainable_variables())\n" in new
    with tf.Graph().as_default():
        for name, shape in SHAPES.items():
            v1.get_variable(name, shape)
        assert run(new)["count"]() == run(code)["count"]() == 18


LOST = {
    "tf.train.RMSPropOptimizer(0.1, centered=True)": "without `centered=True`",
    "tf.train.AdamOptimizer(0.1).minimize(loss, var_list=few)": "`var_list=few`",
    "tf.contrib.layers.optimize_loss(loss, None, 0.1, 'SGD', gradient_multipliers=m)": (
        "without `gradient_multipliers=m`"
    ),
    "[tf.clip_by_norm(g, 1) if 'a' in v.name else g for g, v in grads]": "no advice: ",
    "tf.train.init_from_checkpoint(path, names)": "`names`",
    "sum(np.prod(v.shape) for v in tf.trainable_variables('a'))": "without `tf.",
    "sum(np.prod(v.shape) for v in tf.trainable_variables() if v.name)": "without `if",
}


@pytest.mark.parametrize("code", LOST)
def test_advice_names_what_it_loses(code):
    """And there is no rewrite of it."""
    source = Source(f"import numpy as np\nimport tensorflow as tf\nx = {code}\n")
    found = findings(source)
    assert any(LOST[code] in finding.instead for finding in found)
    assert all(f.rewrite is None or f.rewrite.is_comment for f in found)
