"""`pneumoscope dicom-fetch`: the films of a study from a DICOMweb server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import console, shown
from pneumoscope.extras import require


def dicom_fetch(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Of a study: https://HOST/dicom-web/studies/UID.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for its films.")] = Path("study"),
) -> None:
    """Fetch the CR and DX films of a study from a DICOMweb server.

    Names and passwords come from ~/.netrc.

    [dim]Example:[/dim]
      pneumoscope dicom-fetch https://pacs/dicom-web/studies/1.2.3 --out study
      pneumoscope predict study --format dicom --out results
    """
    require("hospital", "DICOM output")
    from pneumoscope.dicom.quiet import hush
    from pneumoscope.dicom.web import fetch_study

    hush()
    paths = fetch_study(url, out)
    console.print(f"{len(paths)} films: [bold]{shown(out)}[/bold]")
