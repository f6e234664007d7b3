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

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.gate import InputGate, Verdict

_SIDE = 224
# Films that are changed and spoiled, evenly spread over test: more take time and tell little.
_CHANGED = 500


def check_gate(
    cohort: Annotated[Path, typer.Argument(help="Manifest of frontal chest films; test is used.")],
    chests: Annotated[
        list[str] | None, typer.Option(help="Further chest films: a folder, a file or a glob.")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            help="Pictures of other things: a folder, file or glob, or the CSV of train-gate."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="gate.onnx of train-gate; else the shipped one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures here, as JSON.")] = None,
) -> None:
    """Measure the input gate: false alarms on chest films, detection of what is none.

    False alarms are counted on test, with 95 % intervals by patient: per cohort, view and source
    (the columns of these names), and on films changed so little that they should pass.
    Rotations, inversion, heavy crops, noise and blanks are made of 500 of them. Of a CSV of
    train-gate the test part is used. Pictures in color are converted to gray here;
    [bold]predict[/bold] refuses them when reading.

    [dim]Example:[/dim]
      pneumoscope check-gate cohort.csv --others photographs --out gate.json
    """
    import numpy as np

    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import write_json
    from pneumoscope.gate import InputGate
    from pneumoscope.imaging import model_input, read_radiograph

    gate = InputGate.load(model)
    part = Manifest.read(cohort).subset("test")
    paths, patients = part.paths(), part.patients()
    tables = [Path(name) for name in others or [] if name.lower().endswith(".csv")]
    loose = [name for name in others or [] if not name.lower().endswith(".csv")]
    rng = np.random.default_rng(0)
    own: list[Verdict] = []
    spoilt: dict[str, list[Verdict]] = {}
    mild: dict[str, list[Verdict]] = {}
    changed = np.unique(np.linspace(0, len(paths) - 1, min(_CHANGED, len(paths))).astype(int))
    whose = [patients[row] for row in changed]
    with progress("Judging films") as update:
        for done, path in enumerate(paths, start=1):
            film = read_radiograph(path).upright()
            own.append(gate.judge(*model_input(film, _SIDE)))
            update(done, len(paths))
            if done - 1 not in changed:
                continue
            for kind, pixels in spoil(film.pixels, rng).items():
                spoilt.setdefault(kind, []).append(_judge(gate, pixels))
            for kind, pixels in odd(film.pixels).items():
                mild.setdefault(kind, []).append(_judge(gate, pixels))
    alarms = {}
    for name, rows in slices(part).items():
        alarms[name] = _share([own[row] for row in rows], [patients[row] for row in rows])
    for name, found in mild.items():
        alarms[f"all, {name}"] = _share(found, whose)
    unreadable: list[str] = []
    beyond = _judge_files(gate, chests or [], unreadable)
    if beyond:
        alarms["further chest films"] = _share(list(beyond.values()), list(beyond))
    detection = {
        kind: {**_share(found, whose), "auroc": _auroc(own, found), "reasons": _reasons(found)}
        for kind, found in spoilt.items()
    }
    for table in tables:
        detection |= _of_table(gate, table, own)
    strange = _judge_files(gate, loose, unreadable)
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


def odd(pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """A film that looks unusual and is still an upright frontal film, by kind.

    Args:
        pixels: float32 (height, width) in [0, 1].
    """
    import numpy as np
    from PIL import Image

    height, width = pixels.shape
    film = Image.fromarray(pixels)
    bilinear = Image.Resampling.BILINEAR
    sizes = {
        "width times .75": (max(width * 3 // 4, 1), height),
        "height times .75": (width, max(height * 3 // 4, 1)),
    }
    resampled = {"turned by 10 degrees": film.rotate(10, bilinear)} | {
        kind: film.resize(size, bilinear) for kind, size in sizes.items()
    }
    bars = np.pad(pixels, ((0, 0), (width // 6, width // 6)))
    return {
        # The weights of resampling are rounded, so that white can exceed 1 a little.
        **{kind: np.asarray(picture).clip(0, 1) for kind, picture in resampled.items()},
        "black bars at the sides": bars,
        "mirrored": np.ascontiguousarray(pixels[:, ::-1]),
    }


def slices(part: Manifest) -> dict[str, NDArray[np.intp]]:
    """Rows of each cohort, and of each view and source within it."""
    import numpy as np

    from pneumoscope.cli.train_gate import cohort_names

    table, cohorts = part.table, cohort_names(part)
    found = {str(name): np.flatnonzero(cohorts == name) for name in np.unique(cohorts)}
    for column in ("view", "source"):
        if column not in table.columns:
            continue
        values = np.array([str(value).strip() for value in table[column].fillna("")])
        for name in np.unique(cohorts):
            for value in np.unique(values[cohorts == name]):
                if value:
                    rows = np.flatnonzero((cohorts == name) & (values == value))
                    found[f"{name}, {value}"] = rows
    return found


def _judge(gate: InputGate, pixels: NDArray[np.float32]) -> Verdict:
    from pneumoscope.imaging import Radiograph, model_input

    return gate.judge(*model_input(Radiograph(pixels, Path("film")), _SIDE))


def _of_table(gate: InputGate, table: Path, own: Sequence[Verdict]) -> dict[str, Any]:
    """Detection of each kind in the test part of a CSV of train-gate.

    Raises:
        SettingsError: the gate was made by cross-validation over these pictures.
    """
    from pneumoscope.errors import SettingsError
    from pneumoscope.imaging import model_input
    from pneumoscope.training.gate_others import read_others

    pictures = read_others(table)
    training = gate.info.training
    if training.get("networks", 1) > 1 and training.get("others_digest") == pictures.digest:
        raise SettingsError(
            "the gate was trained on all parts of these pictures",
            path=table,
            remedy="see the figures in its gate.json, or give other pictures",
        )
    part = pictures.subset(pictures.splits == "test")
    verdicts = [gate.judge(*model_input(film, _SIDE)) for film in part.films]
    detection = {}
    for kind in sorted(set(part.names)):
        rows = [row for row, name in enumerate(part.names) if name == kind]
        found = [verdicts[row] for row in rows]
        detection[f"{kind}, test part"] = {
            **_share(found, [str(part.groups[row]) for row in rows]),
            "auroc": _auroc(own, found),
            "reasons": _reasons(found),
        }
    return detection


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
