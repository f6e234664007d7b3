"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

EngineChoice = Literal["auto", "onnxruntime", "openvino", "torch"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "int8"]

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
    typer.Option(min=1, help="Of onnxruntime or openvino; one per CPU if not given."),
]
