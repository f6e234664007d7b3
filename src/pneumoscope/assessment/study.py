"""Localization figures of an evaluation: heatmaps and baselines against lesions and lungs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError, PneumoscopeError
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.evaluate.baselines import UsualLocation, centre_map, random_map
from pneumoscope.evaluate.heatmap_scores import score_heatmap, score_lungs
from pneumoscope.evaluate.localization import LocalizationEvaluator, half_of
from pneumoscope.evaluate.lungs import LungsEvaluator
from pneumoscope.evaluate.subgroups import kinds_of
from pneumoscope.findings import Region, positive_regions
from pneumoscope.imaging import read_header
from pneumoscope.inference import RANDOMISED, Explained

Heat = NDArray[np.float32]


class LocalizationStudy:
    """Scores a heatmap, its rivals and the baselines, one radiograph at a time.

    Args:
        part: the radiographs that will be scored.
        annotations: their lesions and lungs, found by `Annotations.of`.
        own: the heatmap that is measured.
        others: heatmaps to score beside it.
        by: columns of the manifest to break figures down by.
        pairs: heatmaps and baselines to compare, two at a time, radiograph by radiograph.
        region_threshold: heat from which a pixel belongs to a region of a heatmap. Baselines have
            their own scale: their regions begin at half their peak.
    """

    def __init__(
        self,
        part: Manifest,
        annotations: Annotations,
        own: str,
        others: Sequence[str] = (),
        by: Sequence[str] = (),
        *,
        pairs: Sequence[tuple[str, str]] = (),
        region_threshold: float = 0.5,
    ) -> None:
        self.annotations = annotations
        self.own = own
        self._pairs = tuple(pairs)
        self._region_threshold = region_threshold
        # Of the true positives of the test half, the overlap of the own heatmap.
        self.overlaps: dict[str, float] = {}
        self.others = tuple(others)
        images = part.table["image"]
        self._groups: dict[str, dict[str, str]] = {}
        for name in by:
            kinds = kinds_of(part.table[name].astype(str).tolist()).tolist()
            self._groups[name] = dict(zip(images, kinds, strict=True))
        self._rows = {row["image"]: row for row in part.table.to_dict("records")}
        self._positive = part.labels[1]
        self.lesions = LocalizationEvaluator()
        self._lungs = LungsEvaluator()
        self._annotated = 0
        self._usual = self._usual_location(part) if annotations.has_lesions else UsualLocation()

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
        return self.annotations.lesions(image, height, width)

    def add(self, item: Explained) -> None:
        """Score one radiograph under every method and baseline."""
        row = self._rows[item.name]
        lungs = self.annotations.lung_mask(item)
        called = item.finding.label == self._positive
        if self.annotations.has_lesions:
            annotation = None
            if row["label"] == self._positive:
                annotation = self.annotations.lesions(item.name, *item.heatmap.shape)
                # A positive radiograph that nobody annotated says nothing about where its lesions
                # are.
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
        groups = {name: kind for name, kinds in self._groups.items() if (kind := kinds[item.name])}
        common: dict[str, Any] = {
            "image": item.name, "patient": patient, "half": half_of(patient), "positive": called,
            "groups": groups,
        }  # fmt: skip
        if annotation is None:
            self.lesions.accumulate_negative(method, regions=regions, **common)
        else:
            scores = score_heatmap(heat, annotation, regions, lungs)
            self.lesions.accumulate(method, scores=scores, **common)
            if method == self.own and called and common["half"] == "test":
                self.overlaps[item.name] = scores.area_matched

    def _heatmaps(self, item: Explained) -> Iterable[tuple[str, Heat]]:
        height, width = item.heatmap.shape
        yield self.own, item.heatmap
        for name, heat in item.others.items():
            yield (RANDOMISED if name.startswith(RANDOMISED) else name), heat
        yield "random", random_map(height, width, item.name)
        yield "centre", centre_map(height, width)
        if item.lungs is not None and item.lungs_found:
            yield "lungs", item.lungs
        if self._usual.n:
            yield "usual_location", self._usual.map(height, width)

    def to_dict(self) -> dict[str, Any]:
        """The parts of `metrics.json`: `localization` and its companions.

        Raises:
            EvaluationError: no radiograph had lesions or lungs.
        """
        lungs_from = "masks" if self.annotations.lungs is not None else "segmenter"
        if not self.annotations.has_lesions:
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
                remedy="give annotations with the manifest's image paths",
            )
        found = {name: report.to_dict() for name, report in self.lesions.compute().items()}
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
                **self._paired(found),
                "groups": self.lesions.compute_groups().to_dict(),
            },
        }

    def _paired(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Differences of true positives: by rival those of `own`, and the other pairs."""
        if not found[self.own]["slices"]["true_positives"]["n"]:
            return {"paired": {}}
        paired: dict[str, Any] = {}
        further: list[dict[str, Any]] = []
        for first, second in self._pairs:
            if first == second or not all(
                name in found and found[name]["slices"]["true_positives"]["n"]
                for name in (first, second)
            ):
                continue
            report = self.lesions.compute_paired(first, second, "true_positives").to_dict()
            if first == self.own:
                paired[second] = report
            else:
                further.append({"first": first, "second": second, **report})
        return {"paired": paired, **({"pairs": further} if further else {})}


def _rows_of(regions: Sequence[Region]) -> NDArray[np.float64]:
    rows = [(r.x, r.y, r.width, r.height, r.score) for r in regions]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _slice(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {method: report["slices"][name]["figures"] for method, report in found.items()}


def _without(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "figures"}
