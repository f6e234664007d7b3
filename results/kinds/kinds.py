"""Operating points by kind of radiograph, beside one for all.

A bundle has one calibration and one threshold, fitted on val so that each set counts alike. Here
they are fitted for each kind apart, and each kind's radiographs are decided by its own:

- `one`: all radiographs alike, as bundles do;
- `age`: children and adults, told apart by the nearer atlas of the density factor, so from the
  radiograph alone;
- `view`: children, adults PA, adults AP, and adults of whom the table has no view.

Rule of choice, written before any figure was seen: kinds become part of the bundle if on val,
cross-fitted (10 folds of patients), the mean ECE of the sets falls by .01 and the mean of their
sensitivity and specificity falls by no more than .002; or if that mean rises by .01 and ECE does
not rise. Figures on test come from a fit on all of val and choose nothing.

    python results/kinds/kinds.py joint.csv --out kinds.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.density import Frame, on_grid, relative_density, shipped_prior
from pneumoscope.errors import PneumoscopeError
from pneumoscope.evaluate.calibration import (
    calibrated,
    expected_calibration_error,
    fit_calibration,
)
from pneumoscope.evaluate.thresholds import choose_threshold
from pneumoscope.models.classifier import positive_logit
from pneumoscope.models.loading import load_classifier
from pneumoscope.training.cache import cached_lungs, cached_pixels
from pneumoscope.training.module import keep_freed_memory

FOLDS, BATCH = 10, 8
Sets = dict[str, dict[str, float]]


def scored(manifest: Manifest, bundle: str) -> pd.DataFrame:
    """Val and test: split, set, patient, target, log-odds, and the kind in each way of telling."""
    everything = manifest.subset("all")
    rows = np.isin(everything.table["split"].to_numpy(np.str_), ["val", "test"])
    folder, info = read_bundle(Path(bundle), weights=True)
    classifier = load_classifier(folder, info)
    pixels = np.asarray(cached_pixels(everything, info.architecture.size)[rows])
    ages = [
        _age(film, lung)
        for film, lung in track(
            list(zip(pixels, cached_lungs(pixels), strict=True)), "kinds", transient=True
        )
    ]
    odds = []
    with torch.no_grad():
        for start in track(range(0, len(pixels), BATCH), "scoring", transient=True):
            batch = torch.from_numpy(pixels[start : start + BATCH][:, None])
            both = [positive_logit(classifier(each)) for each in (batch, batch.flip(-1))]
            odds.append((both[0] + both[1]) / 2)
    table = everything.table[rows]
    views = table["view"].fillna("").str.upper().str[:2] if "view" in table else [""] * len(table)
    return pd.DataFrame(
        {
            "split": table["split"].to_numpy(np.str_),
            "set": everything.cohorts()[rows],
            "patient": np.array(everything.patient_keys())[rows],
            "target": everything.targets()[rows],
            "logit": torch.cat(odds).double().numpy(),
            "one": "all",
            "age": ages,
            "view": [
                age if age == "child" else f"{age} {view}".strip()
                for age, view in zip(ages, views, strict=True)
            ],
        }
    )


def _age(pixels: NDArray[np.uint8], lungs: NDArray[np.uint8]) -> str:
    """`child` or `adult`; `adult` where the lungs are too few cells to tell."""
    inside, prior = on_grid(lungs.astype(np.float32) / 255), shipped_prior()
    density = relative_density(pixels, inside)
    if density is None:
        return "adult"
    nearest = prior.nearest(density, Frame.around(inside))
    return next(kind for kind, atlas in prior.atlases.items() if atlas is nearest)


def decided(
    fitted: pd.DataFrame, wanted: pd.DataFrame, way: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities and decisions of `wanted`; a kind with one class is decided as all are."""
    whole = _point(fitted)
    probabilities, called = np.empty(len(wanted)), np.empty(len(wanted), bool)
    kinds = wanted[way].to_numpy(np.str_)
    for kind in np.unique(kinds):
        own, rows = fitted[fitted[way] == kind], kinds == kind
        temperature, bias, threshold = _point(own) if own["target"].nunique() == 2 else whole
        probabilities[rows] = calibrated(wanted["logit"][rows], temperature, bias)
        called[rows] = probabilities[rows] >= threshold
    return probabilities, called


def _point(films: pd.DataFrame) -> tuple[float, float, float]:
    """Temperature, bias and threshold, fitted as a bundle's are: each set counts alike."""
    weights = 1 / films.groupby("set")["target"].transform("size")
    temperature, bias = fit_calibration(films["logit"], films["target"], weights)
    probabilities = calibrated(films["logit"], temperature, bias)
    sets = films["set"].to_list()
    return temperature, bias, choose_threshold(probabilities, films["target"], sets)


def cross_fitted(films: pd.DataFrame, way: str) -> Sets:
    """Figures of each set, every radiograph decided by a fit on other patients."""
    patients, numbers = np.unique(films["patient"].to_numpy(np.str_), return_inverse=True)
    folds = np.random.default_rng(0).permutation(len(patients))[numbers] % FOLDS
    probabilities, called = np.empty(len(films)), np.empty(len(films), bool)
    for fold in range(FOLDS):
        held = folds == fold
        probabilities[held], called[held] = decided(films[~held], films[held], way)
    return figures(films, probabilities, called)


def figures(
    films: pd.DataFrame, probabilities: NDArray[np.float64], called: NDArray[np.bool_]
) -> Sets:
    """ECE, sensitivity and specificity of each set, and `mean` over the sets."""
    found: Sets = {}
    for name in np.unique(films["set"].to_numpy(np.str_)):
        rows = films["set"].to_numpy(np.str_) == name
        ill = films["target"].to_numpy()[rows] == 1
        sensitivity, specificity = called[rows][ill].mean(), 1 - called[rows][~ill].mean()
        found[str(name)] = {
            "n": int(rows.sum()),
            "ece": expected_calibration_error(probabilities[rows], ill.astype(int)),
            "sensitivity": float(sensitivity),
            "specificity": float(specificity),
            "balanced": float((sensitivity + specificity) / 2),
        }
    found["mean"] = {
        figure: float(np.mean([own[figure] for own in found.values()]))
        for figure in ("ece", "sensitivity", "specificity", "balanced")
    }
    return found


def run(manifest: Path, bundle: str) -> dict[str, dict[str, Sets]]:
    """Figures on val, cross-fitted, and on test, for each way of telling kinds."""
    films = scored(Manifest.read(manifest), bundle)
    val, test = (films[films["split"] == name] for name in ("val", "test"))
    return {
        way: {
            "val": cross_fitted(val, way),
            "test": figures(test, *decided(val, test, way)),
        }
        for way in ("one", "age", "view")
    }


def main() -> int:
    """Run the trial; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory(True)
    try:
        ways = run(arguments.manifest, arguments.bundle)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.out.write_text(json.dumps(ways, indent=1) + "\n", encoding="utf-8")
    printed = Table("", "set", "ECE", "sensitivity", "specificity", "balanced")
    for way, splits in ways.items():
        for split, sets in splits.items():
            for name, own in sets.items():
                numbers = (own[key] for key in ("ece", "sensitivity", "specificity", "balanced"))
                printed.add_row(f"{way}, {split}", name, *(f"{each:.3f}" for each in numbers))
    Console().print(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
