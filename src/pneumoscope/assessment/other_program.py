"""The output of another program as what is assessed: probabilities and heatmaps in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.assessment.heatmap_files import heatmap_files, on_film, read_values
from pneumoscope.assessment.subject import Film
from pneumoscope.cohort.formats.names import matched
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import read_film
from pneumoscope.cohort.tables import read_rows
from pneumoscope.errors import (
    CohortError,
    EvaluationError,
    ImageError,
    SettingsError,
)
from pneumoscope.evaluate import Predictions
from pneumoscope.evaluate.calibration import chance_calibration_error
from pneumoscope.findings import Finding, completed
from pneumoscope.imaging import Radiograph, model_input
from pneumoscope.inference import Explained, Failed
from pneumoscope.inference.heatmaps import NO_ANATOMY, Anatomy, anatomy_of, on_film_scale
from pneumoscope.lungs import LungSegmenter
from pneumoscope.report.numbers import method_name

HEATMAP = "heatmap"
"""What a folder of heatmaps without a name is called."""

_COLUMNS = ("image", "probability")
# Of probabilities that are 0 or 1: their log-odds are finite.
_LEAST = 1e-12
# At probability 0 heat keeps its order, too.
_LEAST_HEAT = 1e-6


Source = Path | NDArray[Any]
"""A heatmap: its file, or its values (rows, columns)."""


class OtherProgram:
    """Probabilities and heatmaps that Pneumoscope did not make; it has the members of `Subject`.

    A heatmap is brought onto the radiograph's pixels, and its strongest place has the radiograph's
    probability, as in Pneumoscope's own. A radiograph without a probability is left out and named;
    one without a usable heatmap counts as an empty heatmap, which hits nothing.

    Args:
        probabilities: image to the probability of the positive label, 0 to 1.
        heatmaps: name to heatmaps by image.
        threshold: a probability of at least this is positive.
        name: of the program, for reports.

    Raises:
        SettingsError: the threshold or a probability is outside [0, 1], or a name is that of a
            baseline.
    """

    def __init__(
        self,
        probabilities: Mapping[str, float],
        heatmaps: Mapping[str, Mapping[str, Source]],
        *,
        threshold: float = 0.5,
        name: str = "predictions",
    ) -> None:
        for what, value in {"the threshold": threshold, **probabilities}.items():
            if not 0 <= value <= 1:
                raise SettingsError(
                    f"the value of {what} is {value:g}", remedy="give a probability from 0 to 1"
                )
        for each in heatmaps:
            if method_name(each)[1]:
                raise SettingsError(
                    f"'{each}' is the name of a baseline", remedy="give the heatmaps another name"
                )
        self.name = name
        self.threshold = threshold
        self.heatmap = next(iter(heatmaps), HEATMAP)
        self.region_threshold = 0.5
        self.splits: Mapping[str, Mapping[str, int]] = {}
        self._probabilities = dict(probabilities)
        self._heatmaps = dict(heatmaps)
        self._labels = ("", "")
        self._without: dict[str, set[str]] = {each: set() for each in heatmaps}
        self._unusable: dict[tuple[str, str], str] = {}

    @classmethod
    def from_files(
        cls,
        predictions: Path,
        heatmaps: Mapping[str, Path],
        part: Manifest,
        *,
        threshold: float = 0.5,
    ) -> OtherProgram:
        """From a table and folders.

        Args:
            predictions: CSV with `image,probability`.
            heatmaps: name to a folder of heatmaps at the radiographs' relative paths.
            part: the radiographs of the cohort that are measured.
            threshold: a probability of at least this is positive.

        Raises:
            CohortError: the table cannot be used, or names none of these radiographs.
            EvaluationError: a folder holds no heatmap of the cohort.
            SettingsError: see `OtherProgram`.
        """
        return cls(
            read_probabilities(predictions, part.table["image"].tolist()),
            {each: heatmap_files(folder, part) for each, folder in heatmaps.items()},
            threshold=threshold,
            name=predictions.stem,
        )

    def labelled(self, manifest: Manifest) -> Manifest:
        """The cohort itself: the probability is that of its positive label."""
        self._labels = manifest.labels
        return manifest

    def beside(self, methods: Sequence[str]) -> tuple[str, ...]:
        """All heatmaps but the first.

        Raises:
            SettingsError: methods are asked for, which need a model.
        """
        if methods:
            raise SettingsError(
                "another program's model cannot be explained by further methods",
                remedy="give its heatmaps as --heatmaps NAME=FOLDER",
            )
        return tuple(self._heatmaps)[1:]

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every two heatmaps, and each with the baselines that do not look at the model."""
        against = [(each, base) for each in self._heatmaps for base in ("usual_location", "lungs")]
        return (*combinations(self._heatmaps, 2), *against)

    def explain(
        self, films: Sequence[Film], others: Sequence[str] = (), *, lungs: bool = False
    ) -> Iterator[Explained | Failed]:
        """Read radiographs and their heatmaps in order."""
        for image, source in films:
            try:
                if image not in self._probabilities:
                    raise ImageError("has no probability", remedy="add it to the predictions")
                yield self._explained(image, read_film(*source), others, lungs=lungs)
            except ImageError as error:
                reason = ImageError(error.problem, remedy=error.remedy)
                yield Failed(image, Finding.from_error(image, reason, self.name))

    def _explained(
        self, image: str, film: Radiograph, others: Sequence[str], *, lungs: bool
    ) -> Explained:
        probability = self._probabilities[image]
        heatmap = self._heat(self.heatmap, image, film)
        decided = Finding.from_prediction(
            image,
            probability=probability,
            threshold=self.threshold,
            labels=self._labels,
            model=self.name,
            notes=film.notes,
        )
        odds = np.clip(probability, _LEAST, 1 - _LEAST)
        anatomy = self._anatomy(film) if lungs else NO_ANATOMY
        return Explained(
            image,
            film,
            float(np.log(odds / (1 - odds))),
            heatmap,
            completed(
                decided, self._labels, heatmap=heatmap, region_threshold=self.region_threshold
            ),
            {each: self._heat(each, image, film) for each in others},
            None if anatomy.lungs is None else film.orientation.stored(anatomy.lungs),
            lungs_found=anatomy.found,
        )

    def _heat(self, name: str, image: str, film: Radiograph) -> NDArray[np.float32]:
        source = self._heatmaps.get(name, {}).get(image)
        if source is not None:
            try:
                values = read_values(source) if isinstance(source, Path) else np.asarray(source)
                relative = on_film(values, film.height, film.width)
                if np.isnan(relative).any():
                    self._unusable[name, image] = f"{image}: holds a value that is not finite"
                return on_film_scale(relative, max(self._probabilities[image], _LEAST_HEAT))
            except EvaluationError as error:
                self._unusable[name, image] = f"{image}: {error}"
        elif name in self._heatmaps:
            self._without[name].add(image)
        return np.zeros((film.height, film.width), dtype=np.float32)

    @cached_property
    def _segmenter(self) -> LungSegmenter:
        return LungSegmenter.load()

    def _anatomy(self, film: Radiograph) -> Anatomy:
        """The lungs on the upright radiograph."""
        pixels, letterbox = model_input(film.upright(), self._segmenter.info.side)
        (grid,) = self._segmenter.segment(pixels[None])
        return anatomy_of(pixels, grid, letterbox, density=False)

    def fitted(self, predictions: Predictions) -> dict[str, Any]:
        """No calibration and no review band of its own: what chance alone would show as ECE."""
        chance = chance_calibration_error(predictions.probabilities).to_dict()
        return {"calibration": {"ece_of_chance": chance}, "abstention": None}

    def known(
        self, manifest: Manifest, part: Manifest, digests: Sequence[str], predictions: Predictions
    ) -> dict[str, Any]:
        """Nothing: which radiographs the program was made with is not known."""
        return {"overlap": None, "trained_on_this_cohort": None}

    def facts(self) -> list[tuple[str, str]]:
        """What was given."""
        given = ", ".join(self._heatmaps) or "none"
        threshold = f"{self.threshold:.4f}, as given"
        return [("Program", self.name), ("Heatmaps", given), ("Threshold", threshold)]

    def notes(self) -> list[str]:
        """What to know of the heatmaps that were read so far."""
        said = [
            f"{len(images)} radiographs have no heatmap '{name}' ({_some(images)}): they count as "
            "empty heatmaps, which hit nothing."
            for name, images in self._without.items()
            if images
        ]
        if self._unusable:
            first = next(iter(self._unusable.values()))
            said.append(
                f"{len(self._unusable)} heatmaps could not be used and count as empty. The first: "
                f"{first}"
            )
        return said


def read_probabilities(path: Path, images: Sequence[str]) -> dict[str, float]:
    """Read a CSV with `image,probability`; other columns and other radiographs are passed over.

    Args:
        path: the table; folders and suffixes of its names may be missing.
        images: the radiographs of the cohort that are measured.

    Returns:
        Image as in the cohort to the probability of the positive label.

    Raises:
        CohortError: a column is missing, a name stands twice or may mean two radiographs, a
            probability is no number in [0, 1], or no radiograph is named.
    """
    found = read_rows(path)
    if missing := [name for name in _COLUMNS if name not in found.header]:
        raise CohortError(
            f"lacks the columns {', '.join(missing)} (found: {', '.join(found.header)})",
            path=path,
            remedy="give a CSV with image,probability",
        )
    name, value = (found.header.index(column) for column in _COLUMNS)
    names = [row[name] for row in found.rows]
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        raise CohortError(f"names {twice[0]} twice", path=path, remedy="keep one line of each")
    values = {row[name]: row[value] for row in found.rows}
    by_image = matched(images, names, path)
    if not by_image:
        raise CohortError(
            "names none of the radiographs to be measured",
            path=path,
            # It may be right, and of another split, as out-of-fold predictions are.
            remedy=f"write images as the cohort does, for instance {images[0]}, or measure "
            "another split",
        )
    return {image: _probability(values[own], own, path) for image, own in by_image.items()}


def _probability(text: str, name: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise CohortError(
            f"the probability of {name} is {text!r}",
            path=path,
            remedy="give a number from 0 to 1; of logits give the sigmoid",
        )
    return value


def _some(images: set[str]) -> str:
    names = sorted(images)
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
