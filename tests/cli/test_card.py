"""`pneumoscope card`: figures of several cohorts beside a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pneumoscope.bundles import read_bundle
from pneumoscope.bundles.info import INFO_FILE
from pneumoscope.cli.app import app
from pneumoscope.errors import EvaluationError, SettingsError
from pneumoscope.files import write_json
from pneumoscope.report.card_tables import card_tables

RESULTS = Path(__file__).parents[2] / "results"
SIIM = RESULTS / "siim" / "efficientnet_lite0-regional"
RSNA = RESULTS / "rsna" / "efficientnet_lite0-regional"
AUDIT = RESULTS / "self_taught"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(
        app, ["card", *map(str, arguments)], env={"COLUMNS": "200"}, catch_exceptions=True
    )


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


def of_bundle(bundle: Path, folder: Path, out: Path) -> Path:
    """A folder with the metrics of another one, as if they were measured of this bundle."""
    metrics = json.loads((folder / "metrics.json").read_text())
    model = read_bundle(bundle)[1].model_id
    write_json(out / "metrics.json", {**metrics, "model": model})
    return out


def test_card_holds_what_was_measured(bundle: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text(
        "cohort: Two sets.\nhistory: [Best on val.]\ncommands: [pneumoscope train x]\n"
    )
    siim, rsna = (of_bundle(bundle, one, tmp_path / one.parent.name) for one in (SIIM, RSNA))
    result = run(
        bundle, "--evaluation", f"siim={siim}", "--evaluation", f"rsna={rsna}",
        "--other", f"siim:rsna={RSNA}", "--words", words,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    text = (bundle / "MODEL_CARD.md").read_text()
    auc = json.loads((SIIM / "metrics.json").read_text())["classification"]["roc_auc"]["value"]
    for expected in (f"{auc:.3f} (", "Two sets.", "- Best on val.", "pneumoscope train x"):
        assert expected in text
    assert "| Trained on | rsna |" in text and "### Localization" in text
    assert "Not evaluated yet" not in text
    content = json.loads((bundle / "model_card.json").read_text())
    assert content["measured"]["cohorts"]["siim"]["n"] == 657
    assert content["measured"]["cross"]["siim"]["rsna"]["n"] == 149
    assert "Trained on one set, tested on another" in result.output
    # The bundle itself is as it was.
    assert (bundle / INFO_FILE).is_file()


def test_subgroups_and_shortcuts_have_their_tables() -> None:
    area = {"value": 0.9, "low": 0.8, "high": 0.95}
    group = {"n": 30, "n_positive": 12, "roc_auc": area, "sensitivity": area, "specificity": None}
    metrics = json.loads((RSNA / "metrics.json").read_text())
    keys = ("auc_whole", "auc_lungs_hidden", "auc_edge", "auc_markers_hidden")
    shortcuts = {
        "figures": dict.fromkeys(keys, area),
        "rows": [{"label": "table: view", "figures": {"auc": area}}],
    }
    audit = {"tests": {"shortcuts": shortcuts}}
    gate = {"false_alarms": {"siim": {"n": 9, "flagged": area}}}
    tables = card_tables(
        {
            "cohorts": {"rsna": {**metrics, "subgroups": {"view": {"AP": group}}}},
            "audits": {"rsna": audit},
            "audits_before": {"rsna": audit},
            "gate": gate,
        }
    )
    found = {table.title: table for table in tables}
    assert found["Subgroups of rsna"].lines == [
        ["view: AP", "30", "12", "0.900 (0.800 to 0.950)", "0.900 (0.800 to 0.950)", "n/a"]
    ]
    before, after = found["Shortcuts"].lines
    assert (before[1], after[1]) == ("before", "this model")
    assert after[-1] == "view 0.900 (0.800 to 0.950)"
    assert found["Input gate"].lines == [["false positives, siim", "9", "0.900 (0.800 to 0.950)"]]
    for table in tables:
        assert all(len(line) == len(table.columns) for line in table.lines), table.title


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--evaluation", "siim"], SettingsError),
        (["--evaluation", "siim=nowhere"], EvaluationError),
        # Of another model.
        (["--evaluation", f"siim={SIIM}"], EvaluationError),
        (["--audit-before", f"a={AUDIT}", "--audit-before", f"a={AUDIT}"], SettingsError),
        (["--other", f"siim={RSNA}"], SettingsError),
        (["--words", "nowhere.yaml"], SettingsError),
    ],
)
def test_what_cannot_be_read_is_said(
    bundle: Path, arguments: list[str], error: type[Exception]
) -> None:
    result = run(bundle, *arguments)
    assert isinstance(result.exception, error) or result.exit_code == 2
    assert not (bundle / "model_card.json").exists()
