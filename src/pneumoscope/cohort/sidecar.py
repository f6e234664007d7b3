"""The JSON file beside a manifest: root, labels, seed and version."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoscope.errors import CohortError
from pneumoscope.files import write_json
from pneumoscope.names import meant, written

VERSION = 1
_NEAR = 3


@dataclass(frozen=True)
class Sidecar:
    """What the sidecar says.

    Args:
        root: folder of the radiographs, relative to the CSV's folder or absolute.
        labels: (negative, positive); None when not stated.
        seed: seed of the split.
    """

    root: str = "."
    labels: tuple[str, str] | None = None
    seed: int = 42


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a CSV lies (`cohort.csv` -> `cohort.json`)."""
    return path.with_suffix(".json")


def audit_path(path: Path) -> Path:
    """Where `scan` writes the audit of a CSV (`cohort.csv` -> `cohort.audit.json`)."""
    return path.with_suffix(".audit.json")


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of the CSV at `path`; the defaults when there is none.

    A JSON file of that name without a `root`, or whose `version` is not a whole number, belongs to
    something else and is not looked at.

    Raises:
        CohortError: it is damaged or of a later version.
    """
    beside = sidecar_path(path)
    if not beside.is_file():
        return Sidecar()
    try:
        value: Any = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CohortError(
            "the manifest's JSON file cannot be read", path=beside, remedy="scan the cohort again"
        ) from error
    if not _is_sidecar(value):
        return Sidecar()
    if value.get("version", VERSION) != VERSION:
        raise CohortError(
            f"the manifest has version {value['version']!r}, this Pneumoscope knows {VERSION}",
            path=beside,
            remedy="update Pneumoscope or scan the cohort again",
        )
    return _checked(value, beside)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of the CSV at `path`, its root as `portable_root` gives it.

    Raises:
        OutputError: it cannot be written.
    """
    content = {
        "version": VERSION,
        "name": written(path.stem),
        "root": written(portable_root(Path(sidecar.root), path.parent)),
        "labels": sidecar.labels,
        "seed": sidecar.seed,
    }
    write_json(sidecar_path(path), content)


def portable_root(root: Path, folder: Path) -> str:
    """`root` as seen from `folder` when near (at most 3 folders up), else absolute; `/` separated.

    A near root moves together with the manifest, a far one does not: there the absolute path
    still holds when only the manifest moves.
    """
    absolute, start = root.resolve(), folder.resolve()
    try:
        relative = Path(os.path.relpath(absolute, start))
    except ValueError:  # another drive
        return absolute.as_posix()
    shared = Path(os.path.commonpath([absolute, start]))
    far = relative.parts.count("..") > _NEAR or shared == Path(shared.anchor)
    return (absolute if far else relative).as_posix()


def _is_sidecar(value: Any) -> bool:
    # Many programs write a `version`; `true` is an int for Python.
    if not isinstance(value, dict) or "root" not in value:
        return False
    version = value.get("version", VERSION)
    return isinstance(version, int) and not isinstance(version, bool)


def _checked(value: dict[str, Any], beside: Path) -> Sidecar:
    root, labels, seed = value.get("root", "."), value.get("labels"), value.get("seed", 42)
    two = (
        isinstance(labels, list)
        and len(labels) == 2
        and all(isinstance(label, str) and label for label in labels)
        and labels[0] != labels[1]
    )
    if not (isinstance(root, str) and isinstance(seed, int) and (labels is None or two)):
        raise CohortError(
            "the manifest's JSON file needs a root (text), two labels (negative first) and a seed",
            path=beside,
            remedy="correct it or scan the cohort again",
        )
    return Sidecar(meant(root), (labels[0], labels[1]) if labels else None, seed)
