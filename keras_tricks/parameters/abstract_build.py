"""Building models whose variables have a shape and no value."""

import contextlib
import contextvars
import random
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar

import keras

from keras_tricks.parameters import keras_hooks

Result = TypeVar("Result")

_this_thread = threading.local()


def built_abstractly(function: Callable[[], Result]) -> Result:
    """Returns `function()`; the Keras variables that it makes have no values.

    Keras itself postpones initializers in a `keras.StatelessScope`. The rest is done
    here: variables that are made from a value (an optimizer's iterations, say) are
    allowed, too, and nothing is left behind. Keras keeps its state by thread: the names
    it has given, the list of variables that still want their values. So `function` runs
    in a thread of its own, under the caller's dtype policy, in which layers without a
    seed draw none.

    What `function` makes must not be used after it has returned: a variable that is
    read then raises a `RuntimeError`.
    """
    if _is_abstract():
        return function()
    outcome: dict[str, Any] = {}
    policy = keras.config.dtype_policy()

    def run() -> None:
        keras.config.set_dtype_policy(policy)
        _this_thread.is_abstract = True
        try:
            with keras.StatelessScope(initialize_variables=False):
                outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    # Context variables hold NumPy's error state, for instance, and go along.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    with _keras_adapted():
        thread.start()
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _is_abstract() -> bool:
    """Whether this thread is one that only counts."""
    return getattr(_this_thread, "is_abstract", False)


class _Postponed:
    """An initializer that yields placeholders while models are only counted."""

    def __init__(self, initializer: Callable[..., Any]):
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if not _is_abstract():
            raise RuntimeError(
                "This variable has no value: the function that was counted built a "
                "layer that lives on outside of it. Make all layers inside the "
                "function, or build that layer before it is counted."
            )
        return self.initializer(shape, dtype=dtype, **kwargs)


def _new_variable(constructor: Callable[..., None]) -> Callable[..., None]:
    """Returns a constructor of variables that postpones the value."""

    def __init__(
        self: keras.Variable,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if isinstance(initializer, str):
            initializer = keras.initializers.get(initializer)
        if not callable(initializer):
            value = keras.ops.convert_to_tensor(initializer, dtype=dtype)
            shape, dtype = value.shape, keras.backend.standardize_dtype(value.dtype)
            initializer = _constant(value)
        # `clear_session` inside the function ends the scope around it.
        with keras.StatelessScope(initialize_variables=False):
            constructor(self, _Postponed(initializer), shape, dtype, *args, **kwargs)

    return __init__


def _constant(value: Any) -> Callable[..., Any]:
    return lambda shape, dtype=None: value


def _never_initialized(constructor: Callable[..., None]) -> Callable[..., None]:
    """Returns a constructor of scopes at whose end nothing gets its value."""

    def __init__(
        self: keras.StatelessScope,
        state_mapping: Any = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        constructor(self, state_mapping, collect_losses, initialize_variables=False)

    return __init__


class _SameSeed:
    """Stands for Python's generator, from which Keras draws the seeds of layers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(random, name)

    def randint(self, low: int, high: int) -> int:
        return low if _is_abstract() else random.randint(low, high)


_lock = threading.Lock()
_users = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def _keras_adapted() -> Iterator[None]:
    """Gives Keras what threads that only count need; the others see no change."""
    global _users
    with _lock:
        if _users == 0:
            with contextlib.ExitStack() as stack:
                _adapt(stack)
                _undo.push(stack.pop_all())
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _undo.close()


def _adapt(stack: contextlib.ExitStack) -> None:
    _shadow(stack, keras.Variable, "__init__", _new_variable(keras.Variable.__init__))
    scope = keras.StatelessScope
    _shadow(stack, scope, "__init__", _never_initialized(scope.__init__))
    for name, method in keras_hooks.optimizer_methods_without_values().items():
        _shadow(stack, keras.optimizers.Optimizer, name, method)
    stack.enter_context(keras_hooks.seeds_drawn_from(_SameSeed()))


def _shadow(
    stack: contextlib.ExitStack, owner: type, name: str, replacement: Callable[..., Any]
) -> None:
    """Replaces a method in the threads that only count, until `stack` is closed."""
    original = getattr(owner, name)
    inherited = name not in vars(owner)

    def either(self: Any, *args: Any, **kwargs: Any) -> Any:
        method = replacement if _is_abstract() else original
        return method(self, *args, **kwargs)

    setattr(owner, name, either)
    if inherited:
        stack.callback(delattr, owner, name)
    else:
        stack.callback(setattr, owner, name, original)
