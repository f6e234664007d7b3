"""`pneumoscope benchmark`: how fast heatmaps are made here, beside other packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import console, progress
from pneumoscope.cpus import available_cpus
from pneumoscope.extras import require


def benchmark(
    backbones: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone", help="A network; may be repeated.", show_default="the default's, resnet18"
        ),
    ] = None,
    ways: Annotated[
        list[str] | None,
        typer.Option("--way", help="What to time; may be repeated.", show_default="all there are"),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Radiographs per step.", show_default="1, 32"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of JPEG or PNG radiographs.", show_default="phantoms"),
    ] = None,
    films: Annotated[int, typer.Option(min=1, help="How many radiographs.")] = 32,
    film_side: Annotated[int, typer.Option(min=32, help="Height of phantoms in pixels.")] = 1024,
    size: Annotated[int, typer.Option(min=32, help="Side of the input in pixels.")] = 224,
    bundles: Annotated[
        Path | None,
        typer.Option(
            help="Folder of bundles named like their backbones; what it lacks is written there.",
            show_default="random weights",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each way, at most.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="Of a turn, at least.")] = 0.5,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds for each network and batch size, about.")
    ] = 45,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of every way.", show_default="one per CPU")
    ] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Measure peak memory, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for all that was measured.")] = None,
) -> None:
    """Time Grad-CAM by Pneumoscope's engines and by grad-cam, torchcam and captum.

    The same radiographs, weights, layer and number of threads, by turns in one process. Ways whose
    heatmaps differ from the first way's are not timed. Prints medians, and ratios with their
    ranges.

    [dim]Examples:[/dim]
      pneumoscope benchmark
      pneumoscope benchmark --backbone resnet50 --backbone vit_b_16 --batch 8 --out speed.json
      pneumoscope benchmark --way torchcam --way 'onnxruntime float32' --data chest_xray
    """
    require("train", "the benchmark")
    from pneumoscope.benchmark.measuring import BACKBONES, Benchmark, measure
    from pneumoscope.benchmark.tables import tables
    from pneumoscope.benchmark.ways import WAYS
    from pneumoscope.files import write_json

    plan = Benchmark(
        backbones=backbones or BACKBONES,
        ways=ways or WAYS,
        batches=batches or (1, 32),
        size=size,
        films=films,
        data=data,
        film_side=film_side,
        bundles=bundles,
        repeats=repeats,
        seconds=seconds,
        budget=budget,
        threads=threads or available_cpus(),
        memory=memory,
    )
    with progress("Timing networks") as update:
        update(0, len(plan.backbones))
        result = measure(plan, update)
    console.print(tables(result), markup=False, soft_wrap=True)
    if out is not None:
        write_json(out, result)
