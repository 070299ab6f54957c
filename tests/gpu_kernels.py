"""Which ops of a traced `tf.function` could not run on a GPU.

TensorFlow's full wheel registers its GPU kernels on every machine, so the question
"has this op a GPU kernel for these dtypes?" has an answer without a GPU: the
registry of kernels that the placer itself consults. A kernel is registered for a
device type, a label and, per type attribute, the dtypes it admits. A node can run on
a GPU if a kernel registered for `GPU`, or for `DEFAULT` (any device that has no
kernel of its own), admits each of its dtypes. Kernels that keep small arguments such
as shapes in host memory count: they are the ones TensorFlow runs in a step on a GPU.

The audit is on the strict side: it also counts nodes that the runtime would prune or
hand to XLA. There is no list of ops to let pass. Function calls, placeholders and
control flow have `DEFAULT` kernels and are looked up like everything else, and then
descended into.
"""

import dataclasses
import functools
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

# Private, and without a public counterpart: TensorFlow shows its registry of kernels
# and its op definitions in Python nowhere else. tests/test_gpu_kernels.py names both.
from tensorflow.python.framework import kernels
from tensorflow.python.framework import op_def_registry

GPU_DEVICE_TYPES = ("GPU", "DEFAULT")

# `tf.py_function` is registered for every device, and calls Python on the host there.
HOST_CALLBACKS = ("EagerPyFunc",)

# The runtime replaces structured control flow by these ops before it places the
# graph: one of each for every dtype in the named attributes.
LOWERED_OPS: dict[str, dict[str, tuple[str, ...]]] = {
    "While": {"T": ("Enter", "Switch", "Merge", "NextIteration", "Exit")},
    "If": {"Tin": ("Switch",), "Tout": ("Merge",)},
    "Case": {"Tin": ("_SwitchN",), "Tout": ("Merge",)},
}
LOWERED_OPS.update({f"Stateless{op}": rule for op, rule in LOWERED_OPS.items()})

# Ops on a variable, whose dtype is their attribute `dtype`. The variable itself comes
# from outside the traced function, so the op that holds it is not among the nodes; but
# an int32 variable cannot live on a GPU, and what touches it runs where it lives.
VARIABLE_OPS = (
    "ReadVariableOp",
    "AssignVariableOp",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "ResourceGather",
    "ResourceScatterAdd",
    "ResourceScatterUpdate",
)


@functools.cache
def _registered_kernels(op: str) -> tuple[Any, ...]:
    return tuple(kernels.get_registered_kernels_for_op(op).kernel)


@functools.cache
def _type_attrs(op: str) -> tuple[Any, ...]:
    op_def = op_def_registry.get(op)
    attrs = () if op_def is None else op_def.attr
    return tuple(attr for attr in attrs if attr.type in ("type", "list(type)"))


@dataclasses.dataclass(frozen=True)
class KernelGap:
    """A node of a traced function that has no GPU kernel.

    Attributes:
        name: The node's name.
        op: The type of the op that has no kernel: the node's own, one of those that
            the runtime replaces it by, or that of the variable it is on.
        dtypes: Pairs of a type attribute and the names of its dtypes.
        path: The calls that lead to the node, outermost first, each as
            `"node (function)"`; empty for a node of the traced function itself.
        reason: Why it counts as a gap.
    """

    name: str
    op: str
    dtypes: tuple[tuple[str, tuple[str, ...]], ...]
    path: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        dtypes = ", ".join(f"{attr}={'/'.join(types)}" for attr, types in self.dtypes)
        where = " > ".join(("the traced function", *self.path))
        return f"{self.op}({dtypes}) {self.name!r} in {where}: {self.reason}"


def has_gpu_registry() -> bool:
    """Whether this build registers GPU kernels; CPU-only and macOS wheels do not."""
    return any(k.device_type == "GPU" for k in _registered_kernels("MatMul"))


requires_gpu_registry = pytest.mark.skipif(
    not has_gpu_registry(),
    reason="this TensorFlow build registers no GPU kernels (none for MatMul), "
    "so it cannot tell which ops would run on a GPU",
)


def assert_gpu_kernels(traced: Any) -> None:
    """Asserts that each op a traced function can run has a GPU kernel.

    Args:
        traced: A `ConcreteFunction`, as `tf.function(f).get_concrete_function(...)`
            returns it.

    Raises:
        AssertionError: If an op has none; each is listed with its type, its dtypes
            and the function it sits in.
    """
    gaps = gpu_kernel_gaps(traced)
    if gaps:
        lines = "\n".join(f"  {gap}" for gap in gaps)
        raise AssertionError(
            f"every op must have a GPU kernel for its dtypes. Received: "
            f"{traced.name} with {len(gaps)} that do not:\n{lines}"
        )


def gpu_kernel_gaps(concrete_function: Any) -> list[KernelGap]:
    """The nodes of a traced function, nested functions included, without GPU kernel.

    Args:
        concrete_function: A `ConcreteFunction`.

    Returns:
        A list of `KernelGap`, empty if every op has a GPU kernel. A function that
        is called from several places is listed under the first.
    """
    return graph_def_gaps(concrete_function.graph.as_graph_def())


def graph_def_gaps(graph_def: Any) -> list[KernelGap]:
    """The nodes of a `GraphDef` and of the functions it reaches without GPU kernel.

    Args:
        graph_def: A `GraphDef` with its function library.

    Returns:
        A list of `KernelGap`.
    """
    library = {f.signature.name: f for f in graph_def.library.function}
    gaps: list[KernelGap] = []
    visited: set[str] = set()
    waiting: list[tuple[tuple[str, ...], Iterable[Any]]] = [((), graph_def.node)]
    while waiting:
        path, nodes = waiting.pop(0)
        for node in nodes:
            if node.op not in library:
                gaps.extend(_node_gaps(node, path))
            for function in _called_functions(node, library):
                if function not in library:
                    reason = f"the body of {function!r} is not in the graph's library"
                    gaps.append(_gap(node, path, reason))
                elif function not in visited:
                    visited.add(function)
                    call = (*path, f"{node.name} ({function})")
                    waiting.append((call, library[function].node_def))
    return gaps


def _node_gaps(node: Any, path: tuple[str, ...]) -> Iterator[KernelGap]:
    if node.op in HOST_CALLBACKS:
        yield _gap(node, path, "it calls Python on the host")
    elif not _has_gpu_kernel(node):
        types = {k.device_type for k in _registered_kernels(node.op)}
        if types.isdisjoint(GPU_DEVICE_TYPES):
            reason = f"only has kernels for {sorted(types)}"
        else:
            reason = "no GPU kernel for these dtypes"
        yield _gap(node, path, reason)
    if node.op in VARIABLE_OPS:
        variable = _node(node.name, "VarHandleOp", dtype=_dtypes(node, "dtype"))
        if not _has_gpu_kernel(variable):
            yield _gap(variable, path, f"{node.op} is on a variable of the host")
    for lowered in _lowered_nodes(node):
        if not _has_gpu_kernel(lowered):
            reason = f"{node.op} is lowered to it, no GPU kernel for these dtypes"
            yield _gap(lowered, path, reason)


def _lowered_nodes(node: Any) -> Iterator[Any]:
    # The attribute is looked for first: reading a missing one would add it.
    flag = "_lower_using_switch_merge"
    if flag not in node.attr or not node.attr[flag].b:
        return
    for attr, ops in LOWERED_OPS.get(node.op, {}).items():
        for dtype in sorted(set(_dtypes(node, attr) or ())):
            # A while loop keeps a resource in one constant Enter node.
            resource_loop = dtype == tf.resource.as_datatype_enum and attr == "T"
            for op in ops[:1] if resource_loop else ops:
                yield _node(node.name, op, T=(dtype,))


def _node(name: str, op: str, **dtypes: tuple[int, ...] | None) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op=op)
    for attr, enums in dtypes.items():
        if enums:
            (node.attr[attr].type,) = enums
    return node


def _has_gpu_kernel(node: Any) -> bool:
    """TensorFlow's own rule (`FindKernelRegistration` and `KernelAttrsMatch`)."""
    label = node.attr["_kernel"].s.decode() if "_kernel" in node.attr else ""
    return any(
        kernel.device_type in GPU_DEVICE_TYPES
        and kernel.label == label
        and all(_admits(constraint, node) for constraint in kernel.constraint)
        for kernel in _registered_kernels(node.op)
    )


def _admits(constraint: Any, node: Any) -> bool:
    dtypes = _dtypes(node, constraint.name)
    allowed = constraint.allowed_values.list.type
    return dtypes is not None and all(dtype in allowed for dtype in dtypes)


def _dtypes(node: Any, attr: str) -> tuple[int, ...] | None:
    """The dtype enums of a type attribute, or None where the node leaves it open."""
    if attr in node.attr:
        value = node.attr[attr]
    else:
        declared = [a for a in _type_attrs(node.op) if a.name == attr]
        if not declared:
            return None
        value = declared[0].default_value
    kind = value.WhichOneof("value")
    if kind == "type":
        return (value.type,)
    return tuple(value.list.type) if kind == "list" else None


def _called_functions(node: Any, library: dict[str, Any]) -> list[str]:
    called = [node.op] if node.op in library else []
    for name in sorted(node.attr):
        value = node.attr[name]
        if value.WhichOneof("value") == "func":
            called.append(value.func.name)
        called.extend(function.name for function in value.list.func)
    return called


def _gap(node: Any, path: tuple[str, ...], reason: str) -> KernelGap:
    named = {attr.name: _dtypes(node, attr.name) for attr in _type_attrs(node.op)}
    dtypes = tuple(
        (attr, tuple(tf.as_dtype(enum).name for enum in enums))
        for attr, enums in named.items()
        if enums is not None
    )
    return KernelGap(node.name, node.op, dtypes, path, reason)
