"""`pneumoscope serve`: a page to read radiographs on, and an HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, disclaim, log_to_terminal, shown
from pneumoscope.extras import missing, require

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.serve.service import Service

_LIMITS = "Limits"


def serve(
    bundle: options.Bundle = Path("default"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token of callers; needed with another --host."),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the results. Default: in memory.")
    ] = None,
    dicom: Annotated[
        bool | None,
        typer.Option(
            "--dicom/--no-dicom",
            help="Offer findings of DICOM radiographs as DICOM objects; this keeps the names of "
            "patient and study. Default: only if results are in memory.",
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(min=0.1, help="Minutes until a result is forgotten.")
    ] = 60.0,
    queue: Annotated[
        int,
        typer.Option(min=1, help="Radiographs accepted and not finished.", rich_help_panel=_LIMITS),
    ] = 64,
    max_mb: Annotated[
        int, typer.Option(min=1, help="Largest file in MB.", rich_help_panel=_LIMITS)
    ] = 64,
    max_pixels: Annotated[
        int,
        typer.Option(
            min=1024, help="Largest number of pixels of a radiograph.", rich_help_panel=_LIMITS
        ),
    ] = 40_000_000,
    max_films: Annotated[
        int, typer.Option(min=1, help="Radiographs in one upload.", rich_help_panel=_LIMITS)
    ] = 32,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds for an answer.", rich_help_panel=_LIMITS)
    ] = 60.0,
    keep_mb: Annotated[
        int, typer.Option(min=1, help="MB of results in memory.", rich_help_panel=_LIMITS)
    ] = 1024,
    growth_mb: Annotated[
        int,
        typer.Option(
            min=1, help="MB of growth after which an engine is replaced.", rich_help_panel=_LIMITS
        ),
    ] = 512,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Processes that compute, each with its own engine and its share of the cores.",
        ),
    ] = 1,
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
) -> None:
    """Read radiographs on a page in the browser, or send them to its HTTP API.

    Everything stays on this machine: the page loads nothing from elsewhere. The API describes
    itself at [bold]/openapi.json[/bold].

    [dim]Examples:[/dim]
      pneumoscope serve --open
      pneumoscope serve --bundle model.onnx --port 8080 --store results
      pneumoscope serve --workers 4 --queue 256
      pneumoscope serve --host 0.0.0.0 --token-file token
      curl -F files=@film.png http://127.0.0.1:8000/v1/findings
    """
    require("serve", "the server")
    from pneumoscope.imaging import Limits
    from pneumoscope.serve.running import serve as run
    from pneumoscope.serve.settings import (
        EngineSettings,
        ServeSettings,
        read_token,
        share_of_cores,
    )

    settings = ServeSettings(
        engine=EngineSettings(
            bundle=bundle,
            engine=engine,
            precision=precision,
            threads=threads or share_of_cores(workers),
            limits=Limits(
                max_bytes=max_mb << 20,
                max_pixels=max_pixels,
                options=("--max-mb of the server", "--max-pixels of the server"),
            ),
            dicom=_offers_dicom(dicom, store),
            study=dicom or (dicom is None and store is None),
        ),
        host=host,
        port=port,
        token=None if token_file is None else read_token(token_file),
        queue=queue,
        films_per_request=max_films,
        timeout=timeout,
        store=store,
        keep_seconds=60 * keep,
        keep_bytes=keep_mb << 20,
        growth=growth_mb << 20,
        workers=workers,
    )
    log_to_terminal()

    def listening(address: str, service: Service) -> None:
        console.print(f"[bold]{address}[/bold]  [dim]Ctrl-C ends it.[/dim]")
        console.print(f"[dim]{shown(service.info.model_id)}, {service.dispatcher.runtime}.[/dim]")
        disclaim()
        if open_page:
            typer.launch(address)

    run(settings, listening)


def _offers_dicom(asked: bool | None, store: Path | None) -> bool:
    if asked:
        require("hospital", "DICOM output")
        return True
    return asked is None and store is None and not missing("hospital")
