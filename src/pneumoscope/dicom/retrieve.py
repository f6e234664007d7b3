"""Films from an archive by association: C-FIND to find a study's, C-GET or C-MOVE to fetch them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pneumoscope.dicom.node.destinations import associate, end, watched
from pneumoscope.dicom.node.failures import ENDED, DestinationError
from pneumoscope.dicom.node.intake import FILMS, name_of
from pneumoscope.dicom.node.scp import transfer_syntaxes
from pneumoscope.dicom.node.settings import Peer, TlsFiles
from pneumoscope.dicom.node.statuses import MISMATCH, OUT_OF_RESOURCES, SUCCESS
from pneumoscope.dicom.web import MODALITIES
from pneumoscope.errors import OutputError, PneumoscopeError, SettingsError
from pneumoscope.files import filling, write_bytes

Way = Literal["auto", "get", "move"]
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = (0xFF00, 0xFF01)
_UNKNOWN_TITLE = 0xA801
# Between two answers: an archive may first fetch the images from a slower store.
_TRANSFER_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive, and who asks it.

    Attributes:
        peer: its title, host and port.
        title: of the caller, which the archive must know.
        way: `get`, `move`, or `auto`: C-GET where the archive offers it, else C-MOVE.
        port: that the archive sends to for C-MOVE; 0 for any free one.
        tls: given, TLS is spoken in both directions.
    """

    peer: Peer
    title: str = "PNEUMOSCOPE"
    way: Way = "auto"
    port: int = 11112
    tls: TlsFiles | None = None


def retrieve_study(
    archive: Archive, folder: Path, *, study: str | None = None, accession: str | None = None
) -> list[Path]:
    """Fetch the CR and DX radiographs of one study.

    Args:
        archive: where from.
        folder: new; files are named by number. If not all of them come, it stays empty.
        study: its UID.
        accession: its accession number, instead of the UID.

    Returns:
        The files.

    Raises:
        SettingsError: neither or both are given, or the UID is none.
        OutputError: the folder holds something, or cannot be written.
        PneumoscopeError: the archive does not answer, refuses, or has no such radiograph.
    """
    if (not study) == (not accession):
        raise SettingsError("name one study", remedy="give either --study or --accession")
    if study and not re.fullmatch(r"[0-9.]{1,64}", study):  # Archives take others for wildcards.
        raise SettingsError(f"{study!r} is no UID", remedy="give the study's UID, or --accession")
    try:
        series = _series(archive, study or _study(archive, str(accession)))
        with filling(folder):
            store = _Store(folder, {study for study, _ in series})
            _retrieve(archive, series, store)
    except DestinationError as error:
        failure = error.failure
        words = failure.problem.replace("the destination", "the archive")
        raise PneumoscopeError(words, remedy=failure.remedy) from None
    return store.paths


def _study(archive: Archive, accession: str) -> str:
    from pydicom import Dataset

    query = Dataset()
    query.QueryRetrieveLevel, query.AccessionNumber, query.StudyInstanceUID = "STUDY", accession, ""
    # Some archives take characters of the number for wildcards, or ignore it.
    found = {
        str(item.StudyInstanceUID)
        for item in _find(archive, query)
        if str(item.get("AccessionNumber", "")).strip() == accession.strip()
        and item.get("StudyInstanceUID")
    }
    if len(found) != 1:
        raise PneumoscopeError(
            f"the archive has {len(found) or 'no'} studies of this accession number",
            remedy="check it, or give --study UID",
        )
    return found.pop()


def _series(archive: Archive, study: str) -> list[tuple[str, str]]:
    """UIDs of study and series with radiographs."""
    from pydicom import Dataset

    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "SERIES", study
    query.SeriesInstanceUID = query.Modality = ""
    found = [
        (study, str(item.SeriesInstanceUID))
        for item in _find(archive, query)
        if str(item.get("Modality", "")) in MODALITIES and item.get("SeriesInstanceUID")
    ]
    if not found:
        raise PneumoscopeError(
            "the study has no CR or DX radiograph", remedy="check the study's UID"
        )
    return sorted(found)


def _find(archive: Archive, query: Any) -> Iterator[Any]:
    with _association(archive, [_FIND]) as association:
        with watched(association):
            answers = association.send_c_find(query, _FIND)
        for answer, item in answers:
            status = answer.get("Status")
            if status in _PENDING and item is not None:
                yield item
            elif status != SUCCESS:
                raise _refusal("the search", status)


def _retrieve(archive: Archive, series: Sequence[tuple[str, str]], store: _Store) -> None:
    way = archive.way
    if way == "auto":
        with _association(archive, [_GET, _FIND]) as association:
            offered = {context.abstract_syntax for context in association.accepted_contexts}
            way = "get" if _GET in offered else "move"
    fetch = _get if way == "get" else _move
    for study, uid in series:
        before = len(store.paths)
        try:
            failed = fetch(archive, _request(study, uid), store)
        finally:  # It explains what the archive says of the transfer.
            if store.problem is not None:
                raise store.problem
        if failed or len(store.paths) == before:
            raise PneumoscopeError(
                f"the archive did not send {failed or 'the'} images of a series by C-{way.upper()}",
                remedy="see the archive's log, or try --way get or --way move",
            )


def _request(study: str, series: str) -> Any:
    from pydicom import Dataset

    request = Dataset()
    request.QueryRetrieveLevel = "SERIES"
    request.StudyInstanceUID, request.SeriesInstanceUID = study, series
    return request


def _get(archive: Archive, request: Any, store: _Store) -> int:
    """Fetch a series on the association that asks for it; how many images did not come."""
    from pynetdicom import build_role, evt

    roles = [build_role(kind, scp_role=True) for kind in FILMS]
    handlers = [(evt.EVT_C_STORE, store.keep)]
    with _association(archive, [_GET, *FILMS], handlers, ext_neg=roles) as association:
        association.dimse_timeout = _TRANSFER_SECONDS
        with watched(association):
            answers = association.send_c_get(request, _GET)
        return _outcome("C-GET", answers)


def _move(archive: Archive, request: Any, store: _Store) -> int:
    """Have a series sent to a port of this machine; how many images did not come."""
    from pynetdicom import AE, evt

    entity = AE(ae_title=archive.title)
    entity.require_called_aet = True
    for kind in FILMS:
        entity.add_supported_context(kind, transfer_syntaxes())
    try:
        server: Any = entity.start_server(
            ("", archive.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, store.keep)],
            ssl_context=None if archive.tls is None else archive.tls.server(),
        )
    except OSError as error:
        raise OutputError(
            f"cannot listen on port {archive.port} for C-MOVE ({error.strerror})",
            remedy="stop who has it, or give another --port that the archive knows",
        ) from error
    try:
        with _association(archive, [_MOVE]) as association:
            association.dimse_timeout = _TRANSFER_SECONDS
            with watched(association):
                answers = association.send_c_move(request, archive.title, _MOVE)
            return _outcome("C-MOVE", answers)
    finally:
        server.shutdown()


def _outcome(what: str, answers: Any) -> int:
    """How many images failed, by the last answer."""
    status, failed = None, 0
    for answer, _ in answers:
        status = answer.get("Status")
        failed = int(answer.get("NumberOfFailedSuboperations") or 0)
    if status is None or (status != SUCCESS and status >> 12 != 0xB):
        raise _refusal(what, status)
    return failed


def _refusal(what: str, status: int | None) -> PneumoscopeError:
    if status is None:
        return PneumoscopeError(
            f"the archive did not answer {what}, or ended the association",
            remedy="see the archive's log, or try again later",
        )
    if status == _UNKNOWN_TITLE:
        return PneumoscopeError(
            "the archive does not know where to send to (status A801)",
            remedy="register --ae-title with this machine's address and --port there, "
            "or use --way get",
        )
    return PneumoscopeError(
        f"the archive refuses {what} with status {status:04X}", remedy="see the archive's log"
    )


def _not_offered() -> PneumoscopeError:
    return PneumoscopeError(
        "the archive does not offer this service to the caller",
        remedy="allow query and retrieve for the title of --ae-title there",
    )


@contextmanager
def _association(
    archive: Archive, kinds: Sequence[str], handlers: Sequence[Any] = (), **options: Any
) -> Iterator[Any]:
    from pynetdicom.presentation import build_context

    contexts = [
        build_context(kind, transfer_syntaxes() if kind in FILMS else None) for kind in kinds
    ]
    tls = None if archive.tls is None else archive.tls.client()
    try:
        association = associate(archive.title, archive.peer, contexts, tls, handlers, **options)
    except DestinationError as error:
        if error.failure.label == "no_context":
            raise _not_offered() from error
        raise
    try:
        yield association
    except ValueError as error:  # No context.
        raise _not_offered() from error
    except RuntimeError as error:
        raise DestinationError(ENDED) from error
    finally:
        end(association)


class _Store:
    """Keeps what is sent as files named by number; each image once.

    Args:
        folder: for them.
        studies: whose images are kept; others are refused.

    Attributes:
        paths: of the files.
        problem: why a file could not be written; None if nothing is the matter.
    """

    def __init__(self, folder: Path, studies: set[str]) -> None:
        self._folder, self._studies, self._lock = folder, studies, Lock()
        self._known: set[str] = set()
        self.paths: list[Path] = []
        self.problem: OutputError | None = None

    def keep(self, event: Any) -> int:
        """Write an image; the status of its C-STORE."""
        content = event.encoded_dataset()
        named = name_of(content)
        if named is None or named.study not in self._studies:
            return MISMATCH
        with self._lock:
            if named.instance in self._known:
                return SUCCESS
            path = self._folder / f"film-{len(self.paths) + 1:04d}.dcm"
            try:
                write_bytes(path, content)
            except OutputError as error:
                self.problem = error
                return OUT_OF_RESOURCES
            self._known.add(named.instance)
            self.paths.append(path)
        return SUCCESS
