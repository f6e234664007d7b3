"""One network from several runs: the mean of their weights.

Wortsman et al., "Model soups" (arXiv 2203.05482): networks that were trained on from the same
weights lie in one valley of the loss, and the mean of their weights is better than each of them. It
costs no time when it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pneumoscope.bundles import BundleInfo, MemberInfo, read_bundle
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError
from pneumoscope.files import new_folder
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.weights import WeightRecord
from pneumoscope.training.bundling import make_bundle
from pneumoscope.training.cache import Progress, cached_pixels
from pneumoscope.training.data import PixelDataset
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.runner import CONFIG, MANIFEST, RunResult, predict_logits
from pneumoscope.training.settings import TrainingSettings, read_settings, write_settings


def average_runs(
    runs: Sequence[Path],
    out: Path,
    progress: Progress | None = None,
    region_threshold: float | None = None,
) -> RunResult:
    """Average the weights of runs; fit threshold and calibration of the mean on val.

    Args:
        runs: two or more folders of runs on one manifest, which started from the same weights.
        out: a new folder, which becomes a run without checkpoints.
        progress: called with (done, total) while radiographs are decoded.
        region_threshold: heat from which a pixel belongs to a region; None for the runs' own.

    Raises:
        RunError: the runs differ in manifest, architecture or start weights.
        BundleError: a run has no bundle.
        OutputError: `out` is not empty.
    """
    if len(runs) < 2:
        raise RunError("one run has no mean", remedy="give two or more runs")
    bundles = [read_bundle(run) for run in runs]
    infos = [info for _, info in bundles]
    _check(runs, infos)
    settings, manifest = read_run(runs[0])
    if region_threshold is not None:
        settings = settings.model_copy(update={"region_threshold": region_threshold})
    classifier = load_classifier(*bundles[0])
    states = [load_file(folder / WEIGHTS_FILE) for folder, _ in bundles]
    classifier.load_state_dict({name: _mean([s[name] for s in states]) for name in states[0]})
    started = infos[0].training.weights
    record = WeightRecord(
        "average",
        f"mean of {', '.join(info.model_id for info in infos)}, each from {started.get('name')}",
        started.get("licence") or "as stated by its provider",
        started.get("sha256"),
    )
    module = ClassifierModule(classifier, settings, None)
    return write_joined(
        out, module, settings, manifest, record, infos[0].training.selected_epoch, progress
    )


def write_joined(
    out: Path,
    module: ClassifierModule,
    settings: TrainingSettings,
    manifest: Manifest,
    record: WeightRecord,
    selected_epoch: int,
    progress: Progress | None,
    members: Sequence[MemberInfo] = (),
) -> RunResult:
    """The run of a network that others were joined to; its bundle is fitted on val.

    Args:
        out: a new folder, which becomes a run without checkpoints.
        module: the network.
        settings, manifest: of the run.
        record: where the weights are from.
        selected_epoch: zero-based, of the first run.
        progress: called with (done, total) while radiographs are decoded.
        members: of an ensemble.

    Raises:
        OutputError: `out` is not empty.
    """
    new_folder(out)
    write_settings(out / CONFIG, settings)
    manifest.write(out / MANIFEST)
    val = manifest.subset("val")
    dataset = PixelDataset(cached_pixels(val, settings.size, progress=progress), val.targets())
    info = make_bundle(
        out / "bundle",
        module.classifier.eval(),
        manifest,
        settings,
        record,
        selected_epoch=selected_epoch,
        val_logits=predict_logits(module.eval(), dataset, 2 * settings.batch_size)[:, 0],
        val_targets=dataset.targets.numpy(),
        members=members,
    )
    return RunResult(out, info, [])


def read_run(folder: Path) -> tuple[TrainingSettings, Manifest]:
    """Settings and manifest of a run of one finding.

    Raises:
        RunError: it is a bundle alone, or the folder of one of several findings.
        SettingsError, CohortError: they cannot be read.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"holds no {CONFIG}, so it is not a run of one finding",
            path=folder,
            remedy="give folders that train wrote for one finding",
        )
    return read_settings(folder / CONFIG), Manifest.read(folder / MANIFEST)


def _check(runs: Sequence[Path], infos: Sequence[BundleInfo]) -> None:
    first = infos[0]
    for run, info in zip(runs[1:], infos[1:], strict=True):
        different = {
            "another manifest": info.training.data_digest != first.training.data_digest,
            "another architecture": info.architecture != first.architecture,
            "other start weights": _start(info) != _start(first),
        }
        for what, differs in different.items():
            if differs:
                raise RunError(
                    f"was trained with {what} than {runs[0]}",
                    path=run,
                    remedy="average runs of one manifest and one start; let their seeds differ",
                )


def _start(info: BundleInfo) -> str:
    """What tells start weights apart: their digest, or the seed that drew them."""
    training = info.training
    return training.weights.get("sha256") or f"drawn with seed {training.settings.get('seed')}"


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack([tensor.double() for tensor in tensors]).mean(dim=0).to(tensors[0].dtype)
