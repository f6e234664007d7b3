"""The documents keep their word: links lead somewhere, commands exist, quoted errors are real."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import markdown
import pytest
import typer
from markdown.treeprocessors import Treeprocessor

from pneumoscope import __version__
from pneumoscope.cli import app
from tests.localize.networks import films, small
from tests.programs import pneumoscope

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for folder in ("*.md", "docs/**/*.md", "results/**/*.md", ".github/**/*.md")
    for path in ROOT.glob(folder)
)
COMMANDS = typer.main.get_command(app)
# Made when the site is built: tools/docs_site.py.
GENERATED = {"docs/reference/cli.md"} | {
    f"docs/reference/schemas/{name}.schema.json" for name in ("finding", "bundle", "config")
}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rendered(path: Path) -> Element:
    """A page as a tree of HTML, headings with their ids."""
    found: list[Element] = []

    class Keep(Treeprocessor):
        def run(self, root: Element) -> None:
            found.append(root)

    converter = markdown.Markdown(extensions=["tables", "toc", "fenced_code", "attr_list"])
    converter.treeprocessors.register(Keep(converter), "keep", -1)
    converter.convert(path.read_text(encoding="utf-8"))
    return found[0]


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of a language, without the indentation of lists."""
    return [
        "\n".join(line.removeprefix(indent) for line in text.splitlines())
        for indent, name, text in _FENCE.findall(path.read_text(encoding="utf-8"))
        if name == language
    ]


def console_lines(path: Path) -> Iterator[str]:
    """Commands in console blocks, continued lines joined, comments left out."""
    for block in blocks(path, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.split("  #")[0].strip().removeprefix("$ ")
            if command:
                yield command


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    tree = rendered(page)
    targets = [link.get("href", "") for link in tree.iter("a")]
    targets += [picture.get("src", "") for picture in tree.iter("img")]
    for target in targets:
        if ":" in target.split("/")[0]:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if file.is_relative_to(ROOT) and named(file) in GENERATED:
            continue
        assert file.exists(), f"{named(page)}: {target}"
        if anchor and file.suffix == ".md":
            ids = {element.get("id") for element in rendered(file).iter()}
            assert anchor in ids, f"{named(page)}: {target}"


def test_the_readme_of_the_package_index_has_no_relative_links() -> None:
    tree = rendered(ROOT / "README.md")
    for element in [*tree.iter("a"), *tree.iter("img")]:
        target = element.get("href") or element.get("src") or ""
        assert target.startswith(("https://", "#")), target


def test_absolute_links_of_the_readme_lead_to_files_of_the_repository() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = re.findall(
        r"https://(?:github\.com|raw\.githubusercontent\.com)/pneumoscope/pneumoscope/"
        r"(?:blob/|tree/)?main/([^)#\s]+)",
        text,
    )
    assert own
    for path in own:
        assert (ROOT / path).exists(), path


def program_lines() -> list[tuple[str, str]]:
    return [
        (named(page), line)
        for page in PAGES
        for line in console_lines(page)
        if re.match(r"(\w+=\S+ )*(pneumoscope|torchrun .*-m pneumoscope) ", line)
    ]


@pytest.mark.parametrize(("page", "line"), program_lines())
def test_commands_in_the_pages_exist_with_their_options(page: str, line: str) -> None:
    words = shlex.split(line.partition("pneumoscope ")[2])
    if words == ["--version"]:
        return
    command: Any = COMMANDS
    while words and (inner := getattr(command, "commands", {}).get(words[0])):
        command, words = getattr(inner, "command", inner), words[1:]
    assert command is not COMMANDS, f"{page}: {line}"
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= known | {"--help"}, f"{page}: {line}: {given - known}"


def literals() -> str:
    """All strings of the package, one a line; what is filled in is a null character."""
    lines = []
    for path in (ROOT / "src" / "pneumoscope").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values)
                lines.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines.append(node.value)
    return "\n".join(lines)


def test_errors_of_the_troubleshooting_page_are_in_the_source() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    assert len(quoted) > 30
    source = literals()
    for words in quoted:
        pattern = "[^\n]*?".join(re.escape(part) for part in words.split("…"))
        assert re.search(pattern, source), words


@pytest.mark.slow
def test_the_tutorial_works_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command from the phantoms on, with fewer and smaller radiographs."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (tmp_path / "page.md").write_text(text[: text.index("## 8.")], encoding="utf-8")
    smaller = {"--n 240": "--n 60 --size 96", "--epochs 4": "--epochs 1 --set size=64"}
    ran = []
    for line in console_lines(tmp_path / "page.md"):
        if not line.startswith("pneumoscope "):
            continue
        for whole, less in smaller.items():
            line = line.replace(whole, less)  # noqa: PLW2901
        done = pneumoscope(*shlex.split(line)[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr[-2000:]}"
        ran.append(line.split()[1])
    assert ran == [
        "--version",
        "phantom",
        "scan",
        "train",
        "evaluate",
        "predict",
        "explain",
        "export",
        "predict",
    ]
    monkeypatch.chdir(tmp_path)
    for python in blocks(tmp_path / "page.md", "python"):
        exec(python, {})
    assert (tmp_path / "evaluation" / "report.html").is_file()


@pytest.mark.slow
def test_heatmaps_of_other_libraries_are_measured_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's Python and its two commands on phantoms, with fewer of them."""
    page = ROOT / "docs" / "measuring.md"
    monkeypatch.chdir(tmp_path)
    phantom, evaluate = (line for line in console_lines(page) if "phantoms" in line)
    names: dict[str, Any] = {}
    for command in (phantom.replace("--n 120", "--n 20 --size 96"), None, evaluate):
        if command is None:
            for code in blocks(page, "python"):
                exec(code, names)
            continue
        done = pneumoscope(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads((tmp_path / "measured" / "metrics.json").read_text())
    assert metrics["n"] == 20 and "warning" not in done.stderr
    # The two libraries make the same map of the same network; one of them gives it enlarged.
    first, second = (metrics["localization_annotated"][name] for name in ("grad-cam", "torchcam"))
    assert first["auprc"]["value"] == pytest.approx(second["auprc"]["value"], abs=0.03)


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_asks_no_other_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "true"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=[\"']?([^\"' >]+)", text)
        loaded += re.findall(r"<link[^>]* rel=[\"']?(?:stylesheet|preconnect|preload)[^>]*", text)
        assert not [one for one in loaded if "//" in one], page
        # What makes the theme's script ask GitHub.
        assert 'data-md-component="source"' not in text, page


def test_the_papers_name_this_version() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None and cited[1] == __version__
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_worked_examples_for_contributors_work() -> None:
    method, metric = blocks(ROOT / "CONTRIBUTING.md", "python")
    names: dict[str, Any] = {}
    exec(method, names)
    network, pixels = small("resnet18"), films(2)
    seen = names["gradient_energy"](network, pixels)
    assert seen.maps.shape[0] == 2 and bool((seen.maps >= 0).all())
    assert seen.logits == pytest.approx(network(pixels).detach(), abs=1e-4)
    exec(metric, names)
    names["test_youden_by_hand"]()
