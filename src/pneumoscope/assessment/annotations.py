"""Where lesions and lungs are, as people drew them: what localization is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.cohort.annotations import find_mask, read_boxes, read_mask
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.files import sha256_file
from pneumoscope.inference import Explained


@dataclass(frozen=True, slots=True)
class Annotations:
    """Where lesions and lungs are known from; none of it is ever used to train.

    Attributes:
        boxes: image to lesion boxes (k, 4) on the film, or None.
        masks: folder of lesion masks, or None.
        lungs: folder of lung masks; None takes the segmenter's lungs.
        identity: what tells these annotations from others: the box file's digest, the folders'
            places.
    """

    boxes: Mapping[str, NDArray[np.float64]] | None = None
    masks: Path | None = None
    lungs: Path | None = None
    identity: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, boxes: Path | None, masks: Path | None, lungs: Path | None) -> Annotations | None:
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
        folders = {"masks": masks, "lungs": lungs}
        identity = {name: p.resolve().as_posix() for name, p in folders.items() if p}
        if boxes is None:
            return cls(None, masks, lungs, identity)
        return cls(read_boxes(boxes), masks, lungs, {"boxes": sha256_file(boxes), **identity})

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
