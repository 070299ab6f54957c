"""The report's HTML: a page from its parts, everything from users escaped."""

from __future__ import annotations

import base64
import gzip
import html
import importlib.resources
import json
import math
from typing import Any

import pandas as pd

from keras_tricks.analysis.report.figures import Figure

# Of one table; the rest is in the leaderboard's CSV file.
_MOST_ROWS = 200


class Page:
    """A page that is being written: sections in their order, and their figures."""

    def __init__(self) -> None:
        self._sections: list[str] = []
        self._links: list[tuple[str, str]] = []
        self._figures: dict[str, Figure] = {}

    def section(self, heading: str, level: int, *parts: str) -> None:
        """Adds a section; the first level is in the list of contents, too."""
        name = f"section-{len(self._sections)}"
        if level == 2:
            self._links.append((name, heading))
        inner = "\n".join(part for part in parts if part)
        self._sections.append(
            f'<section aria-labelledby="{name}">\n'
            f'<h{level} id="{name}">{escaped(heading)}</h{level}>\n{inner}\n</section>'
        )

    def figure(
        self, figure: Figure | None, caption: str, *, is_wide: bool = False
    ) -> str:
        """Returns the place of a figure, which is drawn when the page has loaded."""
        if figure is None:
            return ""
        name = f"figure-{len(self._figures)}"
        self._figures[name] = figure
        place = (
            f'<div class="figure" data-figure="{name}" role="img" '
            f'aria-label="{escaped(caption)}"></div>'
        )
        if is_wide:
            place = f'<div class="wide" tabindex="0">{place}</div>'
        return f"<figure>{place}<figcaption>{escaped(caption)}</figcaption></figure>"

    def html(self, title: str, subtitle: str, reload_seconds: float | None) -> str:
        """Returns the whole page."""
        content = {"figures": self._figures, "reload_seconds": reload_seconds}
        links = "".join(
            f'<li><a href="#{name}">{escaped(heading)}</a></li>'
            for name, heading in self._links
        )
        return f"""<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escaped(title)}</title>
<style>
{_resource("page.css")}</style>
</head>
<body>
<header>
<button type="button" class="theme">Dark</button>
<h1>{escaped(title)}</h1>
<p class="quiet">{escaped(subtitle)}</p>
<nav aria-label="Contents"><ul>{links}</ul></nav>
</header>
<main>
{chr(10).join(self._sections)}
</main>
<footer>Made by keras_tricks. The same as objects and tables:
<code>keras_tricks.analysis.summarize</code>.</footer>
<script type="application/json" id="content">{as_json(content)}</script>
<script type="application/gzip" id="plotly">{_packed_plotly()}</script>
<script>
{_resource("page.js")}</script>
</body>
</html>
"""


def escaped(value: Any) -> str:
    """Returns a text that HTML shows as it is, also in an attribute."""
    return html.escape(str(value))


def as_json(content: Any) -> str:
    """Returns JSON that may stand in a script: no text in it ends the script."""
    return (
        json.dumps(content, allow_nan=False, separators=(",", ":"), default=str)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )


def answer(sentences: str, *, is_first: bool = False) -> str:
    """Returns the sentences that conclude."""
    kind = "answer first" if is_first else "answer"
    return f'<p class="{kind}">{escaped(sentences)}</p>'


def numbers(frame: pd.DataFrame | None, caption: str) -> str:
    """Returns the numbers behind a figure, folded up."""
    if frame is None or not len(frame):
        return ""
    return folded(caption, table(frame, caption))


def folded(caption: str, content: str) -> str:
    """Returns content that a click unfolds."""
    summary = f"<summary>{escaped(caption)}</summary>"
    return f"<details>{summary}{content}</details>" if content else ""


def table(frame: pd.DataFrame, caption: str) -> str:
    """Returns a table; of a long one its first rows."""
    more = ""
    if len(frame) > _MOST_ROWS:
        more = f" (the first {_MOST_ROWS} of {len(frame)})"
    head = "".join(
        f'<th scope="col"{kind_of(frame[name])}>{escaped(name)}</th>'
        for name in frame.columns
    )
    rows = "".join(
        f"<tr>{''.join(map(cell, row))}</tr>"
        for row in frame.head(_MOST_ROWS).itertuples(index=False)
    )
    return (
        f'<div class="table" tabindex="0"><table><caption>{escaped(caption)}{more}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def kind_of(column: pd.Series) -> str:
    """Returns the attribute of a heading that stands above numbers."""
    are_numbers = pd.api.types.is_numeric_dtype(
        column
    ) and not pd.api.types.is_bool_dtype(column)
    return ' class="number"' if are_numbers else ""


def cell(value: Any) -> str:
    """Returns a cell with the value by which its column is sorted."""
    if is_missing(value):
        return '<td data-value=""></td>'
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return f'<td data-value="{escaped(text)}">{escaped(text)}</td>'
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    # As JavaScript reads it.
    sortable = repr(value).replace("inf", "Infinity")
    return f'<td class="number" data-value="{sortable}">{shown}</td>'


def is_missing(value: Any) -> bool:
    """Whether a table has no value here."""
    if value is None or value is pd.NA:
        return True
    return isinstance(value, float) and math.isnan(value)


def listed(entries: dict[str, Any]) -> str:
    """Returns names with their values."""
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(_shown(value))}</dd>"
        for name, value in entries.items()
        if not is_missing(value) and value != ""
    )
    return f"<dl>{rows}</dl>" if rows else ""


def code(text: str) -> str:
    """Returns code with a button that copies it."""
    return (
        '<button type="button" class="copy">Copy</button>'
        f'<pre tabindex="0"><code>{escaped(text)}</code></pre>'
    )


def grid(parts: list[str]) -> str:
    """Returns figures beside each other, as many as fit."""
    return f'<div class="figures">{"".join(parts)}</div>' if parts else ""


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _resource(name: str) -> str:
    folder = importlib.resources.files(__package__)
    return (folder / name).read_text(encoding="utf-8")


def _packed_plotly() -> str:
    """Returns Plotly's script, which is 4.8 MB otherwise.

    Raises:
        ImportError: If the package plotly is missing.
    """
    return base64.b64encode(gzip.compress(_plotly().encode(), 9, mtime=0)).decode()


def _plotly() -> str:
    try:
        import plotly.offline
    except ImportError as error:
        raise ImportError(
            "`search_report` needs plotly: python -m pip install plotly"
        ) from error
    return plotly.offline.get_plotlyjs()
