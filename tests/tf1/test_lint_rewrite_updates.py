"""Rewritten optimizers of `tf.train`: they train as the graphs of the originals did."""

import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rules import findings
from tests.tf1.class_variants import XLNET
from tests.tf1.test_lint_rewrites import BERT as SAMPLE
from tests.tf1.test_lint_rewrites import CLASS
from tests.tf1.test_lint_rewrites import assert_same_training
from tests.tf1.test_lint_rewrites import dedented
from tests.tf1.test_lint_rewrites import rewritten
from tests.tf1.test_lint_rewrites import run
from tests.tf1.test_lint_rewrites import trained_by_keras
from tests.tf1.test_lint_rewrites import trained_by_tf1

MINIMIZED = {
    "at once": "return tf.train.AdamOptimizer(0.02).minimize(loss)",
    "at once, to a name": (
        "train_op = tf.train.GradientDescentOptimizer(0.02).minimize(loss=loss)\n"
        "return train_op"
    ),
    "by name": (
        "optimizer = tf.train.AdamOptimizer(0.02, beta1=0.5)\n"
        "train_op = optimizer.minimize(loss, tf.train.get_global_step())\n"
        "return train_op"
    ),
    "momentum of a constant rate": (
        "return tf.train.MomentumOptimizer(0.02, 0.9, use_nesterov=True).minimize(loss)"
    ),
    "on a decay of its own": (
        "step = tf.train.get_or_create_global_step()\n"
        "rate = tf.train.exponential_decay(0.1, step, 3, 0.5, staircase=True)\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss, step)"
    ),
    "on a polynomial": (
        "step = tf.train.get_or_create_global_step()\n"
        "rate = tf.train.polynomial_decay(0.1, step, 9)\n"
        "optimizer = tf.train.GradientDescentOptimizer(learning_rate=rate)\n"
        "return optimizer.minimize(loss, global_step=step)"
    ),
    "on a decay in it": (
        "step = tf.train.get_or_create_global_step()\n"
        "optimizer = tf.train.AdamOptimizer(tf.train.cosine_decay(0.1, step, 9))\n"
        "return optimizer.minimize(loss, global_step=step)"
    ),
    "on a rate that is shown": (
        "step = tf.train.get_or_create_global_step()\n"
        "rate = tf.train.inverse_time_decay(0.1, step, 2, 0.7)\n"
        "tf.summary.scalar('rate', rate)\n"
        "optimizer = tf.train.AdamOptimizer(rate)\n"
        "return optimizer.minimize(loss, global_step=step)"
    ),
    "on a warmup": (
        "step = tf.train.get_or_create_global_step()\n"
        "rate = tf.train.polynomial_decay(0.1, step, 12, 0.0)\n"
        "rate *= tf.minimum(1.0, tf.to_float(step) / 4.0)\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss, step)"
    ),
    "on a warmup behind a test of it": (
        "step = tf.train.get_or_create_global_step()\n"
        "warmup = 4\n"
        "rate = tf.train.polynomial_decay(0.1, step, 12, 0.0)\n"
        "if warmup:\n"
        "    done = tf.to_float(step) / tf.to_float(warmup)\n"
        "    is_warmup = tf.to_float(step < warmup)\n"
        "    rate = (1.0 - is_warmup) * rate + is_warmup * 0.1 * done\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss, step)"
    ),
}


def function(body):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    head = "import tensorflow.compat.v1 as tf\n\ntf.disable_v2_behavior()\n\n"
    return f"{head}def train(loss):\n{lines}"


@pytest.mark.parametrize("name", MINIMIZED)
def test_minimize_becomes_the_optimizer(name):
    """On a schedule, where the rate is one and the steps are counted."""
    code = function(MINIMIZED[name])
    new = rewritten(code)
    assert ".minimize(" not in new
    assert "# keras_tricks: a Keras optimizer, and no train op." in new
    theirs = trained_by_tf1(lambda loss: run(code)["train"](loss))
    is_shown = "summary" in code
    if is_shown:
        assert new.count("InverseTimeDecay(") == 2
        new = new.replace("tf.summary", "#")
        start = new.index("    rate = keras")
        new = new[:start] + new[new.index("    #.scalar") :]
    # Nothing of the graph is left that the optimizer would need.
    new = new.replace("tf.train.get_or_create_global_step()", "None")
    assert_same_training(trained_by_keras(run(new)["train"](None)), theirs)


def test_pairs_of_compute_gradients_are_applied_on_the_schedule():
    code = dedented("""
        import tensorflow.compat.v1 as tf

        tf.disable_v2_behavior()

        def train(loss):
            step = tf.train.get_or_create_global_step()
            rate = tf.train.exponential_decay(0.1, step, 3, 0.5)
            optimizer = tf.train.AdamOptimizer(rate)
            pairs = optimizer.compute_gradients(loss)
            pairs = [(tf.clip_by_value(g, -0.2, 0.2), v) for g, v in pairs]
            train_op = optimizer.apply_gradients(pairs, global_step=step)
            return train_op
    """)
    theirs = trained_by_tf1(lambda loss: run(code)["train"](loss))
    new = rewritten(code)
    assert "    # keras_tricks: Keras's optimizers compute no gradients." in new
    assert "train_op = optimizer.apply_gradients(pairs)\n" in new
    # The function trains by pairs, as a training loop has them.
    start = new.index("    step = ")
    made = new[start : new.index("    # keras_tricks")].replace(
        "tf.train.get_or_create_global_step()", "None"
    )
    update = new[new.index("    pairs = [") : new.index("    return")]
    names = run(
        "import tensorflow as tf\nimport keras\n"
        f"def make():\n{made}    return optimizer\n"
        f"def update(optimizer, pairs):\n{update}"
    )
    optimizer = names["make"]()

    class Applying:
        def apply(self, gradients, variables):
            names["update"](optimizer, list(zip(gradients, variables, strict=True)))

    assert_same_training(trained_by_keras(Applying()), theirs)


LOSSES = {
    "in the call": ("", "-loss * 0.1", "-loss * 0.1"),
    "above": ("loss = loss / 10\n", "loss", "loss / 10"),
    "under another name": ("total = loss + penalty\n", "total", "loss + penalty"),
    "added to": ("loss += penalty\n", "loss", "loss += penalty"),
    "in a branch": ("if penalty:\n    loss += 1\n", "loss", "loss, computed above"),
    "in an attribute": ("", "loss.total", "loss.total"),
    "as it is given": ("", "loss", ""),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("way", ["at once", "by name"])
def test_the_comment_tells_a_loss_that_is_computed_here(name, way):
    """Nothing else of the call is left that would have it."""
    before, loss, told = LOSSES[name]
    made = "tf.train.AdamOptimizer(0.1)"
    if way == "by name":
        before, made = f"optimizer = {made}\n{before}", "optimizer"
    new = rewritten(function(f"{before}return {made}.minimize({loss})"))
    assert "minimize(" not in new
    comment = " ".join(
        line.strip().removeprefix("#").strip()
        for line in new.splitlines()
        if line.strip().startswith("#")
    )
    end = (
        f"or the session. The loss that was minimized: {told}"
        if told
        else "the session"
    )
    assert comment.endswith(end)


CHOICE = """
    if kind == "adam":
        optimizer = tf.train.AdamOptimizer(0.02)
    elif kind == "momentum":
        optimizer = tf.train.MomentumOptimizer(0.02, momentum=0.5)
    else:
        optimizer = tf.train.GradientDescentOptimizer(0.02)
    return optimizer.minimize(loss)
"""


def test_an_optimizer_of_several_is_rewritten_with_the_others():
    code = function("pass").replace("(loss):\n    pass\n", f"(loss, kind):{CHOICE}")
    new = rewritten(code)
    assert new.count("keras.optimizers.") == 3
    for kind in ("adam", "momentum", "descent"):
        theirs = trained_by_tf1(lambda loss, k=kind: run(code)["train"](loss, k))
        assert_same_training(trained_by_keras(run(new)["train"](None, kind)), theirs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tf.train.GradientDescentOptimizer(0.02)", "tf.train.RMSPropOptimizer(0.02)"),
        ("tf.train.GradientDescentOptimizer(0.02)", "Mine(0.02)"),
        ("    else:", "    if not kind:"),
        ("    return", "    optimizer = averaged(optimizer)\n    return"),
    ],
)
def test_several_optimizers_stay_if_one_does(old, new):
    choice = CHOICE.replace(old, new)
    code = function("pass").replace("(loss):\n    pass\n", f"(loss, kind):{choice}")
    assert rewritten(code) == code


BRANCHES = """
    step = tf.train.get_or_create_global_step()
    if kind == "cosine":
        fall = tf.train.cosine_decay(0.1, step - 3, 12 - 3)
    else:
        fall = tf.train.polynomial_decay(0.1, step - 3, 12 - 3, 0.0)
    rate = tf.where(step < 3, 0.1 * tf.to_float(step) / 3.0, fall)
    if decays:
        optimizer = AdamWeightDecayOptimizer(rate, 0.1, include_in_weight_decay=["s"])
    else:
        optimizer = tf.train.GradientDescentOptimizer(rate)
    if on_tpu:
        optimizer = tf.tpu.CrossShardOptimizer(optimizer)
    gradients, weights = zip(*optimizer.compute_gradients(loss))
    clipped, norm = tf.clip_by_global_norm(gradients, 0.5)
    train_op = optimizer.apply_gradients(zip(clipped, weights), global_step=step)
    if decays:
        with tf.control_dependencies([train_op]):
            train_op = step.assign_add(1)
    return train_op, rate, norm
"""


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("decays", [True, False])
def test_optimizers_of_branches_have_the_schedules_of_branches(kind, decays):
    """As in XLNet's code; what is a tensor and is returned stays one."""
    head = CLASS
    for old, new in XLNET.items():
        head = head.replace(old, new)
    head = head.replace("\n\n\n", "\n\ntf.disable_v2_behavior()\n\n", 1)
    code = f"{head}\ndef train(loss, kind, decays, on_tpu=False):{BRANCHES}"
    theirs = trained_by_tf1(lambda loss: run(code)["train"](loss, kind, decays)[0])
    new = rewritten(code)
    assert "    rate = fall(step)\n" in new
    assert "class" not in new
    # Up to the gradients, which a training loop computes.
    end = new.index("    # keras_tricks: Keras's optimizers compute no")
    made = new[:end].replace("tf.train.get_or_create_global_step()", "0")
    optimizer = run(f"{made}    return optimizer\n")["train"](None, kind, decays)

    class Applying:
        def apply(self, gradients, variables):
            clipped, _ = tf.clip_by_global_norm(gradients, 0.5)
            optimizer.apply_gradients(zip(clipped, variables, strict=True))

    assert_same_training(trained_by_keras(Applying()), theirs)


def test_a_class_of_berts_has_a_schedule_if_the_steps_are_counted():
    """Its `apply_gradients` does not count them."""
    body = """
    step = tf.train.get_or_create_global_step()
    rate = tf.train.exponential_decay(0.1, step, 3, 0.5)
    optimizer = AdamWeightDecayOptimizer(rate, 0.1)
    train_op = optimizer.apply_gradients(zip(gradients, weights), global_step=step)
    return tf.group(train_op, step.assign_add(1))
"""
    code = f"{CLASS}\ndef train(gradients, weights):{body}"
    assert "optimizer = AdamWeightDecay(rate, weight_decay=0.1," in rewritten(code)
    uncounted = code.replace(", step.assign_add(1)", "")
    assert "optimizer = AdamWeightDecayOptimizer(rate, 0.1)" in rewritten(uncounted)


HEAD = "step = tf.train.get_or_create_global_step()\n"
OTHERWISE = {
    "a loss to call": "return tf.train.AdamOptimizer(0.1).minimize(lambda: 1)",
    "some variables": "return tf.train.AdamOptimizer(0.1).minimize(loss, var_list=few)",
    "another argument": (
        "return tf.train.AdamOptimizer(0.1).minimize(loss, grad_loss=other)"
    ),
    "run at once": "session.run(tf.train.AdamOptimizer(0.1).minimize(loss))",
    "a step that is not counted": (
        f"{HEAD}rate = tf.train.exponential_decay(0.1, step, 3, 0.5)\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss)"
    ),
    "momentum of a rate that changes": (
        f"{HEAD}rate = tf.train.exponential_decay(0.1, step, 3, 0.5)\n"
        "return tf.train.MomentumOptimizer(rate, 0.9).minimize(loss, step)"
    ),
    "momentum of a rate that may change": (
        "return tf.train.MomentumOptimizer(loss.rate, 0.9).minimize(loss)"
    ),
    "no momentum": "return tf.train.MomentumOptimizer(0.1).minimize(loss)",
    "a rate of one branch": (
        f"{HEAD}rate = tf.train.polynomial_decay(0.1, step, 9)\n"
        "if loss.alpha:\n    rate = tf.train.cosine_decay(0.1, step, 9)\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss, step)"
    ),
    "a number in one branch": (
        f"{HEAD}rate = tf.train.polynomial_decay(0.1, step, 9)\n"
        "if loss.alpha:\n    rate = 0.1\n"
        "return tf.train.AdamOptimizer(rate).minimize(loss, step)"
    ),
    "another method": "return tf.train.AdamOptimizer(0.1).variables()",
    "minimized twice": (
        "optimizer = tf.train.AdamOptimizer(0.1)\n"
        "one = optimizer.minimize(loss)\nreturn one, optimizer.minimize(2 * loss)"
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_uses_of_an_optimizer_stay(name):
    code = function(OTHERWISE[name])
    found = [f for f in findings(Source(code)) if "Optimizer" in f.what]
    assert len(found) == 1
    assert found[0].rewrite is None
    assert found[0].why_not
    assert "Optimizer(" in rewritten(code)


RATE = f"{HEAD}rate = tf.train.exponential_decay(0.1, step, 3, 0.5)\n"
MINIMIZE = "train_op = tf.train.AdamOptimizer(rate).minimize(loss, step)\n"
EPOCH = RATE.replace("(0.1, step", "(0.1, epoch")
# What counts the step otherwise than the optimizer's own updates, and what is said.
OTHER_COUNTS = {
    "another variable": (
        f"epoch = tf.Variable(0, trainable=False)\n{EPOCH}{MINIMIZE}",
        "it counts `step`, and its rate is of `epoch`",
    ),
    "a variable of the rate alone": (
        "own_step = tf.Variable(0, trainable=False)\n"
        f"{RATE}{MINIMIZE.replace('step)', 'own_step)')}",
        "it counts `own_step`, and its rate is of `step`",
    ),
    "a placeholder": (
        f"epoch = tf.placeholder(tf.int32, [])\n{EPOCH}{MINIMIZE}".replace(
            "epoch", "current_step"
        ),
        "it counts `step`, and its rate is of `current_step`",
    ),
    "an attribute": (
        f"{RATE.replace('(0.1, step', '(0.1, loss.images_step')}{MINIMIZE}",
        "it counts `step`, and its rate is of `loss.images_step`",
    ),
    "two updates": (
        f"{RATE}{MINIMIZE}"
        "other = tf.train.GradientDescentOptimizer(0.1).minimize(loss, step)\n",
        "counted more than once, in line 8 and 9",
    ),
    "one more in another function": (
        f"{RATE}{MINIMIZE}def other():\n"
        "    tf.assign_add(tf.train.get_global_step(), 1)\n",
        "counted more than once",
    ),
    "an update and an addition": (
        f"{RATE}{MINIMIZE}count = tf.assign_add(step, 1)\n",
        "counted more than once",
    ),
    "an update and an assignment": (
        f"{RATE}{MINIMIZE}count = step.assign(0)\n",
        "counted more than once",
    ),
    "a loop": (
        f"{RATE}for _ in range(2):\n    {MINIMIZE}",
        "counted in a loop",
    ),
}


@pytest.mark.parametrize("name", OTHER_COUNTS)
def test_an_optimizer_stays_where_its_step_is_counted_otherwise(name):
    body, reason = OTHER_COUNTS[name]
    code = function(f"{body}return train_op")
    found = [f for f in findings(Source(code)) if f.what == "tf.train.AdamOptimizer"]
    assert found[0].rewrite is None
    assert reason in found[0].why_not
    assert "tf.train.AdamOptimizer(rate)" in rewritten(code)


# The same variable under other names and of other types, and updates of which only
# one is made.
SAME_COUNTS = {
    "got twice": MINIMIZE.replace("step)", "tf.train.get_or_create_global_step())"),
    "under another name": f"same = step\n{MINIMIZE.replace('step)', 'same)')}",
    "either update": (
        f"if loss is None:\n    return tf.no_op()\nif True:\n    {MINIMIZE}"
        f"else:\n    train_op = step.assign_add(1)\n"
    ),
}


@pytest.mark.parametrize("name", SAME_COUNTS)
def test_an_optimizer_on_the_step_under_another_name_is_rewritten(name):
    """It trains as the graph did: the step is that of the updates."""
    code = function(
        f"{HEAD}seen = tf.to_int32(step)\n"
        "rate = tf.train.exponential_decay(0.1, seen, 3, 0.5)\n"
        f"{SAME_COUNTS[name]}return train_op"
    )
    theirs = trained_by_tf1(lambda loss: run(code)["train"](loss))
    new = rewritten(code)
    assert "keras.optimizers.Adam(" in new
    lines = [line for line in new.splitlines() if "step = tf" not in line]
    new = "\n".join(line for line in lines if "tf.to_int32" not in line)
    new = new.replace("same = step", "").replace("if loss is None", "if False")
    assert_same_training(trained_by_keras(run(new)["train"](None)), theirs)


def test_a_class_of_berts_stays_if_its_steps_are_not_counted_by_one():
    """Nor is a function with its recipe rewritten whose rate is of another step."""
    by_two = SAMPLE.replace("step.assign(step + 1)", "step.assign(step + 2)")
    by_others = SAMPLE.replace("step.assign(step + 1)", "step.assign_add(init_lr)")
    epoch = SAMPLE.replace(
        "    rate = tf.constant", "    epoch = tf.Variable(0)\n    rate = tf.constant"
    )
    epoch = epoch.replace("rate, step, num", "rate, epoch, num")
    epoch = epoch.replace("done = tf.cast(step", "done = tf.cast(epoch")
    for code in (by_two, by_others, epoch):
        assert code != SAMPLE
        new = rewritten(code)
        assert "create_optimizer" not in new
        assert "optimizer = AdamWeightDecayOptimizer(\n" in new


def test_a_step_that_may_be_given_is_one_step():
    """The rate is of the step that the recipe counts, if none is given."""
    code = SAMPLE.replace("num_warmup_steps):", "num_warmup_steps, step=None):", 1)
    code = code.replace("    step = ", "    if step is None:\n        step = ", 1)
    new = rewritten(code)
    assert "create_optimizer(init_lr, num_train_steps, num_warmup_steps)" in new
    make = run(new)["make_train_op"]
    assert make(None, 0.1, 9, 3).global_clipnorm == 1.0
    with pytest.raises(ValueError, match="step"):
        make(None, 0.1, 9, 3, 5)


@pytest.mark.parametrize(
    "decay",
    [
        "exponential_decay(0.1, step, 3, 0.5)",
        "natural_exp_decay(0.1, step, 3, 0.5)",
        "cosine_decay(0.1, step, 3)",
        "polynomial_decay(0.1, step, 3)",
    ],
)
@pytest.mark.parametrize(
    "use", ["return rate", "return tf.train.GradientDescentOptimizer(rate)"]
)
def test_a_decay_stays_where_a_file_runs_eagerly(decay, use):
    """There it is a function, which an optimizer asks anew for each update."""
    code = dedented(f"""
        import tensorflow as tf

        tf.enable_eager_execution()

        def made(step):
            rate = tf.train.{decay}
            {use}
    """)
    assert rewritten(code) == code
    assert "may run eagerly" in findings(Source(code))[0].why_not
    with_v1 = code.replace("tensorflow as", "tensorflow.compat.v1 as")
    step = tf.Variable(0)
    rate = run(with_v1.replace(use, "return rate"))["made"](step)
    np.testing.assert_allclose(rate(), 0.1, rtol=1e-6)
    step.assign(2)
    assert rate() < 0.09


NAMED = {
    "a decay": 'rate = tf.train.cosine_decay(0.1, step, 9, name="rate")',
    "a copy": 'rate = tf.identity(tf.train.cosine_decay(0.1, step, 9), name="rate")',
    "a polynomial": (
        'rate = tf.identity(tf.train.polynomial_decay(0.1, step, 9), name="rate")'
    ),
    "a product": (
        "rate = tf.train.cosine_decay(0.1, step, 9)\n"
        "done = tf.minimum(1.0, tf.to_float(step) / 4.0)\n"
        'rate = tf.multiply(rate, done, name="rate")'
    ),
    "a part": (
        "rate = tf.train.cosine_decay(0.1, step, 9)\n"
        'done = tf.cast(step, tf.float32, name="rate") / 4.0\n'
        "rate = rate * tf.minimum(1.0, done)"
    ),
    "a copy beside it": (
        'rate = tf.train.cosine_decay(0.1, step, 9)\ntf.identity(rate, name="rate")'
    ),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "use", ["rate", "tf.train.AdamOptimizer(rate).minimize(0, step)"]
)
def test_a_tensor_that_has_a_name_keeps_it(name, use):
    """Hooks and other files get it from the graph by that."""
    code = function(f"{HEAD}{NAMED[name]}\nreturn {use}")
    new = rewritten(code)
    assert new.count('name="rate"') == 1
    values = []
    for text in (code, new):
        with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
            run(text.split("    return")[0])["train"](None)
            session.run(tf.compat.v1.global_variables_initializer())
            # A decay makes a scope of its name.
            named = [o for o in graph.get_operations() if o.name.startswith("rate")]
            values.append(session.run(named[-1].outputs[0]))
    np.testing.assert_allclose(values[1], values[0], rtol=1e-6)


def test_no_schedule_has_rates_of_two_steps():
    body = (
        f"{HEAD}epoch = tf.Variable(0)\n"
        "rate = tf.train.polynomial_decay(0.1, epoch, 12, 0.0)\n"
        "rate *= tf.minimum(1.0, tf.to_float(step) / 4.0)\n"
        "return rate"
    )
    code = function(body)
    assert any("may be two steps" in f.instead for f in findings(Source(code)))
    assert rewritten(code) == code


CLIPPED = """
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    weights = tf.trainable_variables()
    clipped, _ = tf.clip_by_global_norm(tf.gradients(loss, weights), 0.5)
    pass
    return optimizer.apply_gradients(zip(clipped, weights))
"""


def test_the_comment_has_the_optimizer_made_once():
    """Made anew at each update, as the function does, it would forget its moments."""
    adam = CLIPPED.replace("GradientDescent", "Adam")
    new = rewritten(function("pass").replace("\n    pass\n", adam))
    comment = " ".join(line.strip(" #") for line in new.splitlines() if "    #" in line)
    assert "Make it once, before the training loop: a new one begins anew." in comment
    assert "Call this" not in comment


OTHER_USES = {
    "one is changed": "clipped[0] = clipped[0] * 10.0",
    "one is changed in place": "clipped[0] *= 10.0",
    "some are changed": (
        "for number, weight in enumerate(weights):\n"
        "        if 'bias' in weight.name:\n"
        "            clipped[number] = 2.0 * clipped[number]"
    ),
    "the last is taken out": "clipped.pop()",
    "a helper has them": "scale(clipped)",
    "they have another name": "same = clipped\n    same[0] = same[0] * 10.0",
    "a second optimizer": (
        "other = tf.train.AdagradOptimizer(0.1)\n"
        "    loss.op = other.apply_gradients(zip(clipped, weights))"
    ),
    "a penalty": "loss.penalty = tf.add_n([tf.nn.l2_loss(g) for g in clipped])",
    "a picture": "for g in clipped:\n        tf.summary.histogram('clipped', g)",
    "in a function": "loss.norm = lambda: tf.global_norm(clipped)",
}


@pytest.mark.parametrize("name", OTHER_USES)
def test_a_clip_stays_whose_gradients_are_used_in_another_way(name):
    """The clip in an optimizer would come later, or not at all for that use."""
    code = function("pass").replace("\n    pass\n", CLIPPED)
    assert "ClippedOptimizer(" in rewritten(code)
    code = code.replace("    pass\n", f"    {OTHER_USES[name]}\n")
    new = rewritten(code)
    assert "tf.clip_by_global_norm(tf.gradients(loss, weights), 0.5)" in new
    assert "ClippedOptimizer(" not in new
    [clip] = [f for f in findings(Source(code)) if "clip" in f.what]
    several = "it is unclear which optimizer takes the gradients"
    used = "the clipped `clipped` are used in line"
    assert (several if "optimizer" in name else used) in clip.why_not


ATTRIBUTES = {
    "a variable": "self.rate = tf.Variable(0.1)",
    "a variable of a name": "rate = tf.Variable(0.1)\n        self.rate = rate",
    "a placeholder": "self.rate = tf.placeholder(tf.float32, [])",
    "a number": "self.rate = 0.02",
    "an argument": "self.rate = given",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_rate_in_an_attribute_is_a_number_or_stays(name):
    code = dedented(f"""
        import tensorflow.compat.v1 as tf

        tf.disable_v2_behavior()

        class Model:
            def __init__(self, given=0.02):
                {ATTRIBUTES[name].replace(chr(10) + " " * 8, chr(10) + " " * 16)}

            def train(self, loss):
                return tf.train.AdamOptimizer(self.rate).minimize(loss)
    """)
    new = rewritten(code)
    if name not in ("a number", "an argument"):
        assert new == code
        return
    theirs = trained_by_tf1(lambda loss: run(code)["Model"]().train(loss))
    ours = trained_by_keras(run(new)["Model"]().train(None))
    assert_same_training(ours, theirs)


def test_a_rate_that_a_method_computes_stays():
    code = dedented("""
        import tensorflow as tf

        class Model:
            @property
            def rate(self):
                return 0.1 * self.scale

            def train(self, loss):
                return tf.train.AdamOptimizer(self.rate).minimize(loss)
    """)
    assert rewritten(code) == code
