"""Tables of a comparison: every number in its place."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pytest

from pneumoscope.report.comparison_tables import (
    comparison_csv,
    cost_table,
    facts,
    figure_table,
    localization_tables,
    p_text,
    pair_matrix,
    pair_table,
    seed_table,
    short,
)
from tests.report.test_comparison import comparison, content, cost, interval, model, pair


def test_csv_holds_every_number_as_it_is() -> None:
    full = content(costs={"lite0": cost(train_seconds_per_1000=None, peak_memory_mb=math.nan)})
    lines = list(csv.DictReader(io.StringIO(comparison_csv(full))))
    ensemble, lite, vit = lines
    assert [line["model"] for line in lines] == ["ensemble (mean)", "lite0", "vit"]
    assert float(lite["roc_auc"]) == 0.98
    assert float(lite["roc_auc_low"]) == 0.98 - 0.01 and float(lite["roc_auc_high"]) == 0.98 + 0.01
    assert lite["roc_auc_seed_sd"] == "" and float(lite["roc_auc_test_sd"]) == 0.005
    assert (lite["seeds"], lite["n"], lite["n_patients"]) == ("0", "906", "466")
    assert (lite["parameters"], lite["gmacs"], lite["machine"]) == ("3400000", "0.39", "Two cores")
    assert lite["train_seconds_per_1000"] == lite["peak_memory_mb"] == ""
    assert lite["start"] == "ImageNet (timm/lite0)" and ensemble["start"] == ""
    assert ensemble["gmacs"] == vit["gmacs"] == ensemble["localization_peak_in_box"] == ""
    assert float(vit["localization_energy_in_lungs_high"]) == 0.7 + 0.01


def test_numbers_lose_only_their_leading_zero() -> None:
    assert short("0.981 (0.972 to 0.989)") == ".981 (.972 to .989)"
    assert short("-0.100 (-0.200 to +0.300)") == "-.100 (-.200 to +.300)"
    assert short("1.000 (10.05 to 0.0)") == "1.000 (10.05 to .0)"
    assert short("n/a") == "n/a"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0009, "<0.001"), (0.001, "0.001"), (1.0, "1.000"), (math.nan, "n/a")]
)
def test_p_values_are_written_for_people(p: float, text: str) -> None:
    assert p_text(p) == text


def test_matrix_is_row_less_column_whatever_the_order_of_a_pair() -> None:
    rows = [model(name, 0.9) for name in "abc"]
    pairs = [pair("a", "b", 0.02, 0.01), pair("c", "a", -0.03, 0.05), pair("b", "c", p=math.nan)]
    matrix = pair_matrix(rows, pairs, "roc_auc")
    assert [name for name, _ in matrix] == ["a", "b", "c"]
    cells = {
        (name, "abc"[column]): cell
        for name, line in matrix
        for column, cell in enumerate(line)
        if cell is not None
    }
    assert set(cells) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert [cells["a", "b"].difference, cells["a", "c"].difference] == ["+.020", "+.030"]
    assert [cell.apart for cell in cells.values()] == [True, False, False]
    assert cells["a", "b"].p == ".010" and cells["b", "c"].p == "n/a"
    (_, (_, accuracy, _)), *_ = pair_matrix(rows, pairs, "accuracy")
    assert accuracy is not None and accuracy.difference == "-.020"


def test_pairs_are_told_in_full() -> None:
    table = pair_table([pair("a", "b", 0.02, 0.03)])
    name, texts = table.lines[0]
    assert name == "a less b" and len(texts) == len(table.columns)
    assert texts[:3] == ["+0.020 (+0.010 to +0.030)", "0.015", "0.030"]
    assert texts[3].startswith("-0.020") and texts[-1] == "12 : 1,034"


def test_seed_spread_is_set_against_that_of_patients() -> None:
    one, several = model("one", 0.9), model("several", 0.9, seed_sd=0.01)
    table = seed_table([one, several])
    assert [name for name, _ in table.lines] == ["several"]
    assert table.lines[0][1] == ["2", "0.0100", "0.0050", "2.00", "0.0100", "0.0050", "2.00"]
    still = replace(several, test_sd=dict.fromkeys(several.test_sd, math.nan))
    assert seed_table([still]).lines[0][1][1:4] == ["0.0100", "n/a", "n/a"]
    assert seed_table([one]).lines == []


def test_costs_are_in_the_units_they_are_said_to_be_in() -> None:
    rows = comparison().rows
    costs = {"vit": cost(peak_memory_mb=math.nan, train_seconds_per_1000=None), "lite0": cost()}
    table = cost_table(rows, costs)
    assert [name for name, _ in table.lines] == ["lite0", "vit"]
    assert table.lines[0][1] == ["3.40", "0.39", "13.6", "21.2", "61.0", "48.8", "939"]
    assert (table.lines[1][1][3], table.lines[1][1][6]) == ("n/a", "n/a")
    assert len(table.columns) == 7 and table.columns[0] == "Parameters, 10⁶"


def test_figures_nobody_has_make_no_column_and_gaps_stay_empty() -> None:
    rows = comparison().rows
    bare = replace(rows[1], figures={"roc_auc": interval(0.5)})
    table = figure_table([rows[0], bare], ("roc_auc", "f1", "npv"))
    assert table.columns == ["ROC-AUC", "F1"]
    assert table.lines[1] == (bare.name, ["0.500 (0.490 to 0.510)", ""])


def test_localization_shows_lesions_first_and_lungs_where_there_is_nothing_else() -> None:
    rows = comparison().rows
    lesions = {"energy_in_lungs": interval(0.7), "peak_in_box": interval(0.5)}
    first, further = localization_tables(rows, {"vit": lesions, "lite0": lesions})
    assert (first.columns, further.columns) == (["Peak in lesion"], ["Heat in lungs"])
    assert [name for name, _ in first.lines] == ["lite0", "vit"]
    first, further = localization_tables(rows, {"vit": {"energy_in_lungs": interval(0.7)}})
    assert (first.columns, further.columns) == (["Heat in lungs"], [])
    first, _ = localization_tables(rows, {"vit": {"own_figure": interval(0.7)}})
    assert first.columns == ["Own figure"]


def test_facts_are_flat_and_readable() -> None:
    values = {"n": {"train": 4065, "test": 906}, "seeds": [0, 1], "flip": False, "rate": 0.0007}
    assert facts({**values, "patience": None}) == [
        ("N", "train: 4065, test: 906"),
        ("Seeds", "0, 1"),
        ("Flip", "no"),
        ("Rate", "0.0007"),
        ("Patience", "none"),
    ]
