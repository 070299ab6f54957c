"""Finds what the pages of a built site would ask other hosts for.

    python .ci/offline_pages.py FOLDER

Prints each request with its file, and exits with status 1 if there is one. Links on
which a reader clicks are none.
"""

import html.parser
import re
import sys
from pathlib import Path

# What a browser loads as soon as it has read the tag, except of `<a>`.
LOADING = {"action", "data", "href", "poster", "src", "srcset"}
REMOTE = re.compile(r"(https?:)?//\w", re.IGNORECASE)
IN_CSS = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""", re.I)
IN_SCRIPT = re.compile(r"""['"`](https?://[^'"`\s]+)""")
# In Material's own script: names of formats, which nobody asks for; the library for
# diagrams, which pages with one alone load; what browsers from before 2020 lack; the
# facts of a repository, of which there is none in mkdocs.yml.
NOT_ASKED = (
    "http://www.w3.org/",
    "https://unpkg.com/mermaid@",
    "https://unpkg.com/resize-observer-polyfill",
    "https://api.github.com/",
    "https://gitlab.com/",
    "https://${",
)


class Page(html.parser.HTMLParser):
    """Collects the requests of a page in `found`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._code = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            if tag != "a" and name in LOADING and REMOTE.match(value or ""):
                self.found.append(f"<{tag} {name}={value}>")
            if name == "style":
                self.found += in_css(value or "")
            if name == "class" and "mermaid" in (value or "").split():
                self.found.append("a diagram, whose library is elsewhere")

    def handle_endtag(self, tag: str) -> None:
        self._code = ""

    def handle_data(self, data: str) -> None:
        if self._code == "style":
            self.found += in_css(data)
        elif self._code == "script":
            self.found += in_script(data)


def in_css(text: str) -> list[str]:
    """Returns the addresses on other hosts that a style sheet loads."""
    return IN_CSS.findall(text)


def in_script(text: str) -> list[str]:
    """Returns the addresses on other hosts in the strings of a script."""
    return [url for url in IN_SCRIPT.findall(text) if not url.startswith(NOT_ASKED)]


def requests(path: Path) -> list[str]:
    """Returns what a file of the site would ask other hosts for."""
    if path.suffix not in (".html", ".css", ".js"):
        return []
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        return Page(text).found
    return in_css(text) if path.suffix == ".css" else in_script(text)


def main(folder: str) -> int:
    """Prints the requests of all files below a folder, and returns the exit status."""
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    if not any(path.suffix == ".html" for path in paths):
        print(f"{folder} must be the folder of a site: it has no page.")
        return 2
    found = [(path, request) for path in paths for request in requests(path)]
    for path, request in found:
        print(f"{path}: {request}")
    print(f"{len(paths)} files, {len(found)} requests of other hosts")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
