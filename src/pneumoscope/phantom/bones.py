"""Bones and vessels: ribs, spine, clavicles, shoulder blades, arms, and the lungs' markings."""

from __future__ import annotations

import numpy as np

from pneumoscope.phantom.anatomy import Anatomy, View
from pneumoscope.phantom.fields import (
    Canvas,
    Field,
    Frame,
    Points,
    curve,
    ramp,
    sample_lattice,
    smooth,
)
from pneumoscope.phantom.thorax import Thorax

LAST_RIB = 11


def skeleton(frame: Frame, anatomy: Anatomy, view: View, thorax: Thorax) -> Field:
    """Attenuation of all bones, (height, width) in nepers."""
    ribs = _posterior_ribs(frame, anatomy, thorax) + _anterior_ribs(frame, anatomy, thorax)
    # Under the diaphragm the same rib is a far smaller share of what the beam meets.
    ribs *= 0.35 + 0.65 * ramp(thorax.above + 0.02, 0.06)
    bones = ribs + _spine(frame, anatomy) + _shoulders(frame, anatomy, view)
    return anatomy.bone * bones


def vessels(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    """Attenuation of the pulmonary vessels where there is air around them, in nepers."""
    canvas = Canvas(frame)
    tree = anatomy.vessels
    canvas.segments(tree.paths, tree.widths, 0.22 + 75 * tree.widths)
    return 0.5 * canvas.field(blur=0.0022) * _aerated(thorax)


def interstitium(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    """The fine grain of the lungs, in nepers, mean about 0."""
    return 0.035 * sample_lattice(anatomy.grain, frame) * _aerated(thorax)


def _aerated(thorax: Thorax) -> Field:
    share: Field = np.clip(thorax.air / 1.2, 0, 1)
    return share


def _tubes(position: Field, width: float) -> Field:
    """Profile of ribs lying at whole numbers of `position`: flat, with denser cortex."""
    offset = np.abs(position - np.rint(position))
    inside = ramp(0.5 * width - offset, 0.11)
    return inside * (0.6 + 0.5 * (offset / (0.5 * width)) ** 4)


def _posterior_ribs(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    u = np.clip(frame.out / np.maximum(thorax.half, 0.05), 0, 1.2)
    depth = (frame.y - anatomy.apex) / 0.6
    steep = anatomy.rib_slope * (0.35 + 0.75 * depth)
    fall = steep * (0.17 * u**2.6 - 0.07 * np.sin(2.4 * u))
    pitch = anatomy.rib_pitch
    number = (frame.y - anatomy.apex - fall) / pitch - anatomy.rib_phase
    shown = ramp(thorax.wall + 0.012, 0.012) * ramp(number + 0.7, 0.3)
    shown *= ramp(LAST_RIB + 0.5 - number, 0.5) * ramp(frame.out - 0.02, 0.02)
    # Towards the side the beam runs along the rib: more bone in its way.
    return 0.29 * _tubes(number, 0.46) * shown * (1 + 0.8 * u**6)


def _anterior_ribs(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    u = np.clip(frame.out / np.maximum(thorax.half, 0.05), 0, 1.1)
    climb = 0.2 * anatomy.rib_slope * (1 - np.minimum(u, 1)) ** 0.9
    pitch = 1.12 * anatomy.rib_pitch
    number = (frame.y - anatomy.apex - climb) / pitch
    number -= 0.55 * anatomy.rib_phase + 0.2
    # The front ends are cartilage, which the beam does not see.
    shown = ramp(u - 0.5, 0.3) * ramp(thorax.wall + 0.006, 0.012)
    shown *= ramp(number + 0.5, 0.4) * ramp(6.5 - number, 0.5)
    return 0.17 * _tubes(number, 0.56) * shown


def _spine(frame: Frame, anatomy: Anatomy) -> Field:
    bend = anatomy.sway * np.sin(5 * frame.y)
    out = np.abs(frame.x - bend)
    body = ramp(0.031 - out, 0.012)
    phase = frame.y * (2 * np.pi / (0.82 * anatomy.rib_pitch))
    discs = 0.82 + 0.18 * np.sin(phase)
    pedicles = ramp(0.008 - np.abs(out - 0.02), 0.012)
    pedicles *= ramp(np.sin(phase) - 0.3, 0.6)
    spinous = ramp(0.006 - out, 0.008) * ramp(-np.sin(phase), 1.2)
    spine: Field = 0.4 * body * discs + 0.14 * pedicles + 0.12 * spinous
    return spine


def _shoulders(frame: Frame, anatomy: Anatomy, view: View) -> Field:
    """Clavicles, shoulder blades and the upper arms' bones, drawn as outlines with cortex."""
    blades, rods = Canvas(frame), Canvas(frame)
    for sign in (-1.0, 1.0):
        blade = _mirrored(_blade(anatomy, view), sign)
        blades.polygon(blade, 0.5)
        blades.line(blade, 0.008, 0.95)
        clavicle = _mirrored(_clavicle(anatomy), sign)
        clavicle[:, 0] += 0.02 * view.turn
        rods.line(clavicle, 0.027, 0.8)
        rods.line(clavicle, 0.016, 0.5)
        humerus = _mirrored(_humerus(anatomy, view), sign)
        rods.disc((humerus[0, 0], humerus[0, 1] - 0.01), 0.042, 0.75)
        rods.line(humerus, 0.042, 0.85)
        rods.line(humerus, 0.022, 0.5)
    bones = 0.24 * blades.field() + 0.6 * rods.field()
    return smooth(bones, 0.003 * frame.height)


def _mirrored(points: Points, sign: float) -> Points:
    return points * (sign, 1.0)


def _blade(anatomy: Anatomy, view: View) -> Points:
    """Outline of a shoulder blade; arms held forward turn it out of the lung."""
    top, reach, inner = anatomy.apex, anatomy.trunk, 0.245 + 0.1 * view.arms
    outline = [
        (reach - 0.01, top + 0.07),
        (inner + 0.02, top + 0.1),
        (inner, top + 0.2),
        (inner + 0.05, top + 0.4),
        (inner + 0.075, top + 0.38),
        (reach - 0.02, top + 0.15),
    ]
    return curve(outline)


def _clavicle(anatomy: Anatomy) -> Points:
    """The S of a clavicle, from the sternum to the shoulder."""
    top, rise = anatomy.apex, anatomy.clavicle
    spine = [
        (0.028, top + 0.12),
        (0.05, top + 0.112),
        (0.13, top + 0.09 - 0.4 * rise),
        (0.22, top + 0.05 - rise),
        (anatomy.trunk - 0.04, top + 0.06 - rise),
    ]
    return curve(spine)


def _humerus(anatomy: Anatomy, view: View) -> Points:
    """The upper arm's bone, from its head outwards and down."""
    head = (anatomy.trunk + 0.03, anatomy.apex + 0.13)
    end = (anatomy.trunk + 0.1 + 0.35 * view.arms, anatomy.apex + 0.92 - 0.5 * view.arms)
    return np.array([head, end])
