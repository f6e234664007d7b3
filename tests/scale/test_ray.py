"""An archive by Ray on this machine: workers and the whole command are killed on the way."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumoscope.bundles import read_onnx
from tests.export.bundles import exported

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found in /proc"),
]
FILMS = 1500


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path) -> Path:
    """A folder of many films, of which one is empty and one is text."""
    folder = tmp_path / "archive"
    folder.mkdir()
    films = sorted((phantoms / "images").glob("*.png"))
    for index in range(FILMS - 2):
        (folder / f"{index:05}.png").hardlink_to(films[index % len(films)])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no film")
    return folder


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_below(pid: int) -> list[int]:
    """Processes that are Ray's actors and descend from `pid`."""
    parents: dict[int, int] = {}
    actors = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
                if b"MapWorker" in (entry / "cmdline").read_bytes():
                    actors.append(int(entry.name))

    def descends(child: int) -> bool:
        while child in parents and child != pid:
            child = parents[child]
        return child == pid

    return [actor for actor in actors if descends(actor)]


def test_killed_workers_and_commands_lose_and_double_nothing(
    run_folder: Path, archive: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    model = exported(run_folder).path
    out = tmp_path / "out"
    parts = out / "findings"
    command = [
        sys.executable, "-m", "pneumoscope", "predict", str(archive), f"file://{archive}/text.png",
        "--bundle", str(model), "--engine", "ray", "--workers", "2", "--part-size", "20",
        "--out", str(out),
    ]  # fmt: skip

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    def written() -> int:
        return len(list(parts.glob("*.parquet")))

    process = begin()
    wait_for(lambda: written() >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = written()
    assert 3 <= first < FILMS // 20

    process = begin()
    wait_for(lambda: written() >= first + 3, process)
    victim = workers_below(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    assert written() < FILMS // 20
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert f"of {FILMS + 1} were finished before" in stdout
    assert "3 of" in stderr and "Traceback" not in stderr
    assert str(archive) not in stderr and str(archive) not in stdout

    table = pq.read_table(parts)
    images = table["image"].to_pylist()
    assert len(images) == len(set(images)) == FILMS + 1
    rows = {row["image"]: row for row in table.to_pylist()}
    failed = sorted(Path(name).name for name, row in rows.items() if row["error"])
    assert failed == ["empty.png", "text.png", "text.png"]
    info = read_onnx(model).info
    settings = json.loads((out / "predict.json").read_text())
    assert settings["model"] == info.model_id and settings["threshold"] == info.threshold

    # The same answers as without Ray, whichever worker gave them.
    plain = tmp_path / "plain"
    films = sorted(map(str, archive.glob("0000*.png")))
    done = subprocess.run(
        [sys.executable, "-m", "pneumoscope", "predict", *films, "--bundle", str(model),
         "--no-heatmaps", "--no-overlays", "--out", str(plain)],
        check=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    for line in (plain / "findings.jsonl").read_text().splitlines():
        one = json.loads(line)
        other = rows[one["image"]]
        assert other["probability"] == pytest.approx(one.pop("probability"), abs=1e-6)
        assert {key: other[key] for key in one if key != "regions"} == {
            key: value for key, value in one.items() if key != "regions"
        }
        assert len(other["regions"]) == len(one["regions"])
