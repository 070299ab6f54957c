import contextlib
import io
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.schedules import CustomSchedule
from keras_tricks.tf1 import lint
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import findings
from tests.child_process import ROOT
from tests.tf1.class_variants import ELECTRA
from tests.tf1.class_variants import XLNET
from tests.tf1_reference import session_config

v1 = tf.compat.v1
SAMPLES = ROOT / "tests" / "tf1" / "samples"
GLOBAL_STEP = "optimizer.iterations (a schedule in an optimizer is given the step)"
COUNT = "keras_tricks.parameters.count_parameters(model)"


def sample(name):
    return (SAMPLES / f"{name}.py.txt").read_text(encoding="utf-8")


def found(code):
    """Line, column, what and what instead of each finding."""
    code = textwrap.dedent(code)
    return [(f.line, f.column, f.what, f.instead) for f in findings(Source(code))]


def what(code):
    return [finding[2] for finding in found(code)]


def rewritten(code):
    source = Source(code)
    return edits.rewritten(source, edits.chosen(findings(source)))


def run(code):
    """The names of a program after it ran, eager mode being left on."""
    names = {}
    exec(code.replace("tf.disable_v2_behavior()", ""), names)
    return names


def test_bert_code_is_listed_place_by_place():
    """Lines and columns were counted by hand in the sample."""
    schedule = (
        "keras_tricks.schedules.WarmupPolynomialDecay"
        "(init_lr, num_train_steps, num_warmup_steps)"
    )
    assert found(sample("bert_style")) == [
        (
            10,
            1,
            "definition of make_train_op, BERT's recipe",
            "keras_tricks.optimizers.create_optimizer"
            "(init_lr, num_train_steps, num_warmup_steps)",
        ),
        (11, 12, "tf.train.get_or_create_global_step", GLOBAL_STEP),
        (13, 12, "tf.train.polynomial_decay", schedule),
        (21, 16, "warmup mask", schedule),
        (
            22,
            17,
            "AdamWeightDecayOptimizer",
            "keras_tricks.optimizers.AdamWeightDecay(rate, weight_decay=0.01, "
            "exclude_from_weight_decay=['LayerNorm', 'layer_norm', 'bias'])",
        ),
        (
            28,
            22,
            "tf.clip_by_global_norm",
            "keras_tricks.optimizers.ClippedOptimizer(optimizer, global_clipnorm=1.0)",
        ),
        (
            35,
            12,
            "AdamWeightDecayOptimizer",
            "keras_tricks.optimizers.AdamWeightDecay(0.01, weight_decay=0.1, "
            "exclude_from_weight_decay=['LayerNorm', 'bias'])",
        ),
        (44, 5, "parameter count", COUNT),
        (
            52,
            1,
            "definition of AdamWeightDecayOptimizer",
            "from keras_tricks.optimizers import AdamWeightDecay",
        ),
    ]


def test_the_tutorial_class_has_two_faults():
    """It takes the root of an integer, and Keras cannot save it."""
    new = "from keras_tricks.schedules import CustomSchedule"
    assert found(sample("tutorial")) == [
        (9, 1, "CustomSchedule without get_config", new),
        (17, 16, "CustomSchedule.__call__: tf.math.rsqrt(step) without a cast", new),
    ]


def test_a_class_with_a_cast_and_get_config_has_none():
    """Mended as the faults say, the class is no longer listed."""
    mended = sample("tutorial").replace(
        "rsqrt(step)", "rsqrt(tf.cast(step, 'float32'))"
    )
    assert what(mended) == ["CustomSchedule without get_config"]
    mended += "\n"
    mended = mended.replace(
        "    def __call__", "    def get_config(self):\n        ...\n\n    def __call__"
    )
    assert what(mended) == []


def test_a_class_with_another_formula_is_told_how_to_mend_it():
    """`CustomSchedule` is not offered for what it does not compute."""
    other = sample("tutorial").replace("-1.5", "-2.5")
    assert [finding[2:] for finding in found(other)] == [
        (
            "CustomSchedule without get_config",
            "def get_config(self) that returns the constructor's arguments",
        ),
        (
            "CustomSchedule.__call__: tf.math.rsqrt(step) without a cast",
            'tf.math.rsqrt(tf.cast(step, "float32"))',
        ),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import tensorflow as tf; tf.train.polynomial_decay(a, b, c)",
        "import tensorflow.compat.v1 as tf; tf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf; tf.compat.v1.train.polynomial_decay(a, b, c)",
        "import tensorflow; tensorflow.train.polynomial_decay(a, b, c)",
        "import tensorflow.compat.v1; "
        "tensorflow.compat.v1.train.polynomial_decay(a, b, c)",
        "from tensorflow.compat import v1; v1.train.polynomial_decay(a, b, c)",
        "from tensorflow.compat.v1 import train; train.polynomial_decay(a, b, c)",
        "from tensorflow.compat.v1.train import polynomial_decay as p; p(a, b, c)",
        "import tensorflow as tf\nv = tf.compat.v1\nv.train.polynomial_decay(a, b, c)",
        "try:\n  import tensorflow.compat.v1 as tf\nexcept ImportError:\n"
        "  import tensorflow as tf\ntf.train.polynomial_decay(a, b, c)",
        "def f():\n  import tensorflow as tf\n  tf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf\nclass C:\n  tf = 1\n  def f(self):\n"
        "    tf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf, functools as f\n"
        "f.partial(tf.train.polynomial_decay, a)",
        "from tensorpack import tfv1 as tf\ntf.train.polynomial_decay(a, b, c)",
        "from tensorpack.compat import tfv1\ntfv1.train.polynomial_decay(a, b, c)",
        "from utils import tf\ntf.train.polynomial_decay(a, b, c)",
        "from .backend import tf, K\ntf.train.polynomial_decay(a, b, c)",
        "from tensorpack import *\ntf.train.polynomial_decay(a, b, c)",
        "tf.train.polynomial_decay(a, b, c)",
    ],
)
def test_tensorflow_is_known_under_any_name(code):
    """Each spelling names TF1's function once."""
    [name] = what(code)
    assert name.endswith(("polynomial_decay", "p"))


@pytest.mark.parametrize(
    "code",
    [
        "import optimization; optimization.AdamWeightDecayOptimizer(1e-3)",
        "from bert.optimization import AdamWeightDecayOptimizer as A; A(1e-3)",
        "AdamWeightDecayOptimizer(1e-3)",
    ],
)
def test_berts_optimizer_is_known_under_any_name(code):
    assert what(code) == ["AdamWeightDecayOptimizer"]


@pytest.mark.parametrize(
    "code",
    [
        "def f(tf):\n  tf.train.polynomial_decay(a, b, c)",
        "import torch as tf; tf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf\ntf = mine\ntf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf\ndef f():\n  global tf\n  tf = mine\n"
        "tf.train.polynomial_decay(a, b, c)",
        "import tensorflow as tf\n[tf.train.polynomial_decay(a, b, c) for tf in x]",
        "import tensorflow as tf\nf = lambda tf: tf.clip_by_global_norm(g, 1.0)",
        "import tensorflow as tf\nmatch x:\n  case [tf]:\n"
        "    tf.clip_by_global_norm(g, 1.0)",
        "polynomial_decay(a, b, c)",
    ],
)
def test_another_thing_of_that_name_is_not_tensorflow(code):
    """A parameter, an assignment or another import takes the name over."""
    assert what(code) == []


@pytest.mark.parametrize(
    "expression",
    [
        "(1.0 - is_warmup) * a + is_warmup * b",
        "is_warmup * b + a * (1 - is_warmup)",
        "a - a + (1.0 - is_warmup) * a + b * is_warmup",
        "tf.add(tf.multiply(tf.subtract(1.0, is_warmup), a), is_warmup * b)",
        "mask * b + (1.0 - mask) * a",
        "mask * b + rest * a",
        "tf.cond(step < warmup_steps, lambda: b, lambda: a)",
        "tf.compat.v1.cond(pred=tf.less(step, warmup_steps), true_fn=b, false_fn=a)",
        "tf.where(is_warmup > 0, b, a)",
        "tf.where(early, b, a)",
    ],
)
def test_a_warmup_is_known_as_a_mask_and_as_a_choice(expression):
    code = f"""
        import tensorflow as tf
        is_warmup = tf.to_float(step < warmup_steps)
        mask = tf.cast(step < warmup_steps, tf.float32)
        rest = 1.0 - mask
        early = step < warmup_steps
        a = peak
        b = peak * tf.to_float(step) / tf.to_float(warmup_steps)
        rate = {expression}
    """
    [(line, column, name, new)] = found(code)
    assert (line, column) == (9, 8)
    assert name.startswith("warmup")
    assert new == "keras_tricks.schedules.Warmup(peak, warmup_steps)"


@pytest.mark.parametrize(
    "expression",
    [
        "(1.0 - mask) * a + mask * b",
        "(1.0 - is_warmup) * a + is_cooldown * b",
        "(1.0 - is_warmup) + is_warmup",
        "(2.0 - is_warmup) * a + is_warmup * b",
        "tf.cond(step < steps, lambda: warmup, lambda: a)",
        "keras.ops.where(is_warmup > 0, b, a)",
    ],
)
def test_other_mixtures_are_no_warmup(expression):
    code = f"import tensorflow as tf, keras\nmask = x > 0\nrate = {expression}"
    assert what(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "for v in tf.trainable_variables():\n  n += np.prod(v.get_shape().as_list())",
        "for v in tf.trainable_variables():\n  n += np.prod([d for d in v.shape])",
        "for v in tf.trainable_variables():\n  n += v.shape.num_elements()",
        "for v in all_of_them:\n  s = v.shape\n  k = 1\n  for d in s:\n    k = k * d\n"
        "  n += k",
        "n = sum(np.prod(v.shape) for v in tf.trainable_variables())",
        "n = np.sum([np.prod(v.get_shape()) for v in tf.trainable_variables()])",
        "n = tf.add_n([tf.size(v) for v in tf.trainable_variables()])",
        "n = [reduce(mul, v.shape.as_list(), 1) for v in tf.trainable_variables()]",
    ],
)
def test_a_parameter_count_is_known_in_its_forms(code):
    imports = (
        "import tensorflow.compat.v1 as tf\nall_of_them = tf.trainable_variables()"
    )
    [finding] = found(f"{imports}\n{code}")
    assert finding[2:] == ("parameter count", COUNT)


@pytest.mark.parametrize(
    "code",
    [
        "for v in tf.trainable_variables():\n  print(v.name, v.shape)",
        "loss = tf.add_n([0.1 * tf.nn.l2_loss(v) for v in tf.trainable_variables()])",
        "for v in tf.trainable_variables():\n  loss += 1e-4 * tf.nn.l2_loss(v)",
        "n = sum(np.prod(v.shape) for v in batches)",
    ],
)
def test_other_loops_over_variables_are_no_count(code):
    assert what(f"import tensorflow.compat.v1 as tf\n{code}") == []


def test_clean_code_gives_no_finding(tmp_path, capsys):
    """Keras 3 code that resembles TF1's, this package itself, its examples."""
    clean = tmp_path / "clean.py"
    clean.write_text(sample("clean_keras3"), encoding="utf-8")
    examples = (ROOT / "examples").glob("*.py")
    # This one makes a checkpoint by TF1.
    own = [str(p) for p in examples if p.name != "bert_from_checkpoint.py"]
    status = lint.main([str(clean), str(ROOT / "keras_tricks"), *own])
    assert capsys.readouterr() == ("", "")
    assert status == 0


# What `--diff` may not touch, and what it says about it.
UNCERTAIN = {
    "tf.train.polynomial_decay(*x)": "more than arithmetic",
    "tf.train.polynomial_decay(0.1, step, 10, **x)": "more than arithmetic",
    "tf.train.polynomial_decay(0.1, step)": "more than arithmetic",
    "tf.train.polynomial_decay(unknown, step, 10)": "`unknown` may be",
    "tf.train.polynomial_decay(tf.constant(0.1), step, 10)": "may be something else",
    "tf.train.polynomial_decay(twice, step, 10)": "`twice`, which may be",
    "tf.train.polynomial_decay(1, step, 10)": "`1` may be",
    "tf.train.polynomial_decay(-0.1, step, 10)": "out of its range",
    "tf.train.polynomial_decay(0.1, step, steps)": "`steps` may be",
    "tf.train.polynomial_decay(0.1, step, 10.5)": "whole number",
    "tf.train.polynomial_decay(0.1, step, 0)": "no schedule",
    "tf.train.polynomial_decay(0.1, step, 10, power=0.0)": "takes a positive power",
    "tf.train.polynomial_decay(0.1, step, 10, cycle=flag)": "`cycle`",
    "tf.train.polynomial_decay(0.1, None, 10)": "`None`",
    "tf.train.polynomial_decay(0.1, step, 10, name='x')": "`name`",
    "tf.train.polynomial_decay(0.1, (step), 10)": "parentheses",
    "tf.train.polynomial_decay((0.1), step, 10)": "parentheses",
    "tf.train.polynomial_decay(0.1, step, # it\n 10)": "comment",
    "AdamWeightDecayOptimizer(1e-3)": "not at hand",
    "other.AdamWeightDecayOptimizer(1e-3)": "may differ",
    "optimization.AdamWeightDecayOptimizer(rate)": "`rate` may be",
    "optimization.AdamWeightDecayOptimizer(1)": "Python float",
    "optimization.AdamWeightDecayOptimizer(1e-3, use_locking=True)": "no argument",
    "optimization.AdamWeightDecayOptimizer(0.1, exclude_from_weight_decay=x)": "`x`",
    "optimization.AdamWeightDecayOptimizer(1e-3, 0.1, beta_1=b)": "`b` may be",
    "optimization.AdamWeightDecayOptimizer(1e-3).minimize(x)": "optimizer of TF1",
}


@pytest.mark.parametrize("call", UNCERTAIN)
def test_an_uncertain_call_stays_and_says_why(call):
    code = "import tensorflow as tf, optimization, other\ntwice = 0.1\ntwice = 0.2\n"
    code += f"def f(step, steps=None):\n    return {call}\n"
    [finding] = findings(Source(code))
    assert UNCERTAIN[call] in finding.why_not + finding.instead
    assert rewritten(code) == code


@pytest.mark.parametrize(
    "beginning",
    [
        "import tensorflow as tf\nfrom somewhere import *\n",
        "import tensorflow as tf\nWarmupPolynomialDecay = 1\n",
        "import tensorflow as tf\ndef f(WarmupPolynomialDecay): ...\n",
        "import tensorflow as tf\nfrom mine import WarmupPolynomialDecay\n",
        "import tensorflow as tf\ntf.enable_eager_execution()\n",
        "import tensorflow.compat.v1 as tf\n",
    ],
    ids=["star", "assigned", "parameter", "imported", "eager", "perhaps eager"],
)
def test_a_file_that_gives_names_or_calls_another_meaning_stays(beginning):
    """In eager mode TF1's decay is a function, and no tensor."""
    code = f"{beginning}x = tf.train.polynomial_decay(0.1, step, 10)\n"
    assert len(findings(Source(code))) == 1
    assert rewritten(code) == code


def test_a_rate_is_a_number_if_all_calls_say_so():
    """One call with a tensor, or one that is out of sight, makes it uncertain."""
    code = (
        "import tensorflow as tf\n"
        "def f(rate, step):\n"
        "    return tf.train.polynomial_decay(rate, step, 10)\n"
        "f(0.1, x)\n"
    )
    assert "WarmupPolynomialDecay(rate, 10" in rewritten(code)
    for other in ("f(tf.constant(0.1), x)\n", "f(None, x)\n", "f(*y)\n", "g = f\n"):
        assert rewritten(code + other) == code + other


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-1.5", "-1.0"),
        ("minimum", "maximum"),
        ("tf.math.rsqrt(self.d_model) *", "2 * tf.math.rsqrt(self.d_model) *"),
        ("rsqrt(step)", "rsqrt(step + 1)"),
        ("warmup_steps=4000", "warmup_steps=8000"),
        ("d_model, warmup_steps=4000", "warmup_steps=4000, d_model=128"),
        ("        super()", "        print(d_model)\n        super()"),
        ("    def __call__", "    peak = 1\n\n    def __call__"),
        ("    def __call__", "    def peak(self): ...\n\n    def __call__"),
        ("class Custom", "@decorated\nclass Custom"),
        ("(D_MODEL, ", "(tf.constant(128), "),
        ("D_MODEL = 128", "D_MODEL = 128\nD_MODEL = 1.5"),
        ("def make_schedule", "class Sub(CustomSchedule): ...\n\ndef make_schedule"),
        ("def make_schedule", "CustomSchedule = 1\n\ndef make_schedule"),
    ],
)
def test_a_schedule_that_differs_from_the_tutorials_stays(old, new):
    code = sample("tutorial").replace(old, new)
    assert code != sample("tutorial")
    assert rewritten(code) == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ self.epsilon)", "- self.epsilon)"),
        ("tf.sqrt(new_square)", "new_square"),
        ("tf.square(gradient)", "gradient"),
        ("+ (1.0 - self.beta_1) * gradient", "+ gradient"),
        ("direction += ", "direction -= "),
        ("weight - self.learning_rate", "weight + self.learning_rate"),
        ("mean.assign(new_mean)", "mean.assign(mean)"),
        ("mean.assign(new_mean), ", ""),
        ("weight_decay_rate=0.0,", "weight_decay_rate=0.01,"),
        ("epsilon=1e-6", "epsilon=1e-8"),
        ("re.search(pattern, key)", "pattern == key"),
        (
            "            direction = ",
            "            new_mean = new_mean / (1.0 - self.beta_1)\n"
            "            direction = ",
        ),
        ("            key = ", "            weight = other\n            key = "),
        ("        operations = []", "        operations = [global_step.assign(1)]"),
        (
            "        operations = []",
            "        operations = []\n        grads_and_vars = clipped(grads_and_vars)",
        ),
        ("in grads_and_vars:", "in clipped(grads_and_vars):"),
    ],
)
def test_an_optimizer_that_differs_from_berts_stays(old, new):
    code = sample("bert_style").replace(old, new)
    assert code != sample("bert_style")
    adam = [f for f in findings(Source(code)) if "AdamW" in f.what]
    assert len(adam) == 3
    assert all(f.rewrite is None for f in adam)
    assert all(f.instead.startswith("no advice: it") for f in adam)


def test_an_imported_class_is_compared_where_it_stands(tmp_path):
    """Only the file beside can tell that an `optimization.py` is not BERT's."""
    user = tmp_path / "user.py"
    code = "import optimization\nx = optimization.AdamWeightDecayOptimizer(1e-3)\n"
    user.write_text(code, encoding="utf-8")
    module = tmp_path / "optimization.py"
    module.write_text(sample("bert_style"), encoding="utf-8")
    assert findings(Source.read(user))[0].rewrite
    module.write_text(sample("bert_style").replace("- self.beta", "+ self.beta"))
    [finding] = findings(Source.read(user))
    assert (finding.rewrite, finding.instead[:9]) == (None, "no advice")


DECAY_CALLS = [
    "tf.train.polynomial_decay(0.1, step, 100)",
    "tf.train.polynomial_decay(0.1, step, 100, 0.01)",
    "tf.train.polynomial_decay(0.1, step, 100, 0.01, 2.0, True)",
    "tf.train.polynomial_decay(RATE, step, 4 * STEPS, end_learning_rate=0.0, power=.5)",
    "tf.train.polynomial_decay(RATE / 2, global_step=step, decay_steps=int(1e2),)",
    "tf.train.polynomial_decay(\n    learning_rate=RATE,  # the peak\n"
    "    global_step=step,\n    decay_steps=STEPS,\n    cycle=True,\n)",
    "tf.train.polynomial_decay(decay_steps=STEPS, learning_rate=RATE, "
    "global_step=step)",
    "tf.train.polynomial_decay(global_step=step, power=1, learning_rate=RATE, "
    "decay_steps=1e2, end_learning_rate=0)",
    "tf.train.polynomial_decay(0.1, tf.cast(step, tf.int32), len('six') * 20, power=3)",
]


@pytest.mark.parametrize("call", DECAY_CALLS)
def test_a_rewritten_decay_has_the_bits_of_tf1(call):
    """Both programs run in one TF1 graph without TensorFlow's graph rewriter."""
    code = (
        "import tensorflow.compat.v1 as tf\n"
        "tf.disable_v2_behavior()\n"
        "RATE = 0.3\n"
        "STEPS = 25\n"
        f"def rate(step):\n    return {call}\n"
    )
    new = rewritten(code)
    assert "polynomial_decay" not in new
    with tf.Graph().as_default():
        step = v1.placeholder(tf.int64, ())
        both = [run(program)["rate"](step) for program in (code, new)]
        with v1.Session(config=session_config(grappler=False)) as session:
            rates = np.array(
                [session.run(both, {step: number}) for number in range(0, 130, 3)]
            )
    np.testing.assert_array_equal(rates[:, 0], rates[:, 1])
    assert np.ptp(rates[:, 0]) > 0.01


def test_flags_are_numbers_of_their_kind():
    """`DEFINE_float` makes a rate, `DEFINE_integer` a number of steps."""
    code = (
        "import tensorflow as tf\n"
        "flags = tf.flags\n"
        "FLAGS = flags.FLAGS\n"
        'flags.DEFINE_float("rate", 0.1, "")\n'
        'flags.DEFINE_integer("steps", 100, "")\n'
        "x = tf.train.polynomial_decay(FLAGS.rate, step, FLAGS.steps, 0.0)\n"
    )
    assert "(FLAGS.rate, FLAGS.steps, end_learning_rate=0.0)(step)" in rewritten(code)
    for kind in ("DEFINE_string", "DEFINE_integer"):
        other = code.replace("DEFINE_float", kind)
        assert rewritten(other) == other


def test_the_import_that_replaces_the_tutorial_has_its_rates():
    """The old class, on float steps in a TF1 graph, against the new on integers."""
    old, new = sample("tutorial"), rewritten(sample("tutorial"))
    schedule = run(new)["make_schedule"]()
    assert type(schedule) is CustomSchedule
    steps = np.arange(1, 500)
    with tf.Graph().as_default(), v1.Session() as session:
        rates = session.run(run(old)["make_schedule"]()(tf.constant(steps, tf.float32)))
    np.testing.assert_allclose(schedule(steps).numpy(), rates, rtol=1e-6)


def test_the_rewritten_optimizer_makes_the_updates_of_tf1():
    """Three weights, one of them with decay, and six updates with given gradients."""
    generator = np.random.default_rng(0)
    names = {"dense/kernel": (4, 3), "dense/bias": (3,), "LayerNorm/gamma": (3,)}
    values = {n: generator.normal(size=s).astype("float32") for n, s in names.items()}
    gradients = [
        [generator.normal(size=s).astype("float32") for s in names.values()]
        for _ in range(6)
    ]
    with tf.Graph().as_default():
        weights = [
            v1.get_variable(name, initializer=value) for name, value in values.items()
        ]
        fed = [v1.placeholder(tf.float32, shape) for shape in names.values()]
        update = run(sample("bert_style"))["make_optimizer"]().apply_gradients(
            list(zip(fed, weights, strict=True))
        )
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for step in gradients:
                session.run(update, dict(zip(fed, step, strict=True)))
            expected = session.run(weights)
    optimizer = run(rewritten(sample("bert_style")))["make_optimizer"]()
    assert type(optimizer) is AdamWeightDecay
    variables = []
    for name, value in values.items():
        scope, _, last = name.partition("/")
        with keras.name_scope(scope):
            variables.append(keras.Variable(value, name=last))
    for step in gradients:
        optimizer.apply([tf.constant(g) for g in step], variables)
    for variable, weight in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), weight, rtol=2e-6, atol=2e-7)


def test_arguments_that_bert_leaves_out_keep_berts_values():
    """BERT's class decays nothing and excludes nothing unless it is told to."""
    code = (
        "import optimization\n"
        'a = optimization.AdamWeightDecayOptimizer(1e-3, name="a")\n'
        "b = optimization.AdamWeightDecayOptimizer(.1, 0.1, .8, .9, .1, None, 'b')\n"
    )
    names = {}
    exec(rewritten(code).replace("import optimization\n", ""), names)
    a, b = (names[n].get_config() for n in "ab")
    fields = ("weight_decay", "beta_1", "beta_2", "epsilon", "name")
    assert [a[f] for f in fields] == [0.0, 0.9, 0.999, 1e-6, "a"]
    assert [b[f] for f in fields] == [0.1, 0.8, 0.9, 0.1, "b"]
    assert a["exclude_from_weight_decay"] == b["exclude_from_weight_decay"] == []


def patched(old, patch):
    """The bytes of a file after a unified diff, by the definition of the format."""
    lines, result, place = old.split(b"\n"), [], 0
    for line in patch.split(b"\n")[2:]:
        if line.startswith(b"@@"):
            start = int(line.split()[1].split(b",")[0][1:]) - 1
            result += lines[place:start]
            place = start
        elif line.startswith(b"+"):
            result.append(line[1:])
        elif line.startswith((b" ", b"-")):
            assert lines[place] == line[1:]
            result += [line[1:]] if line.startswith(b" ") else []
            place += 1
    return b"\n".join(result + lines[place:])


@pytest.mark.parametrize(
    ("encoding", "line_end"),
    [("utf-8", "\n"), ("utf-8-sig", "\n"), ("latin-1", "\n"), ("utf-8", "\r\n")],
)
def test_the_patch_changes_the_call_and_nothing_else(
    tmp_path, capfdbinary, encoding, line_end
):
    """Other bytes stay, whatever the encoding, line ends, tabs and form feeds."""
    code = (
        f"# -*- coding: {encoding} -*-\n"
        '"""Ä text."""\n'
        "import tensorflow as tf; x = (1,\n   2)\n"
        "\x0c\n"
        "print( 'é' ) ; y = 'ü', tf.train.polynomial_decay(0.1, step, 10, 0.) # ß  \n"
        "if x:\n\tz = {'ö':1,}   # no line end"
    )
    path = tmp_path / "rates.py"
    path.write_bytes(code.replace("\n", line_end).encode(encoding))
    assert lint.main([str(path), "--diff"]) == 1
    out, err = capfdbinary.readouterr()
    assert err.startswith(f"{path}:6:25: tf.train.polynomial_decay -> ".encode())
    expected = code.replace("   2)\n", "   2)\n" + IMPORT).replace(
        "tf.train.polynomial_decay(0.1, step, 10, 0.)",
        "WarmupPolynomialDecay(0.1, 10, end_learning_rate=0.)(step)",
    )
    expected = expected.replace("\n", line_end).encode(encoding)
    assert patched(path.read_bytes(), out) == expected


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_where_stdout_takes_text_alone_the_patch_is_the_same(
    tmp_path, capfdbinary, line_end
):
    """As a notebook's does, which has no `buffer`."""
    code = (
        "import tensorflow as tf\ny = 'ü', tf.train.polynomial_decay(0.1, s, 10, 0.)\n"
    )
    path = tmp_path / "rates.py"
    path.write_bytes(code.replace("\n", line_end).encode())
    with contextlib.redirect_stdout(io.StringIO()) as text:
        assert lint.main([str(path), "--diff"]) == 1
    assert capfdbinary.readouterr().out == b""
    lint.main([str(path), "--diff"])
    assert text.getvalue().encode() == capfdbinary.readouterr().out
    assert "+y = 'ü', WarmupPolynomialDecay(" in text.getvalue()


IMPORT = "from keras_tricks.schedules import WarmupPolynomialDecay\n"


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ('"""Doc."""\n{}x = {}', "below the documentation"),
        ("# Words.\n{}x = {}", "below the first words"),
        ("from __future__ import division\n{}x = {}", "below the future"),
        ("import a\nimport b\n{}x = {}\nimport c", "not below the use"),
        ("try:\n  import a\nexcept ImportError:\n  a = 1\n{}x = {}", "below the try"),
        ("import a\n{}@a\ndef f():\n  return {}", "above a decorator"),
    ],
)
def test_the_import_stands_where_imports_do(code, place):
    old = "tf.train.polynomial_decay(0.1, step, 10, 0.0)"
    new = "WarmupPolynomialDecay(0.1, 10, end_learning_rate=0.0)(step)"
    end = "\nimport tensorflow as tf\n"
    assert rewritten(code.format("", old) + end) == code.format(IMPORT, new) + end


def test_a_name_that_is_imported_already_is_not_imported_again():
    code = f"import tensorflow as tf\n{IMPORT}x = {{}}\n"
    old = code.format("tf.train.polynomial_decay(0.1, step, 10, 0.0)")
    new = code.format("WarmupPolynomialDecay(0.1, 10, end_learning_rate=0.0)(step)")
    assert rewritten(old) == new


def test_a_directory_is_searched_and_the_status_says_what_was_found(tmp_path, capsys):
    """0 for nothing, 1 for something; hidden folders and other files do not count."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    code = "import tensorflow as tf\ntf.clip_by_global_norm(g, x)\n"
    for file in (tmp_path / ".hidden" / "c.py", deep / "notes.txt"):
        file.write_text(code, encoding="utf-8")
    assert lint.main([str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")
    (deep / "c.py").write_text(code, encoding="utf-8")
    assert lint.main([str(tmp_path), str(deep / "c.py")]) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert line == (
        f"{deep / 'c.py'}:2:1: tf.clip_by_global_norm -> "
        "keras_tricks.optimizers.ClippedOptimizer(optimizer, global_clipnorm=x)"
    )


BROKEN = {
    "python2.py": (b"import os\nprint 'x'\n", "{}:2:1: not Python 3"),
    "unclosed.py": (b"x = (1,\n", "{}:1:5: not Python 3"),
    "null.py": (b"x = 1\0", "null byte"),
    "bytes.py": (b"x = '\xff'\n", "{}"),
    "coding.py": (b"# coding: klingon\n", "unknown encoding"),
    "deep.py": (b"x = " + b"-" * 100_000 + b"1", "nested too deeply"),
    "missing.py": (None, "{}: cannot be read: No such file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_checked_is_one_line_and_status_2(tmp_path, capsys, name):
    """The other files are checked all the same."""
    content, message = BROKEN[name]
    broken, good = tmp_path / name, tmp_path / "tf1.py"
    if content is not None:
        broken.write_bytes(content)
    good.write_text("import tensorflow as tf\ntf.train.get_global_step()\n")
    assert lint.main([str(broken), str(good)]) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert line.startswith(str(broken))
    assert message.format(broken) in line
    assert out == f"{good}:2:1: tf.train.get_global_step -> {GLOBAL_STEP}\n"


def test_warnings_about_the_code_are_none_of_ours(tmp_path, capfd):
    """An invalid escape in a file that is checked is not reported by Python."""
    path = tmp_path / "escape.py"
    path.write_text('x = "\\d"\n')
    assert lint.main([str(path)]) == 0
    assert capfd.readouterr() == ("", "")


def test_the_check_needs_nothing_but_python(run_python):
    """Without the package's own beginning, only Python's modules are imported."""
    code = f"""
        import sys, types
        for name in ("keras_tricks", "keras_tricks.tf1"):
            sys.modules[name] = types.ModuleType(name)
            folder = {str(ROOT)!r} + "/" + name.replace(".", "/")
            sys.modules[name].__path__ = [folder]
        before = set(sys.modules)
        from keras_tricks.tf1 import lint
        print(lint.main([{str(SAMPLES / "tutorial.py.txt")!r}]))
        new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
        print(sorted(new - sys.stdlib_module_names))
    """
    *found, status, foreign = run_python(code).splitlines()
    assert len(found) == 2
    assert (status, foreign) == ("1", "['keras_tricks']")


def test_the_module_runs_as_a_command(run_python, tmp_path):
    """The exit status reaches the shell, so that it serves in CI."""
    (tmp_path / "old.py").write_text(sample("tutorial"), encoding="utf-8")
    code = """
        import subprocess, sys
        command = [sys.executable, "-m", "keras_tricks.tf1", "old.py"]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(finished.returncode, *finished.stdout.splitlines(), sep="\\n")
    """
    status, *listed = run_python(code).splitlines()
    assert status == "1"
    assert [line.split(":")[:3] for line in listed] == [
        ["old.py", "9", "1"],
        ["old.py", "17", "16"],
    ]


@pytest.mark.parametrize(
    ("changes", "call", "definition"),
    [
        (
            XLNET,
            "exclude_from_weight_decay=['LayerNorm', 'bias'], "
            "include_in_weight_decay=['r_bias'])",
            "with include_in_weight_decay=['r_bias'], which this class has beside "
            "BERT's",
        ),
        (
            ELECTRA,
            "; where its learning_rate is a dictionary, with learning_rate_multipliers="
            "{pattern: factor} on one rate",
            "with learning_rate_multipliers={pattern: factor} on one",
        ),
    ],
    ids=["XLNet's", "ELECTRA's"],
)
def test_a_variant_of_berts_optimizer_is_told_from_it(changes, call, definition):
    """By the constructor and the formula; a variant with another formula is none."""
    code = sample("bert_style")
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    found = [f for f in findings(Source(code)) if f.what.startswith("Adam")]
    assert found[-1].instead.endswith(call)
    [of_class] = [f for f in findings(Source(code)) if "definition of Adam" in f.what]
    assert of_class.instead.endswith(definition)
    other = code.replace("tf.square(gradient)", "tf.abs(gradient)")
    assert {f.instead[:9] for f in findings(Source(other)) if "Adam" in f.what} == {
        "no advice"
    }


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ("tf.clip_by_norm(grads[0], 2.0)", "ClippedOptimizer(optimizer, clipnorm=2.0)"),
        ("tf.clip_by_norm(grads[0], 2.0, axes=[0])", "no advice"),
        (
            "tf.clip_by_value(grads[0], -c, c)",
            "ClippedOptimizer(optimizer, clipvalue=c)",
        ),
        ("tf.clip_by_value(grads[0], -1.0, 2.0)", "no advice"),
        ("tf.clip_by_value(grads[0], low, high)", "no advice"),
        ("tf.clip_by_value(images, -1.0, 1.0)", None),
        ("tf.clip_by_norm(weights, 1.0)", None),
        ("tf.clip_by_global_norm(grads, 1.0, use_norm=norm)", "no advice"),
        (
            "tf.clip_by_global_norm(grads, 1.0, tf.global_norm(grads))",
            "ClippedOptimizer(optimizer, global_clipnorm=1.0)",
        ),
        ("[tf.clip_by_norm(g, 2.0) for g, _ in pairs]", "clipnorm=2.0"),
    ],
)
def test_clipping_is_of_gradients_and_of_its_kind(call, instead):
    code = (
        "import tensorflow as tf\n"
        "grads = tf.gradients(loss, weights)\n"
        "pairs = optimizer.compute_gradients(loss)\n"
        f"x = {call}\n"
    )
    new = [finding[3] for finding in found(code) if finding[0] == 4]
    assert (new == []) if instead is None else (instead in new[0])


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (
            "transformers.create_optimizer(a, n, w, 0.1, weight_decay_rate=d)",
            "create_optimizer(a, n, w, weight_decay_rate=d, min_lr_ratio=0.1, "
            "adam_epsilon=1e-08, adam_global_clipnorm=None, "
            'join="shift", bias_correction=True, return_schedule=True)',
        ),
        (
            "transformers.AdamWeightDecay(a, weight_decay_rate=0.1)",
            "AdamWeightDecay(a, weight_decay=0.1, epsilon=1e-07, "
            "exclude_from_weight_decay=(), bias_correction=True)",
        ),
        ("transformers.AdamWeightDecay(a, amsgrad=True)", "no advice"),
        ("transformers.WarmUp(a, decay, w, 2.0)", "Warmup(decay, w, power=2.0)"),
        ("transformers.create_optimizer(a, n, w, magic=1)", "no advice"),
        (
            "nlp.optimization.create_optimizer(a, n, w, 1e-6)",
            "create_optimizer(a, n, w, min_lr_ratio=1e-06 / a, bias_correction=True)",
        ),
        ("nlp.optimization.create_optimizer(a, n, w, optimizer_type='lamb')", "lamb"),
        (
            "nlp.optimization.WarmUp(a, decay, w)",
            'Warmup(decay, w, join="overlap")',
        ),
        (
            "modeling.optimization.LinearWarmup(decay, w, 1e-5)",
            'Warmup(decay, w, start=1e-05, join="lower")',
        ),
        (
            "modeling.optimization.lr_schedule.DirectPowerDecay(a, -0.5)",
            "PowerDecay(a, -0.5)",
        ),
        (
            "modeling.optimization.PowerDecayWithOffset(a, -0.5, 10, b)",
            "PowerDecay(a, -0.5, offset=10, pre_offset_learning_rate=b)",
        ),
        ("modeling.optimization.OptimizerFactory(config)", "create_optimizer, or"),
        ("modeling.optimization.StepCosineDecayWithOffset(x, y)", "guide to schedules"),
    ],
)
def test_other_libraries_calls_become_ours(call, instead):
    """By the signatures of transformers 4 and of tf-models 2.19."""
    code = f"import transformers\nfrom official import modeling, nlp\nx = {call}\n"
    [(_, _, _, new)] = found(code)
    assert instead in new


def findings_of_calls(code):
    return [f for f in findings(Source(code)) if f.what.endswith(CALLED)]


CALLED = ("create_optimizer", "make")
CALL = "(loss, 1e-4, 1000, 100, False)\n"


@pytest.mark.parametrize(
    ("imports", "function"),
    [
        ("from optimization import *\n", "create_optimizer"),
        (
            "from tensorflow import *\nfrom bert.optimization import *\n",
            "create_optimizer",
        ),
        (
            "try:\n    from bert.optimization import create_optimizer as make\n"
            "except ImportError:\n"
            "    from optimization import create_optimizer as make\n",
            "make",
        ),
        (
            "try:\n    from bert import optimization\n"
            "except ImportError:\n    import optimization\n",
            "optimization.create_optimizer",
        ),
    ],
)
def test_create_optimizer_is_found_under_any_import(imports, function):
    [found] = findings_of_calls(f"{imports}x = {function}{CALL}")
    assert (
        found.instead == "keras_tricks.optimizers.create_optimizer(0.0001, 1000, 100)"
    )
    assert found.check == "if it is BERT's"
    # What else a star gives a name to is unknown.
    assert (found.rewrite is None) is ("*" in imports)


def test_create_optimizer_of_a_module_that_is_not_at_hand_is_told():
    """In TensorFlow's code: other libraries have functions of that name."""
    call = f"x = mine.create_optimizer{CALL}"
    [found] = findings_of_calls(
        f"import tensorflow as tf\nimport my_project.bert as mine\n{call}"
    )
    assert found.instead == (
        "no advice: `my_project.bert` is not at hand; if its create_optimizer is "
        "BERT's, keras_tricks.optimizers.create_optimizer"
    )
    assert not findings_of_calls(f"import timm.optim as mine\n{call}")
    for other in ("from a import optim as mine", "mine = make()"):
        both = f"import tensorflow\ntry:\n    import mine\nexcept:\n    {other}\n"
        assert not findings_of_calls(f"{both}{call}")


CLIPS = {
    "tf.clip_by_global_norm(grads, limit)[0]": "global_clipnorm=limit",
    "[tf.clip_by_norm(g, limit) for g in grads]": "clipnorm=limit",
    "[tf.clip_by_value(g, -limit, limit) for g in grads]": "clipvalue=limit",
}


@pytest.mark.parametrize("clip", CLIPS)
def test_a_clip_behind_a_test_says_so(clip):
    """But not of the test that the update stands behind, too."""
    code = f"""
import tensorflow as tf

def update(optimizer, grads, weights, limit=None, train=True):
    if train:
        if limit is not None:
            grads = {clip}
        elif train > 1:
            grads = {clip.replace("limit", "5")}
        else:
            grads = {clip.replace("limit", "7")}
        return optimizer.apply_gradients(zip(grads, weights))
"""
    advice = f"keras_tricks.optimizers.ClippedOptimizer(optimizer, {CLIPS[clip]})"
    tests = (
        ("limit", "`limit is not None`"),
        ("5", "not `limit is not None` and `train > 1`"),
        ("7", "not `limit is not None` and not `train > 1`"),
    )
    assert [f.instead for f in findings(Source(code)) if "clip" in f.what] == [
        f"{advice.replace('limit', limit)}; only if {test}" for limit, test in tests
    ]
    # The other branch may update without a clip.
    or_else = f"""
import tensorflow as tf

def update(optimizer, loss, weights, limit, train=True):
    if limit > 0:
        grads = tf.gradients(loss, weights)
        grads = {clip}
        return optimizer.apply_gradients(zip(grads, weights))
    else:
        return optimizer.minimize(loss)
"""
    [finding] = [f for f in findings(Source(or_else)) if "clip" in f.what]
    assert finding.instead == f"{advice}; only if `limit > 0`"
    always = code.replace("if limit is not None:", "with scope:").split("        elif")
    end = "        return optimizer.apply_gradients(zip(grads, weights))\n"
    [finding] = [f for f in findings(Source(always[0] + end)) if "clip" in f.what]
    assert finding.instead == advice
