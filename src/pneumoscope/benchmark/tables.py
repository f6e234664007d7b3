"""What was measured as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from pneumoscope.benchmark.timing import Figure


def tables(result: dict[str, Any]) -> str:
    """One table of rates and one of ratios against each peer for every batch size, and memory."""
    parts = []
    for batch in map(str, result["batches"]):
        measured = {name: each["batches"][batch] for name, each in result["backbones"].items()}
        parts.append(_table(f"Radiographs/s, batch {batch}", measured, _rate))
        first = next(iter(measured.values()))
        for peer in first["times_as_fast"]:
            title = f"Times as fast as {peer}, batch {batch}"
            parts.append(_table(title, measured, _ratio_to(peer), without=peer))
        parts.append(_table(f"Share of the peak, batch {batch}", measured, _share))
        if "peak_megabytes" in first:
            parts.append(_table(f"Peak memory in MB, batch {batch}", measured, _memory))
    parts.append(_table("Lowest correlation of heatmaps", result["backbones"], _correlation))
    left_out = [f"Left out: {name} ({reason})." for name, reason in result["left_out"].items()]
    for name, each in result["backbones"].items():
        timed = {way for batch in each["batches"].values() for way in batch["ways"]}
        left_out += [
            f"Not timed on {name}: {way}, its heatmaps differ."
            for way in each["agreement"]
            if way not in timed
        ]
    return "\n\n".join([*parts, *left_out])


def _table(
    title: str,
    measured: dict[str, Any],
    cell: Callable[[dict[str, Any], str], str],
    without: str | None = None,
) -> str:
    """A row for each backbone, a column for each way that any of them was explained by."""
    taken = {name: _ways(each) for name, each in measured.items()}
    names = [name for name in dict.fromkeys(chain(*taken.values())) if name != without]
    lines = [f"**{title}**", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for backbone, each in measured.items():
        cells = [cell(each, name) if name in taken[backbone] else "" for name in names]
        lines.append(f"| {backbone} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ways(measured: dict[str, Any]) -> list[str]:
    return list(measured["ways"] if "ways" in measured else measured["agreement"])


def _rate(measured: dict[str, Any], name: str) -> str:
    return f"{measured['ways'][name]['radiographs_per_second']['median']:.3g}"


def _ratio_to(peer: str) -> Callable[[dict[str, Any], str], str]:
    return lambda measured, name: str(Figure(**measured["times_as_fast"][peer][name]))


def _share(measured: dict[str, Any], name: str) -> str:
    return f"{measured['share_of_peak'][name]:.2f}"


def _memory(measured: dict[str, Any], name: str) -> str:
    peak = measured["peak_megabytes"][name]
    return "" if peak is None else f"{peak:.0f}"


def _correlation(measured: dict[str, Any], name: str) -> str:
    return f"{measured['agreement'][name]['correlation']:.4f}"
