"""What reading large radiographs at a reduced size changes: ROC-AUC, and peaks in lesion boxes.

Radiographs are blown up to the size that hospitals store, saved as JPEG, and given to a bundle
twice: whole and scaled in one step, and as `predict` reads them.

    python benchmarks/large_films.py rsna.csv --boxes boxes.csv --out large_films.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from sklearn.metrics import roc_auc_score

from pneumoscope.bundles import DEFAULT, HeatmapSpec
from pneumoscope.cohort import Manifest
from pneumoscope.imaging import Letterbox, model_input, read_radiograph
from pneumoscope.inference import load_engine
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.heatmaps import film_heatmap, run_heatmaps

_BATCH, _QUALITY = 32, 92
Pixels = NDArray[np.uint8]


def main() -> None:
    """Read both ways, judge, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("manifest", type=Path, help="of which val and test are used")
    parser.add_argument("--boxes", type=Path, required=True, help="CSV: image,x,y,width,height")
    parser.add_argument("--bundle", type=Path, default=DEFAULT)
    parser.add_argument("--side", type=int, default=1024, help="of the enlarged films, pixels")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    manifest = Manifest.read(options.manifest)
    films = manifest.table[manifest.table["split"].isin(["val", "test"])]
    if not films["width"].equals(films["height"]):
        parser.error("the radiographs are not square")
    paths = [manifest.root / image for image in films["image"]]
    engine = load_engine(options.bundle, engine="onnxruntime", threads=1)
    size = engine.info.architecture.size
    boxes = {str(image): rows for image, rows in pd.read_csv(options.boxes).groupby("image")}
    figures = {
        read.__name__: judged(engine, enlarged(paths, options.side, size, read), films, boxes)
        for read in (whole, reduced)
    }
    print("| read | radiographs | ROC-AUC | boxed | peaks in boxes |\n|---|---|---|---|---|")
    for way, found in figures.items():
        print(f"| {way} |" + "".join(f" {value:.4g} |" for value in found.values()))
    if options.out:
        options.out.write_text(json.dumps({"side": options.side, **figures}, indent=2) + "\n")


def whole(path: Path, size: int) -> Pixels:
    """Every pixel decoded, and scaled in one step."""
    pixels = read_radiograph(path).pixels
    small = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    levels: Pixels = np.rint(np.asarray(small) * 255).astype(np.uint8)
    return levels


def reduced(path: Path, size: int) -> Pixels:
    """As every command reads."""
    return model_input(read_radiograph(path, model=size), size)[0]


def enlarged(
    paths: Sequence[str], side: int, size: int, read: Callable[[Path, int], Pixels]
) -> Pixels:
    """(n, size, size): what a model sees of square radiographs after they were enlarged."""
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.jpg"
        for path in track(paths, description=read.__name__):
            with Image.open(path) as film:
                large = film.convert("L").resize((side, side), Image.Resampling.BICUBIC)
            large.save(file, quality=_QUALITY)
            seen.append(read(file, size))
    return np.stack(seen)


def judged(
    engine: Engine, seen: Pixels, films: pd.DataFrame, boxes: dict[str, pd.DataFrame]
) -> dict[str, float]:
    """The figures of one way; the hottest cell counts, without the lungs' and density's help."""
    own = HeatmapSpec.parse(engine.info.heatmap)
    bare = HeatmapSpec(own.method, own.mirror, lungs=False)
    logits, maps = [], []
    for start in range(0, len(seen), _BATCH):
        found = run_heatmaps(engine, seen[start : start + _BATCH], (own, bare), None)
        logits.append(found.logits)
        maps.append(found.maps[bare])
    size = engine.info.architecture.size
    peaks = []
    for image, side, grid in zip(films["image"], films["width"], np.concatenate(maps), strict=True):
        if image in boxes:
            heat = film_heatmap(bare, grid, Letterbox.fit(side, side, size))
            peaks.append(_hit(heat, boxes[image]))
    positive = films["label"] == engine.info.labels[1]
    return {
        "radiographs": len(films),
        "roc_auc": float(roc_auc_score(positive, np.concatenate(logits))),
        "boxed": len(peaks),
        "peak_in_box": float(np.mean(peaks)),
    }


def _hit(heat: NDArray[np.float32], boxes: pd.DataFrame) -> bool:
    """Whether the hottest pixel lies in a box."""
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    left, top = boxes["x"], boxes["y"]
    across = (left <= column) & (column < left + boxes["width"])
    down = (top <= row) & (row < top + boxes["height"])
    return bool((across & down).any())


if __name__ == "__main__":
    main()
