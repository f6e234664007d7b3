"""Density: how likely a place's brightness is to be that of an opacity.

Enters: a letterboxed radiograph (uint8) and its lungs.
Leaves: a factor in (0, 1) for each place, from the radiograph's own lungs and from an atlas of
normal radiographs that comes with the package; atlases, to make another.
May import: numpy, Pillow. No torch, no other room.
"""

from pneumoscope.density.atlas import SHIPPED, Atlas, Frame, read_atlases, write_atlases
from pneumoscope.density.prior import DensityPrior, shipped_prior
from pneumoscope.density.relative import SIDE, on_grid, relative_density

__all__ = [
    "SHIPPED",
    "SIDE",
    "Atlas",
    "DensityPrior",
    "Frame",
    "on_grid",
    "read_atlases",
    "relative_density",
    "shipped_prior",
    "write_atlases",
]
