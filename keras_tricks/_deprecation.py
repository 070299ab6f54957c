"""Warnings of public names that have another name now, for two minor versions."""

import warnings


def warn_renamed(old: str, new: str, *, removed_in: str, stacklevel: int = 3) -> None:
    """Warns that a public name goes by another one, and until when the old one works.

    Args:
        old: The old name, as users write it.
        new: What to write in its place.
        removed_in: The version that no longer knows the old name, two minor ones on.
        stacklevel: How many frames up the code stands that used the old name, as in
            `warnings.warn`; 3 is the caller of the function that calls this one.

    Example:

    >>> import warnings
    >>> from keras_tricks._deprecation import warn_renamed
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_renamed("logits", "outputs", removed_in="0.4.0", stacklevel=1)
    >>> print(caught[0].message)
    `logits` is now `outputs`; the old name goes with version 0.4.0.
    """
    warnings.warn(
        f"`{old}` is now `{new}`; the old name goes with version {removed_in}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
