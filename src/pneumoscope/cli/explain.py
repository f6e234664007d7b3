"""`pneumoscope explain`: what several heatmap methods show on the same radiograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    collect,
    console,
    disclaim,
    end_unless_judged,
    progress,
    shown,
    tell_left_out,
)


def explain(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or globs of radiographs.")],
    bundle: options.Bundle = Path("default"),
    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas, each perhaps with +mirror or +lungs; or all."
        ),
    ] = "all",
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")] = Path("explained"),
    gate: Annotated[
        bool,
        typer.Option(
            "--gate/--no-gate", help="Leave out other pictures than frontal chest radiographs."
        ),
    ] = True,
) -> None:
    """Draw a radiograph and its heatmaps by several methods side by side.

    Writes one PNG per radiograph, and [bold]explain.json[/bold] with the peak, the regions and the
    share of heat in the lungs for each method. If methods disagree, at most one of them shows
    what the model used. A bad file, or one that the input gate flags, becomes a line with an error.
    The exit code is 3 if no file could be explained.

    [dim]Examples:[/dim]
      pneumoscope explain film.png --bundle RUN
      pneumoscope explain films/ --bundle RUN --methods gradcam,gradcam+mirror+lungs,hirescam
    """
    from pneumoscope.assessment.explaining import explain_to_folder
    from pneumoscope.files import new_folder
    from pneumoscope.inference import heatmaps_beside, load_engine

    files = collect(paths)
    engine = load_engine(bundle, every_method=True)
    chosen = heatmaps_beside(engine, methods)
    new_folder(out)
    with progress("Reading radiographs") as update:
        content = explain_to_folder(engine, files, chosen, out, gate=gate, progress=update)
    failed = [(one["image"], one["error"]) for one in content["radiographs"] if "error" in one]
    tell_left_out(failed)
    done = len(content["radiographs"]) - len(failed)
    console.print(
        f"{done} of {len(files)} radiographs explained by {', '.join(content['methods'])}"
    )
    console.print(
        f"Pictures: [bold]{shown(out)}[/bold], figures: [bold]{shown(out / 'explain.json')}[/bold]"
    )
    disclaim()
    end_unless_judged(done, len(files))
