"""Which heatmap: a method's name, and what is done to its map.

Written `METHOD[+mirror][+lungs]`, for instance `gradcam` or `regional+mirror+lungs`:

- `mirror`: the mean of the map and of the mirror image's map (and of their logits);
- `lungs`: the geometric mean of the map and the probability that a pixel is lung.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pneumoscope.errors import SettingsError

_FORM = re.compile(r"(?P<method>[a-z][a-z0-9_]*)(?P<mirror>\+mirror)?(?P<lungs>\+lungs)?")


@dataclass(frozen=True, slots=True)
class HeatmapSpec:
    """A method of `localize` with its refinements."""

    method: str
    mirror: bool = False
    lungs: bool = False

    @classmethod
    def parse(cls, text: str) -> HeatmapSpec:
        """Read `METHOD[+mirror][+lungs]`.

        Raises:
            SettingsError: it has another form.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise SettingsError(
                f"'{text}' is no heatmap",
                remedy="write METHOD, METHOD+mirror, METHOD+lungs or METHOD+mirror+lungs",
            )
        return cls(match["method"], bool(match["mirror"]), bool(match["lungs"]))

    def __str__(self) -> str:
        return self.method + "+mirror" * self.mirror + "+lungs" * self.lungs
