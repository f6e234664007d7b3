"""What the report of a comparison says, whoever measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pneumoscope.evaluate import Comparison, Interval

BUSY = ", busy with other work"
"""What ends the name of a machine that did something else while it was timed."""


@dataclass(frozen=True)
class CostColumns:
    """What a backbone costs.

    Attributes:
        parameters: of the whole classifier.
        gmacs: 10⁹ multiply-accumulates of one forward pass of one radiograph.
        bundle_mb: size of the bundle's files, in 10⁶ bytes.
        train_seconds_per_1000: of an epoch, per 1000 training radiographs; None if unknown.
        radiographs_per_second: classified, measured on `machine`.
        heatmaps_per_second: classified and explained, likewise.
        peak_memory_mb: of a process that explains radiographs, in 10⁶ bytes; NaN if unknown.
        machine: what times and memory were measured on.
    """

    parameters: int
    gmacs: float
    bundle_mb: float
    train_seconds_per_1000: float | None
    radiographs_per_second: float
    heatmaps_per_second: float
    peak_memory_mb: float
    machine: str


@dataclass(frozen=True)
class ComparisonContent:
    """What the report says.

    Attributes:
        title: of the page.
        comparison: of the models, at least one.
        costs: by backbone; ensembles are absent, and so is what was not measured.
        starts: by backbone: `ImageNet (...)`, `its own weights (...)`, `weights file (...)` or
            `from scratch`.
        localization: by backbone, figures of its heatmaps on its own true positives, means over
            its seeds; may be empty.
        settings: the protocol, as names and values.
        cohort: name, radiographs by split, patients, digest, as names and values.
        failures: by backbone or run, why it is not in the comparison.
        sheet: heatmaps of every backbone on the same radiographs, as PNG.
        command: that made this comparison.
    """

    title: str
    comparison: Comparison
    costs: Mapping[str, CostColumns]
    starts: Mapping[str, str]
    localization: Mapping[str, Mapping[str, Interval]]
    settings: Mapping[str, Any]
    cohort: Mapping[str, Any]
    failures: Mapping[str, str]
    sheet: bytes | None
    command: str
