"""Why nothing arrives at a destination, in words that say who has to change what."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from pneumoscope.dicom.node.settings import Peer, tls_reason

_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason.

    Attributes:
        label: for machines: `refused`, `unknown_calling_ae`, ...
        problem: what is wrong.
        remedy: what to do.
    """

    label: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy[:1].upper()}{self.remedy[1:]}"


class DestinationError(ConnectionError):
    """The destination does not answer, or no longer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


ENDED = Failure("ended", "the destination ended the association", "see its log")
NO_ANSWER = Failure(
    "timeout", "the destination does not answer in time", "check its load and the network"
)
_REFUSED = Failure(
    "refused", "the destination refuses the connection", "check that it runs, and its port"
)
_UNKNOWN_HOST = Failure(
    "unknown_host", "the destination's host name is unknown", "check it, and the name server"
)
_UNREACHABLE = Failure(
    "unreachable", "the destination's host cannot be reached", "check address, route and firewall"
)
_TLS = Failure(
    "tls", "TLS with the destination fails", "check certificates, and whether it speaks TLS"
)
_CERTIFICATE = "check the dates and names in it, and that --tls-ca holds its authority"
_ABORTED = Failure(
    "aborted",
    "the destination takes the connection, but ends it without an answer",
    "check that a DICOM service listens on its port, and whether it expects TLS or another "
    "certificate",
)
_NO_CONTEXT = Failure(
    "no_context",
    "the destination accepts none of the kinds of objects",
    "allow Secondary Capture and Comprehensive SR there, in Explicit or Implicit VR Little Endian, "
    "or change --dicom-output",
)
_CONGESTED = Failure(
    "congested", "the destination has no free association now", "raise its limit if this persists"
)
_REJECTED = Failure(
    "rejected", "the destination rejects the association", "see the destination's log"
)


def why_no_association(
    association: Any, peer: Peer, title: str, tls: ssl.SSLContext | None, *, connected: bool
) -> Failure:
    """Why an association was not established.

    Args:
        association: pynetdicom's.
        peer: whom it was asked of.
        title: of the node.
        tls: given, TLS was wanted.
        connected: whether the connection, with TLS if that was wanted, was opened.
    """
    if not connected:
        return _probe(peer, tls)
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(answer.result_source, answer.diagnostic, peer, title)
    if answer is not None and answer.result == 0:
        return _NO_CONTEXT
    return _ABORTED


def _rejection(source: int, reason: int, peer: Peer, title: str) -> Failure:
    """By PS3.8 9.3.4."""
    if (source, reason) == (1, 7):
        return Failure(
            "unknown_called_ae",
            f"the destination does not know itself as {peer.title} (called AE title)",
            f"correct the title in {peer}",
        )
    if (source, reason) == (1, 3):
        return Failure(
            "unknown_calling_ae",
            f"the destination does not know the title {title} of its caller (calling AE title)",
            "register it there, or change --ae-title",
        )
    return _CONGESTED if source == 3 else _REJECTED


def _probe(peer: Peer, tls: ssl.SSLContext | None) -> Failure:
    """What the system says of a connection; the library keeps it to itself."""
    try:
        with socket.create_connection((peer.host, peer.port), timeout=_PROBE_SECONDS) as plain:
            if tls is None:  # It listens now.
                return _REFUSED
            with tls.wrap_socket(plain, server_hostname=peer.host):
                return _TLS
    except ssl.SSLCertVerificationError as error:
        words = tls_reason(error).rstrip(".")
        return Failure(
            "tls", f"the destination's certificate cannot be verified: {words}", _CERTIFICATE
        )
    except OSError as error:
        return from_system(error)


def from_system(error: OSError) -> Failure:
    """What the system says of a connection."""
    if isinstance(error, ConnectionRefusedError):
        return _REFUSED
    if isinstance(error, socket.gaierror):
        return _UNKNOWN_HOST
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    return _TLS if isinstance(error, ssl.SSLError) else _UNREACHABLE
