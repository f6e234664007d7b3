"""Localization figures of an evaluation: heatmaps and baselines against lesions and lungs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.cohort.annotations import find_mask, read_boxes, read_mask
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError, PneumoscopeError
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.evaluate.baselines import UsualLocation, centre_map, random_map
from pneumoscope.evaluate.heatmap_scores import score_heatmap, score_lungs
from pneumoscope.evaluate.localization import LocalizationEvaluator, half_of
from pneumoscope.evaluate.lungs import LungsEvaluator
from pneumoscope.findings import Region, positive_regions
from pneumoscope.imaging import read_header
from pneumoscope.inference import RANDOMISED, Explained

PLAIN = "gradcam"
# What the bundle's own heatmap is compared with, radiograph by radiograph.
_RIVALS = (PLAIN, "usual_location", "lungs")

Heat = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Truth:
    """Where lesions and lungs are known from; none of it is ever used to train.

    Attributes:
        boxes: image to lesion boxes (k, 4) on the film, or None.
        masks: folder of lesion masks, or None.
        lungs: folder of lung masks; None takes the segmenter's lungs.
    """

    boxes: Mapping[str, NDArray[np.float64]] | None = None
    masks: Path | None = None
    lungs: Path | None = None

    @classmethod
    def read(cls, boxes: Path | None, masks: Path | None, lungs: Path | None) -> Truth | None:
        """From the command's options; None without any of them.

        Raises:
            EvaluationError: boxes and masks at once, or a folder that does not exist.
            CohortError: the box file cannot be used.
        """
        if boxes is not None and masks is not None:
            raise EvaluationError(
                "boxes and masks were both given", remedy="give --boxes or --masks, not both"
            )
        for folder in (masks, lungs):
            if folder is not None and not folder.is_dir():
                raise EvaluationError("no such folder", path=folder, remedy="check the path")
        if boxes is None and masks is None and lungs is None:
            return None
        return cls(None if boxes is None else read_boxes(boxes), masks, lungs)

    @property
    def has_lesions(self) -> bool:
        """Whether lesions are annotated at all."""
        return self.boxes is not None or self.masks is not None

    def lesions(self, image: str, height: int, width: int) -> LesionAnnotation | None:
        """The lesions of a radiograph; None if it has no annotation or an empty one.

        Raises:
            EvaluationError, CohortError: the annotation is not on the film's grid.
        """
        try:
            if self.boxes is not None:
                boxes = self.boxes.get(image)
                if boxes is None or not len(boxes):
                    return None
                return LesionAnnotation.from_boxes(boxes, height, width)
            path = None if self.masks is None else find_mask(self.masks, image)
            mask = None if path is None else read_mask(path, height, width)
            return None if mask is None or not mask.any() else LesionAnnotation.from_mask(mask)
        except EvaluationError as error:
            raise EvaluationError(f"{image}: {error.problem}", remedy=error.remedy) from error

    def lung_mask(self, item: Explained) -> NDArray[np.bool_] | None:
        """The lungs of a radiograph: those drawn, else the segmenter's; None if there are none."""
        if self.lungs is not None:
            path = find_mask(self.lungs, item.name)
            mask = None if path is None else read_mask(path, *item.heatmap.shape)
        else:
            mask = None if item.lungs is None else item.lungs >= 0.5
        return mask if mask is not None and mask.any() else None


class LocalizationStudy:
    """Scores the bundle's heatmap, other methods and the baselines, one radiograph at a time.

    Args:
        part: the radiographs that will be scored.
        truth: their lesions and lungs.
        own: the bundle's heatmap.
        methods: further heatmaps to score.
        by: columns of the manifest to break figures down by.
        possible: methods that the engine knows; None for all. Plain Grad-CAM and weights drawn anew
            stand beside the bundle's heatmap only where they are possible.
        region_threshold: heat from which a pixel belongs to a region of an explanation. Baselines
            have their own scale: their regions begin at half their peak.

    Raises:
        EvaluationError: a column is missing, or no radiograph has lesions.
    """

    def __init__(
        self,
        part: Manifest,
        truth: Truth,
        own: str,
        methods: Sequence[str] = (),
        by: Sequence[str] = (),
        possible: Collection[str] | None = None,
        region_threshold: float = 0.5,
    ) -> None:
        missing = [name for name in by if name not in part.table.columns]
        if missing:
            raise EvaluationError(
                f"the manifest has no column {', '.join(missing)}",
                path=part.root,
                remedy=f"choose among {', '.join(part.table.columns)}",
            )
        self.truth = truth
        self.own = own
        self._region_threshold = region_threshold
        # Of the true positives of the test half, the overlap of the bundle's own heatmap.
        self.overlaps: dict[str, float] = {}
        self.others = _compared(HeatmapSpec.parse(own), methods, possible)
        self._by = list(by)
        self._rows = {row["image"]: row for row in part.table.to_dict("records")}
        self._positive = part.labels[1]
        self._lesions = LocalizationEvaluator()
        self._lungs = LungsEvaluator()
        self._annotated = 0
        self._usual = self._usual_location(part) if truth.has_lesions else UsualLocation()

    def _usual_location(self, part: Manifest) -> UsualLocation:
        """Fitted on the tuning half's lesions, which the reported half never sees."""
        usual = UsualLocation()
        for image, path in zip(part.table["image"], part.paths(), strict=True):
            row = self._rows[image]
            if half_of(str(row["patient"])) != "tuning" or row["label"] != self._positive:
                continue
            annotation = self._quietly(image, path)
            if annotation is not None:
                usual.accumulate(annotation.mask)
        return usual

    def _quietly(self, image: str, path: Path) -> LesionAnnotation | None:
        """The lesions of a radiograph that may be unreadable, which is told of when it is read."""
        width, height = int(self._rows[image]["width"]), int(self._rows[image]["height"])
        if not width or not height:
            try:
                header = read_header(path)
            except PneumoscopeError:
                return None
            width, height = header.width, header.height
        return self.truth.lesions(image, height, width)

    def add(self, item: Explained) -> None:
        """Score one radiograph under every method and baseline."""
        row = self._rows[item.name]
        lungs = self.truth.lung_mask(item)
        called = item.finding.label == self._positive
        if self.truth.has_lesions:
            annotation = None
            if row["label"] == self._positive:
                annotation = self.truth.lesions(item.name, *item.heatmap.shape)
                # A positive film that nobody annotated says nothing about where its lesions are.
                if annotation is None:
                    return
                self._annotated += 1
            for method, heat in self._heatmaps(item):
                self._score(method, heat, item, annotation, lungs, called)
        elif lungs is not None and called and row["label"] == self._positive:
            for method, heat in self._heatmaps(item):
                self._lungs.accumulate(
                    method,
                    image=item.name,
                    patient=str(row["patient"]),
                    scores=score_lungs(heat, lungs),
                )

    def _score(
        self,
        method: str,
        heat: Heat,
        item: Explained,
        annotation: LesionAnnotation | None,
        lungs: NDArray[np.bool_] | None,
        called: bool,
    ) -> None:
        row = self._rows[item.name]
        patient = str(row["patient"])
        # A radiograph called negative is delivered without regions.
        explained = method in (self.own, RANDOMISED, *item.others)
        threshold = self._region_threshold if explained else 0.5
        regions = _rows_of(positive_regions(heat, threshold=threshold) if called else [])
        groups = {name: str(row[name]) for name in self._by if str(row[name]).strip()}
        common: dict[str, Any] = {
            "image": item.name, "patient": patient, "half": half_of(patient), "positive": called,
            "groups": groups,
        }  # fmt: skip
        if annotation is None:
            self._lesions.accumulate_negative(method, regions=regions, **common)
        else:
            scores = score_heatmap(heat, annotation, regions, lungs)
            self._lesions.accumulate(method, scores=scores, **common)
            if method == self.own and called and common["half"] == "test":
                self.overlaps[item.name] = scores.area_matched

    def _heatmaps(self, item: Explained) -> Iterable[tuple[str, Heat]]:
        height, width = item.heatmap.shape
        yield self.own, item.heatmap
        for name, heat in item.others.items():
            yield (RANDOMISED if name.startswith(RANDOMISED) else name), heat
        yield "random", random_map(height, width, item.name)
        yield "centre", centre_map(height, width)
        if item.lungs is not None:
            yield "lungs", item.lungs
        if self._usual.n:
            yield "usual_location", self._usual.map(height, width)

    def to_dict(self) -> dict[str, Any]:
        """The parts of `metrics.json`: `localization` and its companions.

        Raises:
            EvaluationError: no radiograph had lesions or lungs.
        """
        lungs_from = "masks" if self.truth.lungs is not None else "segmenter"
        if not self.truth.has_lesions:
            reports = self._lungs.compute()
            return {
                "localization": {name: r.to_dict()["figures"] for name, r in reports.items()},
                "localization_method": self.own,
                "localization_details": {
                    "slice": "true positives",
                    "lungs_from": lungs_from,
                    "methods": {name: _without(r.to_dict()) for name, r in reports.items()},
                },
            }
        if not self._annotated:
            raise EvaluationError(
                "no radiograph of the positive label has a lesion annotation",
                path=self.truth.masks,
                remedy="give annotations with the manifest's image paths",
            )
        found = {name: report.to_dict() for name, report in self._lesions.compute().items()}
        return {
            "localization": _slice(found, "true_positives"),
            "localization_annotated": _slice(found, "annotated"),
            "localization_all": _slice(found, "all"),
            "localization_method": self.own,
            "localization_details": {
                "slice": "test half",
                "lungs_from": lungs_from,
                "methods": {
                    name: {
                        **{key: value for key, value in report.items() if key != "slices"},
                        "slices": {k: _without(v) for k, v in report["slices"].items()},
                    }
                    for name, report in found.items()
                },
                "paired": self._paired(found),
                "groups": self._lesions.compute_groups().to_dict(),
            },
        }

    def _paired(self, found: Mapping[str, Any]) -> dict[str, Any]:
        if not found[self.own]["slices"]["true_positives"]["n"]:
            return {}
        return {
            rival: self._lesions.compute_paired(self.own, rival, "true_positives").to_dict()
            for rival in _RIVALS
            if rival in found and rival != self.own
        }


def _compared(
    own: HeatmapSpec, methods: Sequence[str], possible: Collection[str] | None
) -> tuple[str, ...]:
    """Heatmaps beside the bundle's own: plain Grad-CAM, its own without each factor of anatomy,
    randomised weights.

    Lungs and density would help any map; without them one sees what the model itself knows.
    """
    beside = (
        HeatmapSpec(PLAIN),
        HeatmapSpec(own.method, own.mirror),
        HeatmapSpec(own.method, own.mirror, own.lungs),
        HeatmapSpec(RANDOMISED, own.mirror, own.lungs, own.density),
    )
    wanted = [str(spec) for spec in beside if possible is None or spec.method in possible]
    wanted += [str(HeatmapSpec.parse(name)) for name in methods]
    return tuple(name for name in dict.fromkeys(wanted) if name != str(own))


def _rows_of(regions: Sequence[Region]) -> NDArray[np.float64]:
    rows = [(r.x, r.y, r.width, r.height, r.score) for r in regions]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _slice(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {method: report["slices"][name]["figures"] for method, report in found.items()}


def _without(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "figures"}
