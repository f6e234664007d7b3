"""What `dicom-fetch` makes of archives that are slow, break off, or answer half."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from pneumoscope.dicom.node import Peer
from pneumoscope.dicom.retrieve import Archive, Way, retrieve_study
from pneumoscope.errors import OutputError, PneumoscopeError, SettingsError
from tests.dicom.archives import FIND, archive
from tests.dicom.nodes import films


@pytest.mark.parametrize("way", ["get", "move"])
def test_each_film_is_fetched_once(tmp_path: Path, way: Way) -> None:
    paths = films(tmp_path / "in", 2)
    with archive(paths) as known:
        found = retrieve_study(replace(known, way=way), tmp_path / "out", accession="ACC-99")
    assert [dcmread(path).PixelData for path in found] == [
        dcmread(path).PixelData for path in paths
    ]


@pytest.mark.parametrize("way", ["get", "move"])
def test_a_study_that_came_in_part_leaves_nothing(tmp_path: Path, way: Way) -> None:
    paths, out = films(tmp_path / "in", 2), tmp_path / "out"
    with (
        archive(paths, fault="aborts") as known,
        pytest.raises(PneumoscopeError, match=r"did not (answer|send)"),
    ):
        retrieve_study(replace(known, way=way), out, accession="ACC-99")
    assert not any(out.iterdir())
    with archive(paths) as known:
        assert len(retrieve_study(known, out, accession="ACC-99")) == 2


def test_an_archive_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transfer may take longer than the search, each of whose answers comes at once."""
    monkeypatch.setattr("pneumoscope.dicom.node.destinations._TIMEOUT_SECONDS", 2.0)
    with archive(films(tmp_path / "in", 1), fault="slow") as known:
        found = retrieve_study(replace(known, way="get"), tmp_path / "out", accession="ACC-99")
    assert len(found) == 1


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: bytes) -> None:
        raise OutputError("the disk is full", path=path)

    monkeypatch.setattr("pneumoscope.dicom.retrieve.write_bytes", full)
    with (
        archive(films(tmp_path / "in", 1)) as known,
        pytest.raises(OutputError, match="the disk is full"),
    ):
        retrieve_study(known, tmp_path / "out", accession="ACC-99")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("no UID", "no CR or DX radiograph"), ("ends", r"ended the association|ends it without")],
)
def test_what_is_wrong_is_said(tmp_path: Path, fault: str, words: str) -> None:
    with (
        archive(films(tmp_path / "in", 1), fault=fault) as known,
        pytest.raises(PneumoscopeError, match=words),
    ):
        retrieve_study(known, tmp_path / "out", accession="ACC-99")


@pytest.mark.parametrize("services", [(), (FIND,)], ids=["nothing", "search alone"])
def test_a_missing_service_is_named(tmp_path: Path, services: tuple[str, ...]) -> None:
    with (
        archive(films(tmp_path / "in", 1), services=services) as known,
        pytest.raises(PneumoscopeError, match="Allow query and retrieve"),
    ):
        retrieve_study(known, tmp_path / "out", accession="ACC-99")


def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    nowhere = Archive(Peer("ARCHIVE", "pacs.invalid", 104))
    with pytest.raises(PneumoscopeError, match="host name is unknown"):
        retrieve_study(nowhere, tmp_path / "out", accession="ACC-99")


@pytest.mark.parametrize("named", [{"study": "*"}, {"study": ""}, {"accession": ""}])
def test_no_wildcard_names_a_study(tmp_path: Path, named: dict[str, str]) -> None:
    nowhere = Archive(Peer("ARCHIVE", "pacs.invalid", 104))
    with pytest.raises(SettingsError):
        retrieve_study(nowhere, tmp_path / "out", **named)
