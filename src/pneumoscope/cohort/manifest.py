"""The manifest: the table of a cohort, its root and its labels (contract 1 of the architecture)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pneumoscope.cohort.formats.choice import UNION, Choice
from pneumoscope.cohort.formats.cohorts import cohort_rows, found_files
from pneumoscope.cohort.formats.finding_columns import state_of
from pneumoscope.cohort.formats.words import (
    NEGATIVE,
    POSITIVE,
    finding_key,
    truth,
    without_truth_values,
)
from pneumoscope.cohort.labels import infer_labels
from pneumoscope.cohort.patients import bare_key, dicom_patient_id, identify
from pneumoscope.cohort.sidecar import Sidecar, read_sidecar, sidecar_path, write_sidecar
from pneumoscope.cohort.split import EXCLUDED, SPLITS, split_rows
from pneumoscope.cohort.tables import COLUMNS, read_table
from pneumoscope.errors import CohortError
from pneumoscope.files import atomic_path, sha256_file

SEED = 42

_SPLIT_NAMES = {name: name for name in (*SPLITS, EXCLUDED)} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}


@dataclass(frozen=True, eq=False, repr=False)
class Manifest:
    """The radiographs of a cohort with label, patient and split.

    Args:
        table: one row per radiograph; columns `image` (path below the root, `/` separated),
            `label`, `patient`, `split` (train, val, test or excluded), `sha256` (hex, "" when not
            computed), `width`, `height` (int pixels, 0 when not known), then any others. All but
            width and height are strings.
        root: the folder the images lie in, made absolute (links resolved).
        labels: (negative, positive).
        seed: the seed of the split.

    Raises:
        CohortError: a column is missing, or a label or split is unknown.
    """

    table: pd.DataFrame
    root: Path
    labels: tuple[str, str]
    seed: int = SEED

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).resolve())
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            raise CohortError(f"the manifest lacks the columns {', '.join(missing)}")
        strange = sorted(set(self.table["label"]) - set(self.labels))
        if strange:
            raise CohortError(
                f"the manifest has labels ({', '.join(strange[:5])}) other than "
                f"{self.labels[0]} and {self.labels[1]}",
                remedy="correct the labels in the CSV, or in the JSON file beside it",
            )
        strange = sorted(set(self.table["split"]) - {*SPLITS, EXCLUDED})
        if strange:
            raise CohortError(
                f"the manifest has unknown splits ({', '.join(map(repr, strange[:5]))})",
                remedy=f"use {', '.join(SPLITS)} or {EXCLUDED}",
            )

    def __repr__(self) -> str:
        patients = self.table["patient"].nunique()
        return f"<Manifest of {len(self)} radiographs of {patients} patients: {self.labels}>"

    @classmethod
    def read(
        cls,
        path: Path,
        *,
        choice: Choice | None = None,
        images: Path | None = None,
        lesions: bool = True,
    ) -> Manifest:
        """Read a manifest, any CSV with at least `image,label`, or a table of the field.

        The JSON sidecar beside it, if there is one, names root, labels and seed; else the root is
        the CSV's own folder and the labels are inferred. A patient that is missing is derived as
        `identify` does (blank `patient` column, DICOM PatientID, file names, file); a `split`
        column that is missing or blank is made by patient, stratified, 70/15/15. Missing
        `sha256`, `width` and `height` become "" and 0. Images are not opened, but for the headers
        of DICOM files without a patient.

        Args:
            path: the CSV.
            choice: the positive label, where neither sidecar nor words tell, or the findings of a
                table of the field that are positive and negative. How many radiographs are left
                out is a warning.
            images: the folder of the radiographs, if neither sidecar nor table name it.
            lesions: `choice` also says which lesions of annotations count. Then readers and
                several positive findings may be meant for those.

        Raises:
            CohortError: table or sidecar cannot be used; see `read_table` and `infer_labels`. Or
                the table was written by a scan, its sidecar is missing, and no radiograph lies
                where it would without one. Or the sidecar states the labels, and `choice` says
                how to sort them.
        """
        path = Path(path)
        if path.is_dir():
            raise CohortError(
                "is a folder and no manifest",
                path=path,
                remedy=f"make one first: pneumoscope scan {path} --out cohort.csv",
            )
        choice = choice or Choice()
        sidecar = read_sidecar(path)
        root = path.parent / sidecar.root if images is None else Path(images)
        if sidecar.labels is not None:
            _check_unsorted(choice, lesions, path)
        # A choice of findings sorts tables of the field; a manifest has been sorted.
        table, is_sorted = _read(path, choice if sidecar.labels is None else Choice(), root)
        labels, positive = sidecar.labels, choice.positive
        if labels is None and (positive is None or truth(positive)):
            table["label"] = without_truth_values(table["label"])
        named = set(labels or table["label"])
        unnamed = finding_key(positive or "") not in map(finding_key, named)
        if is_sorted or ((labels or named <= {NEGATIVE, POSITIVE}) and unnamed):
            positive = None
        try:
            if labels is None or positive is not None:
                labels = infer_labels(labels or table["label"], positive)
            table["patient"] = _patients(table, root)
            for name in ("width", "height"):
                table[name] = _integers(table, name)
            if "sha256" not in table.columns:
                table["sha256"] = ""
            table["split"] = _splits(table, labels[1], sidecar.seed)
            if images is None and sidecar == Sidecar():
                _check_scanned(table, root, sidecar_path(path))
            manifest = cls(ordered_columns(table), root, labels, sidecar.seed)
        except CohortError as error:
            raise CohortError(error.problem, path=path, remedy=error.remedy) from error
        _warn_of_straddlers(manifest.table, path)
        return manifest

    def write(self, path: Path) -> None:
        """Write the CSV and its JSON sidecar, each atomically.

        The sidecar keeps the root relative to the CSV's folder when it is near, so that both can
        be moved together; else absolute.

        Raises:
            CohortError: `path` ends in `.json`, which is the sidecar's name.
            OutputError: the files cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            raise CohortError(
                "a manifest is a CSV; the JSON file beside it is written by itself",
                path=path,
                remedy="name it for example cohort.csv",
            )
        with atomic_path(path) as temporary:
            self.table.to_csv(temporary, index=False, lineterminator="\n")
        write_sidecar(path, Sidecar(str(self.root), self.labels, self.seed))

    def subset(self, split: str) -> Manifest:
        """The radiographs of one split; "all" is train, val and test without the excluded.

        Raises:
            CohortError: the split is unknown or empty.
        """
        if split not in (*SPLITS, EXCLUDED, "all"):
            raise CohortError(
                f"there is no split {split!r}", remedy=f"use {', '.join(SPLITS)} or all"
            )
        chosen = self.table["split"].isin(SPLITS if split == "all" else [split])
        if not chosen.any():
            raise CohortError(
                f"the split {split!r} is empty",
                path=self.root,
                remedy="scan a larger cohort or use another split",
            )
        return replace(self, table=self.table[chosen].reset_index(drop=True))

    def paths(self) -> list[Path]:
        """The files, in the order of the table.

        Raises:
            CohortError: the root is no folder (manifest moved without its radiographs).
        """
        if not self.root.is_dir():
            raise CohortError(
                "the folder of the radiographs does not exist",
                path=self.root,
                remedy="move it back, or correct 'root' in the JSON file beside the manifest",
            )
        return [self.root / image for image in self.table["image"]]

    def targets(self) -> NDArray[np.int64]:
        """int64 (radiographs,): 1 for the positive label, 0 for the negative."""
        return np.asarray(self.table["label"] == self.labels[1], dtype=np.int64)

    def states(self, findings: Sequence[str]) -> NDArray[np.int64]:
        """int64 (radiographs, findings): 1 present, 0 absent, -1 not known.

        Args:
            findings: columns that say so, as `scan --findings` writes them.

        Raises:
            CohortError: there is no such column, or a cell says something else.
        """
        columns = []
        for name in findings:
            if name in COLUMNS or name not in self.table:
                extra = [str(column) for column in self.table if column not in COLUMNS]
                raise CohortError(
                    f"the cohort has no column of a finding {name!r}",
                    path=self.root,
                    remedy="make it with `pneumoscope scan --findings`, or choose among "
                    f"{', '.join(extra) or 'none'}",
                )
            cells = self.table[name].fillna("").astype(str)
            known = {cell: state_of(cell) for cell in cells.unique()}
            columns.append(cells.map(known).to_numpy(np.int64))
        return np.stack(columns, axis=1)

    def of_finding(self, name: str) -> Manifest:
        """The radiographs of which a finding is known, labelled `no NAME` or `NAME`.

        Args:
            name: as of `states`.

        Raises:
            CohortError: as of `states`, or it is known of no radiograph.
        """
        states = self.states([name])[:, 0]
        if (states < 0).all():
            raise CohortError(f"{name} is not known of any radiograph", path=self.root)
        labels = absence(name), name
        table = self.table[states >= 0].reset_index(drop=True)
        table["label"] = [labels[state] for state in states[states >= 0]]
        return replace(self, table=table, labels=labels)

    def labelled(self, labels: tuple[str, str]) -> Manifest:
        """This cohort with other labels, if one of its columns is of that finding; else itself.

        Its own labels are renamed if they are the same words, written in other case.
        """
        same = {own: label for own, label in zip(self.labels, labels, strict=True) if own != label}
        if same and all(own.casefold() == label.casefold() for own, label in same.items()):
            table = self.table.assign(label=self.table["label"].replace(same))
            return replace(self, table=table, labels=labels)
        name = labels[1]
        is_column = name in self.table.columns and name not in COLUMNS
        if labels == self.labels or labels[0] != absence(name) or not is_column:
            return self
        return self.of_finding(name)

    def weights(self) -> NDArray[np.float32] | None:
        """Weight of each radiograph in training, from the column `weight`; None without one.

        An empty cell means 1. Labels mined from reports may weigh less than those of readers.

        Raises:
            CohortError: a weight is not a number above 0.
        """
        if "weight" not in self.table:
            return None
        stated = self.table["weight"].replace("", "1").fillna("1")
        weights = pd.to_numeric(stated, errors="coerce").to_numpy(np.float32)
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
        if wrong.size:
            image = self.table["image"].iloc[wrong[0]]
            raise CohortError(
                f"the weight of {image} is {stated.iloc[wrong[0]]!r}",
                remedy="give a number above 0, or leave the cell empty for 1",
            )
        return weights

    def cohorts(self) -> NDArray[np.str_]:
        """Each radiograph's cohort (column `cohort`), `films` if there is no such column."""
        names = self.table["cohort"] if "cohort" in self.table.columns else ["films"] * len(self)
        return np.array([str(name) for name in names])

    def groups(self) -> list[str]:
        """Each radiograph's group: its set, the source within it, and its label."""
        # `join` says which set a radiograph is of; a set may itself come from several sources.
        named = [name for name in ("cohort", "source") if name in self.table]
        parts = [self.table[name].fillna("").astype(str) for name in named]
        return ["/".join(group) for group in zip(*parts, self.table["label"], strict=True)]

    def patients(self) -> list[str]:
        """The patient of each radiograph."""
        return [str(patient) for patient in self.table["patient"]]

    def patient_keys(self) -> list[str]:
        """The patient of each radiograph as its hospital calls it; "" where that is not known.

        A cohort that was joined with others has the same keys as by itself.
        """
        cohorts = self.table.get("cohort", pd.Series([""] * len(self)))
        return [bare_key(*row) for row in zip(self.patients(), map(str, cohorts), strict=True)]

    def keys_by_split(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """By split, the files' digests and the patients' keys; what was excluded is left out.

        Raises:
            CohortError: as of `digests`.
        """
        rows = list(zip(self.table["split"], self.digests(), self.patient_keys(), strict=True))
        files = {split: [digest for own, digest, _ in rows if own == split] for split in SPLITS}
        return files, {split: [key for own, _, key in rows if own == split] for split in SPLITS}

    def digests(self) -> list[str]:
        """Hex SHA-256 of each file: the table's, or computed where the table has none.

        Raises:
            CohortError: a file whose digest is missing cannot be read.
        """
        rows = zip(self.table["image"], self.table["sha256"], strict=True)
        return [str(known) or _file_digest(self.root / image) for image, known in rows]

    def __len__(self) -> int:
        return len(self.table)

    def digest(self) -> str:
        """Hex SHA-256 that identifies the data: image, label, patient, split and file digests.

        Independent of the order of rows, of the root and of extra columns. File digests that the
        table lacks are computed.

        Raises:
            CohortError: a file whose digest is missing cannot be read.
        """
        columns = ["image", "label", "patient", "split"]
        rows = self.table[columns].itertuples(index=False, name=None)
        total = hashlib.sha256()
        for fields in sorted(
            [*map(str, row), digest] for row, digest in zip(rows, self.digests(), strict=True)
        ):
            total.update((json.dumps(fields, ensure_ascii=True) + "\n").encode())
        return total.hexdigest()


def absence(finding: str) -> str:
    """The label of radiographs without a finding, where that is one of several."""
    return f"no {finding}"


def _read(path: Path, choice: Choice, root: Path) -> tuple[pd.DataFrame, bool]:
    """The table with at least `image,label`, and whether findings were sorted into two labels."""
    rows = cohort_rows(path, choice, root)
    if rows is None:
        table = read_table(path)
        if "sha256" not in table.columns:
            table["image"] = found_files(list(table["image"]), path, root)
        return table, False
    for reason, count in rows.left_out.items():
        warnings.warn(
            f"{path.name}: {count:,} radiographs {reason} are left out", UserWarning, stacklevel=3
        )
    return rows.table, rows.sorted


def ordered_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The manifest's columns first and in their order, then the others in theirs."""
    extras = [name for name in table.columns if name not in COLUMNS]
    return table[[*COLUMNS, *extras]].reset_index(drop=True)


def split_name(text: str) -> str | None:
    """train, val, test or excluded for the names people use (`valid`, `Train`); None if unknown."""
    return _SPLIT_NAMES.get(text.strip().lower())


def _patients(table: pd.DataFrame, root: Path) -> list[str]:
    stated = table["patient"] if "patient" in table.columns else [""] * len(table)
    found = [
        identify(
            image,
            column=column,
            dicom_id=None if column.strip() else dicom_patient_id(root / image),
        )
        for image, column in zip(table["image"], stated, strict=True)
    ]
    unknown = sum(identity.rule == "file" for identity in found)
    if unknown:
        warnings.warn(
            f"the patient of {unknown} of {len(found)} radiographs is not known; each counts as "
            "its own patient. Add a patient column, or scan with --patient-pattern",
            UserWarning,
            stacklevel=3,
        )
    return [identity.patient for identity in found]


def _splits(table: pd.DataFrame, positive: str, seed: int) -> list[str]:
    stated = list(table["split"]) if "split" in table.columns else []
    if any(value.strip() for value in stated):
        # An unknown name stays as it is and is refused by the manifest itself.
        return [split_name(value) or value for value in stated]
    is_positive = [label == positive for label in table["label"]]
    return split_rows(list(table["patient"]), is_positive, seed=seed)


def _check_unsorted(choice: Choice, lesions: bool, path: Path) -> None:
    """Refuse to sort the labels of a table that has been sorted."""
    given = {
        "--label-column": choice.label_column is not None,
        "--negative": choice.negative is not None,
        "--findings": choice.findings is not None,
        "--readers": not lesions and choice.readers != UNION,
        "--positive with several labels": not lesions and choice.joins_positives,
    }
    if unused := [option for option, is_given in given.items() if is_given]:
        raise CohortError(
            f"was scanned already and has its labels, so {unused[0]} changes nothing",
            path=path,
            remedy=f"leave it out, or scan the original table again with {unused[0]}",
        )


def _warn_of_straddlers(table: pd.DataFrame, path: Path) -> None:
    """Warn of patients in two splits, as official splits of public sets may have them."""
    used = table[table["split"].isin(SPLITS)]
    splits = used.groupby("patient")["split"].nunique()
    if count := int((splits > 1).sum()):
        warnings.warn(
            f"{path.name}: {count:,} of {len(splits):,} patients are in two or more splits, so "
            "figures of val and test may be too good. `pneumoscope scan` splits by patient",
            UserWarning,
            stacklevel=3,
        )


def _check_scanned(table: pd.DataFrame, root: Path, sidecar: Path) -> None:
    """Refuse a scanned table that was copied without its sidecar, away from its radiographs."""
    scanned = (table["sha256"] != "").any()
    if scanned and not any((root / image).is_file() for image in table["image"]):
        raise CohortError(
            f"none of its radiographs lies in {root}, and the {sidecar.name} of the scan, which "
            "says where they are, is not beside it",
            remedy=f"copy the manifest's JSON file, too, as {sidecar}",
        )


def _integers(table: pd.DataFrame, name: str) -> list[int]:
    if name not in table.columns:
        return [0] * len(table)
    values = []
    for text in table[name]:
        if text.strip() and not text.strip().isdecimal():
            raise CohortError(
                f"the column {name} holds {text!r}", remedy="give whole pixels or leave it blank"
            )
        values.append(int(text.strip() or 0))
    return values


def _file_digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise CohortError(
            f"cannot be read ({error.strerror or error})",
            path=path,
            remedy="move the radiographs back, or scan the cohort again",
        ) from error
