"""Pneumoscope: learns where pneumonia is on a chest radiograph from labels that only say whether.

Research software, not a medical device. `docs/python.md` shows its use, `docs/architecture.md` the
rooms of the house.

    reader = pneumoscope.load("model.onnx")
    found = reader.find("film.dcm")
    found.finding.probability, found.heatmap
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumoscope.api import Reader, load
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.assessment import Assessment
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.findings import Finding, Region
    from pneumoscope.inference import Explained
    from pneumoscope.workflow import (
        assess,
        compare_assessments,
        explain,
        read_annotations,
        read_cohort,
        scan,
        train,
    )

__version__ = "0.2.0"
__all__ = [
    "Annotations",
    "Assessment",
    "Explained",
    "Finding",
    "Manifest",
    "Reader",
    "Region",
    "__version__",
    "assess",
    "compare_assessments",
    "explain",
    "load",
    "read_annotations",
    "read_cohort",
    "scan",
    "train",
]
_MODULES = {
    "Annotations": "assessment.annotations",
    "Assessment": "assessment.assessment",
    "Explained": "inference",
    "Finding": "findings",
    "Manifest": "cohort.manifest",
    "Reader": "api",
    "Region": "findings",
    "load": "api",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used: `import pneumoscope` stays quick.

    Raises:
        MissingExtra: it needs a library that is not installed.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"pneumoscope.{_MODULES.get(name, 'workflow')}")
    except ModuleNotFoundError as error:
        from pneumoscope.extras import missing_library

        if (absent := missing_library(error)) is not None:
            raise absent from error
        raise
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
