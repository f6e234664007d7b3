"""How much of the engine's speed `pneumoscope predict` keeps from files to findings.

Whole runs of the command on JPEG and DICOM files, a run on a single file, the interpreter alone,
and the networks alone on pixels in memory, by turns and on the same cores; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _films import add_film_arguments, asked_films
from _predict_ways import BareEngine, Predict, Program, write_as_dicom

from pneumoscope.benchmark.films import model_pixels
from pneumoscope.benchmark.random_bundle import prepare
from pneumoscope.benchmark.timing import (
    Figure,
    Pace,
    Turn,
    Way,
    machine,
    rates,
    take_turns,
)
from pneumoscope.benchmark.ways import FLOAT32_FILE
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import PneumoscopeError
from pneumoscope.inference import load_engine, streams_for
from pneumoscope.models.registry import DEFAULT_BACKBONE

INTERPRETER, ONE, BARE = "interpreter", "one file", "networks alone"
# What is written, and the options that say so.
WRITTEN = {"all": (), "findings": ("--no-heatmaps", "--no-overlays")}


def main() -> int:
    arguments = _parser().parse_args()
    _keep_to(arguments.threads)
    try:
        result = _measure(arguments)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=[DEFAULT_BACKBONE], metavar="NAME")
    parser.add_argument("--heatmap", default="regional+mirror+lungs", help="of these bundles")
    parser.add_argument("--size", type=int, default=224, help="side of their input in pixels")
    parser.add_argument(
        "--bundle", type=Path, help="a file of pneumoscope export, instead of random weights"
    )
    parser.add_argument("--engine", default="auto", help="as of the command")
    parser.add_argument("--precision", default="auto", help="as of the command")
    parser.add_argument("--written", nargs="+", default=list(WRITTEN), choices=WRITTEN)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--threads", type=int, default=available_cpus(), help="cores to be used")
    parser.add_argument("--out", type=Path, help="JSON file for all that was measured")
    add_film_arguments(parser, count=200)
    return parser


def _keep_to(cores: int) -> None:
    """Let this process and those it starts use so many cores, as far as the system allows."""
    torch.set_num_threads(cores)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films, source = asked_films(arguments, folder)
        kinds = _folders(films, folder, own=arguments.data is not None)
        result: dict[str, Any] = {
            "machine": machine(),
            "command": " ".join(sys.argv),
            "radiographs": source,
            "bundles": {},
        }
        bundles = [arguments.bundle] if arguments.bundle else []
        for backbone in [] if bundles else arguments.backbones:
            prepare(folder / backbone, backbone, arguments.size, arguments.heatmap)
            bundles.append(folder / backbone / FLOAT32_FILE)
        for bundle in bundles:
            label, figures = _bundle(bundle, films, kinds, arguments)
            result["bundles"][label] = figures
    return result


def _bundle(
    bundle: Path, films: list[Path], kinds: dict[str, Path], arguments: argparse.Namespace
) -> tuple[str, dict[str, Any]]:
    """What it is called, and all that is measured of it."""
    # As the command itself chooses.
    engine = load_engine(
        bundle,
        engine=arguments.engine,
        precision=arguments.precision,
        expected=len(films),
        streams=streams_for(len(films)),
    )
    info = engine.info
    chosen = ("--engine", arguments.engine, "--precision", arguments.precision)
    ways: dict[str, Way] = {
        INTERPRETER: Program("-c", "pass"),
        ONE: Predict(films[0], bundle, 1, chosen),
        BARE: BareEngine(engine, model_pixels(films, info.architecture.size)),
    }
    for kind, folder in kinds.items():
        for written in arguments.written:
            options = (*chosen, *WRITTEN[written])
            ways[f"{kind}, {written}"] = Predict(folder, bundle, len(films), options)
    turns = take_turns(ways, Pace(arguments.repeats, warm_up="first turn"))
    label = f"{info.architecture.backbone}, {info.heatmap}, {engine.runtime}"
    return label, _figures(turns)


def _folders(films: list[Path], folder: Path, *, own: bool) -> dict[str, Path]:
    """A folder for each kind of file, with the chosen radiographs and nothing else."""
    chosen = folder / "chosen"
    chosen.mkdir()
    for index, film in enumerate(films):
        (chosen / f"{index:06}{film.suffix}").symlink_to(film)
    if own:
        return {"own files": chosen}
    dicom = folder / "dicom"
    write_as_dicom(films, dicom)
    return {"JPEG": chosen, "DICOM": dicom}


def _figures(turns: dict[str, list[Turn]]) -> dict[str, Any]:
    """Start-up in seconds, rates in radiographs/s, and shares of the networks' own rate."""
    alone = rates(turns[BARE])
    started = [turn.seconds for turn in turns[ONE]]
    bare = [turn.seconds for turn in turns[INTERPRETER]]
    commands = {}
    for name, each in turns.items():
        if name in (INTERPRETER, ONE, BARE):
            continue
        whole = rates(each)
        # The first radiograph is in the start-up that is taken off.
        steady = [
            (turn.radiographs - 1) / (turn.seconds - first)
            for turn, first in zip(each, started, strict=True)
        ]
        commands[name] = {
            "radiographs_per_second": asdict(Figure.of(whole)),
            "share": asdict(Figure.of(_shares(whole, alone))),
            "without_start": asdict(Figure.of(steady)),
            "share_without_start": asdict(Figure.of(_shares(steady, alone))),
        }
    beyond = [one - none for one, none in zip(started, bare, strict=True)]
    return {
        "one_file_seconds": asdict(Figure.of(started)),
        "interpreter_seconds": asdict(Figure.of(bare)),
        "start_seconds": asdict(Figure.of(beyond)),
        "networks_alone": asdict(Figure.of(alone)),
        "commands": commands,
        "turns": {name: [asdict(turn) for turn in each] for name, each in turns.items()},
    }


def _shares(values: list[float], whole: list[float]) -> list[float]:
    return [value / of for value, of in zip(values, whole, strict=True)]


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown tables: medians, with the lowest and highest turn."""
    lines = [
        "| bundle | files, what is written | networks alone, radiographs/s | whole command | share "
        "| share without start-up |",
        "|---|---|---|---|---|---|",
    ]
    starts = [
        "| bundle | one file, s | interpreter, s | start-up beyond it, s |",
        "|---|---|---|---|",
    ]
    for label, found in result["bundles"].items():
        for name, command in found["commands"].items():
            keys = ("radiographs_per_second", "share", "share_without_start")
            cells = [label, name, str(Figure(**found["networks_alone"]))]
            cells += [str(Figure(**command[key])) for key in keys]
            lines.append(f"| {' | '.join(cells)} |")
        keys = ("one_file_seconds", "interpreter_seconds", "start_seconds")
        starts.append(f"| {' | '.join([label, *(str(Figure(**found[key])) for key in keys)])} |")
    return "\n".join([*lines, "", *starts])


if __name__ == "__main__":
    sys.exit(main())
