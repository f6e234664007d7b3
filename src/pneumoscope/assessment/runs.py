"""The figures, the report and the model card of a finished training run, on val."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.assessment.pictures import history_picture
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.files import write_json, write_text
from pneumoscope.inference import load_engine
from pneumoscope.report.model_card import render_model_card

if TYPE_CHECKING:  # It needs torch.
    from pneumoscope.training.runner import RunResult


def document_runs(
    result: RunResult, progress: Callable[[int, int], None] | None = None
) -> dict[Path, dict[str, Any]]:
    """Measure and document what a training made: its run or, of several findings, each.

    Args:
        result: of the training.
        progress: called with (done, total) radiographs measured, for each anew.

    Returns:
        Folder to the content of its `metrics.json`.
    """
    folders = result.findings or (result.folder,)
    return {folder: document_run(folder, result.history, progress) for folder in folders}


def document_run(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a run's bundle on val; write `metrics.json`, `report.html` and the model card.

    Args:
        folder: of the run or of one of its findings, with its bundle.
        history: a row of figures for each epoch; may be empty.
        progress: called with (done, total) radiographs measured.

    Returns:
        The content of `metrics.json`.
    """
    model = OwnModel(load_engine(folder))
    manifest = Manifest.read(folder / "manifest.csv")
    found = assess(model, manifest, split="val", progress=progress)
    write_json(folder / "metrics.json", found.metrics)
    epoch = model.info.training.selected_epoch
    first = (history_picture(history, epoch),) if history else ()
    write_text(folder / "report.html", found.report(kind="training", first=first, films=False))
    card = render_model_card(model.info.model_dump(mode="json"), metrics=found.metrics)
    write_text(folder / "bundle" / "MODEL_CARD.md", card)
    return found.metrics
