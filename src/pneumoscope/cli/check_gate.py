"""`pneumoscope check-gate`: how well the input gate tells chest films from everything else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli.console import console, progress, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.gate import InputGate, Verdict

_SIDE = 224


def check_gate(
    cohort: Annotated[Path, typer.Argument(help="Manifest of frontal chest films; test is used.")],
    chests: Annotated[
        list[str] | None, typer.Option(help="Further chest films: a folder, a file or a glob.")
    ] = None,
    others: Annotated[
        list[str] | None, typer.Option(help="Pictures of other things: a folder, file or glob.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="gate.onnx of train-gate; else the shipped one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure the input gate: false alarms on chest films, detection of what is none.

    False alarms are counted per cohort (column [bold]cohort[/bold]) on test, with 95 % intervals by
    patient. Rotations, inversion, heavy crops, noise and blanks are made of the same films.
    Pictures in colour are judged in gray here; [bold]predict[/bold] refuses them when reading.

    [dim]Example:[/dim]
      pneumoscope check-gate cohort.csv --others photographs --out gate.json
    """
    import numpy as np

    from pneumoscope.cli.train_gate import cohort_names
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import write_json
    from pneumoscope.gate import InputGate
    from pneumoscope.imaging import model_input, read_radiograph

    gate = InputGate.load(model)
    part = Manifest.read(cohort).subset("test")
    paths, patients, cohorts = part.paths(), part.patients(), cohort_names(part)
    rng = np.random.default_rng(0)
    own: list[Verdict] = []
    spoilt: dict[str, list[Verdict]] = {}
    with progress("Judging films") as update:
        for done, path in enumerate(paths, start=1):
            film = read_radiograph(path).upright()
            own.append(gate.judge(*model_input(film, _SIDE)))
            for kind, pixels in spoil(film.pixels, rng).items():
                spoilt.setdefault(kind, []).append(_judge(gate, pixels))
            update(done, len(paths))
    alarms = {}
    for name in np.unique(cohorts):
        rows = np.flatnonzero(cohorts == name)
        found, whose = [own[row] for row in rows], [patients[row] for row in rows]
        alarms[str(name)] = _share(found, whose)
    unreadable: list[str] = []
    beyond = _judge_files(gate, chests or [], unreadable)
    if beyond:
        alarms["further chest films"] = _share(list(beyond.values()), list(beyond))
    detection = {
        kind: {**_share(found, patients), "auroc": _auroc(own, found), "reasons": _reasons(found)}
        for kind, found in spoilt.items()
    }
    strange = _judge_files(gate, others or [], unreadable)
    if strange:
        found = list(strange.values())
        detection["other pictures"] = {
            **_share(found, list(strange)),
            "auroc": _auroc(own, found),
            "reasons": _reasons(found),
        }
    figures: dict[str, Any] = {
        "model": gate.info.id,
        "threshold": gate.info.threshold,
        "false_alarms": alarms,
        "detection": detection,
        "accepted_others": sorted(Path(n).name for n, v in strange.items() if not v.flagged),
        "flagged_chests": sorted(Path(n).name for n, v in beyond.items() if v.flagged),
        "unreadable": unreadable,
    }
    _show(figures)
    if out is not None:
        write_json(out, figures)
        console.print(f"Figures: [bold]{shown(out)}[/bold]")


def spoil(pixels: NDArray[np.float32], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """A film spoilt in each known way, by kind.

    Args:
        pixels: float32 (height, width) in [0, 1].
        rng: places the crop, a third of the film's area or less, and the noise.
    """
    import numpy as np

    height, width = pixels.shape
    side = np.sqrt(rng.uniform(0.08, 0.33))
    top, left = rng.uniform(0, 1 - side, 2)
    rows = slice(int(top * height), int((top + side) * height) + 1)
    columns = slice(int(left * width), int((left + side) * width) + 1)
    return {
        "rotated by 90": np.ascontiguousarray(np.rot90(pixels)),
        "rotated by 180": np.ascontiguousarray(np.rot90(pixels, 2)),
        "rotated by 270": np.ascontiguousarray(np.rot90(pixels, 3)),
        "inverted": 1 - pixels,
        "cropped": np.ascontiguousarray(pixels[rows, columns]),
        "left half": np.ascontiguousarray(pixels[:, : int(width * 0.45)]),
        "noise": rng.permutation(pixels.ravel()).reshape(pixels.shape),
        "blank": np.full_like(pixels, pixels.mean()),
    }


def _judge(gate: InputGate, pixels: NDArray[np.float32]) -> Verdict:
    from pneumoscope.imaging import Radiograph, model_input

    return gate.judge(*model_input(Radiograph(pixels, Path("film")), _SIDE))


def _judge_files(
    gate: InputGate, places: Sequence[str], unreadable: list[str]
) -> dict[str, Verdict]:
    """Verdicts by name; names of files that hold no picture go to `unreadable`."""
    from pneumoscope.cli.collecting import collect

    found = {}
    for name, path in collect(places):
        verdict = _judge_file(gate, path)
        if verdict is None:
            unreadable.append(name)
        else:
            found[name] = verdict
    return found


def _judge_file(gate: InputGate, path: Path) -> Verdict | None:
    """The verdict on a file, in gray if it is in colour; None if it holds no picture."""
    import numpy as np
    from PIL import Image

    from pneumoscope.errors import ImageError
    from pneumoscope.imaging import read_radiograph

    try:
        return _judge(gate, read_radiograph(path).upright().pixels)
    except ImageError:
        try:
            with Image.open(path) as picture:
                levels = np.asarray(picture.convert("L"), dtype=np.float32)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        return _judge(gate, levels / np.float32(255))


def _share(found: Sequence[Verdict], patients: Sequence[str]) -> dict[str, Any]:
    """Number of pictures, and the share flagged with its interval."""
    import numpy as np

    from pneumoscope.evaluate.bootstrap import bootstrap_patients

    flags = np.array([verdict.flagged for verdict in found], dtype=np.float64)

    def statistic(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"flagged": weights @ flags / weights.sum(axis=1)}

    figure = bootstrap_patients(statistic, list(patients))["flagged"]
    return {"n": len(found), "flagged": figure.to_dict()}


def _auroc(chests: Sequence[Verdict], found: Sequence[Verdict]) -> float:
    """Share of pairs in which the other picture scores above the chest film; ties are halves."""
    import numpy as np

    own = np.sort([verdict.score for verdict in chests])
    scores = np.array([verdict.score for verdict in found])
    below, upto = np.searchsorted(own, scores, "left"), np.searchsorted(own, scores, "right")
    return float((below + upto).mean() / (2 * len(own)))


def _reasons(found: Iterable[Verdict]) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(v.reason for v in found if v.reason is not None).most_common())


def _show(figures: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(header_style="dim", title=shown(figures["model"]))
    for column in ("pictures", "number", "flagged", "95 % interval", "AUROC"):
        table.add_column(column)
    rows = [*figures["false_alarms"].items(), *figures["detection"].items()]
    for name, entry in rows:
        flagged = entry["flagged"]
        ends = [flagged["low"], flagged["high"]]
        between = "" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
        auroc = f"{entry['auroc']:.4f}" if "auroc" in entry else ""
        table.add_row(shown(name), str(entry["n"]), f"{flagged['value']:.4f}", between, auroc)
    console.print(table)
    for key, words in (
        ("accepted_others", "Not flagged"),
        ("flagged_chests", "Flagged chests"),
        ("unreadable", "Left out, not readable as pictures"),
    ):
        if figures[key]:
            console.print(f"{words}: {shown(', '.join(figures[key][:40]))}")
