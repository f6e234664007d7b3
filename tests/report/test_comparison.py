"""The report of a comparison: complete, honest, safe, whatever is missing."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import (
    Comparison,
    Interval,
    ModelRow,
    ModelScores,
    Pair,
    compare_models,
)
from pneumoscope.report.comparison import (
    comparison_markdown,
    comparison_notes,
    write_comparison,
)
from pneumoscope.report.comparison_content import BUSY, ComparisonContent, CostColumns
from pneumoscope.report.pages import RESEARCH_ONLY
from tests.report.test_pages import EVIL, Page, png

FIGURES = ("roc_auc", "pr_auc", "accuracy", "sensitivity", "specificity", "f1", "mcc", "ece")


def interval(value: float, spread: float = 0.01) -> Interval:
    return Interval(value, value - spread, value + spread)


def model(name: str, auc: float, *, seed_sd: float | None = None) -> ModelRow:
    return ModelRow(
        name=name,
        seeds=(0,) if seed_sd is None else (0, 1),
        n=906,
        n_patients=466,
        figures={key: interval(auc if key == "roc_auc" else 0.8) for key in FIGURES},
        seed_sd=dict.fromkeys(FIGURES, seed_sd),
        test_sd=dict.fromkeys(FIGURES, 0.005),
    )


def pair(first: str, second: str, difference: float = 0.01, p: float = 0.2) -> Pair:
    return Pair(
        first, second, interval(difference), p / 2, p, interval(-difference), p / 2, p, (12, 1034)
    )


def cost(**changes: Any) -> CostColumns:
    full = CostColumns(3_400_000, 0.39, 13.6, 21.25, 61.0, 48.8, 939.0, "Two cores")
    return replace(full, **changes)


def comparison() -> Comparison:
    rows = [model("ensemble (mean)", 0.99), model("lite0", 0.98), model("vit", 0.9)]
    pairs = [
        pair("ensemble (mean)", "lite0"),
        pair("ensemble (mean)", "vit", 0.09, 0.0004),
        pair("lite0", "vit", 0.08, math.nan),
    ]
    verdict = ["The two best cannot be told apart.", "One seed each."]
    return Comparison(rows, pairs, [["ensemble (mean)", "lite0"]], verdict)


def content(**changes: Any) -> ComparisonContent:
    full = ComparisonContent(
        title="Two backbones",
        comparison=comparison(),
        costs={"lite0": cost(), "vit": cost(gmacs=4.6, radiographs_per_second=16.0)},
        starts={"lite0": "ImageNet (timm/lite0)", "vit": "from scratch"},
        localization={"vit": {"peak_in_box": interval(0.5), "energy_in_lungs": interval(0.7)}},
        settings={
            "epochs": 10,
            "learning_rate": 7e-4,
            "flip": True,
            "seeds": [0],
            "patience": None,
        },
        cohort={"name": "kermany", "train": 4065, "digest": "0f3b"},
        failures={"vgg16": "out of memory"},
        sheet=None,
        command="pneumoscope compare --cohort kermany.csv",
    )
    return replace(full, **changes)


def page(folder: Path, written: ComparisonContent) -> Page:
    write_comparison(folder, written)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_all_files_are_written_and_the_page_is_complete_in_itself(tmp_path: Path) -> None:
    found = page(tmp_path / "new", content(sheet=png(40, 20)))
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"table.csv", "table.md", "report.html", "ranking.png", "pareto.png"}
    html = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert len(found.images) == 3
    assert all(link.startswith("data:image/png;base64,") for link in found.links)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(found.tags)
    assert "@import" not in html and not re.search(r"url\(|https?://", html)
    assert found.text.count(RESEARCH_ONLY) == 2
    again = page(tmp_path / "new", content(sheet=png(40, 20)))
    assert again.text == found.text


def test_page_says_all_of_it_and_the_verdict_first(tmp_path: Path) -> None:
    text = page(tmp_path, content()).text
    parts = [
        "3 models on the same 906 radiographs of 466 patients",
        "The two best cannot be told apart.",
        "One seed each.",
        "1 of 2",
        "Fewest GMACs among these: lite0",
        "ImageNet (timm/lite0)",
        "0.970 to 0.990",
        "ROC-AUC against cost.",
        "61.0",
        "Two cores",
        "▲+.090",
        "p <.001",
        "p n/a",
        "12 : 1,034",
        "Peak in lesion",
        "out of memory",
        "Learning rate",
        "0.0007",
        "4065",
        "pneumoscope compare --cohort kermany.csv",
    ]
    places = [text.index(part) for part in parts]
    assert places[1] == min(places[1:])
    assert "Seeds and patients" not in text


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    rows = [model("lite0", 0.9)]
    alone = content(
        comparison=Comparison(rows, [], [], ["There is only one model: nothing to compare."]),
        costs={},
        starts={},
        localization={},
        settings={},
        failures={},
    )
    found = page(tmp_path, alone)
    assert not (tmp_path / "pareto.png").exists() and (tmp_path / "ranking.png").exists()
    assert len(found.images) == 1
    for part in ("Accuracy and cost", "can be told apart", "Localization", "Failures", "Protocol"):
        assert part not in found.text
    assert "1 model on" in found.text and "ROC-AUC: lite0" in found.text
    assert "Costs were not measured of: lite0." in found.text
    with pytest.raises(EvaluationError, match="no model"):
        write_comparison(tmp_path, content(comparison=Comparison([], [], [], [])))


def test_undefined_figures_are_said_to_be_undefined(tmp_path: Path) -> None:
    nothing = Interval(math.nan, math.nan, math.nan)
    rows = [
        replace(
            row,
            figures=dict.fromkeys(FIGURES, nothing),
            test_sd=dict.fromkeys(FIGURES, math.nan),
        )
        for row in comparison().rows
    ]
    pairs = [
        replace(one, auc_difference=nothing, accuracy_difference=nothing, delong_p_holm=math.nan)
        for one in comparison().pairs
    ]
    text = page(tmp_path, content(comparison=Comparison(rows, pairs, [], []))).text
    assert "n/a" in text and "0 of 2" in text
    assert not re.search(r"\bnan\b|None", text)
    for name in ("table.md", "table.csv"):
        assert not re.search(r"\bnan\b|None", (tmp_path / name).read_text(encoding="utf-8"))


def test_twenty_models_with_several_seeds_are_shown(tmp_path: Path) -> None:
    rows = [model(f"m{n}", 0.99 - n / 100, seed_sd=0.01) for n in range(20)]
    pairs = [pair(one.name, other.name) for n, one in enumerate(rows) for other in rows[n + 1 :]]
    verdict = [f"Sentence {n}." for n in range(30)]
    text = page(tmp_path, content(comparison=Comparison(rows, pairs, [], verdict))).text
    assert "Seeds and patients" in text and "20. m19" in text and "m18 less m19" in text
    assert "25 more sentences" in text
    places = [text.index(sentence) for sentence in verdict]
    assert places == sorted(places)


def test_notes_warn_of_what_cannot_be_compared() -> None:
    assert comparison_notes(content(failures={}, starts={"lite0": "ImageNet (a)"})) == []
    other = {"lite0": cost(), "vit": cost(machine="Another")}
    notes = " ".join(comparison_notes(content(costs=other)))
    for part in ("vgg16", "start from the same kind", "several machines"):
        assert part in notes
    assert "ensemble" not in " ".join(comparison_notes(content(costs={})))
    one = cost().machine
    same = {"lite0": cost(), "vit": cost(machine=f"{one}{BUSY}")}
    notes = " ".join(comparison_notes(content(costs=same)))
    assert "several machines" not in notes
    assert "busy with other work while the speed of vit" in notes


def test_everything_is_escaped(tmp_path: Path) -> None:
    rows = [model(EVIL, 0.9), model("b", 0.8)]
    wicked = content(
        title=EVIL,
        comparison=Comparison(rows, [pair(EVIL, "b")], [[EVIL, "b"]], [EVIL]),
        costs={EVIL: cost(machine=EVIL)},
        starts={EVIL: EVIL},
        localization={EVIL: {EVIL: interval(0.5)}},
        settings={EVIL: {EVIL: [EVIL]}},
        cohort={EVIL: EVIL},
        failures={EVIL: EVIL},
        command=EVIL,
    )
    found = page(tmp_path, wicked)
    assert "script" not in found.tags and found.text.count(EVIL) > 15
    assert "<script>" not in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_a_sheet_that_is_no_png_leaves_no_half_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a PNG"):
        write_comparison(tmp_path, content(sheet=b"GIF89a"))
    assert list(tmp_path.iterdir()) == []


def test_markdown_tables_are_tables() -> None:
    text = comparison_markdown(content())
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        lines = block.splitlines()
        assert re.fullmatch(r"\|(-+:?\|)+", lines[1]), block
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, block
        assert f"\n\n{block}" in text
    for part in (
        "| lite0 | ImageNet (timm/lite0) | 1 (0) | .980 (.970 to .990) |",
        "| lite0 | 3.40 | 0.39 | 13.6 | 21.2 | 61.0 | 48.8 | 939 |",
        "| vit | .500 (.490 to .510) |",
        "- One seed each.",
        "- vgg16: out of memory",
        RESEARCH_ONLY,
    ):
        assert part in text


def test_report_of_a_real_comparison(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat([0, 1], 30)
    patients = [f"p{index // 2}" for index in range(60)]
    runs = [
        ModelScores(
            backbone,
            0,
            targets,
            1 / (1 + np.exp(-skill * targets - generator.normal(size=60))),
            patients,
            [f"{index}.png" for index in range(60)],
            0.5,
            0.9,
        )
        for backbone, skill in (("lite0", 3.0), ("vit", 0.5))
    ]
    compared = compare_models(runs, resamples=20)
    found = page(tmp_path, content(comparison=compared, localization={}))
    for sentence in compared.verdict:
        assert sentence in found.text
    assert "One seed each" in (tmp_path / "table.md").read_text(encoding="utf-8")
    header, *lines = io.StringIO((tmp_path / "table.csv").read_text(encoding="utf-8"))
    assert header.startswith("model,") and len(lines) == len(compared.rows) == 4
