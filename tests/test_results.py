"""What stands under results/ can be recomputed from the predictions beside it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pneumoscope.evaluate import (
    Predictions,
    chance_calibration_error,
    classification_report,
    expected_calibration_error,
)
from pneumoscope.training.settings import read_settings

RESULTS = Path(__file__).parent.parent / "results"
# Figures of today, and of earlier models.
PAGES = ("README.md", "history.md")
EVALUATIONS = sorted(path.parent for path in RESULTS.rglob("predictions.csv"))


def quoted() -> str:
    return "\n".join((RESULTS / name).read_text() for name in PAGES)


def short(value: float, digits: int = 3) -> str:
    """A figure below 1 as the pages write it: without the zero before the point."""
    return f"{value:.{digits}f}".removeprefix("0")


def interval(figure: dict[str, float]) -> str:
    """A figure with its interval as the pages write it."""
    return f"{short(figure['value'])} ({short(figure['low'])} to {short(figure['high'])})"


def test_there_are_results() -> None:
    assert EVALUATIONS


@pytest.mark.parametrize("folder", EVALUATIONS, ids=lambda path: path.name)
def test_figures_follow_from_the_predictions(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    predictions = Predictions(
        images=[row["image"] for row in rows],
        patients=[row["patient"] for row in rows],
        targets=np.array([int(row["label"] == "PNEUMONIA") for row in rows]),
        logits=np.array([float(row["logit"]) for row in rows]),
        probabilities=np.array([float(row["probability"]) for row in rows]),
    )
    report = classification_report(predictions, metrics["threshold"], n_resamples=200).to_dict()
    assert report["confusion"] == metrics["confusion"]
    assert (report["n"], report["n_patients"]) == (metrics["n"], metrics["n_patients"])
    for name, figure in metrics["classification"].items():
        again = report["classification"][name]
        # The table keeps six digits, and other resamples give other ends.
        assert again["value"] == pytest.approx(figure["value"], abs=2e-3)
        width = max(figure["high"] - figure["low"], 0.01)
        assert again["low"] == pytest.approx(figure["low"], abs=0.35 * width)
        assert again["high"] == pytest.approx(figure["high"], abs=0.35 * width)


@pytest.mark.parametrize("folder", EVALUATIONS, ids=lambda path: path.name)
def test_the_run_is_described(folder: Path) -> None:
    settings = read_settings(folder / "config.yaml")
    assert folder.name.startswith(settings.backbone)
    with (folder / "history.csv").open() as stream:
        assert 1 <= len(list(csv.DictReader(stream))) <= settings.epochs


def test_the_page_on_speed_quotes_what_was_measured() -> None:
    text = (RESULTS.parent / "docs" / "performance.md").read_text()
    train = json.loads((RESULTS / "speed" / "train.json").read_text())
    quoted = {name: train["backbones"][name]["times_as_fast"] for name in train["backbones"]}
    assert len(quoted) == 8
    for name, figure in quoted.items():
        low, high = (f"{figure[end]:.3g}" for end in ("low", "high"))
        assert f"| {figure['median']:.3g} ({low} to {high}) |" in _row(text, name, "| aim |")
    explain = json.loads((RESULTS / "speed" / "explain.json").read_text())
    for peer in ("torchcam", "grad-cam"):
        for name, measured in explain["backbones"].items():
            row = _row(text, name, f"times as fast as {peer}").replace("*", "")
            figures = measured["batches"]["32"]["times_as_fast"][peer]
            ours = [way for way in figures if way not in ("torchcam", "grad-cam")]
            assert row.strip("| ").split(" | ")[1:] == [
                f"{figures[way]['median']:.3g}" for way in ours
            ]


@pytest.mark.parametrize(
    ("name", "table"), [("predict", "| share |"), ("predict-without-amx", "EPYC with AVX2 alone")]
)
def test_the_page_on_speed_quotes_the_whole_commands(name: str, table: str) -> None:
    text = (RESULTS.parent / "docs" / "performance.md").read_text().split(table, 1)[1]
    measured = json.loads((RESULTS / "speed" / f"{name}.json").read_text())
    for label, figures in measured["bundles"].items():
        for kind, command in figures["commands"].items():
            share = command["share"]
            low, high = f"{share['low']:.3g}", f"{share['high']:.3g}"
            row = f"| {label.split(',')[0]}, onnxruntime float32 | {kind} | "
            (line,) = [one for one in text.split("\n\n`predict`", 1)[0].splitlines() if row in one]
            assert f"| {share['median']:.3g} ({low} to {high}) |" in line


def test_the_page_on_archives_quotes_what_was_measured() -> None:
    text = (RESULTS.parent / "docs" / "scale.md").read_text()
    ways = json.loads((RESULTS / "speed" / "scale.json").read_text())["ways"]
    for name, command in (("predict", "predict"), ("ray", "predict --engine ray")):
        found = ways[name]
        assert found["findings"] == found["different"] == found["radiographs"] == 100_000
        row = f"| `{command}` | {found['radiographs_per_second']:.3g} | "
        row += f"{found['processor_ms_per_radiograph']:.3g} | "
        first, *_ = found["resident_mib"][0].values()
        *_, last = found["resident_mib"][-1].values()
        assert f"{row}{first:,}, {last:,}" in text
        assert f"| {found['kept_after_the_kill']:,} |" in text
    extra = (
        ways["ray"]["processor_ms_per_radiograph"] - ways["predict"]["processor_ms_per_radiograph"]
    )
    assert f"cost {extra:.1f} ms per radiograph" in text


def test_three_seeds_of_both_recipes_are_quoted() -> None:
    def spread(values: list[float], digits: int) -> str:
        low, high = (short(each, digits) for each in (min(values), max(values)))
        return f"{low} to {high}"

    for network in ("efficientnet_lite0", "mobilenet_v2"):
        for recipe in ("paper", "ours"):
            folders = (RESULTS / "kermany" / f"{network}-{recipe}224-seed{n}" for n in (1, 2, 3))
            seeds = [json.loads((each / "metrics.json").read_text()) for each in folders]
            cells = []
            for name, digits in (("roc_auc", 4), ("accuracy", 3)):
                values = [seed["classification"][name]["value"] for seed in seeds]
                mean = short(float(np.mean(values)), digits)
                cells.append(f"{mean}, {spread(values, digits)}")
            heat = [
                [seed["localization"]["gradcam"][name]["value"] for seed in seeds]
                for name in ("energy_in_lungs", "peak_in_lungs")
            ]
            cells.append("; ".join(spread(values, 3) for values in heat))
            assert f"| {recipe} | {' | '.join(cells)} |" in quoted()


def test_the_trial_of_levers_is_quoted() -> None:
    text = (RESULTS / "history.md").read_text()
    levers = json.loads((RESULTS / "levers" / "levers.json").read_text())["levers"]
    assert len(levers) == 8 and all(list(seeds) == ["1", "2", "3"] for seeds in levers.values())

    def mean(name: str, figure: str) -> float:
        return float(np.mean([seed[figure] for seed in levers[name].values()]))

    for name, seeds in levers.items():
        alone = ", ".join(f"{seed['roc_auc']:.3f}"[1:] for seed in seeds.values())
        more = [f"{mean(name, key) - mean('control', key):+.4f}" for key in ("roc_auc", "area")]
        expected = f"| {mean(name, 'roc_auc'):.3f} ({alone}) | {mean(name, 'area'):.3f} |"
        row = _row(text, name, "| lever |")
        assert expected in row
        assert name == "control" or f"| {more[0]} | {more[1]} |" in row


def test_the_trial_of_operating_points_is_quoted() -> None:
    text = (RESULTS / "history.md").read_text()
    ways = json.loads((RESULTS / "kinds" / "kinds.json").read_text())
    for way, splits in ways.items():
        means = [splits[split]["mean"] for split in ("val", "test")]
        figures = ("ece", "sensitivity", "specificity", "balanced")
        numbers = " | ".join(f"{mean[figure]:.3f}" for mean in means for figure in figures)
        assert _row(text, way, "| way |") == f"| {way} | {numbers} |"
    one, age = (ways[way]["test"] for way in ("one", "age"))
    for name in ("kermany", "rsna"):
        told = [f"{sets[name]['ece']:.3f}"[1:] for sets in (age, one)]
        assert f"{told[0]} instead of {told[1]}" in text


def test_the_trial_of_smoothing_is_quoted() -> None:
    text = (RESULTS / "history.md").read_text()
    found = json.loads((RESULTS / "levers" / "smoothing.json").read_text())
    totals: dict[tuple[str, str], float] = {}
    for way, reaches in found["reach"].items():
        for cells, sets in reaches.items():
            row = _row(text, f"{way}, {cells}", "| map, cells |")
            for name in ("rsna", "siim", "nih"):
                figures = (sets[name][figure] for figure in ("peak", "area", "dice"))
                assert f"| {', '.join(map(short, figures))} |" in row
            total = sum(sets[s][key] for s in ("rsna", "siim") for key in ("peak", "area", "dice"))
            regions = found["regions"][way][cells].values()
            total += max(sum(own[s]["median_iou"] for s in ("rsna", "siim")) for own in regions)
            assert row.endswith(f"| {total:.3f} |")
            totals[way, cells] = total
    best = max(found["reach"]["product"], key=lambda cells: totals["product", cells])
    assert best == "3"


def test_the_second_round_is_quoted() -> None:
    found = json.loads((RESULTS / "levers" / "rounds.json").read_text())
    text = (RESULTS / "README.md").read_text().split("### The second round")[1]
    figures = {}
    for name, run in found.items():
        if "val_roc_auc" not in run:
            stopped = short(max(run["mean_val_roc_auc_by_epoch"]), 4)
            assert stopped in text, name
            continue
        areas, odds = list(run["hottest_pixels_in_boxes"].values()), run["val_roc_auc"].values()
        means = float(np.mean(list(odds))), float(np.mean(areas))
        figures[name] = sum(means) / 2
        cells = [
            ", ".join(short(each, 4) for each in odds),
            short(means[0], 4),
            ", ".join(short(each) for each in areas),
            short(figures[name], 4),
        ]
        row = next(line for line in text.splitlines() if line.startswith("|") and cells[0] in line)
        assert [cell.strip(" *") for cell in row.split("|")[2:-1]] == cells
    assert figures["mean of the three"] > figures["seed 42"] >= figures["first round"] + 0.005
    passed = [name for name in figures if figures[name] >= figures["mean of the three"] + 0.005]
    assert passed == ["without adults, seed 42"]
    first = found["first round"]["val_roc_auc"]
    for name in ("mean of the three", *passed):
        odds = found[name]["val_roc_auc"]
        assert all(odds[each] > first[each] - 0.01 for each in first)
    rules = list(json.loads((RESULTS / "levers" / "thresholds.json").read_text()).values())
    assert len(rules) == 5
    for rule, ends, held_out in (
        ("largest mean J", "between .21 and .49", ".779)"),
        ("equal errors", "between .31 and\n  .37", ".780 and"),
    ):
        cuts = [each[rule]["threshold"] for each in rules]
        assert [f"{end:.2f}" for end in (min(cuts), max(cuts))] == [
            f"0{word}" for word in ends.split() if word.startswith(".")
        ]
        shares = [each[rule]["held_out_balanced_accuracy"] for each in rules]
        assert short(float(np.mean(shares))) in held_out
        assert ends in text and held_out in text


def test_what_a_set_adds_is_quoted() -> None:
    text = (RESULTS / "README.md").read_text().split("### What each set adds")[1]
    for name, splits in json.loads((RESULTS / "levers" / "sets.json").read_text()).items():
        cells = [name]
        for figures in (list(splits[split].values()) for split in ("val", "test")):
            cells += [", ".join(short(each, 4) for each in figures), short(np.mean(figures), 4)]
        assert f"| {' | '.join(cells)} |" in text
    rounds = json.loads((RESULTS / "levers" / "rounds.json").read_text())
    test = [
        short(each, 4)
        for each in rounds["without adults, mean of the two"]["test_roc_auc"].values()
    ]
    assert f"{', '.join(test[:3])} and {test[3]}" in text
    passed = rounds["without adults, seed 42"]
    test = [short(each, 4) for each in passed["test_roc_auc"].values()]
    assert f"{', '.join(test[:3])} and {test[3]}" in text
    for name in ("audit_edge_roc_auc", "audit_whole_roc_auc"):
        assert short(passed[name]) in text
    assert all(short(each) in text for each in passed["test_boxes_found"].values())


def test_the_round_judged_set_by_set_is_quoted() -> None:
    found = json.loads((RESULTS / "levers" / "within.json").read_text())
    text = (RESULTS / "README.md").read_text().split("judged set by set\n")[1]
    default = json.loads((RESULTS / "levers" / "rounds.json").read_text())["mean of the three"]
    candidates = {name: run for name, run in found.items() if "val_roc_auc" in run}
    for name, run in {"the default": default, **candidates}.items():
        odds = list(run["val_roc_auc"].values())
        cells = [name, ", ".join(short(each, 4) for each in odds), short(np.mean(odds), 4)]
        assert f"| {' | '.join(cells)} |" in text
        gain = np.mean(odds) - np.mean(list(default["val_roc_auc"].values()))
        assert gain < 0.005, "the rule of choice would have chosen it"
    last = [
        short(run["mean_val_roc_auc_by_epoch"][-1], 4)
        for name, run in found.items()
        if name in ("seed 42", "seed 43")
    ]
    assert f"({' and '.join(last)} at the end)" in text
    for model in ("the default, audit on val", "mean of the three, shortcuts on val"):
        assert all(found[model]["passed"].values())
        for name in ("edge alone", "lungs hidden"):
            assert interval(found[model]["rows"][name]) in text
    rows = found["the default, audit on val"]["rows"]
    assert interval(rows["whole radiograph"]) in text
    for cohort in ("nih", "rsna", "siim", "kermany"):
        assert short(rows[f"edge alone, {cohort}"]["value"]) in text


def test_the_audit_is_quoted() -> None:
    audit = json.loads((RESULTS / "self_taught" / "audit.json").read_text())
    text = (RESULTS / "README.md").read_text().split("### Audit\n")[1].split("\n### ")[0]
    assert all(audit["passed"].values()) and not audit["warnings"]
    rows = {row["label"]: row["figures"] for row in audit["tests"]["shortcuts"]["rows"]}
    for name in ("whole radiograph", "lungs hidden", "edge alone"):
        assert interval(rows[name]["auc"]) in text
    assert interval(rows["edge alone"]["auc_kept"]) in text
    for cohort in ("adults", "rsna", "nih", "siim", "kermany"):
        assert short(rows[f"edge alone, {cohort}"]["auc"]["value"]) in text
    assert f"({audit['n_called_positive']} called positive)" in text
    assert interval(audit["tests"]["places"]["figures"]["energy_in_lungs"]) in text
    assert interval(audit["tests"]["randomisation"]["figures"]["rank_correlation"]) in text


def _row(text: str, name: str, table: str) -> str:
    """The row of a backbone in the first table behind a text."""
    behind = text.split(table, 1)[1]
    return next(line for line in behind.splitlines() if line.startswith(f"| {name} |"))


def test_the_readme_quotes_the_figures() -> None:
    text = quoted()
    for folder in EVALUATIONS:
        figures = json.loads((folder / "metrics.json").read_text())["classification"]
        for name in ("accuracy", "roc_auc"):
            digits = 3 if name == "accuracy" else 4
            assert f"{figures[name]['value']:.{digits}f}" in text, f"{folder.name}: {name}"


@pytest.mark.parametrize(
    ("name", "cohort"), [("RSNA", "rsna"), ("SIIM", "siim"), ("Kermany", "kermany")]
)
def test_calibration_on_val_and_test_together_is_quoted(name: str, cohort: str) -> None:
    tables = [
        pd.read_csv(RESULTS / "default" / f"efficientnet_lite0-{part}" / "predictions.csv")
        for part in ("val", cohort)
    ]
    # A joint cohort's patients are named after their set.
    tables[0] = tables[0][tables[0]["patient"].str.startswith(f"{cohort}:")]
    table = pd.concat(tables)
    probabilities = table["probability"].to_numpy()
    own = expected_calibration_error(probabilities, table["label"] == "PNEUMONIA")
    chance = chance_calibration_error(probabilities)
    row = f"| {name} | {len(table):,} | {own:.3f} | "
    row += f"{chance.value:.3f} ({chance.low:.3f} to {chance.high:.3f}) |"
    assert row in quoted()
    assert chance.low <= own <= chance.high


LOCALIZED = [
    folder
    for folder in EVALUATIONS
    if json.loads((folder / "metrics.json").read_text()).get("localization")
]
BASELINES = {"gradcam", "random", "centre", "lungs", "randomised_weights"}


def test_localization_was_measured() -> None:
    assert LOCALIZED


@pytest.mark.parametrize("folder", LOCALIZED, ids=lambda path: path.name)
def test_localization_stands_beside_its_baselines_and_is_quoted(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    own, found = metrics["localization_method"], metrics["localization"]
    assert set(found) >= BASELINES | {own}
    lesions = "peak_in_box" in found[own]
    names = ["peak_in_box", "area_matched", "mean_iou@0.5"] if lesions else ["peak_in_lungs"]
    text = quoted()
    for method in (own, "gradcam", *(["usual_location"] if lesions else [])):
        for name in names:
            figure = found[method][name]
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert f"{figure['value']:.3f}" in text, f"{folder.name}: {method} {name}"


@pytest.mark.parametrize("name", ["RSNA", "SIIM"])
def test_the_page_on_localization_quotes_the_default_bundle(name: str) -> None:
    (folder,) = (RESULTS / "self_taught").glob(f"*-{name.lower()}")
    metrics = json.loads((folder / "metrics.json").read_text())
    text = (RESULTS.parent / "docs" / "localization.md").read_text().split("## What was found")[1]
    block = text.split(f"\n| {name}, ")[1]
    rows = [line.split("|")[-4:-1] for line in block.splitlines()[:3]]
    methods = ("usual_location", "gradcam", metrics["localization_method"])
    for cells, method in zip(rows, methods, strict=True):
        figures = metrics["localization_annotated"][method]
        for cell, key in zip(cells, ("peak_in_box", "area_matched", "iou@0.3"), strict=True):
            value, low, high = (short(figures[key][end]) for end in ("value", "low", "high"))
            assert cell.replace("*", "").strip() == f"{value} ({low} to {high})"
