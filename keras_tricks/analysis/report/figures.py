"""The report's figures, as Plotly's JSON: data and layout, without a theme's colors."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np

from keras_tricks import _plotting
from keras_tricks.analysis.compare import Comparison
from keras_tricks.analysis.importances import Importances
from keras_tricks.analysis.rounds import Rounds
from keras_tricks.analysis.searches import Search
from keras_tricks.analysis.space import Hyperparameter
from keras_tricks.analysis.summary import Summary
from keras_tricks.tuners.results.records import TrialRecord

Figure = dict[str, Any]

# Legible on a light and on a dark ground, and told apart by those who see few colors.
COLORS = ("#3b82f6", "#e07a00", "#11937d", "#c2569b", "#8b7cf0", "#b08900")
_MUTED = "#8a8f98"
# A score that is further from the best than this many times the middle trial is far.
_FAR = 20.0
# Of a tick's text, and of an axis's title.
_LONG, _LONGEST = 28, 60
# With ticks at 1, 2 and 5 of each decade.
_LOGARITHMIC = {"type": "log", "dtick": "D2"}
# A range of no more values has a tick at each.
_TICKS = 10


def best_so_far(summary: Summary) -> Figure:
    """The score of each trial in turn, and the best so far."""
    search = summary.search
    scored = _scored(search)
    scores = [record.known_score for record in scored]
    accumulate = np.minimum if search.objective.direction == "min" else np.maximum
    numbers = list(range(1, len(scores) + 1))
    texts = [text(f"trial {record.trial_id}") for record in scored]
    data = [
        _points(numbers, scores, "a trial", _MUTED, texts),
        {
            **_line(numbers, accumulate.accumulate(scores), "best so far", COLORS[0]),
            "line": {"color": COLORS[0], "width": 3, "shape": "hv"},
        },
    ]
    if summary.saturation is not None:
        table = summary.saturation.table
        expected = _line(
            table["trials"], table["expected"], "in a random order", COLORS[1]
        )
        data.append(expected)
    axis = _axis(search.objective.name, scores)
    return {
        "data": data,
        "layout": {"xaxis": _axis("trials, as they ended"), "yaxis": axis},
    }


def edges(summary: Summary) -> Figure:
    """The shares of the best and of all trials in the outer part of each range."""
    assert summary.boundaries is not None
    table = summary.boundaries.table.iloc[::-1]
    names = table["hyperparameter"].tolist()
    data = [
        _bars(table["of_all"], names, "of all trials", _MUTED),
        _bars(table["of_best"], names, "of the best", COLORS[0]),
    ]
    share = {**_axis("share in the outer part of the range"), "range": [0, 1]}
    return {
        "data": data,
        "layout": {"xaxis": share, "yaxis": _labelled(names), "barmode": "group"},
    }


def importance(found: Importances) -> Figure:
    """The share of the variance that each hyperparameter explains."""
    table = found.table[found.table["importance"].notna()].iloc[::-1]
    names = table["hyperparameter"].tolist()
    return _shares(table, names, f"share of the variance of {found.objective}")


def interactions(found: Importances, most: int = 8) -> Figure:
    """The share that pairs explain together, beyond each alone."""
    table = found.interactions.iloc[:most].iloc[::-1]
    names = [f"{row.one} and {row.other}" for row in table.itertuples(index=False)]
    return _shares(table, names, "share that both explain together")


def isolation(found: Comparison) -> Figure:
    """The best of equally many trials of each value, with nine tenths of resamples."""
    table = found.table
    values = table["value"].tolist()
    middle, low, high = table[["fair_best", "low", "high"]].to_numpy().T
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": list(range(len(values))),
        "y": _numbers(middle),
        "marker": {"color": COLORS[0], "size": 11},
        "error_y": _error_bars(middle, low, high, COLORS[0]),
        "text": [
            f"{text(value, _LONGEST)}: of {number} trials"
            for value, number in zip(values, table["trials"], strict=True)
        ],
        "hovertemplate": "%{text}, %{y:.4g}<extra></extra>",
    }
    name = f"best {found.objective} of {found.fair_trials}"
    axis = {**_axis(found.hyperparameter), **_labelled(values)}
    return {"data": [points], "layout": {"xaxis": axis, "yaxis": _axis(name)}}


def curves(record: TrialRecord, objective: str) -> Figure | None:
    """The learning curves of a trial's first execution: its objective and its loss."""
    if not record.executions:
        return None
    known = record.executions[0].curves
    base = objective.removeprefix("val_")
    names = [n for n in (base, f"val_{base}") if n in known] or list(known)[:2]
    data = []
    for place, name in enumerate(names):
        values = [v for v in known[name] if isinstance(v, int | float)]
        epochs = list(range(1, len(values) + 1))
        line = _line(epochs, values, name, COLORS[place % len(COLORS)])
        line["line"]["dash"] = "solid" if name.startswith("val_") else "dot"
        data.append(line)
    every = [v for line in data for v in line["y"] if v is not None]
    axis = _axis(base, every)
    return {"data": data, "layout": {"xaxis": _axis("epoch"), "yaxis": axis}}


def slices(search: Search) -> dict[str, Figure]:
    """The score against each hyperparameter; trials without one at the top."""
    scored = _scored(search)
    scores = [record.known_score for record in scored]
    lost = [r for r in search.records if r.status == "INFEASIBLE"]
    found: dict[str, Figure] = {}
    for hp in search.space:
        inside = [place for place, r in enumerate(scored) if hp.is_in(r.settings)]
        values = [scored[place].settings[hp.name] for place in inside]
        failed = [r.settings[hp.name] for r in lost if hp.is_in(r.settings)]
        if len({repr(value) for value in (*values, *failed)}) < 2:
            continue
        texts = [text(f"trial {scored[place].trial_id}") for place in inside]
        known = [scores[place] for place in inside]
        data = [_points(_shown(hp, values), known, "score", COLORS[0], texts)]
        if failed:
            crosses = _points(
                _shown(hp, failed), [1.0] * len(failed), "none", COLORS[1]
            )
            crosses["marker"]["symbol"] = "x"
            data.append({**crosses, "yaxis": "y2"})
        layout = {
            "xaxis": _range_axis(hp),
            "yaxis": _axis(search.objective.name, scores),
            "yaxis2": {
                "overlaying": "y",
                "visible": False,
                "range": [0, 1.05],
                "fixedrange": True,
            },
            "showlegend": False,
        }
        found[hp.name] = {"data": data, "layout": layout}
    return found


def parallel(search: Search) -> Figure | None:
    """Parallel coordinates of what all trials have, and of the score."""
    scored = _scored(search)
    shared = [
        hp
        for hp in search.space
        if all(hp.is_in(r.settings) for r in scored)
        and len({repr(r.settings[hp.name]) for r in scored}) > 1
    ]
    if len(scored) < 2 or len(shared) < 2:
        return None
    scores = np.array([record.known_score for record in scored])
    dimensions = [
        _dimension(hp, [r.settings[hp.name] for r in scored]) for hp in shared
    ]
    dimensions.append(_score_dimension(search.objective.name, scores))
    order = np.argsort(np.argsort(scores))
    if search.objective.direction == "min":
        order = len(order) - 1 - order
    return {
        "data": [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {
                    "color": order.tolist(),
                    "colorscale": [[0, "#c9ced6"], [0.6, "#8fb7f5"], [1, "#1d4ed8"]],
                },
            }
        ],
        "layout": {"margin": {"t": 60, "l": 70, "r": 70, "b": 30}},
    }


def seconds(search: Search) -> Figure:
    """The score of each trial against the seconds that it took."""
    timed = [r for r in _scored(search) if r.seconds is not None]
    scores = [record.known_score for record in timed]
    points = _points(
        [record.seconds for record in timed],
        scores,
        "a trial",
        COLORS[0],
        [text(f"trial {record.trial_id}") for record in timed],
    )
    layout = {
        "xaxis": {**_axis("seconds"), "rangemode": "tozero"},
        "yaxis": _axis(search.objective.name, scores),
        "showlegend": False,
    }
    return {"data": [points], "layout": layout}


def of_rounds(found: Rounds) -> Figure:
    """The best score of each search."""
    table = found.table
    names = table["search"].tolist()
    line = _line(range(len(names)), table["best"], "best", COLORS[0])
    line["mode"] = "lines+markers"
    line["marker"] = {"color": COLORS[0], "size": 11}
    axis = {**_axis("search"), **_labelled(names)}
    name = _axis(f"best {found.objective}")
    return {"data": [line], "layout": {"xaxis": axis, "yaxis": name}}


def text(value: Any, longest: int = _LONG) -> str:
    """Returns a text that Plotly shows as it is: it reads tags in its labels."""
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    if len(shown) > longest:
        shown = f"{shown[: longest - 1]}…"
    return html.escape(shown, quote=False)


# Parts.


def _scored(search: Search) -> list[TrialRecord]:
    return [record for record in search.records if record.status == "COMPLETED"]


def _numbers(values: Any) -> list[float | None]:
    """Returns numbers as JSON has them, with five digits."""
    found: list[float | None] = []
    for value in values:
        number = float(value)
        found.append(float(f"{number:.5g}") if math.isfinite(number) else None)
    return found


def _line(x: Any, y: Any, name: str, color: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": _numbers(y),
        "name": text(name),
        "line": {"color": color, "width": 2},
    }


def _points(
    x: Any, y: Any, name: str, color: str, texts: list[str] | None = None
) -> Figure:
    hover = "%{text}<br>" if texts else ""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": _numbers(y),
        "name": text(name),
        "text": texts or [],
        "marker": {"color": color, "size": 7, "opacity": 0.75},
        "hovertemplate": f"{hover}%{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _bars(x: Any, names: list[str], name: str, color: str) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "x": _numbers(x),
        "y": list(range(len(names))),
        "text": [text(each, _LONGEST) for each in names],
        "textposition": "none",
        "hovertemplate": "%{text}: %{x:.3g}<extra></extra>",
        "name": text(name),
        "marker": {"color": color},
    }


def _error_bars(
    middle: np.ndarray, low: np.ndarray, high: np.ndarray, color: str
) -> Figure:
    below, above = _plotting.reach(middle, low, high)
    return {
        "type": "data",
        "symmetric": False,
        "array": _numbers(above),
        "arrayminus": _numbers(below),
        "color": color,
    }


def _shares(table: Any, names: list[str], title: str) -> Figure:
    middle, low, high = table[["importance", "low", "high"]].to_numpy().T
    bars = _bars(middle, names, "share", COLORS[0])
    bars["marker"] = {"color": [COLORS[0] if m else _MUTED for m in table["matters"]]}
    bars["error_x"] = _error_bars(middle, low, high, _MUTED)
    axis = {**_axis(title), "rangemode": "tozero"}
    return {
        "data": [bars],
        "layout": {"xaxis": axis, "yaxis": _labelled(names), "showlegend": False},
    }


def _axis(title: str, values: Any = ()) -> Figure:
    """Returns an axis; a logarithmic one for values that would hide the best."""
    axis: Figure = {"title": {"text": text(title, _LONGEST)}, "tickformat": "~g"}
    known = np.array([v for v in values if v is not None and math.isfinite(v)], float)
    if len(known) > 1 and known.min() > 0 and known.max() / known.min() > _FAR:
        axis.update(_LOGARITHMIC)
    return axis


def _labelled(values: list[Any]) -> Figure:
    """Returns an axis with a place for each value, however alike their texts are."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(values))),
        "ticktext": [text(value) for value in values],
        "automargin": True,
        "zeroline": False,
    }


def _shown(hp: Hyperparameter, values: list[Any]) -> list[Any]:
    if hp.min_value is not None:
        return _numbers(values)
    known = [hp.value_of(value) for value in values]
    return [hp.values.index(v) if v in hp.values else -1 for v in known]


def _range_axis(hp: Hyperparameter) -> Figure:
    axis = _axis(hp.name)
    if hp.min_value is None:
        axis.update(_labelled(list(hp.values)))
    elif hp.sampling == "log":
        axis["type"] = "log"
    elif 0 < len(hp.values) <= _TICKS:
        axis["tickvals"] = _numbers(hp.values)
    return axis


def _dimension(hp: Hyperparameter, values: list[Any]) -> Figure:
    """Returns an axis of the parallel coordinates, each on its own scale."""
    label = text(hp.name)
    if hp.min_value is None:
        known = [hp.value_of(value) for value in values]
        places = [hp.values.index(v) if v in hp.values else 0 for v in known]
        names = [text(value) for value in hp.values]
        ticks = list(range(len(names)))
        return {"label": label, "values": places, "tickvals": ticks, "ticktext": names}
    if hp.sampling == "linear":
        return {"label": label, "values": _numbers(values)}
    numbers = np.log10(np.array(values, float))
    ends = math.floor(numbers.min()), math.ceil(numbers.max())
    ticks = list(range(ends[0], ends[1] + 1))
    return {
        "label": label,
        "values": _numbers(numbers),
        "range": list(ends),
        "tickvals": ticks,
        "ticktext": [f"{10.0**tick:g}" for tick in ticks],
    }


def _score_dimension(name: str, scores: np.ndarray) -> Figure:
    if _axis(name, scores).get("type") != "log":
        return {"label": text(name), "values": _numbers(scores)}
    places = np.log10(scores)
    ticks = np.linspace(places.min(), places.max(), 6)
    return {
        "label": text(name),
        "values": _numbers(places),
        "tickvals": _numbers(ticks),
        "ticktext": [f"{10.0**tick:.3g}" for tick in ticks],
    }
