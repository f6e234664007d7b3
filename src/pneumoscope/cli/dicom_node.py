"""`pneumoscope dicom-node`: radiographs in, objects out; and the state of its queue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console, log_to_terminal, starting
from pneumoscope.cli.dicom_queue import DEFAULT_QUEUE, drop, retry, status
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require

_TLS = "Security (TLS: PEM files)"
_QUEUE = "Queue and retries"
_HTTP = "Health, metrics, status page (HTTP)"

app = typer.Typer(add_completion=False, invoke_without_command=True, rich_markup_mode="rich")
for _command in (status, retry, drop):
    app.command()(_command)


@app.callback()
def dicom_node(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="<peer>", help="Where the objects go: TITLE@HOST:PORT, or a DICOMweb URL."
        ),
    ] = None,
    bundle: options.Bundle = Path("default"),
    ae_title: Annotated[str, typer.Option(help="AE title of the node.")] = "PNEUMOSCOPE",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 11112,
    dicom_output: Annotated[
        str, typer.Option(help="Objects: sc, seg, regions, sr, gsps, or all.")
    ] = "sc,sr",
    gate: Annotated[
        bool,
        typer.Option(
            "--gate/--no-gate", help="Flag pictures that are not frontal chest radiographs."
        ),
    ] = True,
    allow_ae: Annotated[
        list[str] | None, typer.Option(help="AE title that may call; repeat. Default: all.")
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(
            help="An address or network that may connect; repeat. If not given, all; with a --host "
            "that other machines reach, this or --allow-ae is needed."
        ),
    ] = None,
    deidentify: Annotated[
        Path | None,
        typer.Option(
            metavar="<key file>", help="Pseudonyms by the key in this file; made if missing."
        ),
    ] = None,
    queue: Annotated[
        Path, typer.Option(help="Folder of the queue.", rich_help_panel=_QUEUE)
    ] = DEFAULT_QUEUE,
    min_free: Annotated[
        int,
        typer.Option(
            min=0, help="MB that stay free on the disk of the queue.", rich_help_panel=_QUEUE
        ),
    ] = 512,
    max_associations: Annotated[
        int, typer.Option(min=1, help="Associations at a time.", rich_help_panel=_QUEUE)
    ] = 256,
    first_retry: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds until the first retry; doubled each time.",
            rich_help_panel=_QUEUE,
        ),
    ] = 1.0,
    longest_retry: Annotated[
        float,
        typer.Option(
            min=0.1, help="Longest time between retries, in seconds.", rich_help_panel=_QUEUE
        ),
    ] = 300.0,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of the node.", rich_help_panel=_TLS)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Key of the certificate.", rich_help_panel=_TLS)
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            help="Authority of peers; callers must show a certificate.", rich_help_panel=_TLS
        ),
    ] = None,
    tls_to: Annotated[
        bool, typer.Option("--tls-to", help="Speak TLS to the destination.", rich_help_panel=_TLS)
    ] = False,
    commit: Annotated[
        bool,
        typer.Option(
            "--commit",
            help="Ask the destination to commit storage; keep objects until it does.",
            rich_help_panel=_QUEUE,
        ),
    ] = False,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port; no service if not given.", rich_help_panel=_HTTP
        ),
    ] = None,
    http_host: Annotated[
        str, typer.Option(help="Address to listen on.", rich_help_panel=_HTTP)
    ] = "127.0.0.1",
    stow: Annotated[
        bool,
        typer.Option(
            "--stow",
            help="Take radiographs by STOW-RS at /dicom-web/studies.",
            rich_help_panel=_HTTP,
        ),
    ] = False,
    json_log: Annotated[
        bool, typer.Option("--json-log", help="Log JSON, an event per line.", rich_help_panel=_HTTP)
    ] = False,
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
) -> None:
    """Receive radiographs from a PACS and send findings back as DICOM objects.

    A radiograph is acknowledged when it is on disk. A node that was stopped or killed continues
    where it was.
    The commands below show and change the queue of a node, whether it runs or not.

    [dim]Examples:[/dim]
      pneumoscope dicom-node --to PACS@10.1.0.5:104 --host 0.0.0.0 --allow-address 10.1.0.0/16
      pneumoscope dicom-node --to ORTHANC@127.0.0.1:4242 --dicom-output all --queue /var/queue
      pneumoscope dicom-node status --queue /var/queue
    """
    if context.invoked_subcommand is not None:
        return
    require("hospital", "DICOM output")
    with starting():
        from pneumoscope.dicom.node import Node, NodeSettings, TlsFiles, parse_destination
        from pneumoscope.dicom.node.log import log_json
        from pneumoscope.dicom.node.settings import parse_network, parse_title
        from pneumoscope.dicom.objects import parse_kinds
        from pneumoscope.inference import load_engine

        tls = TlsFiles.of(tls_certificate, tls_key, tls_ca)
        if tls_to and tls is None:
            raise SettingsError("TLS needs a certificate", remedy="give --tls-certificate too")
        settings = NodeSettings(
            queue=queue,
            title=parse_title(ae_title),
            host=host,
            port=port,
            destination=None if to is None else parse_destination(to),
            kinds=parse_kinds(dicom_output),
            callers=tuple(parse_title(title) for title in allow_ae or ()),
            networks=tuple(parse_network(text) for text in allow_address or ()),
            min_free=min_free << 20,
            max_associations=max_associations,
            first_retry=first_retry,
            longest_retry=longest_retry,
            gate=gate,
            key=deidentify,
            tls=tls,
            tls_out=tls if tls_to else None,
            http_host=http_host,
            http_port=http_port,
            stow=stow,
            commit=commit,
        )
        loaded = load_engine(bundle, engine=engine, precision=precision, threads=threads)
        node = Node(settings, loaded)
    console.print(f"[dim]Computed by {loaded.runtime}. {NOT_FOR_DIAGNOSIS}[/dim]")
    log_to_terminal()
    if json_log:
        log_json()
    node.run()
