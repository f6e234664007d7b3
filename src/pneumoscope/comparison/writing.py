"""The files of a comparison: tables, report, figures and heatmaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pneumoscope.comparison import content, results
from pneumoscope.comparison.session import Outcome, Task
from pneumoscope.comparison.sheet import write_sheet
from pneumoscope.errors import RunError
from pneumoscope.evaluate import compare_models
from pneumoscope.files import write_json
from pneumoscope.report.comparison import write_comparison
from pneumoscope.report.comparison_content import ComparisonContent


def write_results(
    out: Path,
    outcome: Outcome,
    task: Task,
    name: str,
    command: str,
    progress: Callable[[int, int], None],
) -> ComparisonContent:
    """Compare what was measured; write tables, report, figures and heatmaps.

    Args:
        out: the comparison's folder.
        outcome: the runs.
        task: what was compared.
        name: of the cohort.
        command: as it was typed.
        progress: called with (backbones drawn, backbones in all).

    Raises:
        RunError: no run was finished.
    """
    if not outcome.finished:
        raise RunError(
            f"no run was finished; the first: {next(iter(outcome.failures.values()))}", path=out
        )
    part = task.manifest.subset(task.split)
    scores = [results.read_scores(run, task.split, part.labels[1]) for run in outcome.finished]
    comparison = compare_models(scores)
    runs = content.by_backbone(outcome.finished)
    bundles = {backbone: own[0].folder for backbone, own in runs.items()}
    sheet = write_sheet(out, part, scores[0].images, bundles, progress)
    said = content.make_content(outcome, task, comparison, name=name, sheet=sheet, command=command)
    write_comparison(out, said)
    write_json(out / "metrics.json", content.metrics_content(said, outcome, task))
    return said
