"""The other side of the network: Orthanc, dcmtk's tools, and a plain receiver that counts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ORTHANC, DICOMWEB = "/usr/sbin/Orthanc", "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PATIENCE = 120.0


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip without programs, saying which."""
    missing = [name for name in programs if program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def program(name: str) -> str | None:
    """A program's path; not a script of the same name, as pynetdicom brings for dcmtk's tools."""
    found = (shutil.which(name, path=folder) for folder in os.get_exec_path())
    return next((path for path in found if path is not None and not _is_script(path)), None)


def _is_script(path: str) -> bool:
    with Path(path).open("rb") as stream:
        return stream.read(2) == b"#!"


def eventually(happens: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def storescu(port: int, *files: Path, title: str = "PNEUMOSCOPE", options: Any = ()) -> int:
    """Send files with dcmtk; its exit status."""
    command = [
        str(program("storescu")),
        "-aec",
        title,
        *options,
        "127.0.0.1",
        str(port),
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE).returncode


def send(port: int, *files: Path, title: str = "PNEUMOSCOPE", caller: str = "PACS") -> list[int]:
    """Send files over one association; the status of each, empty if it was not accepted."""
    from pydicom import dcmread
    from pynetdicom import AE

    entity = AE(ae_title=caller)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE
    for kind in {dcmread(file, stop_before_pixels=True).SOPClassUID for file in files}:
        entity.add_requested_context(kind, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", port, ae_title=title)
    if not association.is_established:
        return []
    try:
        answers = [association.send_c_store(dcmread(file)) for file in files]
    except RuntimeError:  # The node was killed in between.
        return []
    finally:
        association.release()
    return [int(answer.get("Status", -1)) for answer in answers]


class Receiver:
    """A store that keeps what it gets by UID, in order, and can be told to refuse."""

    def __init__(self, port: int = 0, **options: Any) -> None:
        from pynetdicom import AE, StoragePresentationContexts, evt

        self.got: list[Any] = []
        self.status, self.refused = 0x0000, 0
        self.entity = entity = AE(ae_title="DEST")
        entity.maximum_associations = 50
        for context in options.pop("contexts", StoragePresentationContexts):
            entity.add_supported_context(context.abstract_syntax, "1.2.840.10008.1.2.1")
        self.server: Any = entity.start_server(
            ("127.0.0.1", port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._keep)],
            **options,
        )
        assert self.server is not None
        self.port = int(self.server.server_address[1])

    def _keep(self, event: Any) -> int:
        status = self.status
        if status == 0:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.got.append(dataset)
        else:
            self.refused += 1
        return status

    def take(self, kind: str) -> None:
        """Accept one more kind of object from now on."""
        self.entity.add_supported_context(kind, "1.2.840.10008.1.2.1")
        self.server.contexts = self.entity.supported_contexts

    @property
    def uids(self) -> set[str]:
        return {str(dataset.SOPInstanceUID) for dataset in self.got}

    def stop(self) -> None:
        self.server.shutdown()


@contextmanager
def receiving(port: int = 0, **options: Any) -> Iterator[Receiver]:
    """A `Receiver` while it lasts."""
    receiver = Receiver(port, **options)
    try:
        yield receiver
    finally:
        receiver.stop()


class Orthanc:
    """An Orthanc with its DICOMweb plugin, in a folder of its own; it can be killed and revived.

    Args:
        folder: for its files.
        modalities: who may ask it for what, as its configuration has them.
    """

    def __init__(self, folder: Path, modalities: dict[str, Any] | None = None) -> None:
        self.dicom, self.http = free_port(), free_port()
        self._config = folder / "orthanc.json"
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "DicomModalities": modalities or {},
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "Plugins": [DICOMWEB],
        }
        self._config.write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [ORTHANC, str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def get(self, path: str, body: object = None, kind: str = "application/json") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", data=data, headers={"Accept": kind}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            content = answer.read()
        return json.loads(content) if kind == "application/json" else content

    def _answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a server, while it lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
