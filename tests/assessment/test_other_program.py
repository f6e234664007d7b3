"""Another program's probabilities and heatmaps, measured like our own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner, Result

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.heatmap_files import on_film, read_values
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.other_program import OtherProgram, read_probabilities
from pneumoscope.cli.app import app
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import CohortError, EvaluationError, SettingsError
from pneumoscope.evaluate import half_of

SIDE, GRID = 64, 8
POSITIVES = 12


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Sixteen films in a folder, four of them negative, with lesion boxes at the upper left."""
    rows = []
    (tmp_path / "films").mkdir()
    for index in range(16):
        name = f"films/{index:02d}.png"
        Image.fromarray(np.full((SIDE, SIDE), 40 + index, dtype=np.uint8)).save(tmp_path / name)
        label = "PNEUMONIA" if index < POSITIVES else "NORMAL"
        rows.append((name, label, f"patient {index}", "test"))
    table = pd.DataFrame(rows, columns=["image", "label", "patient", "split"])
    table.to_csv(tmp_path / "cohort.csv", index=False)
    boxes = [(row[0], 8, 8, 16, 16) for row in rows if row[1] == "PNEUMONIA"]
    columns = ["image", "x", "y", "width", "height"]
    pd.DataFrame(boxes, columns=columns).to_csv(tmp_path / "boxes.csv", index=False)
    return tmp_path / "cohort.csv"


@pytest.fixture
def predictions(cohort: Path) -> Path:
    """Names without folder and suffix; films 3 and 13 are on the wrong side."""
    probability = np.where(np.arange(16) < POSITIVES, 0.9, 0.1)
    probability[[3, 13]] = 0.3, 0.6
    names = [f"{index:02d}" for index in range(16)]
    path = cohort.parent / "p.csv"
    pd.DataFrame({"image": names, "probability": probability}).to_csv(path, index=False)
    return path


def hot(row: int, column: int, value: float) -> NDArray[np.float64]:
    grid = np.full((GRID, GRID), -1.0)
    grid[row, column] = value
    return grid


@pytest.fixture
def heatmaps(cohort: Path) -> dict[str, Path]:
    """`good` is hot in the lesion, `bad` in the other corner; in every format, on a coarse grid."""
    folders = {name: cohort.parent / name for name in ("good", "bad")}
    for name, place in (("good", 1), ("bad", 6)):
        (folders[name] / "films").mkdir(parents=True)
        for index in range(16):
            stem = folders[name] / "films" / f"{index:02d}"
            grid = hot(place, place, 20.0)
            if index % 4 == 0:
                np.save(f"{stem}.npy", grid.astype(np.float16)[None])
            elif index % 4 == 1:
                np.savez_compressed(f"{stem}.npz", np.asfortranarray(grid))
            elif index % 4 == 2:
                Image.fromarray((np.maximum(grid, 0) * 12).astype(np.uint8)).save(f"{stem}.png")
            else:
                deep = (np.maximum(grid, 0) * 3000).astype(np.uint16)
                Image.fromarray(deep).save(f"{stem}.png.png")
    return folders


def reported() -> list[int]:
    """The positives of the reported half."""
    return [i for i in range(POSITIVES) if half_of(f"patient {i}") == "test"]


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["evaluate", *map(str, arguments)])


@pytest.mark.slow
def test_the_command_measures_all_and_compares_heatmaps(
    cohort: Path, predictions: Path, heatmaps: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    named = [f"--heatmaps={name}={folder}" for name, folder in heatmaps.items()]
    boxes = cohort.parent / "boxes.csv"
    result = run(cohort, "--predictions", predictions, *named, "--boxes", boxes, "--out", out)
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    truth = np.arange(16) < POSITIVES
    own = pd.read_csv(predictions)["probability"]
    figures = metrics["classification"]
    assert figures["roc_auc"]["value"] == pytest.approx(roc_auc_score(truth, own))
    assert figures["sensitivity"]["value"] == pytest.approx(11 / 12)
    assert metrics["confusion"] == {"tn": 3, "fp": 1, "fn": 1, "tp": 11}
    assert metrics["threshold"] == 0.5 and metrics["model"] == "p"
    found = metrics["localization"]
    assert "warning" not in result.output, result.output
    # No lungs are found on these pictures, so there is no baseline of lungs.
    assert list(found) == ["good", "bad", "random", "centre", "usual_location"]
    assert found["good"]["peak_in_box"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["bad"]["peak_in_box"]["value"] == 0
    details = metrics["localization_details"]
    called = [i for i in reported() if i != 3]
    assert details["methods"]["good"]["slices"]["true_positives"]["n"] == len(called)
    assert details["methods"]["good"]["slices"]["annotated"]["n"] == len(reported())
    assert details["paired"]["bad"]["figures"]["peak_in_box"]["value"] == 1
    pairs = {(pair["first"], pair["second"]) for pair in details["pairs"]}
    assert pairs == {("bad", "usual_location")}
    page = " ".join((out / "report.html").read_text().split())
    assert "another program" in page and "The threshold was given" in page
    assert "good less bad" in page and "was trained on" not in page
    assert '<span class="tag">first</span>' in page and "model&#39;s own</span>" not in page
    assert (out / "figures" / "roc.png").is_file()


def test_positives_alone_are_measured(
    cohort: Path, predictions: Path, heatmaps: dict[str, Path], tmp_path: Path
) -> None:
    # The box file itself is the cohort: it names no negative radiograph.
    boxes, out = cohort.parent / "boxes.csv", tmp_path / "out"
    named = ("--split", "all", "--boxes", boxes, f"--heatmaps=good={heatmaps['good']}")
    result = run(boxes, "--predictions", predictions, *named, "--out", out)
    assert result.exit_code == 0, result.output
    assert "All 12 radiographs are labelled PNEUMONIA" in result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["n"] == POSITIVES and metrics["confusion"]["fn"] == 1
    figures = metrics["classification"]
    assert figures["sensitivity"]["value"] == pytest.approx(11 / 12)
    for name in ("roc_auc", "accuracy", "ppv", "specificity", "ece"):
        assert figures[name]["value"] is None and "needs both labels" in figures[name]["reason"]
    assert metrics["calibration"]["ece_of_chance"]["value"] is None
    assert metrics["localization_annotated"]["good"]["peak_in_box"]["value"] == 1
    page = " ".join((out / "report.html").read_text().split())
    assert "only sensitivity is given" in page
    assert "all 12 radiographs are positive: this figure needs both labels" in page


def test_a_radiograph_without_a_heatmap_counts_as_an_empty_one(
    cohort: Path, predictions: Path, heatmaps: dict[str, Path]
) -> None:
    gone, broken, *_ = [index for index in reported() if index != 3]
    for index, content in ((gone, None), (broken, b"no array")):
        (path,) = (heatmaps["good"] / "films").glob(f"{index:02d}.*")
        path.unlink() if content is None else path.write_bytes(content)
    manifest = Manifest.read(cohort)
    program = OtherProgram.from_files(predictions, {"good": heatmaps["good"]}, manifest)
    boxes = Annotations.read(cohort.parent / "boxes.csv", None, None)
    found = assess(program, manifest, boxes)
    n = len([index for index in reported() if index != 3])
    peak = found.metrics["localization"]["good"]["peak_in_box"]["value"]
    assert peak == pytest.approx((n - 2) / n)
    said = " ".join(found.warnings())
    assert f"films/{gone:02d}.png" in said and "1 heatmaps could not be used" in said


def test_a_heatmap_with_a_value_that_is_not_finite_is_named(
    cohort: Path, predictions: Path, heatmaps: dict[str, Path]
) -> None:
    (path,) = (heatmaps["good"] / "films").glob("04.*")
    np.save(path, np.array([[1.0, np.nan], [0.0, 0.0]]))
    manifest = Manifest.read(cohort)
    program = OtherProgram.from_files(predictions, {"good": heatmaps["good"]}, manifest)
    found = assess(program, manifest, Annotations.read(cohort.parent / "boxes.csv", None, None))
    said = " ".join(found.warnings())
    assert "films/04.png: holds a value that is not finite" in said


def test_a_film_without_a_probability_is_left_out_and_named(
    cohort: Path, predictions: Path
) -> None:
    table = pd.read_csv(predictions, dtype={"image": str})
    table.iloc[1:].to_csv(predictions, index=False)
    manifest = Manifest.read(cohort)
    program = OtherProgram.from_files(predictions, {}, manifest, threshold=0.2)
    found = assess(program, manifest)
    assert found.metrics["n"] == 15 and found.metrics["localization"] is None
    assert found.unreadable[0][0] == "films/00.png" and "probability" in found.unreadable[0][1]
    assert found.metrics["confusion"]["fn"] == 0


def test_a_heatmap_is_brought_onto_the_film(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", hot(2, 5, 3.0))
    heat = on_film(read_values(tmp_path / "a.npy"), 40, 96)
    assert heat.shape == (40, 96) and heat.min() == 0 and heat.max() == 1
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    # The cell (2, 5) of 8 x 8 covers rows 10 to 15 and columns 60 to 72.
    assert 10 <= row < 15 and 60 <= column < 72
    np.save(tmp_path / "b.npy", np.array([[1.0, np.nan], [0.0, 0.0]]))
    assert np.isnan(on_film(read_values(tmp_path / "b.npy"), 4, 4)).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("colour.png", "picture in colour"),
        ("many.npz", "holds 2 arrays"),
        ("deep.npy", "shape"),
        ("objects.npy", "array of object"),
        ("cut.npy", "cannot be read as a heatmap"),
        ("large.npy", "pixels"),
    ],
)
def test_what_is_no_heatmap_is_refused(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / name
    if name == "colour.png":
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    elif name == "many.npz":
        np.savez(path, a=np.ones((2, 2)), b=np.ones((2, 2)))
    elif name == "deep.npy":
        np.save(path, np.ones((2, 3, 4)))
    elif name == "objects.npy":
        np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    elif name == "cut.npy":
        np.save(path, np.ones((9, 9)))
        path.write_bytes(path.read_bytes()[:-9])
    else:
        header = np.lib.format.header_data_from_array_1_0(np.ones((1, 1)))
        with path.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {**header, "shape": (10**6, 10**6)})
    with pytest.raises(EvaluationError, match=words):
        read_values(path)


def test_mistakes_are_said_before_a_folder_is_made(
    cohort: Path, predictions: Path, heatmaps: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    boxes = cohort.parent / "boxes.csv"
    given = (cohort, "--out", out, "--predictions", predictions)
    for arguments, error, words in (
        ((cohort, "--out", out, "--heatmaps", heatmaps["good"]), SettingsError, "--predictions"),
        ((*given, "--bundle", tmp_path), SettingsError, "one of the two"),
        ((*given, "--boxes", boxes), SettingsError, "--heatmaps"),
        ((*given, "--heatmaps", "a=x", "--heatmaps", "a=y"), SettingsError, "two folders"),
        ((*given, "--heatmaps", f"random={heatmaps['good']}"), SettingsError, "baseline"),
        ((*given, "--heatmaps", tmp_path / "no"), EvaluationError, "no such folder"),
        ((*given, "--heatmaps", cohort.parent), EvaluationError, "radiographs themselves"),
    ):
        found = run(*arguments)
        assert isinstance(found.exception, error), (arguments, found.exception)
        assert words in str(found.exception)
    for text, words in (
        ("image,score\n00,1\n", "lacks the columns probability"),
        ("image,probability\n00,1.5\n", r"the probability of 00 is '1\.5'"),
        ("image,probability\n00,.5\n00,.6\n", "names 00 twice"),
        ("image,probability\nother,.5\n", "none of the radiographs.*another split"),
    ):
        predictions.write_text(text)
        with pytest.raises(CohortError, match=words):
            read_probabilities(predictions, ["films/00.png"])
    assert not out.exists()
