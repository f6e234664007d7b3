"""The page of an audit: complete, honest about verdicts, safe."""

from __future__ import annotations

import math
from typing import Any

import pytest
from matplotlib.colors import to_rgba

from pneumoscope.report.audit_figures import audit_figure, deletion_figure, randomisation_figure
from pneumoscope.report.audit_page import render_audit
from pneumoscope.report.audit_words import WHAT
from pneumoscope.report.card_tables import CardTable
from pneumoscope.report.pages import RESEARCH_ONLY
from pneumoscope.report.style import POSITIVE, figure_png
from tests.report.test_pages import EVIL, Page


def interval(value: float | None, spread: float = 0.1) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - spread, "high": value + spread}


def test_of(
    title: str, keys: list[str], limits: dict[str, float], rows: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    return {
        "title": title,
        "passed": True,
        "n": 20,
        "figures": {key: interval(0.3) for key in keys},
        "limits": limits,
        "rows": [{"label": label, "figures": figures} for label, figures in rows.items()],
        "warnings": [],
    }


test_of.__test__ = False  # type: ignore[attr-defined]


def audit() -> dict[str, Any]:
    similar = {"rank_correlation": interval(0.2), "ssim": interval(0.25)}
    orders = {"hottest": interval(-4), "coldest": interval(0.5), "random": interval(-1)}
    marker = {"flips": interval(0.02, 0.01), "shift_relative": interval(0.1)}
    area = {"auc": interval(0.7), "auc_kept": interval(0.4)}
    return {
        "model": "lite0@ab12cd34",
        "heatmap": "gradcam+mirror",
        "n": 40,
        "n_patients": 31,
        "n_positive": 20,
        "n_called_positive": 19,
        "sample": {"what": "radiographs"},
        "warnings": [],
        "notes": [],
        "tests": {
            "randomisation": test_of(
                "Weights", ["rank_correlation", "ssim"], {"rank_correlation": 0.5},
                {"head": similar, "conv_stem": similar},
            ),
            "deletion": test_of(
                "Pixels", ["morf_advantage", "road", "road_probability"], {"morf_advantage": 0},
                {"5 %": orders, "50 %": orders},
            ),
            "marker": test_of(
                "Markers", ["worst_flips", "worst_shift_relative", "worst_peak_gain"],
                {"flips": 0.05, "shift_relative": 0.5, "peak_gain": 0.05},
                {"disc, upper left": marker, "letter, lower right": marker},
            ),
            "places": test_of(
                "Places", ["peak_at_border", "border_share", "peak_in_lungs", "energy_in_lungs",
                           "lungs_share", "energy_gain"],
                {"peak_at_border": 0.19, "energy_gain": 0}, {},
            ),
            "shortcuts": test_of(
                "Parts hidden", ["auc_whole", "auc_lungs_hidden", "auc_edge", "auc_markers_hidden"],
                {"lungs_hidden": 0.5, "edge": 0.25, "markers": 0.02},
                {"lungs hidden": area, "table: view": area},
            ),
        },
    }  # fmt: skip


def test_page_is_complete() -> None:
    html = render_audit(audit(), [("Seed", "42")])
    page = Page(html)
    assert len(page.images) == 5 == len(page.links)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    for words in (
        "lite0@ab12cd34",
        "gradcam+mirror",
        RESEARCH_ONLY,
        "0.300 (0.200 to 0.400)",
        "conv_stem",
        "letter, lower right",
        "below 0.50",
        "points (19%)",
        "at most 50%",
        "table: view",
        "Seed",
    ):
        assert words in page.text
    assert page.text.count("not passed") == 0
    assert html == render_audit(audit(), [("Seed", "42")])


def test_what_did_not_pass_is_said_at_the_top() -> None:
    changed = audit()
    sentence = f"Too bad {EVIL}"
    changed["tests"]["deletion"].update(passed=False, warnings=[sentence])
    changed.update(warnings=[sentence], notes=["A note."])
    html = render_audit(changed)
    page = Page(html)
    assert page.text.count("not passed") == 2 and "A note." in page.text
    assert page.text.count(sentence) == 2 and EVIL not in html
    assert page.text.index(sentence) < page.text.index(WHAT["randomisation"])


@pytest.mark.parametrize("name", WHAT)
def test_figures_bear_missing_values(name: str) -> None:
    test = audit()["tests"][name]
    for figures in (test["figures"], *(row["figures"] for row in test["rows"])):
        figures.update(dict.fromkeys(figures, interval(None)))
    drawn = audit_figure(name, test)
    assert drawn is not None and figure_png(drawn[2]).startswith(b"\x89PNG")
    empty = audit_figure(name, {**test, "rows": []})
    assert (empty is None) == (name != "places")


def test_lines_go_through_the_values() -> None:
    axes = randomisation_figure(audit()["tests"]["randomisation"]).axes[0]
    ranks = next(c for c in axes.containers if c.get_label() == "rank correlation")
    assert ranks[0].get_ydata().tolist() == [1, 0.2, 0.2]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["none", "head", "conv_stem"]
    axes = deletion_figure(audit()["tests"]["deletion"]).axes[0]
    hottest = next(c for c in axes.containers if c.get_label() == "hottest first")
    assert hottest[0].get_xdata().tolist() == [5, 50]
    assert hottest[0].get_ydata().tolist() == [-4, -4]
    assert to_rgba(hottest[0].get_color()) == to_rgba(POSITIVE)
    assert not math.isnan(axes.get_ylim()[0])


def test_the_card_s_tables_end_the_page() -> None:
    table = CardTable("Figures per cohort", "On test.", ["Cohort", "ROC-AUC"], [["siim", EVIL]])
    page = Page(html := render_audit(audit(), tables=[table]))
    assert "Figures per cohort" in page.text and "siim" in page.text
    assert EVIL in page.text and EVIL not in html
