"""How many radiographs per second are explained: by Pneumoscope's engines and by two peers.

Grad-CAM of the same class, at the same layer of the same network, on the same radiographs, by turns
within one process and with the same number of threads; see docs/performance.md. Before anything is
timed, all heatmaps are compared with those of `grad-cam`; a way whose maps differ is not timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _bundles import prepare
from _explain_tables import tables
from _explain_way import Answer, ExplainWay, Films
from _explain_ways import INT8_FILE, METHOD, PEER_NAMES, WAYS, make_way, missing
from _films import add_film_arguments, chosen_films, model_pixels
from _peak_memory import peak_megabytes
from _timing import Figure, Pace, as_json, machine, rates, ratio, take_turns, usable_cores
from numpy.typing import NDArray

from pneumoscope.comparison.cost import planned_size
from pneumoscope.errors import PneumoscopeError, SettingsError
from pneumoscope.models.registry import BACKBONES, backbone_record

# Of maps that are to be the same; what is computed in less than float32 is told, not judged.
LEAST_CORRELATION = 0.99
_COMPARED = 4
_CALIBRATED = 8
_PICTURES, _CHANNELS, _SIDE = 32, 256, 28
FILMS = "films.npy"


def main() -> int:
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        for name in arguments.backbones:
            backbone_record(name)
        if max(arguments.batches) > arguments.films:
            raise SettingsError(
                f"a batch of {max(arguments.batches)} needs as many radiographs",
                remedy="raise --films or lower --batches",
            )
        result = _measure(arguments)
    except PneumoscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables(result))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), metavar="NAME")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY")
    parser.add_argument(
        "--bundles",
        type=Path,
        help="folder of bundles named like their backbones, with their exported files; those that "
        "it lacks are written there, with random weights",
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], help="radiographs")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each way, at most")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn, at least")
    parser.add_argument(
        "--budget",
        type=float,
        default=45,
        help="seconds per backbone and batch size, after which no round begins but the first three",
    )
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument(
        "--memory", action="store_true", help="also peak memory, each way in a process of its own"
    )
    parser.add_argument("--out", type=Path, help="JSON file for all that was measured")
    add_film_arguments(parser, count=32)
    return parser


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    why = {name: missing(name) for name in arguments.ways}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths, source = chosen_films(arguments, folder)
        films = model_pixels(paths, arguments.size)
        np.save(folder / FILMS, films)
        result: dict[str, Any] = {
            "machine": machine(),
            "command": " ".join(sys.argv),
            "radiographs": source,
            "batches": arguments.batches,
            "left_out": {name: reason for name, reason in why.items() if reason is not None},
            "backbones": {},
        }
        for backbone in arguments.backbones:
            started = time.perf_counter()
            ways = [name for name, reason in why.items() if reason is None]
            result["backbones"][backbone] = _backbone(backbone, ways, films, folder, arguments)
            taken = time.perf_counter() - started
            print(f"{backbone}: measured in {taken:.0f} s", file=sys.stderr)
    return result


def peak_gflops() -> float:
    """The most float32 operations per second that one large layer reaches, in 10^9.

    The layer is a convolution that fills the vector units: the matrix product of torch's BLAS
    reaches less than half of it on processors that the library was not tuned for.
    """
    layer = torch.nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(_PICTURES, _CHANNELS, _SIDE, _SIDE)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    quickest = float("inf")
    with torch.inference_mode():
        for _ in range(20):
            started = time.perf_counter()
            layer(pixels)
            quickest = min(quickest, time.perf_counter() - started)
    operations = 2 * _PICTURES * _SIDE**2 * 9 * _CHANNELS**2
    return operations / quickest / 1e9


def _backbone(
    backbone: str, names: list[str], films: Films, folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Everything about one backbone."""
    bundle = (arguments.bundles or folder) / backbone
    if not bundle.exists():
        calibrate = films[:_CALIBRATED] if any(name.endswith("int8") for name in names) else None
        prepare(bundle, backbone, arguments.size, METHOD, calibrate)
    # A bundle of one's own may have failed the gate of int8.
    if not (bundle / INT8_FILE).is_file():
        names = [name for name in names if not name.endswith("int8")]
    _, gmacs = planned_size(backbone, "linear", arguments.size)
    found: dict[str, Any] = {"gmacs": gmacs, "batches": {}}
    for batch in arguments.batches:
        ways = {name: make_way(name, bundle, films, batch, arguments.threads) for name in names}
        if "agreement" not in found:
            found["agreement"] = _agreement(ways, films[:_COMPARED])
            names = [name for name in names if not _differs(name, found["agreement"][name])]
        figures = _timed({name: ways[name] for name in names}, gmacs, arguments)
        if arguments.memory:
            figures["peak_megabytes"] = {
                name: peak_megabytes(name, bundle, folder / FILMS, batch, arguments.threads)
                for name in names
            }
        found["batches"][str(batch)] = figures
    return found


def _timed(
    ways: dict[str, ExplainWay], gmacs: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Rates, how they compare with the peers', and with what the processor can do."""
    pace = Pace(
        arguments.repeats,
        seconds=arguments.seconds,
        budget=arguments.budget,
        warm_up="first turn",
    )
    turns = take_turns(ways, pace)
    # Measured now, so that a machine's drift meets both.
    peak = peak_gflops()
    medians = {name: Figure.of(rates(each)).median for name, each in turns.items()}
    return {
        "ways": as_json(turns),
        "times_as_fast": {
            peer: {name: asdict(ratio(turns[name], turns[peer])) for name in turns}
            for peer in PEER_NAMES
            if peer in turns
        },
        "peak_gflops": peak,
        "share_of_peak": {name: rate * 2 * gmacs / peak for name, rate in medians.items()},
    }


def _agreement(ways: dict[str, ExplainWay], films: Films) -> dict[str, dict[str, float]]:
    """How heatmaps and probabilities compare with the first way's, `grad-cam`'s by default.

    Both scale a map linearly and enlarge it bilinearly, so the correlation is that of raw maps.
    """
    answers: dict[str, Answer] = {}
    for name, way in ways.items():
        with way.turn():
            answers[name] = way.explain(films)
    reference = next(iter(answers.values()))
    return {name: _compared(answer, reference) for name, answer in answers.items()}


def _differs(name: str, figures: dict[str, float]) -> bool:
    """Whether it explains something else than it should, so that its speed means nothing."""
    exact = name in PEER_NAMES or name.endswith("float32")
    return exact and not figures["correlation"] >= LEAST_CORRELATION


def _compared(answer: Answer, reference: Answer) -> dict[str, float]:
    pairs = zip(answer.heatmap, reference.heatmap, strict=True)
    return {
        "correlation": min(_correlation(one, other) for one, other in pairs),
        "probability": float(np.abs(answer.probability - reference.probability).max()),
    }


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's; 0 if there is nothing on one of them."""
    if min(one.std(), other.std()) == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


if __name__ == "__main__":
    sys.exit(main())
