"""The folder that `predict` writes: findings, heatmaps, overlays; interrupted, it is continued.

While radiographs are processed the lines go to `findings.partial.jsonl`; it becomes
`findings.jsonl` when all are done, so that a complete-looking file is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import OutputError
from pneumoscope.files import PREDICTED, atomic_path, sha256_file, write_json, write_text, writing
from pneumoscope.findings import Finding
from pneumoscope.report.overlay import save_heatmap, save_overlay

FINDINGS, PARTIAL = "findings.jsonl", "findings.partial.jsonl"
REUSED = "reused.txt"


class FindingsFolder:
    """Writes findings one by one, from several threads; what was added survives a kill.

    Of the findings only their names are kept in memory.

    Args:
        folder: output folder; new, or left by an earlier call with the same settings.
        settings: what determines the findings (model, threshold); kept in `predict.json`.
        heatmaps: whether heatmaps are written.
        overlays: whether overlays are.
        now: the digest of the radiograph that a name stands for in this call, "" if it cannot be
            read; None for a name that is not of this call.

    Attributes:
        finished: names of radiographs done by earlier calls whose content is the same now; those in
            error are tried again.
        reused: those of them that this call asks for.
        changed: names of radiographs done by earlier calls whose content is another one now.
        judged: once finished, how many of the radiographs asked for were judged.
        failed: likewise, how many could not be used.
        flagged: likewise, by reason, how many the input gate flagged.

    Raises:
        OutputError: the folder holds something else, or findings made with other settings.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        *,
        heatmaps: bool = True,
        overlays: bool = True,
        now: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.judged = self.failed = 0
        self.flagged: Counter[str] = Counter()
        self._heatmaps, self._overlays = heatmaps, overlays
        self._lock = Lock()
        _claim(folder, {**settings, "heatmaps": heatmaps, "overlays": overlays})
        self.finished: set[str] = set()
        self.reused: list[str] = []
        self.changed: list[str] = []
        last: dict[str, int] = {}
        for number, (finding, _) in enumerate(self._earlier()):
            if finding.error is None:
                last[finding.image] = number
        with (
            atomic_path(folder / PARTIAL) as temporary,
            temporary.open("w", encoding="utf-8") as stream,
        ):
            for number, (finding, line) in enumerate(self._earlier()):
                if last.get(finding.image) != number:
                    continue
                if now(finding.image) in (None, finding.digest):
                    self.finished.add(finding.image)
                    stream.write(line)
                else:
                    self.changed.append(finding.image)
        with writing(folder / FINDINGS):
            self._stream: TextIO = (folder / PARTIAL).open("a", encoding="utf-8")

    def _earlier(self) -> Iterator[tuple[Finding, str]]:
        """Findings of earlier calls with their lines; a line cut off is dropped."""
        for name in (FINDINGS, PARTIAL):
            path = self.folder / name
            if not path.is_file():
                continue
            with path.open(encoding="utf-8", errors="replace") as stream:
                for line in stream:
                    try:
                        yield Finding.model_validate_json(line), f"{line.rstrip()}\n"
                    except ValueError:  # Of pydantic, among others.
                        continue

    def add(
        self,
        finding: Finding,
        pixels: NDArray[np.float32] | None = None,
        heatmap: NDArray[np.float32] | None = None,
    ) -> Finding:
        """Write one finding, after its heatmap and overlay if there are any and it was judged.

        Several threads may add at once; `finish` puts the lines in order. Pictures that an earlier
        call wrote for the same name go.

        Returns:
            The finding with the path of its heatmap.
        """
        overlay = self.folder / "overlays" / file_name(finding.image, ".jpg")
        for earlier in (overlay, self.folder / "heatmaps" / file_name(finding.image)):
            earlier.unlink(missing_ok=True)
        if pixels is not None and heatmap is not None and finding.judged:
            if self._overlays:
                save_overlay(overlay, pixels, heatmap, finding.regions)
            if self._heatmaps:
                name = file_name(finding.image)
                save_heatmap(self.folder / "heatmaps" / name, heatmap)
                finding = finding.model_copy(update={"heatmap": f"heatmaps/{name}"})
        line = finding.json_line() + "\n"
        with self._lock, writing(self.folder / FINDINGS):
            self._stream.write(line)
            self._stream.flush()
        return finding

    def fill(
        self,
        stream: Generator[object, None, None],
        images: Iterable[str],
        told: Callable[[int], object],
    ) -> None:
        """Run a stream that adds findings to its end, then `finish`; interrupted, `close`.

        Args:
            stream: gives something for each radiograph that was added.
            images: as of `finish`.
            told: called with how many are done.
        """
        try:
            with closing(stream):
                for done, _ in enumerate(stream, start=1):
                    told(done)
        finally:
            self.close()
        self.finish(images)

    def close(self) -> None:
        """Stop; what was written can be continued."""
        with writing(self.folder / FINDINGS):
            self._stream.close()

    def finish(self, images: Iterable[str]) -> None:
        """Give the findings their final name, in the order of `images`, when all are done."""
        self._stream.close()
        wanted = dict.fromkeys(images)
        partial = self.folder / PARTIAL
        with partial.open("rb") as stream, atomic_path(self.folder / FINDINGS) as temporary:
            places: dict[str, int] = {}
            place = 0
            for line in stream:
                places[Finding.model_validate_json(line).image] = place
                place += len(line)
            with temporary.open("wb") as ordered:
                for image in dict.fromkeys([*wanted, *places]):
                    if image in places:
                        stream.seek(places[image])
                        line = stream.readline()
                        ordered.write(line)
                        if image in wanted:
                            self._count(Finding.model_validate_json(line))
        partial.unlink()

    def _count(self, finding: Finding) -> None:
        self.judged += finding.judged
        self.failed += finding.error is not None
        if finding.gate is not None and finding.gate.reason is not None:
            self.flagged[finding.gate.reason] += 1

    def reuse(self, images: Iterable[str]) -> None:
        """Keep the findings of an earlier call; write their names, one a line, into `reused.txt`.

        Args:
            images: the radiographs of this call.
        """
        self.reused = [image for image in images if image in self.finished]
        if self.reused:
            write_text(self.folder / REUSED, "".join(f"{image}\n" for image in self.reused))
        else:
            (self.folder / REUSED).unlink(missing_ok=True)

    def first(self, number: int) -> list[Finding]:
        """The first findings of a finished folder."""
        with (self.folder / FINDINGS).open(encoding="utf-8") as stream:
            return [Finding.model_validate_json(line) for line in islice(stream, number)]


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make `folder` an output of these settings, or see that it is one.

    Raises:
        OutputError: it holds something else, or findings made with other settings.
    """
    path = folder / PREDICTED
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if known != settings:
            raise OutputError(
                "holds findings of another model or other settings",
                path=folder,
                remedy="choose another --out folder",
            )
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputError(
            "is not empty and not a folder of findings",
            path=folder,
            remedy="choose another --out folder",
        )
    else:
        write_json(path, settings)


def file_name(image: str, suffix: str = ".png") -> str:
    """A flat name for a radiograph's outputs, unique through a digest of its path."""
    path = PurePosixPath(image.replace("\\", "/"))
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in path.stem)
    # File systems count bytes, and a temporary name beside it is longer still.
    stem = stem.encode("utf-8", "replace")[:80].decode("utf-8", "ignore")
    return f"{stem}-{hashlib.sha256(image.encode()).hexdigest()[:16]}{suffix}"


def digests_now(
    files: Sequence[tuple[str, Path]], told: Callable[[str], str] = str
) -> Callable[[str], str | None]:
    """A function from a name to the digest of its file as it is now, for `FindingsFolder`.

    Args:
        files: (name, path) pairs of this call.
        told: from a file's SHA-256 to what findings hold of it.

    Returns:
        Of a name of this call the digest, "" if the file cannot be read; else None.
    """
    paths = dict(files)

    def now(name: str) -> str | None:
        if name not in paths:
            return None
        try:
            return told(sha256_file(paths[name]))
        except OSError:
            return ""

    return now
