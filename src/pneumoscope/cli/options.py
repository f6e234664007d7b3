"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EngineChoice = Literal["auto", "onnxruntime", "openvino", "torch"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "int8"]
SplitChoice = Literal["train", "val", "test", "all"]

Bundle = Annotated[
    Path,
    typer.Option(
        help="A bundle, a finished run, or a file of export. default: the model of the package.",
        show_default="default",
    ),
]
Engine = Annotated[
    EngineChoice,
    typer.Option(help="onnxruntime or openvino for exported files, torch for folders."),
]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(help="auto: the fastest that passes the quality gate on val."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of onnxruntime or openvino. Default: one per CPU."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print only the result on stdout, as JSON."),
]
Wide = Annotated[
    bool, typer.Option("--wide", help="Print whole tables, however narrow the terminal is.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
ForceManifest = Annotated[bool, typer.Option("--force", help="Replace an existing manifest.")]
Figures = Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")]

Split = Annotated[SplitChoice, typer.Option(help="Which radiographs.")]
LungMasks = Annotated[
    Path | None,
    typer.Option(help="Lung masks, likewise; without them the lungs are segmented."),
]
Positive = Annotated[
    str | None,
    typer.Option(
        metavar="FINDINGS",
        help="Findings of a table or annotation file that are positive, joined by |.",
        show_default="the format's own",
    ),
]
Negative = Annotated[
    str | None,
    typer.Option(
        metavar="FINDINGS",
        help="Findings that are negative, joined by |; other radiographs are left out.",
        show_default="the format's own",
    ),
]
Readers = Annotated[
    str,
    typer.Option(
        metavar="READERS", help="Of several readers: union, majority, or the name of one."
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of labels.", show_default="recognised"),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder of the radiographs, at any depth.",
        show_default="the table's folder",
    ),
]

Preset = Annotated[
    str, typer.Option(help="'default', or 'paper': the protocol of arXiv 2511.00456.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over train.")]
TrainingSeed = Annotated[int | None, typer.Option(help="Seed of weights, order, augmentation.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; may be repeated."),
]


def names(text: str) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
