"""What the pages and `metrics.json` of a comparison say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.split import SPLITS
from pneumoscope.comparison.cost import read_cost, training_seconds
from pneumoscope.comparison.finished import start_of
from pneumoscope.comparison.plan import PlannedRun, bundle_digest, run_digest
from pneumoscope.comparison.results import localization
from pneumoscope.comparison.session import Outcome, Task
from pneumoscope.evaluate import Comparison, Interval
from pneumoscope.evaluate.bootstrap import figures_json
from pneumoscope.evaluate.comparison_report import finite_json
from pneumoscope.report.comparison_content import ComparisonContent, CostColumns
from pneumoscope.training.history import read_history
from pneumoscope.training.runner import HISTORY

# They tell runs apart and are said elsewhere.
_OF_A_RUN = ("backbone", "seed", "weights")


def make_content(
    outcome: Outcome,
    task: Task,
    comparison: Comparison,
    *,
    name: str,
    sheet: bytes | None,
    command: str,
) -> ComparisonContent:
    """All that is to be said, for `report.comparison.write_comparison`.

    Args:
        outcome: the runs.
        task: what was compared.
        comparison: figures and tests of the runs.
        name: of the cohort.
        sheet: heatmaps of the same radiographs, as PNG.
        command: as it was typed.
    """
    runs = by_backbone(outcome.finished)
    settings = outcome.finished[0].settings.model_dump(mode="json")
    shared = {key: value for key, value in settings.items() if key not in _OF_A_RUN}
    return ComparisonContent(
        title=f"{len(runs)} backbones on {name}",
        comparison=comparison,
        costs=_costs(runs, task),
        starts={
            backbone: start_of(read_bundle(own[0].folder)[1]) for backbone, own in runs.items()
        },
        localization=_localization(runs, task),
        settings={**shared, "seeds": sorted({run.seed for run in outcome.finished})},
        cohort=cohort_facts(task.manifest, name, task.split, task.data_digest),
        failures=absent(outcome),
        sheet=sheet,
        command=command,
    )


def metrics_content(content: ComparisonContent, outcome: Outcome, task: Task) -> dict[str, Any]:
    """The content of the comparison's `metrics.json`: figures, costs, settings and digests."""
    return {
        "format": 1,
        "split": task.split,
        **content.comparison.to_dict(),
        "costs": {name: finite_json(asdict(cost)) for name, cost in content.costs.items()},
        "starts": dict(content.starts),
        "localization": {
            backbone: figures_json(figures) for backbone, figures in content.localization.items()
        },
        "settings": dict(content.settings),
        "cohort": dict(content.cohort),
        "runs": {
            run.name: {
                "backbone": run.backbone,
                "seed": run.seed,
                "weights": run.settings.weights,
                "run_digest": run_digest(run.settings, task.data_digest),
                "bundle_digest": bundle_digest(run.folder),
            }
            for run in outcome.finished
        },
        "failures": dict(outcome.failures),
        "command": content.command,
    }


def by_backbone(runs: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    """The runs of each backbone, in order."""
    found: dict[str, list[PlannedRun]] = {}
    for run in runs:
        found.setdefault(run.backbone, []).append(run)
    return found


def absent(outcome: Outcome) -> dict[str, str]:
    """What is not in the comparison, and why: backbones, and single runs of those that are."""
    present = {run.name.rpartition("-seed")[0] for run in outcome.finished}
    found: dict[str, str] = {}
    for name, problem in outcome.failures.items():
        backbone = name.rpartition("-seed")[0]
        found.setdefault(name if backbone in present else backbone, problem)
    return found


def cohort_facts(manifest: Manifest, name: str, split: str, digest: str) -> dict[str, Any]:
    """Name, radiographs per split, patients, digest, and the split that is measured."""
    table = manifest.subset("all").table
    return {
        "name": name,
        **{part: int((table["split"] == part).sum()) for part in SPLITS},
        "patients": int(table["patient"].nunique()),
        "measured_on": split,
        "digest": digest,
    }


def _costs(runs: Mapping[str, Sequence[PlannedRun]], task: Task) -> dict[str, CostColumns]:
    """The cost of each backbone: of the run that was weighed, its training from all of them."""
    radiographs = len(task.manifest.subset("train"))
    costs = {}
    for backbone, own in runs.items():
        weighed = next((found for run in own if (found := read_cost(run.folder))), None)
        if weighed is not None:
            histories = [read_history(run.folder / HISTORY) for run in own]
            seconds = training_seconds(histories, radiographs)
            costs[backbone] = replace(weighed, train_seconds_per_1000=seconds)
    return costs


def _localization(
    runs: Mapping[str, Sequence[PlannedRun]], task: Task
) -> dict[str, dict[str, Interval]]:
    if not task.truth:
        return {}
    found = {
        backbone: localization([run.folder for run in own], task.split)
        for backbone, own in runs.items()
    }
    return {backbone: figures for backbone, figures in found.items() if figures}
