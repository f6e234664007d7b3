"""Augmentation of batches (B, 1, H, W), on the device that trains.

`default` draws one affine map, one exposure and, if asked, one mirroring per radiograph and applies
them to the whole batch at once; guides (the lungs, a teacher's map) move along. `paper` is arXiv
2511.00456's list, drawn per radiograph; where it gives no amount, the defaults of the library its
authors name (albumentations) are taken; it does not mirror. All draws come from torch's global
generator, which training seeds for every step.
"""

from __future__ import annotations

# First: it makes torchvision importable beside torch's CPU build, and Lightning imports it.
import pneumoscope.models  # noqa: F401

# isort: split
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF  # noqa: N812

from pneumoscope.training.amounts import Amounts

Augmentation = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""Pixels and guides to pixels and guides; of guides (B, C, g, g) the first are the lungs."""


def augmentation(
    name: str, mirror: bool, hide_outside: float = 0.0, amounts: Amounts | None = None
) -> Augmentation:
    """The augmentation of that name: `default`, `paper` or `none`.

    It takes uint8 pixels (B, 1, H, W) and guides (B, C, g, g) or None; it gives float32 pixels in
    [0, 1] of the same shape, and the guides likewise, moved with the pixels.

    Args:
        name: of the augmentation.
        mirror: let `default` mirror half of the radiographs; a pneumonia may be on either side.
        hide_outside: on this share of radiographs `default` hides what is outside the lungs.
        amounts: of `default`; None for its own.
    """

    def default(pixels: Tensor, guides: Tensor | None) -> tuple[Tensor, Tensor | None]:
        images, guides = augment_default(pixels, guides, mirror=mirror, amounts=amounts)
        if guides is not None and hide_outside > 0:
            images = hidden_outside(images, guides[:, :1], hide_outside)
        return images, guides

    def paper(pixels: Tensor, guides: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return augment_paper(pixels), None

    def none(pixels: Tensor, guides: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return to_float(pixels), None if guides is None else to_float(guides)

    return {"default": default, "paper": paper, "none": none}[name]


def to_float(pixels: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return pixels.float() / 255


def augment_default(
    pixels: Tensor,
    guides: Tensor | None = None,
    *,
    mirror: bool = False,
    amounts: Amounts | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Rotation, scale, shift, exposure, contrast, brightness and noise within the amounts."""
    most = amounts or Amounts()
    images = to_float(pixels)
    count, device = len(images), images.device

    def between(low: float, high: float) -> Tensor:
        return torch.empty(count, device=device).uniform_(low, high)

    def around(middle: float, reach: float) -> Tensor:
        return between(middle - reach, middle + reach)

    angle, scale = around(0, most.rotate) * (math.pi / 180), around(1, most.scale)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid's coordinates span [-1, 1], so 6 % of the side is .12.
    shifts = [around(0, 2 * most.shift) for _ in range(2)]
    theta = torch.stack([cos, -sin, shifts[0], sin, cos, shifts[1]], dim=1)
    theta = theta.view(-1, 2, 3)
    if mirror:
        theta[:, :, 0] *= torch.where(between(0, 1) < 0.5, -1.0, 1.0)[:, None]
    images = _moved(images, theta)
    if guides is not None:
        guides = _moved(to_float(guides), theta)

    def per_image(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)

    images = images.clamp(0, 1) ** per_image(torch.exp2(around(0, most.exposure)))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = around(1, most.contrast), around(0, most.brightness)
    images = (images - mean) * per_image(contrast) + mean + per_image(brightness)
    images = images + torch.randn_like(images) * per_image(between(0, most.noise))
    return images.clamp(0, 1), guides


# Side of the coarse picture that hides, and by how many cells of the lungs' grid, and how softly,
# the lungs are widened: an opacity may hide the edge of a lung, and no outline of a mask may tell.
_COARSE, _WIDENED, _SOFTENED = 8, 9, 5


def hidden_outside(images: Tensor, lungs: Tensor, share: float) -> Tensor:
    """Hide what is outside the lungs, so that no label can be learnt from it.

    Markers, text, lines, bones and the shape of the shoulders tell much about who was radiographed,
    where and lying how, and so about the label, and nothing about the lungs. On half of the
    radiographs that are drawn they give way to the radiograph itself at 8 x 8 pixels, on the others
    to one gray.

    Args:
        images: (B, 1, H, W) in [0, 1].
        lungs: (B, 1, g, g), probability of lung, one everywhere where none were found.
        share: of the radiographs, 0 to 1.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    count, device = len(images), images.device
    wide = F.max_pool2d(lungs, _WIDENED, stride=1, padding=_WIDENED // 2)
    soft = F.avg_pool2d(wide, _SOFTENED, stride=1, padding=_SOFTENED // 2, count_include_pad=False)
    kept = _resized(soft, images.shape[-1])
    kept = torch.where(torch.rand(count, 1, 1, 1, device=device) < share, kept, 1.0)
    coarse = _resized(F.adaptive_avg_pool2d(images, _COARSE), images.shape[-1])
    gray = torch.rand(count, 1, 1, 1, device=device)
    instead = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.5, coarse, gray)
    return (kept * images + (1 - kept) * instead).clamp(0, 1)


def _resized(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def _moved(images: Tensor, theta: Tensor) -> Tensor:
    grid = _affine_grid(theta, *images.shape[-2:])
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """As `F.affine_grid`, which multiplies matrices cell by cell, but as the sum of two lines."""
    rows, columns = (
        (torch.arange(side, device=theta.device) * 2 + 1) / side - 1 for side in (height, width)
    )
    along = theta[:, None, :, 0] * columns[None, :, None]
    across = theta[:, None, :, 1] * rows[None, :, None] + theta[:, None, :, 2]
    return along[:, None] + across[:, :, None]


def augment_paper(pixels: Tensor) -> Tensor:
    """The paper's list, each entry with its probability, for every radiograph of the batch."""
    return torch.stack([_paper_one(image) for image in to_float(pixels)])


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


def _chance(probability: float) -> bool:
    return bool(torch.rand(()) < probability)


def _paper_one(image: Tensor) -> Tensor:
    bilinear = InterpolationMode.BILINEAR
    if _chance(0.5):
        image = TF.rotate(image, _uniform(-15, 15), interpolation=bilinear)
    if _chance(0.5):
        height, width = image.shape[-2:]
        image = TF.affine(
            image,
            angle=0.0,
            translate=[_uniform(-0.05, 0.05) * width, _uniform(-0.05, 0.05) * height],
            scale=_uniform(0.9, 1.1),
            shear=[0.0, 0.0],
            interpolation=bilinear,
        )
    if _chance(0.5):
        image = image * _uniform(0.8, 1.2) + _uniform(-0.2, 0.2)
    image = image.clamp(0, 1)
    if _chance(0.3):
        image = _clahe(image)
    if _chance(0.3):
        image = TF.adjust_gamma(image, _uniform(0.8, 1.2))
    if _chance(0.2):
        image = TF.gaussian_noise(image, sigma=_uniform(0.01, 0.05))
    if _chance(0.1):
        image = _motion_blur(image)
    if _chance(0.1):
        image = _median_blur(image)
    if _chance(0.1):
        image = _coarse_dropout(image)
    return image.clamp(0, 1)


def _clahe(image: Tensor) -> Tensor:
    from skimage.exposure import equalize_adapthist

    tiles = max(image.shape[-1] // 8, 1)
    array = equalize_adapthist(image[0].cpu().numpy(), kernel_size=tiles, clip_limit=0.01)
    return torch.from_numpy(np.asarray(array, dtype=np.float32))[None].to(image.device)


def _motion_blur(image: Tensor) -> Tensor:
    side = (3, 5, 7)[int(torch.randint(3, ()))]
    kernel = torch.zeros(1, side, side)
    kernel[0, side // 2] = 1.0 / side
    kernel = TF.rotate(kernel, _uniform(0, 180), interpolation=InterpolationMode.BILINEAR)
    kernel = (kernel / kernel.sum()).to(image.device)
    padded = F.pad(image[None], [side // 2] * 4, mode="replicate")
    return F.conv2d(padded, kernel[None])[0]


def _median_blur(image: Tensor) -> Tensor:
    padded = F.pad(image[None], [1, 1, 1, 1], mode="replicate")[0]
    lowest, middle, highest = _in_order(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])
    # Of nine values in three sorted columns the median is that of the highest of the lowest, the
    # middle one of the middle ones, and the lowest of the highest.
    _, _, low = _in_order(*_beside(lowest))
    _, mid, _ = _in_order(*_beside(middle))
    high, _, _ = _in_order(*_beside(highest))
    return _in_order(low, mid, high)[1]


def _beside(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each cell's left neighbour, itself and its right neighbour."""
    return values[..., :-2], values[..., 1:-1], values[..., 2:]


def _in_order(first: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors' values, sorted cell by cell."""
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    rest = torch.minimum(high, third)
    return torch.minimum(low, third), torch.maximum(low, rest), torch.maximum(high, third)


def _coarse_dropout(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    image = image.clone()
    for _ in range(int(torch.randint(1, 9, ()))):
        tall, wide = max(height * 8 // 224, 1), max(width * 8 // 224, 1)
        top = int(torch.randint(height - tall + 1, ()))
        left = int(torch.randint(width - wide + 1, ()))
        image[:, top : top + tall, left : left + wide] = 0
    return image
