"""What several heatmap methods show on the same radiograph, side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.bundles import BundleInfo, HeatmapSpec
from pneumoscope.files import EXPLAINED, atomic_path, write_json
from pneumoscope.findings import Region, positive_regions
from pneumoscope.findings.words import RESEARCH_ONLY
from pneumoscope.inference import Engine, Explained, explain_in
from pneumoscope.inference.findings_folder import file_name
from pneumoscope.report.numbers import method_name
from pneumoscope.report.side_by_side import Panel, Point, side_by_side

_LEGEND = "Ring: hottest point. Boxes: regions with their peak heat."
_LEGEND_NEGATIVE = "Ring: hottest point. Called negative, hence no regions."


def explain_to_folder(
    engine: Engine,
    files: list[tuple[str, Path]],
    others: list[str],
    out: Path,
    *,
    gate: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Explain files into a folder; what was finished is written even if it is interrupted.

    Args:
        engine: a loaded bundle.
        files: (name, path) pairs.
        others: heatmaps beside the bundle's own.
        out: a PNG for each radiograph, and `explain.json`.
        gate: ask the input gate of each radiograph.
        progress: called with (done, total).

    Returns:
        The content of `explain.json`.
    """

    own = str(HeatmapSpec.parse(engine.info.heatmap))
    films: list[dict[str, Any]] = []
    content: dict[str, Any] = {
        "model": engine.info.model_id,
        "threshold": engine.info.threshold,
        "own_method": own,
        "methods": [own, *others],
        "radiographs": films,
    }
    # Even after a hard kill the folder is known as made here, and its pictures as no radiographs.
    write_json(out / EXPLAINED, content)
    try:
        stream = explain_in(engine, files, others=others, lungs=True, gate=gate)
        for done, item in enumerate(stream, start=1):
            finding = item.finding
            if isinstance(item, Explained) and finding.judged:
                films.append(_draw(item, engine.info, out))
            else:
                films.append({"image": item.name, "error": finding.error or finding.summary})
            if progress is not None:
                progress(done, len(files))
    finally:
        write_json(out / EXPLAINED, content)
    return content


def _draw(item: Explained, info: BundleInfo, out: Path) -> dict[str, Any]:
    """Write the radiograph's picture; what `explain.json` says of the radiograph."""

    finding, own, labels = item.finding, info.heatmap, info.labels
    positive = finding.label == labels[1]
    lungs = item.lung_mask
    panels, said = [], {}
    for name, heatmap in {own: item.heatmap, **item.others}.items():
        # As in a finding: on a radiograph called negative nothing was found that could be
        # somewhere.
        level = info.region_threshold
        regions = positive_regions(heatmap, threshold=level) if positive else []
        peak, share = peak_of(heatmap), share_in(heatmap, lungs)
        panels.append(_panel(name, heatmap, regions, peak, share, own=name == own))
        said[name] = {
            "peak": None if peak is None else {"x": peak[0], "y": peak[1]},
            "regions": [region.model_dump() for region in regions],
            "share_in_lungs": share,
        }
    picture = side_by_side(
        item.radiograph.pixels,
        panels,
        title=f"{Path(item.name).name}: {finding.summary}",
        note=f"Probability of {labels[1]} {finding.probability:.3f}, threshold "
        f"{finding.threshold:.3f}. {_LEGEND if positive else _LEGEND_NEGATIVE}\n"
        f"{RESEARCH_ONLY}",
    )
    name = file_name(item.name)
    with atomic_path(out / name) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    height, width = item.heatmap.shape
    return {
        "image": item.name,
        "picture": name,
        "width": width,
        "height": height,
        "label": finding.label,
        "probability": finding.probability,
        "lungs_share": None if lungs is None else float(lungs.mean()),
        "methods": said,
    }


def _panel(
    name: str,
    heatmap: NDArray[np.float32],
    regions: list[Region],
    peak: Point | None,
    share: float | None,
    *,
    own: bool,
) -> Panel:

    note = f"{len(regions)} region{'' if len(regions) == 1 else 's'}"
    if share is not None:
        note += f", {share:.0%} of heat in lungs"
    if peak is None:
        note = "no evidence"
    return Panel(method_name(name)[0], note, heatmap, regions, peak, own)


def peak_of(heatmap: NDArray[np.float32]) -> Point | None:
    """Centre of the hottest pixel, `x, y` between pixel edges; None for a map flat or empty.

    Of pixels equally hot, as on the plateau that interpolation leaves at the radiograph's edge, it
    is the one nearest to their common centre.
    """
    highest = heatmap.max()
    if heatmap.min() == highest:
        return None
    hottest = np.argwhere(heatmap == highest)
    away = np.square(hottest - hottest.mean(axis=0)).sum(axis=1)
    row, column = hottest[int(away.argmin())]
    return float(column) + 0.5, float(row) + 0.5


def share_in(heatmap: NDArray[np.float32], lungs: NDArray[np.bool_] | None) -> float | None:
    """Part of the heat that lies in the lungs; None without lungs or without evidence."""

    if lungs is None or heatmap.min() == heatmap.max():
        return None
    return float(heatmap[lungs].sum(dtype=np.float64) / heatmap.sum(dtype=np.float64))
