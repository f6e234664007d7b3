from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pneumoscope.report.html import ReportContent, render_report
from pneumoscope.report.model_card import render_model_card
from pneumoscope.report.pages import RESEARCH_ONLY, escape_markdown
from pneumoscope.report.sheet import contact_sheet

METHODS_MEASURED: dict[str, Any] = {
    "gradcam": {"peak_in_box": {"value": 0.7, "low": 0.6, "high": 0.8}},
    "random": {"peak_in_box": {"value": 0.1, "low": 0.05, "high": 0.2}},
}
METRICS: dict[str, Any] = {
    "split": "test",
    "n": 906,
    "n_patients": 466,
    "threshold": 0.4,
    "classification": {
        "accuracy": {"value": 0.981, "low": 0.972, "high": 0.989},
        "roc_auc": {"value": 0.997, "low": 0.994, "high": 0.999},
        "mcc": {"value": None, "low": None, "high": None},
    },
    "confusion": {"tn": 227, "fp": 10, "fn": 7, "tp": 662},
    "calibration": {"temperature": 1.3},
    "localization": METHODS_MEASURED,
}
SPLITS = {
    "train": {"NORMAL": 1114, "PNEUMONIA": 2951, "patients": 2000},
    "test": {"NORMAL": 237, "PNEUMONIA": 669, "patients": 466},
}
EVIL = "<script>alert('x')</script>"


def png(width: int = 4, height: int = 3) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def content(**changes: Any) -> ReportContent:
    full = ReportContent(
        title="Model A",
        subtitle="On the test split",
        kind="evaluation",
        metrics=METRICS,
        facts=[("Model", "lite0@ab12cd34"), ("Seed", "42")],
        splits=SPLITS,
        figures=[("ROC curve", "All thresholds.", png(8, 6))],
        gallery=[("a.png", "missed", png())],
        gallery_rule="The surest misses.",
        notes=["No external test."],
    )
    return dataclasses.replace(full, **changes)


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_groups_that_were_asked_for_stand_on_the_page() -> None:
    area = {"value": 0.9, "low": 0.8, "high": 0.95}
    few = {"n": 4, "n_positive": 1, "roc_auc": None, "sensitivity": None, "specificity": None}
    view = {"AP": {**few, "n": 30, "roc_auc": area}, "PA": few}
    page = Page(render_report(content(metrics={**METRICS, "subgroups": {"view": view}})))
    for part in ("Groups", "view: AP", "0.900", "0.800 to 0.950", "view: PA", "n/a"):
        assert part in page.text
    assert "Groups of fewer" not in Page(render_report(content())).text


def test_page_says_what_it_was_given() -> None:
    page = Page(render_report(content()))
    for part in (
        "Model A",
        "On the test split",
        "No external test.",
        "0.981 (0.972 to 0.989)",
        "n/a",
        "Of 669 radiographs labelled PNEUMONIA, 662 were found and 7 missed.",
        "Grad-CAM",
        "Random heat baseline",
        "The surest misses.",
        "lite0@ab12cd34",
        "3,620",
    ):
        assert part in page.text
    assert page.text.count(RESEARCH_ONLY) == 2


def test_page_is_complete_in_itself() -> None:
    html = render_report(content())
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert "@import" not in html and not re.search(r"url\(|https?://", html)
    assert "default-src 'none'" in html


def test_pictures_are_whole_and_their_size_is_told() -> None:
    page = Page(render_report(content()))
    first = page.images[0]
    assert (first["width"], first["height"], first["alt"]) == ("8", "6", "ROC curve")
    source = str(first["src"]).partition(",")[2]
    assert base64.b64decode(source) == png(8, 6)


def test_everything_is_escaped() -> None:
    html = render_report(
        content(
            title=EVIL,
            subtitle=EVIL,
            notes=[EVIL],
            facts=[(EVIL, EVIL)],
            splits={EVIL: {EVIL: 1}},
            figures=[(EVIL, EVIL, png())],
            gallery=[(EVIL + '"', EVIL, png())],
            gallery_rule=EVIL,
            labels=(EVIL, EVIL + "2"),
            metrics=METRICS | {"split": EVIL, "localization": {EVIL: {EVIL: 1.0}}},
        )
    )
    assert "script" not in Page(html).tags
    assert Page(html).text.count(EVIL) > 10


@pytest.mark.parametrize("kind", ["evaluation", "training", "demo"])
def test_an_almost_empty_page_has_no_empty_parts(kind: Any) -> None:
    page = Page(render_report(ReportContent("A", "b", kind)))
    assert "section" not in page.tags and "table" not in page.tags
    assert RESEARCH_ONLY in page.text


def test_missing_parts_of_metrics_are_left_out() -> None:
    text = Page(render_report(content(metrics={"split": "test", "localization": None}))).text
    assert "Localization" not in text and "What the model said" not in text


def test_localization_is_shown_whole() -> None:
    difference = {"value": 0.2, "low": 0.1, "high": 0.3}
    group = {"n": 7, "n_patients": 6, "figures": {"peak_in_box": {"value": 0.4}}}
    figures = METHODS_MEASURED["gradcam"] | {"iobb@0.5": {"value": 0.25}}
    metrics = METRICS | {
        "localization": METHODS_MEASURED | {"gradcam": figures},
        "localization_all": METHODS_MEASURED,
        "localization_method": "gradcam",
        "localization_details": {
            "slice": "test half",
            "paired": {"random": {"n": 40, "figures": {"peak_in_box": difference}}},
            "groups": {"methods": {"gradcam": {EVIL: {EVIL: group}}}},
        },
    }
    chart = ("Methods", "With intervals.", png(10, 2))
    html = render_report(content(metrics=metrics, localization_figures=[chart]))
    page = Page(html)
    for part in (
        "Grad-CAM model's own",
        "Random heat baseline",
        "True positives",
        "All radiographs, as delivered",
        "▲+0.200",
        "+0.100 to +0.300",
        "on the same 40 true positives",
        "IoBB ≥ 0.5",
        "how pure regions are",
        "By group: Grad-CAM",
        "tuning half",
    ):
        assert part in page.text
    assert "script" not in page.tags
    assert (page.images[0]["alt"], page.images[0]["width"]) == ("Methods", "10")
    only_chart = render_report(content(metrics=None, localization_figures=[chart]))
    assert Page(only_chart).images[0]["alt"] == "Methods"


def test_optimism_is_confessed() -> None:
    assert "optimistic" in render_report(content(metrics=METRICS | {"split": "val"}))
    assert "optimistic" not in render_report(content())
    external = METRICS | {"split": "all", "trained_on_this_cohort": False}
    assert "optimistic" not in render_report(content(metrics=external))


def test_a_gallery_needs_a_rule_and_pictures_must_be_png() -> None:
    with pytest.raises(ValueError, match="rule"):
        render_report(content(gallery_rule=""))
    with pytest.raises(ValueError, match="not a PNG"):
        render_report(content(figures=[("a", "b", b"GIF89a")]))


BUNDLE: dict[str, Any] = {
    "version": "0.1.0",
    "architecture": {
        "backbone": "efficientnet_lite0",
        "head": "linear",
        "size": 224,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
    "labels": ["NORMAL", "PNEUMONIA"],
    "threshold": 0.40123,
    "temperature": 1.3123,
    "bias": 0.0,
    "review": None,
    "weaknesses": (),
    "site": None,
    "calibration": {"val_ece_before": 0.031, "val_ece_after": None},
    "training": {
        "data_digest": "1234abcd",
        "splits": SPLITS,
        "weights": {"name": "Lite0 (ImageNet)", "licence": "Apache-2.0", "sha256": "ff" * 32},
        "settings": {"preset": "default", "patience": None, "learning_rate": 0.0007},
        "selected_epoch": 4,
        "versions": {"torch": "2.9.0"},
    },
    "files": {"model.safetensors": "ab12cd34" * 8},
}


def test_model_card_of_a_bundle() -> None:
    card = render_model_card(BUNDLE, metrics=METRICS, cohort="Children.", limits=["Own limit."])
    for part in (
        "### Localization: True positives",
        "# Model card: efficientnet_lite0@ab12cd34",
        RESEARCH_ONLY,
        "Children.",
        "| train | 1,114 | 2,951 | 2,000 |",
        "| their licence | Apache-2.0 |",
        "ff" * 32,
        "ab12cd34" * 8,
        "224 x 224",
        "epoch 5",
        "| learning_rate | 0.0007 |",
        "probability of 0.4012.",
        "divided by 1.312",
        "| Accuracy | 0.981 (0.972 to 0.989) |",
        "| Random heat (baseline) | 0.100 (0.050 to 0.200) |",
        "Xin et al. 2021",
        "- Own limit.",
    ):
        assert part in card, part


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "The weights are those of epoch 5, the best on val."),
        (
            {
                "weights": {
                    "choice": "average",
                    "name": "mean of a@1, b@2, c@3, each from bundle d@4",
                    "licence": "MIT",
                }
            },
            "The weights are the mean of 3 runs' weights. The settings are those of the first run.",
        ),
    ],
)
def test_model_card_says_whose_the_weights_are(changes: dict[str, Any], words: str) -> None:
    card = render_model_card({**BUNDLE, "training": {**BUNDLE["training"], **changes}})
    (line,) = [line for line in card.splitlines() if line.startswith("The weights are")]
    assert line == words


def test_model_card_of_an_ensemble_names_no_epoch() -> None:
    card = render_model_card({**BUNDLE, "members": [{}, {}]})
    assert "an ensemble of 2 trained networks." in card and "epoch 5" not in card


def test_model_card_tables_are_tables() -> None:
    card = render_model_card(BUNDLE, metrics=METRICS)
    blocks = re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE)
    assert len(blocks) >= 6
    for block in blocks:
        lines = block.splitlines()
        assert re.fullmatch(r"\|(-+:?\|)+", lines[1]), block
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, block
        assert f"\n\n{block}" in card


def test_model_card_without_figures_says_so() -> None:
    nothing: dict[str, Any] = {"splits": {}, "weights": {}, "settings": {}, "versions": {}}
    bare = {**BUNDLE, "calibration": {}, "training": {**BUNDLE["training"], **nothing}}
    card = render_model_card(bare)
    assert "Not evaluated yet" in card
    assert "| setting |" not in card and "None" not in card and "nan" not in card


def test_markdown_is_escaped() -> None:
    assert escape_markdown("a|b\n<b> *x* _y_ a_b [c]") == (
        "a\\|b &lt;b&gt; \\*x\\* \\_y\\_ a_b \\[c\\]"
    )


def picture(height: int, width: int, value: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_contact_sheet_places_every_picture_in_reading_order() -> None:
    pictures = [picture(50, 50, 100 + 10 * number) for number in range(5)]
    sheet = contact_sheet(pictures, ["caption"] * 5, columns=3, tile=60)
    assert sheet.dtype == np.uint8 and sheet.shape == (2 * 90 + 10, 3 * 70 + 10, 3)
    centres = [sheet[40 + 90 * (n // 3), 40 + 70 * (n % 3), 0] for n in range(5)]
    assert centres == [100, 110, 120, 130, 140]


def test_contact_sheet_keeps_aspect_ratio_and_writes_captions() -> None:
    wide = contact_sheet([picture(20, 80, 250)], ["x" * 400], tile=100)[..., 0]
    bright = np.argwhere(wide[10:110, 10:110] > 200)
    assert np.ptp(bright, axis=0).tolist() in ([24, 99], [23, 99], [25, 99])
    ink = np.argwhere(wide[110:] > 150)
    assert ink.size > 0 and ink[:, 1].max() < 110
    assert not np.any(contact_sheet([picture(20, 80, 250)], [""], tile=100)[110:] > 150)


def test_contact_sheet_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="captions"):
        contact_sheet([picture(5, 5, 0)], [])
    with pytest.raises(ValueError, match="captions"):
        contact_sheet([], [])
    with pytest.raises(ValueError, match="uint8"):
        contact_sheet([np.zeros((5, 5), dtype=np.uint8)], ["a"])
    with pytest.raises(ValueError, match="columns"):
        contact_sheet([picture(5, 5, 0)], ["a"], columns=0)


def test_model_card_lists_known_weaknesses() -> None:
    weak = {"measured": "on PA films sensitivity was .58", "n": 26, "views": ["PA"]}
    card = render_model_card({**BUNDLE, "weaknesses": [weak]})
    assert "## Known weaknesses" in card
    assert "- on PA films sensitivity was .58 (n = 26)" in card
    assert "Known weaknesses" not in render_model_card(BUNDLE)
