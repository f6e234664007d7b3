"""`pneumoscope export`: a bundle as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console


def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a run whose training has finished.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")] = Path("model.onnx"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a bundle as one ONNX file that gives probability and heatmap in one call.

    The file holds preprocessing, network, heatmap, calibration and the bundle's description; it
    needs onnxruntime and no torch. It is kept only if it answers as torch does.
    [bold]predict[/bold], [bold]explain[/bold] and [bold]evaluate[/bold] take it as --bundle.

    [dim]Examples:[/dim]
      pneumoscope export RUN --out model.onnx
      pneumoscope predict films/ --bundle model.onnx
    """
    from pneumoscope.errors import BundleError, OutputError

    if out.exists() and not force:
        raise OutputError("already exists", path=out, remedy="choose another name or add --force")
    try:
        from pneumoscope.export import export_onnx
    except ModuleNotFoundError as error:
        raise BundleError(
            f"export needs {error.name}, which is not installed",
            path=bundle,
            remedy="pip install 'pneumoscope[train]'",
        ) from error
    with console.status("Writing and checking the file"):
        exported = export_onnx(bundle, out)
    found = exported.agreement
    console.print(
        f"{exported.info.model_id}, heatmap {exported.info.heatmap}, {exported.size / 1e6:.1f} MB"
    )
    console.print(
        f"Largest difference from torch: probability {found.probability:.1e}, heat "
        f"{found.heatmap:.1e} of the peak"
    )
    console.print(f"Model: [bold]{out}[/bold]   Next: pneumoscope predict FILMS --bundle {out}")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
