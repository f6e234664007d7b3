"""Soft tissue and air: the trunk, the lungs' outline and depth, mediastinum, breasts, stomach.

Attenuation is in nepers for a beam of nominal contrast; 1 is about 5 cm of water.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.phantom.anatomy import Anatomy, View
from pneumoscope.phantom.fields import (
    Canvas,
    Field,
    Frame,
    Mask,
    Points,
    bump,
    capsule,
    chord,
    curve,
    enlarge,
    lookup,
    ramp,
    sample_lattice,
    smooth,
    table_axis,
)

LUNG_AIR = 2.3
BEHIND_DIAPHRAGM = 0.26
EDGE = 0.006


@dataclass(frozen=True)
class Thorax:
    """The chest of one view, each field (height, width).

    Attributes:
        wall: distance inside the rib cage's inner surface (negative outside), radiograph heights.
        half: the rib cage's half-width at the pixel's height.
        above: distance above the diaphragm (negative below).
        air: what the lungs' air takes away from the trunk's attenuation, at least 0.
        lungs: the whole lungs: inside the rib cage, above the diaphragm, beside the mediastinum,
            with what lies behind and before the heart.
        fields: the visible lung fields: the lungs beside the heart.
    """

    wall: Field
    half: Field
    above: Field
    air: Field
    lungs: Mask
    fields: Mask


def lay_out(frame: Frame, anatomy: Anatomy, view: View) -> Thorax:
    """Shape the lungs of `anatomy` as `view` shows them."""
    axis = table_axis()
    half = lookup(_rib_cage(axis, anatomy), frame, frame.y)
    wall = half - frame.out
    above = lookup(_diaphragm(axis, anatomy, view), frame, frame.out) - frame.y
    hilum_side, heart_side = _mediastinum(axis, anatomy, view)
    beside = frame.out - lookup(hilum_side, frame, frame.y)
    clear = frame.out - lookup(heart_side, frame, frame.y)
    below_apex = frame.y - anatomy.apex
    within = np.minimum(wall, np.minimum(above, below_apex))
    air = _air_depth(frame, anatomy, view, wall, half, above, beside, clear)
    fields = np.minimum(within, clear) > 0
    return Thorax(wall, half, above, air, fields | (np.minimum(within, beside) > 0), fields)


def soft_tissue(frame: Frame, anatomy: Anatomy, view: View, thorax: Thorax) -> Field:
    """Attenuation of the body as if the lungs were solid, breasts and folds included."""
    # The large shapes are smooth: every second pixel is enough for them.
    coarse = frame.every(2)
    body = _trunk(coarse, anatomy, view)
    if anatomy.breast > 0:
        body += _breasts(coarse, anatomy)
    left = ramp(coarse.x, 0.12)
    haze = view.haze[0] * (1 - left) + view.haze[1] * left
    body += haze * ramp(thorax.wall[::2, ::2] + 0.02, 0.06)
    body += 0.07 * sample_lattice(anatomy.soft, coarse) * ramp(body - 0.8, 0.8)
    body = enlarge(body, frame.height, frame.width, 2)
    body += _mediastinal_tissue(frame, anatomy, view)
    if anatomy.bubble > 0:
        body -= _gastric_bubble(frame, anatomy, thorax)
    return body


def _rib_cage(axis: Points, anatomy: Anatomy) -> Points:
    """Half-width of the rib cage's inner surface at each height: a dome, then nearly straight."""
    widest = anatomy.domes[0] + 0.06
    t = np.clip((axis - anatomy.apex) / (widest - anatomy.apex), 0.0, None)
    top = 0.15
    rise = np.sqrt(np.clip(1 - np.clip(1 - t, 0, 1) ** 2.5, 0, 1))
    cap = np.sqrt(np.clip(1 - (1 - np.clip(t / 0.13, 0.0, 1.0)) ** 2, 0, 1))
    half = (top + (anatomy.chest - top) * rise) * (0.6 + 0.4 * cap)
    half -= 0.05 * np.clip(t - 1, 0, 1)
    half[axis < anatomy.apex] = 0.07
    return np.stack([half, half])


def _diaphragm(axis: Points, anatomy: Anatomy, view: View) -> Points:
    """Height of the diaphragm at each distance from the midline: domes, steep at the angles."""
    tables = []
    for side, dome in enumerate(anatomy.domes):
        u = np.clip(axis / anatomy.chest, 0, 1.2)
        peak = 0.42 + 0.06 * side
        fall = anatomy.dome_bulge * np.where(u > peak, ((u - peak) / (1 - peak)) ** 2, 0.0)
        inner = 0.03 * np.where(u < peak, ((peak - u) / peak) ** 2, 0.0)
        tables.append(dome - view.breath + fall + 0.035 * u**9 + inner)
    return np.stack(tables)


def _mediastinum(axis: Points, anatomy: Anatomy, view: View) -> tuple[Points, Points]:
    """Half-widths at each height: of the mediastinum alone, and with heart and great vessels."""
    top, turn = anatomy.apex, 0.018 * view.turn
    span = anatomy.heart_y - top
    narrow = anatomy.mediastinum
    # At the apex the mediastinal edge swings out to meet the rib cage: a rounded lung top.
    cap = 0.045 * np.clip(1 - (axis - top) / 0.06, 0, 1) ** 2
    heart_y = anatomy.heart_y - 0.6 * view.breath
    base = narrow + cap + 0.008 * bump(axis, top + 0.5 * span, 0.1, 0.2)
    right = narrow + cap + anatomy.atrium * view.magnify * bump(axis, heart_y, 0.1, 0.13)
    right += 0.012 * view.magnify * bump(axis, top + 0.35 * span, 0.15, 0.1) - turn
    left = narrow + cap + anatomy.knob * bump(axis, top + 0.36 * span, 0.035, 0.05) + turn
    left += 0.012 * bump(axis, top + 0.56 * span, 0.05, 0.08)
    left += anatomy.heart * view.magnify * bump(axis, heart_y + 0.02, 0.19, 0.12)
    return np.stack([base - turn, base + turn]), np.stack([right, left])


def _air_depth(
    frame: Frame,
    anatomy: Anatomy,
    view: View,
    wall: Field,
    half: Field,
    above: Field,
    beside: Field,
    clear: Field,
) -> Field:
    """Air along the beam: deep in the middle of each lung, a little behind heart and diaphragm."""
    depth = chord(wall, 0.75 * half) * (0.55 + 0.45 * chord(beside, 0.09))
    top = np.clip((frame.y - anatomy.apex) / 0.3, 0, 1)
    depth *= 0.5 + 0.5 * np.sqrt(top)
    depth *= 0.3 * ramp(beside, 0.03) + 0.7 * ramp(clear, EDGE * 1.5)
    recess = np.clip(1 + above / 0.13, 0, 1) * BEHIND_DIAPHRAGM
    depth *= np.maximum(ramp(above, EDGE), recess)
    turned = np.where(frame.side == 0, 1 + 0.07 * view.turn, 1 - 0.07 * view.turn)
    deflated = 1 - 1.2 * view.breath
    return depth * (turned * (LUNG_AIR * anatomy.air * deflated)).astype(np.float32)


def _trunk(frame: Frame, anatomy: Anatomy, view: View) -> Field:
    """Neck, shoulders, arms and trunk as rounded bodies."""
    shoulder_y = anatomy.apex + 0.07
    across = 1 - np.clip(frame.out / anatomy.trunk, 0, 1) ** 3
    thickness = np.sqrt(across) * ramp(frame.y - (shoulder_y + 0.04), 0.2)
    downward = np.clip((frame.y - 0.3) / 0.6, 0, 1)
    bulk = 0.35 * (anatomy.bulk - 1)
    body = thickness * (3.0 + bulk + 1.5 * downward)
    reach = anatomy.trunk + 0.03
    neck = 1.9 * capsule(frame, (0.0, -0.2), (0.0, anatomy.apex + 0.16), 0.115)
    body = np.maximum(body, neck)
    for sign in (-1.0, 1.0):
        root, tip = (sign * 0.05, anatomy.apex + 0.03), (sign * reach, shoulder_y + 0.07)
        girdle = (2.2 + bulk) * capsule(frame, root, tip, 0.14)
        hand = (sign * (reach + 0.08 + 0.35 * view.arms), shoulder_y + 0.85 - 0.5 * view.arms)
        arm = (1.7 + bulk) * capsule(frame, tip, hand, 0.075)
        body = np.maximum(body, np.maximum(girdle, arm))
    return smooth(body, 0.016 * frame.height)


def _mediastinal_tissue(frame: Frame, anatomy: Anatomy, view: View) -> Field:
    """What heart and great vessels add in the middle, less the trachea's and bronchi's air."""
    middle = 1 - np.clip(frame.out / 0.11, 0, 1) ** 2
    lower = ramp(frame.y - (anatomy.heart_y - 0.05), 0.3)
    tissue: Field = 0.22 * middle * (1 + lower)
    shift = 0.015 * view.turn
    carina = anatomy.apex + 0.22
    airway = Canvas(frame)
    airway.line(np.array([(0.3 * shift, -0.05), (shift, carina)]), 0.034, 1.0)
    for sign, drop in ((-1.0, 0.065), (1.0, 0.05)):
        middle_third = (shift + sign * 0.03, carina + 0.6 * drop)
        end = (shift + sign * 0.065, carina + drop)
        airway.line(curve([(shift, carina - 0.008), middle_third, end]), 0.02, 0.7)
    tissue -= 0.6 * airway.field(blur=0.005)
    return tissue


def _breasts(frame: Frame, anatomy: Anatomy) -> Field:
    """Breast shadows: dense towards a rounded lower edge, fading upwards."""
    radius = 0.1 + 0.05 * anatomy.breast
    dx = (frame.out - 0.58 * anatomy.chest) / (radius * 1.05)
    dy = (frame.y - anatomy.breast_y + radius) / radius
    dy = np.where(dy < 0, dy * 0.6, dy)
    inside = 1 - dx * dx - dy * dy
    depth = np.sqrt(np.clip(inside, 0, 1)) * ramp(dy + 0.3, 1.8)
    shadow: Field = 0.8 * anatomy.breast * depth
    return shadow


def _gastric_bubble(frame: Frame, anatomy: Anatomy, thorax: Thorax) -> Field:
    """Air in the stomach, close under the left dome."""
    dx = (frame.x - 0.13) / (1.7 * anatomy.bubble)
    dy = (thorax.above + 0.012 + anatomy.bubble) / anatomy.bubble
    depth = np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
    bubble: Field = 1.1 * depth * (frame.x > 0)
    return bubble
