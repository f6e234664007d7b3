"""What inference gives for a file: an explained radiograph, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.errors import SettingsError
from pneumoscope.findings import Finding
from pneumoscope.imaging import Letterbox, Radiograph

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.report.notebook import Picture


@dataclass(frozen=True, slots=True, repr=False)
class Explained:
    """A radiograph with its finding.

    Attributes:
        name: the radiograph's name as given.
        radiograph: what was read.
        logit: log-odds of the positive class before calibration; NaN if the gate flagged it.
        heatmap: (height, width) float32 in [0, 1] on the radiograph's grid; all zero without
            evidence, and if the gate flagged it.
        finding: probability, decision, regions.
        others: heatmaps of further methods, as they were asked for.
        lungs: (height, width) float32 in [0, 1], probability of lung, one everywhere where none
            were found; None if nobody asked.
        lungs_found: whether lungs were found, if somebody asked.
    """

    name: str
    radiograph: Radiograph
    logit: float
    heatmap: NDArray[np.float32]
    finding: Finding
    others: Mapping[str, NDArray[np.float32]]
    lungs: NDArray[np.float32] | None
    lungs_found: bool = True

    @property
    def lung_mask(self) -> NDArray[np.bool_] | None:
        """Where the lungs are, (height, width); None where none were found or nobody asked."""
        return self.lungs >= 0.5 if self.lungs is not None and self.lungs_found else None

    def __repr__(self) -> str:
        height, width = self.heatmap.shape
        said = "not judged"
        if self.finding.probability is not None:
            said = f"{self.finding.label} {self.finding.probability:.3f}"
        return f"<Explained {self.name}: {said}, {width} x {height} pixels>"

    def to_dict(self) -> dict[str, Any]:
        """The finding, as a line of `findings.jsonl` holds it."""
        return self.finding.to_dict()

    def overlay(self, method: str | None = None, *, opacity: float = 0.45) -> Picture:
        """The radiograph with a heatmap over it, as a picture of Pillow.

        Args:
            method: one of `others`; by default the model's own heatmap, with the regions.
            opacity: of the hottest pixel's colour, 0 to 1.

        Raises:
            SettingsError: the method was not asked for.
        """
        from pneumoscope.report.notebook import overlay_picture

        if method is not None and method not in self.others:
            known = ", ".join(self.others) or "none"
            raise SettingsError(
                f"there is no heatmap '{method}' (others: {known})",
                remedy="ask for it: Reader.find(film, methods=[...])",
            )
        heatmap = self.heatmap if method is None else self.others[method]
        regions = self.finding.regions if method is None else ()
        return overlay_picture(self.radiograph.pixels, heatmap, regions, opacity)

    def _repr_html_(self) -> str:
        """For notebooks: radiograph, heatmap and regions, and the finding."""
        from pneumoscope.report.notebook import explained_html

        own = self.overlay() if self.finding.judged else None
        further = {name: self.overlay(name) for name in self.others}
        return explained_html(self.radiograph.pixels, own, further, self.finding)


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be used, with the reason as a finding."""

    name: str
    finding: Finding


def enlarged(finding: Finding, found: Letterbox, whole: Letterbox) -> Finding:
    """Bring the regions found on a smaller copy of the radiograph onto all of its pixels.

    Edges are rounded to whole pixels.
    """
    if found is whole or not finding.regions:
        return finding
    down, across = whole.height / found.height, whole.width / found.width
    regions = []
    for region in finding.regions:
        x, y = round(region.x * across), round(region.y * down)
        width = round((region.x + region.width) * across) - x
        height = round((region.y + region.height) * down) - y
        changes = {"x": x, "y": y, "width": width, "height": height}
        regions.append(region.model_copy(update=changes))
    return finding.model_copy(update={"regions": tuple(regions)})


def on_stored_pixels(finding: Finding, film: Radiograph) -> Finding:
    """The finding of the upright radiograph with its regions on the pixels as they are stored."""
    turn = film.orientation
    if turn.usual or not finding.regions:
        return finding
    shape = (film.width, film.height) if turn.transposed else (film.height, film.width)
    regions = []
    for region in finding.regions:
        box = (region.x, region.y, region.width, region.height)
        x, y, width, height = turn.stored_box(box, shape)
        changes = {"x": x, "y": y, "width": width, "height": height}
        regions.append(region.model_copy(update=changes))
    return finding.model_copy(update={"regions": tuple(regions)})
