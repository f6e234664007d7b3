"""Testing a bundle's explanations, and for shortcuts, on a cohort's radiographs or phantoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.assessment.card import read_card
from pneumoscope.assessment.measuring import only
from pneumoscope.assessment.overlap import shared
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.bundles import DEFAULT, find_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.files import new_folder, sha256_file, write_json, write_text
from pneumoscope.findings.words import RESEARCH_ONLY
from pneumoscope.inference import load_engine
from pneumoscope.report.audit_page import render_audit
from pneumoscope.report.card_tables import card_tables
from pneumoscope.report.overlap import overlap_sentences

if TYPE_CHECKING:  # It needs torch.
    from pneumoscope.audit import AuditFilm

Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def audit_bundle(
    bundle: Path,
    out: Path,
    cohort: Path | None = None,
    *,
    split: str = "test",
    n: int = 60,
    n_scored: int = 240,
    tests: Sequence[str] | None = None,
    seed: int = 0,
    stage: Stage,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Test a bundle; write `audit.json` and `report.html`.

    Args:
        bundle: a bundle, a run, or a file of export.
        out: new folder.
        cohort: a manifest; None to draw phantoms.
        split: which radiographs of the cohort.
        n: radiographs, half of them positive.
        n_scored: likewise, of the test of shortcuts.
        tests: which of `audit.TESTS`; None for all.
        seed: of the sample, the new weights and random order.
        stage: from what is done now to a context with a function of (done, total).

    Returns:
        The content of `audit.json`, and of the bundle's `model_card.json` if it has one.

    Raises:
        SettingsError: no such test.
        BundleError: the bundle cannot be taken apart.
        EvaluationError: the cohort has other labels, or too few radiographs.
        OutputError: `out` holds something.
    """
    from pneumoscope.audit import TESTS, Settings, run_audit

    settings = Settings(seed=seed, tests=tuple(TESTS if tests is None else tests))
    # The tests take the network apart, which takes torch.
    model = OwnModel(load_engine(bundle, engine="torch" if bundle == DEFAULT else "auto"))
    if cohort is None:
        drawn = _phantoms(model, n, seed, stage)
    else:
        drawn = _radiographs(model, Manifest.read(cohort), split, (n, n_scored), seed, stage)
    new_folder(out)
    found = run_audit(
        model.engine,
        drawn.films,
        settings,
        stage=stage,
        scored=drawn.scored,
        table=drawn.table,
    )
    content = {
        **found.to_dict(),
        "sample": drawn.sample,
        "notes": drawn.notes,
        "research_use": RESEARCH_ONLY,
    }
    write_json(out / "audit.json", content)
    folder = find_bundle(bundle, weights=True)
    known = read_card(folder if folder.is_dir() else folder.parent)
    tables = [] if known is None else card_tables(known["measured"])
    facts = [*_facts(drawn.sample), *model.facts()]
    write_text(out / "report.html", render_audit(content, facts, tables))
    return content, known


@dataclass(frozen=True)
class _Sample:
    """The radiographs, where they come from, and what is to be said of them."""

    films: list[AuditFilm]
    scored: list[AuditFilm]
    table: Mapping[str, Mapping[str, float]]
    sample: dict[str, Any]
    notes: list[str]


def _phantoms(model: OwnModel, n: int, seed: int, stage: Stage) -> _Sample:
    from pneumoscope.audit import phantom_films

    with stage("Drawing phantoms") as update:
        films = phantom_films(n, seed, model.info.architecture.size, update)
    notes = [
        "The radiographs are drawn phantoms. Of a model trained on patients' radiographs they say "
        "little: give a cohort."
    ]
    return _Sample(films, films, {}, {"what": "phantoms", "seed": seed}, notes)


def _radiographs(
    model: OwnModel,
    manifest: Manifest,
    split: str,
    numbers: tuple[int, int],
    seed: int,
    stage: Stage,
) -> _Sample:
    from pneumoscope.audit import cohort_films, table_scores

    manifest = model.labelled(manifest)
    part, size = manifest.subset(split), model.info.architecture.size
    with stage("Reading radiographs") as update:
        films, unreadable = cohort_films(part, numbers[0], seed, size, update)
    with stage("Reading radiographs to be hidden") as update:
        scored, _ = cohort_films(part, numbers[1], seed, size, update)
    table = {} if split in ("train", "all") else table_scores(manifest, part)
    drawn = only(part, {film.name for film in (*films, *scored)})
    seen = shared(model.info, drawn, [sha256_file(path) for path in drawn.paths()])
    digest = manifest.digest()
    told = {
        "split": split,
        "overlap": None if seen is None else seen.counts(),
        "trained_on_this_cohort": digest == model.info.training.data_digest,
    }
    notes = overlap_sentences({"n": len(drawn), **told})
    if unreadable:
        first = "; ".join(f"{image}: {reason}" for image, reason in unreadable[:3])
        notes.append(f"{len(unreadable)} radiographs could not be read: {first}.")
    sample = {
        "what": "radiographs",
        "seed": seed,
        "data_digest": digest,
        **told,
        "unreadable": len(unreadable),
    }
    return _Sample(films, scored, table, sample, notes)


def _facts(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page says of the sample."""
    facts = [("Sample", str(sample["what"])), ("Sample's seed", str(sample["seed"]))]
    if "split" in sample:
        facts += [("Split", str(sample["split"])), ("Cohort's digest", str(sample["data_digest"]))]
    return facts
