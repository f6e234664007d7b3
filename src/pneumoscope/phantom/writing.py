"""A phantom cohort on disk: patients, labels, views, files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope import __version__
from pneumoscope.files import atomic_path, new_folder, write_json, write_text
from pneumoscope.phantom.anatomy import Anatomy, View, draw_anatomy, draw_view
from pneumoscope.phantom.lesions import Lesions, draw_lesions
from pneumoscope.phantom.rendering import Phantom, render
from pneumoscope.phantom.settings import PhantomSettings

LABEL_BLOCK = 4
COHORT_COLUMNS = ("image", "label", "patient", "view", "kind", "marker")
BOX_COLUMNS = ("image", "x", "y", "width", "height")


@dataclass(frozen=True)
class PhantomCohort:
    """A phantom cohort as it was written.

    Attributes:
        root: the folder; paths in the tables are relative to it.
        cohort_csv: `image,label,patient,view,kind,marker`, one row per radiograph.
        boxes_csv: `image,x,y,width,height` in pixels of the stored image, one row per lesion.
        radiographs, patients, positives, lesions: counts (`positives` in radiographs).
    """

    root: Path
    cohort_csv: Path
    boxes_csv: Path
    radiographs: int
    patients: int
    positives: int
    lesions: int


@dataclass(frozen=True)
class Case:
    """One radiograph to render: who, which view, and its own seed."""

    patient: str
    name: str
    label: str
    anatomy: Anatomy
    view: View
    pneumonia: Lesions | None
    planted: bool
    rng: np.random.Generator

    @property
    def kind(self) -> str:
        """The kind of pneumonia, or "normal"."""
        return "normal" if self.pneumonia is None else self.pneumonia.kind

    def render(self, size: int) -> Phantom:
        """The radiograph, `size` pixels high; uses up the case's random numbers."""
        return render(
            self.rng, self.anatomy, self.view, self.pneumonia, size=size, planted=self.planted
        )


def write_cohort(
    out: Path,
    settings: PhantomSettings,
    progress: Callable[[int, int], None] | None = None,
) -> PhantomCohort:
    """Write a phantom cohort into the new folder `out`.

    Files: `images/NAME.png` (8-bit gray), `lungs/NAME.png` (0 or 255: both lungs, with what lies
    behind the heart), `masks/NAME.png` (0 or 255: lesions; only for PNEUMONIA), `cohort.csv`,
    `boxes.csv` and `phantom.json` (settings and version). Labels are NORMAL and PNEUMONIA; names
    say nothing about them.

    Args:
        out: a folder that does not exist yet or is empty.
        settings: what to write.
        progress: called with (radiographs done, radiographs in all) after each.

    Raises:
        OutputError: `out` is not empty or cannot be written.
    """
    root = new_folder(Path(out))
    rows: list[tuple[str | int, ...]] = []
    boxes: list[tuple[str | int, ...]] = []
    for case in cases(settings):
        phantom = case.render(settings.size)
        image = _write_images(root, case, phantom)
        rows.append((image, case.label, case.patient, case.view.name, case.kind, int(case.planted)))
        boxes += [(image, *box) for box in phantom.boxes]
        if progress is not None:
            progress(len(rows), settings.n)
    _write_table(root / "cohort.csv", COHORT_COLUMNS, rows)
    _write_table(root / "boxes.csv", BOX_COLUMNS, boxes)
    write_json(root / "phantom.json", {"version": __version__, "settings": asdict(settings)})
    return PhantomCohort(
        root=root,
        cohort_csv=root / "cohort.csv",
        boxes_csv=root / "boxes.csv",
        radiographs=len(rows),
        patients=len({row[2] for row in rows}),
        positives=sum(row[1] == "PNEUMONIA" for row in rows),
        lesions=len(boxes),
    )


def cases(settings: PhantomSettings) -> Iterator[Case]:
    """Yield the cohort's radiographs in order; each is independent of how many there are.

    Patient p's anatomy, lesions and number of views come from the seed's child (p,), its view v
    from the child (p, v + 1): neither depends on `n`, on the order or on other patients.
    """
    remaining, patient = settings.n, 0
    while remaining > 0:
        rng = _generator(settings.seed, patient)
        views = min(remaining, int(rng.integers(1, settings.max_views + 1)))
        anatomy = draw_anatomy(rng)
        # Drawn for everyone, so that a patient's body does not depend on the label.
        pneumonia = draw_lesions(rng, anatomy)
        positive = is_positive(settings.seed, settings.prevalence, patient)
        for view in range(views):
            own = _generator(settings.seed, patient, view + 1)
            yield Case(
                patient=f"P{patient + 1:04d}",
                name=f"phantom-{patient + 1:04d}-{view + 1}",
                label="PNEUMONIA" if positive else "NORMAL",
                anatomy=anatomy,
                view=draw_view(own, anatomy),
                pneumonia=pneumonia if positive else None,
                planted=_plants(own, positive, settings.marker_label_correlation),
                rng=own,
            )
        remaining -= views
        patient += 1


def is_positive(seed: int, prevalence: float, patient: int) -> bool:
    """Whether a patient has pneumonia.

    Patients come in blocks of LABEL_BLOCK, each with its share of positives (to rounding, which
    evens out over blocks) in random order: even a small cohort has both labels.
    """
    block, place = divmod(patient, LABEL_BLOCK)
    before, after = (floor(b * LABEL_BLOCK * prevalence + 0.5) for b in (block, block + 1))
    order = np.random.default_rng([seed, block, 0x1ABE1]).permutation(LABEL_BLOCK)
    return bool(order[place] < after - before)


def _plants(rng: np.random.Generator, positive: bool, correlation: float | None) -> bool:
    agrees = rng.random()
    return correlation is not None and (positive if agrees < correlation else not positive)


def _generator(seed: int, *place: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


def _write_images(root: Path, case: Case, phantom: Phantom) -> str:
    """Write a radiograph and its masks; return the radiograph's path relative to `root`."""
    image = f"images/{case.name}.png"
    _write_png(root / image, np.rint(phantom.pixels * 255).astype(np.uint8))
    _write_png(root / "lungs" / f"{case.name}.png", phantom.lungs * np.uint8(255))
    if case.pneumonia is not None:
        _write_png(root / "masks" / f"{case.name}.png", phantom.lesion * np.uint8(255))
    return image


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=3)


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple[str | int, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())
