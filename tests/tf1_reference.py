"""The TF1 code that the ports are compared with, run in `tf.compat.v1` graphs."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def session_config(*, grappler: bool):
    """The settings of a v1 session, with TensorFlow's graph rewriter on or off."""
    config = v1.ConfigProto()
    if not grappler:
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = -1
    return config


def bert_rates(
    steps,
    *,
    init_lr,
    num_train_steps,
    num_warmup_steps,
    end_learning_rate=0.0,
    power=1.0,
    cycle=False,
    grappler=False,
):
    """BERT's rate at each of `steps`: the decay under the int32 warmup mask."""
    with tf.Graph().as_default():
        global_step = v1.placeholder(tf.int64, ())
        rate = v1.train.polynomial_decay(
            tf.constant(init_lr, tf.float32),
            global_step,
            num_train_steps,
            end_learning_rate=end_learning_rate,
            power=power,
            cycle=cycle,
        )
        if num_warmup_steps:
            step = tf.cast(global_step, tf.int32)
            boundary = tf.constant(num_warmup_steps, tf.int32)
            done = tf.cast(step, tf.float32) / tf.cast(boundary, tf.float32)
            in_warmup = tf.cast(step < boundary, tf.float32)
            rate = (1.0 - in_warmup) * rate + in_warmup * (init_lr * done)
        with v1.Session(config=session_config(grappler=grappler)) as session:
            return np.array(
                [session.run(rate, {global_step: step}) for step in steps],
                np.float32,
            )


def multiplied_warmup_rates(
    steps, *, init_lr, num_train_steps, num_warmup_steps, grappler=False
):
    """The rates of ELECTRA's form: a decay times a warmup that is cut off at 1."""
    with tf.Graph().as_default():
        global_step = v1.placeholder(tf.int64, ())
        rate = v1.train.polynomial_decay(
            init_lr, global_step, num_train_steps, end_learning_rate=0.0
        )
        done = tf.cast(global_step, tf.float32) / tf.cast(num_warmup_steps, tf.float32)
        rate *= tf.minimum(1.0, done)
        with v1.Session(config=session_config(grappler=grappler)) as session:
            return np.array(
                [session.run(rate, {global_step: step}) for step in steps],
                np.float32,
            )


def polynomial_decay(steps, decay_steps, power):
    """TF1's decay from 1 to 0 at a vector of steps, in its default graph."""
    with tf.Graph().as_default():
        global_step = v1.placeholder(tf.int64, (None,))
        rate = v1.train.polynomial_decay(
            tf.constant(1.0), global_step, decay_steps, 0.0, power
        )
        with v1.Session(config=session_config(grappler=True)) as session:
            return session.run(rate, {global_step: steps})


def clipped_gradient_descent(
    weights, gradients_by_step, *, learning_rate, clip_norm, grappler=True
):
    """Weights after `clip_by_global_norm` + gradient descent on given gradients."""
    with tf.Graph().as_default():
        variables = [v1.Variable(w, use_resource=True) for w in weights]
        fed = [v1.placeholder(tf.float32, w.shape) for w in weights]
        clipped, _ = tf.clip_by_global_norm(fed, clip_norm)
        step = v1.train.GradientDescentOptimizer(learning_rate).apply_gradients(
            list(zip(clipped, variables, strict=True))
        )
        with v1.Session(config=session_config(grappler=grappler)) as session:
            session.run(v1.global_variables_initializer())
            for gradients in gradients_by_step:
                session.run(step, dict(zip(fed, gradients, strict=True)))
            return session.run(variables)


class BertRun:
    """BERT's training loop in a v1 graph: `create_optimizer` as the original has it.

    The original increments `global_step` and reads it for the rate in no fixed order
    (`increment=None`). With "after" the increment waits for the update, so that update
    t has the rate of step t; with "before" it has that of step t + 1.
    """

    def __init__(
        self,
        initial,
        loss,
        *,
        init_lr,
        num_train_steps,
        num_warmup_steps,
        increment="after",
        grappler=True,
    ):
        self.graph = tf.Graph()
        with self.graph.as_default():
            v1.set_random_seed(0)
            self.variables = {
                name: v1.get_variable(name, initializer=value, use_resource=True)
                for name, value in initial.items()
            }
            self.tokens = v1.placeholder(tf.int32, (None, None))
            self.labels = v1.placeholder(tf.int32, (None,))
            step = v1.train.get_or_create_global_step()
            before = [step.assign_add(1)] if increment == "before" else []
            with tf.control_dependencies(before):
                now = step.read_value()
            rate = self._rate(now, init_lr, num_train_steps, num_warmup_steps)
            variables = list(self.variables.values())
            gradients = tf.gradients(
                loss(self.variables, self.tokens, self.labels), variables
            )
            clipped, _ = tf.clip_by_global_norm(gradients, clip_norm=1.0)
            updates = []
            for gradient, variable in zip(clipped, variables, strict=True):
                updates += self._adam(gradient, variable, rate)
            if increment == "after":
                with tf.control_dependencies(updates):
                    self.train = tf.group(step.assign_add(1))
            elif increment == "before":
                self.train = tf.group(updates)
            else:
                self.train = tf.group(updates, step.assign(step + 1))
            self.saver = v1.train.Saver()
            self.session = v1.Session(config=session_config(grappler=grappler))
            self.session.run(v1.global_variables_initializer())

    @staticmethod
    def _rate(step, init_lr, num_train_steps, num_warmup_steps):
        rate = v1.train.polynomial_decay(
            tf.constant(init_lr), step, num_train_steps, 0.0, 1.0
        )
        now = tf.cast(step, tf.int32)
        done = tf.cast(now, tf.float32) / tf.constant(num_warmup_steps, tf.float32)
        in_warmup = tf.cast(now < num_warmup_steps, tf.float32)
        return (1.0 - in_warmup) * rate + in_warmup * init_lr * done

    @staticmethod
    def _adam(gradient, variable, rate):
        name = variable.op.name
        m, v = (
            v1.get_variable(
                f"{name}/{slot}",
                variable.shape,
                initializer=v1.zeros_initializer(),
                trainable=False,
                use_resource=True,
            )
            for slot in ("adam_m", "adam_v")
        )
        next_m = tf.multiply(0.9, m) + tf.multiply(1.0 - 0.9, gradient)
        next_v = tf.multiply(0.999, v) + tf.multiply(1.0 - 0.999, tf.square(gradient))
        update = next_m / (tf.sqrt(next_v) + 1e-6)
        if not any(part in name for part in ("LayerNorm", "layer_norm", "bias")):
            update += 0.01 * variable
        return [
            variable.assign(variable - rate * update),
            m.assign(next_m),
            v.assign(next_v),
        ]

    def run(self, batches):
        for tokens, labels in batches:
            self.session.run(self.train, {self.tokens: tokens, self.labels: labels})

    def weights(self):
        return self.session.run(self.variables)

    def save(self, prefix):
        with self.graph.as_default():
            return self.saver.save(self.session, str(prefix))
