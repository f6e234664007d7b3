"""Levers of the regional head, tried side by side on the frozen network of a bundle.

The layers up to the last stage that the feature pyramid reads stay as the bundle has them. On their
maps the pyramid and the head are trained anew, once for each lever and seed; all levers of a seed
see the same batches. That costs a twentieth of whole trainings, and tells what a lever adds to
features that are there already, not what it would do to features that learn with it.

Rule of choice, written before any figure was seen: a lever goes on to a whole training if its mean
over the seeds is above the control's by .005 of ROC-AUC (mean of the sets, val) or by .02 of area
matched (mean of the sets, tuning half), and not below it by .002 and .01 in the other.

    python results/levers/levers.py joint.csv --boxes rsna=rsna.csv siim=siim.csv --out levers.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.original_sizes import stated_sizes, unsquashed
from pneumoscope.density import DensityPrior, Frame, on_grid, relative_density, shipped_prior
from pneumoscope.errors import PneumoscopeError
from pneumoscope.evaluate.annotations import LesionAnnotation
from pneumoscope.evaluate.heatmap_scores import score_heatmap
from pneumoscope.evaluate.localization import half_of
from pneumoscope.localize.regional import heat_of
from pneumoscope.models.classifier import positive_logit
from pneumoscope.models.heads import RegionalHead
from pneumoscope.models.loading import load_classifier
from pneumoscope.models.pyramid import WIDTH, convolution
from pneumoscope.training.augment import augmentation
from pneumoscope.training.cache import cached_lungs, cached_pixels
from pneumoscope.training.data import EpochSampler, even_draws
from pneumoscope.training.loss import focal_loss, outside_lungs, taught_cells
from pneumoscope.training.module import keep_freed_memory, mean_roc_auc, warmup_cosine
from pneumoscope.training.settings import make_settings
from pneumoscope.training.teacher import cached_teaching

# The default recipe, with the two settings that the default bundle was trained with.
RECIPE = make_settings(hide_outside=0.5, even_sets=0.6)
BATCH = RECIPE.batch_size
# Of the lungs' cells with the highest log-odds this share is erased, on half of the radiographs.
ERASED = 0.2
GRID = 128


@dataclass(frozen=True, slots=True)
class Lever:
    """What a pyramid or its training has that the control has not.

    Attributes:
        density: density relative to the radiograph and to normal lungs, beside the fused map.
        mirrored: the fused map's mirror image about the middle of the lungs, beside it.
        finer: cells of 4 pixels instead of 8.
        erasing: the hottest cells are left out of the pooling in training, so that the label has
            to be found in others, too (Wei et al. 2017, arXiv 1703.08448).
        soft: cells are taught the teacher's map itself instead of what is clear in it.
        pooling: of the cells' log-odds; `weighted` by the cells' probability, as the package does,
            `top` for the mean of the highest tenth, `lse` for the logarithm of the mean odds.
    """

    density: bool = False
    mirrored: bool = False
    finer: bool = False
    erasing: bool = False
    soft: bool = False
    pooling: Literal["weighted", "top", "lse"] = "weighted"


LEVERS = {
    "control": Lever(),
    "density": Lever(density=True),
    "mirrored": Lever(mirrored=True),
    "finer": Lever(finer=True),
    "erasing": Lever(erasing=True),
    "soft": Lever(soft=True),
    "top": Lever(pooling="top"),
    "lse": Lever(pooling="lse"),
}


class Pyramid(nn.Module):
    """The package's pyramid and regional head, with a lever.

    Args:
        channels: of the stages with 4, 8 and 16 pixels a cell.
        lever: what is added.
    """

    def __init__(self, channels: Sequence[int], lever: Lever) -> None:
        super().__init__()
        self.lever = lever
        finest, fine, coarse = channels
        self.coarse, self.fine = convolution(coarse, WIDTH, 1), convolution(fine, WIDTH, 1)
        inputs = WIDTH * (2 if lever.mirrored else 1) + (2 if lever.density else 0)
        self.fuse = nn.Sequential(convolution(inputs, WIDTH, 3), nn.ReLU())
        self.finest = convolution(finest, WIDTH, 1) if lever.finer else None
        self.head = RegionalHead(WIDTH, "top" if lever.pooling == "top" else "weighted")

    def forward(self, maps: Sequence[Tensor], guides: Tensor) -> Tensor:
        """Stages and guides (B, 4, g, g): lungs, teacher, two densities; to cells (B, h, w)."""
        finest, fine, coarse = maps
        here = self.fine(fine)
        fused = torch.relu(here + _resized(self.coarse(coarse), here.shape[-1]))
        parts = [fused]
        if self.lever.mirrored:
            parts.append(_mirrored(fused, guides[:, :1]))
        if self.lever.density:
            parts.append(F.adaptive_avg_pool2d(guides[:, 2:4], fused.shape[-1]))
        grid = self.fuse(torch.cat(parts, dim=1))
        if self.finest is not None:
            detail = self.finest(finest)
            grid = torch.relu(detail + _resized(grid, detail.shape[-1]))
        return self.head.evidence(grid)

    def pool(self, cells: Tensor) -> Tensor:
        """Log-odds per cell (B, h, w) to logits (B, 2)."""
        if self.lever.pooling != "lse":
            return self.head.pool(cells)
        flat = cells.flatten(1)
        half = (flat.logsumexp(dim=1) - math.log(flat.shape[1])) / 2
        return torch.stack([-half, half], dim=1)


def _resized(grid: Tensor, side: int) -> Tensor:
    return F.interpolate(grid, size=(side, side), mode="bilinear", align_corners=False)


def _mirrored(grid: Tensor, lungs: Tensor) -> Tensor:
    """The map's mirror image about the column in the middle of each radiograph's lungs."""
    columns = lungs.sum(dim=(1, 2))
    places = (torch.arange(columns.shape[1]) + 0.5) * 2 / columns.shape[1] - 1
    middle = (columns * places).sum(dim=1) / columns.sum(dim=1).clamp(min=1e-6)
    theta = torch.zeros(len(grid), 2, 3)
    theta[:, 0, 0], theta[:, 0, 2], theta[:, 1, 1] = -1, 2 * middle, 1
    where = F.affine_grid(theta, list(grid.shape), align_corners=False)
    return F.grid_sample(grid, where, align_corners=False)


def erased(cells: Tensor, lungs: Tensor) -> Tensor:
    """On half of the radiographs the hottest cells of the lungs at the lowest log-odds there."""
    inside = F.adaptive_avg_pool2d(lungs, cells.shape[-1])[:, 0] > 0.5
    flat = torch.where(inside, cells, -torch.inf).flatten(1).detach()
    count = (inside.flatten(1).sum(dim=1) * ERASED).long()
    ranked = flat.sort(dim=1, descending=True).values
    level = ranked.gather(1, count[:, None])[:, :, None]
    hidden = inside & (cells >= level) & (torch.rand(len(cells), 1, 1) < 0.5)
    lowest = cells.flatten(1).amin(dim=1).detach()[:, None, None]
    return torch.where(hidden, lowest, cells)


class Radiographs:
    """Radiographs of a split: pixels, targets, sets and guides (N, 4, g, g) uint8."""

    def __init__(self, manifest: Manifest, rows: NDArray[np.bool_], size: int) -> None:
        everything = manifest.subset("all")
        self.table = everything.table[rows].reset_index(drop=True)
        self.pixels = np.asarray(cached_pixels(everything, size)[rows])
        self.targets = torch.from_numpy(everything.targets()[rows])
        weights = everything.weights()
        self.weights = torch.ones(len(rows)) if weights is None else torch.from_numpy(weights)
        self.weights = self.weights[torch.from_numpy(rows)]
        self.sets, self.groups = everything.cohorts()[rows], np.array(everything.groups())[rows]
        self.patients = np.array(everything.patient_keys())[rows]
        lungs = cached_lungs(self.pixels)
        self.guides = np.zeros((len(lungs), 4, *lungs.shape[1:]), np.uint8)
        self.guides[:, 0] = lungs
        prior = shipped_prior()
        for guide, film, lung in zip(
            track(self.guides, "density", transient=True), self.pixels, lungs, strict=True
        ):
            guide[2:] = densities(film, lung, prior)

    def only(self, rows: NDArray[np.bool_]) -> Radiographs:
        """Those of these rows."""
        part = copy(self)
        part.table = self.table[rows].reset_index(drop=True)
        part.pixels, part.guides = self.pixels[rows], self.guides[rows]
        part.sets, part.groups = self.sets[rows], self.groups[rows]
        part.patients = self.patients[rows]
        chosen = torch.from_numpy(rows)
        part.targets, part.weights = self.targets[chosen], self.weights[chosen]
        return part

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pixels (B, 1, size, size) and guides (B, 4, g, g), uint8."""
        chosen = np.asarray(rows)
        return torch.from_numpy(self.pixels[chosen][:, None]), torch.from_numpy(self.guides[chosen])


def densities(
    film: NDArray[np.uint8], lungs: NDArray[np.uint8], prior: DensityPrior
) -> NDArray[np.uint8]:
    """Density relative to the radiograph and to normal lungs, as (2, g, g) levels of a sigmoid."""
    inside = on_grid(lungs.astype(np.float32) / 255)
    density = relative_density(film, inside)
    if density is None:
        return np.full((2, *lungs.shape), 128, np.uint8)
    frame = Frame.around(inside)
    both = np.stack([density, prior.nearest(density, frame).anomaly(density, frame)])
    levels = _resized(torch.sigmoid(torch.from_numpy(both))[None], len(lungs))[0]
    quantised: NDArray[np.uint8] = np.rint(255 * levels.numpy()).astype(np.uint8)
    return quantised


class Stages:
    """A bundle's network up to the stage with 16 pixels a cell."""

    def __init__(self, bundle: str) -> None:
        folder, info = read_bundle(Path(bundle), weights=True)
        self.classifier = load_classifier(folder, info).requires_grad_(False)
        self.size: int = info.architecture.size
        network: Any = self.classifier.backbone.network
        reductions = {each["reduction"]: at for at, each in enumerate(network.feature_info)}
        self._at = [reductions[pixels] for pixels in (4, 8, 16)]
        self.channels = [int(network.feature_info[at]["num_chs"]) for at in self._at]

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (B, 1, size, size) to the maps with 4, 8 and 16 pixels a cell."""
        network: Any = self.classifier.backbone.network
        images = self.classifier.normalise(pixels)
        maps: list[Tensor] = network.forward_intermediates(
            images, indices=self._at, intermediates_only=True
        )
        return maps


def train(
    stages: Stages, films: Radiographs, names: Sequence[str], seed: int, steps: int
) -> dict[str, Pyramid]:
    """Pyramids with these levers, trained on the same batches."""
    pyramids = {}
    for name in names:
        torch.manual_seed(seed)
        pyramids[name] = Pyramid(stages.channels, LEVERS[name])
    optimizers = {
        name: torch.optim.AdamW(
            pyramid.parameters(),
            lr=RECIPE.learning_rate,
            weight_decay=RECIPE.weight_decay,
            fused=True,
        )
        for name, pyramid in pyramids.items()
    }
    change = augmentation(RECIPE.augmentation, RECIPE.mirror, RECIPE.hide_outside)
    for step, rows in track(
        list(enumerate(_batches(films, seed, steps))), f"seed {seed}", transient=True
    ):
        torch.manual_seed(seed * 1_000_003 + step)
        pixels, seen = change(*films.batch(rows))
        assert seen is not None
        maps, targets = stages(pixels), films.targets[rows]
        for name, pyramid in pyramids.items():
            torch.manual_seed(seed * 1_000_003 + step)
            optimizer = optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = RECIPE.learning_rate * warmup_cosine(step, steps, RECIPE.warmup)
            optimizer.zero_grad()
            loss = _loss(pyramid, maps, seen, targets, films.weights[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return {name: pyramid.eval() for name, pyramid in pyramids.items()}


def _loss(
    pyramid: Pyramid, maps: Sequence[Tensor], guides: Tensor, targets: Tensor, weights: Tensor
) -> Tensor:
    cells = pyramid(maps, guides)
    lungs = guides[:, :1]
    lever = pyramid.lever
    pooled = pyramid.pool(erased(cells, lungs) if lever.erasing else cells)
    label = focal_loss(pooled, targets, RECIPE.focal_gamma, weights=weights)
    teach = softly_taught if lever.soft else taught_cells
    taught = teach(cells, guides[:, :2], targets)
    outside = outside_lungs(cells, lungs)
    return label + RECIPE.lung_guidance * outside + RECIPE.cell_guidance * taught


def softly_taught(cells: Tensor, guides: Tensor, targets: Tensor) -> Tensor:
    """As `taught_cells`, but the target is the teacher's map, and the weight the distance from it.

    Li et al. 2020, "Generalized Focal Loss" (arXiv 2006.04388), equation 4 with beta = 1.
    """
    lungs, wanted = F.adaptive_avg_pool2d(guides, cells.shape[-1]).unbind(1)
    wanted = wanted * (targets == 1)[:, None, None]
    apart = (torch.sigmoid(cells) - wanted).abs()
    terms = apart * F.binary_cross_entropy_with_logits(cells, wanted, reduction="none")
    known = lungs > 0.3
    return (terms * known).sum() / known.sum().clamp(min=1)


def _batches(films: Radiographs, seed: int, steps: int) -> Iterator[list[int]]:
    draws = even_draws(films.groups.tolist(), RECIPE.even_sets)
    sampler = EpochSampler(films.targets.numpy(), seed, balanced=False, draws=draws)
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            if not steps:
                return
            yield order[start : start + BATCH]
            steps -= 1
        epoch += 1


@torch.no_grad()
def look(
    stages: Stages, films: Radiographs, pyramids: dict[str, Pyramid]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Log-odds (N,) and maps (N, GRID, GRID) by pyramid: means over a radiograph and its mirror.

    The maps are those of `regional+mirror+lungs`.
    """
    scores: dict[str, list[Tensor]] = {name: [] for name in pyramids}
    maps: dict[str, list[Tensor]] = {name: [] for name in pyramids}
    for start in track(range(0, len(films.pixels), BATCH), "looking", transient=True):
        pixels, levels = films.batch(range(start, min(start + BATCH, len(films.pixels))))
        guides = levels.float() / 255
        lungs = _resized(guides[:, :1], GRID)[:, 0]
        seen, turned = stages(pixels), stages(pixels.flip(-1))
        for name, pyramid in pyramids.items():
            cells = pyramid(seen, guides)
            other = pyramid(turned, guides.flip(-1))
            odds = [positive_logit(pyramid.pool(each)) for each in (cells, other)]
            own, image = (
                heat_of(each, film[:, None, None])
                for each, film in zip((cells, other), odds, strict=True)
            )
            heat = (own + image.flip(-1)) / 2
            scores[name].append((odds[0] + odds[1]) / 2)
            fine = _resized(heat[:, None], GRID)[:, 0]
            maps[name].append((fine * lungs).sqrt())
    return (
        {name: torch.cat(parts).numpy() for name, parts in scores.items()},
        {name: torch.cat(parts).numpy() for name, parts in maps.items()},
    )


def lesions(films: Radiographs, boxes: dict[str, Path]) -> dict[int, LesionAnnotation]:
    """Annotations on the model's square, by row, of the tuning half's patients."""
    found = {}
    originals = stated_sizes(films.table)
    for name, path in boxes.items():
        drawn = {Path(str(image)).name: rows for image, rows in pd.read_csv(path).groupby("image")}
        for row in np.flatnonzero(films.sets == name):
            record = films.table.iloc[row]
            marks = drawn.get(Path(record["image"]).name)
            if marks is None or half_of(films.patients[row]) != "tuning":
                continue
            box = unsquashed(record["height"], record["width"], originals[row], GRID)
            columns = marks[["x", "y", "width", "height"]].to_numpy(np.float64)
            square = [box.box_to_model(tuple(mark)) for mark in columns]
            found[int(row)] = LesionAnnotation.from_boxes(square, GRID, GRID)
    return found


def measure(
    films: Radiographs,
    val: NDArray[np.bool_],
    marks: dict[int, LesionAnnotation],
    scores: NDArray[np.float32],
    maps: NDArray[np.float32],
) -> dict[str, float]:
    """ROC-AUC of each set's val radiographs; peak and area of each set's tuning half."""
    figures: dict[str, float] = {}
    targets = films.targets.numpy()
    for name in np.unique(films.sets):
        rows = val & (films.sets == name)
        figures[f"roc_auc {name}"] = mean_roc_auc(targets[rows], scores[rows], None)
    figures["roc_auc"] = mean_roc_auc(targets[val], scores[val], films.sets[val])
    found = {
        row: score_heatmap(np.clip(maps[row], 0, 1), mark, [], None) for row, mark in marks.items()
    }
    for name in sorted({str(films.sets[row]) for row in found}):
        own = [each for row, each in found.items() if films.sets[row] == name]
        figures[f"peak {name}"] = float(np.mean([each.peak_in_box for each in own]))
        figures[f"area {name}"] = float(np.mean([each.area_matched for each in own]))
    for figure in ("peak", "area"):
        figures[figure] = float(
            np.mean([value for key, value in figures.items() if key.startswith(f"{figure} ")])
        )
    return figures


def main() -> int:
    """Run the trial; the exit status."""
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory(True)
    try:
        result = run(arguments)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(table(result["levers"]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--boxes", nargs="+", required=True, metavar="SET=FILE")
    parser.add_argument("--bundle", default="default", help="whose network is kept; the teacher")
    parser.add_argument("--levers", nargs="+", choices=tuple(LEVERS), default=list(LEVERS))
    parser.add_argument("--steps", type=int, default=250, help=f"batches of {BATCH} for each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and measure every lever with every seed."""
    manifest, stages = Manifest.read(arguments.manifest), Stages(arguments.bundle)
    splits = manifest.subset("all").table["split"].to_numpy(np.str_)
    learnt = Radiographs(manifest, splits == "train", stages.size)
    lungs = np.ascontiguousarray(learnt.guides[:, 0])
    learnt.guides[:, 1] = cached_teaching(Path(arguments.bundle), learnt.pixels, lungs)
    held = Radiographs(manifest, np.isin(splits, ["val", "test"]), stages.size)
    pairs = (pair.split("=", 1) for pair in arguments.boxes)
    drawn = lesions(held, {name: Path(path) for name, path in pairs})
    val = held.table["split"].to_numpy(np.str_) == "val"
    seen = val.copy()
    seen[list(drawn)] = True
    held, val = held.only(seen), val[seen]
    marks = {int(seen[:row].sum()): mark for row, mark in drawn.items()}
    levers: dict[str, dict[str, dict[str, float]]] = {name: {} for name in arguments.levers}
    for seed in arguments.seeds:
        pyramids = train(stages, learnt, arguments.levers, seed, arguments.steps)
        scores, maps = look(stages, held, pyramids)
        for name, found in levers.items():
            figures = measure(held, val, marks, scores[name], maps[name])
            found[str(seed)] = figures
            print(name, {key: round(value, 4) for key, value in figures.items()}, flush=True)
    return {
        "steps": arguments.steps,
        "train": len(learnt.pixels),
        "val": int(val.sum()),
        "boxed": dict(Counter(str(held.sets[row]) for row in marks)),
        "levers": levers,
    }


def table(levers: dict[str, dict[str, dict[str, float]]]) -> Table:
    """Means over seeds."""
    printed = Table("mean over seeds", *levers)
    for figure in next(iter(next(iter(levers.values())).values())):
        means = [np.mean([own[figure] for own in seeds.values()]) for seeds in levers.values()]
        printed.add_row(figure, *(f"{mean:.4f}" for mean in means))
    return printed


if __name__ == "__main__":
    sys.exit(main())
