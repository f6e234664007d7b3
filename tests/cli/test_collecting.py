"""Which files of a folder are judged, what is said of the others, and how the command ends."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pneumoscope.cli.app import app
from pneumoscope.cli.console import collect
from pneumoscope.errors import PneumoscopeError
from tests.imaging.films import gray8, save, write_dicom


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three radiographs under odd names, and four other files."""
    place = tmp_path / "study"
    (place / "deep").mkdir(parents=True)
    for name in ("a.IMA", "b.img", "deep/IM0001"):
        write_dicom(place / name, gray8(96, 96))
    for name in ("notes.txt", "more.txt", "deep/list.xml", ".DS_Store"):
        (place / name).write_text("no picture " * 30)
    return place


def test_dicom_files_are_found_whatever_their_suffix(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [path.name for _, path in collect([str(folder)])] == ["a.IMA", "b.img", "IM0001"]
    said = " ".join(capsys.readouterr().err.split())
    assert said == (
        "Passed over 4 files that are not PNG, JPEG, TIFF or DICOM: 2 .txt, 1 no suffix, 1 .xml"
    )


def test_a_glob_that_means_folders_searches_them(folder: Path) -> None:
    assert len(collect([f"{folder.parent}/stu*"])) == 3


def test_a_folder_without_films_says_how_many_files_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(PneumoscopeError, match="no radiograph there among 1 files"):
        collect([str(tmp_path)])


def test_what_predict_and_explain_wrote_is_no_radiograph(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, marker in (("findings", "predict.json"), ("deep/explained", "explain.json")):
        (folder / name / "heatmaps").mkdir(parents=True)
        (folder / name / marker).write_text("{}")
        save(folder / name / "heatmaps" / "a.png", gray8(96, 96))
    assert len(collect([str(folder)])) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("and 1 more: predict or explain wrote it")
    assert said.count("explained") == 1
    # A picture of it may be named all the same.
    assert len(collect([str(folder / "findings" / "heatmaps")])) == 1
    with pytest.raises(PneumoscopeError, match="no radiograph there, but what predict or explain"):
        collect([str(folder / "findings")])


def test_linked_folders_are_followed_each_place_once(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "study").symlink_to(folder)
    (archive / "twice").symlink_to(folder)
    (folder / "deep" / "back").symlink_to(archive)
    assert len(collect([str(archive)])) == 3


def test_folders_that_cannot_be_read_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scandir = os.scandir

    def locked(place: str) -> object:
        if Path(place).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", locked)
    assert len(collect([str(folder)])) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("deep: the folder cannot be read")
    with pytest.raises(PneumoscopeError, match=r"no radiograph there, and .*deep cannot be read"):
        collect([str(folder / "deep")])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    done = run("predict", tmp_path / "a.png", "--out", tmp_path / "out")
    assert done.exit_code == 3
    (line,) = (tmp_path / "out" / "findings.jsonl").read_text().splitlines()
    assert json.loads(line)["error"] == "is not a regular file. Give an image file"


def test_predicting_a_folder_twice_gives_the_same(phantoms: Path, tmp_path: Path) -> None:
    for film in sorted((phantoms / "images").glob("*.png"))[:2]:
        (tmp_path / film.name).write_bytes(film.read_bytes())
    findings = tmp_path / "findings" / "findings.jsonl"
    first = run("predict", tmp_path, "--out", findings.parent)
    assert first.exit_code == 0, first.output
    once = findings.read_text()
    assert len(once.splitlines()) == 2 and list((tmp_path / "findings").glob("heatmaps/*"))
    second = run("predict", tmp_path, "--out", findings.parent)
    assert second.exit_code == 0, second.output
    assert findings.read_text() == once


@pytest.fixture(scope="module")
def knee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the gate flags: noise stands for a knee."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    return save(tmp_path_factory.mktemp("knee") / "knee.png", pixels)


def test_exit_code_3_if_nothing_could_be_judged(knee: Path, phantoms: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    nothing = run("predict", knee, broken, "--out", tmp_path / "none")
    assert nothing.exit_code == 3, nothing.output
    assert "None of 2 files could be assessed" in nothing.output
    # A second call finds them finished and says the same.
    again = run("predict", knee, broken, "--out", tmp_path / "none")
    assert again.exit_code == 3, again.output

    film = next(iter(sorted((phantoms / "images").glob("*.png"))))
    some = run("predict", knee, broken, film, "--out", tmp_path / "some")
    assert some.exit_code == 0, some.output
    assert "not assessed: not_chest" in some.output


@pytest.mark.slow
def test_what_was_not_judged_has_no_number_and_no_heat(knee: Path, tmp_path: Path) -> None:
    run("predict", knee, "--out", tmp_path / "out")
    (line,) = (tmp_path / "out" / "findings.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert (found["label"], found["probability"], found["heatmap"]) == (None, None, None)
    assert found["gate"] == {"flagged": True, "reason": "not_chest"}
    assert not list((tmp_path / "out").glob("heatmaps/*"))
    assert not list((tmp_path / "out").glob("overlays/*"))

    explained = run("explain", knee, "--out", tmp_path / "explained")
    assert explained.exit_code == 3, explained.output
    (said,) = json.loads((tmp_path / "explained" / "explain.json").read_text())["radiographs"]
    assert set(said) == {"image", "error"}
    assert said["error"].startswith("Not assessed")
