"""What a model was made with: its owner finds it again, and nobody else can read it."""

from __future__ import annotations

import hashlib
import json
import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pneumoscope.bundles import SeenInfo, amend_bundle, read_bundle, read_onnx
from pneumoscope.bundles.info import INFO_FILE, write_onnx
from pneumoscope.bundles.onnx_file import unseal
from pneumoscope.cli.app import app
from pneumoscope.cohort.join import join
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import EvaluationError

SPLITS = ("train", "val", "test")


def files(number: int, name: str) -> list[str]:
    return [hashlib.sha256(f"{name} {index}".encode()).hexdigest() for index in range(number)]


def listed(seen: dict[str, dict[str, str]], kind: str, split: str) -> set[bytes]:
    raw = b64decode(seen[kind][split])
    return {raw[at : at + 6] for at in range(0, len(raw), 6)}


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


def test_training_lists_every_film_and_patient_by_split(run_folder: Path) -> None:
    manifest = Manifest.read(run_folder / "manifest.csv")
    seen = json.loads((run_folder / "bundle" / INFO_FILE).read_text())["seen"]
    salt = hashlib.sha256(f"pneumoscope seen {manifest.digest()}".encode()).hexdigest()
    assert seen["salt"] == salt
    for split in SPLITS:
        part = manifest.subset(split)
        # Not the table's digests: those of the files as they are.
        contents = (hashlib.sha256(path.read_bytes()).hexdigest() for path in part.paths())
        assert listed(seen, "radiographs", split) == {
            hashlib.sha256(f"{salt} radiograph {content}".encode()).digest()[:6]
            for content in contents
        }
        assert listed(seen, "patients", split) == {
            hashlib.scrypt(
                patient.encode(), salt=f"{salt} patient".encode(), n=1024, r=8, p=1, dklen=6
            )
            for patient in part.patients()
        }


def test_neither_names_nor_digests_of_files_can_be_read(run_folder: Path) -> None:
    text = (run_folder / "bundle" / INFO_FILE).read_text()
    table = Manifest.read(run_folder / "manifest.csv").table
    for column in ("image", "patient", "sha256"):
        assert not any(value[:12] in text for value in table[column] if len(value) >= 12)


def test_each_is_found_in_its_own_split_and_others_nowhere() -> None:
    films, patients = files(4, "film"), ["1", "2", "Müller", "4"]
    seen = SeenInfo.of(
        "d",
        {"train": films[:2], "val": [films[2]], "test": [films[3], films[0]]},
        {"train": patients[:2], "val": [patients[2]], "test": ["", patients[3]]},
    )
    # A radiograph in two splits counts for the one that says more against it.
    found = seen.splits_of_radiographs([*reversed(films), "0" * 64, films[0]])
    assert found == ["test", "val", "train", "train", None, "train"]
    assert seen.splits_of_patients(["Müller", "4", "5", "", "1"]) == [
        "val", "test", None, None, "train"
    ]  # fmt: skip
    assert SeenInfo.model_validate_json(seen.model_dump_json()) == seen


def test_the_same_cohort_gives_the_same_list_and_another_one_shares_nothing() -> None:
    own = {split: files(5, split) for split in SPLITS}
    keys = {split: [f"{split} {index}" for index in range(3)] for split in SPLITS}
    first, again, other = (SeenInfo.of(digest, own, keys) for digest in ("a", "a", "b"))
    assert first == again
    for kind in ("radiographs", "patients"):
        for split in SPLITS:
            ours, theirs = (listed(each.model_dump(), kind, split) for each in (first, other))
            assert len(ours) in (3, 5) and not ours & theirs


def test_ten_thousand_films_fit_into_a_few_hundred_kilobytes_and_meet_none_by_chance() -> None:
    seen = SeenInfo.of(
        "d",
        {"train": files(10_000, "ours"), "val": [], "test": []},
        {split: [] for split in SPLITS},
    )
    assert len(seen.model_dump_json()) < 100_000
    assert set(seen.splits_of_radiographs(files(10_000, "theirs"))) == {None}
    assert set(seen.splits_of_radiographs(files(10_000, "ours"))) == {"train"}


def test_a_joined_cohort_has_the_patients_of_its_parts(run_folder: Path) -> None:
    manifest = Manifest.read(run_folder / "manifest.csv")
    table = manifest.table.copy()
    table.loc[0, "patient"] = "file:no one knows.png"
    one = replace(manifest, table=table)
    # Other files: a file that both hold would show that their patients are one.
    renamed = manifest.table.assign(sha256="", image="others/" + manifest.table["image"])
    joint = join([("a", one), ("b", replace(manifest, table=renamed))])
    assert joint.table["patient"].str.startswith(("a:", "b:")).all()
    assert joint.patient_keys() == [*one.patient_keys(), *manifest.patient_keys()]
    assert one.patient_keys()[0] == "" and one.patient_keys()[1] == table.loc[1, "patient"]


def test_an_old_bundle_gets_its_list_and_nothing_else_changes(
    bundle: Path, run_folder: Path
) -> None:
    info = json.loads((bundle / INFO_FILE).read_text())
    seen = info.pop("seen")
    (bundle / INFO_FILE).write_text(json.dumps(info))
    graph = b"\x08\x0a\x3a\x00"
    old = read_bundle(bundle)[1]
    assert old.seen is None
    write_onnx(bundle / "model.onnx", graph, old)
    result = CliRunner().invoke(
        app, ["card", str(bundle), "--trained-on", str(run_folder / "manifest.csv")]
    )
    assert result.exit_code == 0, result.output
    assert json.loads((bundle / INFO_FILE).read_text()) == {**info, "seen": seen}
    file = read_onnx(bundle / "model.onnx")
    assert file.info == read_bundle(bundle)[1]
    assert unseal(file.model) == graph
    assert amend_bundle(bundle / "model.onnx", seen=SeenInfo.model_validate(seen)) == [
        bundle / "model.onnx"
    ]
    assert read_onnx(bundle / "model.onnx").model == file.model


def test_the_list_of_another_cohort_is_refused(bundle: Path, run_folder: Path) -> None:
    before = (bundle / INFO_FILE).read_bytes()
    other = bundle.parent / "other.csv"
    manifest = Manifest.read(run_folder / "manifest.csv")
    replace(manifest, table=manifest.table.iloc[1:].reset_index(drop=True)).write(other)
    result = CliRunner().invoke(app, ["card", str(bundle), "--trained-on", str(other)])
    assert isinstance(result.exception, EvaluationError)
    assert "not the cohort" in str(result.exception)
    assert (bundle / INFO_FILE).read_bytes() == before


@pytest.mark.parametrize("text", ["AAAAAAA=", "AAAA", "!"])
def test_a_list_that_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SeenInfo(salt="0" * 64, radiographs={"train": text}, patients={})
