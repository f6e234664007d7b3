"""Radiographs that are to be held out, and that the model which training starts from has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pneumoscope.bundles import DEFAULT, read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.models.weights import is_ours
from pneumoscope.training.settings import TrainingSettings


def known_before(manifest: Manifest, settings: TrainingSettings) -> str:
    """Say how many radiographs of val and test a teacher or the start weights know; "" for none.

    Radiographs of val may have been in val before, and those of test in test. Bundles without a
    list of their radiographs say nothing.

    Args:
        manifest: the cohort.
        settings: of the run to come.

    Raises:
        BundleError: the teacher or the start weights are an unfinished run.
    """
    for place in dict.fromkeys((settings.teacher, settings.start)):
        path = Path(place or "none").expanduser()
        if path != DEFAULT and not is_ours(path):
            continue
        seen = read_bundle(path, weights=True)[1].seen
        if seen is None:
            continue
        now = manifest.table["split"].to_numpy(np.str_)
        before = np.array([str(each) for each in seen.splits_of_radiographs(manifest.digests())])
        shaped = (before == "train") | ((before == "val") & (now == "test"))
        count = int((shaped & np.isin(now, ["val", "test"])).sum())
        if count:
            return (
                f"{count:,} radiographs of val or test were used to train or tune {place}, which "
                "this training starts from or learns from. Figures on them are too good."
            )
    return ""
