"""`pneumoscope scan`: from folders or a CSV to a manifest and its audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pneumoscope.cli import options
from pneumoscope.cli.console import console, print_json, progress, quoted, shown, warn
from pneumoscope.extras import require

if TYPE_CHECKING:
    from pneumoscope.cohort.audit import Audit
    from pneumoscope.cohort.scan import ScanResult, ScanSettings


def scan(
    path: Annotated[Path, typer.Argument(help="Folder of radiographs, or a table of them.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")] = Path("cohort.csv"),
    keep_official: Annotated[
        bool,
        typer.Option(
            "--keep-official",
            help="Keep the official test folder as test; take val out of train, by patient.",
        ),
    ] = False,
    patient_pattern: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Patient = group 1 of this, searched in the path."),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="The positive label, or findings that are positive joined by |."
        ),
    ] = None,
    negative: options.Negative = None,
    findings: Annotated[
        str | None,
        typer.Option(
            metavar="A,B=C|D",
            help="Several findings, each a column of the manifest for train --findings. A word of "
            "the table names it; several words of one finding are joined by |.",
            show_default=False,
        ),
    ] = None,
    readers: options.Readers = "union",
    label_column: options.LabelColumn = None,
    images: options.Images = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 42,
    sizes: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="image,orig_width,orig_height (or image_id,dim0,dim1) of radiographs that were "
            "stored squashed. Training and evaluation restore their proportions.",
            show_default=False,
        ),
    ] = None,
    force: options.ForceManifest = False,
    json: options.Json = False,
) -> None:
    """Find radiographs, patients and duplicates; split by patient 70/15/15; write a manifest.

    Beside [bold]cohort.csv[/bold] stand [bold]cohort.json[/bold] (root, labels, seed) and
    [bold]cohort.audit.json[/bold] (duplicates, leakage, unreadable files).

    Tables of RSNA, NIH, VinDr-CXR, SIIM-COVID and CheXpert are recognised by their columns; any
    other table needs image and label. Radiographs with other findings are left out and counted.

    [dim]Examples:[/dim]
      pneumoscope scan chest_xray --out cohort.csv
      pneumoscope scan stage_2_train_labels.csv --out rsna.csv
      pneumoscope scan train.csv --positive 'Consolidation|Lung Opacity' --readers majority
      pneumoscope scan Data_Entry_2017.csv --findings 'Effusion,Opacity=Pneumonia|Consolidation'
      pneumoscope scan chest_xray --keep-official --out official.csv
      pneumoscope scan films.csv --patient-pattern '^(P[0-9]+)_'
    """
    require("evaluate", "scan")
    from pneumoscope.cohort.scan import ScanSettings
    from pneumoscope.cohort.sidecar import audit_path, sidecar_path
    from pneumoscope.files import new_file

    # A JSON file of that name may hold boxes or metrics.
    for written in (out, sidecar_path(out), audit_path(out)):
        new_file(written, replace=force)
    settings = ScanSettings(
        seed=seed,
        keep_official=keep_official,
        patient_pattern=patient_pattern,
        positive=positive,
        sizes=sizes,
        negative=negative,
        readers=readers,
        label_column=label_column,
        images=images,
        findings=findings,
    )
    _show(run_scan(path, out, settings).audit)
    several = settings.choice.findings
    learned = "" if several is None else f" --findings {quoted(','.join(several.columns))}"
    console.print(
        f"Manifest: [bold]{shown(out)}[/bold]   "
        f"Next: pneumoscope train {quoted(out)}{learned} --out RUN"
    )
    if json:
        print_json(audit_path(out).read_text(encoding="utf-8"))


def run_scan(path: Path, out: Path, settings: ScanSettings) -> ScanResult:
    """Scan and write the manifest and, beside it, the audit."""
    from pneumoscope.cohort.scan import scan as run

    with progress("Reading radiographs") as update:
        result = run(path, settings, update)
    result.write(out)
    return result


def _show(audit: Audit) -> None:
    """Print the audit's table and warnings."""
    table = Table(title="Cohort", title_justify="left", title_style="bold", show_header=False)
    table.add_column("what", style="dim")
    table.add_column("found")
    for name, value in audit.summary():
        table.add_row(shown(name), shown(value))
    console.print(table)
    for warning in audit.warnings:
        warn(warning)
