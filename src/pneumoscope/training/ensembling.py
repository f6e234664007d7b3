"""One bundle from several runs: the mean of their answers.

Seeds differ by as much as recipes do. The mean of several networks varies less, and is often better
than each of them. It takes the time of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pneumoscope.bundles import BundleInfo, MemberInfo, read_bundle
from pneumoscope.errors import RunError
from pneumoscope.models.ensemble import Ensemble
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.weights import WeightRecord
from pneumoscope.training.averaging import read_run, write_joined
from pneumoscope.training.cache import Progress
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.runner import RunResult


def ensemble_runs(runs: Sequence[Path], out: Path, progress: Progress | None = None) -> RunResult:
    """Put the networks of runs into one bundle; fit its threshold and calibration on val.

    Args:
        runs: two or more folders of runs on one manifest. Backbones may differ.
        out: a new folder, which becomes a run without checkpoints.
        progress: called with (done, total) while radiographs are decoded.

    Raises:
        RunError: the runs differ in manifest, input size or heatmap, or one is an ensemble.
        BundleError: a run has no bundle.
        OutputError: `out` is not empty.
    """
    if len(runs) < 2:
        raise RunError("one run is not an ensemble", remedy="give two or more runs")
    bundles = [read_bundle(run) for run in runs]
    infos = [info for _, info in bundles]
    _check(runs, infos)
    settings, manifest = read_run(runs[0])
    members = [
        MemberInfo(
            model_id=info.model_id,
            architecture=info.architecture,
            temperature=info.temperature,
            bias=info.bias,
        )
        for info in infos
    ]
    ensemble = Ensemble(
        [load_classifier(folder, info) for folder, info in bundles],
        [each.temperature for each in members],
        [each.bias for each in members],
    ).eval()
    # Nothing is trained, so no layer is frozen.
    module = ClassifierModule(ensemble, settings.model_copy(update={"freeze_early": False}), None)
    record = WeightRecord(
        "ensemble",
        f"ensemble of {', '.join(each.model_id for each in members)}",
        "; ".join(sorted({str(info.training.weights.get("licence")) for info in infos})),
        None,
    )
    epoch = infos[0].training.selected_epoch
    return write_joined(out, module, settings, manifest, record, epoch, progress, members)


def _check(runs: Sequence[Path], infos: Sequence[BundleInfo]) -> None:
    first = infos[0]
    for run, info in zip(runs, infos, strict=True):
        if info.members:
            raise RunError(
                "is an ensemble already", path=run, remedy="give the runs it was made of"
            )
        different = {
            "another manifest": info.training.data_digest != first.training.data_digest,
            "another input size": info.architecture.size != first.architecture.size,
            "another heatmap": info.heatmap != first.heatmap,
        }
        for what, differs in different.items():
            if differs:
                raise RunError(
                    f"was trained with {what} than {runs[0]}",
                    path=run,
                    remedy="give runs of one manifest, input size and kind of head",
                )
