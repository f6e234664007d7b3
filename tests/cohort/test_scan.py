from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pneumoscope.cohort import EXCLUDED, Manifest, ScanSettings, scan
from pneumoscope.errors import CohortError, SettingsError
from pneumoscope.files import sha256_file

from .films import film, kermany, save, save_dicom


def _splits(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.table["image"], manifest.table["split"], strict=True))


def test_label_folders(tmp_path: Path) -> None:
    root = kermany(tmp_path)
    calls: list[tuple[int, int]] = []
    result = scan(root, progress=lambda done, total: calls.append((done, total)))
    manifest, audit = result.manifest, result.audit
    assert list(manifest.table.columns[:7]) == [
        *("image", "label", "patient", "split", "sha256", "width", "height"),
    ]
    assert manifest.labels == ("NORMAL", "PNEUMONIA")
    assert (audit.total.radiographs, audit.total.patients) == (22, 14)
    assert audit.by_label["PNEUMONIA"].patients == 8
    assert audit.identity == {"kermany": 22}
    assert audit.duplicates == ()
    assert audit.warnings == ()
    assert calls == [(k + 1, 22) for k in range(22)]
    row = manifest.table.iloc[0]
    assert row["sha256"] == sha256_file(root / row["image"])
    assert (row["width"], row["height"]) == (96, 96)
    assert sum(part.total.radiographs for part in audit.by_split.values()) == 22
    assert EXCLUDED not in audit.by_split


def test_the_order_of_files_and_the_number_of_threads_do_not_matter(tmp_path: Path) -> None:
    root = kermany(tmp_path / "films")
    first = scan(root, ScanSettings(workers=1))
    rows = first.manifest.table[["image", "label"]].iloc[::-1]
    rows.to_csv(root / "list.csv", index=False)
    second = scan(root / "list.csv", ScanSettings(workers=3))
    assert _splits(first.manifest) == _splits(second.manifest)
    assert first.manifest.digest() == second.manifest.digest()
    # A CSV keeps its own order.
    assert list(second.manifest.table["image"]) == list(rows["image"])


def test_official_folders_are_split_anew_unless_kept(tmp_path: Path) -> None:
    kermany(tmp_path / "train")
    for k in (2, 50):
        save(tmp_path / "test" / "PNEUMONIA" / f"person{k}_virus_99.png", film(5000 + k))
    for k in (50, 51):
        save(tmp_path / "test" / "NORMAL" / f"IM-{k:04d}-0001.png", film(6000 + k))
    save(tmp_path / "val" / "NORMAL" / "NORMAL2-IM-0050-0001.png", film(7000))

    anew = scan(tmp_path)
    assert set(anew.manifest.table["official"]) == {"train", "val", "test"}
    assert anew.audit.official_overlap == ("person2",)
    assert EXCLUDED not in set(anew.manifest.table["split"])

    kept = scan(tmp_path, ScanSettings(keep_official=True))
    table = kept.manifest.table
    assert set(table.loc[table["split"] == "test", "official"]) == {"test"}
    assert (table["official"] == "test").sum() == (table["split"] == "test").sum() == 4
    excluded = table[table["split"] == EXCLUDED]
    assert set(excluded["patient"]) == {"person2"}
    assert kept.audit.by_split[EXCLUDED].total.radiographs == len(excluded) == 2
    assert any("2 radiographs of 1 patients are excluded" in w for w in kept.audit.warnings)
    assert {"train", "val"} <= set(table["split"])
    # NORMAL2-IM-0050 and IM-0050 are two children.
    assert _splits(kept.manifest)["val/NORMAL/NORMAL2-IM-0050-0001.png"] in ("train", "val")

    kept.manifest.write(tmp_path / "cohort.csv")
    again = scan(tmp_path / "cohort.csv", ScanSettings(keep_official=True))
    assert again.manifest.digest() == kept.manifest.digest()
    assert len(kept.manifest.subset("all")) == len(table) - 2


def test_a_copy_in_the_official_test_part_excludes_its_other_patient(tmp_path: Path) -> None:
    kermany(tmp_path / "train")
    save(tmp_path / "test" / "NORMAL" / "IM-0900-0001.png", film(9000))
    save(tmp_path / "test" / "PNEUMONIA" / "person900_virus_1.jpg", film(1030), quality=60)
    kept = scan(tmp_path, ScanSettings(keep_official=True))
    assert kept.audit.merged_patients == (("person3", "person900"),)
    (group,) = kept.audit.groups("near")
    assert (group.crosses_patients, group.crosses_official) == (True, True)
    table = kept.manifest.table
    assert set(table.loc[table["split"] == EXCLUDED, "patient"]) == {"person3"}


def test_duplicates_join_patients_and_never_straddle(tmp_path: Path) -> None:
    root = kermany(tmp_path, normals=20, pneumonias=20)
    normal = root / "NORMAL"
    shutil.copy(normal / "IM-0001-0001.png", normal / "IM-0002-0002.png")
    save(normal / "IM-0003-0002.jpg", film(2), quality=70)  # IM-0002's radiograph again
    shutil.copy(normal / "IM-0004-0001.png", root / "PNEUMONIA" / "person5_virus_77.png")
    for seed in range(4):
        result = scan(root, ScanSettings(seed=seed))
        audit = result.audit
        assert audit.merged_patients == (("IM-0001", "IM-0002", "IM-0003"), ("IM-0004", "person5"))
        for group in audit.duplicates:
            assert len(group.splits) == 1
        per_patient = result.manifest.table.groupby("patient")["split"].unique()
        assert (per_patient.map(len) == 1).all()
    byte = audit.groups("byte")
    assert [group.crosses_labels for group in byte] == [False, True]
    assert byte[1].patients == ("IM-0004", "person5")
    (near,) = audit.groups("near")
    assert near.images == ("NORMAL/IM-0002-0001.png", "NORMAL/IM-0003-0002.jpg")
    assert 0.8 <= near.similarity < 1
    assert any("both labels" in warning for warning in audit.warnings)
    assert any("3 duplicate groups cross patients" in warning for warning in audit.warnings)


def test_a_patient_with_both_labels_is_reported_and_keeps_them(tmp_path: Path) -> None:
    root = kermany(tmp_path)
    save(root / "NORMAL" / "person3_virus_9.png", film(400))
    result = scan(root)
    assert result.audit.mixed_patients == ("person3",)
    table = result.manifest.table
    assert set(table.loc[table["patient"] == "person3", "label"]) == {"NORMAL", "PNEUMONIA"}
    assert table.loc[table["patient"] == "person3", "split"].nunique() == 1


def test_files_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    root = kermany(tmp_path)
    whole = (root / "NORMAL" / "IM-0000-0001.png").read_bytes()
    (root / "NORMAL" / "broken.png").write_bytes(whole[: len(whole) // 2])
    (root / "NORMAL" / "empty.jpeg").write_bytes(b"")
    (root / "NORMAL" / "notes.txt").write_text("x")
    (root / "NORMAL" / ".DS_Store").write_text("x")
    (root / "__MACOSX" / "NORMAL").mkdir(parents=True)
    result = scan(root)
    assert [bad.image for bad in result.audit.unreadable] == [
        "NORMAL/broken.png",
        "NORMAL/empty.jpeg",
    ]
    assert result.audit.unreadable[1].reason == "is empty (0 bytes)"
    assert result.audit.ignored == ("NORMAL/notes.txt",)
    assert len(result.manifest) == 22
    assert any("2 files cannot be used" in warning for warning in result.audit.warnings)


def test_findings_that_were_written_into_a_set_are_no_label(tmp_path: Path) -> None:
    root = kermany(tmp_path)
    before = scan(root).manifest.table
    for findings in (root / "findings", root / "NORMAL" / "findings"):
        findings.mkdir()
        save(findings / "heatmap.png", film(99))
        (findings / "predict.json").write_text("{}")
    pd.testing.assert_frame_equal(scan(root).manifest.table, before)


def test_a_csv_with_patients_and_extras(tmp_path: Path) -> None:
    for k in range(12):
        save(tmp_path / "films" / f"{k}.png", film(k))
    rows = [f"films/{k}.png,{k % 2},pat{k // 2},0{k}" for k in range(12)]
    rows.append("films/gone.png,1,pat9,00")
    (tmp_path / "list.csv").write_text("image,label,patient,age\n" + "\n".join(rows) + "\n")
    result = scan(tmp_path / "list.csv")
    assert result.manifest.labels == ("NORMAL", "PNEUMONIA")
    assert list(result.manifest.table["age"]) == [f"0{k}" for k in range(12)]
    assert result.audit.total.patients == 6
    assert result.audit.identity == {"column": 12}
    assert [bad.image for bad in result.audit.unreadable] == ["films/gone.png"]
    assert len(result.audit.mixed_patients) == 6


def test_sizes_name_radiographs_without_folder_and_suffix(tmp_path: Path) -> None:
    for name in ("A/a.png", "B/b.png", "B/c.png"):
        save(tmp_path / "films" / name, film(ord(name[-5])))
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("image_id,dim0,dim1,split\na,1317,1857,train\nc,900,800,train\nd,1,1,test\n")
    settings = ScanSettings(sizes=sizes, positive="B")
    found = scan(tmp_path / "films", settings)
    (warning,) = (text for text in found.audit.warnings if "original size" in text)
    assert warning.startswith("1 of 3 radiographs") and warning.endswith("B/b.png")
    table = found.manifest.table.set_index("image")
    assert table["orig_width"].to_dict() == {"A/a.png": "1857", "B/b.png": "", "B/c.png": "800"}
    assert table["orig_height"].to_dict() == {"A/a.png": "1317", "B/b.png": "", "B/c.png": "900"}
    sizes.write_text("image_id,dim0,dim1\na,1317,1857\nb,10,10\nc,900,800\n")
    assert not any(
        "original size" in text for text in scan(tmp_path / "films", settings).audit.warnings
    )
    sizes.write_text("image,orig_width,orig_height\nx.png,10,10\n")
    with pytest.raises(CohortError, match="names none of these radiographs"):
        scan(tmp_path / "films", settings)


def test_dicom_patients_group_and_stay_secret(tmp_path: Path) -> None:
    for k in range(8):
        label = "NORMAL" if k < 4 else "PNEUMONIA"
        save_dicom(tmp_path / label / f"{k}.dcm", film(k), f"SECRET{k // 2}")
    result = scan(tmp_path)
    assert result.audit.total.patients == 4
    assert result.audit.identity == {"dicom": 8}
    result.manifest.write(tmp_path / "out" / "cohort.csv")
    result.audit.write(tmp_path / "out" / "audit.json")
    for written in (tmp_path / "out").iterdir():
        assert "SECRET" not in written.read_text()
    assert "SECRET" not in repr(result.audit)


def test_a_pattern_names_patients(tmp_path: Path) -> None:
    for k in range(6):
        save(tmp_path / "NORMAL" / f"pt{k // 2}_{k}.png", film(k))
        save(tmp_path / "PNEUMONIA" / f"pt{3 + k // 2}_{k}.png", film(100 + k))
    fallback = scan(tmp_path)
    assert fallback.audit.identity == {"file": 12}
    assert "12 of 12 radiographs count as their own patient" in fallback.audit.warnings[0]
    named = scan(tmp_path, ScanSettings(patient_pattern=r"/(pt\d+)_"))
    assert named.audit.total.patients == 6
    assert named.audit.warnings == ()
    with pytest.raises(CohortError, match="matches no radiograph"):
        scan(tmp_path, ScanSettings(patient_pattern="subject"))


def test_one_identifier_for_everybody_is_warned_about(tmp_path: Path) -> None:
    for k in range(60):
        label = "NORMAL" if k % 2 else "PNEUMONIA"
        save_dicom(tmp_path / label / f"{k}.dcm", film(k, side=64), "ANONYMOUS")
    warnings = scan(tmp_path).audit.warnings
    assert any("has 60 of 60 radiographs" in warning for warning in warnings)
    assert "test has no NORMAL radiograph" in warnings


def test_unpacked_archives_and_deeper_folders(tmp_path: Path) -> None:
    kermany(tmp_path / "archive" / "chest_xray" / "train", normals=3, pneumonias=3)
    save(tmp_path / "archive" / "chest_xray" / "test" / "NORMAL" / "a" / "b.png", film(77))
    save(tmp_path / "archive" / "chest_xray" / "test" / "stray.png", film(78))
    result = scan(tmp_path)
    assert result.manifest.root == tmp_path / "archive" / "chest_xray"
    assert "test/NORMAL/a/b.png" in set(result.manifest.table["image"])
    assert result.audit.ignored == ("test/stray.png",)


def test_linked_folders_do_not_loop(tmp_path: Path) -> None:
    root = kermany(tmp_path / "films", normals=3, pneumonias=3)
    (root / "NORMAL" / "again").symlink_to(root / "NORMAL", target_is_directory=True)
    assert scan(root).audit.by_label["NORMAL"].radiographs == 3


def test_what_cannot_be_scanned(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="does not exist"):
        scan(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match="holds no radiographs"):
        scan(tmp_path / "empty")
    save(tmp_path / "one" / "images" / "a.png", film(1))
    with pytest.raises(CohortError, match="only one label"):
        scan(tmp_path / "one")
    kermany(tmp_path / "three")
    save(tmp_path / "three" / "COVID" / "a.png", film(1))
    with pytest.raises(CohortError, match="COVID, NORMAL, PNEUMONIA"):
        scan(tmp_path / "three")
    with pytest.raises(CohortError, match="no official test part"):
        scan(kermany(tmp_path / "plain"), ScanSettings(keep_official=True))
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "bad" / label).mkdir(parents=True)
        (tmp_path / "bad" / label / "a.png").write_bytes(b"no image")
    with pytest.raises(CohortError, match="none of 2 radiographs can be read"):
        scan(tmp_path / "bad")


def test_official_parts_of_a_csv(tmp_path: Path) -> None:
    for k in range(8):
        save(tmp_path / f"{k}.png", film(k))
    rows = [f"{k}.png,{k % 2},p{k},{'test' if k < 2 else 'fold1'}" for k in range(8)]
    (tmp_path / "c.csv").write_text("image,label,patient,split\n" + "\n".join(rows) + "\n")
    assert list(scan(tmp_path / "c.csv").manifest.table["official"])[1:3] == ["test", "fold1"]
    with pytest.raises(CohortError, match="does not know \\('fold1'\\)"):
        scan(tmp_path / "c.csv", ScanSettings(keep_official=True))


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="add up to 1"):
        ScanSettings(fractions=(0.5, 0.5, 0.5))
    with pytest.raises(SettingsError, match="regular expression"):
        ScanSettings(patient_pattern="(")
    with pytest.raises(SettingsError, match="0 workers"):
        ScanSettings(workers=0)


def test_a_failing_progress_stops_the_scan(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(kermany(tmp_path), progress=stop)


def test_the_audit_is_json_and_a_table(tmp_path: Path) -> None:
    root = kermany(tmp_path / "films")
    shutil.copy(root / "NORMAL" / "IM-0001-0001.png", root / "NORMAL" / "IM-0001-0002.png")
    audit = scan(root).audit
    audit.write(tmp_path / "audit.json")
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["version"] == 1
    assert content["total"] == {"radiographs": 23, "patients": 14}
    assert content["by_split"]["train"]["total"]["patients"] > 0
    assert content["duplicates"][0]["kind"] == "byte"
    assert content["duplicates"][0]["crosses_patients"] is False
    assert content["sizes"]["NORMAL"]["median"] == [96, 96]
    lines = dict(audit.summary())
    assert lines["radiographs"] == "23 of 14 patients"
    assert lines["identical files"].startswith("1 groups, 0 across patients")


def test_stratified_within_a_point_where_the_cohort_is_large(tmp_path: Path) -> None:
    """Splitting is tested on a table: 4,000 patients, 30 % of them negative."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(4000):
        label = "NORMAL" if k % 10 < 3 else "PNEUMONIA"
        rows += [f"{k}_{v}.png,{label},p{k}" for v in range(rng.integers(1, 6))]
    (tmp_path / "c.csv").write_text("image,label,patient\n" + "\n".join(rows) + "\n")
    patients = Manifest.read(tmp_path / "c.csv").table.drop_duplicates("patient")
    share = (patients["label"] == "PNEUMONIA").groupby(patients["split"]).mean()
    assert ((share - 0.7).abs() < 0.01).all()
    sizes = patients["split"].value_counts(normalize=True)
    assert sizes["train"] == pytest.approx(0.7, abs=0.001)


@pytest.mark.parametrize(
    ("positive", "negative", "counts", "left_out"),
    [
        ("bacteria|VIRUS", "Normal", (1, 2), 1),
        ("virus", "normal|other", (2, 1), 1),
        (None, "normal", (1, 3), 0),
        ("bacteria|virus|other", None, (1, 3), 0),
    ],
)
def test_label_folders_are_grouped(
    tmp_path: Path,
    positive: str | None,
    negative: str | None,
    counts: tuple[int, int],
    left_out: int,
) -> None:
    for seed, label in enumerate(("NORMAL", "BACTERIA", "VIRUS", "OTHER")):
        save(tmp_path / label / "a.png", film(seed))
    found = scan(tmp_path, ScanSettings(positive=positive, negative=negative))
    targets = found.manifest.targets()
    assert found.manifest.labels == ("NORMAL", "PNEUMONIA")
    assert (int((targets == 0).sum()), int(targets.sum())) == counts
    assert sum(found.audit.left_out.values()) == left_out


def test_label_folders_that_cannot_be_grouped_are_named(tmp_path: Path) -> None:
    for seed, label in enumerate(("A", "B", "C", "D")):
        save(tmp_path / label / "a.png", film(seed))
    with pytest.raises(CohortError, match=r"no label folder 'X'.*--negative among A, B, C, D"):
        scan(tmp_path, ScanSettings(positive="A|B", negative="X"))
    with pytest.raises(CohortError, match=r"2 labels are left .* \(C, D\).*--negative"):
        scan(tmp_path, ScanSettings(positive="A|B"))
