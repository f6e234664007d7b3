"""A wheelhouse installs without an index, and refuses a wheel that was altered."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.wheelhouse import LOCK, lock


def tiny_wheel(folder: Path) -> Path:
    """The smallest wheel that pip installs."""
    path = folder / "Tiny_Thing-1.2-py3-none-any.whl"
    info = "Tiny_Thing-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_thing.py", "answer = 42\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: Tiny_Thing\nVersion: 1.2\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def install(folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    where = ["--find-links", str(folder), "--require-hashes", "-r", str(folder / LOCK)]
    return subprocess.run(
        [*pip, *where, "--target", str(target)], capture_output=True, text=True, check=False
    )


def test_the_lock_installs_what_lies_beside_it_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    wheel = tiny_wheel(folder)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert lock(folder) == f"tiny-thing==1.2 --hash=sha256:{digest}\n"
    (folder / LOCK).write_text(lock(folder))

    assert install(folder, tmp_path / "there").returncode == 0
    assert (tmp_path / "there" / "tiny_thing.py").is_file()

    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("further.py", "")
    refused = install(folder, tmp_path / "elsewhere")
    assert refused.returncode != 0
    assert "DO NOT MATCH" in refused.stderr
