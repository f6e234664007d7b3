"""Films from an archive by C-FIND with C-GET or C-MOVE: dcmtk's dcmqrscp, and Orthanc."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from pneumoscope.cli.app import app
from pneumoscope.dicom.node import Peer
from pneumoscope.dicom.retrieve import Archive, Way, retrieve_study
from pneumoscope.errors import PneumoscopeError, SettingsError
from tests.dicom import peers
from tests.dicom.films import film
from tests.dicom.nodes import films
from tests.dicom.peers import Orthanc, eventually, needs, program, send

_CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
here = (PNEUMOSCOPE, 127.0.0.1, {move})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP {store} RW (200, 64mb) ANY
AETable END
"""


@contextmanager
def dcmqrscp(folder: Path) -> Iterator[Archive]:
    """An archive of dcmtk's, with a radiograph of another study."""
    port, move = peers.free_port(), peers.free_port()
    (folder / "store").mkdir()
    file = folder / "dcmqrscp.cfg"
    file.write_text(_CONFIGURATION.format(port=port, move=move, store=folder / "store"))
    process = subprocess.Popen(
        [str(program("dcmqrscp")), "-c", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    archive = Archive(Peer("QRSCP", "127.0.0.1", port), port=move)
    other = film(folder / "other.dcm", StudyInstanceUID="1.2.3", AccessionNumber="ACC-9")
    try:
        eventually(lambda: send(port, other, title="QRSCP") == [0])
        yield archive
    finally:
        process.kill()
        process.wait()


def study(folder: Path) -> list[Path]:
    """Three radiographs and a CT slice of one study, which has an accession number."""
    paths = films(folder, 3)
    paths.append(
        film(
            folder / "ct.dcm",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            SOPInstanceUID=generate_uid(),
            SeriesInstanceUID=generate_uid(),
            Modality="CT",
        )
    )
    return paths


def pixels(paths: list[Path]) -> set[tuple[str, bytes]]:
    datasets = map(dcmread, paths)
    return {(str(dataset.SOPInstanceUID), dataset.PixelData) for dataset in datasets}


@needs("dcmqrscp")
@pytest.mark.parametrize("way", ["get", "move", "auto"])
def test_dcmtk_gives_the_films_of_a_study(tmp_path: Path, way: Way) -> None:
    paths = study(tmp_path / "in")
    with dcmqrscp(tmp_path) as known:
        assert send(known.peer.port, *paths, title="QRSCP") == [0] * 4
        archive = Archive(known.peer, way=way, port=known.port)
        uid = str(dcmread(paths[0]).StudyInstanceUID)
        found = retrieve_study(archive, tmp_path / "out", study=uid)
        assert pixels(found) == pixels(paths[:3])
        if way == "get":
            found = retrieve_study(archive, tmp_path / "again", accession="ACC-99")
            assert pixels(found) == pixels(paths[:3])
        with pytest.raises(PneumoscopeError, match="no CR or DX radiograph"):
            retrieve_study(archive, tmp_path / "none", study="1.2.3.4")
        with pytest.raises(PneumoscopeError, match="no studies of this accession"):
            retrieve_study(archive, tmp_path / "none", accession="ACC*")


def told(archive: Archive, folder: Path, uid: str) -> str:
    """What is said of an archive that gives nothing."""
    with pytest.raises(PneumoscopeError) as caught:
        retrieve_study(archive, folder, study=uid)
    return str(caught.value)


@needs("dcmqrscp")
def test_an_archive_that_refuses_is_told_why(tmp_path: Path) -> None:
    paths = study(tmp_path / "in")
    with dcmqrscp(tmp_path) as known:
        send(known.peer.port, *paths, title="QRSCP")
        uid = str(dcmread(paths[0]).StudyInstanceUID)
        stranger = Archive(known.peer, "NOBODY", "move", known.port)
        with pytest.raises(PneumoscopeError, match=r"where to send|refuses"):
            retrieve_study(stranger, tmp_path / "a", study=uid)
        wrong = Archive(Peer("WRONG", "127.0.0.1", known.peer.port))
        # Under load dcmqrscp may end a connection without an answer.
        eventually(lambda: "know itself as WRONG" in told(wrong, tmp_path / "b", uid))
    with pytest.raises(PneumoscopeError, match="archive refuses the connection"):
        retrieve_study(known, tmp_path / "c", study=uid)
    with pytest.raises(SettingsError, match="name one study"):
        retrieve_study(known, tmp_path / "d")


@pytest.mark.slow
@needs(peers.ORTHANC)
def test_orthanc_gives_the_films_of_a_study_by_command(tmp_path: Path) -> None:
    paths, move = study(tmp_path / "in"), peers.free_port()
    here = {"AET": "PNEUMOSCOPE", "Host": "127.0.0.1", "Port": move}
    orthanc = Orthanc(tmp_path, {"pneumoscope": here})
    orthanc.start()
    try:
        assert send(orthanc.dicom, *paths, title="ORTHANC") == [0] * 4
        for way in ("get", "move"):
            out = tmp_path / way
            source = ["dicom-fetch", f"ORTHANC@127.0.0.1:{orthanc.dicom}", "--accession", "ACC-99"]
            options = ["--way", way, "--port", str(move), "--out", str(out)]
            result = CliRunner().invoke(app, [*source, *options])
            assert result.exit_code == 0, result.output
            assert "3 radiographs" in result.output
            assert pixels(sorted(out.iterdir())) == pixels(paths[:3])
    finally:
        orthanc.kill()
