"""`pneumoscope export`: a bundle as one ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import console, disclaim, progress, quoted, shown, warn
from pneumoscope.errors import CohortError
from pneumoscope.extras import require
from pneumoscope.files import new_file

PrecisionName = Literal["float32", "float16", "int8"]


def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a run whose training has finished.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="ONNX file to write.", show_default="model.onnx, model.int8.onnx for int8"
        ),
    ] = None,
    precision: Annotated[
        PrecisionName,
        typer.Option(help="Weights; float16 halves the file, int8 is computed in integers."),
    ] = "float32",
    cohort: Annotated[
        Path | None,
        typer.Option(
            help="Manifest: val measures, train calibrates int8.", show_default="the run's own"
        ),
    ] = None,
    calibration: Annotated[
        int, typer.Option(min=8, help="Radiographs of train that calibrate int8, at most.")
    ] = 128,
    val: Annotated[
        int, typer.Option(min=16, help="Radiographs of val that measure, at most.")
    ] = 512,
    force: options.Force = False,
) -> None:
    """Write a bundle as one ONNX file that gives probability and heatmap in one call.

    The file holds preprocessing, network, heatmap, calibration and the bundle's description; it
    needs onnxruntime and no torch. It is compared with torch; in float16 and int8 also by ROC-AUC
    and heatmaps on val. If they differ too much, nothing is written. [bold]predict[/bold],
    [bold]explain[/bold] and [bold]evaluate[/bold] take it as --bundle.

    [dim]Examples:[/dim]
      pneumoscope export RUN --out model.onnx
      pneumoscope export RUN --out model.int8.onnx --precision int8
      pneumoscope export BUNDLE --out half.onnx --precision float16 --cohort cohort.csv
      pneumoscope predict films/ --bundle model.onnx
    """
    out = out or Path("model.onnx" if precision == "float32" else f"model.{precision}.onnx")
    new_file(out, replace=force)
    require("train", "export")
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.export import Sampling, export_onnx

    chosen = cohort or _own_manifest(bundle)
    sampling = Sampling(calibration=calibration, val=val)

    def write(manifest: Manifest | None) -> Any:
        with _bars() as update:
            return export_onnx(
                bundle,
                out,
                precision=precision,
                cohort=manifest,
                sampling=sampling,
                progress=update,
            )

    try:
        exported = write(None if chosen is None else Manifest.read(chosen))
    except CohortError as error:
        # What nobody asked for is left out; float32 needs no radiographs.
        if cohort is not None or precision != "float32":
            raise
        warn(f"not measured on val: {error}")
        exported = write(None)
    _show(exported)


def _own_manifest(bundle: Path) -> Path | None:
    """The manifest of a run, if there is one."""
    path = bundle / "manifest.csv"
    return path if path.is_file() else None


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each thing that is done."""
    with ExitStack() as stack:
        shown: dict[str, Callable[[int, int], None]] = {}

        def update(doing: str, done: int, total: int) -> None:
            if doing not in shown:
                shown[doing] = stack.enter_context(progress(doing))
            shown[doing](done, total)

        yield update


def _show(exported: Any) -> None:
    """What was written, how exact it is, and what to do with it."""
    info, found = exported.info, exported.agreement
    console.print(
        f"{shown(info.model_id)}, heatmap {info.heatmap}, {info.export.precision}, "
        f"{exported.size / 1e6:.1f} MB"
    )
    console.print(
        f"Largest difference from torch in float32: probability {found.probability:.1e}, heat "
        f"{found.heatmap:.1e} of the peak"
    )
    for precision, quality in info.export.quality.items():
        correlation = quality.heatmap_correlation
        heat = "none shows heat" if correlation is None else f"heatmaps correlate {correlation:.4f}"
        change = round(-quality.roc_auc_drop, 4) + 0.0  # Never "-0.0000".
        console.print(
            f"Computed in {precision}, {quality.radiographs} radiographs of val: ROC-AUC "
            f"{quality.roc_auc:.4f} ({change:+.4f}), {heat}"
        )
    console.print(
        f"Model: [bold]{shown(exported.path)}[/bold]   "
        f"Next: pneumoscope predict FILMS --bundle {quoted(exported.path)}"
    )
    disclaim()
