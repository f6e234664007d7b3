"""Phantom: procedural chest radiographs with exact lesion masks and boxes.

Enters: `PhantomSettings`.
Leaves: a folder (`write_cohort`), or one radiograph in memory (`render`).
For tests, tutorials and sanity checks; no phantom is derived from a patient.
May import: Pillow, scipy. No torch.
"""

from pneumoscope.phantom.anatomy import draw_anatomy, draw_view
from pneumoscope.phantom.lesions import KINDS, draw_lesions
from pneumoscope.phantom.rendering import render
from pneumoscope.phantom.settings import PhantomSettings
from pneumoscope.phantom.writing import PhantomCohort, write_cohort

__all__ = [
    "KINDS",
    "PhantomCohort",
    "PhantomSettings",
    "draw_anatomy",
    "draw_lesions",
    "draw_view",
    "render",
    "write_cohort",
]
