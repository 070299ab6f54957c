"""The private Optuna names that this package uses, and why.

| private name | seen in Optuna | why no public one serves |
|---|---|---|
| `LazyRandomState` | 4.0 to 5.0 | what a sampler draws from; the public `reseed_rng` seeds it from the clock, so that no search could be repeated |
"""  # noqa: E501

from __future__ import annotations

from typing import Any


def reseed(sampler: Any, seed: int) -> int:
    """Seeds a sampler, and the samplers inside it.

    Args:
        sampler: An Optuna sampler that was made elsewhere.
        seed: In [0, 2**32). The n-th generator found gets `seed + n`.

    Returns:
        How many generators there were. A sampler of another make may have none.
    """
    generators = _generators(sampler, set())
    for index, generator in enumerate(generators):
        generator.rng.seed((seed + index) % 2**32)
    return len(generators)


def _generators(thing: Any, met: set[int]) -> list[Any]:
    found: list[Any] = []
    for content in vars(thing).values():
        if id(content) in met:
            continue
        met.add(id(content))
        if type(content).__name__ == "LazyRandomState":
            found.append(content)
        elif type(content).__module__.startswith("optuna.") and hasattr(
            content, "__dict__"
        ):
            found += _generators(content, met)
    return found
