"""Two rules for the threshold of several sets: the largest mean J, and equal errors.

    pneumoscope evaluate joint.csv --bundle RUN --split val --out val-run      # of each run
    python results/levers/thresholds.py "seed 42=val-run" ... --out thresholds.json

Each rule is fitted on all of val, and on four of five folds of patients to decide the fifth, three
times with other folds. The joint cohort's patients are named after their set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pneumoscope.evaluate.thresholds import choose_threshold, cuts, mean_rates, middle_of_best

FOLDS, REPEATS = 5, 3
Rule = Callable[[pd.DataFrame], float]


def equal_errors(films: pd.DataFrame) -> float:
    """The package's rule."""
    return choose_threshold(films["probability"], films["ill"], list(films["set"]))


def largest_mean_j(films: pd.DataFrame) -> float:
    """The package's rule before the second round."""
    probability, ill = films["probability"].to_numpy(), films["ill"].to_numpy()
    scores, _, _ = cuts(probability, ill, "choosing a threshold")
    rates = mean_rates(scores, probability, ill, films["set"].to_numpy(np.str_))
    if rates is None:
        raise SystemExit("no set of the predictions holds both labels")
    j = rates[0] - rates[1]
    return middle_of_best(scores, j >= j.max() - 1e-12)


RULES: dict[str, Rule] = {"largest mean J": largest_mean_j, "equal errors": equal_errors}


def held_out(films: pd.DataFrame, rule: Rule, seed: int) -> float:
    """Mean of the sets' balanced accuracies, each radiograph decided by a fit on other patients."""
    patients, numbers = np.unique(films["patient"], return_inverse=True)
    folds = np.random.default_rng(seed).integers(0, FOLDS, len(patients))[numbers]
    thresholds = np.zeros(len(films))
    for fold in range(FOLDS):
        thresholds[folds == fold] = rule(films[folds != fold])
    called = films["probability"].to_numpy() >= thresholds
    right: NDArray[np.bool_] = called == (films["ill"] == 1)
    of_labels = films.assign(right=right).groupby(["set", "ill"])["right"].mean()
    return float(of_labels.mean())


def main() -> None:
    """Fit, decide, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help="output of evaluate on val")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for run in options.runs:
        name, _, folder = run.partition("=")
        films = pd.read_csv(Path(folder) / "predictions.csv")
        films["set"] = films["patient"].str.partition(":")[0]
        films["ill"] = (films["label"] == "PNEUMONIA").astype(np.int64)
        found[name] = {
            rule: {
                "threshold": choose(films),
                "held_out_balanced_accuracy": float(
                    np.mean([held_out(films, choose, seed) for seed in range(REPEATS)])
                ),
            }
            for rule, choose in RULES.items()
        }
        print(name, found[name])
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
