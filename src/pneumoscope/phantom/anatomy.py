"""Who is radiographed and how: the parameters of a patient and of each view of that patient.

Lengths are in radiograph heights, in the patient coordinates of `fields`; side 0 is the patient's
right. Nothing here knows the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from pneumoscope.phantom.fields import Field, Points, Pose, noise_lattice


@dataclass(frozen=True)
class Vessels:
    """Segments of the pulmonary vessels.

    Attributes:
        paths: (k, 3, 2) polylines of three points, in patient coordinates.
        widths: (k,) widths in radiograph heights.
    """

    paths: Points
    widths: Points


@dataclass(frozen=True)
class Anatomy:
    """One patient: everything that is the same in all views.

    Attributes:
        apex: y of the lung apices.
        chest: half-width of the rib cage at its widest.
        domes: y of the top of the right and the left hemidiaphragm.
        dome_bulge: how far the domes fall towards the costophrenic angles.
        mediastinum: half-width of the upper mediastinum.
        heart, atrium, knob: how far the left ventricle, the right atrium and the aortic knob
            stand out of the mediastinum.
        heart_y: y of the ventricle's widest point.
        trunk: half-width of the trunk at the skin.
        bulk: thickness of soft tissue, 1 is average.
        breast: size of the breasts, 0 for none; `breast_y` is the y of their lower edge.
        air: how air-filled the lungs are, 1 is average.
        rib_pitch, rib_phase, rib_slope: spacing, position and steepness of the ribs.
        bone: density of bone, 1 is average.
        clavicle: rise of the clavicles from the sternum to the shoulder.
        hilum: size of the hila, 1 is average.
        bubble: size of the gastric air bubble.
        sway: lateral bend of the spine.
        pacemaker, sternotomy: implants.
        vessels: the pulmonary vessels.
        soft, grain: noise lattices of soft tissue and of the lungs' interstitium.
    """

    apex: float
    chest: float
    domes: tuple[float, float]
    dome_bulge: float
    mediastinum: float
    heart: float
    atrium: float
    knob: float
    heart_y: float
    trunk: float
    bulk: float
    breast: float
    breast_y: float
    air: float
    rib_pitch: float
    rib_phase: float
    rib_slope: float
    bone: float
    clavicle: float
    hilum: float
    bubble: float
    sway: float
    pacemaker: bool
    sternotomy: bool
    vessels: Vessels
    soft: Field
    grain: Field


@dataclass(frozen=True)
class View:
    """One exposure of a patient.

    Attributes:
        name: "PA" (standing) or "AP" (in bed: larger heart, higher diaphragm, more scatter).
        aspect: width over height of the radiograph.
        pose: where the patient is on the radiograph.
        breath: how far the diaphragm stands above its level at full inspiration.
        magnify: magnification of the heart.
        turn: rotation about the long axis, -1 to 1: one lung is darker, the midline shifts.
        arms: how far the arms are held from the trunk, 0 beside it, 1 off the radiograph.
        haze: overlying soft tissue (folds, blankets) per side, 0 to about 0.5.
        contrast: attenuation per unit of tissue.
        brightness: mean gray level of the body, in [0, 1], that the exposure control aims at.
        scatter, photons, blur: scattered share, photons per pixel in air, blur in radiograph
            heights.
        window: share of the gray scale that the anatomy spans.
        margins: width of the collimated border, left, top, right, bottom, in radiograph heights.
    """

    name: str
    aspect: float
    pose: Pose
    breath: float
    magnify: float
    turn: float
    arms: float
    haze: tuple[float, float]
    contrast: float
    brightness: float
    scatter: float
    photons: float
    blur: float
    window: float
    margins: tuple[float, float, float, float]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient."""
    chest = rng.uniform(0.28, 0.345)
    apex = rng.uniform(0.09, 0.16)
    right_dome = rng.uniform(0.66, 0.78)
    hilum = rng.uniform(0.7, 1.35)
    bulk = rng.uniform(0.75, 1.3)
    return Anatomy(
        apex=apex,
        chest=chest,
        domes=(right_dome, right_dome + rng.uniform(0.0, 0.035)),
        dome_bulge=rng.uniform(0.07, 0.13),
        mediastinum=rng.uniform(0.042, 0.06),
        heart=rng.uniform(0.07, 0.14),
        atrium=rng.uniform(0.012, 0.038),
        knob=rng.uniform(0.006, 0.028),
        heart_y=right_dome - rng.uniform(0.03, 0.07),
        trunk=chest + 0.045 + 0.05 * bulk + rng.uniform(-0.01, 0.015),
        bulk=bulk,
        breast=rng.uniform(0.5, 1.2) if rng.random() < 0.5 else 0.0,
        breast_y=right_dome + rng.uniform(-0.08, 0.1),
        air=rng.uniform(0.82, 1.15),
        rib_pitch=rng.uniform(0.066, 0.08),
        rib_phase=rng.uniform(0.0, 1.0),
        rib_slope=rng.uniform(0.7, 1.35),
        bone=rng.uniform(0.7, 1.25),
        clavicle=rng.uniform(0.0, 0.07),
        hilum=hilum,
        bubble=rng.uniform(0.02, 0.06) if rng.random() < 0.6 else 0.0,
        sway=rng.normal(0.0, 0.006),
        pacemaker=rng.random() < 0.07,
        sternotomy=rng.random() < 0.08,
        vessels=_grow_vessels(rng, apex, right_dome, chest, hilum),
        soft=noise_lattice(rng, 24),
        grain=noise_lattice(rng, 220),
    )


def draw_view(rng: np.random.Generator, anatomy: Anatomy) -> View:
    """Draw one exposure of `anatomy`: position, breath, beam and collimation."""
    in_bed = rng.random() < 0.4
    scatter = rng.uniform(0.25, 0.6) if in_bed else rng.uniform(0.08, 0.3)
    margins = tuple(
        float(margin) if rng.random() < 0.3 else 0.0 for margin in rng.uniform(0.01, 0.06, 4)
    )
    return View(
        name="AP" if in_bed else "PA",
        aspect=rng.uniform(0.86, 1.14),
        pose=Pose(
            scale=rng.uniform(0.98, 1.22),
            shift=(rng.normal(0.0, 0.022), rng.normal(0.02, 0.025)),
            tilt=rng.normal(0.0, 0.035),
        ),
        breath=rng.uniform(0.03, 0.13) if in_bed else rng.uniform(0.0, 0.05),
        magnify=rng.uniform(1.05, 1.3) if in_bed else rng.uniform(0.9, 1.1),
        turn=float(np.clip(rng.normal(0.0, 0.4), -1, 1)),
        arms=rng.uniform(0.0, 0.5) if in_bed else rng.uniform(0.3, 1.0),
        haze=(abs(rng.normal(0.0, 0.2)), abs(rng.normal(0.0, 0.2))),
        contrast=rng.uniform(0.8, 1.1),
        brightness=rng.uniform(0.46, 0.6),
        scatter=scatter,
        photons=10 ** rng.uniform(4.0, 5.0),
        blur=rng.uniform(0.0, 0.0022),
        window=rng.uniform(0.75, 1.15),
        margins=(margins[0], margins[1], margins[2], margins[3]),
    )


def _grow_vessels(
    rng: np.random.Generator, apex: float, dome: float, chest: float, hilum: float
) -> Vessels:
    """Grow the pulmonary vessels: trees that start at the hila, fan out, fork and thin out.

    All branches grow at once, one generation of segments after the other.
    """
    starts = 9
    sign = np.repeat([-1.0, 1.0], starts)
    heading = np.tile(np.linspace(-1.35, 1.4, starts), 2) + rng.normal(0, 0.12, 2 * starts)
    width = 0.0085 * hilum * rng.uniform(0.55, 1.25, 2 * starts)
    root_y = apex + 0.43 * (dome - apex) + 0.01 * (1 - sign)
    tip = np.stack([sign * 0.062, root_y + 0.05 * np.sin(heading)], axis=1)
    paths, widths = [], []
    while width.size:
        length = rng.uniform(0.018, 0.038, width.size)
        # Vessels bend towards the base: gravity and the lung's own shape.
        after = heading + rng.normal(0.03, 0.2, width.size)
        middle = tip + _step(0.5 * length, heading, sign)
        end = middle + _step(0.5 * length, after, sign)
        paths.append(np.stack([tip, middle, end], axis=1))
        widths.append(width)
        fork = after + rng.choice((-1.0, 1.0), width.size) * rng.uniform(0.4, 0.9, width.size)
        forks = rng.random(width.size) < 0.45
        thinner = width * rng.uniform(0.76, 0.9, width.size)
        heading = np.clip(np.concatenate([after, fork[forks]]), -0.5 * pi, 0.55 * pi)
        width = np.concatenate([thinner, 0.8 * thinner[forks]])
        tip, sign = np.concatenate([end, end[forks]]), np.concatenate([sign, sign[forks]])
        alive = (width > 0.0011) & (np.abs(tip[:, 0]) < 1.05 * chest)
        tip, heading, width, sign = tip[alive], heading[alive], width[alive], sign[alive]
    return Vessels(np.concatenate(paths), np.concatenate(widths))


def _step(length: Points, heading: Points, sign: Points) -> Points:
    """Displacements of `length` outwards (side `sign`) and `heading` radians downwards."""
    return np.stack([length * sign * np.cos(heading), length * np.sin(heading)], axis=1)
