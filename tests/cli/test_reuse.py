"""An answer belongs to the radiograph it was asked of, whatever the radiograph is called."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from pneumoscope.api import Reader
from pneumoscope.cli.predict import tell_reused
from pneumoscope.dicom.predicting import predict_objects
from pneumoscope.inference.findings_folder import file_name
from pneumoscope.inference.predicting import predict_files
from tests.dicom.films import film
from tests.dicom.node_process import engine


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 255, (60, 50), dtype=np.uint8)
    Image.fromarray(grey).save(path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def predict(out: Path, *paths: str | Path, **options: Any) -> dict[str, dict[str, Any]]:
    files = [(Path(path).as_posix(), Path(path)) for path in paths]
    begun = partial(tell_reused, total=len(files))
    predict_files(engine(), files, out, gate=False, begun=begun, **options)
    return lines(out)


def lines(out: Path) -> dict[str, dict[str, Any]]:
    found = map(json.loads, (out / "findings.jsonl").read_text().splitlines())
    return {line["image"]: line for line in found}


@pytest.mark.parametrize("pictures", [True, False])
def test_a_film_replaced_under_its_name_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: bool
) -> None:
    one, two = picture(tmp_path / "one.png", 1), picture(tmp_path / "two.png", 2)
    out, options = tmp_path / "out", {"heatmaps": pictures, "overlays": pictures}
    first = predict(out, one, two, **options)
    assert {line["digest"] for line in first.values()} == {sha256(one), sha256(two)}
    capsys.readouterr()
    picture(one, 3)
    second = predict(out, one, two, **options)
    said = "".join(capsys.readouterr().out.split())
    assert "1of2werefinishedbefore" in said and "two.png" in said
    assert "1werefinishedbeforeandhavechangedsince" in said and "one.png" in said
    assert (out / "reused.txt").read_text() == f"{two.as_posix()}\n"
    assert second[two.as_posix()] == first[two.as_posix()]
    # The right answer is that of a folder that never held another radiograph.
    fresh = predict(tmp_path / "fresh", one, two, **options)
    assert second == fresh
    assert second[one.as_posix()]["digest"] != first[one.as_posix()]["digest"]
    if pictures:
        for kind in ("heatmaps", "overlays"):
            ours, theirs = (
                {path.name: sha256(path) for path in (folder / kind).iterdir()}
                for folder in (out, tmp_path / "fresh")
            )
            assert ours == theirs


def test_a_film_replaced_by_something_unreadable_keeps_neither_answer_nor_pictures(
    tmp_path: Path,
) -> None:
    path = picture(tmp_path / "one.png", 1)
    out = tmp_path / "out"
    predict(out, path)
    path.write_bytes(b"no film")
    found = predict(out, path)[path.as_posix()]
    assert found["error"] and found["probability"] is None and found["digest"] is None
    assert not list(out.rglob("*.png")) and not list(out.rglob("*.jpg"))


def test_the_newest_answer_counts_after_kills(tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png", 1)
    out = tmp_path / "out"
    old = predict(out, path)[path.as_posix()]
    picture(path, 2)
    new = predict(out, path)[path.as_posix()]
    # As kills may leave it: both answers, the older one finished.
    (out / "findings.jsonl").write_text(json.dumps(old) + "\n")
    (out / "findings.partial.jsonl").write_text(json.dumps(new) + "\n")
    assert predict(out, picture(tmp_path / "two.png", 3))[path.as_posix()] == new


def test_the_same_relative_name_in_two_folders_is_two_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, seed in (("a", 1), ("b", 2)):
        picture(tmp_path / place / "films" / "x.png", seed)
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path / "a")
    first = predict(out, "films/x.png")
    monkeypatch.chdir(tmp_path / "b")
    second = predict(out, "films/x.png")
    assert second["films/x.png"]["digest"] == sha256(Path("films/x.png"))
    assert first["films/x.png"] != second["films/x.png"]
    both = predict(tmp_path / "both", *(tmp_path.rglob("x.png")))
    assert len(both) == 2
    assert len(list((tmp_path / "both" / "heatmaps").iterdir())) == 2
    assert len(list((tmp_path / "both" / "overlays").iterdir())) == 2


def test_names_of_pictures_keep_many_films_apart() -> None:
    assert len({file_name(f"study-{index}/IM-0001.dcm") for index in range(50_000)}) == 50_000
    assert len(file_name("a.png").removesuffix(".png").split("-")[1]) == 16


@pytest.mark.parametrize("secret", [False, True])
def test_objects_of_another_patient_do_not_stay_under_the_name(
    tmp_path: Path, secret: bool
) -> None:
    path, out = tmp_path / "film.dcm", tmp_path / "out"
    key = tmp_path / "key" if secret else None

    def objects(kinds: str = "sr,sc") -> list[Path]:
        predict_objects(
            engine(), [("film.dcm", path)], out, kinds=kinds, key=key, threshold=None,
            batch_size=4, gate=False,
        )  # fmt: skip
        return sorted(out.rglob("*.dcm"))

    film(path, PatientID="first")
    uids = {dcmread(made).SOPInstanceUID for made in objects()}
    film(path, PatientID="second", SOPInstanceUID=generate_uid())
    made = objects()
    assert len(made) == 2
    for each in map(dcmread, made):
        assert each.SOPInstanceUID not in uids
        assert secret or each.PatientID == "second"
    (digest,) = {line["digest"] for line in lines(out).values()}
    assert (digest == sha256(path)) is not secret
    # Unchanged, nothing is made again; replaced by what is no radiograph, nothing stays.
    times = [each.stat().st_mtime_ns for each in made]
    assert [each.stat().st_mtime_ns for each in objects()] == times
    film(path, PatientID="third", SOPInstanceUID=generate_uid(), ViewPosition="LL")
    assert objects() == []


def test_python_says_which_file_it_read(tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png", 1)
    reader = Reader(engine(), gate=False)
    assert reader.find(os.fspath(path)).finding.digest == sha256(path)
    assert reader.find(np.zeros((40, 40), np.uint8)).finding.digest is None
