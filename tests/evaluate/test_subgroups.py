"""Figures of parts of a set."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumoscope.evaluate.subgroups import subgroup_figures

from .cohorts import binormal


def test_each_group_is_measured_alone() -> None:
    cohort = binormal(400)
    sex = ["F" if row % 3 else "M" for row in range(400)]
    found = subgroup_figures(cohort, {"sex": sex}, 0.5)["sex"]
    assert list(found) == ["F", "M"] and found["F"]["n"] + found["M"]["n"] == 400
    rows = np.array(sex) == "M"
    assert found["M"]["roc_auc"]["value"] == pytest.approx(
        roc_auc_score(cohort.targets[rows], cohort.logits[rows])
    )
    assert found["M"]["roc_auc"]["low"] < found["M"]["roc_auc"]["value"]


def test_numbers_are_cut_into_bands_and_the_unknown_left_out() -> None:
    cohort = binormal(300)
    ages = [str(20 + row % 60) if row % 10 else "" for row in range(300)]
    found = subgroup_figures(cohort, {"age": ages}, 0.5)["age"]
    assert list(found) == ["20-39", "40-59", "60-79"]
    assert sum(group["n"] for group in found.values()) == 270


def test_ages_as_dicom_writes_them_are_numbers() -> None:
    cohort = binormal(300)
    ages = [f"{20 + row % 60:03d}Y" if row % 10 else f"{row % 24:03d}M" for row in range(300)]
    found = subgroup_figures(cohort, {"age": ages}, 0.5)["age"]
    assert {name: group["n"] for name, group in found.items()} == {
        "0-19": 30, "20-39": 90, "40-59": 90, "60-79": 90,
    }  # fmt: skip


def test_small_groups_and_those_of_one_label_are_counted_alone() -> None:
    cohort = binormal(100)
    view = ["lateral" if row < 5 else "AP" if cohort.targets[row] else "PA" for row in range(100)]
    found = subgroup_figures(cohort, {"view": view}, 0.5)["view"]
    assert found["lateral"] == {
        "n": 5, "n_patients": 5, "n_positive": int(cohort.targets[:5].sum()), "roc_auc": None,
        "accuracy": None, "sensitivity": None, "specificity": None, "ece": None,
    }  # fmt: skip
    assert found["AP"]["roc_auc"] is None and found["AP"]["n_positive"] == found["AP"]["n"]
