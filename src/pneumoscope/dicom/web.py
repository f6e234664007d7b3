"""Films from an archive's DICOMweb server: QIDO-RS to find a study's, WADO-RS to fetch them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pneumoscope.errors import PneumoscopeError, SettingsError
from pneumoscope.files import atomic_path, filling

MODALITIES = ("CR", "DX", "DR")
"""Of series that are fetched."""


def fetch_study(url: str, folder: Path) -> list[Path]:
    """Fetch the CR and DX radiographs of a study.

    Args:
        url: of the study, `https://HOST/dicom-web/studies/UID`. Names and passwords come from
            `~/.netrc`, never from the URL.
        folder: new; files are named by number. If not all of them come, it stays empty.

    Returns:
        The files.

    Raises:
        SettingsError: the URL names no study.
        OutputError: the folder holds something, or cannot be written.
        PneumoscopeError: the server does not answer, or has no radiograph of the study.
    """
    from pneumoscope.dicom.node.destinations import web_client

    found = re.fullmatch(r"(https?://[^@]+?)/studies/([0-9.]{1,64})/?", url)
    if found is None:
        raise SettingsError(
            "the URL names no study", remedy="give https://HOST/dicom-web/studies/UID"
        )
    client, study = web_client(found[1]), found[2]
    try:
        # Some servers ignore a filter, and others list a series twice.
        series = dict.fromkeys(
            _value(item, "0020000E")
            for item in client.search_for_series(study)
            if _value(item, "00080060") in MODALITIES
        )
        with filling(folder):
            paths = _fetch(client, study, [uid for uid in series if uid], folder)
    except PneumoscopeError:
        raise
    except Exception as error:  # Of any library that reads an answer.
        problem, remedy = why_failed(error)
        raise PneumoscopeError(problem, remedy=remedy) from None
    if not paths:
        raise PneumoscopeError(
            "the study has no CR or DX radiograph", remedy="check the study's UID"
        )
    return paths


def _value(item: Mapping[str, Any], tag: str) -> str:
    """The first value of an element in DICOM JSON; "" if it has none."""
    return str(next(iter(item.get(tag, {}).get("Value", ())), ""))


def _fetch(client: Any, study: str, series: Iterable[str], folder: Path) -> list[Path]:
    """Fetch each radiograph of some series once."""
    paths: dict[str, Path] = {}
    for uid in series:
        for dataset in client.iter_series(study, uid):
            if dataset.SOPInstanceUID in paths:
                continue
            path = folder / f"film-{len(paths) + 1:04d}.dcm"
            with atomic_path(path) as temporary:
                dataset.save_as(temporary, enforce_file_format=True)
            paths[dataset.SOPInstanceUID] = path
    return list(paths.values())


_STATUS = {
    401: ("asks for a name and password, or refuses those of ~/.netrc", "put them into ~/.netrc"),
    403: ("refuses access to this study", "ask its administrator for the right to read it"),
    404: ("does not know this address or study", "check the URL and the study's UID"),
}


def why_failed(error: Exception) -> tuple[str, str]:
    """What is wrong with a DICOMweb server, and what to do about it, without quoting an answer."""
    from requests import ConnectionError as Unreachable
    from requests import Timeout
    from requests.exceptions import SSLError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in _STATUS:
        words, remedy = _STATUS[status]
        return f"the DICOMweb server {words} (HTTP {status})", remedy
    if status is not None:
        return (
            f"the DICOMweb server answers with HTTP {status}",
            "check the URL, or try again later",
        )
    if isinstance(error, SSLError):
        return (
            "the certificate of the DICOMweb server cannot be verified",
            "name the file of its authority in the environment variable REQUESTS_CA_BUNDLE",
        )
    if isinstance(error, Timeout):
        return "the DICOMweb server does not answer in time", "try again later"
    if isinstance(error, Unreachable):
        return "the DICOMweb server cannot be reached", "check host and port, and that it runs"
    return f"the DICOMweb server failed ({type(error).__name__})", "check URL and server"
