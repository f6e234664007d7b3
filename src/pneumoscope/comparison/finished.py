"""Models that are finished, compared on one split."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.comparing import ComparedAssessments, compare_assessments
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.bundles import BundleInfo
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison.results import localization
from pneumoscope.comparison.sheet import write_sheet
from pneumoscope.errors import EvaluationError, SettingsError
from pneumoscope.evaluate.bootstrap import figures_json
from pneumoscope.files import new_folder, write_json
from pneumoscope.inference import load_engine
from pneumoscope.models.registry import BACKBONES
from pneumoscope.report.comparison import write_comparison
from pneumoscope.report.comparison_content import ComparisonContent

Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

MODELS = "models"
_NAME = re.compile(r"\w[\w.+-]*")
_REGISTERED = {record.automatic.name for record in BACKBONES.values()}


def compare_finished(
    models: Mapping[str, Path],
    manifest: Manifest,
    out: Path,
    *,
    split: str,
    annotations: Annotations | None,
    title: str,
    command: str,
    stage: Stage,
) -> ComparisonContent:
    """Measure models on one split; write what a comparison of trainings writes.

    Args:
        models: name to a bundle, a run or a file of export; at least two.
        manifest: the cohort.
        out: new folder; each model's own evaluation is in `models/NAME/SPLIT`.
        split: what is measured on.
        annotations: what localization is measured by.
        title: of the cohort.
        command: as it was typed.
        stage: from what is done now to a context with a function of (done, total).

    Raises:
        SettingsError: fewer than two models, or a name that is no name of a folder.
        BundleError: there is no such model.
        EvaluationError: the split has one label only, or the cohort other labels than a model.
        OutputError: `out` holds something.
    """
    _check(models)
    loaded = {
        name: OwnModel(load_engine(path, every_method=annotations is not None))
        for name, path in models.items()
    }
    for model in loaded.values():
        manifest = model.labelled(manifest)
    part = manifest.subset(split)
    if len(set(part.targets().tolist())) < 2:
        raise EvaluationError(
            f"split '{split}' holds one label only", path=part.root, remedy="choose another split"
        )
    new_folder(out)
    found = {}
    for name, model in loaded.items():
        with stage(f"Measuring {name}") as update:
            found[name] = assess(model, manifest, annotations, split=split, progress=update)
        found[name].save(out / MODELS / name / split)
    compared = compare_assessments(found)
    readable = next(iter(found.values())).predictions.images
    with stage("Drawing heatmaps") as update:
        sheet = write_sheet(out, part, readable, models, update)
    own = {name: localization([out / MODELS / name], split) for name in models}
    content = ComparisonContent(
        title=f"{len(models)} models on {title}",
        comparison=compared.classification,
        costs={},
        starts={name: start_of(model.info) for name, model in loaded.items()},
        localization={name: figures for name, figures in own.items() if figures},
        settings={name: model.name for name, model in loaded.items()},
        cohort={
            "name": title,
            "radiographs": len(part),
            "patients": int(part.table["patient"].nunique()),
            "measured_on": split,
            "digest": manifest.digest(),
        },
        failures={},
        sheet=sheet,
        command=command,
    )
    write_comparison(out, content)
    write_json(out / "metrics.json", _metrics(content, compared, split))
    return content


def _check(models: Mapping[str, Path]) -> None:
    for name in models:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"'{name}' is no name of a model", remedy="use letters and digits")
    if len(models) < 2:
        raise SettingsError("there is one model only", remedy="give --model twice or more")


def start_of(info: BundleInfo) -> str:
    """What a model's backbone started from, in words."""
    weights = info.training.weights
    if weights["choice"] == "none":
        return "from scratch"
    kind = "weights file"
    if weights["choice"] == "auto":
        # timm names a network's weights by what they were trained on last.
        on_imagenet = weights["name"] in _REGISTERED or str(weights["name"]).endswith("in1k")
        kind = "ImageNet" if on_imagenet else "its own weights"
    return f"{kind} ({weights['name']})"


def _metrics(
    content: ComparisonContent, compared: ComparedAssessments, split: str
) -> dict[str, Any]:
    return {
        "format": 1,
        "split": split,
        **compared.classification.to_dict(),
        "starts": dict(content.starts),
        "localization": {
            name: figures_json(figures) for name, figures in content.localization.items()
        },
        "localization_differences": compared.to_dict()["localization"],
        "models": dict(content.settings),
        "cohort": dict(content.cohort),
        "command": content.command,
    }
