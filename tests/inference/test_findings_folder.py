"""A folder of findings survives threads, kills and repetition."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.errors import OutputError
from pneumoscope.findings import Finding, Gate, completed
from pneumoscope.imaging.png import unit_values
from pneumoscope.inference.findings_folder import FindingsFolder

SETTINGS = {"model": "m", "threshold": 0.5}
NAMES = [f"film-{index}.png" for index in range(40)]


def finding(name: str, error: str | None = None) -> Finding:
    if error:
        return Finding.from_error(name, error, "m")
    return Finding.from_prediction(
        name, probability=0.7, threshold=0.5, labels=("NORMAL", "PNEUMONIA"), model="m"
    )


def lines(folder: Path, name: str = "findings.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_threads_may_add_in_any_order(tmp_path: Path) -> None:
    folder = FindingsFolder(tmp_path, SETTINGS)
    heat = np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(64, 48)

    def add(name: str) -> Finding:
        return folder.add(finding(name), heat, heat)

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(add, reversed(NAMES)))
    assert len(lines(tmp_path, "findings.partial.jsonl")) == len(NAMES)
    folder.finish(NAMES)
    assert [line["image"] for line in lines(tmp_path)] == NAMES
    assert [item.image for item in folder.first(3)] == NAMES[:3]
    for item in added:
        with Image.open(tmp_path / str(item.heatmap)) as image:
            saved = unit_values(image)
        np.testing.assert_allclose(saved, heat, atol=1e-5)
    assert len(list((tmp_path / "overlays").glob("*.jpg"))) == len(NAMES)


def test_what_was_added_survives_and_errors_are_tried_again(tmp_path: Path) -> None:
    folder = FindingsFolder(tmp_path, SETTINGS)
    folder.add(finding(NAMES[0]))
    folder.add(finding(NAMES[1], "bad"))
    with (tmp_path / "findings.partial.jsonl").open("a") as stream:  # As a kill leaves it.
        stream.write('{"image": "film-2.p')
    again = FindingsFolder(tmp_path, SETTINGS)
    assert again.finished == {NAMES[0]}
    again.add(finding(NAMES[2]))
    again.add(finding(NAMES[1]))
    again.finish(NAMES[:3])
    assert (again.judged, again.failed) == (3, 0)
    assert [line["image"] for line in lines(tmp_path)] == NAMES[:3]
    assert all(line["error"] is None for line in lines(tmp_path))
    # A finished folder is continued by more radiographs.
    third = FindingsFolder(tmp_path, SETTINGS)
    third.add(finding("more.png"))
    third.finish(["more.png", *NAMES[:3]])
    assert third.judged == 4, "those that earlier calls judged count, too"
    assert [line["image"] for line in lines(tmp_path)] == ["more.png", *NAMES[:3]]


@pytest.mark.parametrize("heatmaps", [True, False])
@pytest.mark.parametrize("overlays", [True, False])
def test_pictures_that_nobody_wants_are_not_written(
    tmp_path: Path, heatmaps: bool, overlays: bool
) -> None:
    folder = FindingsFolder(tmp_path, SETTINGS, heatmaps=heatmaps, overlays=overlays)
    heat = np.zeros((40, 40), dtype=np.float32)
    item = folder.add(finding("a.png"), heat, heat)
    folder.finish(["a.png"])
    assert (item.heatmap is not None) == heatmaps == (tmp_path / "heatmaps").exists()
    assert overlays == (tmp_path / "overlays").exists()
    with pytest.raises(OutputError, match="other settings"):
        FindingsFolder(tmp_path, SETTINGS, heatmaps=not heatmaps, overlays=overlays)


def test_what_was_not_judged_gets_no_picture_and_is_counted(tmp_path: Path) -> None:
    folder = FindingsFolder(tmp_path, SETTINGS)
    gate = Gate(flagged=True, reason="rotated")
    flagged = completed(finding(NAMES[0]), ("NORMAL", "PNEUMONIA"), gate=gate)
    film = np.zeros((40, 40), np.float32)
    assert folder.add(flagged, film, film).heatmap is None
    folder.add(finding(NAMES[1], "bad"))
    folder.finish(NAMES[:2])
    assert (folder.judged, folder.failed, dict(folder.flagged)) == (0, 1, {"rotated": 1})
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".jpg")]
