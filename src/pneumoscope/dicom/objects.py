"""The objects of a result as files: made, written, read back and checked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.presentation_state import presentation_state
from pneumoscope.dicom.result import Result
from pneumoscope.dicom.secondary_capture import secondary_capture
from pneumoscope.dicom.segmentation import region_segmentation, segmentation
from pneumoscope.dicom.structured_report import structured_report
from pneumoscope.dicom.validation import check_file
from pneumoscope.errors import SettingsError
from pneumoscope.files import atomic_path

Kind = Literal["sc", "seg", "regions", "sr", "gsps"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = ("sc", "sr")
_LOG = logging.getLogger(__name__)
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

    A presentation state is for radiographs stored in gray; segmentations for radiographs where the
    disease is asserted, that of regions where there are any.
    """
    none: set[Kind] = set()
    # A palette has one sample per pixel, and is colour all the same.
    photometric = str(result.source.dataset.get("PhotometricInterpretation") or "").strip().upper()
    if result.source.dataset.SamplesPerPixel != 1 or photometric.startswith("PALETTE"):
        none.add("gsps")
    if result.verdict != "present":
        none |= {"seg", "regions"}
    if not result.finding.regions:
        none.add("regions")
    return tuple(kind for kind in kinds if kind not in none)


def say_left_out(kind: Kind, problem: str) -> None:
    """Log that an object was left out."""
    _LOG.warning("%s", left_out(problem), extra={"kind": kind})


def left_out(problem: str) -> str:
    """The sentence about an object that `write_objects` left out, without patient data."""
    return f"The DICOM object {problem} and was left out."


def write_objects(
    result: Result,
    kinds: Sequence[Kind],
    folder: Path,
    pseudonyms: Pseudonyms | None = None,
    failed: Callable[[Kind, str], object] = say_left_out,
) -> list[Path]:
    """Write the objects of a result as `KIND.dcm`, each read back and checked.

    A kind that fails on a radiograph is left out: the others are worth having without it.

    Args:
        result: what to tell; its source has been through `pseudonyms` if there are any.
        kinds: which objects; those that cannot be made for this radiograph are left out.
        folder: created if missing; files of the same names are replaced.
        pseudonyms: given, the objects are marked as de-identified and their dates removed.
        failed: called with each kind that failed, and with what was wrong: words that name the
            kind and nothing of the patient.

    Raises:
        OutputError: a file cannot be written.
    """
    paths = []
    for kind in kinds_for(result, kinds):
        path = folder / f"{kind}.dcm"
        with warnings.catch_warnings():
            # Names without "^" and the like, which the radiograph has already.
            warnings.simplefilter("ignore")
            problem = _write(result, kind, path, pseudonyms)
        if problem is None:
            paths.append(path)
        else:
            path.unlink(missing_ok=True)
            failed(kind, problem)
    return paths


def _write(result: Result, kind: Kind, path: Path, pseudonyms: Pseudonyms | None) -> str | None:
    """Write one object; what is wrong with it, None if nothing is."""
    try:
        content = _encoded(result, kind, pseudonyms)
    except MemoryError:
        raise
    except Exception as error:  # Messages can quote values, that is names.
        return f"{kind} cannot be made ({type(error).__name__})"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        problem = check_file(temporary, kind, result)
    return None if problem is None else f"{kind} does not read back as it was meant ({problem})"


def _encoded(result: Result, kind: Kind, pseudonyms: Pseudonyms | None) -> bytes:
    made = _MAKERS[kind](result)
    _add_context(made, result)
    if pseudonyms is not None:
        pseudonyms.mark(made)
    # Encoded before there is a file: what fails here is the object, what fails later the disk.
    stream = BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _add_context(made: Any, result: Result) -> None:
    """What the study and the body part are called, as in the radiograph."""
    source = result.source.dataset
    if "StudyDescription" in source:
        made.StudyDescription = source.StudyDescription
    if made.Modality != "SR":  # The series of documents have no body part.
        made.BodyPartExamined = source.BodyPartExamined
        if "Laterality" in made:  # The chest is no paired body part.
            del made.Laterality
