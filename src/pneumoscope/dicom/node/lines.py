"""Ways to a destination: an association (C-STORE), or DICOMweb (STOW-RS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pneumoscope.dicom.node.settings import NodeSettings, Peer, WebPeer
from pneumoscope.errors import PneumoscopeError

SUCCESS, FAILURE, NOT_SUPPORTED = 0x0000, 0x0110, 0x0122
_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.11.1",
)
"""Secondary Capture, Segmentation, Comprehensive SR, Grayscale Softcopy Presentation State."""
_TIMEOUT_SECONDS = 30.0


class Line(Protocol):
    """Sends files to one destination."""

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """Send files one by one, and yield the DICOM status of each as it is answered.

        Raises:
            ConnectionError: the destination does not answer, or no longer.
        """
        ...


def line_to(settings: NodeSettings, destination: Peer | WebPeer) -> Line:
    """The line that a destination needs.

    Raises:
        SettingsError: TLS cannot start.
    """
    if isinstance(destination, WebPeer):
        return WebLine(destination)
    return AssociationLine(settings, destination)


class AssociationLine:
    """C-STORE, one association for the files at hand."""

    def __init__(self, settings: NodeSettings, peer: Peer) -> None:
        self._title, self._peer = settings.title, peer
        self._tls = None if settings.tls_out is None else settings.tls_out.client()

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """As `Line.send`."""
        association = self._associate()
        if not association.is_established:
            raise ConnectionError("no association")
        try:
            for path in paths:
                if not association.is_established:
                    raise ConnectionError("the association ended")
                yield path, self._store(association, path)
        finally:
            if association.is_established:
                association.release()

    def _store(self, association: Any, path: Path) -> int:
        try:
            status = association.send_c_store(path).get("Status")
        except ValueError:  # The destination accepted no context for this kind of object.
            return NOT_SUPPORTED
        except RuntimeError as error:
            raise ConnectionError("the association ended") from error
        if status is None:
            raise ConnectionError("no answer")
        return int(status)

    def _associate(self) -> Any:
        from pynetdicom import AE

        entity = AE(ae_title=self._title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
        entity.connection_timeout = _TIMEOUT_SECONDS
        for kind in _CLASSES:
            entity.add_requested_context(kind, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
        peer = self._peer
        tls = None if self._tls is None else (self._tls, peer.host)
        return entity.associate(peer.host, peer.port, ae_title=peer.title, tls_args=tls)


class WebLine:
    """STOW-RS, one request for each file."""

    def __init__(self, peer: WebPeer) -> None:
        self._url = peer.url

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """As `Line.send`."""
        client = web_client(self._url)
        for path in paths:
            yield path, self._store(client, path)

    def _store(self, client: Any, path: Path) -> int:
        from pydicom import dcmread
        from requests import HTTPError, RequestException

        from pneumoscope.dicom.web import why_failed

        try:
            answer = client.store_instances([dcmread(path)])
        except HTTPError as error:
            # 409: stored nothing of what was sent; others mean the server, not the object.
            if error.response is not None and error.response.status_code == 409:
                return _reason(error.response)
            raise ConnectionError(why_failed(error)[0]) from error
        except RequestException as error:
            raise ConnectionError(why_failed(error)[0]) from error
        failed = answer.get("FailedSOPSequence")
        return int(failed[0].get("FailureReason", FAILURE)) if failed else SUCCESS


def _reason(response: Any) -> int:
    """The DICOM status in an answer that stored nothing (PS3.18 10.5.3), as far as it is JSON."""
    try:
        failed = response.json()["00081198"]["Value"][0]
        return int(failed["00081197"]["Value"][0])
    except (ValueError, LookupError, TypeError):
        return FAILURE


def web_client(url: str) -> Any:
    """A DICOMweb client. Names and passwords come from `~/.netrc`, never from the URL.

    Raises:
        SettingsError: the extra `hospital` is not whole.
    """
    from dicomweb_client.api import DICOMwebClient
    from requests import Session

    session = Session()
    session.hooks["response"].append(_require_closed)
    client = DICOMwebClient(url, session=session, timeout=_TIMEOUT_SECONDS, permissive_uid=True)
    client.set_http_retry_params(retry=False)  # The queue repeats, and can be stopped meanwhile.
    return client


def _require_closed(response: Any, **_: Any) -> None:
    """Refuse a multipart answer without its closing boundary: its last part is cut off.

    Raises:
        PneumoscopeError: it has none.
    """
    from email.message import Message

    header = Message()
    header["Content-Type"] = response.headers.get("Content-Type", "")
    boundary = header.get_boundary()
    if header.get_content_maintype() != "multipart" or boundary is None or not response.ok:
        return
    if f"--{boundary}--".encode("utf-8", "replace") not in response.content:
        raise PneumoscopeError(
            "the DICOMweb server's answer is cut off: it lacks its closing boundary",
            remedy="fetch the study again, into a new folder",
        )
