"""Hooks of MkDocs: pages made from the project itself, and links that lead out of `docs/`.

`mkdocs.yml` names this file. Generated pages: the command line from the app, JSON schemas from the
pydantic models, the results and the model card from where they are kept.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from rich.text import Text

from pneumoscope.bundles import BundleInfo
from pneumoscope.cli import app
from pneumoscope.cli.commands import COMMANDS, Later
from pneumoscope.findings import finding_schema
from pneumoscope.training.settings import TrainingSettings

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/pneumoscope/pneumoscope"
# Pages of the site that are kept elsewhere in the repository.
ELSEWHERE = {
    "results.md": "results/README.md",
    "history.md": "results/history.md",
    "model-card.md": "src/pneumoscope/bundles/default/MODEL_CARD.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_SCHEMA = re.compile(r"<!-- schema (\w+) -->")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the project."""
    for name, content in generated().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Fill in fields of schemas; lead links out of `docs/` to the site or to the repository."""
    name = page.file.src_uri
    markdown = _SCHEMA.sub(lambda match: _fields(schemas()[match[1]]), markdown)
    return relinked(markdown, ELSEWHERE.get(name, f"docs/{name}"), name)


def generated() -> dict[str, str]:
    """Text of each page that is made or fetched, by its path on the site."""
    pages = {
        name: (ROOT / path).read_text(encoding="utf-8")
        for name, path in ELSEWHERE.items()
        if (ROOT / path).is_file()
    }
    pages["reference/cli.md"] = command_line_page()
    for name, schema in schemas().items():
        pages[f"reference/schemas/{name}.schema.json"] = json.dumps(schema, indent=1) + "\n"
    return pages


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schemas of the files that have one."""
    return {
        "finding": finding_schema(),
        "bundle": BundleInfo.model_json_schema(),
        "config": TrainingSettings.model_json_schema(),
    }


def relinked(markdown: str, source: str, name: str) -> str:
    """The text of a file as a page of the site.

    Args:
        markdown: the file's text.
        source: path of the file below the repository's root.
        name: path of its page on the site.
    """
    pages = {path: page for page, path in ELSEWHERE.items()}

    def replaced(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        mark = f"#{anchor}" if anchor else ""
        if path in pages or path.startswith("docs/"):
            page = pages.get(path, path.removeprefix("docs/"))
            near = posixpath.relpath(page, posixpath.dirname(name) or ".")
            return f"{match[1]}{near}{mark}{match[3]}"
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{match[1]}{REPOSITORY}/{kind}/main/{path}{mark}{match[3]}"

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(replaced, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(replaced, markdown[end:])])


def _fields(schema: dict[str, Any]) -> str:
    """The fields of a schema as a table."""
    lines = ["| field | meaning |", "|---|---|"]
    for name, field in schema["properties"].items():
        lines.append(f"| `{name}` | {_cell(field.get('description', ''))} |")
    return "\n".join(lines)


def command_line_page() -> str:
    """The reference of the command line, as Markdown."""
    context = typer.Context(typer.main.get_command(app), info_name="pneumoscope")
    lines = [
        "# Command line",
        "",
        "Made from the program itself; `pneumoscope COMMAND --help` shows the same.",
        "",
    ]
    for panel, commands in COMMANDS.items():
        lines += [f"## {panel}", ""]
        for name, summary in commands.items():
            lines += _command(name, Later(name, summary, panel).command, context)
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, parent: typer.Context) -> Iterator[str]:
    """Lines on a command: what it does, examples, arguments and options; then its subcommands."""
    context = typer.Context(command, info_name=name, parent=parent)
    told = Text.from_markup(command.help or "").plain
    words, _, examples = told.partition("Example")
    yield from (f"### pneumoscope {name}", "", _escaped(words.strip()), "")
    _, *rest = examples.split("\n")
    shown = [line.strip() for line in rest if line.startswith("  ")]
    further = [line.strip() for line in rest if line.strip() and not line.startswith("  ")]
    if shown:
        yield from ("```console", *shown, "```", "")
    if further:
        yield from (_escaped(" ".join(further)), "")
    yield from ("| option | meaning |", "|---|---|")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            option, meaning = record
            yield f"| <code>{_cell(option)}</code> | {_cell(meaning)} |"
    yield ""
    for inner, subcommand in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {inner}", subcommand, context)


def _cell(text: str) -> str:
    """Words inside a cell of a table."""
    return _escaped(Text.from_markup(text).plain if "[/" in text else text).replace("|", "&#124;")


def _escaped(text: str) -> str:
    """Words that are no HTML and no emphasis."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("*", "&#42;").replace("_", "&#95;")
