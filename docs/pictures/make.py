"""Draw the README's pictures from a demo's folder: `python docs/pictures/make.py demo`.

Phantoms only. Which ones: the first of each label for the first picture; for the second, the test
split's first positive radiograph of each patient, in the manifest's order, whatever was predicted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.cohort.annotations import find_mask, read_mask
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.findings import Finding
from pneumoscope.imaging import read_radiograph
from pneumoscope.imaging.png import unit_values
from pneumoscope.report.overlay import overlay
from pneumoscope.report.sheet import contact_sheet

COUNT, COLUMNS = 4, 4


def phantoms(manifest: Manifest) -> Image.Image:
    """Upper row negative, lower row positive."""
    films, captions = [], []
    first = manifest.table.drop_duplicates("patient")
    for label in manifest.labels:
        for image in first[first["label"] == label]["image"][:COLUMNS]:
            pixels = read_radiograph(manifest.root / image).pixels
            films.append(np.repeat((pixels * 255).astype(np.uint8)[..., None], 3, axis=2))
            captions.append(label)
    return Image.fromarray(contact_sheet(films, captions, columns=COLUMNS, tile=240))


def heatmaps(demo: Path, manifest: Manifest) -> Image.Image:
    """Overlays with the exact lesions."""
    lines = (demo / "findings" / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    findings = {f.image: f for f in map(Finding.model_validate_json, lines)}
    test = manifest.subset("test").table.drop_duplicates("patient")
    films, captions = [], []
    for image in test[test["label"] == manifest.labels[1]]["image"][:COUNT]:
        finding = findings[image]
        pixels = read_radiograph(manifest.root / image).pixels
        path = find_mask(manifest.root / "masks", image)
        mask = None if path is None else read_mask(path, *pixels.shape)
        with Image.open(demo / "findings" / str(finding.heatmap)) as file:
            heatmap = unit_values(file)
        films.append(overlay(pixels, heatmap, finding.regions, lesion_mask=mask))
        captions.append(f"{finding.label}, p = {finding.probability:.2f}")
    return Image.fromarray(contact_sheet(films, captions, columns=COLUMNS, tile=240))


def main(demo: Path) -> None:
    """Write both pictures beside this file."""
    here = Path(__file__).parent
    manifest = Manifest.read(demo / "cohort.csv")
    for name, picture in (("phantoms", phantoms(manifest)), ("heatmaps", heatmaps(demo, manifest))):
        picture.save(here / f"{name}.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
