"""Pages of the site that are made of other files: a hook of MkDocs.

The README's sections, the change log, the examples, the notebooks and the public names
become pages, and links between files of the repository links between pages. Nothing is
written beside the sources.
"""

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Which page has which sections of the README; the first screen has no heading.
README_SECTIONS = {
    "index.md": [
        "",
        "What there is, by task",
        "How fast a search is",
        "Why not copy the code from the article?",
    ],
    "getting-started.md": [
        "Installation and requirements",
        "A schedule, clipping and a count",
        "The main job: settings for a classifier of digits",
        "Searching your own model",
        "Guides",
    ],
}
FILES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CITATION.cff": "citation.md",
}
# Documented beside the names in `__all__`: what all tuners have, and the class from
# which hypermodels of one's own derive.
BASE_CLASSES = {
    "hypermodels": ["base.SupervisedHyperModel"],
    "tuners": ["tuner.TunerMixin", "results.tuner_methods.Results"],
}
# What readers call it, where a page or a section has another word: the search box
# finds both. Words of a page are shown with it, those of a section are not.
READERS_WORDS = {
    "after-a-search.md": "report, overfitting",
    "before-training.md": "class imbalance, learning rate range test",
    "clipping.md": "clip, exploding gradients",
    "many-machines.md": "distributed, cluster, parallel",
    "migrating-from-tf1.md": "BERT, checkpoint",
    "packed-trials.md": "ensemble, batched trials",
    "schedules.md": "BERT, warm up, cosine, one cycle",
    "after-a-search.md#What the learning curves say": "overfit, underfit",
    "after-a-search.md#What a classifier gets wrong": "label noise, mislabelled",
    "after-a-search.md#The whole search on one page": "report, dashboard",
    "after-a-search.md#On the command line": "keras-tricks, shell, terminal, CLI",
    "before-training.md#A small class": "class imbalance, imbalanced, class weights",
    "during-training.md#Curves to watch": "tensorboard, live plot",
    "during-training.md#Trainings that lead nowhere": "early stopping, diverge, NaN",
    "getting-started.md#Installation and requirements": "install, pip, setup, python",
    "hypermodels.md#A trained backbone": "freeze, unfreeze, pretrained, transfer",
    "parameters.md#Count": "count parameters, trainable, model size",
    "schedules.md#From Hugging Face transformers": "huggingface, pytorch",
    "search.md#Fault tolerance": "crash, crashes, kill, killed",
    "search.md#Resuming": "resume, resumes, restart, continue, interrupted",
    "search.md#Trial records": "reproducible, reproducibility, log",
}
# The search box lists guides before other pages that have the word as often.
LESS_SOUGHT = ("changelog.md", "contributing.md", "citation.md", "examples/")
LINK = re.compile(r"\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def offered(module: Path) -> list[str]:
    """Returns the names in `__all__` of a file, without importing it."""
    for statement in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and (
            ast.unparse(statement.targets[0]) == "__all__"
        ):
            return list(ast.literal_eval(statement.value))
    raise ValueError(f"`__all__` must be a list in {module}.")


def reference_pages() -> dict[str, str]:
    """Returns a page for each folder of the package, with all that it offers."""
    package = ROOT / "keras_tricks"
    pages = {}
    for folder in offered(package / "__init__.py"):
        module = package / folder / "__init__.py"
        summary = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
        lines = [f"# keras_tricks.{folder}", (summary or "").partition("\n\n")[0]]
        names = [*offered(module), *BASE_CLASSES.get(folder, ())]
        lines += [f"::: keras_tricks.{folder}.{name}" for name in names]
        pages[f"reference/{folder}.md"] = "\n\n".join(lines) + "\n"
    return pages


def readme_pages() -> dict[str, str]:
    """Returns the pages that the README's sections make up."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first, *others = re.split(r"^## ", readme, flags=re.MULTILINE)
    sections = {"": first}
    for text in others:
        sections[text.partition("\n")[0]] = f"## {text}"
    pages = {
        page: site_markdown("".join(sections[title] for title in titles), "")
        for page, titles in README_SECTIONS.items()
    }
    pages["getting-started.md"] = "# Getting started\n\n" + pages["getting-started.md"]
    return pages


def source_page(path: Path, language: str) -> str:
    """Returns a page with the text of a file as it is."""
    return f"# {path.name}\n\n```{language}\n{path.read_text(encoding='utf-8')}```\n"


def notebook_page(path: Path) -> str:
    """Returns a page with the text and the code of a notebook."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        parts.append(f"```python\n{source}\n```" if is_code else source)
    return "\n\n".join(parts) + "\n"


def generated_pages() -> dict[str, str]:
    """Returns the text of each page that is made, by its path in the site."""
    pages = readme_pages() | reference_pages()
    for name, page in FILES.items():
        if name.endswith(".md"):
            pages[page] = site_markdown((ROOT / name).read_text(encoding="utf-8"), "")
        else:
            pages[page] = source_page(ROOT / name, "yaml")
    for path in sorted(ROOT.glob("examples/*.py")):
        pages[f"examples/{path.stem}.md"] = source_page(path, "python")
    for path in sorted(ROOT.glob("examples/notebooks/*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook_page(path)
    return pages


def site_path(path: str) -> str:
    """Returns the page of a file of the repository, by its path from the root."""
    if path.startswith("examples/notebooks/"):
        path = path.removeprefix("examples/")
    if path.startswith(("examples/", "notebooks/")):
        return str(Path(path).with_suffix(".md").as_posix())
    return FILES.get(path, path.removeprefix("docs/"))


def site_markdown(text: str, folder: str) -> str:
    """Returns the Markdown of a file in `folder` as the site's: links and fences."""

    def linked(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["target"]))
        return f"]({site_path(path)}{match['anchor'] or ''})"

    # What stands behind a language is for the tests, as in "```text output".
    text = re.sub(r"^( *```\w+) (output|unchecked)$", r"\1", text, flags=re.MULTILINE)
    return LINK.sub(linked, text)


def with_readers_words(text: str, page: str) -> str:
    """Returns the Markdown of a page with words in its sections that are not shown."""
    for place, words in READERS_WORDS.items():
        name, _, heading = place.partition("#")
        if name == page and heading:
            line = rf"^(##+ {re.escape(heading)})$"
            hidden = rf"\1\n\n<p hidden>{words}</p>"
            text = re.sub(line, hidden, text, flags=re.MULTILINE)
    return text


def with_pages(nav: list[Any], pages: dict[str, str]) -> list[Any]:
    """Returns the navigation with the pages of a folder in the place of its name."""
    entries: list[Any] = []
    for entry in nav:
        [(title, value)] = entry.items()
        if isinstance(value, list):
            value = with_pages(value, pages)
        elif not value.endswith(".md"):
            value = [page for page in pages if page.startswith(f"{value}/")]
        entries.append({title: value})
    return entries


def on_config(config: Any) -> Any:
    """Completes the navigation."""
    config.nav = with_pages(config.nav, generated_pages())
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made."""
    from mkdocs.structure.files import File

    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrites the guides, and tells the search box of each page what it needs.

    The Markdown of pages that are made is the site's already.
    """
    path = page.file.src_uri
    if path.startswith(LESS_SOUGHT):
        page.meta["search"] = {"boost": 0.3}
    if path in READERS_WORDS:
        page.meta["tags"] = READERS_WORDS[path].split(", ")
    written_by_hand = page.file.generated_by is None
    text = site_markdown(markdown, "docs") if written_by_hand else markdown
    return with_readers_words(text, path)
