"""The documentation site: what its pages are made of, and what it asks other hosts."""

import importlib
import json
import re
import runpy
import subprocess
import sys

import pytest

import keras_tricks
from tests.child_process import ROOT

SITE = runpy.run_path(str(ROOT / "docs" / "site_pages.py"))
OFFLINE = runpy.run_path(str(ROOT / ".ci" / "offline_pages.py"))


@pytest.fixture(scope="module")
def pages():
    return SITE["generated_pages"]()


@pytest.mark.parametrize("folder", keras_tricks.__all__)
def test_every_public_name_is_in_the_reference(folder, pages):
    """The hook reads `__all__` without importing; here the imported one is asked."""
    module = importlib.import_module(f"keras_tricks.{folder}")
    page = pages[f"reference/{folder}.md"].splitlines()
    wanted = {f"::: keras_tricks.{folder}.{name}" for name in module.__all__}
    assert wanted <= set(page)


def test_every_section_of_the_readme_is_on_one_page(pages):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## .*", readme, re.MULTILINE)
    made = "\n".join(pages[name] for name in SITE["README_SECTIONS"])
    assert sorted(re.findall(r"^## .*", made, re.MULTILINE)) == sorted(headings)


def test_every_guide_is_in_the_navigation():
    """MkDocs says so, too, where it is installed."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    guides = {path.name for path in (ROOT / "docs").glob("*.md")}
    made = {page for page in SITE["generated_pages"]() if "/" not in page}
    assert listed == guides | made


def test_readers_words_are_of_pages_and_their_sections(pages):
    for place, words in SITE["READERS_WORDS"].items():
        name, _, heading = place.partition("#")
        guide = ROOT / "docs" / name
        text = pages[name] if name in pages else guide.read_text(encoding="utf-8")
        assert (words in SITE["with_readers_words"](text, name)) == bool(heading)


@pytest.mark.parametrize(
    ("folder", "link", "expected"),
    [
        ("docs", "[a](schedules.md#migrating)", "[a](schedules.md#migrating)"),
        ("docs", "![a](images/x.png)", "![a](images/x.png)"),
        ("docs", "[a](../examples/tune_digits.py)", "[a](examples/tune_digits.md)"),
        (
            "docs",
            "[a](../examples/notebooks/a_search.ipynb)",
            "[a](notebooks/a_search.md)",
        ),
        ("docs", "[a](../CHANGELOG.md)", "[a](changelog.md)"),
        ("docs", "[a](#below)", "[a](#below)"),
        ("docs", "[a](https://a.example/b.md)", "[a](https://a.example/b.md)"),
        ("", "[a](docs/search.md#resuming)", "[a](search.md#resuming)"),
        ("", "[a](CONTRIBUTING.md)", "[a](contributing.md)"),
        ("", "```text output", "```text"),
        ("", "```output", "```output"),
    ],
)
def test_links_and_fences_become_the_sites(folder, link, expected):
    """A link works on GitHub by the file's place, on the site by the page's."""
    assert SITE["site_markdown"](link, folder) == expected


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_lead_to_files_of_the_repository_and_to_pages(path, pages):
    """By the file's place, as on GitHub, and on the site by the page that is made."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    for match in SITE["LINK"].finditer(text):
        file = (path.parent / match["target"]).resolve()
        assert file.exists(), match.group()
        page = SITE["site_path"](file.relative_to(ROOT).as_posix())
        assert page in pages or (ROOT / "docs" / page).exists(), match.group()


def test_a_notebooks_page_has_its_text_and_code(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": []},
    ]
    path = tmp_path / "it.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    expected = "# Title\ntext\n\n```python\nx = 1\nx\n```\n"
    assert SITE["notebook_page"](path) == expected


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (
            "One line.\n\nExample:\n\n>>> f(1)\n2\n\nReference:\n    A paper.",
            "One line.\n\nExamples:\n    >>> f(1)\n    2\n\nReference:\n    A paper.",
        ),
        (
            "Example:\n\nWords first.\n\n>>> {1:\n...  2}\n{1: 2}",
            "Examples:\n    Words first.\n\n    >>> {1:\n    ...  2}\n    {1: 2}\n\n",
        ),
        (
            "Args:\n    x: A number\n        >= 1.",
            "Args:\n    x: A number\n        \\>= 1.",
        ),
    ],
)
def test_docstrings_are_read_as_they_are_meant(docstring, expected):
    """By an extension of griffe, which the extra `docs` brings."""
    pytest.importorskip("griffe")
    extension = runpy.run_path(str(ROOT / "docs" / "site_docstrings.py"))
    assert extension["as_markdown"](docstring) == expected


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site's folder, where the extra `docs` is installed."""
    pytest.importorskip("mkdocs", reason="The extra `docs` is not installed.")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return folder


def entries_of(page):
    """Returns the HTML of each entry of a reference page, by the path of its name."""
    parts = re.split(r'<h2 id="(keras_tricks[.\w]+)"', page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("folder", keras_tricks.__all__)
def test_each_public_name_is_shown_as_what_it_is(folder, built):
    """`analysis.compare` is a function, and the module that holds it has its name."""
    module = importlib.import_module(f"keras_tricks.{folder}")
    page = (built / "reference" / f"{folder}.html").read_text(encoding="utf-8")
    entries = entries_of(page)
    for name in module.__all__:
        entry = entries[f"keras_tricks.{folder}.{name}"]
        value = getattr(module, name)
        kind = "class" if isinstance(value, type) else "function"
        if getattr(value, "__name__", name) != name:
            kind = "attribute"  # Another name of what is shown elsewhere.
        assert f"doc-symbol-{kind}" in entry, name
        assert "<p>" in entry, f"{name} has no text."
        assert kind == "attribute" or "Source code in" in entry, name
    assert "$$" not in page


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.html", '<a href="https://a.example">click</a>', 0),
        ("a.html", '<img src="images/x.png"><script src="x.js"></script>', 0),
        ("a.html", '<script src="https://a.example/x.js"></script>', 1),
        ("a.html", '<link href="//a.example/x.css" rel="stylesheet">', 1),
        ("a.html", '<img srcset="https://a.example/x.png">', 1),
        ("a.html", '<p style="background: url(https://a.example/x.png)">', 1),
        ("a.html", "<style>@import 'https://a.example/x.css';</style>", 1),
        ("a.html", "<script>fetch('https://a.example')</script>", 1),
        ("a.html", "<p>fetch('https://a.example')</p>", 0),
        ("a.html", '<pre class="mermaid">graph</pre>', 1),
        ("a.css", "@font-face { src: url(https://a.example/x.woff2) }", 1),
        ("a.css", "a { background: url(data:image/png;base64,//8A) }", 0),
        ("a.js", 'fetch("https://a.example/x.json")', 1),
        ("a.js", 'e.namespace = "http://www.w3.org/2000/svg"', 0),
        ("a.json", '{"url": "https://a.example"}', 0),
    ],
)
def test_requests_of_other_hosts_are_found(name, text, count, tmp_path, capsys):
    """What a page loads counts, links on which a reader clicks do not."""
    (tmp_path / "index.html").write_text("<p>A page.</p>", encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert OFFLINE["main"](str(tmp_path)) == (1 if count else 0)
    assert f", {count} requests" in capsys.readouterr().out


def test_a_folder_without_pages_is_no_site(tmp_path, capsys):
    assert OFFLINE["main"](str(tmp_path)) == 2
    assert "must be the folder of a site" in capsys.readouterr().out
