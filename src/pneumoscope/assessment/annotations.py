"""Where lesions and lungs are, as people drew them: what localization is measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.cohort.annotations import find_mask, read_mask
from pneumoscope.cohort.formats.choice import Choice
from pneumoscope.cohort.formats.dicom_objects import film_uid
from pneumoscope.cohort.formats.drawings import Drawing, Drawings
from pneumoscope.cohort.formats.marks import Box, FieldFile, Mark
from pneumoscope.cohort.formats.reading import read_drawings
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import stated_sizes
from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.files import sha256_tree
from pneumoscope.inference import Explained


@dataclass(frozen=True, slots=True)
class Annotations:
    """Where lesions and lungs are known from; none of it is ever used to train.

    Attributes:
        drawings: the lesions by the names that their file has for the radiographs, or None.
        lungs: folder of lung masks; None takes the segmenter's lungs.
        sources: the files and folders that they were read from, by the command's options.
        found: the lesions by the images of a cohort, see `of`.
        originals: (height, width) that the images had before they were resized, where known.
    """

    drawings: Drawings | None = field(default=None, repr=False)
    lungs: Path | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)
    found: Mapping[str, Drawing] = field(default_factory=dict, repr=False)
    originals: Mapping[str, tuple[int, int] | None] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        boxes: Path | None,
        masks: Path | None,
        lungs: Path | None,
        choice: Choice | None = None,
    ) -> Annotations | None:
        """From the command's options; None without any of them.

        Args:
            boxes: a file or folder of annotations in any format of the field; boxes are taken
                where it has both boxes and outlines.
            masks: likewise; outlines are taken.
            lungs: a folder of lung masks.
            choice: which findings are lesions, and whose; the format's own when None.

        Raises:
            EvaluationError: boxes and masks at once, or a folder that does not exist.
            CohortError: the annotations cannot be used.
        """
        if boxes is not None and masks is not None:
            raise EvaluationError(
                "boxes and masks were both given", remedy="give --boxes or --masks, not both"
            )
        if lungs is not None and not lungs.is_dir():
            raise EvaluationError("no such folder", path=lungs, remedy="check the path")
        named = {"boxes": boxes, "masks": masks, "lungs": lungs}
        lesions = boxes or masks
        # Reading says what is wrong with a file that its digest could not be taken of.
        drawings = (
            None if lesions is None else read_drawings(lesions, choice, outlines=boxes is None)
        )
        sources = {name: path for name, path in named.items() if path is not None}
        return cls(drawings, lungs, sources) if sources else None

    @classmethod
    def of_boxes(cls, boxes: Mapping[str, ArrayLike], lungs: Path | None = None) -> Annotations:
        """From arrays.

        Args:
            boxes: image to (k, 4) of x, y, width, height in pixels; k is 0 without a lesion.
            lungs: a folder of lung masks.
        """
        marks = [Mark(image, present=False) for image in boxes] + [
            Mark(image, shape=Box(float(x), float(y), float(across), float(down)))
            for image, table in boxes.items()
            for x, y, across, down in np.asarray(table, dtype=np.float64).reshape(-1, 4)
        ]
        file = FieldFile(Path("boxes"), "a table of boxes", marks, may_be_empty=True)
        return cls(Drawings.of(file, Choice()), lungs)

    def of(self, part: Manifest) -> Annotations:
        """Find the lesions of a cohort's radiographs.

        Raises:
            CohortError: none of them is annotated, or a name may mean two of them.
        """
        if self.drawings is None:
            return self
        paths = dict(zip(part.table["image"], part.paths(), strict=True))
        by_uid = self.drawings.file.by_uid
        found = self.drawings.match(
            list(paths), (lambda image: film_uid(paths[image])) if by_uid else None
        )
        originals = dict(zip(paths, stated_sizes(part.table), strict=True))
        return replace(self, found=found, originals=originals)

    def identity(self) -> dict[str, str]:
        """What tells these annotations from others: by option, the digest of what is there now.

        All files are read for it.
        """
        return {name: sha256_tree(path) for name, path in self.sources.items()}

    @property
    def has_lesions(self) -> bool:
        """Whether lesions are annotated at all."""
        return self.drawings is not None

    def lesions(self, image: str, height: int, width: int) -> LesionAnnotation | None:
        """The lesions of a radiograph; None if it has no annotation or an empty one.

        Raises:
            EvaluationError, CohortError: the annotation is not on the radiograph's grid.
        """
        drawing = self.found.get(image)
        drawn = None if drawing is None else drawing.on(height, width, self.originals.get(image))
        if drawn is None:
            return None
        try:
            if drawn.dtype == np.bool_:
                return LesionAnnotation.from_mask(drawn)
            return LesionAnnotation.from_boxes(drawn, height, width)
        except EvaluationError as error:
            raise EvaluationError(f"{image}: {error.problem}", remedy=error.remedy) from error

    def lung_mask(self, item: Explained) -> NDArray[np.bool_] | None:
        """The lungs of a radiograph: those drawn, else the segmenter's; None if there are none."""
        if self.lungs is not None:
            path = find_mask(self.lungs, item.name)
            mask = None if path is None else read_mask(path, *item.heatmap.shape)
        else:
            mask = item.lung_mask
        return mask if mask is not None and mask.any() else None
