"""The state of a node for people and machines: from its queue's folder, and from what it counts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pneumoscope.dicom.node.queue import STATES
from pneumoscope.dicom.node.settings import NodeSettings
from pneumoscope.dicom.node.tally import Tally
from pneumoscope.errors import OutputError

STATUS_FILE = "status.json"
_STALE_SECONDS = 30.0


def survey(folder: Path) -> dict[str, Any]:
    """What waits in a queue; it may belong to a running node or to none.

    Returns:
        `waiting`: for each state the number of radiographs, of files, and the age of the oldest in
        seconds, None if there is none; `free_bytes` of the disk.

    Raises:
        OutputError: the folder holds no queue.
    """
    if not (folder / "accepted").is_dir():
        raise OutputError("holds no queue", path=folder, remedy="name the folder given to --queue")
    waiting = {state: _waiting(folder / state) for state in STATES}
    return {"waiting": waiting, "free_bytes": shutil.disk_usage(folder).free}


def _waiting(folder: Path) -> dict[str, Any]:
    films, files, oldest = 0, 0, None
    for path in folder.iterdir():
        try:
            inside = list(path.glob("*.dcm")) if path.is_dir() else [path]
            born = min((file.stat().st_mtime for file in inside), default=None)
        except FileNotFoundError:  # The node was faster.
            continue
        if born is not None:
            films, files = films + 1, files + len(inside)
            oldest = born if oldest is None else min(oldest, born)
    age = None if oldest is None else round(max(0.0, time.time() - oldest), 1)
    return {"films": films, "files": files, "oldest_seconds": age}


def status(settings: NodeSettings, tally: Tally, problems: tuple[str, ...]) -> dict[str, Any]:
    """The whole state of a running node, without patient data.

    Args:
        settings: the node's.
        tally: the node's.
        problems: why the node does not work as it should; empty if it does.
    """
    trouble = tally.trouble
    return {
        **survey(settings.queue),
        "at": time.time(),
        "node": f"{settings.title}@{settings.host}:{settings.port}",
        "since": tally.started,
        "problems": list(problems),
        "destination": None if settings.destination is None else str(settings.destination),
        "trouble": None
        if trouble is None
        else {
            "label": trouble.failure.label,
            "problem": trouble.failure.problem,
            "remedy": trouble.failure.remedy,
            "since": trouble.since,
        },
        "counts": tally.counts(),
    }


def last_status(folder: Path) -> dict[str, Any]:
    """`survey`, with what the node that runs on this queue wrote of itself a moment ago.

    Returns:
        As `status`; without `node` if none runs.

    Raises:
        OutputError: the folder holds no queue.
    """
    now: dict[str, Any] = survey(folder)
    try:
        written = json.loads((folder / STATUS_FILE).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return now
    if not isinstance(written, Mapping) or time.time() - written.get("at", 0) > _STALE_SECONDS:
        return now
    return {**written, **now}
