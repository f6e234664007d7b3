"""What became of one file of a study: objects, or why there are none, and who said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pneumoscope.bundles import BundleInfo
from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.objects import Kind, left_out, write_objects
from pneumoscope.dicom.result import Report, Result
from pneumoscope.dicom.source import read_source
from pneumoscope.errors import ImageError
from pneumoscope.findings import ENGLISH, Finding

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Explained, Failed

# Reasons for which no objects are written; an inverted, rotated or cropped radiograph gets objects
# that say what is wrong with it.
_NO_FILM = ("blank", "lateral", "ct", "not_chest")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        image: its name, as in its finding.
        chosen: whether it was taken for a frontal chest radiograph.
        decided_by: `tags`, `reading` (it is damaged, or nothing can refer to it), `gate`, or
            `duplicate` (the same radiograph was read before, from another file).
        reason: why it was not chosen, or what the gate found; None if nothing is the matter.
        objects: paths of the objects, relative to the output folder.
        left_out: kinds of objects that failed on this radiograph, with what was wrong.
    """

    image: str
    chosen: bool
    decided_by: Literal["tags", "reading", "gate", "duplicate"]
    reason: str | None
    objects: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Its line in `selection.jsonl`."""
        return asdict(self)


def shows_no_film(finding: Finding) -> bool:
    """Whether the gate takes a picture for no frontal chest radiograph at all."""
    return finding.gate is not None and finding.gate.reason in _NO_FILM


def tell(
    item: Explained | Failed,
    path: Path,
    info: BundleInfo,
    kinds: Sequence[Kind],
    out: Path,
    folder: str,
    pseudonyms: Pseudonyms | None = None,
    predecessor: Report | None = None,
) -> tuple[Outcome, Finding]:
    """Write the objects of what inference said of a file that passed by its tags.

    Args:
        item: what inference said.
        path: the file.
        info: of the bundle.
        kinds: which objects.
        out: output folder.
        folder: where in it the objects go.
        pseudonyms: given, the objects do not name the patient.
        predecessor: the report of an earlier reading of this radiograph; None if none is known.

    Returns:
        The outcome, and the finding: an error where the file lacks what objects must refer to, a
        note where an object was left out.

    Raises:
        OutputError: an object cannot be written.
    """
    finding = item.finding
    if finding.error is not None:
        return Outcome(finding.image, False, "reading", finding.error), finding
    gate = finding.gate
    reason = ENGLISH[f"gate.{gate.reason}"] if gate is not None and gate.reason else None
    if shows_no_film(finding):
        return Outcome(finding.image, False, "gate", reason), finding
    try:
        source = read_source(path, item.radiograph.pixels)  # type: ignore[union-attr]
        source = pseudonyms.apply(source) if pseudonyms else source
        result = Result.of(item, source, info, predecessor)  # type: ignore[arg-type]
    except ImageError as error:
        failed = Finding.from_error(
            finding.image, ImageError(error.problem, remedy=error.remedy), finding.model
        )
        return Outcome(finding.image, False, "reading", failed.error), failed
    missing: dict[str, str] = {}
    written = write_objects(result, kinds, out / folder, pseudonyms, missing.__setitem__)
    names = tuple(path.relative_to(out).as_posix() for path in written)
    if missing:
        notes = (*finding.notes, *map(left_out, missing.values()))
        finding = finding.model_copy(update={"notes": notes})
    by: Literal["tags", "gate"] = "gate" if gate else "tags"
    return Outcome(finding.image, True, by, reason, names, missing), finding
