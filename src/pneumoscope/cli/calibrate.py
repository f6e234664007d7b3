"""`pneumoscope calibrate`: threshold, calibration and review band of a site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli import options
from pneumoscope.cli.console import (
    console,
    disclaim,
    progress,
    quoted,
    shown,
    tell_left_out,
    warn,
)
from pneumoscope.extras import require

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.bundles import BundleInfo
    from pneumoscope.calibration import SiteFit


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle, a run, a file of export, or default.")],
    cohort: Annotated[Path, typer.Argument(help="The site's labelled sample: image,label.")],
    out: Annotated[
        Path,
        typer.Option(help="New bundle; ending in .onnx, the exported file alone."),
    ] = Path("calibrated"),
    rule: Annotated[
        str,
        typer.Option(help="Of the threshold: youden, sensitivity=X, specificity=X or cost=X."),
    ] = "youden",
    prevalence: Annotated[
        float | None,
        typer.Option(
            help="The site's share of positives, if the sample was drawn by label. "
            "[dim]Default: that of the sample[/dim]",
            show_default=False,
        ),
    ] = None,
    split: options.Split = "all",
    name: Annotated[
        str | None, typer.Option(help="The sample's name, for the card.", show_default="its file's")
    ] = None,
    positive: options.Positive = None,
    negative: options.Negative = None,
    readers: options.Readers = "union",
    label_column: options.LabelColumn = None,
    images: options.Images = None,
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
) -> None:
    """Fit threshold, calibration and review band of a bundle to a site's own labelled sample.

    The network and its heatmaps stay as they are. Label about 200 radiographs of the site, 100 of
    each label if possible. cost=5 means that a false negative costs as much as 5 false positives.
    The figures before and after have 95 % intervals; those after are cross-fitted by patient. The
    sample's radiographs are listed in the bundle, so that evaluate reports them if they are
    evaluated again. Needs the extra [bold]evaluate[/bold].

    [dim]Examples:[/dim]
      pneumoscope calibrate default site.csv --out site
      pneumoscope calibrate default site.csv --out site --rule sensitivity=0.9
      pneumoscope calibrate RUN site.csv --out site --rule cost=5 --prevalence 0.04
      pneumoscope calibrate model.onnx site.csv --out site.onnx
    """
    require("evaluate", "calibration")
    from pneumoscope.assessment.card import card_of
    from pneumoscope.assessment.measuring import assess
    from pneumoscope.assessment.own_model import OwnModel
    from pneumoscope.calibration import Target, fit_site, write_calibrated
    from pneumoscope.cohort.formats.choice import Choice
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.evaluate import ThresholdRule
    from pneumoscope.files import sha256_file
    from pneumoscope.inference import load_engine, streams_for

    chosen = ThresholdRule.parse(rule)
    target = Target.of(bundle, out)
    choice = Choice(positive, negative, readers, label_column)
    manifest = Manifest.read(cohort, choice=choice, images=images, lesions=False)
    films = manifest.subset(split)
    runs = load_engine(
        bundle,
        engine=engine,
        precision=precision,
        threads=threads,
        streams=streams_for(len(films), threads),
    )
    with progress("Reading radiographs") as update:
        scored = assess(OwnModel(runs), manifest, split=split, progress=update)
    for sentence in scored.warnings():
        warn(sentence)
    tell_left_out(scored.unreadable[:10])
    with console.status("Fitting and writing"):
        found = fit_site(
            target.info,
            scored.manifest,
            scored.predictions,
            [sha256_file(path) for path in scored.manifest.paths()],
            chosen,
            name=name or cohort.stem,
            prevalence=prevalence,
        )
        write_calibrated(target, found.info, card_of(target.source, found.info))
    _show(target.info, found)
    console.print(
        f"Bundle: [bold]{shown(out)}[/bold]   "
        f"Next: pneumoscope predict FILMS --bundle {quoted(out)}"
    )
    disclaim()


def _show(before: BundleInfo, found: SiteFit) -> None:
    """The fitted numbers and the figures, before and after."""
    from rich.table import Table

    from pneumoscope.report.numbers import figure_text, metric_name, number_text

    site, fit = found.info.site, found.fit
    assert site is not None
    out = f"; {found.left_out} more were left out: the model was trained on them"
    console.print(
        f"{fit.n} radiographs of {fit.n_patients} patients, {fit.n_positive} "
        f"{shown(found.info.labels[1])}{out if found.left_out else ''}"
    )
    old: dict[str, Any] = {
        "threshold": before.threshold, "temperature": before.temperature, "bias": before.bias,
        "band_low": before.review and before.review.low,
        "band_high": before.review and before.review.high,
    }  # fmt: skip
    table = Table("Fitted", "before", "site (95 % interval)", header_style="dim")
    for key, each in site.intervals.items():
        table.add_row(metric_name(key), number_text(old[key]), figure_text(each))
    console.print(table)
    table = Table("On the sample", "before", "site, cross-fitted", header_style="dim")
    for key, each in site.before.items():
        table.add_row(metric_name(key), figure_text(each), figure_text(site.after[key]))
    console.print(table)
    for sentence in site.warnings:
        warn(sentence)
