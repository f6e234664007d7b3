"""Which heatmap: a method's name, and what is done to its map.

Written `METHOD[+mirror][+lungs][+density]`, for instance `gradcam` or `regional+mirror+lungs`:

- `mirror`: the mean of the map and of the mirror image's map (and of their logits);
- `lungs`: the geometric mean of the map and the probability that a pixel is lung;
- `density`: the map times the density factor: pneumonia is denser than the lung around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pneumoscope.errors import SettingsError

_FORM = re.compile(
    r"(?P<method>[a-z][a-z0-9_]*)(?P<mirror>\+mirror)?(?P<lungs>\+lungs)?"
    r"(?P<density>\+density)?"
)


@dataclass(frozen=True, slots=True)
class HeatmapSpec:
    """A method of `localize` with its refinements."""

    method: str
    mirror: bool = False
    lungs: bool = False
    density: bool = False

    @property
    def anatomical(self) -> bool:
        """Whether it needs to know where the lungs are."""
        return self.lungs or self.density

    @classmethod
    def parse(cls, text: str) -> HeatmapSpec:
        """Read `METHOD[+mirror][+lungs][+density]`.

        Raises:
            SettingsError: it has another form.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise SettingsError(
                f"'{text}' is not a heatmap",
                remedy="write METHOD, then +mirror, +lungs and +density as wanted, in this order",
            )
        return cls(
            match["method"], bool(match["mirror"]), bool(match["lungs"]), bool(match["density"])
        )

    def __str__(self) -> str:
        return (
            self.method
            + "+mirror" * self.mirror
            + "+lungs" * self.lungs
            + "+density" * self.density
        )
