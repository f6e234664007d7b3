"""Localization figures as `evaluate` gathers them, on made-up heatmaps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.own_model import compared
from pneumoscope.assessment.study import LocalizationStudy
from pneumoscope.bundles import HeatmapSpec
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, EvaluationError
from pneumoscope.evaluate import half_of
from pneumoscope.findings import Finding
from pneumoscope.imaging import read_radiograph
from pneumoscope.inference import RANDOMISED, Explained

SIDE = 64
OWN = "regional+mirror+lungs"


@pytest.fixture
def part(tmp_path: Path) -> Manifest:
    """Twelve positives and four negatives, each of a patient of its own."""
    rows = []
    for index in range(16):
        name = f"{index:02d}.png"
        Image.fromarray(np.full((SIDE, SIDE), 40 + index, dtype=np.uint8)).save(tmp_path / name)
        label = "PNEUMONIA" if index < 12 else "NORMAL"
        rows.append((name, label, f"patient {index}", "test", "FM"[index % 2]))
    table = pd.DataFrame(rows, columns=["image", "label", "patient", "split", "sex"])
    table.to_csv(tmp_path / "cohort.csv", index=False)
    return Manifest.read(tmp_path / "cohort.csv", choice=Choice(positive="PNEUMONIA"))


def boxes(part: Manifest) -> dict[str, NDArray[np.float64]]:
    """A box in the radiograph's left upper quarter for each positive."""
    positives = part.table["image"][part.targets() == 1]
    return {image: np.array([[8.0, 8.0, 16.0, 16.0]]) for image in positives}


def blob(row: int, column: int) -> NDArray[np.float32]:
    down, across = np.mgrid[:SIDE, :SIDE]
    distance = (down - row) ** 2 + (across - column) ** 2
    return np.asarray(np.exp(-distance / 60), dtype=np.float32)


def explained(
    part: Manifest, study: LocalizationStudy, image: str, heat: NDArray[np.float32]
) -> Explained:
    positive = image < "12.png" or image == "15.png"
    finding = Finding.from_prediction(
        image, probability=0.9 if positive else 0.1, threshold=0.5, labels=part.labels, model="m@1"
    )
    lungs = np.zeros((SIDE, SIDE), dtype=np.float32)
    lungs[:, :32] = 1
    return Explained(
        image,
        read_radiograph(part.root / image),
        2.0,
        heat,
        finding,
        dict.fromkeys(study.others, blob(50, 50)),
        lungs,
    )


def played(
    part: Manifest,
    annotations: Annotations,
    by: Sequence[str] = ("sex",),
    without_lungs: Collection[str] = (),
) -> LocalizationStudy:
    others = compared(HeatmapSpec.parse(OWN), ())
    pairs = [(OWN, rival) for rival in ("gradcam", "usual_location", "lungs")]
    study = LocalizationStudy(part, annotations, OWN, others, by, pairs=pairs)
    for image in part.table["image"]:
        item = explained(part, study, image, blob(16, 16))
        if image in without_lungs:
            item = replace(item, lungs=np.ones((SIDE, SIDE), np.float32), lungs_found=False)
        study.add(item)
    return study


def test_own_heatmap_and_baselines_are_measured(part: Manifest) -> None:
    study = played(part, Annotations.of_boxes(boxes(part)).of(part))
    assert study.others == ("gradcam", "regional+mirror", f"{RANDOMISED}+mirror+lungs")
    found = study.to_dict()
    figures = found["localization"]
    assert list(figures) == [
        OWN, "gradcam", "regional+mirror", RANDOMISED, "random", "centre", "lungs",
        "usual_location",
    ]  # fmt: skip
    assert found["localization_method"] == OWN
    assert figures[OWN]["peak_in_box"]["value"] == 1
    assert figures[OWN]["energy_in_lungs"]["value"] > 0.99
    assert figures["gradcam"]["peak_in_box"]["value"] == 0
    assert figures["usual_location"]["mean_iou"]["value"] == pytest.approx(1, abs=0.05)
    test_half = [i for i in range(12) if half_of(f"patient {i}") == "test"]
    details = found["localization_details"]
    assert details["methods"][OWN]["slices"]["true_positives"]["n"] == len(test_half)
    assert len(study.overlaps) == len(test_half)
    assert details["paired"]["gradcam"]["figures"]["peak_in_box"]["value"] == 1
    assert set(details["groups"]["methods"][OWN]["sex"]) <= {"F", "M"}
    # One of the negatives is a false positive, if it is of the test half its region is a false one.
    negatives = [i for i in range(12, 16) if half_of(f"patient {i}") == "test"]
    false = found["localization_all"][OWN]["false_regions_per_negative"]["value"]
    assert false == pytest.approx((15 in negatives) / len(negatives))


def test_lungs_that_were_not_found_are_not_the_whole_radiograph(part: Manifest) -> None:
    annotations = Annotations.of_boxes(boxes(part)).of(part)
    test_half = [f"{i:02d}.png" for i in range(12) if half_of(f"patient {i}") == "test"]
    found = played(part, annotations, without_lungs=test_half[1:]).to_dict()
    # The lungs are the left half of the radiograph.
    assert found["localization"]["centre"]["lungs_share"]["value"] == 0.5
    slices = found["localization_details"]["methods"]["lungs"]["slices"]
    assert slices["true_positives"]["n"] == 1
    assert found["localization_details"]["paired"]["lungs"]["n"] == 1
    nowhere = played(part, annotations, without_lungs=list(part.table["image"])).to_dict()
    assert nowhere["localization"][OWN]["energy_in_lungs"]["value"] is None
    assert "lungs" not in nowhere["localization"]
    assert set(nowhere["localization_details"]["paired"]) == {"gradcam", "usual_location"}


def test_ages_are_banded_as_in_the_figures_of_classification(part: Manifest) -> None:
    part.table["age"] = [str(20 + 4 * index) for index in range(16)]
    found = played(part, Annotations.of_boxes(boxes(part)).of(part), by=("age",)).to_dict()
    groups = found["localization_details"]["groups"]["methods"][OWN]["age"]
    assert set(groups) <= {"20-39", "40-59", "60-79"}


def test_lungs_alone_need_no_lesions(part: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "lungs"
    folder.mkdir()
    right = np.zeros((SIDE, SIDE), dtype=np.uint8)
    right[:, 32:] = 255
    for image in part.table["image"]:
        Image.fromarray(right).save(folder / image)
    found = played(part, Annotations(lungs=folder)).to_dict()
    # The masks that were drawn count, not the segmenter's.
    assert found["localization_details"]["lungs_from"] == "masks"
    assert found["localization"][OWN]["peak_in_lungs"]["value"] == 0
    assert found["localization"]["gradcam"]["energy_in_lungs"]["value"] > 0.99
    assert found["localization"]["centre"]["lungs_share"]["value"] == 0.5
    assert found["localization_details"]["methods"][OWN]["n"] == 12


def test_the_reported_half_never_shapes_a_baseline(part: Manifest) -> None:
    lesions = boxes(part)
    before = LocalizationStudy(part, Annotations.of_boxes(lesions).of(part), OWN)._usual.map(
        SIDE, SIDE
    )
    for index in range(12):
        if half_of(f"patient {index}") == "test":
            lesions[f"{index:02d}.png"] = np.array([[40.0, 40.0, 20.0, 20.0]])
    after = LocalizationStudy(part, Annotations.of_boxes(lesions).of(part), OWN)._usual.map(
        SIDE, SIDE
    )
    np.testing.assert_array_equal(before, after)


def test_what_cannot_be_measured_is_said(part: Manifest, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"none of these radiographs: it has other\.png"):
        Annotations.of_boxes({"other.png": np.ones((1, 4))}).of(part)
    with pytest.raises(EvaluationError, match="has a lesion annotation"):
        played(part, Annotations.of_boxes({part.table["image"][0]: []}).of(part)).to_dict()
    beside = dict.fromkeys(part.table["image"], np.array([[100.0, 100.0, 10.0, 10.0]]))
    with pytest.raises(
        EvaluationError, match=r"\d\d\.png: the lesion box .* beside the radiograph"
    ):
        LocalizationStudy(part, Annotations.of_boxes(beside).of(part), OWN)
    with pytest.raises(EvaluationError, match="not both"):
        Annotations.read(tmp_path / "a.csv", tmp_path, None)
    with pytest.raises(EvaluationError, match="no such folder"):
        Annotations.read(None, None, tmp_path / "absent")
    assert Annotations.read(None, None, None) is None
