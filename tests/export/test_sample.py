"""Which radiographs an export looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.bundles import BundleInfo, read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError
from pneumoscope.export import Films, Sampling
from pneumoscope.export.sample import read_films
from pneumoscope.imaging import model_input, read_radiograph


@pytest.fixture(scope="module")
def cohort(manifest_file: Path) -> Manifest:
    return Manifest.read(manifest_file)


@pytest.fixture(scope="module")
def info(run_folder: Path) -> BundleInfo:
    return read_bundle(run_folder)[1]


def read(cohort: Manifest, info: BundleInfo, *, calibrate: bool = True, **sampling: int) -> Films:
    return read_films(cohort, info, Sampling(**sampling), lambda *_: None, calibrate=calibrate)


def of_split(cohort: Manifest, info: BundleInfo, split: str) -> dict[bytes, int]:
    part = cohort.subset(split)
    size = info.architecture.size
    pixels = [model_input(read_radiograph(path), size)[0].tobytes() for path in part.paths()]
    return dict(zip(pixels, part.targets().tolist(), strict=True))


def test_train_calibrates_and_val_measures(cohort: Manifest, info: BundleInfo) -> None:
    films = read(cohort, info, calibration=6, val=12)
    train, val = (of_split(cohort, info, split) for split in ("train", "val"))
    assert len(films.calibration) == 6 and len(films.val) == 12
    assert {film.tobytes() for film in films.calibration} <= set(train)
    assert [val[film.tobytes()] for film in films.val] == films.targets.tolist()
    assert len({film.tobytes() for film in films.val}) == 12
    assert films.digest == cohort.digest()


def test_fewer_than_asked_for_are_all_there_are(cohort: Manifest, info: BundleInfo) -> None:
    films = read(cohort, info, calibrate=False)
    assert len(films.val) == len(cohort.subset("val")) and films.calibration.shape[0] == 0


def test_the_draw_depends_on_the_seed_alone(cohort: Manifest, info: BundleInfo) -> None:
    turned = replace(cohort, table=cohort.table[::-1].reset_index(drop=True))
    one, other, third = (
        read(each, info, calibration=4, val=10, seed=seed)
        for each, seed in ((cohort, 3), (turned, 3), (cohort, 4))
    )
    np.testing.assert_array_equal(one.val, other.val)
    np.testing.assert_array_equal(one.calibration, other.calibration)
    assert not np.array_equal(one.calibration, third.calibration)


def test_unusable_cohorts(cohort: Manifest, info: BundleInfo, tmp_path: Path) -> None:
    table = cohort.table
    for keep, words in (
        (table["split"] != "val", "split 'val' is empty"),
        (table["split"] != "train", "split 'train' is empty"),
        ((table["split"] != "val") | (table["label"] == "NORMAL"), "from val are NORMAL.*ROC-AUC"),
    ):
        with pytest.raises(CohortError, match=words):
            read(replace(cohort, table=table[keep].reset_index(drop=True)), info)
    renamed = info.model_copy(update={"labels": ("NORMAL", "COVID")})
    with pytest.raises(CohortError, match="are not the bundle's"):
        read(cohort, renamed)
    with pytest.raises(CohortError, match="does not exist"):
        read(replace(cohort, root=tmp_path / "gone"), info)
    absent = table.assign(image="absent.png")
    with pytest.raises(CohortError, match=r"absent\.png"):
        read(replace(cohort, table=absent), info)
