"""The receiving side of associations: C-ECHO, and C-STORE of radiographs into the queue."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from pneumoscope.dicom.node.commitment import PUSH_MODEL
from pneumoscope.dicom.node.intake import FILMS, Intake, Named
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.statuses import SUCCESS
from pneumoscope.dicom.node.tally import Tally
from pneumoscope.errors import OutputError

_ECHO = "1.2.840.10008.1.1"
_HANDSHAKE_SECONDS, _TIMEOUT_SECONDS = 30.0, 120.0


def start_scp(intake: Intake, reported: Callable[[Any], tuple[int, None]] | None = None) -> Any:
    """Listen in a thread; the returned server has `server_address`, and `ae.shutdown()` ends it.

    Its `thread` is alive as long as it listens.

    Args:
        intake: the node's.
        reported: given, handles answers about storage commitment.

    Raises:
        OutputError: the port is taken.
        SettingsError: TLS cannot start.
    """
    from threading import Thread

    from pynetdicom import AE, evt

    settings = intake.settings
    entity = AE(ae_title=settings.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.callers)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
    entity.maximum_associations = settings.max_associations
    entity.add_supported_context(_ECHO)
    if reported is not None:  # The caller is the provider of the service, the node its user.
        entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    for kind in FILMS:
        entity.add_supported_context(kind, transfer_syntaxes())
    try:
        server: Any = entity.make_server(
            (settings.host, settings.port),
            ssl_context=None if settings.tls is None else settings.tls.server(),
            evt_handlers=[
                (evt.EVT_C_STORE, _store, [intake]),
                (evt.EVT_C_ECHO, _echo),
                *([] if reported is None else [(evt.EVT_N_EVENT_REPORT, reported)]),
                (evt.EVT_REJECTED, _rejected, [intake.tally]),
            ],
            server_class=_server_class(intake),
        )
    except OSError as error:
        raise OutputError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror})",
            remedy="choose another port, or stop who has it",
        ) from error
    entity._servers.append(server)
    server.thread = Thread(target=server.serve_forever, name="scp", daemon=True)
    server.thread.start()
    return server


def _server_class(intake: Intake) -> Any:
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        """Turns strangers away before they say a word."""

        request_queue_size = intake.settings.max_associations

        def verify_request(self, request: Any, client_address: Any) -> bool:
            return intake.admits(client_address[0])

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

        def finish_request(self, request: Any, client_address: Any) -> None:
            if self.ssl_context is not None:
                try:
                    request.do_handshake()
                except OSError as error:
                    intake.tls_failed(client_address[0], error)
                    self.shutdown_request(request)
                    return
            super().finish_request(request, client_address)

    return Server


def transfer_syntaxes() -> list[str]:
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


def _store(event: Any, intake: Intake) -> int:
    caller = _caller(event)
    try:
        content = event.encoded_dataset()
    except Exception:  # What it says may quote the radiograph.
        content = b""
    request = event.request
    meant = Named(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
    return intake.take(content, caller, "dimse", meant)


def _echo(event: Any) -> int:
    say(logging.INFO, "echo", "echo from {caller}", caller=_caller(event))
    return SUCCESS


def _rejected(event: Any, tally: Tally) -> None:
    tally.add("rejected", "association")
    text = "rejected an association of {caller}"
    say(logging.WARNING, "association.rejected", text, caller=_caller(event))


def _caller(event: Any) -> str:
    requestor = event.assoc.requestor
    title = "".join(c if c.isprintable() else "?" for c in str(requestor.ae_title))
    return f"{title.strip()}@{requestor.address}"
