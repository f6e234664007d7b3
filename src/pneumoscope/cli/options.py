"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Engine

EngineChoice = Literal["auto", "onnxruntime", "openvino", "torch"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "int8"]

BundleOption = Annotated[
    Path,
    typer.Option(
        help="A bundle, a finished run, or a file of export. default: the model of the package.",
        show_default="default",
    ),
]
EngineOption = Annotated[
    EngineChoice,
    typer.Option(help="onnxruntime or openvino for exported files, torch for folders."),
]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(help="auto: the fastest that passes the quality gate on val."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of onnxruntime or openvino. Default: one per CPU."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print only the result on stdout, as JSON."),
]
WideOption = Annotated[
    bool, typer.Option("--wide", help="Print whole tables, however narrow the terminal is.")
]
PositiveOption = Annotated[
    str | None,
    typer.Option(
        metavar="FINDINGS",
        help="Findings of a table or annotation file that are positive, joined by |.",
        show_default="the format's own",
    ),
]
NegativeOption = Annotated[
    str | None,
    typer.Option(
        metavar="FINDINGS",
        help="Findings that are negative, joined by |; other radiographs are left out.",
        show_default="the format's own",
    ),
]
ReadersOption = Annotated[
    str,
    typer.Option(
        metavar="READERS", help="Of several readers: union, majority, or the name of one."
    ),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of labels.", show_default="recognised"),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder of the radiographs, at any depth.",
        show_default="the table's folder",
    ),
]


def names(text: str) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def heatmaps_beside(engine: Engine, text: str) -> list[str]:
    """The heatmaps asked for besides the bundle's own, in order, each once.

    Args:
        engine: a loaded bundle.
        text: `all`, or specifications separated by commas, as `HeatmapSpec` reads them.

    Raises:
        SettingsError: a name has another form, or its method is not for this bundle and engine.
    """
    from pneumoscope.bundles import HeatmapSpec
    from pneumoscope.errors import SettingsError
    from pneumoscope.inference import RANDOMISED

    own = str(HeatmapSpec.parse(engine.info.heatmap))
    wanted = engine.methods if text.strip() == "all" else text.split(",") if text.strip() else ()
    specs = [HeatmapSpec.parse(name) for name in wanted]
    for spec in specs:
        if spec.method not in (*engine.methods, RANDOMISED):
            raise SettingsError(
                f"'{spec.method}' is not a method for this bundle with {engine.runtime.engine}",
                remedy=f"choose among {', '.join((*engine.methods, RANDOMISED))}",
            )
    return [name for name in dict.fromkeys(map(str, specs)) if name != own]
