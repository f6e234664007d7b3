"""How well the input gate tells chest radiographs from everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import ImageError, SettingsError
from pneumoscope.evaluate.bootstrap import bootstrap_patients, figures_json, weighted_means
from pneumoscope.gate import InputGate, Verdict
from pneumoscope.imaging import Radiograph, model_input, read_radiograph

_SIDE = 224
# Radiographs that are changed and spoiled, evenly spread over test: more take time and tell little.
_CHANGED = 500


def measure_gate(
    gate: InputGate,
    part: Manifest,
    *,
    chests: Sequence[tuple[str, Path]] = (),
    tables: Sequence[Path] = (),
    pictures: Sequence[tuple[str, Path]] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """False positives on chest radiographs and detection of others, with 95 % intervals by patient.

    Args:
        gate: the input gate.
        part: upright frontal chest radiographs.
        chests: (name, path) of further ones.
        tables: CSV files of `train-gate`, of which the test part is used.
        pictures: (name, path) of pictures of other things.
        progress: called with (radiographs of `part` done, radiographs in all).

    Raises:
        SettingsError: the gate was made by cross-validation over the pictures of a table.
        ImageError: a radiograph of `part` cannot be read.
    """
    paths, patients = part.paths(), part.patients()
    changed = np.unique(np.linspace(0, len(paths) - 1, min(_CHANGED, len(paths))).astype(int))
    whose = [patients[row] for row in changed]
    own, spoilt, mild = _judge_part(gate, paths, set(changed.tolist()), progress)
    alarms = {}
    for name, rows in slices(part).items():
        alarms[name] = _share([own[row] for row in rows], [patients[row] for row in rows])
    for name, found in mild.items():
        alarms[f"all, {name}"] = _share(found, whose)
    unreadable: list[str] = []
    beyond = _judge_files(gate, chests, unreadable)
    if beyond:
        alarms["further chest radiographs"] = _share(list(beyond.values()), list(beyond))
    detection = {kind: _detected(found, whose, own) for kind, found in spoilt.items()}
    for table in tables:
        detection |= _of_table(gate, table, own)
    strange = _judge_files(gate, pictures, unreadable)
    if strange:
        detection["other pictures"] = _detected(list(strange.values()), list(strange), own)
    return {
        "model": gate.info.id,
        "threshold": gate.info.threshold,
        "false_alarms": alarms,
        "detection": detection,
        "accepted_others": sorted(Path(n).name for n, v in strange.items() if not v.flagged),
        "flagged_chests": sorted(Path(n).name for n, v in beyond.items() if v.flagged),
        "unreadable": unreadable,
    }


def spoil(pixels: NDArray[np.float32], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """A radiograph spoilt in each known way, by kind.

    Args:
        pixels: float32 (height, width) in [0, 1].
        rng: places the crop, a third of the radiograph's area or less, and the noise.
    """
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
    """A radiograph that looks unusual and is still an upright frontal radiograph, by kind.

    Args:
        pixels: float32 (height, width) in [0, 1].
    """
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

    table, cohorts = part.table, part.cohorts()
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


def _judge_part(
    gate: InputGate,
    paths: Sequence[Path],
    changed: set[int],
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Verdict], dict[str, list[Verdict]], dict[str, list[Verdict]]]:
    """Verdicts on all radiographs, and by kind on those in rows `changed`, spoilt."""
    rng = np.random.default_rng(0)
    own: list[Verdict] = []
    spoilt: dict[str, list[Verdict]] = {}
    mild: dict[str, list[Verdict]] = {}
    for row, path in enumerate(paths):
        film = read_radiograph(path).upright()
        own.append(gate.judge(*model_input(film, _SIDE)))
        if row in changed:
            for kind, pixels in spoil(film.pixels, rng).items():
                spoilt.setdefault(kind, []).append(_judge(gate, pixels))
            for kind, pixels in odd(film.pixels).items():
                mild.setdefault(kind, []).append(_judge(gate, pixels))
        if progress is not None:
            progress(row + 1, len(paths))
    return own, spoilt, mild


def _judge(gate: InputGate, pixels: NDArray[np.float32]) -> Verdict:
    return gate.judge(*model_input(Radiograph(pixels, Path("film")), _SIDE))


def _of_table(gate: InputGate, table: Path, own: Sequence[Verdict]) -> dict[str, Any]:
    """Detection of each kind in the test part of a CSV of train-gate.

    Raises:
        SettingsError: the gate was made by cross-validation over these pictures.
    """
    from pneumoscope.training.gate.others import read_others

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
        groups = [str(part.groups[row]) for row in rows]
        detection[f"{kind}, test part"] = _detected([verdicts[row] for row in rows], groups, own)
    return detection


def _judge_files(
    gate: InputGate, files: Sequence[tuple[str, Path]], unreadable: list[str]
) -> dict[str, Verdict]:
    """Verdicts by name; names of files that hold no picture go to `unreadable`."""
    found = {}
    for name, path in files:
        verdict = _judge_file(gate, path)
        if verdict is None:
            unreadable.append(name)
        else:
            found[name] = verdict
    return found


def _judge_file(gate: InputGate, path: Path) -> Verdict | None:
    """The verdict on a file, in gray if it is in colour; None if it holds no picture."""

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

    flags = weighted_means({"flagged": [verdict.flagged for verdict in found]})
    return {"n": len(found), **figures_json(bootstrap_patients(flags, patients))}


def _detected(
    found: Sequence[Verdict], groups: Sequence[str], chests: Sequence[Verdict]
) -> dict[str, Any]:
    """Share flagged of pictures that should be, AUROC against chest radiographs, reasons."""
    reasons = Counter(verdict.reason for verdict in found if verdict.reason is not None)
    return {
        **_share(found, groups),
        "auroc": _auroc(chests, found),
        "reasons": dict(reasons.most_common()),
    }


def _auroc(chests: Sequence[Verdict], found: Sequence[Verdict]) -> float:
    """Share of pairs in which the other picture scores above the radiograph; ties are halves."""
    own = np.sort([verdict.score for verdict in chests])
    scores = np.array([verdict.score for verdict in found])
    below, upto = np.searchsorted(own, scores, "left"), np.searchsorted(own, scores, "right")
    return float((below + upto).mean() / (2 * len(own)))
