"""Assessments compared: what the verdict says beside the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pneumoscope.assessment.comparing import compare_assessments
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.other_program import OtherProgram
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.phantom import PhantomSettings, write_cohort


def test_a_model_that_knows_the_radiographs_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, PhantomSettings(n=12, seed=3, size=64))
    manifest = Manifest.read(tmp_path / "cohort.csv")
    images = manifest.table["image"].tolist()
    found = {
        name: assess(
            OtherProgram({image: (k * step % 12) / 12 for k, image in enumerate(images)}, {}),
            manifest,
            split="all",
        )
        for name, step in (("old", 1), ("new", 5))
    }
    counts = {"train": 7, "val": 2, "test": 0}
    known = {**found["new"].metrics, "overlap": {"radiographs": counts}}
    before = compare_assessments(found).classification.verdict
    found["new"] = replace(found["new"], metrics=known)
    verdict = compare_assessments(found).classification.verdict
    assert verdict[:-1] == before
    assert verdict[-1].startswith("Of the 12 radiographs 7 were used to train new and 2 to choose")
