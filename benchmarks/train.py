"""How many times as fast Pneumoscope trains as a usual script of the paper's protocol.

Both ways train the same network on the same radiographs, by turns within one process, with the same
number of threads; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _films import add_film_arguments, asked_films
from _ways import HEAD, OurWay, PaperWay

from pneumoscope.benchmark.timing import (
    Figure,
    Pace,
    Way,
    as_json,
    machine,
    ratio,
    take_turns,
)
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import PneumoscopeError, SettingsError
from pneumoscope.models.registry import BACKBONES, backbone_record


def main() -> int:
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        for name in arguments.backbones:
            backbone_record(name)
        if arguments.batch > arguments.films:
            raise SettingsError(
                f"a batch of {arguments.batch} needs as many radiographs",
                remedy="raise --films or lower --batch",
            )
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
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), metavar="NAME")
    parser.add_argument("--batch", type=int, default=32, help="radiographs per step")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--steps", type=int, default=2, help="timed steps per turn")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument(
        "--workers", type=int, default=0, help="loader processes of the paper's way"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of Pneumoscope's way; `auto` is what a run takes",
    )
    parser.add_argument("--out", type=Path, help="JSON file for all that was measured")
    add_film_arguments(parser, count=96)
    return parser


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films, source = asked_films(arguments, folder)
        result: dict[str, Any] = {
            "machine": machine(),
            "command": " ".join(sys.argv),
            "radiographs": source,
            "head": HEAD,
            "backbones": {},
        }
        for backbone in arguments.backbones:
            result["backbones"][backbone] = _compare(backbone, films, folder, arguments)
            print(f"{backbone}: {_line(result['backbones'][backbone])}", file=sys.stderr)
    return result


def _compare(
    backbone: str, films: list[Path], folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    size, batch = arguments.size, arguments.batch
    ways: dict[str, Way] = {
        "ours": OurWay(films, backbone, size, batch, arguments.precision, folder / "cache"),
        "paper": PaperWay(films, backbone, size, batch, arguments.workers),
    }
    turns = take_turns(ways, Pace(arguments.repeats, arguments.steps))
    ours, paper = turns["ours"], turns["paper"]
    compared: dict[str, Any] = as_json(turns)
    compared["times_as_fast"] = asdict(ratio(ours, paper))
    if not arguments.workers:
        compared["times_as_fast_by_cpu_time"] = asdict(ratio(ours, paper, cpu=True))
    return compared


def _line(compared: dict[str, Any]) -> str:
    return f"{Figure(**compared['times_as_fast'])} times as fast"


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table: medians, with the lowest and highest turn."""
    lines = [
        "| backbone | Pneumoscope, radiographs/s | paper's way, radiographs/s | times as fast "
        "| by processor time |",
        "|---|---|---|---|---|",
    ]
    for name, compared in result["backbones"].items():
        by_cpu = compared.get("times_as_fast_by_cpu_time")
        cells = [
            name,
            *(str(Figure(**compared[way]["radiographs_per_second"])) for way in ("ours", "paper")),
            str(Figure(**compared["times_as_fast"])),
            str(Figure(**by_cpu)) if by_cpu else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
