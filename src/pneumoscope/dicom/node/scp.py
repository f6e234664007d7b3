"""The receiving side: C-ECHO, and C-STORE of films into the queue.

A film is answered with success when it is on disk, never before. Everything else gets the status
that PS3.4 B.2.3 has for it, so that the sender keeps what was not taken.
"""

from __future__ import annotations

import errno
import logging
import socket
from io import BytesIO
from typing import Any, cast

from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.settings import NodeSettings
from pneumoscope.errors import OutputError

LOG = logging.getLogger("pneumoscope.node")
SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
FILMS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
"""CR, DX for presentation and for processing (refused later, by its tags), Secondary Capture."""
_ECHO = "1.2.840.10008.1.1"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
_HANDSHAKE_SECONDS, _TIMEOUT_SECONDS = 30.0, 120.0


def start_scp(settings: NodeSettings, queue: Queue) -> Any:
    """Listen in a thread; the returned server has `server_address`, and `ae.shutdown()` ends it.

    Raises:
        OutputError: the port is taken.
        SettingsError: TLS cannot start.
    """
    from threading import Thread

    from pynetdicom import AE, evt

    entity = AE(ae_title=settings.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.callers)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
    entity.maximum_associations = settings.max_associations
    entity.add_supported_context(_ECHO)
    for kind in FILMS:
        entity.add_supported_context(kind, _transfer_syntaxes())
    try:
        server = entity.make_server(
            (settings.host, settings.port),
            ssl_context=None if settings.tls is None else settings.tls.server(),
            evt_handlers=[
                (evt.EVT_C_STORE, _store, [settings, queue]),
                (evt.EVT_C_ECHO, _echo),
                (evt.EVT_REJECTED, _rejected),
            ],
            server_class=_server_class(settings),
        )
    except OSError as error:
        raise OutputError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror})",
            remedy="choose another port, or stop who has it",
        ) from error
    entity._servers.append(server)
    Thread(target=server.serve_forever, name="scp", daemon=True).start()
    return server


def _server_class(settings: NodeSettings) -> Any:
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        """Turns strangers away before they say a word."""

        request_queue_size = settings.max_associations

        def verify_request(self, request: Any, client_address: Any) -> bool:
            if settings.admits(client_address[0]):
                return True
            LOG.warning("refused a connection from %s: not on the list", client_address[0])
            return False

        def get_request(self) -> tuple[socket.socket, Any]:
            # The handshake waits for the association's own thread: a caller that never speaks
            # must not keep the others out.
            caller, address = cast(socket.socket, self.socket).accept()
            if self.ssl_context is not None:
                caller.settimeout(_HANDSHAKE_SECONDS)
                caller = self.ssl_context.wrap_socket(
                    caller, server_side=True, do_handshake_on_connect=False
                )
            return caller, address

    return Server


def _transfer_syntaxes() -> list[str]:
    """Those that can be decoded here, the uncompressed ones first."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import (
        AllTransferSyntaxes,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    plain = (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
    able = []
    for syntax in AllTransferSyntaxes:
        try:
            if get_decoder(syntax).is_available:
                able.append(syntax)
        except NotImplementedError:  # Moving pictures.
            continue
    return [str(uid) for uid in dict.fromkeys([*plain, *able])]


def _store(event: Any, settings: NodeSettings, queue: Queue) -> int:
    caller = _caller(event)
    try:
        content = event.encoded_dataset()
        status = _problem(event, content)
        if status is not None:
            LOG.warning("refused an object from %s: status %04X", caller, status)
            return status
        if queue.free() < settings.min_free + len(content):
            LOG.error("refused a film from %s: the disk is full", caller)
            return OUT_OF_RESOURCES
        key, new = queue.accept(content)
    except OSError as error:
        LOG.error("refused a film from %s: %s", caller, error.strerror)
        return OUT_OF_RESOURCES if error.errno in _FULL else 0x0110
    except Exception as error:  # The sender must hear of it; what it says may quote the film.
        LOG.error("refused an object from %s: %s", caller, type(error).__name__)
        return NOT_UNDERSTOOD
    LOG.info("%s film %.12s from %s", "accepted" if new else "knew", key, caller)
    return SUCCESS


def _problem(event: Any, content: bytes) -> int | None:
    """The status for an object that is not what its sender says; None for a good one."""
    from pydicom import dcmread

    wanted = ["SOPClassUID", "SOPInstanceUID"]
    try:
        dataset = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=wanted)
        said = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    except Exception:
        return NOT_UNDERSTOOD
    request = event.request
    meant = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
    return None if said == meant else MISMATCH


def _echo(event: Any) -> int:
    LOG.info("echo from %s", _caller(event))
    return SUCCESS


def _rejected(event: Any) -> None:
    LOG.warning("rejected an association of %s", _caller(event))


def _caller(event: Any) -> str:
    requestor = event.assoc.requestor
    title = "".join(c if c.isprintable() else "?" for c in str(requestor.ae_title))
    return f"{title.strip()}@{requestor.address}"
