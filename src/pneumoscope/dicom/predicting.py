"""Findings of many radiographs as DICOM objects beside `findings.jsonl`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pneumoscope.errors import ImageError
from pneumoscope.extras import require
from pneumoscope.files import write_text, writing
from pneumoscope.names import json_text

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.bundles import BundleInfo
    from pneumoscope.dicom.deidentify import Pseudonyms
    from pneumoscope.dicom.objects import Kind
    from pneumoscope.dicom.outcome import Outcome
    from pneumoscope.imaging import Limits
    from pneumoscope.inference import Engine, Explained, Failed
    from pneumoscope.inference.findings_folder import FindingsFolder

SELECTION = "selection.jsonl"


def predict_objects(
    engine: Engine,
    files: list[tuple[str, Path]],
    out: Path,
    *,
    kinds: str,
    key: Path | None,
    threshold: float | None,
    batch_size: int,
    gate: bool = True,
    limits: Limits | None = None,
    begun: Callable[[FindingsFolder], object] = lambda _: None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> FindingsFolder:
    """Write findings, `selection.jsonl` and the objects of every frontal chest radiograph.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs.
        out: output folder; one left by an interrupted call with the same settings is continued.
        kinds: which objects, as `dicom.objects.parse_kinds` reads them.
        key: file with the key of pseudonyms; None to keep the patient's name and id.
        threshold: decide at this probability instead of the bundle's threshold.
        batch_size: radiographs per call of the engine.
        gate: ask the input gate of each radiograph.
        limits: larger radiographs become an error; None for `DEFAULT_LIMITS`.
        begun: called with the folder before the first radiograph.
        progress: called with (done, total).

    Raises:
        SettingsError: the kinds are unknown, or the key is none.
        OutputError: an output cannot be written.
    """
    from pneumoscope.dicom.quiet import hush

    require("hospital", "DICOM output")
    # Messages of these libraries can quote values of a dataset, and so a patient's name.
    hush()
    from pneumoscope.dicom.deidentify import Pseudonyms
    from pneumoscope.dicom.objects import parse_kinds
    from pneumoscope.imaging import DEFAULT_LIMITS, read_radiograph
    from pneumoscope.inference import process_in
    from pneumoscope.inference.findings_folder import FindingsFolder, digests_now

    wanted = parse_kinds(kinds)
    pseudonyms = None if key is None else Pseudonyms.from_file(key)
    if pseudonyms is not None:  # A file's name often is the patient's.
        files = [(f"film-{pseudonyms.code('file', name)}", path) for name, path in files]
    used = engine.info.threshold if threshold is None else threshold
    settings = {
        "model": engine.info.model_id,
        "threshold": used,
        "gate": gate,
        "dicom": list(wanted),
        "deidentified": pseudonyms is not None,
    }
    told = str if pseudonyms is None else partial(pseudonyms.code, "content")
    folder = FindingsFolder(
        out, settings, heatmaps=False, overlays=False, now=digests_now(files, told)
    )
    folder.reuse(name for name, _ in files)
    begun(folder)
    lines = _Lines(out / SELECTION)
    reading = _Reading(engine.info, dict(files), out, folder, lines, wanted, pseudonyms, told)

    stream = process_in(
        engine,
        reading.passed(),
        reading.write,
        read=partial(read_radiograph, limits=limits or DEFAULT_LIMITS),
        threshold=used,
        batch_size=batch_size,
        gate=gate,
    )
    names = [name for name, _ in files]
    try:
        folder.fill(stream, names, lambda done: progress(done, len(files)))
    finally:
        lines.close()
    lines.finish(names)
    return folder


@dataclass(frozen=True, slots=True)
class _Reading:
    """One call of `predict_objects`: passes files by their tags, and writes what becomes of them.

    Attributes:
        info: of the bundle.
        paths: by name.
        out: output folder.
        folder: of the findings.
        lines: outcomes.
        kinds: which objects.
        pseudonyms: given, the objects do not name the patient.
        told: what may be told of a file's digest.
    """

    info: BundleInfo
    paths: Mapping[str, Path]
    out: Path
    folder: FindingsFolder
    lines: _Lines
    kinds: Sequence[Kind]
    pseudonyms: Pseudonyms | None
    told: Callable[[str], str]

    def passed(self) -> Iterator[tuple[str, Path]]:
        """Files that may be frontal chest radiographs; the others are written as refused."""
        from pneumoscope.dicom.outcome import Outcome
        from pneumoscope.dicom.selection import refuse_unless_chest_film
        from pneumoscope.findings import Finding

        for name, path in self.paths.items():
            if name in self.folder.finished:
                continue
            # Objects of an earlier radiograph of this name must not pass for those of this one.
            shutil.rmtree(self.out / _place(name), ignore_errors=True)
            try:
                refuse_unless_chest_film(path)
            except ImageError as error:
                reason = ImageError(error.problem, remedy=error.remedy)
                self.lines.add(Outcome(name, False, "tags", str(reason)))
                self.folder.add(Finding.from_error(name, reason, self.info.model_id))
            else:
                yield name, path

    def write(self, item: Explained | Failed) -> None:
        """Write the objects and the finding of what inference said of a file."""
        from pneumoscope.dicom.outcome import tell

        path, place = self.paths[item.name], _place(item.name)
        outcome, finding = tell(item, path, self.info, self.kinds, self.out, place, self.pseudonyms)
        self.lines.add(outcome)
        if finding.digest is not None:
            finding = finding.model_copy(update={"digest": self.told(finding.digest)})
        self.folder.add(finding)


def _place(name: str) -> str:
    """Where in the output folder a radiograph's objects go."""
    return f"objects/{sha256(name.encode()).hexdigest()[:16]}"


class _Lines:
    """Outcomes, a line each, written by several threads; the last one of an image counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("a", encoding="utf-8")
        self._lock = Lock()

    def add(self, outcome: Outcome) -> None:
        line = json_text(json.dumps(outcome.as_json(), ensure_ascii=False)) + "\n"
        with self._lock, writing(self._path):
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        with writing(self._path):
            self._stream.close()

    def finish(self, images: Sequence[str]) -> None:
        """Put the lines in the order of `images`; a line cut off by a kill is dropped."""
        last: dict[str, str] = {}
        for line in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                last[json.loads(line)["image"]] = line
            except ValueError:
                continue
        ordered = [last[image] for image in images if image in last]
        write_text(self._path, "".join(f"{line}\n" for line in ordered))
