"""What the radiographs of an evaluation share with those that the model was made with, in words.

`metrics.json` holds `overlap`: `radiographs` and `patients` (counts by the bundle's split),
`same_patient_key`, `rest` and `rest_of_other_patients`; or null where the bundle has no list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.report.numbers import MISSING, figure_text, metric_name, number_text

_FIGURES = ("roc_auc", "accuracy", "sensitivity", "specificity", "ece")


@dataclass(frozen=True)
class OverlapTable:
    """Figures of all radiographs beside those of the radiographs that the model had not seen."""

    columns: list[str]
    lines: list[list[str]]


def overlap_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """What has to be known before any figure is read.

    Args:
        metrics: the content of `metrics.json`.
    """
    overlap = metrics.get("overlap")
    if overlap is None:
        return _without_list(metrics)
    n, test = metrics["n"], overlap["radiographs"]["test"]
    said = []
    if used := used_text(overlap, "the model"):
        said.append(
            f"Of {n:,} radiographs {used}. Figures of all {n:,} are optimistic: this is "
            f"not an independent evaluation.{_rest(overlap.get('rest'))}"
        )
    if overlap["same_patient_key"]:
        number = overlap["same_patient_key"]
        further = "radiograph has" if number == 1 else "radiographs have"
        said.append(
            f"{number:,} further {further} the same patient key as a radiograph of train or val: "
            "perhaps the same patient, or two hospitals that number their patients alike."
        )
    if test:
        said.append(
            f"Of {n:,} radiographs {test:,} are in the test split of the training cohort: held "
            "out, from the same source."
        )
    if not said and not overlap["patients"]["test"]:
        said.append(
            "No file and no patient key of these radiographs is among those that the model was "
            "made with: an external test, as far as files and keys can show. A radiograph that "
            "was saved again in another format is not recognised."
        )
    return said or [
        f"No radiograph, but patient keys of these radiographs ({overlap['patients']['test']:,}) "
        "are in the test split of the training cohort."
    ]


def optimistic(metrics: Mapping[str, Any]) -> bool:
    """Whether threshold and calibration were fitted on some of these radiographs."""
    overlap = metrics.get("overlap")
    if overlap is not None:
        return bool(overlap["radiographs"]["val"])
    own = metrics.get("trained_on_this_cohort", True)
    return bool(own) and metrics.get("split") in ("val", "all")


def fitted_on(metrics: Mapping[str, Any]) -> str | None:
    """What threshold and calibration were fitted on; None if the threshold was given."""
    if metrics.get("trained_on_this_cohort", False) is None:
        return None
    return str((metrics.get("calibration") or {}).get("fitted_on", "val"))


def used_text(overlap: Mapping[str, Any], model: str) -> str:
    """How many radiographs the model was trained and tuned on; "" where it was on none."""
    train, val = (overlap["radiographs"][split] for split in ("train", "val"))
    if not train + val:
        return ""
    return (
        f"{train:,} were used to train {model} and {val:,} to choose its epoch, threshold and "
        "calibration"
    )


def overlap_table(metrics: Mapping[str, Any]) -> OverlapTable | None:
    """Figures of the rest beside those of all; None where nothing was seen, or all."""
    overlap = metrics.get("overlap") or {}
    parts = {
        "all": metrics,
        "not in train or val": overlap.get("rest") or {},
        "nor of a patient key in train or val": overlap.get("rest_of_other_patients") or {},
    }
    shown = {name: part for name, part in parts.items() if "classification" in part}
    if len(shown) < 2:
        return None
    if overlap["same_patient_key"] == 0:
        shown.pop("nor of a patient key in train or val", None)
    return OverlapTable(
        ["Radiographs", "Number", "Patients", *map(metric_name, _FIGURES)],
        [
            [
                name,
                number_text(part["n"]),
                number_text(part["n_patients"]),
                *(figure_text(part["classification"].get(key)) for key in _FIGURES),
            ]
            for name, part in shown.items()
        ],
    )


def seen_text(metrics: Mapping[str, Any]) -> str:
    """How many of the radiographs were in train or val; a dash where that is not known."""
    overlap = metrics.get("overlap")
    if overlap is None:
        return MISSING
    return number_text(overlap["radiographs"]["train"] + overlap["radiographs"]["val"])


def _without_list(metrics: Mapping[str, Any]) -> list[str]:
    if metrics.get("trained_on_this_cohort", False) is None:
        return [
            "Probabilities and heatmaps are another program's. Whether it was made with some of "
            "these radiographs is not known."
        ]
    unknown = (
        "The bundle has no list of the radiographs that it was trained on, because an earlier "
        "version wrote it: overlap with this cohort was not checked."
    )
    if not metrics.get("trained_on_this_cohort"):
        return [f"{unknown} pneumoscope card BUNDLE --trained-on MANIFEST adds the list."]
    if metrics.get("split") == "test":
        return ["By its digest this is the test split of the cohort that the model was trained on."]
    return [
        "By its digest this is the cohort that the model was trained on. Radiographs of train and "
        "val were used to train or tune the model: the figures are optimistic."
    ]


def _rest(rest: Mapping[str, Any] | None) -> str:
    if rest is None:
        return ""
    if not rest["n"]:
        return " No other radiograph is left."
    return (
        f" Figures of the other {rest['n']:,} radiographs ({rest['n_patients']:,} patients) stand "
        "beside; all other tables are of all radiographs."
    )
