"""A finding, once its heatmap, its lungs and its gate are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.findings.finding import Finding, Gate
from pneumoscope.findings.regions import positive_regions
from pneumoscope.findings.words import summary
from pneumoscope.findings.zones import with_zones


def completed(
    finding: Finding,
    labels: Sequence[str],
    *,
    gate: Gate | None = None,
    heatmap: NDArray[np.floating[Any]] | None = None,
    lungs: NDArray[np.bool_] | None = None,
    in_lungs: float | None = None,
    region_threshold: float = 0.5,
    weaknesses: Sequence[str] = (),
) -> Finding:
    """The finding with its regions, their zones, and the plain line.

    Regions say where the model sees what it found, so a radiograph called negative has none. A
    picture that the gate flags was not judged: it keeps neither label nor probability.

    Args:
        finding: of the probability alone.
        labels: the two labels, negative first.
        gate: what the input gate says; None if it was not asked.
        heatmap: (height, width) in [0, 1] on the radiograph's pixels; needed for a positive
            finding's regions.
        lungs: (height, width), where lung is; None where none were found or nobody asked.
        in_lungs: share of the evidence inside the lungs, 0 to 1, if known.
        region_threshold: heat from which a pixel belongs to a region, above 0, at most 1.
        weaknesses: what was measured of the model where it is weak on such radiographs.
    """
    if finding.error is not None:
        return finding
    changes: dict[str, Any] = {"gate": gate}
    if gate is not None and gate.flagged:
        changes |= {"label": None, "probability": None, "uncertain": True}
    else:
        changes["weaknesses"] = tuple(weaknesses)
        if finding.positive and heatmap is not None:
            shape = (heatmap.shape[0], heatmap.shape[1])
            found = positive_regions(heatmap, threshold=region_threshold)
            changes["regions"] = with_zones(found, lungs, shape)
            changes["in_lungs"] = in_lungs
    complete = finding.model_copy(update=changes)
    return complete.model_copy(update={"summary": summary(complete, labels[1])})
