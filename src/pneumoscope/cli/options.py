"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EngineChoice = Literal["auto", "onnxruntime", "openvino", "torch"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "int8"]

BundleOption = Annotated[
    Path,
    typer.Option(
        help="A bundle, a run whose training has finished, or a file of export; "
        "default is the one in the package.",
        show_default="default",
    ),
]
EngineOption = Annotated[
    EngineChoice,
    typer.Option(help="What computes: onnxruntime or openvino run exported files, torch folders."),
]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(help="auto: the quickest whose answers on val are good; or that one."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Of onnxruntime or openvino. If not given, one per CPU; with ray, per worker."
    ),
]
