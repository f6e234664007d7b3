"""Bones and vessels: ribs, spine, clavicles, shoulder blades, arms, and the lungs' markings."""

from __future__ import annotations

import numpy as np

from pneumoscope.cohort.phantom.anatomy import Anatomy, View
from pneumoscope.cohort.phantom.fields import (
    Canvas,
    Field,
    Frame,
    curve,
    ramp,
    sample_lattice,
    smooth,
)
from pneumoscope.cohort.phantom.thorax import Thorax

LAST_RIB = 11


def skeleton(frame: Frame, anatomy: Anatomy, view: View, thorax: Thorax) -> Field:
    """Attenuation of all bones, (height, width) in nepers."""
    ribs = _posterior_ribs(frame, anatomy, thorax) + _anterior_ribs(frame, anatomy, thorax)
    # Under the diaphragm the same rib is a far smaller share of what the beam meets.
    ribs *= np.float32(0.35) + np.float32(0.65) * ramp(thorax.above + np.float32(0.02), 0.06)
    bones = ribs + _spine(frame, anatomy) + _shoulders(frame, anatomy, view)
    return np.float32(anatomy.bone) * bones


def vessels(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    """Attenuation of the pulmonary vessels where there is air around them, in nepers."""
    canvas = Canvas(frame)
    tree = anatomy.vessels
    canvas.segments(tree.paths, tree.widths, 0.22 + 75 * tree.widths)
    return np.float32(0.5) * canvas.field(blur=0.0022) * _aerated(thorax)


def interstitium(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    """The fine grain of the lungs, in nepers, mean about 0."""
    return np.float32(0.035) * sample_lattice(anatomy.grain, frame) * _aerated(thorax)


def _aerated(thorax: Thorax) -> Field:
    return np.clip(thorax.air / np.float32(1.2), 0, 1)


def _tubes(position: Field, width: float) -> Field:
    """Profile of ribs lying at whole numbers of `position`: flat, with denser cortex."""
    offset = np.abs(position - np.rint(position))
    inside = ramp(np.float32(0.5 * width) - offset, 0.11)
    return inside * (np.float32(0.6) + np.float32(0.5) * (offset / np.float32(0.5 * width)) ** 4)


def _posterior_ribs(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    u = np.clip(frame.out / np.maximum(thorax.half, np.float32(0.05)), 0, 1.2)
    depth = (frame.y - np.float32(anatomy.apex)) / np.float32(0.6)
    steep = np.float32(anatomy.rib_slope) * (np.float32(0.35) + np.float32(0.75) * depth)
    fall = steep * (np.float32(0.17) * u**2.6 - np.float32(0.07) * np.sin(np.float32(2.4) * u))
    pitch = np.float32(anatomy.rib_pitch)
    number = (frame.y - np.float32(anatomy.apex) - fall) / pitch - np.float32(anatomy.rib_phase)
    shown = ramp(thorax.wall + np.float32(0.012), 0.012) * ramp(number + 0.7, 0.3)
    shown *= ramp(LAST_RIB + 0.5 - number, 0.5) * ramp(frame.out - np.float32(0.02), 0.02)
    # Towards the side the beam runs along the rib: more bone in its way.
    return np.float32(0.29) * _tubes(number, 0.46) * shown * (1 + np.float32(0.8) * u**6)


def _anterior_ribs(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    u = np.clip(frame.out / np.maximum(thorax.half, np.float32(0.05)), 0, 1.1)
    climb = np.float32(0.2 * anatomy.rib_slope) * (1 - np.minimum(u, 1)) ** np.float32(0.9)
    pitch = np.float32(1.12 * anatomy.rib_pitch)
    number = (frame.y - np.float32(anatomy.apex) - climb) / pitch
    number -= np.float32(0.55 * anatomy.rib_phase + 0.2)
    # The front ends are cartilage, which the beam does not see.
    shown = ramp(u - np.float32(0.5), 0.3) * ramp(thorax.wall + np.float32(0.006), 0.012)
    shown *= ramp(number + 0.5, 0.4) * ramp(6.5 - number, 0.5)
    return np.float32(0.17) * _tubes(number, 0.56) * shown


def _spine(frame: Frame, anatomy: Anatomy) -> Field:
    bend = np.float32(anatomy.sway) * np.sin(np.float32(5) * frame.y)
    out = np.abs(frame.x - bend)
    body = ramp(np.float32(0.031) - out, 0.012)
    phase = frame.y * np.float32(2 * np.pi / (0.82 * anatomy.rib_pitch))
    discs = np.float32(0.82) + np.float32(0.18) * np.sin(phase)
    pedicles = ramp(np.float32(0.008) - np.abs(out - np.float32(0.02)), 0.012)
    pedicles *= ramp(np.sin(phase) - np.float32(0.3), 0.6)
    spinous = ramp(np.float32(0.006) - out, 0.008) * ramp(-np.sin(phase), 1.2)
    return (
        np.float32(0.4) * body * discs + np.float32(0.14) * pedicles + np.float32(0.12) * spinous
    )


def _shoulders(frame: Frame, anatomy: Anatomy, view: View) -> Field:
    """Clavicles, shoulder blades and the upper arms' bones, drawn as outlines with cortex."""
    blades, rods = Canvas(frame), Canvas(frame)
    top = anatomy.apex
    for sign in (-1.0, 1.0):
        reach = anatomy.trunk + 0.01
        shift = 0.02 * view.turn
        # Arms held forward turn the shoulder blades out of the lungs.
        inner = 0.245 + 0.1 * view.arms
        blade = curve(
            [(sign * (reach - 0.02), top + 0.07), (sign * (inner + 0.02), top + 0.1)]
            + [(sign * inner, top + 0.2), (sign * (inner + 0.05), top + 0.4)]
            + [(sign * (inner + 0.075), top + 0.38), (sign * (reach - 0.03), top + 0.15)]
        )
        blades.polygon(blade, 0.5)
        blades.line(blade, 0.008, 0.95)
        rise = anatomy.clavicle
        clavicle = curve(
            [(shift + sign * 0.028, top + 0.12), (shift + sign * 0.05, top + 0.112)]
            + [(shift + sign * 0.13, top + 0.09 - 0.4 * rise)]
            + [(sign * 0.22, top + 0.05 - rise), (sign * (reach - 0.05), top + 0.06 - rise)]
        )
        rods.line(clavicle, 0.027, 0.8)
        rods.line(clavicle, 0.016, 0.5)
        rods.disc((shift + sign * 0.034, top + 0.12), 0.018, 0.6)
        rods.disc((sign * (reach + 0.01), top + 0.12), 0.042, 0.75)
        end = (sign * (reach + 0.09 + 0.35 * view.arms), top + 0.92 - 0.5 * view.arms)
        shaft = np.array([(sign * (reach + 0.02), top + 0.13), end])
        rods.line(shaft, 0.042, 0.85)
        rods.line(shaft, 0.022, 0.5)
    bones = np.float32(0.24) * blades.field() + np.float32(0.6) * rods.field()
    return smooth(bones, 0.003 * frame.height)
