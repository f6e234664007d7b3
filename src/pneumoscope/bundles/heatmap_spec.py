"""Which heatmap: a method's name, and what is done to its map.

Written `METHOD[+mirror][+lungs][+density][+smooth]`, for instance `gradcam` or
`regional+mirror+lungs+smooth`:

- `mirror`: the mean of the map and of the mirror image's map (and of their logits);
- `lungs`: at last the geometric mean of the map and the probability that a pixel is lung;
- `density`: the map times the density factor: pneumonia is denser than the lung around it;
- `smooth`: then every place gets the mean of the lung around it; needs `lungs`, which is then the
  product with that probability.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pneumoscope.errors import SettingsError

_FORM = re.compile(
    r"(?P<method>[a-z][a-z0-9_]*)(?P<mirror>\+mirror)?(?P<lungs>\+lungs)?"
    r"(?P<density>\+density)?(?P<smooth>\+smooth)?"
)
_REMEDY = (
    "write METHOD, then +mirror, +lungs, +density and +smooth as wanted, in this order; +smooth "
    "needs +lungs"
)


@dataclass(frozen=True, slots=True)
class HeatmapSpec:
    """A method of `localize` with its refinements.

    Raises:
        SettingsError: `smooth` without `lungs`.
    """

    method: str
    mirror: bool = False
    lungs: bool = False
    density: bool = False
    smooth: bool = False

    def __post_init__(self) -> None:
        if self.smooth and not self.lungs:
            raise SettingsError(f"'{self}' is not a heatmap", remedy=_REMEDY)

    @property
    def anatomical(self) -> bool:
        """Whether it needs to know where the lungs are."""
        return self.lungs or self.density

    @classmethod
    def parse(cls, text: str) -> HeatmapSpec:
        """Read `METHOD[+mirror][+lungs][+density][+smooth]`.

        Raises:
            SettingsError: it has another form, or `smooth` without `lungs`.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise SettingsError(f"'{text}' is not a heatmap", remedy=_REMEDY)
        names = ("mirror", "lungs", "density", "smooth")
        return cls(match["method"], *(bool(match[name]) for name in names))

    def __str__(self) -> str:
        return (
            self.method
            + "+mirror" * self.mirror
            + "+lungs" * self.lungs
            + "+density" * self.density
            + "+smooth" * self.smooth
        )
