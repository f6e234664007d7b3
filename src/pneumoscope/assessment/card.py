"""What was measured of a bundle, written beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.bundles import (
    BundleInfo,
    SeenInfo,
    amend_bundle,
    find_bundle,
    read_bundle,
    weaknesses_of,
)
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError, SettingsError
from pneumoscope.files import write_json, write_text
from pneumoscope.report.model_card import render_model_card

CARD, CARD_DATA = "MODEL_CARD.md", "model_card.json"
# What the card keeps of an evaluation; the rest is details of its own report.
_OF_METRICS = (
    "model", "split", "n", "n_patients", "prevalence", "classification", "confusion", "threshold",
    "overlap", "calibration", "abstention", "subgroups", "localization", "localization_method",
)  # fmt: skip


def write_card(
    bundle: Path,
    *,
    evaluations: Sequence[str] = (),
    others: Sequence[str] = (),
    audits: Sequence[str] = (),
    audits_before: Sequence[str] = (),
    gate: Path | None = None,
    words: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write a bundle's `MODEL_CARD.md` and `model_card.json` from what was measured of it.

    Args:
        bundle: its folder, or a run.
        evaluations: `NAME=FOLDER` of saved assessments.
        others: `TRAINED:NAME=FOLDER`, likewise of models trained on TRAINED.
        audits: `NAME=FOLDER` of audits.
        audits_before: likewise of the model before it was mended.
        gate: file of `check-gate`.
        words: YAML with cohort, limits, history, commands.

    Returns:
        The card's path, and all that was measured.

    Raises:
        SettingsError: a pair has another form or a name twice, or the words are none.
        EvaluationError: a folder or file holds no figures, or those of another model.
    """
    folder, info = read_bundle(bundle, weights=True)
    if folder.is_file():
        folder = find_bundle(folder.parent)
    measured = {
        "cohorts": {
            name: {key: metrics[key] for key in _OF_METRICS if key in metrics}
            for name, metrics in _contents(evaluations, "metrics.json", info.model_id).items()
        },
        "cross": _cross(others),
        "audits": _contents(audits, "audit.json", info.model_id),
        "audits_before": _contents(audits_before, "audit.json"),
        "gate": {} if gate is None else _json(gate),
    }
    text = _words(words)
    card = render_model_card(info.model_dump(mode="json"), measured=measured, **text)
    write_text(folder / CARD, card)
    write_json(folder / CARD_DATA, {"model": info.model_id, "measured": measured, **text})
    return folder / CARD, measured


def list_seen(bundle: Path, cohort: Path) -> list[Path]:
    """Write into a bundle which radiographs and patients it was made with; its card stays as it is.

    Args:
        bundle: its folder, or a run.
        cohort: the manifest that it was trained on.

    Returns:
        The files that hold the list now.

    Raises:
        EvaluationError: it is another manifest.
    """
    _, info = read_bundle(bundle, weights=True)
    manifest = Manifest.read(cohort)
    digest = manifest.digest()
    if digest != info.training.data_digest:
        raise EvaluationError(
            f"is not the cohort that {info.model_id} was trained on (its digest differs)",
            path=cohort,
            remedy="give the manifest.csv of its run, with the radiographs as they were",
        )
    return amend_bundle(bundle, seen=SeenInfo.of(digest, *manifest.keys_by_split()))


def list_weaknesses(bundle: Path, file: Path) -> tuple[int, list[Path]]:
    """Write into a bundle where the model is weak; its card stays as it is.

    Args:
        bundle: its folder, or a run.
        file: YAML list of subgroups.

    Returns:
        How many weaknesses there are, and the files that hold the list now.

    Raises:
        SettingsError: the file holds something else.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = weaknesses_of(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            f"is not a list of weaknesses ({' '.join(str(error).split())})",
            path=file,
            remedy="give a YAML list of measured, n, and views, from_age or below_age",
        ) from error
    return len(known), amend_bundle(bundle, weaknesses=known)


def read_card(folder: Path) -> dict[str, Any] | None:
    """The content of a bundle's `model_card.json`; None where there is none."""
    path = folder / CARD_DATA
    return _json(path) if path.is_file() else None


def card_of(bundle: Path, info: BundleInfo) -> str:
    """The card of a bundle under another description, with what was measured of it before.

    Args:
        bundle: its folder or its file.
        info: the other description.
    """
    known = read_card(bundle if bundle.is_dir() else bundle.parent) or {}
    words = {key: value for key, value in known.items() if key != "model"}
    return render_model_card(info.model_dump(mode="json"), **words)


def _contents(pairs: Sequence[str], file: str, model: str | None = None) -> dict[str, Any]:
    """The file of each folder, by name; `model` is the one that it must be of."""
    found: dict[str, Any] = {}
    for name, folder in map(_pair, pairs):
        if name in found:
            raise SettingsError(f"'{name}' is given twice", remedy="give each folder its own name")
        found[name] = _json(folder / file)
        if model is not None and found[name].get("model") != model:
            raise EvaluationError(
                f"is of another model ({found[name].get('model')}) than the bundle ({model})",
                path=folder / file,
                remedy="measure this bundle and give that output",
            )
    return found


def _cross(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, folder in map(_pair, pairs):
        trained, colon, tested = key.partition(":")
        if not colon:
            raise SettingsError(
                f"'{key}' names one set", remedy="write --other TRAINED:TESTED=FOLDER"
            )
        metrics = _json(folder / "metrics.json")
        # The rest of another model's figures is its own card's matter.
        kept = {name: metrics[name] for name in ("model", "split", "n", "classification")}
        found.setdefault(trained, {})[tested] = kept
    return found


def _pair(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise SettingsError(f"'{text}' is not NAME=FOLDER", remedy="write, say, siim=evaluation")
    return name, Path(folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError("cannot be read", path=path, remedy="check the path") from error
    if not isinstance(content, dict):
        raise EvaluationError("holds no figures", path=path, remedy="give an output's folder")
    return content


def _words(path: Path | None) -> dict[str, Any]:
    """`cohort`, `limits`, `history` and `commands`, each if given."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError("cannot be read", path=path, remedy="give a YAML file") from error
    known = {"cohort", "limits", "history", "commands"}
    if not isinstance(content, dict) or not set(content) <= known:
        raise SettingsError(
            "holds something else than " + ", ".join(sorted(known)), path=path, remedy="correct it"
        )
    return content
