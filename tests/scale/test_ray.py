"""An archive by Ray on this machine: workers and the whole command are killed on the way."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pneumoscope.bundles import read_onnx
from tests.export.bundles import exported

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found in /proc"),
]
FILMS = 800


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path) -> Path:
    """A folder of many radiographs, of which one is empty and one is text."""
    folder = tmp_path / "archive"
    folder.mkdir()
    films = sorted((phantoms / "images").glob("*.png"))
    for index in range(FILMS - 2):
        (folder / f"{index:05}.png").hardlink_to(films[index % len(films)])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no film")
    return folder


@pytest.fixture
def rays_folder() -> Iterator[Path]:
    """Where Ray keeps its logs; its sockets allow no long path."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def begun(command: list[str], rays_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, killed when the test leaves it unfinished."""
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", "RAY_TMPDIR": str(rays_folder)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
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
    run_folder: Path, archive: Path, rays_folder: Path, tmp_path: Path
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

    def written() -> int:
        return len(list(parts.glob("*.parquet")))

    with begun(command, rays_folder) as process:
        wait_for(lambda: written() >= 3, process)
    process.communicate()
    first = written()
    assert 3 <= first < FILMS // 20

    with begun(command, rays_folder) as process:
        wait_for(lambda: written() >= first + 3, process)
        os.kill(workers_below(process.pid)[0], signal.SIGKILL)
        assert written() < FILMS // 20
        stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert f"of {FILMS + 1} were finished before" in stdout
    assert "3 of" in stderr and "Traceback" not in stderr
    # A radiograph's name may be a patient's: nobody reads it in a log.
    logs = [path for path in rays_folder.rglob("*.*") if "logs" in path.parts and path.is_file()]
    texts = [stdout.encode(), stderr.encode(), *(path.read_bytes() for path in logs)]
    assert len(logs) > 5
    assert not any(name in text for text in texts for name in (b"00000.png", b"empty.png"))

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
