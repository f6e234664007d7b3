"""Pneumoscope: learns where pneumonia is on a chest radiograph from labels that only say whether.

Research software, not a medical device. `docs/architecture.md` shows the rooms of the house.

    reader = pneumoscope.load("model.onnx")
    found = reader.find("film.dcm")
    found.finding.probability, found.heatmap
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumoscope.api import Reader, load

__version__ = "0.2.0"
__all__ = ["Reader", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load` and `Reader`, imported when they are first used: `import pneumoscope` stays quick."""
    if name not in ("Reader", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pneumoscope import api

    return getattr(api, name)
