"""What the terminal shows: 80 columns, no colour, nothing, or JSON for other programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import CliRunner

from pneumoscope.cli import app, console
from pneumoscope.cli.console import print_whole, shortened
from pneumoscope.cli.predict import show_findings
from pneumoscope.cli.tables import localization_table
from pneumoscope.findings import Finding, Gate, Region

OWN = "regional+mirror+lungs+density+smooth"


def finding(image: str) -> Finding:
    regions = [
        Region(x=1, y=1, width=9, height=9, score=0.9, zone=zone)
        for zone in ("right_lower", "left_lower", "right_lower", "left_upper")
    ]
    return Finding.from_prediction(
        image,
        probability=0.9312,
        threshold=0.4,
        labels=("NORMAL", "PNEUMONIA"),
        model="tiny@1",
        review=(0.2, 0.95),
        regions=regions,
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The console 80 columns wide, written into a text."""
    text = io.StringIO()
    monkeypatch.setattr(console.console, "_width", 80)
    monkeypatch.setattr(console.console, "_file", text)
    monkeypatch.setattr(console.console, "quiet", False)
    return text


@pytest.mark.parametrize("path", ["a.png", "x" * 200, "folder/" * 20 + "film.png"])
@pytest.mark.parametrize("width", [10, 33, 80])
def test_a_path_is_shortened_in_its_middle(path: str, width: int) -> None:
    short = shortened(path, width)
    assert len(short) <= width
    if len(path) <= width:
        assert short == path
    else:
        start, end = short.split("…")
        assert path.startswith(start) and path.endswith(end)
        assert end.endswith("film.png") or "film" not in path or width == 10


def test_findings_are_one_line_each(terminal: io.StringIO) -> None:
    name = "archive/2026/november/somewhere/deep/below/film-0001.png"
    flagged = finding("b.png").model_copy(
        update={"gate": Gate(flagged=True, reason="rotated"), "probability": None, "regions": ()}
    )
    failed = Finding.from_error("c.png", "is damaged or truncated. Copy it again", "tiny@1")
    show_findings([finding(name), flagged, failed], 3, 1)
    lines = [line for line in terminal.getvalue().splitlines() if ".png" in line]
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines)
    assert "film-0001.png" in lines[0] and "0.931" in lines[0]
    assert "PNEUMONIA indeterminate right" in lines[0] and lines[0].rstrip().endswith("…")
    assert "not assessed: rotated" in lines[1] and "0.9" not in lines[1]
    assert "error: is damaged" in lines[2]


def metrics(n: int = 12) -> dict[str, object]:
    figure = {"value": 0.691, "low": 0.608, "high": 0.758}
    names = ("peak_in_box", "area_matched", "mean_iou@0.5", "mean_iou", "energy_in_lungs")
    figures = dict.fromkeys(names, figure)
    return {
        "localization": {OWN: figures, "usual_location": figures},
        "localization_method": OWN,
        "localization_details": {
            "slice": "test half",
            "methods": {OWN: {"slices": {"true_positives": {"n": n}}}},
        },
    }


def test_methods_are_named_in_full_in_80_columns(terminal: io.StringIO) -> None:
    console.console.print(localization_table(metrics()))
    text = terminal.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    (row,) = [line for line in text.splitlines() if "Regional" in line]
    assert row.strip().split("  ")[0] == "Regional + mirror + lungs + density + smooth"
    assert row.count("0.691") == 3


def test_the_table_says_how_many_radiographs_it_is_of(terminal: io.StringIO) -> None:
    console.console.print(localization_table(metrics(0)))
    # Which is why there are no figures.
    assert "0 true positives, test half" in terminal.getvalue()
    details = {"slice": "true positives", "methods": {OWN: {"n": 1}}}
    console.console.print(localization_table({**metrics(), "localization_details": details}))
    assert "1 true positive " in terminal.getvalue()


def test_a_wide_table_keeps_its_intervals(
    terminal: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    print_whole(localization_table(metrics(), wide=True))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "Regional" in line]
    assert row.count("0.691 (0.608 to 0.758)") == 5


def test_quiet_and_json(phantoms: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    scan = ["scan", str(phantoms / "cohort.csv"), "--out"]
    said = runner.invoke(app, [*scan, str(tmp_path / "a.csv")])
    assert "Manifest" in said.stdout
    quiet = runner.invoke(app, [*scan, str(tmp_path / "b.csv"), "--quiet"])
    assert quiet.exit_code == 0 and quiet.stdout == ""
    told = runner.invoke(app, [*scan, str(tmp_path / "c.csv"), "--json"])
    assert json.loads(told.stdout) == json.loads((tmp_path / "c.audit.json").read_text())
    # The one after it speaks again.
    assert "Manifest" in runner.invoke(app, [*scan, str(tmp_path / "d.csv")]).stdout


@pytest.mark.slow
def test_a_quiet_training_says_nothing(manifest_file: Path, tmp_path: Path) -> None:
    arguments = ["train", str(manifest_file), "--backbone", "resnet18", "--weights", "none"]
    arguments += ["--set", "size=64", "--epochs", "1", "--out"]
    run = CliRunner().invoke(app, [*arguments, str(tmp_path / "quiet"), "--quiet"])
    assert run.exit_code == 0 and run.output == ""
    assert (tmp_path / "quiet" / "bundle").is_dir()
    resumed = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "quiet"), "--resume"])
    assert "Training had ended" in resumed.stderr


def test_predict_prints_findings_as_json_lines(phantoms: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    films = sorted((phantoms / "images").glob("*.png"))[:2]
    arguments = ["predict", *map(str, films), str(bad), "--json", "--no-overlays"]
    told = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "findings")])
    assert told.exit_code == 0, told.output
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["image"] for line in lines] == [*map(str, films), str(bad)]
    written = (tmp_path / "findings" / "findings.jsonl").read_text().splitlines()
    assert lines == [json.loads(line) for line in written]
    # A further call tells of its own radiographs; the folder keeps what could be read in both.
    alone = ["predict", str(films[1]), "--no-overlays", "--out", str(tmp_path / "findings")]
    told = CliRunner().invoke(app, [*alone, "--json"])
    assert told.exit_code == 0, told.output
    assert [json.loads(line)["image"] for line in told.stdout.splitlines()] == [str(films[1])]
    shown = CliRunner().invoke(app, [*alone, "--wide"]).output
    assert films[1].name in shown.split("prob.")[1] and films[0].name not in shown
    written = (tmp_path / "findings" / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in written] == [str(films[1]), str(films[0])]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Text.from_markup("[red]error[/red]")
    coloured, plain = io.StringIO(), io.StringIO()
    monkeypatch.setenv("NO_COLOR", "1")
    kind = type(console.console)
    kind(file=plain, force_terminal=True).print(text)
    monkeypatch.delenv("NO_COLOR")
    kind(file=coloured, force_terminal=True).print(text)
    assert "\x1b[31m" in coloured.getvalue() and "\x1b[31m" not in plain.getvalue()
