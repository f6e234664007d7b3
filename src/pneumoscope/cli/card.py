"""`pneumoscope card`: what was measured of a bundle, written beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console, shown
from pneumoscope.errors import EvaluationError, SettingsError

CARD, CARD_DATA = "MODEL_CARD.md", "model_card.json"
# What the card keeps of an evaluation; the rest is details of its own report.
_OF_METRICS = (
    "model", "split", "n", "n_patients", "prevalence", "classification", "confusion", "threshold",
    "overlap", "calibration", "abstention", "subgroups", "localization", "localization_method",
)  # fmt: skip


def card(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or a run.")],
    evaluation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Output of evaluate on a cohort; repeat."),
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRAINED:NAME=FOLDER",
            help="Likewise of a model trained on TRAINED, to stand beside; repeat.",
        ),
    ] = None,
    audit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="An output of audit on a cohort; repeat."),
    ] = None,
    audit_before: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Likewise of the model before it was mended."),
    ] = None,
    gate: Annotated[Path | None, typer.Option(help="The file of check-gate.")] = None,
    words: Annotated[
        Path | None,
        typer.Option(help="YAML: cohort (text), limits, history, commands (lists of text)."),
    ] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(
            help="The manifest it was trained on: list its films and patients in the bundle."
        ),
    ] = None,
    weaknesses: Annotated[
        Path | None,
        typer.Option(
            help="YAML list of subgroups in which it is weak, for the bundle: findings quote them."
        ),
    ] = None,
) -> None:
    """Write a bundle's MODEL_CARD.md and model_card.json from what was measured of it.

    [dim]Examples:[/dim]
      pneumoscope card RUN --evaluation hospital=evaluation
      pneumoscope card RUN --evaluation a=eval-a --evaluation b=eval-b --other a:b=other-b
      pneumoscope card old-bundle --trained-on run/manifest.csv
      pneumoscope card RUN --weaknesses weaknesses.yaml
    """
    from pneumoscope.bundles import find_bundle, read_bundle
    from pneumoscope.files import write_json, write_text
    from pneumoscope.report.card_tables import card_tables
    from pneumoscope.report.model_card import ModelCard, render_model_card

    if trained_on is not None:
        _list_seen(bundle, trained_on)
    if weaknesses is not None:
        _list_weaknesses(bundle, weaknesses)
    amended = trained_on is not None or weaknesses is not None
    measurements = any((evaluation, other, audit, audit_before, gate, words))
    if amended and not measurements:
        return
    if not measurements:
        raise SettingsError(
            "nothing was given to write the card from, and it would replace the bundle's own",
            remedy="give --evaluation NAME=FOLDER, or another output",
        )
    folder, info = read_bundle(bundle, weights=True)
    if folder.is_file():
        folder = find_bundle(folder.parent)
    measured = {
        "cohorts": {
            name: {key: metrics[key] for key in _OF_METRICS if key in metrics}
            for name, metrics in _contents(evaluation, "metrics.json").items()
        },
        "cross": _cross(other),
        "audits": _contents(audit, "audit.json"),
        "audits_before": _contents(audit_before, "audit.json"),
        "gate": {} if gate is None else _json(gate),
    }
    text = _words(words)
    content = {"model": info.model_id, "measured": measured, **text}
    described = info.model_dump(mode="json")
    write_text(
        folder / CARD,
        render_model_card(ModelCard.from_bundle(described, measured=measured, **text)),
    )
    write_json(folder / CARD_DATA, content)
    for table in card_tables(measured):
        show_table(table)
    console.print(f"Card: [bold]{shown(folder / CARD)}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")


def _list_seen(bundle: Path, cohort: Path) -> None:
    """Write into a bundle which films and patients it was made with; its card stays as it is."""
    from pneumoscope.bundles import SeenInfo, amend_bundle, read_bundle
    from pneumoscope.cohort.manifest import Manifest

    _, info = read_bundle(bundle, weights=True)
    manifest = Manifest.read(cohort)
    digest = manifest.digest()
    if digest != info.training.data_digest:
        raise EvaluationError(
            f"is not the cohort that {info.model_id} was trained on (its digest differs)",
            path=cohort,
            remedy="give the manifest.csv of its run, with the radiographs as they were",
        )
    for path in amend_bundle(bundle, seen=SeenInfo.of(digest, *manifest.keys_by_split())):
        console.print(f"Lists what the model was made with: [bold]{shown(path)}[/bold]")


def _list_weaknesses(bundle: Path, file: Path) -> None:
    """Write into a bundle where the model is weak; its card stays as it is."""
    from pneumoscope.bundles import amend_bundle, weaknesses_of

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = weaknesses_of(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            f"is not a list of weaknesses ({' '.join(str(error).split())})",
            path=file,
            remedy="give a YAML list of measured, n, and views, from_age or below_age",
        ) from error
    for path in amend_bundle(bundle, weaknesses=known):
        console.print(f"Lists {len(known)} weaknesses of the model: [bold]{shown(path)}[/bold]")


def read_card(folder: Path) -> dict[str, Any] | None:
    """The content of a bundle's `model_card.json`; None where there is none."""
    path = folder / CARD_DATA
    return _json(path) if path.is_file() else None


def show_table(table: Any) -> None:
    """Print a `report.card_tables.CardTable`."""
    from rich.table import Table

    title, caption = shown(table.title), shown(table.words)
    printed = Table(title=title, caption=caption, header_style="dim", title_justify="left")
    for column in table.columns:
        printed.add_column(shown(column), overflow="fold")
    for line in table.lines:
        printed.add_row(*map(shown, line))
    console.print(printed)


def _contents(pairs: Sequence[str] | None, file: str) -> dict[str, Any]:
    """The file of each folder, by name."""
    return {name: _json(folder / file) for name, folder in map(_pair, pairs or ())}


def _cross(pairs: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, folder in map(_pair, pairs or ()):
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
        raise SettingsError(f"'{text}' is no NAME=FOLDER", remedy="write, say, siim=evaluation")
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
