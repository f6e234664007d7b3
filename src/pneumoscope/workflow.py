"""What the commands do, in Python: scan, train, assess, compare, explain."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pneumoscope.api import Film, Reader, several
from pneumoscope.bundles import DEFAULT, HeatmapSpec
from pneumoscope.errors import SettingsError
from pneumoscope.extras import require
from pneumoscope.inference import Explained, load_engine

if TYPE_CHECKING:  # They need pandas and scikit-learn.
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.assessment.assessment import Assessment
    from pneumoscope.assessment.comparing import ComparedAssessments
    from pneumoscope.assessment.subject import Subject
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.cohort.scan import ScanResult

AnyPath = str | os.PathLike[str]
Progress = Callable[[int, int], None]
Heatmaps = AnyPath | Mapping[str, AnyPath | Mapping[str, NDArray[Any]]]
"""A folder of heatmaps; or name to a folder, or to arrays (rows, columns) by image."""


def read_cohort(
    path: AnyPath,
    *,
    positive: str | None = None,
    negative: str | None = None,
    label_column: str | None = None,
    readers: str = "union",
    images: AnyPath | None = None,
    findings: str | Sequence[str] | None = None,
) -> Manifest:
    """Read a manifest of `scan`, a CSV with `image,label`, or a table of the field.

    Args:
        path: the table.
        positive: the positive label, if it is not evident; or findings, joined by `|`.
        negative: findings that make a radiograph negative, likewise; others are left out.
        label_column: the column with the labels, for a table that is no known format.
        readers: of several readers `union`, `majority` or one by name.
        images: the folder of the radiographs, if it is not the table's.
        findings: several findings instead of `positive` and `negative`, each a column of the
            cohort, such as `Effusion,Opacity=Pneumonia|Consolidation`, or a list of them.

    Raises:
        CohortError: the table cannot be used.
        SettingsError: `findings` names none.
    """
    require("evaluate", "read_cohort")
    from pneumoscope.cohort.formats.choice import Choice
    from pneumoscope.cohort.formats.finding_columns import FindingColumns
    from pneumoscope.cohort.manifest import Manifest

    columns = None if findings is None else FindingColumns.parse(",".join(_listed(findings)))
    choice = Choice(positive, negative, readers, label_column, columns)
    return Manifest.read(Path(path), choice=choice, images=_path(images))


def read_annotations(
    *,
    boxes: AnyPath | None = None,
    masks: AnyPath | None = None,
    lungs: AnyPath | None = None,
    positive: str | None = None,
    readers: str = "union",
) -> Annotations:
    """Read where lesions and lungs are, to measure heatmaps by; never used in training.

    Args:
        boxes: file or folder of lesions in any format of the field; boxes are taken.
        masks: likewise instead of `boxes`; outlines are taken.
        lungs: folder of lung masks; without it the lungs are segmented.
        positive: findings that are lesions, joined by `|`; the format's own if None.
        readers: of several readers `union`, `majority` or one by name.

    Raises:
        CohortError, EvaluationError: a file or folder cannot be used.
        SettingsError: nothing was given.
    """
    require("evaluate", "read_annotations")
    from pneumoscope.assessment.annotations import Annotations
    from pneumoscope.cohort.formats.choice import Choice

    found = Annotations.read(
        _path(boxes), _path(masks), _path(lungs), Choice(positive, readers=readers)
    )
    if found is None:
        raise SettingsError("no annotations were given", remedy="give boxes, masks or lungs")
    return found


def scan(
    path: AnyPath,
    out: AnyPath | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> ScanResult:
    """Find radiographs, patients and duplicates; split by patient.

    Args:
        path: a folder of radiographs, or a CSV with `image,label`.
        out: manifest to write, with its sidecar and audit beside it; None to write nothing.
        progress: called with (done, total).
        settings: fields of `cohort.scan.ScanSettings`: seed, keep_official, patient_pattern,
            positive and others. `findings` may be a list.

    Returns:
        `manifest` and `audit`.

    Raises:
        CohortError: the cohort cannot be used.
        SettingsError: there is no such setting, or its value is out of range.
    """
    require("evaluate", "scan")
    from pneumoscope.cohort.scan import ScanSettings
    from pneumoscope.cohort.scan import scan as run

    if settings.get("findings") is not None:
        settings["findings"] = ",".join(_listed(settings["findings"]))
    try:
        chosen = ScanSettings(**settings)
    except TypeError as error:
        known = ", ".join(ScanSettings.__dataclass_fields__)
        raise SettingsError(f"{error}", remedy=f"choose among {known}") from error
    result = run(Path(path), chosen, progress)
    if out is not None:
        result.write(Path(out))
    return result


def train(
    cohort: Manifest | AnyPath,
    out: AnyPath,
    *,
    preset: Literal["default", "paper"] = "default",
    epoch: Callable[[dict[str, float]], None] | None = None,
    **settings: Any,
) -> Path:
    """Train a classifier from image-level labels; measure it on val.

    Args:
        cohort: of `scan` or `read_cohort`, or the manifest's path.
        out: new folder of the run.
        preset: `default`, or `paper` for the protocol of arXiv 2511.00456.
        epoch: called with the figures of each epoch.
        settings: of `train --show-config`, for instance `epochs=4, backbone="resnet18"`.
            `findings` may be a text with commas, as on the command line.

    Returns:
        The run's folder, for `load`; `metrics.json` and `report.html` in it are of val. With
        several `findings` each has such a folder, `findings/NAME` in it.

    Raises:
        MissingExtra: the extra `train` is not installed.
        SettingsError: there is no such setting, or its value is out of range.
        RunError: a split holds one label only, or training fails.
        OutputError: the folder holds something.
    """
    require("train", "training")
    from pneumoscope.assessment.runs import document_runs
    from pneumoscope.training.runner import RunListener, start_run
    from pneumoscope.training.settings import make_settings

    if epoch is not None and not callable(epoch):
        raise SettingsError(
            f"epoch is a function that hears of each epoch, and not {epoch!r}",
            remedy=f"for the number of epochs, write epochs={epoch!r}",
        )
    if settings.get("findings") is not None:
        settings["findings"] = _listed(settings["findings"])
    chosen = make_settings(preset, **settings)
    result = start_run(_manifest(cohort), chosen, Path(out), RunListener(epoch=epoch))
    document_runs(result)
    return result.folder


def assess(
    model: Reader | AnyPath | Mapping[str, float],
    cohort: Manifest | AnyPath,
    annotations: Annotations | None = None,
    *,
    heatmaps: Heatmaps | None = None,
    threshold: float | None = None,
    split: Literal["train", "val", "test", "all"] = "test",
    methods: Sequence[str] = (),
    by: Sequence[str] = (),
    progress: Progress | None = None,
) -> Assessment:
    """Measure classification, calibration and, with annotations, localization.

    Args:
        model: a `Reader`, or the path of a bundle, run or exported file; or another program's
            probabilities of the positive label: a CSV with `image,probability`, or a mapping.
        cohort: of `scan` or `read_cohort`, or the manifest's path.
        annotations: of `read_annotations`.
        heatmaps: of the other program.
        threshold: of the other program, .5 by default; a bundle has its own.
        split: which radiographs.
        methods: further heatmaps of a bundle.
        by: columns of the manifest to break figures down by.
        progress: called with (done, total).

    Raises:
        CohortError, EvaluationError, BundleError: something cannot be used.
        SettingsError: heatmaps or a threshold were given for a bundle, or lesions and no heatmaps
            for another program.
    """
    require("evaluate", "assess")
    from pneumoscope.assessment.measuring import assess as measure
    from pneumoscope.assessment.own_model import OwnModel

    manifest = _manifest(cohort)
    other = isinstance(model, Mapping) or (
        not isinstance(model, Reader) and Path(model).suffix.lower() == ".csv"
    )
    subject: Subject
    if other and not isinstance(model, Reader):
        if annotations is not None and not heatmaps:
            raise SettingsError("there are no heatmaps to measure", remedy="give heatmaps")
        subject = _other_program(model, heatmaps or {}, manifest.subset(split), threshold)
    elif heatmaps is not None or threshold is not None:
        raise SettingsError(
            "heatmaps and threshold are of another program",
            remedy="give its probabilities as model, or leave them out",
        )
    elif isinstance(model, Reader):
        subject = OwnModel(model.engine)
    else:
        subject = OwnModel(load_engine(Path(str(model)), every_method=annotations is not None))
    return measure(
        subject,
        manifest,
        annotations,
        split=split,
        methods=several(methods),
        by=several(by),
        progress=progress,
    )


def compare_assessments(assessments: Mapping[str, Assessment]) -> ComparedAssessments:
    """Compare models radiograph by radiograph, with intervals by patient.

    Args:
        assessments: name to what `assess` found on the same split of the same cohort.

    Raises:
        EvaluationError: fewer than two, other radiographs, or one label only.
    """
    require("evaluate", "compare_assessments")
    from pneumoscope.assessment import comparing

    return comparing.compare_assessments(assessments)


@overload
def explain(  # type: ignore[overload-overlap]
    films: Film, model: Reader | AnyPath = DEFAULT, *, methods: str | Sequence[str] = "all"
) -> Explained: ...
@overload
def explain(
    films: Sequence[Film],
    model: Reader | AnyPath = DEFAULT,
    *,
    methods: str | Sequence[str] = "all",
) -> list[Explained]: ...
def explain(
    films: Film | Sequence[Film],
    model: Reader | AnyPath = DEFAULT,
    *,
    methods: str | Sequence[str] = "all",
) -> Explained | list[Explained]:
    """Explain radiographs by several heatmap methods.

    Args:
        films: as of `Reader.find`.
        model: a `Reader`, or the path of a bundle, run or exported file.
        methods: `all` that the model has; or names, each perhaps with +mirror, +lungs, +density
            or +smooth.

    Returns:
        For each radiograph its finding and heatmap, and in `others` the further heatmaps.

    Raises:
        ImageError: a radiograph cannot be used.
        BundleError: there is no such model.
        SettingsError: a method is not known.
    """
    reader = (
        model if isinstance(model, Reader) else Reader(load_engine(Path(model), every_method=True))
    )
    own = str(HeatmapSpec.parse(reader.info.heatmap))
    names = reader.methods if methods == "all" else several(methods)
    wanted = [name for name in dict.fromkeys(names) if name != own]
    return reader.find(films, methods=wanted)


def _listed(findings: str | Sequence[str]) -> tuple[str, ...]:
    """Findings as a tuple; a text holds them between commas, as on the command line."""
    if not isinstance(findings, str):
        return tuple(findings)
    return tuple(part.strip() for part in findings.split(",") if part.strip())


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)


def _manifest(cohort: Manifest | AnyPath) -> Manifest:
    from pneumoscope.cohort.manifest import Manifest

    return cohort if isinstance(cohort, Manifest) else Manifest.read(Path(cohort))


def _other_program(
    model: AnyPath | Mapping[str, float],
    heatmaps: Heatmaps,
    part: Manifest,
    threshold: float | None,
) -> Subject:
    from pneumoscope.assessment.heatmap_files import heatmap_files
    from pneumoscope.assessment.other_program import HEATMAP, OtherProgram, read_probabilities

    images = part.table["image"].tolist()
    named = {HEATMAP: heatmaps} if isinstance(heatmaps, str | os.PathLike) else heatmaps
    sources = {
        name: {image: np.asarray(values) for image, values in given.items()}
        if isinstance(given, Mapping)
        else heatmap_files(Path(given), part)
        for name, given in named.items()
    }
    if isinstance(model, Mapping):
        probabilities, title = {image: float(p) for image, p in model.items()}, "predictions"
    else:
        probabilities, title = read_probabilities(Path(model), images), Path(model).stem
    return OtherProgram(
        probabilities, sources, threshold=0.5 if threshold is None else threshold, name=title
    )
