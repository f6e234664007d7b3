"""What can be assessed: whatever gives a probability and heatmaps for a radiograph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import stated_sizes
from pneumoscope.evaluate import Predictions
from pneumoscope.inference import Explained, Failed

Film = tuple[str, tuple[Path, tuple[int, int] | None]]
"""Image, and its file with the (height, width) it had before somebody squashed it."""


class Subject(Protocol):
    """A model, or the output of a program."""

    @property
    def name(self) -> str:
        """The model's id."""
        ...

    @property
    def threshold(self) -> float:
        """A probability of at least this is positive."""
        ...

    @property
    def heatmap(self) -> str:
        """The name of its own heatmap, for which the other heatmaps are rivals."""
        ...

    @property
    def region_threshold(self) -> float:
        """Heat from which a pixel belongs to a region."""
        ...

    def labelled(self, manifest: Manifest) -> Manifest:
        """The cohort with the labels that this subject tells apart.

        Raises:
            EvaluationError: it has none of them.
        """
        ...

    def beside(self, methods: Sequence[str]) -> tuple[str, ...]:
        """The heatmaps to measure beside its own.

        Args:
            methods: further ones that were asked for.
        """
        ...

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The heatmaps and baselines to compare, two at a time, radiograph by radiograph."""
        ...

    def explain(
        self, films: Sequence[Film], others: Sequence[str] = (), *, lungs: bool = False
    ) -> Iterator[Explained | Failed]:
        """Explain radiographs in their order.

        Args:
            films: of the cohort.
            others: heatmaps beside its own.
            lungs: find the lungs, too.
        """
        ...

    def fitted(self, predictions: Predictions) -> dict[str, Any]:
        """`calibration` and `abstention` of `metrics.json`; None for what it does not have."""
        ...

    def known(
        self, manifest: Manifest, part: Manifest, digests: Sequence[str], predictions: Predictions
    ) -> dict[str, Any]:
        """`overlap` and `trained_on_this_cohort` of `metrics.json`.

        Args:
            manifest: the whole cohort.
            part: the radiographs that were measured.
            digests: hex SHA-256 of their files.
            predictions: theirs.
        """
        ...

    def facts(self) -> list[tuple[str, str]]:
        """What a report says of the model: (name, value)."""
        ...

    def notes(self) -> list[str]:
        """What a reader must know of what was read so far, in sentences."""
        ...

    @property
    def splits(self) -> Mapping[str, Mapping[str, int]]:
        """How many radiographs of each label, and patients, it was trained with, by split."""
        ...


def films_of(part: Manifest) -> list[Film]:
    """The radiographs of a manifest, for `Subject.explain`.

    Raises:
        CohortError: a stated size is no positive number.
    """
    films = zip(part.paths(), stated_sizes(part.table), strict=True)
    return list(zip(part.table["image"].tolist(), films, strict=True))
