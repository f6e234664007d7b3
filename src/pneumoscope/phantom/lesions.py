"""Pneumonia: consolidated lobes, patches and small opacities, with exact masks and boxes.

A lesion replaces air by fluid: where there is no air it shows nothing, and where it touches the
heart or the diaphragm their borders vanish, as on radiograph (the silhouette sign).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin, sqrt

import numpy as np
from scipy import ndimage

from pneumoscope.phantom.anatomy import Anatomy
from pneumoscope.phantom.fields import (
    Field,
    Frame,
    Mask,
    enlarge,
    noise_lattice,
    ramp,
    sample_lattice,
)

KINDS = ("lobar", "patchy", "small")
MASK_LEVEL = 0.4
SMALLEST = 1.2e-4

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Blob:
    """An ellipse: centre (x, y), radii (along, across), angle of the first, radians."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float


@dataclass(frozen=True)
class HalfPlane:
    """Where a |x| + b y > c, with a border `soft` radiograph heights wide; (a, b) has length 1."""

    a: float
    b: float
    c: float
    soft: float


@dataclass(frozen=True)
class Lesions:
    """The pneumonia of one patient, in patient coordinates, the same in all views.

    Attributes:
        kind: one of `KINDS`.
        blobs: opacities that overlap into patches; empty when `lobe` is not.
        side: the consolidated lobe's lung, 0 or 1.
        lobe: half-planes whose intersection is the consolidated part of a lung.
        ragged: how far noise moves the borders, in radii of a blob or softnesses of a lobe.
        fill: share of the air that fluid replaces, in [0, 1].
        border, fluff: noise lattices of the border's and the inside's texture.
    """

    kind: str
    blobs: tuple[Blob, ...]
    side: int
    lobe: tuple[HalfPlane, ...]
    ragged: float
    fill: float
    border: Field
    fluff: Field


@dataclass(frozen=True)
class Opacity:
    """The lesions of one view.

    Attributes:
        density: (height, width) share of the air replaced, in [0, 1].
        mask: (height, width) True where a lesion is more than MASK_LEVEL of its full extent,
            inside the visible lung fields.
        boxes: x, y, width, height in pixels of each 8-connected component of `mask`.
    """

    density: Field
    mask: Mask
    boxes: tuple[Box, ...]


def draw_lesions(rng: np.random.Generator, anatomy: Anatomy) -> Lesions:
    """Draw a pneumonia for `anatomy`: kind, place, extent and density."""
    kind = str(rng.choice(KINDS))
    blobs: tuple[Blob, ...] = ()
    lobe: tuple[HalfPlane, ...] = ()
    side = int(rng.random() < 0.5)
    if kind == "lobar":
        lobe = _draw_lobe(rng, anatomy, side)
        ragged, fill = rng.uniform(0.2, 0.5), rng.uniform(0.35, 0.8)
    elif kind == "patchy":
        blobs = _draw_patches(rng, anatomy)
        ragged, fill = rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.65)
    else:
        blobs = _draw_small(rng, anatomy)
        ragged, fill = rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.6)
    return Lesions(
        kind=kind,
        blobs=blobs,
        side=side,
        lobe=lobe,
        ragged=ragged,
        fill=fill,
        border=noise_lattice(rng, 60),
        fluff=noise_lattice(rng, 170),
    )


def project(frame: Frame, lesions: Lesions, lungs: Mask) -> Opacity:
    """Project `lesions` into a view with visible lung fields `lungs`."""
    inside = _lobe_depth(frame, lesions) if lesions.lobe else _blob_depth(frame, lesions.blobs)
    fluff = sample_lattice(lesions.fluff, frame)
    coarse = sample_lattice(lesions.border, frame.every(2))
    border = enlarge(coarse, frame.height, frame.width, 2)
    extent = ramp(inside + lesions.ragged * (border + 0.4 * fluff), 1.5)
    mask, boxes = _components((extent > MASK_LEVEL) & lungs, lungs)
    # Crumbs too small for a box are no lesions: outside the mask nothing is denser than its edge.
    extent = np.where(mask, extent, np.minimum(extent, MASK_LEVEL))
    texture = np.clip(0.95 + 0.13 * fluff + 0.12 * border, 0.2, 1.4)
    density = np.clip(lesions.fill * extent * texture, 0, 0.97)
    return Opacity(density, mask, boxes)


def nothing(frame: Frame) -> Opacity:
    """No lesion."""
    shape = (frame.height, frame.width)
    return Opacity(np.zeros(shape, np.float32), np.zeros(shape, np.bool_), ())


def _components(candidates: Mask, lungs: Mask) -> tuple[Mask, tuple[Box, ...]]:
    """Fill holes, drop components below SMALLEST of the radiograph, and box the others."""
    filled = ndimage.binary_fill_holes(candidates) & lungs
    labels, count = ndimage.label(filled, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = areas >= max(4, SMALLEST * filled.size)
    keep[0] = False
    boxes = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if keep[number]:
            rows, columns = place
            size = (columns.stop - columns.start, rows.stop - rows.start)
            boxes.append((int(columns.start), int(rows.start), int(size[0]), int(size[1])))
    return keep[labels], tuple(boxes)


def _blob_depth(frame: Frame, blobs: tuple[Blob, ...]) -> Field:
    """Largest of the blobs' depths: 0.5 at the centre, 0 on the edge, negative outside."""
    depth = np.full(frame.x.shape, -np.inf, np.float32)
    for blob in blobs:
        dx, dy = frame.x - (blob.centre[0]), frame.y - (blob.centre[1])
        c, s = cos(blob.angle), sin(blob.angle)
        along = (dx * c + dy * s) / blob.radii[0]
        across = (dy * c - dx * s) / blob.radii[1]
        np.maximum(depth, 0.5 * (1 - along * along - across * across), out=depth)
    return depth


def _lobe_depth(frame: Frame, lesions: Lesions) -> Field:
    """Depth inside the lobe in softnesses of the nearest border, at most 2."""
    depth = np.where(frame.side == lesions.side, 2, -2)
    for plane in lesions.lobe:
        inside = plane.a * frame.out + plane.b * frame.y - plane.c
        depth = np.minimum(depth, inside / plane.soft)
    return depth.astype(np.float32)


def _draw_lobe(rng: np.random.Generator, anatomy: Anatomy, side: int) -> tuple[HalfPlane, ...]:
    """Choose an upper, middle or lower part; the fissures are sharp, the other borders not."""
    height = anatomy.domes[side] - anatomy.apex
    fissure = anatomy.apex + height * rng.uniform(0.42, 0.52)
    slope = rng.normal(0.0, 0.12)
    a, b = slope / sqrt(1 + slope**2), 1 / sqrt(1 + slope**2)
    sharp, vague = rng.uniform(0.008, 0.02), rng.uniform(0.04, 0.09)
    part = str(rng.choice(("upper", "middle", "lower")))
    if part == "upper":
        start = anatomy.apex + height * rng.uniform(-0.05, 0.2)
        return (HalfPlane(-a, -b, -b * fissure, sharp), HalfPlane(0, 1, start, vague))
    if part == "middle":
        end = fissure + height * rng.uniform(0.28, 0.42)
        lateral = anatomy.chest * rng.uniform(0.6, 0.9)
        return (
            HalfPlane(a, b, b * fissure, sharp),
            HalfPlane(0, -1, -end, vague),
            HalfPlane(-1, 0, -lateral, vague),
        )
    top = fissure + height * rng.uniform(0.05, 0.25)
    medial = anatomy.chest * rng.uniform(0.15, 0.45)
    return (HalfPlane(a, b, b * top, vague), HalfPlane(1, 0, medial, vague))


def _place(rng: np.random.Generator, anatomy: Anatomy, side: int) -> tuple[float, float]:
    """A point well inside a lung, more often in its lower half."""
    height = anatomy.domes[side] - anatomy.apex
    t = 0.2 + 0.62 * rng.beta(1.6, 1.2)
    lateral = anatomy.chest * (0.6 + 0.25 * t)
    medial = 0.085 + (0.07 * t if side else 0.02 * t)
    x = rng.uniform(medial, lateral)
    return (x if side else -x, anatomy.apex + t * height)


def _draw_patches(rng: np.random.Generator, anatomy: Anatomy) -> tuple[Blob, ...]:
    """One or two clusters of overlapping blobs, in one lung or both."""
    blobs = []
    first = int(rng.random() < 0.5)
    for cluster in range(int(rng.integers(1, 4))):
        side = (first + cluster) % 2
        x, y = _place(rng, anatomy, side)
        for _ in range(int(rng.integers(3, 8))):
            radius = rng.uniform(0.02, 0.05)
            centre = (x + rng.normal(0, 0.035), y + rng.normal(0, 0.04))
            radii = (radius * rng.uniform(1.0, 1.6), radius)
            blobs.append(Blob(centre, radii, rng.uniform(0, pi)))
    return tuple(blobs)


def _draw_small(rng: np.random.Generator, anatomy: Anatomy) -> tuple[Blob, ...]:
    """Two to six small rounded opacities."""
    blobs = []
    for _ in range(int(rng.integers(2, 7))):
        side = int(rng.random() < 0.5)
        radius = rng.uniform(0.018, 0.034)
        radii = (radius * rng.uniform(1.0, 1.4), radius)
        blobs.append(Blob(_place(rng, anatomy, side), radii, rng.uniform(0, pi)))
    return tuple(blobs)
