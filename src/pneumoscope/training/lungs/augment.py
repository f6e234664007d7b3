"""Augmentation for the lung segmenter: heavy, because it has to travel.

It learns from upright children's radiographs and has to answer on adults, radiographs taken in bed,
lungs full of fluid, devices and photographs of radiographs. So geometry draws another framing
(zoom, shape of the chest, cropping, borders), tone another exposure and processing, and clutter
draws consolidations, lines and letters. Every draw is per radiograph, from torch's global
generator. Radiographs are mirrored too: lungs are lungs in dextrocardia and on a radiograph that
was turned over.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# What is smooth is drawn on every fourth pixel.
_COARSE = 4
# A fortieth of the square: what is folded where the lungs touch the radiograph's edge.
_LEAST_MARGIN = 0.05


def augment_lungs(films: Tensor, lungs: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Another radiograph of the same chest, and its lungs.

    Args:
        films: uint8 (B, 1, H, H), letterboxed.
        lungs: uint8 (B, 1, H, H), 1 on lung.
        side: side of the new radiographs.

    Returns:
        float32 (B, 1, side, side) in 0..255, and float32 (B, 1, side, side) in [0, 1].
    """
    images, masks, inside = _reframe(films.float() / 255, lungs.float(), side)
    images = _opacities(images, masks)
    images, masks = _no_chests(images, masks)
    images = _tone(images)
    images = _clutter(images)
    images = _detector(images)
    return images.clamp(0, 1) * inside * 255, masks


def _between(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count, 1, 1, 1).uniform_(low, high)


def _some(count: int, share: float) -> Tensor:
    """1 for a random share of the radiographs, else 0; (B, 1, 1, 1)."""
    return (torch.rand(count, 1, 1, 1) < share).float()


def _reframe(films: Tensor, lungs: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate, stretch, shift and mirror, then cut another shape out and letterbox it."""
    count = len(films)
    zoom = torch.exp(_between(count, math.log(0.58), math.log(1.4)))
    shape = torch.exp(_between(count, -0.45, 0.2))
    angle = _between(count, -20, 20) * (math.pi / 180) * (1 - 0.6 * _some(count, 0.6))
    mirror = 1 - 2 * _some(count, 0.5)
    across, down = mirror * zoom * shape.sqrt(), zoom / shape.sqrt()
    cos, sin = torch.cos(angle), torch.sin(angle)
    shear = _between(count, -0.08, 0.08)
    # From a pixel of the new radiograph to its place on the old one, in affine_grid's [-1, 1].
    rows = [
        [cos / across, (shear - sin) / across, _between(count, -0.25, 0.25)],
        [sin / down, cos / down, _between(count, -0.25, 0.25)],
    ]
    theta = torch.cat([torch.cat(row, dim=3) for row in rows], dim=2).view(count, 2, 3)
    grid = F.affine_grid(theta, [count, 1, side, side], align_corners=False)
    grid = grid + _bend(count, side)
    masks = F.grid_sample(lungs, grid, align_corners=False)
    # Beyond the old radiograph: more of the same body, or black or any gray, as a collimator leaves
    # it.
    on_film = F.grid_sample(torch.ones_like(films), grid, align_corners=False)
    body = F.grid_sample(films, _folded(grid, films, lungs), "bilinear", "border", False)
    gray = torch.rand(count, 1, 1, 1) * _some(count, 0.5)
    plain = F.grid_sample(films, grid, align_corners=False) + gray * (1 - on_film)
    images = torch.where(_some(count, 0.7) > 0, body, plain)
    inside = _window(count, side)
    return images, masks * inside, inside


def _bend(count: int, side: int) -> Tensor:
    """A smooth displacement of half of the radiographs: other proportions, a raised diaphragm."""
    bent = _some(count, 0.5) * _between(count, 0, 0.12)
    across, down = (_field(count, side, 4) * bent for _ in range(2))
    return torch.cat([across, down], dim=1).permute(0, 2, 3, 1)


def _folded(grid: Tensor, films: Tensor, lungs: Tensor) -> Tensor:
    """Send places beyond the radiograph back onto its margins, folded as often as they are away.

    The margins are what lies between the lungs and the radiograph's edges: neck, arms and abdomen
    go on, but no second pair of lungs appears. Children's radiographs end close below the
    diaphragm; without more abdomen the network would learn that a radiograph's lower edge is where
    lungs end.
    """
    count, _, height, width = films.shape
    axes = []
    for axis, length in ((3, width), (2, height)):
        other = 5 - axis
        film = _ends((films > 0.04).float().mean(dim=other).view(count, length) > 0.1)
        lung = _ends(lungs.amax(dim=other).view(count, length) > 0.5)
        place = grid[..., 3 - axis]
        low, high = film[0].view(-1, 1, 1), film[1].view(-1, 1, 1)
        before = (lung[0].view(-1, 1, 1) - low).clamp(min=_LEAST_MARGIN)
        after = (high - lung[1].view(-1, 1, 1)).clamp(min=_LEAST_MARGIN)
        place = torch.where(place < low, low + _triangle(low - place, before), place)
        place = torch.where(place > high, high - _triangle(place - high, after), place)
        axes.append(place)
    return torch.stack(axes, dim=-1)


def _triangle(distance: Tensor, period: Tensor) -> Tensor:
    """To and fro between 0 and `period`, as distance grows."""
    return period - (distance.remainder(2 * period) - period).abs()


def _ends(shown: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place, in affine_grid's [-1, 1], where `shown` (B, N) is true.

    A pixel and a half inwards, so that no black from beyond the radiograph is drawn in.
    """
    length = shown.shape[1]
    index = torch.arange(length)
    first = torch.where(shown, index, length).amin(dim=1).clamp(max=length - 1)
    last = torch.where(shown, index, -1).amax(dim=1).clamp(min=0)
    return (2 * first + 3) / length - 1, (2 * last - 1) / length - 1


def _window(count: int, side: int) -> Tensor:
    """What a radiograph of random shape covers of its letterboxed square, (B, 1, side, side)."""
    ratio = torch.exp(_between(count, -0.35, 0.35) * _some(count, 0.75))
    place = (torch.arange(side) + 0.5) / side * 2 - 1
    wide = (place.view(1, 1, 1, -1).abs() <= ratio.clamp(max=1)).float()
    tall = (place.view(1, 1, -1, 1).abs() <= (1 / ratio).clamp(max=1)).float()
    return wide * tall


def _opacities(images: Tensor, masks: Tensor) -> Tensor:
    """Fill parts of the lungs with fluid: up to four blobs each, soft or sharp, faint or dense.

    Some stay within the lungs, others hide their borders, as an effusion does.
    """
    count, _, side, _ = images.shape
    outside = (1 - masks) * (images > 0.05)
    area = outside.sum(dim=(1, 2, 3), keepdim=True) + 1
    tissue = (images * outside).sum(dim=(1, 2, 3), keepdim=True) / area
    x, y = _places(side // _COARSE)
    cells = F.interpolate(masks, size=(16, 16), mode="area").flatten(1) + 1e-4
    density = torch.zeros(count, 1, side // _COARSE, side // _COARSE)
    for _ in range(4):
        cell = torch.multinomial(cells, 1).view(count, 1, 1, 1)
        dx = x - (cell % 16 + torch.rand(count, 1, 1, 1)) / 16
        dy = y - (cell // 16 + torch.rand(count, 1, 1, 1)) / 16
        turn = _between(count, 0, math.pi)
        along = (dx * turn.cos() + dy * turn.sin()) / _between(count, 0.03, 0.3)
        athwart = (dy * turn.cos() - dx * turn.sin()) / _between(count, 0.03, 0.2)
        distance = along.square() + athwart.square()
        blob = torch.exp(-(distance ** _between(count, 0.8, 3)))
        strength = _between(count, 0.2, 1) * _some(count, 0.22)
        density = torch.maximum(density, blob * strength)
    density = _enlarge(density, side)
    spill = _some(count, 0.4)
    density = density * (spill + (1 - spill) * masks)
    level = tissue * _between(count, 0.85, 1.15) + 0.06 * _field(count, side, 12)
    return images + density * (level - images).clamp(min=0)


def _no_chests(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """A few pictures without lungs: shuffled tiles of radiographs, smooth or rough noise."""
    count, _, side, _ = images.shape
    if torch.rand(()) < 0.5:
        tile = side // 6
        tiles = F.unfold(images, tile, stride=tile)
        tiles = tiles[..., torch.randperm(tiles.shape[-1])]
        others = F.fold(tiles, (6 * tile, 6 * tile), tile, stride=tile)
        others = _enlarge(others, side)
    else:
        cells = int(torch.randint(2, side // _COARSE, ()))
        others = 0.5 + _field(count, side, cells) * _between(count, 0, 0.7)
        others = others + torch.randn_like(images) * _between(count, 0, 0.5)
    chest = 1 - _some(count, 0.04)
    return images * chest + others * (1 - chest), masks * chest


def _places(side: int) -> tuple[Tensor, Tensor]:
    """Centres of pixels in [0, 1], across (1, 1, 1, side) and down (1, 1, side, 1)."""
    place = (torch.arange(side) + 0.5) / side
    return place.view(1, 1, 1, -1), place.view(1, 1, -1, 1)


def _enlarge(coarse: Tensor, side: int) -> Tensor:
    return F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)


def _field(count: int, side: int, cells: int) -> Tensor:
    """Smooth noise in about [-1, 1], `cells` across the radiograph; (B, 1, side, side)."""
    lattice = torch.rand(count, 1, cells, cells) * 2 - 1
    size = (side // _COARSE, side // _COARSE)
    smooth = F.interpolate(lattice, size=size, mode="bicubic", align_corners=False)
    return _enlarge(smooth, side)


def _tone(images: Tensor) -> Tensor:
    """Uneven exposure, another characteristic curve, local contrast, clipped ends."""
    count, _, side, _ = images.shape
    images = images + _between(count, 0, 0.22) * _some(count, 0.6) * _field(count, side, 4)
    images = images.clamp(0, 1) ** torch.exp(_between(count, -0.7, 0.7))
    near = F.interpolate(images, size=(12, 12), mode="area")
    near = _enlarge(near, side)
    flatter = 0.5 + (images - near) * _between(count, 0.8, 2.0)
    share = _between(count, 0, 0.9) * _some(count, 0.3)
    images = images * (1 - share) + flatter * share
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * torch.exp(_between(count, -0.8, 0.5)) + mean
    images = images + _between(count, -0.2, 0.2)
    # A monotone curve through five random levels, as another maker's processing.
    steps = torch.rand(count, 4).cumsum(dim=1) + 0.3 * torch.arange(1, 5)
    curve = F.pad(steps, (1, 0)) / steps[:, -1:]
    position = images.clamp(0, 1) * 4
    low = position.floor().clamp(max=3)
    flat = low.long().view(count, -1)
    start = curve.gather(1, flat).view_as(images)
    end = curve.gather(1, flat + 1).view_as(images)
    curved = start + (position - low) * (end - start)
    return torch.where(_some(count, 0.5) > 0, curved, images.clamp(0, 1))


def _clutter(images: Tensor) -> Tensor:
    """Letters, plates and devices (rectangles and discs), lines and leads (arcs of circles)."""
    count, _, side, _ = images.shape
    x, y = _places(side)
    for number in range(6):
        dx = (x - _between(count, 0, 1)).abs()
        dy = (y - _between(count, 0, 1)).abs()
        if number < 2:
            covered = (dx < _between(count, 0.01, 0.07)) & (dy < _between(count, 0.01, 0.05))
        elif number == 2:
            covered = dx.square() + dy.square() < _between(count, 0.01, 0.07).square()
        else:
            dx = x - _between(count, -1, 2)
            dy = y - _between(count, -1, 2)
            radius = _between(count, 0.1, 1.2)
            ring = dx.square() + dy.square() - radius.square()
            covered = ring.abs() < 2 * radius * _between(count, 0.002, 0.008)
        level = torch.where(_some(count, 0.75) > 0, _between(count, 0.7, 1), _between(count, 0, 1))
        opaque = _between(count, 0.3, 1) * _some(count, 0.22) * covered
        images = images * (1 - opaque) + level * opaque
    return images


def _detector(images: Tensor) -> Tensor:
    """Blur or sharpen, lose resolution, add noise."""
    count, _, side, _ = images.shape
    if torch.rand(()) < 0.25:
        coarse = int(torch.randint(side // 3, side, ()))
        small = F.interpolate(images, size=(coarse, coarse), mode="bilinear", antialias=True)
        images = F.interpolate(small, size=(side, side), mode="bilinear")
    soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    images = images + (soft - images) * _between(count, -0.8, 1)
    noise = torch.randn_like(images) * _between(count, 0, 0.06) * _some(count, 0.5)
    return images + noise
