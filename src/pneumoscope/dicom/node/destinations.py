"""Ways to a destination: an association (C-STORE), or DICOMweb (STOW-RS)."""

from __future__ import annotations

import logging
import ssl
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pneumoscope.dicom.node.failures import (
    ENDED,
    NO_ANSWER,
    DestinationError,
    Failure,
    from_system,
    why_no_association,
)
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.settings import NodeSettings, Peer, WebPeer
from pneumoscope.dicom.node.statuses import (
    NOT_UNDERSTOOD,
    PROCESSING_FAILURE,
    SUCCESS,
    UNKNOWN_CLASS,
)
from pneumoscope.errors import PneumoscopeError

_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.11.1",
)
"""Secondary Capture, Segmentation, Comprehensive SR, Grayscale Softcopy Presentation State."""
_TIMEOUT_SECONDS = 30.0
_PATIENCE_SECONDS = 3 * _TIMEOUT_SECONDS
_LOOK_SECONDS = 0.5
# What a server says of the object, not of itself; with 500 one object may bring it down.
_ABOUT_ONE_OBJECT = {
    400: NOT_UNDERSTOOD,
    409: PROCESSING_FAILURE,
    413: NOT_UNDERSTOOD,
    415: NOT_UNDERSTOOD,
    422: NOT_UNDERSTOOD,
    500: PROCESSING_FAILURE,
}
_XML_REASON = ".//{*}DicomAttribute[@tag='00081198']//{*}DicomAttribute[@tag='00081197']/{*}Value"
_REDIRECTED = Failure(
    "http_redirect",
    "the DICOMweb server redirects to another address",
    "give the address that it redirects to, often https:// instead of http://",
)
_NOT_DICOMWEB = Failure(
    "http_answer",
    "the server's answer to STOW-RS is neither DICOM JSON nor DICOM XML",
    "check the URL, and whether a proxy asks for a login",
)


class Line(Protocol):
    """Sends files to one destination."""

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """Send files one by one, and yield the DICOM status of each as it is answered.

        Raises:
            DestinationError: the destination does not answer, or no longer.
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
        from pynetdicom.presentation import build_context

        self._title, self._peer = settings.title, peer
        self._tls = None if settings.tls_out is None else settings.tls_out.client()
        syntaxes = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
        self._contexts = [build_context(kind, syntaxes) for kind in _CLASSES]

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """As `Line.send`."""
        association = associate(self._title, self._peer, self._contexts, self._tls)
        try:
            for path in paths:
                if not association.is_established:
                    raise DestinationError(ENDED)
                yield path, self._store(association, path)
        finally:
            end(association)

    def _store(self, association: Any, path: Path) -> int:
        began = time.monotonic()
        try:
            with watched(association):
                status = association.send_c_store(path).get("Status")
        except ValueError:  # The destination accepted no context for this kind of object.
            return UNKNOWN_CLASS
        except RuntimeError as error:
            raise DestinationError(ENDED) from error
        if status is None:
            waited = time.monotonic() - began >= _TIMEOUT_SECONDS
            raise DestinationError(NO_ANSWER if waited else ENDED)
        return int(status)


def associate(
    title: str,
    peer: Peer,
    contexts: Sequence[Any],
    tls: ssl.SSLContext | None,
    handlers: Sequence[Any] = (),
    **options: Any,
) -> Any:
    """An association with a peer.

    Args:
        title: of the node.
        peer: whom to call.
        contexts: presentation contexts of pynetdicom.
        tls: given, TLS is spoken.
        handlers: of events.
        options: of pynetdicom's `AE.associate`.

    Raises:
        DestinationError: there is none, and why.
    """
    from pynetdicom import AE, evt

    entity = AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
    entity.connection_timeout = _TIMEOUT_SECONDS
    opened: list[bool] = []
    began = time.monotonic()
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.title,
            tls_args=None if tls is None else (tls, peer.host),
            evt_handlers=[(evt.EVT_CONN_OPEN, lambda _: opened.append(True)), *handlers],
            **options,
        )
    except OSError as error:  # The host has no address.
        raise DestinationError(from_system(error)) from error
    if not association.is_established:
        if opened and time.monotonic() - began >= _TIMEOUT_SECONDS:
            raise DestinationError(NO_ANSWER)
        connected = bool(opened)
        raise DestinationError(
            why_no_association(association, peer, title, tls, connected=connected)
        )
    return association


@contextmanager
def watched(association: Any) -> Iterator[None]:
    """Kill an association during which a call would never return, so that it does.

    A call of pynetdicom 3.0 waits until the association's own thread pauses. If the peer ends the
    association at that moment, the thread is gone and pauses no more. While a call is at work the
    thread lives, so a dead one says that the call waits for ever. Any other call has its time.
    """
    done = threading.Event()
    threading.Thread(target=_watch, args=(association, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(association: Any, done: threading.Event) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not done.wait(_LOOK_SECONDS):
        if time.monotonic() >= until or not association.is_alive():
            association.kill()
            return


def end(association: Any) -> None:
    """Release an association that is still there."""
    with watched(association):
        if association.is_established:
            association.release()


class WebLine:
    """STOW-RS, one request for each file."""

    def __init__(self, peer: WebPeer) -> None:
        self._url = f"{peer.url}/studies"

    def send(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int]]:
        """As `Line.send`."""
        from requests import Session

        with Session() as session:
            for path in paths:
                yield path, self._store(session, path)

    def _store(self, session: Any, path: Path) -> int:
        from requests import RequestException

        content, boundary = path.read_bytes(), uuid4().hex
        start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Accept": "application/dicom+json",
        }
        try:
            answer = session.post(
                self._url,
                data=start + content + f"\r\n--{boundary}--\r\n".encode(),
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
            )
            if answer.request.method != "POST":  # A redirection; nothing was stored.
                raise DestinationError(_REDIRECTED)
            if answer.status_code in _ABOUT_ONE_OBJECT:
                self._tell(path, answer.status_code)
                return _reason(answer) or _ABOUT_ONE_OBJECT[answer.status_code]
            answer.raise_for_status()
        except RequestException as error:
            raise DestinationError(_web_failure(error)) from error
        reason = _reason(answer)
        if reason is None:
            raise DestinationError(_NOT_DICOMWEB)
        return reason

    def _tell(self, path: Path, code: int) -> None:
        say(
            logging.WARNING,
            "object.http",
            "{destination} answers HTTP {code} to {film}/{kind}",
            destination=self._url,
            code=code,
            film=path.parent.name[:12],
            kind=path.stem,
        )


def _web_failure(error: Exception) -> Failure:
    from pneumoscope.dicom.web import why_failed

    status = getattr(getattr(error, "response", None), "status_code", None)
    return Failure("http" if status is None else f"http_{status}", *why_failed(error))


def _reason(answer: Any) -> int | None:
    """The DICOM status of an object in an answer of STOW-RS (PS3.18 10.5.3).

    Returns:
        0 if the answer names no failure, None if it is no such answer.
    """
    if not answer.content:
        return SUCCESS
    try:
        if "xml" in answer.headers.get("Content-Type", ""):
            told = ET.fromstring(answer.content)
            if not told.tag.endswith("NativeDicomModel"):  # A page in XHTML.
                return None
            return int(told.findtext(_XML_REASON) or SUCCESS)
        failures = answer.json().get("00081198", {}).get("Value")
        if not failures:
            return SUCCESS
        return int(failures[0].get("00081197", {}).get("Value", [PROCESSING_FAILURE])[0])
    except (ValueError, LookupError, TypeError, AttributeError, ET.ParseError):
        return None


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
            remedy="fetch the study again",
        )
