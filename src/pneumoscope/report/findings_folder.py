"""The folder that `predict` writes: findings, heatmaps, overlays; interrupted, it is continued.

While films are processed the lines go to `findings.partial.jsonl`; it becomes `findings.jsonl` when
all are done, so that a complete-looking file is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pneumoscope.errors import OutputError
from pneumoscope.files import write_json, write_text
from pneumoscope.findings import Finding
from pneumoscope.report.overlay import save_heatmap, save_overlay

FINDINGS, PARTIAL, SETTINGS = "findings.jsonl", "findings.partial.jsonl", "predict.json"


class FindingsFolder:
    """Writes findings one by one; each line is on disk before the next film begins.

    Args:
        folder: output folder; new, or left by an earlier call with the same settings.
        settings: what determines the findings (model, threshold); kept in `predict.json`.

    Raises:
        OutputError: the folder holds something else, or findings made with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self._claim(settings)
        self.finished = self._read_finished()
        self._stream: TextIO = self._open_partial()

    def _claim(self, settings: dict[str, Any]) -> None:
        path = self.folder / SETTINGS
        if path.is_file():
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                known = None
            if known != settings:
                raise OutputError(
                    "holds findings of another model or other settings",
                    path=self.folder,
                    remedy="choose another --out folder",
                )
        elif self.folder.is_file() or (self.folder.is_dir() and any(self.folder.iterdir())):
            raise OutputError(
                "is not empty and not a folder of findings",
                path=self.folder,
                remedy="choose another --out folder",
            )
        else:
            write_json(path, settings)

    def _read_finished(self) -> dict[str, Finding]:
        """Findings of earlier calls; errors are tried again, a line cut off is dropped."""
        finished: dict[str, Finding] = {}
        for name in (FINDINGS, PARTIAL):
            path = self.folder / name
            if not path.is_file():
                continue
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    finding = Finding.model_validate_json(line)
                except ValidationError:
                    continue
                if finding.error is None:
                    finished[finding.image] = finding
        return finished

    def _open_partial(self) -> TextIO:
        partial = self.folder / PARTIAL
        write_text(partial, "".join(f"{f.json_line()}\n" for f in self.finished.values()))
        return partial.open("a", encoding="utf-8")

    def add(
        self,
        finding: Finding,
        pixels: NDArray[np.float32] | None = None,
        heatmap: NDArray[np.float32] | None = None,
    ) -> Finding:
        """Write one finding, with its heatmap and overlay if there are any.

        Returns:
            The finding with the path of its heatmap.
        """
        if pixels is not None and heatmap is not None:
            name = file_name(finding.image)
            save_heatmap(self.folder / "heatmaps" / name, heatmap)
            save_overlay(self.folder / "overlays" / name, pixels, heatmap, finding.regions)
            finding = finding.model_copy(update={"heatmap": f"heatmaps/{name}"})
        self._stream.write(finding.json_line() + "\n")
        self._stream.flush()
        return finding

    def close(self) -> None:
        """Stop; what was written can be continued."""
        self._stream.close()

    def finish(self, images: Iterable[str]) -> None:
        """All films are done: give the findings their final name, in the order of `images`."""
        self._stream.close()
        partial = self.folder / PARTIAL
        lines = {}
        for line in partial.read_text(encoding="utf-8").splitlines():
            lines[Finding.model_validate_json(line).image] = line
        order = [*dict.fromkeys([*images, *lines])]
        text = "".join(f"{lines[i]}\n" for i in order if i in lines)
        write_text(self.folder / FINDINGS, text)
        partial.unlink()


def file_name(image: str) -> str:
    """A flat PNG name for a radiograph's outputs, unique through a digest of its path."""
    path = PurePosixPath(image.replace("\\", "/"))
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in path.stem)[:80]
    return f"{stem}-{hashlib.sha256(image.encode()).hexdigest()[:8]}.png"
