"""What can be set of the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pneumoscope.addresses import is_loopback
from pneumoscope.bundles import DEFAULT
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import SettingsError
from pneumoscope.imaging import Limits
from pneumoscope.inference.selection import EngineChoice, PrecisionChoice

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the worker process is to load.

    Attributes:
        bundle: a bundle, a run, or a file of export.
        engine, precision, threads, batch_size: as `inference.load_engine`.
        limits: of a radiograph, checked before it is decoded.
        films_between_checks: after so many radiographs in a row the worker reports its memory.
        dicom: whether answers carry what DICOM objects need of a DICOM radiograph.
        study: whether answers carry age, sex, study date and series of a DICOM radiograph.
    """

    bundle: Path = DEFAULT
    engine: EngineChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int | None = None
    batch_size: int = 8
    limits: Limits = field(default_factory=lambda: Limits(max_bytes=64 << 20))
    films_between_checks: int = 256
    dicom: bool = False
    study: bool = False


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Everything that can be set.

    Attributes:
        engine: of the worker process.
        host: address to listen on; any but a loopback address needs a token.
        port: 0 for a free one.
        token: what callers must show as `Authorization: Bearer TOKEN`; None asks nobody.
        queue: radiographs that are accepted and not finished, at most.
        films_per_request: radiographs in one upload, at most.
        timeout: seconds, for reading an upload, for a radiograph's turn, and for ending.
        store: folder of the results; None keeps them in memory.
        keep_seconds: results are forgotten after so long.
        keep_bytes: results in memory, at most; the oldest go first.
        growth: bytes by which a worker's memory may grow before it is replaced.
        workers: processes that compute, each with an engine of its own.
    """

    engine: EngineSettings = field(default_factory=EngineSettings)
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    queue: int = 64
    films_per_request: int = 32
    timeout: float = 60.0
    store: Path | None = None
    keep_seconds: float = 3600.0
    keep_bytes: int = 1 << 30
    growth: int = 512 << 20
    workers: int = 1

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise SettingsError(
                f"listening on {self.host} lets other machines in",
                remedy="give --token-file, or leave --host at 127.0.0.1",
            )
        smallest = min(
            self.queue, self.films_per_request, self.keep_bytes, self.growth, self.workers
        )
        if smallest < 1 or not min(self.timeout, self.keep_seconds) > 0:
            raise SettingsError("a limit of the server is not above 0", remedy="raise it")

    @property
    def max_request(self) -> int:
        """Bytes of one request's body, at most: every radiograph at its limit would be too many."""
        return self.engine.limits.max_bytes * min(4, self.films_per_request) + (1 << 20)


def share_of_cores(workers: int) -> int | None:
    """Threads of each of several workers; None for one worker, whose engine takes what it may."""
    return None if workers == 1 else max(available_cpus() // workers, 1)


def read_token(path: Path) -> str:
    """The token in a file, without the white space around it.

    Raises:
        SettingsError: it cannot be read, is too short to be safe, or is not plain ASCII.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the token file {path} cannot be read", remedy="give a file of plain text"
        ) from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise SettingsError(
            f"the token in {path} is not {_SHORTEST_TOKEN} characters or more without spaces",
            remedy="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token
