"""`pneumoscope audit`: whether a bundle and its explanations are to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pneumoscope.cli.console import NOT_FOR_DIAGNOSIS, console, errors, progress, shown
from pneumoscope.cli.options import BundleOption
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.inference import Engine
    from pneumoscope.sanity import AuditFilm


def audit(
    cohort: Annotated[
        Path | None,
        typer.Argument(
            help="Manifest of scan, or a CSV with image,label; without it phantoms are drawn.",
            show_default=False,
        ),
    ] = None,
    bundle: BundleOption = Path("default"),
    split: Annotated[
        Literal["train", "val", "test", "all"],
        typer.Option(help="Which radiographs of the cohort."),
    ] = "test",
    n: Annotated[int, typer.Option("--n", min=2, help="Radiographs, half of them positive.")] = 60,
    tests: Annotated[
        str,
        typer.Option(
            help="Joined by commas: randomisation, deletion, marker, places, shortcuts; or all."
        ),
    ] = "all",
    n_scored: Annotated[
        int, typer.Option(min=2, help="Radiographs of the test of shortcuts, likewise.")
    ] = 240,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the sample, the new weights and random order.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("audit"),
) -> None:
    """Test whether heatmaps show what the model learnt, and whether it learnt a shortcut.

    Draws the weights anew, removes the hottest pixels, stamps markers into corners, looks where the
    heat lies, and hides the lungs, the middle, the markers. Prints what the bundle's card says was
    measured, too. Verdicts are results: a model that does not pass is no error.
    Writes [bold]audit.json[/bold] and [bold]report.html[/bold].

    [dim]Examples:[/dim]
      pneumoscope audit cohort.csv --bundle RUN
      pneumoscope audit cohort.csv --bundle RUN --tests shortcuts --n-scored 1000
      pneumoscope audit
    """
    require("train", "the audit")
    from pneumoscope.assessment.own_model import model_facts
    from pneumoscope.bundles import DEFAULT, find_bundle
    from pneumoscope.cli.card import read_card, show_table
    from pneumoscope.files import new_folder, write_json, write_text
    from pneumoscope.inference import load_engine
    from pneumoscope.report.audit_page import render_audit
    from pneumoscope.report.card_tables import card_tables
    from pneumoscope.sanity import TESTS, Settings, run_audit

    chosen = tuple(TESTS) if tests == "all" else tuple(t.strip() for t in tests.split(","))
    settings = Settings(seed=seed, tests=chosen)
    # The tests take the network apart, which takes torch.
    engine = load_engine(bundle, engine="torch" if bundle == DEFAULT else "auto")
    drawn = _sample(engine, cohort, split, n, n_scored, seed)
    new_folder(out)
    found = run_audit(
        engine,
        drawn.films,
        settings,
        stage=progress,
        scored=drawn.scored,
        table=drawn.table,
    ).to_dict()
    sample, notes = drawn.sample, drawn.notes
    content = {
        **found,
        "sample": sample,
        "notes": notes,
        "research_use": NOT_FOR_DIAGNOSIS,
    }
    write_json(out / "audit.json", content)
    folder = find_bundle(bundle, weights=True)
    known = read_card(folder if folder.is_dir() else folder.parent)
    tables = [] if known is None else card_tables(known["measured"])
    facts = _facts(sample, model_facts(engine.info))
    write_text(out / "report.html", render_audit(content, facts, tables))
    _show(content)
    for table in tables:
        show_table(table)
    console.print(f"Report: [bold]{shown(out / 'report.html')}[/bold]")
    console.print(f"[dim]{NOT_FOR_DIAGNOSIS}[/dim]")


@dataclass(frozen=True)
class _Sample:
    """The radiographs, where they come from, and what is to be said of them."""

    films: list[AuditFilm]
    scored: list[AuditFilm]
    table: Mapping[str, Mapping[str, float]]
    sample: dict[str, Any]
    notes: list[str]


def _sample(
    engine: Engine, cohort: Path | None, split: str, n: int, n_scored: int, seed: int
) -> _Sample:
    from pneumoscope.assessment.measuring import only
    from pneumoscope.assessment.overlap import shared
    from pneumoscope.assessment.own_model import OwnModel
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.files import sha256_file
    from pneumoscope.report.overlap import overlap_sentences
    from pneumoscope.sanity import cohort_films, phantom_films, table_scores

    size = engine.info.architecture.size
    if cohort is None:
        with progress("Drawing phantoms") as update:
            films = phantom_films(n, seed, size, update)
        sample: dict[str, Any] = {"what": "phantoms", "seed": seed}
        notes = [
            "The radiographs are drawn phantoms. Of a model trained on patients' films they say "
            "little: give a cohort."
        ]
        return _Sample(films, films, {}, sample, notes)
    manifest = Manifest.read(cohort)
    OwnModel(engine).check(manifest.labels)
    part = manifest.subset(split)
    with progress("Reading films") as update:
        films, unreadable = cohort_films(part, n, seed, size, update)
    with progress("Reading films to be hidden") as update:
        scored, _ = cohort_films(part, n_scored, seed, size, update)
    table = {} if split in ("train", "all") else table_scores(manifest, part)
    digest = manifest.digest()
    drawn = only(part, {film.name for film in (*films, *scored)})
    seen = shared(engine.info, drawn, [sha256_file(path) for path in drawn.paths()])
    told = {
        "n": len(drawn),
        "split": split,
        "overlap": None if seen is None else seen.counts(),
        "trained_on_this_cohort": digest == engine.info.training.data_digest,
    }
    notes = overlap_sentences(told)
    if unreadable:
        first = "; ".join(f"{image}: {reason}" for image, reason in unreadable[:3])
        notes.append(f"{len(unreadable)} radiographs could not be read: {first}.")
    sample = {
        "what": "radiographs",
        "seed": seed,
        "data_digest": digest,
        **{key: value for key, value in told.items() if key != "n"},
        "unreadable": len(unreadable),
    }
    return _Sample(films, scored, table, sample, notes)


def _facts(sample: Mapping[str, Any], model: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the page says of sample and model."""
    own = [("Sample", str(sample["what"])), ("Sample's seed", str(sample["seed"]))]
    if "split" in sample:
        own += [("Split", str(sample["split"])), ("Cohort's digest", str(sample["data_digest"]))]
    return own + model


def _show(content: Mapping[str, Any]) -> None:
    """Print verdicts and figures, then the warnings."""
    from rich.table import Table

    from pneumoscope.report.audit_words import FIGURES
    from pneumoscope.report.numbers import figure_text

    table = Table(header_style="dim")
    table.add_column("test", header_style="bold")
    table.add_column("verdict")
    table.add_column("figure")
    table.add_column("value (95 % interval)", justify="right")
    for test in content["tests"].values():
        verdict = "[green]passed[/green]" if test["passed"] else "[yellow]not passed[/yellow]"
        for line, (key, value) in enumerate(test["figures"].items()):
            head = (test["title"], verdict) if line == 0 else ("", "")
            table.add_row(*head, FIGURES[key][0], figure_text(value))
        table.add_section()
    console.print(table)
    console.print(
        f"{shown(content['model'])}, heatmap {content['heatmap']}, on {content['n']} "
        f"{content['sample']['what']} of {content['n_patients']} patients, "
        f"{content['n_called_positive']} called positive"
    )
    for sentence in (*content["warnings"], *content["notes"]):
        errors.print(f"[yellow]warning:[/yellow] {shown(sentence)}")
