"""The audit for GPU kernels finds what has none, wherever it is, and nothing else.

The oracle is TensorFlow's registry of kernels, asked here directly, one op and one
dtype at a time, and without the audit's walk and matching.
"""

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow.python.framework import op_def_registry

from tests import gpu_kernels
from tests.gpu_kernels import assert_gpu_kernels
from tests.gpu_kernels import gpu_kernel_gaps

pytestmark = gpu_kernels.requires_gpu_registry


def registered(op, **dtypes):
    """Those of CPU, GPU and DEFAULT that the registry lists for an op and dtypes.

    It lists TPUs too and, once something was compiled, XLA's pseudo-devices.
    """
    devices = set()
    for kernel in kernels.get_registered_kernels_for_op(op).kernel:
        allowed = {c.name: c.allowed_values.list.type for c in kernel.constraint}
        if all(
            dtype.as_datatype_enum in allowed.get(name, [dtype.as_datatype_enum])
            for name, dtype in dtypes.items()
        ):
            devices.add(kernel.device_type)
    return devices & {"CPU", "GPU", "DEFAULT"}


def trace(function, *specs):
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def ops_without_kernel(function, *specs):
    return [gap.op for gap in gpu_kernel_gaps(trace(function, *specs))]


def third_smallest(x):
    """A float op of which TensorFlow has no GPU kernel."""
    return tf.raw_ops.NthElement(input=x, n=3)


FLOATS = tf.TensorSpec([8], "float32")
MATRIX = tf.TensorSpec([4, 4], "float32")


def nested_function(x):
    return tf.function(third_smallest)(x)


def nested_twice(x):
    return tf.function(nested_function)(x)


def while_body(x):
    return tf.while_loop(lambda y: y < 1.0, lambda y: third_smallest(x) + y, [x[0]])


def while_condition(x):
    return tf.while_loop(lambda y: y < third_smallest(x), lambda y: y + 1.0, [x[0]])


def cond_branch(x):
    return tf.cond(x[0] > 0, lambda: x[1], lambda: third_smallest(x))


def switch_branch(x):
    branches = [lambda: x[0], lambda: x[1], lambda: third_smallest(x)]
    return tf.switch_case(tf.cast(x[0], "int32"), branches)


def map_body(x):
    return tf.map_fn(lambda y: third_smallest(x) + y, x)


def cond_in_while_in_function(x):
    return tf.function(
        lambda x: tf.while_loop(lambda y: y < 1.0, lambda y: cond_branch(x) + y, [x[0]])
    )(x)


def gradient_only(x):
    @tf.custom_gradient
    def double(x):
        return 2.0 * x, lambda upstream: upstream * third_smallest(x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.function(double)(x)
    return tape.gradient(y, x)


@pytest.mark.parametrize(
    "function",
    [
        third_smallest,
        nested_function,
        nested_twice,
        while_body,
        while_condition,
        cond_branch,
        switch_branch,
        map_body,
        cond_in_while_in_function,
        gradient_only,
    ],
    ids=lambda function: function.__name__,
)
def test_an_op_with_cpu_kernels_only_is_found_wherever_it_sits(function):
    assert registered("NthElement") == {"CPU"}
    traced = trace(function, FLOATS)
    assert [gap.op for gap in gpu_kernel_gaps(traced)] == ["NthElement"]
    with pytest.raises(AssertionError, match="NthElement"):
        assert_gpu_kernels(traced)


def test_a_string_op_is_found():
    assert registered("AsString", T=tf.float32) == {"CPU"}
    assert "AsString" in ops_without_kernel(tf.strings.as_string, FLOATS)


def test_a_dtype_that_only_the_cpu_multiplies_is_found():
    assert registered("MatMul", T=tf.int32) == {"CPU"}
    integers = tf.TensorSpec([4, 4], "int32")
    assert ops_without_kernel(tf.matmul, integers, integers) == ["MatMul"]

    assert "GPU" in registered("MatMul", T=tf.float32)
    assert ops_without_kernel(tf.matmul, MATRIX, MATRIX) == []


def test_each_type_attribute_of_a_kernel_must_fit():
    def largest(x, dtype):
        return tf.raw_ops.ArgMax(input=x, dimension=0, output_type=dtype)

    # Each dtype has a GPU kernel in company with another one, not with each other.
    assert "GPU" in registered("ArgMax", T=tf.float32, output_type=tf.int64)
    assert "GPU" not in registered("ArgMax", T=tf.float32, output_type=tf.int16)
    assert ops_without_kernel(lambda x: largest(x, tf.int64), FLOATS) == []
    assert ops_without_kernel(lambda x: largest(x, tf.int16), FLOATS) == ["ArgMax"]


def test_a_kernel_for_every_device_counts_with_its_arguments_in_host_memory():
    small = tf.TensorSpec([2], "int32")
    registry = kernels.get_registered_kernels_for_op("AddV2").kernel
    on_host = [
        kernel.device_type
        for kernel in registry
        if kernel.host_memory_arg
        and tf.int32.as_datatype_enum in kernel.constraint[0].allowed_values.list.type
    ]
    assert "DEFAULT" in on_host
    assert ops_without_kernel(tf.add, small, small) == []


def test_an_attribute_that_is_left_out_has_its_default():
    graph = trace(lambda x: tf.argmax(x), FLOATS).graph.as_graph_def()
    (node,) = [node for node in graph.node if node.op == "ArgMax"]
    assert node.attr["output_type"].type == tf.int64.as_datatype_enum
    del node.attr["output_type"]
    defaults = {
        attr.name: attr.default_value.type
        for attr in op_def_registry.get("ArgMax").attr
    }
    assert defaults["output_type"] == tf.int64.as_datatype_enum
    assert gpu_kernels.graph_def_gaps(graph) == []


def test_an_attribute_without_default_that_is_left_out_fits_no_kernel():
    graph = trace(tf.matmul, MATRIX, MATRIX).graph.as_graph_def()
    (node,) = [node for node in graph.node if node.op == "MatMul"]
    del node.attr["T"]
    assert [gap.op for gap in gpu_kernels.graph_def_gaps(graph)] == ["MatMul"]


def test_a_kernel_of_another_label_does_not_count():
    graph = trace(tf.matmul, MATRIX, MATRIX).graph.as_graph_def()
    (node,) = [node for node in graph.node if node.op == "MatMul"]
    labels = {k.label for k in kernels.get_registered_kernels_for_op("MatMul").kernel}
    assert "other" not in labels
    node.attr["_kernel"].s = b"other"
    assert [gap.op for gap in gpu_kernels.graph_def_gaps(graph)] == ["MatMul"]


def test_a_loop_is_judged_by_the_ops_it_is_lowered_to():
    def carry(x):
        start = [tf.constant(0), tf.cast(x, "qint8")]
        loop = tf.while_loop(lambda i, q: i < 3, lambda i, q: (i + 1, q), start)
        return tf.cast(loop[1], "float32")

    # The traced loop fits every dtype; TensorFlow puts other ops in its place when
    # it runs, and one of them does not.
    assert "DEFAULT" in registered("StatelessWhile", T=tf.qint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"NextIteration.*QINT8"):
        tf.function(carry, autograph=False)(tf.ones([8]))
    assert registered("NextIteration", T=tf.qint8) == set()
    assert "NextIteration" in ops_without_kernel(carry, FLOATS)


def test_an_op_on_a_variable_that_must_stay_on_the_host_is_found():
    counters = {d: tf.Variable(0, dtype=d) for d in (tf.int32, tf.int64)}

    def count(dtype):
        return lambda: counters[dtype].assign_add(1).read_value()

    # The ops that count have kernels for both, the variable itself only for one.
    assert "DEFAULT" in registered("AssignAddVariableOp", dtype=tf.int32)
    assert registered("VarHandleOp", dtype=tf.int32) == {"CPU"}
    assert "DEFAULT" in registered("VarHandleOp", dtype=tf.int64)
    assert set(ops_without_kernel(count(tf.int32))) == {"VarHandleOp"}
    assert ops_without_kernel(count(tf.int64)) == []


def test_python_on_the_host_is_found_although_it_is_registered_for_all_devices():
    def on_host(x):
        return tf.py_function(lambda y: y, [x], tf.float32)

    assert "DEFAULT" in registered("EagerPyFunc")
    assert ops_without_kernel(on_host, FLOATS) == ["EagerPyFunc"]


def test_a_body_that_cannot_be_seen_is_a_gap():
    graph = trace(nested_function, FLOATS).graph.as_graph_def()
    (call,) = [node for node in graph.node if node.op == "PartitionedCall"]
    del graph.library.function[:]
    (gap,) = gpu_kernels.graph_def_gaps(graph)
    assert gap.name == call.name
    assert call.attr["f"].func.name in gap.reason


def test_the_message_names_op_dtypes_and_the_way_to_the_function():
    with pytest.raises(AssertionError) as failure:
        assert_gpu_kernels(trace(cond_in_while_in_function, FLOATS))
    line = str(failure.value).splitlines()[-1].strip()
    node, *calls = line.split(" > ")
    name = "while/cond/NthElement"
    assert node == f"NthElement(T=float32) {name!r} in the traced function"
    callers = [call.split(" (")[0] for call in calls]
    assert callers == ["PartitionedCall", "while", "while/cond"]
    assert "only has kernels for ['CPU']" in line


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.optimizers.Adam(1e-3),
    ],
    ids=["sgd", "adam"],
)
def test_a_dense_training_step_has_no_gap(optimizer):
    kernel = keras.Variable(tf.ones([4, 3]), dtype="float32")
    optimizer.build([kernel])

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.relu(tf.matmul(x, kernel.value)))
        optimizer.apply([tape.gradient(loss, kernel.value)])
        return loss

    traced = trace(step, MATRIX)
    nodes = traced.graph.as_graph_def().node
    reached = {node.op for node in nodes} & {"MatMul", "Relu", "ReluGrad", "Sum"}
    assert reached == {"MatMul", "Relu", "ReluGrad", "Sum"}
    for op in reached | {"AssignAddVariableOp", "AssignSubVariableOp"}:
        attribute = "dtype" if op.startswith("Assign") else "T"
        assert "GPU" in registered(op, **{attribute: tf.float32})
    assert_gpu_kernels(traced)


def test_the_private_names_that_the_audit_needs_are_there():
    assert callable(kernels.get_registered_kernels_for_op)
    assert op_def_registry.get("MatMul").name == "MatMul"
