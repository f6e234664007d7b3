"""`pneumoscope dicom-fetch`: the radiographs of a study from an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoscope.cli.console import console, shown
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

_ASSOCIATION = "For TITLE@HOST:PORT"


def dicom_fetch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An archive, TITLE@HOST:PORT; or a study by DICOMweb, "
            "https://HOST/dicom-web/studies/UID.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for its radiographs.")] = Path("study"),
    study: Annotated[
        str | None, typer.Option(help="UID of the study.", rich_help_panel=_ASSOCIATION)
    ] = None,
    accession: Annotated[
        str | None, typer.Option(help="Its accession number.", rich_help_panel=_ASSOCIATION)
    ] = None,
    way: Annotated[
        Literal["auto", "get", "move"],
        typer.Option(
            help="C-GET or C-MOVE; auto: C-GET if the archive has it.",
            rich_help_panel=_ASSOCIATION,
        ),
    ] = "auto",
    ae_title: Annotated[
        str, typer.Option(help="AE title of the caller.", rich_help_panel=_ASSOCIATION)
    ] = "PNEUMOSCOPE",
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="Port that C-MOVE sends to.", rich_help_panel=_ASSOCIATION
        ),
    ] = 11112,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of the caller.", rich_help_panel=_ASSOCIATION)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Key of the certificate.", rich_help_panel=_ASSOCIATION)
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Authority of the archive.", rich_help_panel=_ASSOCIATION)
    ] = None,
) -> None:
    """Fetch the CR and DX radiographs of a study from a PACS.

    For a URL, names and passwords come from ~/.netrc.

    [dim]Examples:[/dim]
      pneumoscope dicom-fetch PACS@10.1.0.5:104 --accession A1234 --out study
      pneumoscope dicom-fetch https://pacs/dicom-web/studies/1.2.3 --out study
      pneumoscope predict study --format dicom --out results
    """
    require("hospital", "DICOM output")
    from pneumoscope.dicom.node.settings import TlsFiles, WebPeer, parse_destination, parse_title
    from pneumoscope.dicom.quiet import hush
    from pneumoscope.dicom.retrieve import Archive, retrieve_study
    from pneumoscope.dicom.web import fetch_study

    hush()
    peer, tls = parse_destination(source), TlsFiles.of(tls_certificate, tls_key, tls_ca)
    if isinstance(peer, WebPeer):
        if study is not None or accession is not None:
            raise SettingsError(
                "a URL names its study itself", remedy="leave out --study and --accession"
            )
        if tls is not None:
            raise SettingsError(
                "the --tls options are not for a URL",
                remedy="leave them out; name an authority in REQUESTS_CA_BUNDLE",
            )
        paths = fetch_study(source, out)
    else:
        archive = Archive(peer, parse_title(ae_title), way, port, tls)
        paths = retrieve_study(archive, out, study=study, accession=accession)
    console.print(f"{len(paths)} radiographs: [bold]{shown(out)}[/bold]")
