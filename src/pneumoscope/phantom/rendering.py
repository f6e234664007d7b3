"""One radiograph: the layers put together, exposed and developed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.phantom import bones, devices, exposure, lesions, thorax
from pneumoscope.phantom.anatomy import Anatomy, View
from pneumoscope.phantom.fields import Field, Frame, Mask
from pneumoscope.phantom.lesions import Box, Lesions

BODY = 0.35


@dataclass(frozen=True)
class Phantom:
    """A rendered radiograph and what is known about it.

    Attributes:
        pixels: (height, width) float32 in [0, 1], bright is dense.
        lesion: (height, width) True on lesions; all False for a normal chest.
        lungs: (height, width) True on both whole lungs, lesions and what lies behind the heart
            included.
        boxes: (x, y, width, height) in pixels, tight around each 8-connected part of `lesion`.
    """

    pixels: Field
    lesion: Mask
    lungs: Mask
    boxes: tuple[Box, ...]


def render(
    rng: np.random.Generator,
    anatomy: Anatomy,
    view: View,
    pneumonia: Lesions | None = None,
    *,
    size: int = 256,
    planted: bool = False,
) -> Phantom:
    """Render one view of a patient.

    Args:
        rng: source of what differs between exposures: devices, letters and noise.
        anatomy: the patient.
        view: position, breath and exposure.
        pneumonia: the patient's lesions; None for a normal chest.
        size: height in pixels; the width is `size` times the view's aspect.
        planted: draw the planted marker (see `PhantomSettings.marker_label_correlation`).
    """
    frame = Frame.of(size, round(size * view.aspect), view.pose)
    chest = thorax.lay_out(frame, anatomy, view)
    opacity = (
        lesions.nothing(frame)
        if pneumonia is None
        else lesions.project(frame, pneumonia, chest.fields)
    )
    fittings = devices.draw_devices(rng, anatomy, view)
    tissue = thorax.soft_tissue(frame, anatomy, view, chest)
    attenuation = np.maximum(tissue - _air(frame, anatomy, chest, opacity.density), 0)
    body = tissue > BODY
    attenuation += bones.skeleton(frame, anatomy, view, chest)
    attenuation += devices.hardware(frame, anatomy, fittings)
    gray = exposure.develop(exposure.expose(rng, attenuation, view), body, view)
    gray = exposure.collimate(frame, gray, view)
    pixels = np.maximum(gray, devices.letters(frame, fittings, planted))
    return Phantom(pixels, opacity.mask, chest.lungs, opacity.boxes)


def _air(frame: Frame, anatomy: Anatomy, chest: thorax.Thorax, density: Field) -> Field:
    """Air along the beam, less vessels and grain, less the fluid of lesions.

    In a lesion the vessels drown in fluid and the airways beside them stay dark: subtracting the
    vessels' tree there draws the air bronchogram.
    """
    tree = bones.vessels(frame, anatomy, chest)
    markings = tree * (1 - 2.0 * density)
    markings += bones.interstitium(frame, anatomy, chest)
    return chest.air * (1 - density) - markings
