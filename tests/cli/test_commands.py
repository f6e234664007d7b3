"""The commands as people use them: the whole way on phantoms, and every foreseeable mistake."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pneumoscope.assessment.gallery import choose
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.cli.app import app
from pneumoscope.cli.commands import COMMANDS, Later
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import SettingsError
from pneumoscope.findings import Finding
from pneumoscope.inference import load_engine
from tests.export.bundles import exported
from tests.programs import pneumoscope


def process(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a process of its own does: what a command imports, and where it writes, is its own."""
    return subprocess.run(
        [sys.executable, "-m", "pneumoscope", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
    )


def mistakes(*expected: tuple[Sequence[object], str]) -> None:
    """See that each call fails with its words in the error."""
    for words, said in expected:
        fails(pneumoscope(*words), said)


def fails(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line of error, perhaps after warnings, exit code 2, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("error: "), result.stderr
    assert all(line.startswith("warning: ") for line in lines[:-1]), result.stderr
    for word in words:
        assert word in lines[-1]


def commands(command: object, name: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of all commands that are no groups, subcommands included."""
    command = command.command if isinstance(command, Later) else command
    inner = getattr(command, "commands", {})
    if not inner:
        return [name]
    return [found for part, each in inner.items() for found in commands(each, (*name, part))]


ALL = commands(typer.main.get_command(app))


def test_the_programs_help_lists_every_command() -> None:
    top = process("--help")
    assert top.returncode == 0
    # A line of the list starts with the border and the command's name.
    listed = {words[1] for line in top.stdout.splitlines() if len(words := line.split()) > 2}
    assert listed >= {name[0] for name in ALL} and len(ALL) > 20
    assert process("--version").stdout.startswith("pneumoscope ")


@pytest.mark.parametrize("panel", COMMANDS)
def test_the_list_says_of_a_command_what_its_page_begins_with(panel: str) -> None:
    for name, summary in COMMANDS[panel].items():
        first = Later(name, summary, panel).command.help.partition("\n\n")[0]
        assert " ".join(first.split()) == summary


@pytest.mark.parametrize(
    ("words", "offered"),
    [("dicom-", ["dicom-fetch", "dicom-node"]), ("predict --thr", ["--threshold", "--threads"])],
)
def test_a_shell_completes_commands_and_their_options(words: str, offered: list[str]) -> None:
    asked = {
        "_PNEUMOSCOPE_COMPLETE": "complete_bash",
        "COMP_WORDS": f"pneumoscope {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    done = CliRunner().invoke(app, [], env=asked, prog_name="pneumoscope")
    assert done.output.split() == offered


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_has_a_page_with_an_example(name: tuple[str, ...]) -> None:
    page = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "200"})
    assert page.exit_code == 0, page.output
    assert "Example" in page.output and f"pneumoscope {' '.join(name)}" in page.output


def test_scan_writes_manifest_and_audit(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort.csv"
    result = pneumoscope("scan", phantoms / "cohort.csv", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "60 of" in result.stdout
    assert len(Manifest.read(out)) == 60
    assert json.loads((tmp_path / "cohort.audit.json").read_text())["total"]["radiographs"] == 60
    fails(pneumoscope("scan", phantoms / "cohort.csv", "--out", out), "already exists", "--force")
    assert pneumoscope("scan", phantoms / "cohort.csv", "--out", out, "--force").returncode == 0


@pytest.mark.slow
def test_scan_mistakes(tmp_path: Path) -> None:
    fails(pneumoscope("scan", tmp_path / "absent", "--out", tmp_path / "c.csv"), "absent")
    fails(pneumoscope("scan", tmp_path, "--out", tmp_path / "c.csv"), str(tmp_path))
    films = tmp_path / "films" / "NORMAL"
    films.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(films / f"{index}.png")
    one_label = pneumoscope("scan", films.parent, "--out", tmp_path / "one.csv")
    assert one_label.returncode == 0 and "train has no PNEUMONIA radiograph" in one_label.stderr
    (tmp_path / "table.csv").write_text("file,finding\na.png,NORMAL\n")
    fails(pneumoscope("scan", tmp_path / "table.csv", "--out", tmp_path / "c.csv"), "image")
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.slow
def test_train_mistakes(manifest_file: Path, run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    mistakes(
        (("train", "--out", out), "no cohort"),
        (("train", tmp_path / "absent.csv", "--out", out), "absent.csv"),
        (("train", manifest_file, "--backbone", "lenet", "--out", out), "lenet"),
        (("train", manifest_file, "--set", "lr=1", "--out", out), "lr"),
        (("train", manifest_file, "--set", "lr", "--out", out), "name=value"),
        (("train", manifest_file, "--set", "preset=paper"), "--preset"),
        (("train", manifest_file, "--weights", "no.pth", "--out", out), "no.pth"),
        (("train", manifest_file, "--findings", "Gout", "--out", out), "Gout"),
        (("train", manifest_file, "--out", run_folder), "already exists"),
        (("train", "--resume", "--out", out), "config.yaml"),
        (("train", manifest_file, "--resume", "--out", run_folder), "--resume alone"),
    )
    # A refused run leaves no folder.
    assert not out.exists()


def test_show_config_prints_all_settings() -> None:
    result = pneumoscope("train", "--preset", "paper", "--set", "epochs=4", "--show-config")
    assert result.returncode == 0
    assert "epochs: 4" in result.stdout and "balanced_sampler: true" in result.stdout


@pytest.mark.slow
def test_evaluate_measures_what_predict_delivers(
    manifest_file: Path, phantoms: Path, run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation"
    result = pneumoscope(
        "evaluate", manifest_file, "--bundle", run_folder, "--out", out,
        "--masks", phantoms / "masks", "--split", "all", "--methods", "hirescam", "--by", "view",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["n"] == 60 and metrics["split"] == "all"
    assert "view: AP" in result.stdout and "Groups of fewer than 20" in result.stdout
    assert "view: AP" in (out / "report.html").read_text()
    assert {"accuracy", "roc_auc", "sensitivity", "specificity", "f1", "pr_auc", "ece"} <= set(
        metrics["classification"]
    )
    for figure in metrics["classification"].values():
        assert set(figure) == {"value", "low", "high"}
    assert sum(metrics["confusion"].values()) == 60
    assert metrics["abstention"]["promised"] == 0.95
    assert 0 <= metrics["abstention"]["uncertain"]["value"] <= 1
    assert metrics["localization_method"] == "regional+mirror+lungs+density"
    for method in (
        "regional+mirror+lungs+density", "regional+mirror+lungs", "regional+mirror", "gradcam",
        "hirescam", "randomised_weights",
        "random", "centre", "lungs", "usual_location",
    ):  # fmt: skip
        for part in ("localization", "localization_annotated", "localization_all"):
            figures = metrics[part][method]
            for name in ("peak_in_box", "iou@0.3", "iobb@0.5", "mean_iou", "pxap", "area_matched"):
                assert set(figures[name]) == {"value", "low", "high"}
    details = metrics["localization_details"]
    # A model this small may find no true positive; then there is nothing to compare.
    found = details["methods"]["gradcam"]["slices"]["true_positives"]["n"]
    assert set(details["paired"]) == ({"gradcam", "lungs", "usual_location"} if found else set())
    assert ("view" in details["groups"]["methods"]["gradcam"]) == bool(found)
    page = (out / "report.html").read_text()
    assert "not for diagnosis" in page and "not an independent evaluation" in page
    for name in ("roc", "precision_recall", "reliability", "scores", "confusion"):
        assert Image.open(out / "figures" / f"{name}.png").width > 200

    with (out / "predictions.csv").open() as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    manifest = Manifest.read(manifest_file)
    found = tmp_path / "findings"
    films = [str(path) for path in manifest.paths()[:4]]
    assert pneumoscope("predict", *films, "--bundle", run_folder, "--out", found).returncode == 0
    findings = [
        Finding.model_validate_json(line)
        for line in (found / "findings.jsonl").read_text().splitlines()
    ]
    for finding, image in zip(findings, manifest.table["image"][:4], strict=True):
        assert finding.probability == pytest.approx(float(rows[image]["probability"]), abs=1e-5)
        assert finding.label == rows[image]["decision"]
        with (
            Image.open(found / str(finding.heatmap)) as heatmap,
            Image.open(manifest.root / image) as film,
        ):
            assert heatmap.size == film.size
    fails(
        pneumoscope("evaluate", manifest_file, "--bundle", run_folder, "--out", out),
        "already exists",
    )


@pytest.mark.slow
def test_evaluate_mistakes(manifest_file: Path, run_folder: Path, tmp_path: Path) -> None:
    other, absent, out = (tmp_path / name for name in ("other.csv", "absent", "out"))
    other.write_text("image,label\na.png,healthy\nb.png,opacity\n")
    own = ("evaluate", manifest_file, "--out", out, "--bundle", run_folder)
    mistakes(
        (("evaluate", manifest_file, "--out", out, "--bundle", tmp_path), "bundle.json"),
        (("evaluate", tmp_path / "no.csv", "--out", out, "--bundle", run_folder), "no.csv"),
        (("evaluate", other, "--out", out, "--bundle", run_folder, "--split", "all"), "labels"),
        ((*own, "--boxes", absent), "absent"),
        ((*own, "--masks", absent), "does not exist"),
    )
    assert not out.exists()
    fails(pneumoscope(*own, "--by", "smoker"), "no column smoker", "Choose among image")


def test_columns_to_break_down_by_are_looked_for_before_a_model_is_loaded(tmp_path: Path) -> None:
    cohort = tmp_path / "c.csv"
    cohort.write_text("image,label,patient,split\na.png,NORMAL,1,test\nb.png,PNEUMONIA,2,test\n")
    no_model = ("--bundle", tmp_path / "none", "--out", tmp_path / "out")
    fails(pneumoscope("evaluate", cohort, *no_model, "--by", "smoker"), "no column smoker")
    assert not (tmp_path / "out").exists()


def test_unreadable_radiographs_are_left_out_and_named(
    manifest_file: Path, run_folder: Path, tmp_path: Path
) -> None:
    manifest = Manifest.read(manifest_file)
    root = Path(shutil.copytree(manifest.root, tmp_path / "cohort"))
    broken = manifest.table["image"][0]
    (root / broken).write_bytes(b"")
    table = manifest.table.assign(split="test")
    table.to_csv(root / "manifest.csv", index=False)
    evaluation = assess(OwnModel(load_engine(run_folder)), Manifest.read(root / "manifest.csv"))
    assert evaluation.metrics["n"] == 59 and evaluation.metrics["unreadable"] == 1
    assert evaluation.unreadable[0][0] == broken


def test_the_gallery_is_chosen_by_rule(manifest_file: Path, run_folder: Path) -> None:
    model = OwnModel(load_engine(run_folder))
    evaluation = assess(model, Manifest.read(manifest_file), split="all")
    chosen = choose(evaluation)
    assert len({image for image, _ in chosen}) == len(chosen) <= 8
    assert chosen == choose(evaluation)
    threshold = evaluation.metrics["threshold"]
    by_image = dict(
        zip(evaluation.predictions.images, evaluation.predictions.probabilities, strict=True)
    )
    targets = dict(zip(evaluation.predictions.images, evaluation.predictions.targets, strict=True))
    for image, why in chosen:
        if why.startswith("missed"):
            assert targets[image] == 1 and by_image[image] < threshold
        if why.startswith("false positive"):
            assert targets[image] == 0 and by_image[image] >= threshold


@pytest.mark.slow
def test_predict_records_bad_files_and_goes_on(
    phantoms: Path, run_folder: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    shutil.copytree(phantoms / "images", films)
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out"
    result = pneumoscope("predict", films, "--bundle", run_folder, "--out", out)
    assert result.returncode == 0
    lines = [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()]
    assert list(lines[0]) == [
        "image", "digest", "label", "probability", "threshold", "uncertain", "gate", "regions",
        "in_lungs", "heatmap", "summary", "weaknesses", "notes", "model", "error",
    ]  # fmt: skip
    bad = [line for line in lines if line["error"]]
    assert len(lines) == 61 and len(bad) == 1 and bad[0]["image"].endswith("broken.png")
    assert len(list((out / "overlays").glob("*.jpg"))) == 60
    # Repeated, it has nothing to do but try the bad file again.
    again = pneumoscope("predict", films, "--bundle", run_folder, "--out", out)
    assert "60 of 61 were finished before" in again.stdout
    assert [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()] == lines
    fails(
        pneumoscope("predict", films, "--bundle", run_folder, "--out", out, "--threshold", "0.9"),
        "other settings",
    )


@pytest.mark.slow
def test_predict_continues_after_a_kill(phantoms: Path, run_folder: Path, tmp_path: Path) -> None:
    films, out, model = phantoms / "images", tmp_path / "out", exported(run_folder).path
    arguments = ["predict", str(films), "--bundle", str(model), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pneumoscope", *arguments, "--batch-size", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    partial = out / "findings.partial.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if partial.is_file() and partial.read_text().count("\n") >= 3:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.is_file() and not (out / "findings.jsonl").exists()
    with partial.open("a") as stream:
        stream.write('{"image": "cut off by the k')
    done = pneumoscope(*arguments)
    assert done.returncode == 0 and "were finished before" in done.stdout
    lines = (out / "findings.jsonl").read_text().splitlines()
    assert len({json.loads(line)["image"] for line in lines}) == len(lines) == 60
    assert not partial.exists()


@pytest.mark.slow
def test_predict_mistakes(run_folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(film)
    empty = tmp_path / "empty"
    empty.mkdir()
    mistakes(
        (("predict", tmp_path / "no.png", "--bundle", run_folder), "no.png"),
        (("predict", film, "--bundle", tmp_path / "nothing"), "nothing"),
        (("predict", empty, "--bundle", run_folder), "no radiograph"),
        (("predict", film, "--bundle", run_folder, "--out", tmp_path), "is not empty"),
    )


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_file(
    run_folder: Path, manifest_file: Path, tmp_path: Path
) -> None:
    """A folder that cannot be written stands for a disk that cannot: same code path."""
    target = tmp_path / "blocked"
    target.write_text("a file where a folder should be")
    result = pneumoscope("evaluate", manifest_file, "--bundle", run_folder, "--out", target / "out")
    fails(result, "blocked")


@pytest.mark.slow
def test_demo_goes_the_whole_way(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = process("demo", "--out", out, "--n", 80, "--size", 96, "--epochs", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert metrics["n"] == len((out / "findings" / "findings.jsonl").read_text().splitlines())
    assert metrics["localization_annotated"]["gradcam"]["peak_in_box"]["value"] is not None
    assert "Research use only" in (out / "report.html").read_text()
    assert str((out / "report.html").resolve()) in result.stdout.replace("\n", "")
    fails(pneumoscope("demo", "--out", out), "already exists")


@pytest.mark.parametrize("more", [["--preset", "paper"], ["--set", "epochs=3"], ["cohort.csv"]])
def test_a_resumed_run_takes_no_settings(tmp_path: Path, more: list[str]) -> None:
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path), "--resume", *more])
    assert isinstance(result.exception, SettingsError)
    assert "keeps its cohort and settings" in str(result.exception)
