"""Files appear whole or not at all, and errors read like sentences."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pneumoscope.errors import OutputError, PneumoscopeError
from pneumoscope.files import (
    atomic_path,
    cache_folder,
    new_folder,
    sha256_file,
    sha256_tree,
    write_json,
    write_text,
    writing,
)


def test_a_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(OutputError, match="No space left"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """The kernel refuses to write more than the limit, as a full disk would."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pneumoscope.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "write_text(Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    path = tmp_path / "large.txt"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "OutputError" in done.stderr and "cannot be written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_folders_are_new_or_empty(tmp_path: Path) -> None:
    assert new_folder(tmp_path / "a" / "b").is_dir()
    assert new_folder(tmp_path / "a" / "b").is_dir()
    for taken, problem in ((tmp_path / "a", "already exists"), (Path(__file__), "is a file")):
        with pytest.raises(OutputError, match=problem):
            new_folder(taken)
    with pytest.raises(OutputError, match="cannot be written"):
        new_folder(Path(__file__) / "below")


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")


def test_digest_of_a_folder_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    file = tmp_path / "a" / "deep" / "mask.png"
    file.write_bytes(b"one")
    assert sha256_tree(file) == sha256_file(file)
    before = sha256_tree(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_tree(tmp_path / "b") == before
    file = tmp_path / "b" / "deep" / "mask.png"
    file.write_bytes(b"two")
    changed = sha256_tree(tmp_path / "b")
    file.rename(file.with_name("other.png"))
    assert len({before, changed, sha256_tree(tmp_path / "b")}) == 3


def test_errors_name_file_and_remedy() -> None:
    error = PneumoscopeError("is broken", path="film.png", remedy="take another")
    assert str(error) == "film.png: is broken. Take another"
    assert str(PneumoscopeError("no", remedy="pip install x")) == "no. pip install x"
    assert str(PneumoscopeError("no")) == "no"


def _fails(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/tmp/.film-x1y2z3.png")


def test_a_full_disk_names_the_output_and_no_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as raised, atomic_path(tmp_path / "film.png"):
        raise _fails(errno.ENOSPC)
    assert str(raised.value).startswith(f"{tmp_path / 'film.png'}: ")
    assert "the disk is full" in str(raised.value)
    assert "x1y2z3" not in str(raised.value)
    with pytest.raises(OutputError, match="the disk is full"), writing(tmp_path / "f.jsonl"):
        raise _fails(errno.EDQUOT)


def test_a_cache_that_cannot_be_written_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(OutputError, match="PNEUMOSCOPE_CACHE"),
        atomic_path(cache_folder() / "pixels" / "a.npy"),
    ):
        pass
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "other"))
    with pytest.raises(OutputError) as raised, atomic_path(tmp_path / "file" / "a.npy"):
        pass
    assert "PNEUMOSCOPE_CACHE" not in str(raised.value)
