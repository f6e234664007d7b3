"""The objects of a result as files: made, written, read back and checked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.presentation_state import presentation_state
from pneumoscope.dicom.result import Result
from pneumoscope.dicom.secondary_capture import secondary_capture
from pneumoscope.dicom.segmentation import region_segmentation, segmentation
from pneumoscope.dicom.structured_report import structured_report
from pneumoscope.dicom.validation import check_file
from pneumoscope.errors import OutputError, SettingsError
from pneumoscope.files import atomic_path

Kind = Literal["sc", "seg", "regions", "sr", "gsps"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = ("sc", "sr")
_MAKERS: dict[Kind, Callable[[Result], Any]] = {
    "sc": secondary_capture,
    "seg": segmentation,
    "regions": region_segmentation,
    "sr": structured_report,
    "gsps": presentation_state,
}


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """The kinds that a text such as `sc,sr` names, in the order of `KINDS`; `all` names all.

    Raises:
        SettingsError: it names none, or something else.
    """
    named = {part.strip().lower() for part in text.split(",") if part.strip()}
    if named == {"all"}:
        return KINDS
    if not named or not named <= set(KINDS):
        raise SettingsError(
            f"{text!r} names no DICOM output", remedy=f"give some of {', '.join(KINDS)}, or all"
        )
    return tuple(kind for kind in KINDS if kind in named)


def kinds_for(result: Result, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """Those of `kinds` that there can be for a radiograph.

    A presentation state is for gray radiographs; segmentations for radiographs where the disease is
    asserted, that of regions where there are any.
    """
    none: set[Kind] = set()
    if result.source.dataset.SamplesPerPixel != 1:
        none.add("gsps")
    if result.verdict != "present":
        none |= {"seg", "regions"}
    if not result.finding.regions:
        none.add("regions")
    return tuple(kind for kind in kinds if kind not in none)


def write_objects(
    result: Result, kinds: Sequence[Kind], folder: Path, pseudonyms: Pseudonyms | None = None
) -> list[Path]:
    """Write the objects of a result as `KIND.dcm`, each read back and checked.

    Args:
        result: what to tell; its source has been through `pseudonyms` if there are any.
        kinds: which objects; those that cannot be made for this radiograph are left out.
        folder: created if missing; files of the same names are replaced.
        pseudonyms: given, the objects are marked as de-identified and their dates removed.

    Raises:
        OutputError: a file cannot be written, or does not read back as it was meant.
    """
    paths = []
    for kind in kinds_for(result, kinds):
        path = folder / f"{kind}.dcm"
        with warnings.catch_warnings():
            # Names without "^" and the like, which the radiograph has already.
            warnings.simplefilter("ignore")
            made = _MAKERS[kind](result)
            _add_context(made, result)
            if pseudonyms is not None:
                pseudonyms.mark(made)
            with atomic_path(path) as temporary:
                made.save_as(temporary, enforce_file_format=True)
                problem = check_file(temporary, kind, result)
        if problem is not None:
            path.unlink(missing_ok=True)
            raise OutputError(
                f"does not read back as it was written ({problem})",
                path=path,
                remedy="check the disk; if it is sound, report this",
            )
        paths.append(path)
    return paths


def _add_context(made: Any, result: Result) -> None:
    """What the study and the body part are called, as in the radiograph."""
    source = result.source.dataset
    if "StudyDescription" in source:
        made.StudyDescription = source.StudyDescription
    if made.Modality != "SR":  # The series of documents have no body part.
        made.BodyPartExamined = source.BodyPartExamined
        if "Laterality" in made:  # The chest is no paired body part.
            del made.Laterality
