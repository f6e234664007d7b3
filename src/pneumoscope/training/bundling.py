"""The end of a run: threshold, calibration and review band fitted on val, the bundle written."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

import pneumoscope
from pneumoscope.bundles import BundleInfo, MemberInfo, SeenInfo, write_bundle
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.split import SPLITS
from pneumoscope.evaluate.abstention import fit_review_band
from pneumoscope.evaluate.calibration import (
    calibrated,
    expected_calibration_error,
    fit_calibration,
)
from pneumoscope.evaluate.thresholds import choose_threshold
from pneumoscope.lungs import SHIPPED, LungsInfo
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.weights import WeightRecord
from pneumoscope.training.data import even_draws
from pneumoscope.training.settings import TrainingSettings


def make_bundle(
    folder: Path,
    classifier: Classifier,
    manifest: Manifest,
    settings: TrainingSettings,
    weights: WeightRecord,
    *,
    selected_epoch: int,
    val_logits: NDArray[np.float64],
    val_targets: NDArray[np.int64],
    members: Sequence[MemberInfo] = (),
    cohort: Manifest | None = None,
) -> BundleInfo:
    """Write the bundle of a trained classifier.

    A bundle is written beside its final place and moved there whole, replacing one of an earlier
    attempt.

    Args:
        folder: the bundle's folder.
        classifier: on the CPU, in eval mode.
        manifest: the cohort it was trained on.
        settings, weights: of the run.
        selected_epoch: zero-based epoch whose weights these are.
        val_logits: (N,) log-odds on val, from which calibration, threshold and review band are
            fitted.
        val_targets: (N,) 1 = positive.
        members: of an ensemble, its networks.
        cohort: whose radiographs and patients are kept as digests, where the network has seen more
            than `manifest` holds: those of which other findings are known. None for `manifest`.
    """
    digest = manifest.digest()
    sets = _cohorts(manifest)
    # Each set counts alike, so that a small one is not sacrificed to a large one.
    shares = None if sets is None else even_draws(sets, 1.0)
    temperature, bias = fit_calibration(val_logits, val_targets, shares)
    before = calibrated(val_logits, 1.0)
    after = calibrated(val_logits, temperature, bias)
    draft = folder.with_name(f".{folder.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}
    # Its own `save_file` leaves a file that nobody but its owner may read.
    (draft / WEIGHTS_FILE).write_bytes(save(state))
    info = write_bundle(
        draft,
        {
            "version": pneumoscope.__version__,
            "architecture": asdict(classifier.architecture),
            "labels": manifest.labels,
            "heatmap": settings.heatmap,
            "region_threshold": settings.region_level,
            "threshold": choose_threshold(after, val_targets, sets),
            "temperature": temperature,
            "bias": bias,
            "review": asdict(fit_review_band(after, val_targets, groups=sets)),
            "calibration": {
                "val_ece_before": expected_calibration_error(before, val_targets, weights=shares),
                "val_ece_after": expected_calibration_error(after, val_targets, weights=shares),
            },
            "training": {
                "data_digest": digest,
                "splits": {split: split_counts(manifest, split) for split in SPLITS},
                "weights": weights.to_dict(),
                "settings": settings.model_dump(mode="json"),
                "selected_epoch": selected_epoch,
                "versions": _versions(settings.guided),
            },
            "members": tuple(members),
            "seen": SeenInfo.of(digest, *(cohort or manifest).keys_by_split()),
        },
        [WEIGHTS_FILE],
    )
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return info


def _cohorts(manifest: Manifest) -> list[str] | None:
    """The cohort of each radiograph of val, where several were joined."""
    val = manifest.subset("val").table
    return val["cohort"].astype(str).tolist() if "cohort" in val else None


def split_counts(manifest: Manifest, split: str) -> dict[str, int]:
    """Radiographs per label, and patients, in a split."""
    rows = manifest.table[manifest.table["split"] == split]
    counts = {label: int((rows["label"] == label).sum()) for label in manifest.labels}
    return {**counts, "patients": int(rows["patient"].nunique())}


def _versions(guided: bool) -> dict[str, str]:
    names = ("torch", "timm", "lightning", "numpy")
    found = {name: version(name) for name in names}
    threads = str(torch.get_num_threads())
    lungs = {"lungs": LungsInfo.read(SHIPPED).id} if guided else {}
    return {"python": platform.python_version(), **found, **lungs, "threads": threads}
