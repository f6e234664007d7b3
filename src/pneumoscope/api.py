"""The Python interface: `pneumoscope.load("model.onnx").find("film.dcm")`.

Same path as `pneumoscope predict`, without folders: radiographs in, findings and heatmaps out.
Research use only; not for diagnosis.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from pneumoscope.bundles import DEFAULT, BundleInfo
from pneumoscope.errors import ImageError, SettingsError
from pneumoscope.imaging import Radiograph, from_array, read_radiograph
from pneumoscope.inference import (
    Engine,
    Explained,
    Failed,
    Runtime,
    explain_in,
    load_engine,
    streams_for,
)
from pneumoscope.inference.selection import EngineChoice, PrecisionChoice
from pneumoscope.names import written

Film = str | os.PathLike[str] | NDArray[Any] | Image
"""A file, or pixels: a 2-D array with bright = dense, or a picture of Pillow; see `Reader.find`."""


def load(
    path: str | os.PathLike[str] = DEFAULT,
    *,
    engine: EngineChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int | None = None,
    expected: int | None = None,
    gate: bool = True,
) -> Reader:
    """Load a file of `pneumoscope export`, or a bundle or run if torch is installed.

    Args:
        path: the file or folder; without it, the bundle that is part of the package.
        engine: `onnxruntime` and `openvino` run files, `torch` runs folders.
        precision: `float32`, `bfloat16` or `int8`; `auto` takes only one whose answers on val are
            good.
        threads: of onnxruntime or OpenVINO, for one call; None for one per available CPU, or for
            each stream's share of them. Torch's own setting is left alone.
        expected: how many radiographs are to come. With 64 or more a self-test, a few seconds long
            and remembered, finds the quickest engine and precision on this machine, and up to four
            batches are computed at the same time; with fewer, or None, it is the engine that
            starts soonest, a batch at a time.
        gate: do not judge pictures that do not look like an upright frontal chest radiograph.

    Raises:
        BundleError: it is missing or altered, or a library is needed and not installed.
        SettingsError: there is no such engine for it, or no such precision.
    """
    found = load_engine(
        Path(path),
        engine=engine,
        precision=precision,
        threads=threads,
        expected=expected,
        streams=streams_for(expected or 0, threads),
    )
    return Reader(found, gate=gate)


class Reader:
    """Finds pneumonia on radiographs with one model.

    Args:
        engine: a loaded bundle.
        gate: ask the input gate of each radiograph.
    """

    def __init__(self, engine: Engine, *, gate: bool = True) -> None:
        self._engine = engine
        self._gate = gate

    def __repr__(self) -> str:
        return f"<Reader of {self.info.model_id} with {self.runtime}>"

    @property
    def info(self) -> BundleInfo:
        """What the model says of itself: labels, threshold, calibration, training."""
        return self._engine.info

    @property
    def engine(self) -> Engine:
        """What runs the model."""
        return self._engine

    @property
    def methods(self) -> tuple[str, ...]:
        """Heatmap methods of the model; +mirror, +lungs, +density and +smooth may follow each."""
        return tuple(self._engine.methods)

    @property
    def runtime(self) -> Runtime:
        """What computes, and in which precision."""
        return self._engine.runtime

    # A text is a sequence of texts, too; it means a file.
    @overload
    def find(  # type: ignore[overload-overlap]
        self,
        films: Film,
        *,
        threshold: float | None = None,
        batch_size: int = 16,
        methods: Sequence[str] = (),
    ) -> Explained: ...
    @overload
    def find(
        self,
        films: Sequence[Film],
        *,
        threshold: float | None = None,
        batch_size: int = 16,
        methods: Sequence[str] = (),
    ) -> list[Explained]: ...
    def find(
        self,
        films: Film | Sequence[Film],
        *,
        threshold: float | None = None,
        batch_size: int = 16,
        methods: Sequence[str] = (),
    ) -> Explained | list[Explained]:
        """Explain one radiograph, or several in their order.

        Args:
            films: a file (PNG, JPEG, TIFF, DICOM), an array, a picture of Pillow, or a list of
                these. An array is 2-D
                with bright = dense: uint8; uint16, whose full scale is that of the smallest depth
                of 8, 10, 12, 14 and 16 bits that holds its largest value, as of a file; or float
                in [0, 1].
            threshold: decide at this probability instead of the bundle's threshold.
            batch_size: radiographs per call of the engine.
            methods: further heatmaps, which come in `others`; see `methods`.

        Returns:
            For each radiograph its `finding` (probability, label, regions in the radiograph's
            pixels) and `heatmap` (height, width), float32 in [0, 1] on the radiograph's own pixels.
            What the gate flagged was not judged: `finding.judged` is False, label and probability
            are None, and the heatmap is zero.

        Raises:
            ImageError: a radiograph cannot be used; `stream` goes on instead.
            SettingsError: the threshold is outside [0, 1], or the batch is empty.
        """
        limit = self._checked(threshold, batch_size)
        if not isinstance(films, Iterable) or isinstance(films, str | np.ndarray | Image):
            (found,) = self._stream([films], limit, batch_size, methods)
            return _good(found)
        return [_good(item) for item in self._stream(films, limit, batch_size, methods)]

    def stream(
        self,
        films: Iterable[Film],
        *,
        threshold: float | None = None,
        batch_size: int = 16,
        methods: Sequence[str] = (),
    ) -> Iterator[Explained | Failed]:
        """Explain radiographs one after the other; memory stays flat however many there are.

        Arguments as of `find`; `films` may be a generator.

        Yields:
            In their order what `find` returns; for a radiograph that cannot be used a `Failed`,
            whose finding says why.

        Raises:
            SettingsError: the threshold is outside [0, 1], or the batch is empty.
        """
        return self._stream(films, self._checked(threshold, batch_size), batch_size, methods)

    def _checked(self, threshold: float | None, batch_size: int) -> float:
        """The threshold to decide at.

        Raises:
            SettingsError: it is outside [0, 1], or the batch is empty.
        """
        if batch_size < 1:
            raise SettingsError(f"the batch size is {batch_size}", remedy="give 1 or more")
        limit = self.info.threshold if threshold is None else threshold
        if not 0 <= limit <= 1:
            raise SettingsError(
                f"the threshold is {limit:g}", remedy="give a probability from 0 to 1"
            )
        return limit

    def _stream(
        self, films: Iterable[Film], threshold: float, batch_size: int, methods: Sequence[str]
    ) -> Iterator[Explained | Failed]:
        return explain_in(
            self._engine,
            _taken(films),
            read=_radiograph,
            threshold=threshold,
            batch_size=batch_size,
            others=several(methods),
            gate=self._gate,
        )


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; a text is one name, not one for each of its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _good(item: Explained | Failed) -> Explained:
    """Raises ImageError for a radiograph that could not be used."""
    if isinstance(item, Failed):
        raise ImageError(str(item.finding.error), path=item.name)
    return item


def _taken(films: Iterable[object]) -> Iterator[tuple[str, Path | Radiograph | ImageError]]:
    """Names, and files' paths or what arrays hold now: who gave one may fill it with the next."""
    for index, film in enumerate(films):
        if isinstance(film, str | os.PathLike):
            name = os.fspath(film) or "."
            yield written(name), Path(name)
            continue
        name = f"array-{index}"
        try:
            yield name, from_array(film, name)
        except ImageError as error:
            yield name, error


def _radiograph(
    taken: Path | Radiograph | ImageError, /, *, model: int | None = None
) -> Radiograph:
    if isinstance(taken, ImageError):
        raise taken
    return read_radiograph(taken, model=model) if isinstance(taken, Path) else taken
