"""The private TensorFlow name that schedules use, and why.

A test names it, so that a TensorFlow release that moves it fails there, by name.

| private name | seen in TensorFlow | why no public one serves |
|---|---|---|
| `control_flow_util.GraphOrParentsInXlaContext` | 2.19 to 2.21 | nothing public tells, while a function is traced, whether XLA is going to compile it |
"""  # noqa: E501

import keras


def compiled_by_xla() -> bool:
    """Whether XLA compiles what is being computed now.

    On TensorFlow that is within `tf.function(jit_compile=True)`, and in what it calls;
    on JAX always, since what runs without it is the same there.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))
