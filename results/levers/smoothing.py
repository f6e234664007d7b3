"""How far to smooth a regional head's map within the lungs, on the tuning halves of boxed sets.

Every boxed val and test radiograph of the tuning half counts, called positive or not. Maps are
mirrored and smoothed, on the model's square, on the scale of the radiograph's probability:

- `geometric`: the geometric mean with the probability of lung, as `+lungs` takes it;
- `product`, as `+lungs+smooth` takes it, and its `square`;
- `density`: the product, times the density factor before the smoothing;
- `blurred`: the product, smoothed as if all of the square were lung.

Regions are looked for on radiographs that were called positive.

    python results/levers/smoothing.py joint.csv --boxes rsna=rsna.csv siim=siim.csv --out it.json
    python results/levers/smoothing.py ... --bundle RUN --maps product --cells 3   # of one map
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from levers import GRID, Radiographs, Stages, lesions
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.density import on_grid, shipped_prior
from pneumoscope.errors import PneumoscopeError
from pneumoscope.evaluate import box_overlap
from pneumoscope.evaluate._pixels import THRESHOLDS
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.evaluate.calibration import calibrated
from pneumoscope.evaluate.heatmap_scores import score_heatmap
from pneumoscope.findings import positive_regions
from pneumoscope.imaging import Letterbox
from pneumoscope.inference.heatmaps import smoothed
from pneumoscope.localize.regional import heat_of
from pneumoscope.models.classifier import positive_logit
from pneumoscope.training.module import keep_freed_memory

# Standard deviations in cells of 8 pixels of 256; 0 for the map as it is.
CELLS = (0, 1, 2, 3, 4, 6)
# Of the product's root, which the geometric mean is.
POWERS = {"geometric": 1, "product": 2, "square": 4, "density": 2, "blurred": 2}
REGIONS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
Map = NDArray[np.float32]
Figures = dict[str, dict[str, float]]


def raw_maps(stages: Stages, films: Radiographs) -> tuple[list[Map], NDArray[np.float64]]:
    """The head's maps (h, w), and log-odds, both means over a radiograph and its mirror image."""
    classifier, maps, odds = stages.classifier, [], []
    with torch.no_grad():
        for row in track(range(len(films.pixels)), "maps", transient=True):
            film = torch.from_numpy(films.pixels[row][None, None])
            both = torch.cat([film, film.flip(-1)])
            cells = classifier.cells_of(classifier.features(both))
            logits = positive_logit(classifier.pooled(cells))
            heat = heat_of(cells, logits[:, None, None])
            maps.append(((heat[0] + heat[1].flip(-1)) / 2).numpy())
            odds.append(float(logits.mean()))
    return maps, np.array(odds)


def relative(heat: Map, lungs: Map, cells: int, *, within: bool = True) -> Map:
    """The geometric mean, as `film_heatmap` takes it, on the model's square: (GRID, GRID)."""
    square = on_grid(lungs if within else np.ones_like(lungs))
    wide = smoothed(on_grid(heat), square, cells / 32) if cells else heat
    letterbox = Letterbox.fit(GRID, GRID, GRID)
    film = letterbox.to_film(wide) * letterbox.to_film(lungs)
    peak = float(film.max())
    return np.sqrt(np.clip(film / peak, 0, 1)) if peak > 0 else np.zeros_like(film)


def measured(maps: list[Map], marks: list[LesionAnnotation], sets: NDArray[np.str_]) -> Figures:
    """Peak, area and Dice at the set's best level, of each set; peak on its smallest third."""
    scores = [
        score_heatmap(np.clip(heat, 0, 1), mark, []) for heat, mark in zip(maps, marks, strict=True)
    ]
    points = np.array([[each.peak_in_box, each.area_matched] for each in scores])
    ious = np.array([each.iou for each in scores])
    dices = 2 * ious / (1 + ious)
    sizes = np.array([mark.mask.mean() for mark in marks])
    found: Figures = {}
    for name in np.unique(sets):
        own = sets == name
        peak, area = points[own].mean(axis=0).tolist()
        dice = dices[own].mean(axis=0).tolist()
        small = own & (sizes <= np.quantile(sizes[own], 1 / 3))
        best = int(np.argmax(dice))
        found[str(name)] = {
            "n": int(own.sum()), "peak": peak, "area": area, "dice": dice[best],
            "level": float(THRESHOLDS[best]), "small_peak": float(points[small, 0].mean()),
        }  # fmt: skip
    return found


def regions(
    maps: list[Map],
    marks: list[LesionAnnotation],
    sets: NDArray[np.str_],
    called: NDArray[np.bool_],
) -> dict[str, Figures]:
    """Of each region level: median IoU of lesion boxes with their best region, and boxes found."""
    found: dict[str, Figures] = {}
    for level in REGIONS:
        best: dict[str, list[float]] = {str(name): [] for name in np.unique(sets)}
        for heat, mark, name, positive in zip(maps, marks, sets, called, strict=True):
            if not positive:
                continue
            boxes = [
                [part.x, part.y, part.width, part.height]
                for part in positive_regions(heat, threshold=level)
            ]
            others = np.array(boxes, dtype=np.float64).reshape(-1, 4)
            iou, _ = box_overlap.overlaps(mark.boxes, others)
            best[str(name)] += box_overlap.best(iou).tolist()
        found[str(level)] = {
            name: {
                "boxes": len(own),
                "median_iou": float(np.median(own)),
                "found": float(np.mean(np.array(own) >= 0.3)),
            }
            for name, own in best.items()
        }
    return found


def run(
    manifest: Path, boxes: dict[str, Path], bundle: str, names: Sequence[str], reach: Sequence[int]
) -> dict[str, Any]:
    """Figures of heat and of regions, by map (of `POWERS`) and reach (of `CELLS`)."""
    cohort, stages = Manifest.read(manifest), Stages(bundle)
    splits = cohort.subset("all").table["split"].to_numpy(np.str_)
    held = Radiographs(cohort, np.isin(splits, ["val", "test"]), stages.size)
    drawn = lesions(held, boxes)
    rows = np.zeros(len(held.pixels), bool)
    rows[list(drawn)] = True
    films, marks = held.only(rows), [drawn[row] for row in sorted(drawn)]
    lungs = [guide[0].astype(np.float32) / 255 for guide in films.guides]
    plain, odds = raw_maps(stages, films)
    prior = shipped_prior()
    dense = [
        on_grid(heat) * prior.factor(film, lung)
        for heat, film, lung in zip(plain, films.pixels, lungs, strict=True)
    ]
    _, info = read_bundle(Path(bundle), weights=True)
    chances = calibrated(odds, info.temperature, info.bias)
    result: dict[str, Any] = {"reach": {}, "regions": {}}
    for cells in reach:
        for name in names:
            raw, within = dense if name == "density" else plain, name != "blurred"
            maps = [
                relative(heat, lung, cells, within=within) ** POWERS[name] * np.float32(chance)
                for heat, lung, chance in zip(raw, lungs, chances, strict=True)
            ]
            result["reach"].setdefault(name, {})[str(cells)] = measured(maps, marks, films.sets)
            found = regions(maps, marks, films.sets, chances >= info.threshold)
            result["regions"].setdefault(name, {})[str(cells)] = found
    return result


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--boxes", nargs="+", required=True, metavar="SET=FILE")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--maps", nargs="+", choices=list(POWERS), default=list(POWERS))
    parser.add_argument("--cells", nargs="+", type=int, choices=CELLS, default=list(CELLS))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory(True)
    pairs = (pair.split("=", 1) for pair in arguments.boxes)
    try:
        boxes = {name: Path(path) for name, path in pairs}
        result = run(arguments.manifest, boxes, arguments.bundle, arguments.maps, arguments.cells)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    printed = Table("map, cells", "set", "peak", "area", "Dice", "at")
    for name, reaches in result["reach"].items():
        for cells, sets in reaches.items():
            for own, found in sets.items():
                numbers = (found[key] for key in ("peak", "area", "dice", "level"))
                printed.add_row(f"{name}, {cells}", own, *(f"{each:.3f}" for each in numbers))
    Console().print(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
