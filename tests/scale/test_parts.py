"""Parts, storage and the worker's work, without Ray."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pneumoscope
from pneumoscope.errors import ImageError, OutputError, PneumoscopeError, SettingsError
from pneumoscope.findings import Finding, Gate, Region, completed
from pneumoscope.imaging import DEFAULT_LIMITS
from pneumoscope.inference import explain_in, load_engine
from pneumoscope.scale import is_uri, list_radiographs, storage
from pneumoscope.scale.parts import Unit, count_judged, part_name, plan, read_findings, write_part
from pneumoscope.scale.run import _claim
from pneumoscope.scale.storage import Place, content_digest, read_anywhere
from pneumoscope.scale.worker import Finder, Job
from tests.export.bundles import exported
from tests.imaging.films import gray8, write_dicom

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
fs = pytest.importorskip("pyarrow.fs")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = [f"{index}.png" for index in range(10)]


def finding(name: str, error: str | None = None) -> Finding:
    if error:
        return Finding.from_error(name, error, "m@1")
    region = Region(x=1, y=2, width=3, height=4, score=0.5)
    return Finding.from_prediction(
        name,
        probability=0.7,
        threshold=0.5,
        labels=("N", "P"),
        model="m@1",
        regions=[region],
        digest=now(name),
    )


def now(name: str) -> str:
    """Stands for the digest of a radiograph that has not changed."""
    return f"content of {name}"


def test_findings_come_back_from_parquet(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    written = [finding("a.png"), finding("b.png", "is damaged")]
    write_part(out, Unit("part-1.parquet", ("a.png", "b.png")), written)
    assert read_findings(out) == written
    table = pq.read_table(tmp_path / "findings")
    assert table.column_names == list(Finding.model_fields)
    assert table["regions"].to_pylist() == [
        [{"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.5, "zone": None}],
        [],
    ]
    assert [path.name for path in (tmp_path / "findings").iterdir()] == ["part-1.parquet"]


def test_what_was_not_judged_is_no_result_in_parquet_and_is_not_counted(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    flagged = completed(
        finding("c.png").model_copy(update={"regions": ()}),
        ("N", "P"),
        gate=Gate(flagged=True, reason="rotated"),
    )
    written = [finding("a.png"), finding("b.png", "is damaged"), flagged]
    names = ("a.png", "b.png", "c.png")
    write_part(out, Unit("part-1.parquet", names), written)
    assert read_findings(out) == written
    row = pq.read_table(tmp_path / "findings").to_pylist()[2]
    assert (row["label"], row["probability"], row["threshold"]) == (None, None, 0.5)
    assert count_judged(str(tmp_path), names) == 1
    assert count_judged(str(tmp_path), ["b.png", "c.png", "other.png"]) == 0


def test_a_part_of_an_earlier_version_with_a_number_where_the_gate_flagged(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    write_part(out, Unit("part-1.parquet", ("a.png",)), [finding("a.png")])
    table = pq.read_table(tmp_path / "findings" / "part-1.parquet")
    row = table.to_pylist()[0]
    row |= {"gate": {"flagged": True, "reason": "rotated"}, "regions": [], "uncertain": True}
    old = pa.Table.from_pylist([row], schema=table.schema)
    pq.write_table(old, tmp_path / "findings" / "part-1.parquet")
    (found,) = read_findings(out)
    assert (found.label, found.probability, found.judged) == (None, None, False)


def test_a_plan_leaves_out_what_is_done_and_tries_errors_again(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    first = plan(NAMES, out, size=4, now=now)
    assert [len(unit.names) for unit in first.units] == [4, 4, 2] and first.kept == ()
    assert first == plan(NAMES, out, size=4, now=now)
    done = first.units[1]
    bad = done.names[0]
    write_part(out, done, [finding(n, "bad" if n == bad else None) for n in done.names])
    second = plan(NAMES, out, size=4, now=now)
    assert second.units == (Unit(done.part, (bad,)), first.units[0], first.units[2])
    assert second.kept == done.names[1:] and second.changed == ()
    # The part is completed in place, and its other rows stay.
    write_part(out, second.units[0], [finding(bad)])
    assert sorted(item.image for item in read_findings(out)) == sorted(done.names)
    assert all(item.error is None for item in read_findings(out))
    # A longer list shifts the units; nobody is done twice.
    longer = plan(["new.png", *NAMES], out, size=4, now=now)
    todo = [name for unit in longer.units for name in unit.names]
    assert sorted(todo) == sorted({"new.png", *NAMES} - set(done.names))
    for unit in longer.units:
        write_part(out, unit, map(finding, unit.names))
    assert sorted(item.image for item in read_findings(out)) == sorted(["new.png", *NAMES])
    assert plan(["new.png", *NAMES], out, size=4, now=now).units == ()


def test_a_film_that_changed_is_done_again_in_its_part(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    for unit in plan(NAMES, out, size=4, now=now).units:
        write_part(out, unit, map(finding, unit.names))

    def other(name: str) -> str | None:
        return {"5.png": "another film", "9.png": None}.get(name, now(name))

    again = plan(NAMES, out, size=4, now=other)
    assert again.changed == ("5.png", "9.png")
    assert {unit.names for unit in again.units} == {("5.png",), ("9.png",)}
    assert again.kept == tuple(name for name in NAMES if name not in again.changed)
    for unit in again.units:
        write_part(out, unit, [finding(name, "gone") for name in unit.names])
    found = {item.image: item.error for item in read_findings(out)}
    assert len(found) == 10 and found["5.png"] == found["9.png"] == "gone"
    # Parts of earlier versions do not say which radiograph they are about.
    for part in (tmp_path / "findings").iterdir():
        pq.write_table(pq.read_table(part).drop_columns(["digest"]), part)
    assert len(plan(NAMES, out, size=4, now=now).changed) == 8


def test_content_is_known_of_files_and_of_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.png"
    film.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert content_digest(str(film)) == content_digest(film.as_uri()) == digest
    assert content_digest(str(tmp_path / "absent.png")) is None
    assert content_digest("nonsense://store/film.png") is None
    # A store is asked for size and time alone.
    monkeypatch.setattr(Place, "is_local", False)
    first = content_digest(str(film))
    assert first is not None and first.startswith("3 bytes")
    film.write_bytes(b"two")
    os.utime(film, (1, 1))
    assert content_digest(str(film)) not in (None, first)


def test_a_part_written_twice_is_one_part(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    for _ in range(2):
        for unit in plan(NAMES, Place.at(str(tmp_path / "empty")), size=3).units:
            write_part(out, unit, map(finding, unit.names))
    assert sorted(item.image for item in read_findings(out)) == NAMES
    assert part_name(["a", "b"]) != part_name(["a\0", "b"]) != part_name(["ab"])


def test_a_part_of_a_version_without_notes_is_completed(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path))
    write_part(out, Unit("part-1.parquet", ("a", "b")), [finding("a"), finding("b", "damaged")])
    place = tmp_path / "findings" / "part-1.parquet"
    pq.write_table(pq.read_table(place).drop_columns(["notes"]), place)
    noted = finding("b").model_copy(update={"notes": ("The pixel spacing was ignored.",)})
    write_part(out, Unit("part-1.parquet", ("b",)), [noted])
    assert read_findings(out) == [finding("a"), noted]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "findings").mkdir()
    (tmp_path / "findings" / "part-1.parquet").write_text("no parquet")
    with pytest.raises(OutputError, match=r"part-1\.parquet.*damaged"):
        plan(NAMES, Place.at(str(tmp_path)), size=3)


def test_a_folder_belongs_to_its_settings(tmp_path: Path) -> None:
    out = Place.at(str(tmp_path / "out"))
    _claim(out, {"threshold": 0.5})
    _claim(out, {"threshold": 0.5})
    with pytest.raises(OutputError, match="other settings"):
        _claim(out, {"threshold": 0.6})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "text").write_text("x")
    with pytest.raises(OutputError, match="is not empty"):
        _claim(Place.at(str(tmp_path / "full")), {})


def test_uris_and_paths_are_told_apart() -> None:
    assert is_uri("s3://bucket/film.dcm") and is_uri("file:///film.png")
    assert not is_uri("films/a.png") and not is_uri("C:/films") and not is_uri("C://films")
    with pytest.raises(PneumoscopeError, match=r"nowhere://bucket/film.png cannot be opened"):
        Place.at("nowhere://bucket/film.png")


def test_a_folders_uri_means_the_radiographs_below_it(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    film = next((phantoms / "images").iterdir())
    for name in ("b/two.png", "one.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(film.read_bytes())
    root = tmp_path.as_uri()
    assert list_radiographs(root) == [f"{root}/b/two.png", f"{root}/one.png"]
    assert list_radiographs(f"{root}/one.png") == [f"{root}/one.png"]
    assert read_anywhere(f"{root}/one.png").height > 0
    with pytest.raises(PneumoscopeError, match="no radiograph at file:///"):
        list_radiographs(f"{root}/absent")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder behind a file system that is not this machine's: `far://`."""
    folder = tmp_path / "far"
    folder.mkdir()
    store = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    real = Place.at

    def at(text: str) -> Place:
        return Place(store, text[6:], text) if text.startswith("far://") else real(text)

    monkeypatch.setattr(Place, "at", staticmethod(at))
    monkeypatch.setattr(storage, "_PAUSES", (0.0,))
    return folder


def test_a_remote_film_is_fetched_within_the_limits(
    remote: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    film = next((phantoms / "images").iterdir())
    (remote / "film.png").write_bytes(film.read_bytes())
    (remote / "empty.png").write_bytes(b"")
    (remote / "text").write_text("no film")
    np.testing.assert_array_equal(
        read_anywhere("far://film.png").pixels, read_anywhere(str(film)).pixels
    )
    for name, message in (
        ("absent.png", "does not exist"), ("empty.png", "is empty"), ("text", "not an image"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            read_anywhere(f"far://{name}")
    monkeypatch.setattr(storage, "DEFAULT_LIMITS", replace(DEFAULT_LIMITS, max_bytes=100))
    with pytest.raises(ImageError, match="too large"):
        read_anywhere("far://film.png")
    assert list(temporary.iterdir()) == []
    (remote / "sub").mkdir()
    for name in ("film.dcm", "1.2.3", "NONE", ".hidden", "DICOMDIR", "notes.txt"):
        (remote / "sub" / name).write_bytes(b"x")
    write_dicom(remote / "sub" / "odd.IMA", gray8())
    assert list_radiographs("far://sub") == [
        f"far://sub/{n}" for n in ("1.2.3", "NONE", "film.dcm", "odd.IMA")
    ]


def test_a_store_that_fails_is_asked_again(
    remote: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = next((phantoms / "images").iterdir())
    (remote / "film.png").write_bytes(film.read_bytes())
    failures = [OSError("slow down"), OSError("slow down")]
    fetch = storage._fetch

    def flaky(place: Place) -> bytes:
        if failures:
            raise failures.pop()
        return fetch(place)

    monkeypatch.setattr(storage, "_fetch", flaky)
    with pytest.raises(ImageError, match=r"cannot be fetched \(slow down\)"):
        read_anywhere("far://film.png")
    failures.append(OSError("slow down"))
    assert read_anywhere("far://film.png").height > 0


def _job(run_folder: Path, out: Path, base: Path, **changes: Any) -> tuple[Job, bytes]:
    engine = load_engine(exported(run_folder).path, threads=1)
    fields = {
        "version": pneumoscope.__version__, "runtime": engine.runtime, "threads": 1,
        "threshold": 0.0, "batch_size": 2, "base": str(base), "out": str(out),
    }  # fmt: skip
    return Job(**{**fields, **changes}), exported(run_folder).path.read_bytes()


def test_a_worker_finds_as_predict_does(run_folder: Path, phantoms: Path, tmp_path: Path) -> None:
    films = sorted((phantoms / "images").glob("*.png"))[:3]
    base = films[0].parent
    names = [films[0].name, "absent.png", films[1].as_uri(), str(films[2])]
    finder = Finder(*_job(run_folder, tmp_path / "out", base))
    units = pa.table({"part": ["part-1.parquet"], "names": [names]})
    assert finder(units).to_pylist() == [{"found": 4, "failed": 1}]
    found = read_findings(Place.at(str(tmp_path / "out")))
    assert [item.image for item in found] == names
    assert "does not exist" in str(found[1].error)
    engine = load_engine(exported(run_folder).path)
    expected = explain_in(engine, zip(names, films[:1] + films, strict=True), threshold=0.0)
    for one, other in zip(found, expected, strict=True):
        if one.error is None:
            assert one.probability == pytest.approx(other.finding.probability, abs=1e-6)
            assert one.regions == other.finding.regions and one.regions


def test_a_worker_of_another_version_refuses(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="same version on all machines"):
        Finder(*_job(run_folder, tmp_path, tmp_path, version="0.0.0"))


def test_relative_paths_are_those_of_who_asked(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(folder / "film.png")
    finder = Finder(*_job(run_folder, tmp_path / "out", folder))
    monkeypatch.chdir(os.path.sep)
    finder(pa.table({"part": ["part-1.parquet"], "names": [["film.png"]]}))
    (found,) = read_findings(Place.at(str(tmp_path / "out")))
    assert found.error is None and found.image == "film.png"


def test_what_a_killed_worker_left_half_written_is_no_part(tmp_path: Path) -> None:
    folder = tmp_path / "findings"
    folder.mkdir()
    (folder / ".part-0123456789abcdef01234567-tmp.parquet").write_bytes(b"PAR1 and no more")
    assert count_judged(str(tmp_path), ["a.png"]) == 0
