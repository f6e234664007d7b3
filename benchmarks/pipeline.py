"""How many radiographs per second the input pipeline alone delivers to a training step.

Rows are fetched from the memory-mapped cache in random order and augmented batch by batch, for each
augmentation; beside them the usual loader, which decodes, resizes and augments one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from _films import add_film_arguments, asked_films, cached_dataset
from _ways import UsualLoader, endless

from pneumoscope.benchmark.timing import (
    Figure,
    Pace,
    Way,
    as_json,
    machine,
    take_turns,
)
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import PneumoscopeError
from pneumoscope.training.augment import augmentation
from pneumoscope.training.data import PixelDataset, train_loader

AUGMENTATIONS = ("none", "default", "paper")


class Pipeline:
    """Batches as a training step gets them: fetched, then augmented."""

    def __init__(self, dataset: PixelDataset, name: str, batch: int) -> None:
        self.batches = endless(train_loader(dataset, batch_size=batch, seed=0, balanced=False))
        self.augment = augmentation(name, mirror=True)

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def step(self) -> int:
        pixels, _ = self.augment(next(self.batches).pixels, None)
        return len(pixels)


def main() -> int:
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    try:
        result = _measure(arguments)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32, help="radiographs per batch")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--steps", type=int, default=10, help="timed batches per turn")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--out", type=Path, help="JSON file for all that was measured")
    add_film_arguments(parser, count=256)
    return parser


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films, source = asked_films(arguments, folder)
        dataset = cached_dataset(films, arguments.size, folder / "cache")
        ways: Mapping[str, Way] = {
            f"cache, augmentation {name}": Pipeline(dataset, name, arguments.batch)
            for name in AUGMENTATIONS
        } | {"usual loader": UsualLoader(films, arguments.size, arguments.batch)}
        turns = take_turns(ways, Pace(arguments.repeats, arguments.steps))
        return {
            "machine": machine(),
            "command": " ".join(sys.argv),
            "radiographs": source,
            "pipelines": as_json(turns),
        }


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table: medians, with the lowest and highest turn."""
    lines = [
        "| pipeline | radiographs/s | radiographs per second of processor time |",
        "|---|---|---|",
    ]
    for name, measured in result["pipelines"].items():
        keys = ("radiographs_per_second", "radiographs_per_cpu_second")
        cells = [name, *(str(Figure(**measured[key])) for key in keys)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
