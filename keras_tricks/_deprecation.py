"""Warnings of public names that have another name now, for two minor versions."""

import warnings
from typing import Any


def warn_renamed(
    old: str,
    new: str,
    *,
    removed_in: str,
    stacklevel: int = 3,
    definition: Any = None,
) -> None:
    """Warns that a public name goes by another one, and until when the old one works.

    Args:
        old: The old name, as users write it.
        new: What to write in its place.
        removed_in: The version that no longer knows the old name, two minor ones on.
        stacklevel: How many frames up the code stands that used the old name, as in
            `warnings.warn`; 3 is the caller of the function that calls this one.
        definition: A function that a user has defined under the old name: the warning
            is then of its place, and comes once.

    Example:

    >>> import warnings
    >>> from keras_tricks._deprecation import warn_renamed
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_renamed("logits", "outputs", removed_in="0.4.0", stacklevel=1)
    >>> print(caught[0].message)
    `logits` is now `outputs`; the old name goes with version 0.4.0.
    """
    text = f"`{old}` is now `{new}`; the old name goes with version {removed_in}."
    code = getattr(definition, "__code__", None)
    if code is None:
        warnings.warn(text, DeprecationWarning, stacklevel=stacklevel)
    else:
        warnings.warn_explicit(
            text,
            DeprecationWarning,
            code.co_filename,
            code.co_firstlineno,
            definition.__module__,
            definition.__globals__.setdefault("__warningregistry__", {}),
        )
