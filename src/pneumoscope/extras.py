"""Optional libraries: which extra of the package holds them, and what to say if it is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from pneumoscope.errors import MissingExtra

# By the names that they are imported by.
_EVALUATE = ("scipy", "pandas", "sklearn", "matplotlib", "onnx")
LIBRARIES: dict[str, tuple[str, ...]] = {
    "evaluate": _EVALUATE,
    "train": (
        "torch", "torchvision", "timm", "lightning", "safetensors", "onnxscript", "skimage",
        *_EVALUATE,
    ),
    "openvino": ("openvino",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "scale": ("ray", "pyarrow"),
    "hospital": (
        "highdicom", "pynetdicom", "dicomweb_client", "starlette", "uvicorn", "python_multipart",
        "prometheus_client",
    ),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "markdown_it"),
    "annotations": ("pycocotools", "nibabel"),
}  # fmt: skip


def how_to_install(extra: str) -> str:
    """What to do where an extra is missing; true for a checkout and for a wheel."""
    return (
        f"install the extra '{extra}': pip install '.[{extra}]' in the checkout, or "
        f"pip install 'WHEEL[{extra}]' with the path of the wheel (README, Train and measure your "
        "own model)"
    )


def missing(extra: str) -> list[str]:
    """The libraries of an extra that are not installed."""
    return [name for name in LIBRARIES[extra] if not _installed(name)]


def require(extra: str, what: str) -> None:
    """See that an extra is installed, without importing it.

    Args:
        extra: a key of `LIBRARIES`.
        what: what needs it, as the subject of a sentence.

    Raises:
        MissingExtra: a library of it is not installed.
    """
    if absent := missing(extra):
        named = ", ".join(absent[:3]) + (" and others" if len(absent) > 3 else "")
        verb = "is" if len(absent) == 1 else "are"
        raise MissingExtra(
            f"{what} needs {named}, which {verb} not installed", remedy=how_to_install(extra)
        )


def missing_library(error: ModuleNotFoundError) -> MissingExtra | None:
    """What to say of a library that could not be imported; None if it belongs to no extra."""
    name = (error.name or "").partition(".")[0]
    for extra, libraries in LIBRARIES.items():
        if name in libraries:
            return MissingExtra(f"{name} is not installed", remedy=how_to_install(extra))
    return None


def _installed(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
