"""`pneumoscope audit`, through its function on an application of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from pneumoscope.audit import TESTS
from pneumoscope.cli.audit import _show, audit
from pneumoscope.errors import BundleError, EvaluationError, OutputError

app = typer.Typer()
app.command()(audit)


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


@pytest.mark.slow
def test_audit_of_a_cohort_writes_figures_and_a_page(
    run_folder: Path, manifest_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    result = run("--bundle", run_folder, manifest_file, "--n", 8, "--out", out)
    assert result.exit_code == 0, result.exception
    content = json.loads((out / "audit.json").read_text("utf-8"))
    assert set(content["passed"]) == set(TESTS)
    assert content["n"] == 8 and content["n_positive"] == 4
    assert content["sample"]["split"] == "test"
    assert content["sample"]["trained_on_this_cohort"] is True
    assert content["sample"]["unreadable"] == 0
    assert "Research use only" in content["research_use"]
    page = (out / "report.html").read_text("utf-8")
    for title in TESTS.values():
        assert title in page and title in result.stdout
    assert content["model"] in page and "Research use only" in result.stdout
    for sentence in content["warnings"]:
        assert sentence in result.stderr.replace("\n", " ")
    # The folder is never written over.
    again = run("--bundle", run_folder, manifest_file, "--n", 8, "--out", out)
    assert isinstance(again.exception, OutputError)
    assert json.loads((out / "audit.json").read_text("utf-8")) == content


@pytest.mark.slow
def test_audit_draws_phantoms_without_a_cohort(run_folder: Path, tmp_path: Path) -> None:
    result = run("--bundle", run_folder, "--n", 6, "--seed", 3, "--out", tmp_path / "audit")
    assert result.exit_code == 0, result.exception
    content = json.loads((tmp_path / "audit" / "audit.json").read_text("utf-8"))
    assert content["sample"] == {"what": "phantoms", "seed": 3}
    assert "drawn phantoms" in content["notes"][0] and "drawn phantoms" in result.stderr
    # Phantoms' lungs are known.
    assert content["tests"]["places"]["figures"]["lungs_share"]["value"] is not None


def test_mistakes_leave_no_folder(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    assert isinstance(run("--bundle", tmp_path / "none", "--out", out).exception, BundleError)
    (tmp_path / "c.csv").write_text("image,label,patient,split\na.png,A,p,test\nb.png,B,q,test\n")
    (tmp_path / "c.json").write_text('{"root": ".", "labels": ["A", "B"], "seed": 1}')
    other = run("--bundle", run_folder, tmp_path / "c.csv", "--out", out)
    assert other.exception is not None and not isinstance(other.exception, SystemExit)
    assert isinstance(other.exception, EvaluationError), other.exception
    assert not out.exists()


def test_what_is_known_of_the_sample_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    sample = {"what": "radiographs"}
    counts = {"n": 8, "n_patients": 3, "n_called_positive": 2}
    words = {"warnings": ["The edge alone tells."], "notes": ["All 8 are held out."]}
    _show({"tests": {}, "model": "m", "heatmap": "gradcam", "sample": sample, **counts, **words})
    assert capsys.readouterr().err == "warning: The edge alone tells.\nAll 8 are held out.\n"
