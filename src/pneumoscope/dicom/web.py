"""Films from an archive's DICOMweb server: QIDO-RS to find a study's, WADO-RS to fetch them."""

from __future__ import annotations

import re
from pathlib import Path

from pneumoscope.errors import OutputError, PneumoscopeError, SettingsError
from pneumoscope.files import atomic_path, new_folder

_MODALITIES = ("CR", "DX", "DR")


def fetch_study(url: str, folder: Path) -> list[Path]:
    """Fetch the CR and DX films of a study.

    Args:
        url: of the study, `https://HOST/dicom-web/studies/UID`. Names and passwords come from
            `~/.netrc`, never from the URL.
        folder: new; files are named by number.

    Returns:
        The files.

    Raises:
        SettingsError: the URL names no study.
        OutputError: the folder holds something, or cannot be written.
        PneumoscopeError: the server does not answer, or has no film of the study.
    """
    from requests import RequestException

    from pneumoscope.dicom.node.lines import web_client

    found = re.fullmatch(r"(https?://[^@]+?)/studies/([0-9.]{1,64})/?", url)
    if found is None:
        raise SettingsError(
            "the URL names no study", remedy="give https://HOST/dicom-web/studies/UID"
        )
    client, study = web_client(found[1]), found[2]
    new_folder(folder)
    paths: list[Path] = []
    try:
        for modality in _MODALITIES:
            filters = {"Modality": modality}
            for series in client.search_for_series(study, search_filters=filters):
                uid = series["0020000E"]["Value"][0]
                for dataset in client.iter_series(study, uid):
                    path = folder / f"film-{len(paths) + 1:04d}.dcm"
                    with atomic_path(path) as temporary:
                        dataset.save_as(temporary, enforce_file_format=True)
                    paths.append(path)
    except OutputError:
        raise
    except (RequestException, KeyError, IndexError, ValueError, OSError) as error:
        raise PneumoscopeError(
            f"the DICOMweb server failed ({type(error).__name__})", remedy="check URL and server"
        ) from None
    if not paths:
        raise PneumoscopeError("the study has no CR or DX film", remedy="check the study's UID")
    return paths
