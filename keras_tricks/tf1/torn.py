"""Signs that a checkpoint is another model's: parts of layers, other roots."""

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

import keras

from keras_tricks.tf1.matching import Matching

_NUMBERED = re.compile(r"^(?:.*?[/_])?(?:layer|group|inner_group|block)_\d+(?=[/_])")


def faults(matching: Matching, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Returns a sentence for each layer that is restored in part, or about nothing.

    Args:
        matching: What is matched, of the weights alone.
        shapes: Name -> shape of what the checkpoint holds.
    """
    if not matching.matched:
        return [
            "None of the model's weights is in the checkpoint, which holds "
            f"{_some(shapes)}; the model has "
            f"{_some(v.path for v in matching.without_name())}."
        ]
    of_checkpoint = _torn(
        set(matching.sources.values()), matching.unmatched, _numbered_layer
    )
    # What adapts a layer is no part of what was trained before.
    fresh = [v.path for v in matching.without_name() if "lora_" not in v.name]
    restored = [variable.path for variable in matching.matched.values()]
    of_model = _torn(restored, fresh, _numbered_layer)
    for layer, paths in _torn(restored, fresh, _layer).items():
        # Weights of the model itself are no layer's.
        if (
            layer != matching.model_name
            and _numbered_layer(f"{layer}/") not in of_model
        ):
            of_model[layer] = paths
    return [
        f"{layer!r} of the checkpoint is restored but for {_some(names)}."
        for layer, names in of_checkpoint.items()
    ] + [
        f"{layer!r} of the model is restored but for {_some(paths)}."
        for layer, paths in of_model.items()
    ]


def other_models(
    model: keras.Model, matching: Matching, shapes: dict[str, tuple[int, ...]]
) -> list[str]:
    """Returns a sentence for each sign that the weights are those of another model.

    That is an encoder without its embeddings, since models of other families name the
    layers of their encoders alike; and a model inside of the model that has the name of
    a scope of the checkpoint, but the weights of another scope.

    Args:
        model: The model.
        matching: What is matched, of the weights alone.
        shapes: Name -> shape of what the checkpoint holds.
    """
    found = []
    restored = {
        source.partition("/encoder/")[0] for source in matching.sources.values()
    }
    for name in matching.unmatched:
        root, _, rest = name.partition("/embeddings/")
        if rest == "word_embeddings" and root in restored:
            found.append(
                f"{root + '/encoder'!r} of the checkpoint is restored, but {name!r} is "
                "not. Is the model of another family with layers of the same names, "
                "such as RoBERTa or DistilBERT?"
            )
    scopes = {name.partition("/")[0] for name in shapes if "/" in name}
    for inner in _models_in(model):
        own = {id(variable) for variable in inner.weights}
        names = [n for n in matching.respelled if id(matching.matched[n]) in own]
        others = [name for name in names if not name.startswith(f"{inner.name}/")]
        if inner.name in scopes and others:
            found.append(
                f"The model {inner.name!r} inside of the model has weights of another "
                f"scope than {inner.name!r}: {_some(others)}."
            )
    return found


def _models_in(model: keras.Model) -> Iterator[keras.Model]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _models_in(layer)


def look_alikes(matching: Matching, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Returns a sentence if something that is left over would fit what is fresh.

    The numbers of Keras's own layer names, such as `dense_1`, go on from one model to
    the next.
    """
    left_over = {
        (name.rpartition("/")[2], shapes[name]): name
        for name in reversed(matching.unmatched)
        if not name.startswith("cls/")  # BERT's pretraining, which is to be left over.
    }
    pairs = []
    for variable in matching.without_name():
        key = variable.path.rpartition("/")[2], tuple(variable.shape)
        if key in left_over:
            pairs.append(f"{left_over[key]!r} and {variable.path!r}")
    if not pairs:
        return []
    return [
        "What is left over has the shape of what is fresh, as if layers were named "
        f"otherwise: {'; '.join(pairs[:3])}. `variable_map` leads names to each other."
    ]


def _torn(
    restored: Iterable[str],
    others: Iterable[str],
    group: Callable[[str], str | None],
) -> dict[str, list[str]]:
    """Returns the groups that are in both, with what is in `others`."""
    in_part = {group(name) for name in restored} - {None}
    found: dict[str, list[str]] = {}
    for name in others:
        layer = group(name)
        if layer is not None and layer in in_part:
            found.setdefault(layer, []).append(name)
    return found


def _layer(path: str) -> str | None:
    return path.rpartition("/")[0] or None


def _numbered_layer(name: str) -> str | None:
    """Returns the name's beginning up to the first numbered layer, if it has one."""
    match = _NUMBERED.match(name)
    return match.group() if match else None


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(map(repr, names[: 3 if more else 4])) + more
