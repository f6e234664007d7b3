"""What a node is told: its name and port, whom it listens to, where its results go."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from pneumoscope.addresses import is_loopback
from pneumoscope.dicom.objects import DEFAULT_KINDS, Kind
from pneumoscope.errors import SettingsError

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application entity: its title, host and port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WebPeer:
    """A DICOMweb server, by the URL that `/studies` follows."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS in both directions.

    Attributes:
        certificate: the node's own, with its chain.
        key: of the certificate.
        authority: certificates that peers must be signed by; given, callers must show one, too.
    """

    certificate: Path
    key: Path
    authority: Path | None = None

    @classmethod
    def of(
        cls, certificate: Path | None, key: Path | None, authority: Path | None
    ) -> TlsFiles | None:
        """The files that were named, or None if none was.

        Raises:
            SettingsError: a part is missing.
        """
        if certificate is None and key is None and authority is None:
            return None
        if certificate is None or key is None:
            raise SettingsError(
                "TLS needs a certificate and its key", remedy="give --tls-certificate and --tls-key"
            )
        return cls(certificate, key, authority)

    def server(self) -> ssl.SSLContext:
        """For callers.

        Raises:
            SettingsError: a file is missing or no PEM.
        """
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        if self.authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """For the destination, whose certificate must name its host.

        Raises:
            SettingsError: a file is missing or no PEM.
        """
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with _loading(self.certificate, self.key):
            context.load_cert_chain(self.certificate, self.key)
        if self.authority is not None:
            with _loading(self.authority):
                context.load_verify_locations(self.authority)
        elif protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.load_default_certs()
        return context


def tls_reason(error: OSError) -> str:
    """Why TLS failed, in OpenSSL's or the system's words."""
    words = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(words or error.strerror or type(error).__name__)


@contextmanager
def _loading(*files: Path) -> Iterator[None]:
    """Name the PEM file that is missing, or the first one if they cannot be used.

    Raises:
        SettingsError: either.
    """
    for file in files:
        if not file.is_file():
            raise SettingsError("no such PEM file", path=file, remedy="check its name")
    try:
        yield
    except OSError as error:  # ssl.SSLError is one.
        with_key = f" with the key {files[1]}" if len(files) > 1 else ""
        raise SettingsError(
            f"TLS cannot start with it{with_key} ({tls_reason(error)})",
            path=files[0],
            remedy="check the PEM files",
        ) from error


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """All of a node's settings.

    Attributes:
        title: its application entity title; calls to another title are rejected.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        queue: folder of the queue, on a disk that keeps what it was told to keep.
        destination: where results go; None to keep them in the queue.
        kinds: which objects.
        callers: titles that may call; empty for all.
        networks: addresses that may connect; empty for all.
        min_free: bytes that must stay free; a radiograph that would use them is refused.
        max_associations: at a time; more are told to come again.
        first_retry, longest_retry: seconds to wait before sending again, doubled each time.
        gate: ask the input gate of each radiograph.
        key: file with the key of pseudonyms; None to keep the patient's name and id.
        tls: given, the port speaks TLS alone.
        tls_out: given, the destination is spoken to in TLS.
        http_host: address of the HTTP service.
        http_port: port of the HTTP service (health, metrics, status); 0 for any free one, None for
            no such service.
        stow: whether the HTTP service takes radiographs by STOW-RS.
        commit: ask the destination whether it keeps what it was sent, and delete it only then.

    Raises:
        SettingsError: other machines reach the host, and anybody may call; or the destination
            cannot do what is asked of it.
    """

    queue: Path
    title: str = "PNEUMOSCOPE"
    host: str = "127.0.0.1"
    port: int = 11112
    destination: Peer | WebPeer | None = None
    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    callers: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    min_free: int = 512 << 20
    max_associations: int = 256
    first_retry: float = 1.0
    longest_retry: float = 300.0
    gate: bool = True
    key: Path | None = None
    tls: TlsFiles | None = None
    tls_out: TlsFiles | None = None
    http_host: str = "127.0.0.1"
    http_port: int | None = None
    stow: bool = False
    commit: bool = False

    def __post_init__(self) -> None:
        if not (is_loopback(self.host) or self.callers or self.networks):
            raise SettingsError(
                f"listening on {self.host} takes radiographs from any machine",
                remedy="give --allow-address or --allow-ae, or leave --host at 127.0.0.1",
            )

        if self.http_port is None and self.stow:
            raise SettingsError("STOW-RS needs a port", remedy="give --http-port too")
        if self.http_port is not None and not (is_loopback(self.http_host) or self.networks):
            raise SettingsError(
                f"HTTP on {self.http_host} answers any machine",
                remedy="give --allow-address, or leave --http-host at 127.0.0.1",
            )
        if self.tls_out is not None and not isinstance(self.destination, Peer):
            raise SettingsError(
                "--tls-to needs a DICOM destination",
                remedy="give --to TITLE@HOST:PORT, or a URL of https:// without --tls-to",
            )
        if self.commit and not isinstance(self.destination, Peer):
            raise SettingsError(
                "storage commitment needs a DICOM destination",
                remedy="give --to TITLE@HOST:PORT, or leave --commit out",
            )

    def admits(self, address: str) -> bool:
        """Whether an address may connect."""
        if not self.networks:
            return True
        caller = ip_address(address)
        # A socket of both families sees IPv4 callers as ::ffff:a.b.c.d.
        caller = getattr(caller, "ipv4_mapped", None) or caller
        return any(caller in network for network in self.networks)


def parse_peer(text: str) -> Peer:
    """A peer from `TITLE@HOST:PORT`.

    Raises:
        SettingsError: the text is something else.
    """
    found = re.fullmatch(r"([^@\\]{1,16})@\[?([^@\[\]]+)\]?:(\d{1,5})", text.strip())
    if found is None or not 0 < int(found[3]) < 2**16:
        raise SettingsError(f"{text!r} is no peer", remedy="give TITLE@HOST:PORT")
    return Peer(parse_title(found[1]), found[2], int(found[3]))


def parse_destination(text: str) -> Peer | WebPeer:
    """A peer, or a DICOMweb server from a URL without name and password.

    Raises:
        SettingsError: the text is something else.
    """
    if not text.startswith(("http://", "https://")):
        return parse_peer(text)
    if "@" in text:
        raise SettingsError(
            "a URL with a password ends up in logs", remedy="put name and password into ~/.netrc"
        )
    return WebPeer(text.rstrip("/"))


def parse_title(text: str) -> str:
    """An application entity title: 1 to 16 ASCII characters without backslash (PS3.5 6.2).

    Raises:
        SettingsError: the text is something else.
    """
    title = text.strip()
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", title):
        raise SettingsError(
            f"{text!r} is no application entity title", remedy="give 1 to 16 ASCII characters"
        )
    return title


def parse_network(text: str) -> Network:
    """An address, or a network such as `10.1.0.0/16`.

    Raises:
        SettingsError: the text is something else.
    """
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise SettingsError(
            f"{text!r} is no address", remedy="give an address, or a network like 10.1.0.0/16"
        ) from None
