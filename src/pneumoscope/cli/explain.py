"""`pneumoscope explain`: what several heatmap methods show on the same film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pneumoscope.cli.collecting import collect
from pneumoscope.cli.console import (
    NOT_FOR_DIAGNOSIS,
    console,
    end_unless_judged,
    errors,
    progress,
    shown,
)
from pneumoscope.cli.options import BundleOption, heatmaps_of

if TYPE_CHECKING:
    from pneumoscope.bundles import BundleInfo
    from pneumoscope.findings import Region
    from pneumoscope.inference import Engine, Explained
    from pneumoscope.report.side_by_side import Panel, Point

ALL = "all"
_LEGEND = "Ring: hottest point. Boxes: regions with their peak heat."
_LEGEND_NEGATIVE = "Ring: hottest point. Called negative, hence no regions."


def explain(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or globs of radiographs.")],
    bundle: BundleOption = Path("default"),
    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas, each perhaps with +mirror or +lungs; or all."
        ),
    ] = ALL,
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")] = Path("explained"),
    gate: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Leave out what is no frontal chest film.")
    ] = True,
) -> None:
    """Draw a film and its heatmaps by several methods side by side.

    Writes one PNG per film, and [bold]explain.json[/bold]: for each method where its peak is, its
    regions, and the share of its heat that lies in the lungs. Methods that disagree are a warning:
    at most one of them shows what the model used. A bad file, or one that the input gate flags,
    becomes a line with an error. The exit code is 3 if no file could be explained.

    [dim]Examples:[/dim]
      pneumoscope explain film.png --bundle RUN
      pneumoscope explain films/ --bundle RUN --methods gradcam,gradcam+mirror+lungs,layercam
    """
    from pneumoscope.files import new_folder
    from pneumoscope.inference import load_engine

    files = collect(paths)
    engine = load_engine(bundle, every_method=True)
    chosen = choose(engine, methods)
    content = explain_to_folder(engine, files, chosen, new_folder(out), gate=gate)
    failed = [film for film in content["radiographs"] if "error" in film]
    for film in failed:
        errors.print(f"[yellow]left out[/yellow] {shown(film['image'])}: {shown(film['error'])}")
    done = len(content["radiographs"]) - len(failed)
    console.print(
        f"{done} of {len(files)} radiographs explained by {', '.join(content['methods'])}"
    )
    console.print(
        f"Pictures: [bold]{shown(out)}[/bold], figures: [bold]{shown(out / 'explain.json')}[/bold]"
    )
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")
    end_unless_judged(done, len(files))


def choose(engine: Engine, text: str) -> list[str]:
    """The heatmaps asked for besides the bundle's own, in order, each once.

    Args:
        engine: a loaded bundle.
        text: `all`, or specifications separated by commas, as `HeatmapSpec` reads them.

    Raises:
        SettingsError: a specification has another form, or its method is not for this bundle.
    """
    from pneumoscope.bundles import HeatmapSpec

    own = str(HeatmapSpec.parse(engine.info.heatmap))
    wanted = list(engine.methods) if text.strip() == ALL else text.split(",")
    specs = heatmaps_of(engine, wanted)
    return [name for name in dict.fromkeys(map(str, specs)) if name != own]


def explain_to_folder(
    engine: Engine,
    files: list[tuple[str, Path]],
    others: list[str],
    out: Path,
    *,
    gate: bool = False,
) -> dict[str, Any]:
    """Explain files into a folder; what was finished is written even if it is interrupted.

    Returns:
        The content of `explain.json`.
    """
    from pneumoscope.bundles import HeatmapSpec
    from pneumoscope.files import write_json
    from pneumoscope.inference import Explained, explain_files

    own = str(HeatmapSpec.parse(engine.info.heatmap))
    films: list[dict[str, Any]] = []
    content: dict[str, Any] = {
        "model": engine.info.model_id,
        "threshold": engine.info.threshold,
        "own_method": own,
        "methods": [own, *others],
        "radiographs": films,
    }
    try:
        with progress("Reading films") as update:
            stream = explain_files(engine, files, others=others, lungs=True, gate=gate)
            for done, item in enumerate(stream, start=1):
                finding = item.finding
                if isinstance(item, Explained) and finding.judged:
                    films.append(_draw(item, engine.info, out))
                else:
                    films.append({"image": item.name, "error": finding.error or finding.summary})
                update(done, len(files))
    finally:
        write_json(out / "explain.json", content)
    return content


def _draw(item: Explained, info: BundleInfo, out: Path) -> dict[str, Any]:
    """Write the film's picture; what `explain.json` says of the film."""
    from PIL import Image

    from pneumoscope.files import atomic_path
    from pneumoscope.findings import positive_regions
    from pneumoscope.report.findings_folder import file_name
    from pneumoscope.report.side_by_side import side_by_side

    finding, own, labels = item.finding, info.heatmap, info.labels
    positive = finding.label == labels[1]
    lungs = _lungs(item)
    panels, said = [], {}
    for name, heatmap in {own: item.heatmap, **item.others}.items():
        # As in a finding: on a film called negative nothing was found that could be somewhere.
        level = info.region_threshold
        regions = positive_regions(heatmap, threshold=level) if positive else []
        peak, share = peak_of(heatmap), share_in(heatmap, lungs)
        panels.append(_panel(name, heatmap, regions, peak, share, own=name == own))
        said[name] = {
            "peak": None if peak is None else {"x": peak[0], "y": peak[1]},
            "regions": [region.model_dump() for region in regions],
            "share_in_lungs": share,
        }
    picture = side_by_side(
        item.radiograph.pixels,
        panels,
        title=f"{Path(item.name).name}: {finding.summary}",
        note=f"Probability of {labels[1]} {finding.probability:.3f}, threshold "
        f"{finding.threshold:.3f}. {_LEGEND if positive else _LEGEND_NEGATIVE}\n"
        f"{NOT_FOR_DIAGNOSIS}",
    )
    name = file_name(item.name)
    with atomic_path(out / name) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    height, width = item.heatmap.shape
    return {
        "image": item.name,
        "picture": name,
        "width": width,
        "height": height,
        "label": finding.label,
        "probability": finding.probability,
        "lungs_share": None if lungs is None else float(lungs.mean()),
        "methods": said,
    }


def _panel(
    name: str,
    heatmap: NDArray[np.float32],
    regions: list[Region],
    peak: Point | None,
    share: float | None,
    *,
    own: bool,
) -> Panel:
    from pneumoscope.report.numbers import method_name
    from pneumoscope.report.side_by_side import Panel

    note = f"{len(regions)} region{'' if len(regions) == 1 else 's'}"
    if share is not None:
        note += f", {share:.0%} of heat in lungs"
    if peak is None:
        note = "no evidence"
    return Panel(method_name(name)[0], note, heatmap, regions, peak, own)


def _lungs(item: Explained) -> NDArray[np.bool_] | None:
    """Where the lungs are; None where none were found, which `explain_files` writes as ones."""
    if item.lungs is None:
        return None
    mask = item.lungs >= 0.5
    return None if mask.all() or not mask.any() else mask


def peak_of(heatmap: NDArray[np.float32]) -> Point | None:
    """Centre of the hottest pixel, `x, y` between pixel edges; None for a map flat or empty.

    Of pixels equally hot, as on the plateau that interpolation leaves at the film's edge, it is
    the one nearest to their common centre.
    """
    highest = heatmap.max()
    if heatmap.min() == highest:
        return None
    hottest = np.argwhere(heatmap == highest)
    away = np.square(hottest - hottest.mean(axis=0)).sum(axis=1)
    row, column = hottest[int(away.argmin())]
    return float(column) + 0.5, float(row) + 0.5


def share_in(heatmap: NDArray[np.float32], lungs: NDArray[np.bool_] | None) -> float | None:
    """Part of the heat that lies in the lungs; None without lungs or without evidence."""
    from pneumoscope.evaluate import score_lungs

    if lungs is None:
        return None
    scores = score_lungs(heatmap, lungs)
    return scores.energy_in_lungs if scores.evidence == "heat" else None
