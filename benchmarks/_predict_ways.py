"""Runs of `pneumoscope predict` as a user starts it, and what they are measured against."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.errors import EvaluationError
from pneumoscope.inference import Engine
from pneumoscope.inference.heatmaps import run_heatmaps
from pneumoscope.lungs import LungSegmenter

# As `predict` takes them by default.
_AT_ONCE = 16
_BITS = 12


class Program:
    """A program that is run to its end, from a start of its own each time."""

    def __init__(self, *arguments: str, radiographs: int = 1) -> None:
        self.command = [sys.executable, *arguments]
        self.radiographs = radiographs

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def step(self) -> int:
        _run(self.command)
        return self.radiographs


class Predict:
    """`pneumoscope predict` on all radiographs of a folder, into a new folder each time."""

    def __init__(self, films: Path, bundle: Path, count: int, options: Sequence[str]) -> None:
        self.count = count
        self.command = [sys.executable, "-m", "pneumoscope", "predict", str(films)]
        self.command += ["--bundle", str(bundle), *options]
        self.folder = Path()
        self.runs = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What is written is thrown away after the turn."""
        with tempfile.TemporaryDirectory() as name:
            self.folder = Path(name)
            yield

    def step(self) -> int:
        self.runs += 1
        out = self.folder / str(self.runs)
        _run([*self.command, "--out", str(out)])
        with (out / "findings.jsonl").open(encoding="utf-8") as lines:
            found = sum('"error": null' in line or '"error":null' in line for line in lines)
        if found != self.count:
            raise EvaluationError(
                f"{found} of {self.count} radiographs were read", remedy="give other radiographs"
            )
        return self.count


class BareEngine:
    """The networks alone, the lungs' too if the heatmap needs them, on pixels in memory.

    In as many streams as the command has.
    """

    def __init__(self, engine: Engine, pixels: NDArray[np.uint8]) -> None:
        self.engine = engine
        self.spec = HeatmapSpec.parse(self.engine.info.heatmap)
        self.segmenter = LungSegmenter.load() if self.spec.anatomical else None
        self.pixels = pixels

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def step(self) -> int:
        parts = [
            self.pixels[start : start + _AT_ONCE] for start in range(0, len(self.pixels), _AT_ONCE)
        ]
        with ThreadPoolExecutor(self.engine.streams) as pool:
            for _ in pool.map(self._run, parts):
                pass
        return len(self.pixels)

    def _run(self, part: NDArray[np.uint8]) -> None:
        run_heatmaps(self.engine, part, (self.spec,), self.segmenter)


def write_as_dicom(films: list[Path], folder: Path) -> list[Path]:
    """The same radiographs as uncompressed DICOM files of 12 bits, as detectors write them."""
    folder.mkdir(parents=True)
    written = []
    for film in films:
        with Image.open(film) as image:
            grey = np.asarray(image.convert("L"), dtype=np.uint16)
        path = folder / f"{film.stem}.dcm"
        _dicom(grey << (_BITS - 8)).save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def _dicom(stored: NDArray[np.uint16]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientID = "phantom"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, _BITS, _BITS - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.tobytes()
    return dataset


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EvaluationError(
            f"a program failed with exit code {done.returncode} ({last})",
            remedy=f"run it by hand: {' '.join(command)}",
        )
