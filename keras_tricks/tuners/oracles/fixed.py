"""Search spaces of given settings alone, for trainings that repeat them."""

from __future__ import annotations

from typing import Any

import keras_tuner


def fixed(
    space: keras_tuner.HyperParameters, settings: dict[str, Any]
) -> keras_tuner.HyperParameters:
    """Returns a space in which each name of `settings` has that value only."""
    entries = [
        {
            "class_name": "Fixed",
            "config": {
                "name": entry["config"]["name"],
                "value": settings[entry["config"]["name"]],
                "conditions": entry["config"]["conditions"],
            },
        }
        for entry in space.get_config()["space"]
        if entry["config"]["name"] in settings
    ]
    return keras_tuner.HyperParameters.from_config(
        {"space": entries, "values": dict(settings)}
    )
