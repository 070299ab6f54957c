"""Scalars of an optimizer's state, kept on the device and saved with it."""

import keras


def scalar(
    optimizer: keras.optimizers.Optimizer,
    name: str,
    value: float,
    dtype: str = "float32",
) -> keras.Variable:
    """Returns a new variable of an optimizer, the same on all replicas.

    Args:
        optimizer: The optimizer.
        name: Name of the variable.
        value: Its initial value.
        dtype: Its dtype; "int" is that of the optimizer's counter.
    """
    return optimizer.add_variable(
        (),
        initializer=keras.initializers.Constant(value),
        dtype=dtype,
        aggregation="only_first_replica",
        name=name,
    )
