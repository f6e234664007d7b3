"""Uploads lie in a private folder, which does not outlive its server for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pneumoscope.serve.scratch import Scratch

_HOLDS = (
    "import time; from pneumoscope.serve.scratch import Scratch; held = Scratch();"
    "(held.path / 'patient').write_text('x'); print(held.path, flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_killed_servers_folder_is_removed_and_a_living_ones_is_not() -> None:
    command = [sys.executable, "-c", _HOLDS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        first = Scratch()
        assert (folder / "patient").is_file()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (folder / "patient").is_file()
        second = Scratch()
    assert not folder.exists()
    assert first.path.is_dir() and second.path.is_dir()
    for scratch in (first, second):
        assert scratch.path.stat().st_mode & 0o077 == 0
        scratch.remove()
        assert not scratch.path.exists()


def test_other_folders_and_links_are_left_alone(place: Path) -> None:
    other = place / "pneumoscope-notes"
    other.mkdir()
    (other / "letter").write_text("mine")
    target = place / "elsewhere"
    target.mkdir()
    (target / "serve.lock").touch()
    (place / "pneumoscope-link").symlink_to(target)
    (place / "pneumoscope-file").touch()
    Scratch().remove()
    assert (other / "letter").is_file() and (target / "serve.lock").is_file()
    assert (place / "pneumoscope-file").is_file()


def test_a_folder_of_another_user_is_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "pneumoscope-theirs"
    folder.mkdir()
    (folder / "serve.lock").touch()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    Scratch().remove()
    assert folder.is_dir()
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    Scratch().remove()
    assert not folder.exists()
