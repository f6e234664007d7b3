"""What lies on or in the patient, and the letters on the radiograph. None of it knows the label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.phantom.anatomy import Anatomy, View
from pneumoscope.phantom.fields import Canvas, Field, Frame, curve

METAL = 1.5
LETTER = 0.045
PLANTED_RADIUS = 0.03


@dataclass(frozen=True)
class Devices:
    """Lines and tubes of one view, in patient coordinates, and where the side marker lies.

    Attributes:
        lines: (points of a curve, width, opacity).
        electrodes: centres of ECG electrodes.
        side_marker: "L" or "R", on the side it names.
        marker_place: the letter's distance from the radiograph's top and nearer side, radiograph
            heights.
        caption: words printed beside the letter, or "".
    """

    lines: tuple[tuple[tuple[tuple[float, float], ...], float, float], ...]
    electrodes: tuple[tuple[float, float], ...]
    side_marker: str
    marker_place: tuple[float, float]
    caption: str


def draw_devices(rng: np.random.Generator, anatomy: Anatomy, view: View) -> Devices:
    """Draw lines, electrodes and letters: more of them on radiographs taken in bed."""
    top, in_bed = anatomy.apex, view.name == "AP"
    lines = []
    electrodes: list[tuple[float, float]] = []
    if rng.random() < (0.35 if in_bed else 0.06):
        lines.append((_central_line(rng, top), 0.0055, 0.55))
    if rng.random() < (0.3 if in_bed else 0.04):
        lines.append((_feeding_tube(rng, anatomy), 0.006, 0.5))
    if rng.random() < (0.25 if in_bed else 0.0):
        lines.append((((0.0, -0.1), (0.004, top + 0.05), (0.0, top + 0.14)), 0.012, 0.4))
    if rng.random() < (0.6 if in_bed else 0.1):
        for _ in range(int(rng.integers(2, 5))):
            spot = (rng.uniform(-0.33, 0.33), rng.uniform(top + 0.1, top + 0.6))
            electrodes.append(spot)
            lines.append((_lead_wire(rng, spot), 0.0035, 0.5))
    captions = ("", "AP", "PORTABLE") if in_bed else ("", "", "PA")
    return Devices(
        lines=tuple(lines),
        electrodes=tuple(electrodes),
        side_marker="L" if rng.random() < 0.75 else "R",
        marker_place=(rng.uniform(0.02, 0.13), rng.uniform(0.02, 0.09)),
        caption=str(rng.choice(captions)),
    )


def hardware(frame: Frame, anatomy: Anatomy, devices: Devices) -> Field:
    """Attenuation of devices and implants, (height, width) in nepers."""
    canvas = Canvas(frame)
    for points, width, opacity in devices.lines:
        canvas.line(curve(points), width, opacity)
    for centre in devices.electrodes:
        canvas.disc(centre, 0.014, 0.35)
        canvas.disc(centre, 0.006, 0.9)
    if anatomy.sternotomy:
        for y in np.linspace(anatomy.apex + 0.12, anatomy.apex + 0.46, 5):
            loop = [(-0.012, y), (0.0, y - 0.008), (0.012, y), (0.0, y + 0.008), (-0.012, y)]
            canvas.line(curve(loop), 0.004, 0.9)
    if anatomy.pacemaker:
        _draw_pacemaker(canvas, anatomy)
    return METAL * canvas.field(blur=0.001)


def letters(frame: Frame, devices: Devices, planted: bool) -> Field:
    """Gray level that the marks drawn on the radiograph add, (height, width) in [0, 1]."""
    image = Image.new("L", (frame.width, frame.height))
    draw = ImageDraw.Draw(image)
    top, side = (round(part * frame.height) for part in devices.marker_place)
    on_right = devices.side_marker == "L"
    x, anchor = (frame.width - side, "ra") if on_right else (side, "la")
    draw.text((x, top), devices.side_marker, fill=240, font=_font(frame.height, 1), anchor=anchor)
    if devices.caption:
        below = top + round(1.3 * LETTER * frame.height)
        draw.text((x, below), devices.caption, 205, _font(frame.height, 0.7), anchor=anchor)
    if planted:
        radius = PLANTED_RADIUS * frame.height
        draw.circle((1.6 * radius, 1.6 * radius), radius, fill=235)
    return np.asarray(image, dtype=np.float32) / 255


@cache
def _font(height: int, scale: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6.0, scale * LETTER * 1.35 * height))


def _central_line(rng: np.random.Generator, top: float) -> tuple[tuple[float, float], ...]:
    """From the neck or under a clavicle into the superior vena cava, on the patient's right."""
    tip = (-0.035, top + rng.uniform(0.24, 0.36))
    if rng.random() < 0.5:
        return ((-0.07, -0.05), (-0.06, top), (-0.038, top + 0.13), tip)
    side = 1.0 if rng.random() < 0.4 else -1.0
    return ((side * 0.3, top + 0.16), (side * 0.17, top + 0.07), (-0.02, top + 0.12), tip)


def _feeding_tube(rng: np.random.Generator, anatomy: Anatomy) -> tuple[tuple[float, float], ...]:
    stomach = anatomy.domes[1] + rng.uniform(0.05, 0.12)
    return ((0.005, -0.1), (0.008, anatomy.apex + 0.3), (0.02, stomach - 0.05), (0.12, stomach))


def _lead_wire(
    rng: np.random.Generator, spot: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    exit_x = rng.choice((-1.0, 1.0)) * rng.uniform(0.1, 0.5)
    bend = (0.5 * (spot[0] + exit_x) + rng.normal(0, 0.05), 0.5 * spot[1] + rng.normal(0, 0.05))
    return (spot, bend, (exit_x, -0.1))


def _draw_pacemaker(canvas: Canvas, anatomy: Anatomy) -> None:
    top = anatomy.apex
    x, y = 0.2, top + 0.15
    lead = [(x - 0.03, y), (0.08, top + 0.1), (-0.03, top + 0.2), (-0.035, top + 0.4)]
    canvas.line(curve([*lead, (0.06, anatomy.heart_y + 0.05)]), 0.005, 0.7)
    corners = np.array([(x - 0.04, y - 0.025), (x + 0.04, y - 0.03)])
    lower = np.array([(x + 0.035, y + 0.03), (x - 0.035, y + 0.03)])
    canvas.polygon(np.concatenate([corners, lower]), 0.95)
