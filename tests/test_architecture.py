"""The house keeps its walls: each room imports only what the architecture's table allows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import pneumoscope
from pneumoscope.extras import LIBRARIES as EXTRAS

ROOT = Path(pneumoscope.__file__).parent
LEAVES = {
    "addresses",
    "ages",
    "cpus",
    "errors",
    "files",
    "components",
    "shipped",
    "names",
    "extras",
}
# room: (rooms it may import, heavy libraries it may import anywhere)
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "imaging": (set(), {"pydicom", "PIL"}),
    "cohort": ({"imaging"}, {"pandas", "PIL", "pydicom"}),
    "phantom": (set(), {"PIL"}),
    "findings": (set(), {"pydantic"}),
    "bundles": (set(), {"pydantic"}),
    "models": ({"bundles"}, {"torch", "timm", "safetensors", "huggingface_hub"}),
    "localize": ({"models"}, {"torch"}),
    "evaluate": (set(), {"sklearn"}),
    "lungs": ({"imaging"}, {"onnxruntime"}),
    "density": (set(), {"PIL"}),
    "gate": ({"imaging"}, {"onnxruntime"}),
    "inference": (
        {
            "imaging",
            "findings",
            "bundles",
            "lungs",
            "density",
            "gate",
            "localize",
            "models",
            "report",
        },
        {"torch", "safetensors", "onnxruntime", "openvino"},
    ),
    "export": (
        {"imaging", "cohort", "bundles", "models", "localize", "inference"},
        {"torch", "onnx", "onnxruntime", "sklearn"},
    ),
    "calibration": ({"cohort", "bundles", "evaluate", "inference"}, {"onnx"}),
    "scale": (
        {"imaging", "findings", "bundles", "inference"},
        {"ray", "pyarrow"},
    ),
    "training": (
        {
            "imaging",
            "cohort",
            "phantom",
            "bundles",
            "models",
            "evaluate",
            "lungs",
            "density",
            "gate",
            "inference",
        },
        {
            "torch",
            "torchvision",
            "PIL",
            "lightning",
            "safetensors",
            "pydantic",
            "sklearn",
            "skimage",
            "onnx",
            "onnxruntime",
        },
    ),
    "audit": (
        {
            "imaging",
            "cohort",
            "phantom",
            "findings",
            "bundles",
            "lungs",
            "models",
            "localize",
            "evaluate",
            "inference",
        },
        {"torch", "skimage", "pandas"},
    ),
    "report": (
        {"imaging", "findings", "evaluate"},
        {"matplotlib", "jinja2", "PIL", "pydantic", "sklearn"},
    ),
    "dicom": (
        {"imaging", "findings", "bundles", "inference", "report"},
        {
            "pydicom",
            "highdicom",
            "pynetdicom",
            "PIL",
            "pydantic",
            "jinja2",
            "starlette",
            "uvicorn",
            "prometheus_client",
        },
    ),
    "serve": (
        {"imaging", "findings", "bundles", "inference", "report", "dicom"},
        {
            "fastapi",
            "starlette",
            "uvicorn",
            "prometheus_client",
            "markdown_it",
            "pydantic",
            "PIL",
        },
    ),
    "assessment": (
        {
            "imaging",
            "cohort",
            "findings",
            "bundles",
            "lungs",
            "gate",
            "evaluate",
            "inference",
            "training",
            "audit",
            "report",
        },
        {"PIL", "pandas"},
    ),
    "comparison": (
        {
            "imaging",
            "cohort",
            "bundles",
            "lungs",
            "models",
            "evaluate",
            "inference",
            "training",
            "report",
            "assessment",
        },
        {"torch", "PIL"},
    ),
    "benchmark": (
        {
            "imaging",
            "cohort",
            "phantom",
            "bundles",
            "models",
            "localize",
            "inference",
            "export",
            "comparison",
        },
        {"torch", "safetensors", "PIL"},
    ),
    "cli": (
        {
            "imaging",
            "cohort",
            "phantom",
            "findings",
            "bundles",
            "lungs",
            "density",
            "gate",
            "evaluate",
            "inference",
            "calibration",
            "training",
            "audit",
            "report",
            "assessment",
            "comparison",
            "benchmark",
            "export",
            "scale",
            "dicom",
            "serve",
        },
        {"typer", "rich", "PIL"},
    ),
}
HEAVY = {
    "torch", "torchvision", "timm", "lightning", "safetensors", "huggingface_hub", "sklearn",
    "pandas", "pydicom", "PIL", "matplotlib", "jinja2", "pydantic", "typer", "rich", "tensorboard",
    "onnxruntime", "openvino", "onnx", "skimage", "ray", "pyarrow",
    "highdicom", "pynetdicom", "fastapi", "starlette", "uvicorn", "prometheus_client",
    "markdown_it",
}  # fmt: skip
# The one module of a torch-free room that is imported only when a bundle needs torch.
LAZY = ROOT / "inference" / "torch_engine.py"
TORCH_FREE = (
    "imaging", "cohort", "phantom", "findings", "bundles", "lungs", "gate", "evaluate", "inference",
    "calibration", "report", "assessment", "scale", "dicom", "serve", "cli",
)  # fmt: skip
# What `predict`, `explain`, `serve` and DICOM objects run on.
BASE = (
    "imaging", "findings", "bundles", "lungs", "density", "gate", "inference", "dicom", "serve",
    "cli",
)  # fmt: skip


def imported(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(str(node.module))
    return names


# What the table of the architecture calls libraries whose modules have another name.
LIBRARIES = {
    "Pillow": "PIL", "scikit-learn": "sklearn", "scikit-image": "skimage",
    "huggingface-hub": "huggingface_hub", "prometheus-client": "prometheus_client",
    "markdown-it-py": "markdown_it",
}  # fmt: skip


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """The table of docs/architecture.md: room to rooms and libraries, in its order."""
    text = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = [cell.strip("`") for cell in cells[0].split(", ")]
        if len(cells) != 4 or names[0] not in ROOMS:
            continue
        rooms, _, libraries = cells[3].rpartition("; ")
        given = set(rooms.split(", ")) - {""}
        if rooms.startswith("every room but "):
            given = set(ROOMS) - {names[0], *rooms.removeprefix("every room but ").split(", ")}
        modules = {LIBRARIES.get(name, name) for name in libraries.split(", ")}
        found[names[0]] = given, modules
    return found


def test_the_documented_table_is_the_one_that_is_tested() -> None:
    assert documented() == ROOMS


def test_imports_point_up_the_documented_table() -> None:
    above: set[str] = set()
    for room, (rooms, _) in documented().items():
        assert rooms <= above, f"{room} imports {rooms - above}, which stand below it"
        above.add(room)


def test_every_folder_is_a_room() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_follow_the_table(room: str) -> None:
    rooms, libraries = ROOMS[room]
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            top, _, rest = name.partition(".")
            if top == "pneumoscope" and rest:
                target = rest.split(".")[0]
                assert target in rooms | LEAVES | {room}, f"{path} imports {name}"
            elif top in HEAVY:
                allowed = libraries
                if room == "inference" and path != LAZY:
                    allowed = {"onnxruntime", "openvino"}
                assert top in allowed, f"{path} imports {top}"


@pytest.mark.parametrize("room", ROOMS)
def test_room_says_what_enters_leaves_and_may_be_imported(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text("utf-8")))
    assert docstring is not None
    for word in ("Enters:", "Leaves:", "May import:"):
        assert word in docstring, f"{room}: no '{word}'"


def assert_loads_none_of(libraries: set[str], rooms: Iterable[str]) -> None:
    """In a process of its own, the modules of the rooms import none of `libraries`."""
    modules = [
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        if path != LAZY
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"loaded = {libraries!r} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_free_rooms_load_no_torch() -> None:
    libraries = {"torch", "torchvision", "timm", "lightning", "safetensors"}
    assert_loads_none_of(libraries, TORCH_FREE)


def test_base_rooms_load_only_libraries_of_the_base_install() -> None:
    assert_loads_none_of(set(EXTRAS["evaluate"]), BASE)
