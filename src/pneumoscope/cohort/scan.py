"""Scanning: from a folder or CSV to a manifest and its audit, every file read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pneumoscope.cohort.audit import Audit, Unreadable
from pneumoscope.cohort.duplicates import equal_bytes, near_pairs, thumbnail
from pneumoscope.cohort.evidence import Evidence, make_audit
from pneumoscope.cohort.formats.choice import UNION, Choice
from pneumoscope.cohort.formats.finding_columns import FindingColumns
from pneumoscope.cohort.formats.names import matched
from pneumoscope.cohort.formats.words import NONE_FOUND, SOME_FOUND
from pneumoscope.cohort.labels import infer_labels
from pneumoscope.cohort.layout import OFFICIAL, Listing, list_cohort
from pneumoscope.cohort.manifest import SEED, Manifest, ordered_columns
from pneumoscope.cohort.original_sizes import read_sizes
from pneumoscope.cohort.patients import Identity, compile_pattern, identify, require_matches
from pneumoscope.cohort.sidecar import audit_path
from pneumoscope.cohort.split import (
    EXCLUDED,
    FRACTIONS,
    SPLITS,
    check_fractions,
    patient_groups,
    split_rows,
    split_rows_keeping_test,
)
from pneumoscope.cohort.tables import unwritable
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import CohortError, ImageError, SettingsError
from pneumoscope.files import sha256_file
from pneumoscope.imaging import read_radiograph

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScanSettings:
    """How a cohort is scanned.

    Args:
        seed: decides who goes into which split.
        fractions: shares of train, val and test among patients.
        keep_official: keep the set's own test part as test, draw val from the rest, and exclude
            from training the patients that are also in test.
        patient_pattern: regular expression searched in the path below the root; its first group
            (or the whole match) is the patient.
        positive: the positive label; inferred from the words when None.
        workers: threads that read files; one per available core when None.
        sizes: a CSV of radiographs that were stored squashed, see `read_sizes`; the sizes become
            columns of the manifest.
        negative: with `positive`, which findings of a table make a radiograph negative; both may
            be several, joined by `|`, and other radiographs are left out.
        readers: of several readers `union`, `majority` or one by name, see `Choice`.
        label_column: the column with the labels, for a table that is no known format.
        images: the folder of the radiographs, if it is not the table's.
        findings: several findings, each to become a column of the manifest, as
            `FindingColumns.parse` reads them; no radiograph is left out that says anything of them.

    Raises:
        SettingsError: a value is out of range.
    """

    seed: int = SEED
    fractions: tuple[float, float, float] = FRACTIONS
    keep_official: bool = False
    patient_pattern: str | None = None
    positive: str | None = None
    workers: int | None = None
    sizes: Path | None = None
    negative: str | None = None
    readers: str = UNION
    label_column: str | None = None
    images: Path | None = None
    findings: str | None = None

    @property
    def choice(self) -> Choice:
        """What is taken from a table of the field."""
        several = None if self.findings is None else FindingColumns.parse(self.findings)
        return Choice(self.positive, self.negative, self.readers, self.label_column, several)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", check_fractions(self.fractions))
        compile_pattern(self.patient_pattern)
        if self.choice.findings is not None and (self.positive or self.negative):
            raise SettingsError(
                "several findings have no single positive and negative label",
                remedy="leave positive and negative out, or findings",
            )
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"{self.workers} workers cannot read files", remedy="use 1 or more")


@dataclass(frozen=True)
class ScanResult:
    """The manifest of the readable radiographs, and what was noticed on the way."""

    manifest: Manifest
    audit: Audit

    def write(self, path: Path) -> None:
        """Write the manifest with its sidecar and, beside it, the audit.

        Raises:
            CohortError, OutputError: see `Manifest.write`.
        """
        self.manifest.write(path)
        self.audit.write(audit_path(path))


@dataclass(frozen=True)
class _Film:
    """What is kept of a radiograph: digest, size in pixels, raw DICOM PatientID, thumbnail."""

    sha256: str
    width: int
    height: int
    patient: str | None
    thumbnail: NDArray[np.uint8]


def scan(
    path: Path, settings: ScanSettings | None = None, progress: Progress | None = None
) -> ScanResult:
    """Read every radiograph of a cohort once; find patients, duplicates and splits.

    Nothing is written. The result depends on the files and the settings alone, not on the order
    in which files are found or read.

    Args:
        path: a folder (`train|val|test/LABEL/...` or `LABEL/...`), a CSV with `image,label`
            and, if known, `patient` and any other columns, or a table of the field.
        settings: the defaults when None.
        progress: called with (files read, files in all) in the calling thread.

    Raises:
        CohortError: nothing to scan, more than two labels, no official test part to keep, or
            a patient pattern that matches nothing. Files that cannot be read are listed in the
            audit instead.
    """
    settings = settings or ScanSettings()
    listing = list_cohort(path, settings.choice, settings.images)
    labels = _labels(listing, settings, path)
    if settings.keep_official:
        _check_official(listing.official or [], path)
    read = _read_all(listing, settings.workers, progress)
    films = [film for film in read if isinstance(film, _Film)]
    unreadable = [film for film in read if isinstance(film, Unreadable)]
    if not films:
        raise CohortError(
            f"none of {len(read)} radiographs can be read; the first, {unreadable[0].image}, "
            f"{unreadable[0].reason}",
            path=path,
            remedy="check the folder and the formats (PNG, JPEG, TIFF, DICOM)",
        )
    usable = [isinstance(film, _Film) for film in read]
    table = listing.table[usable].reset_index(drop=True)
    identities = _identify(table, films, settings)
    table["patient"] = [identity.patient for identity in identities]
    table["sha256"] = [film.sha256 for film in films]
    table["width"] = [film.width for film in films]
    table["height"] = [film.height for film in films]
    byte_groups, near_groups = _duplicates(films)
    groups = _groups(table, [*byte_groups, *(group for group, _ in near_groups)])
    if settings.sizes is not None:
        _add_sizes(table, settings.sizes)
    table["split"] = _split(table, groups, labels[1], settings)
    manifest = Manifest(ordered_columns(table), listing.root, labels, settings.seed)
    evidence = Evidence(
        rules=[identity.rule for identity in identities],
        groups=groups,
        byte_groups=byte_groups,
        near_groups=near_groups,
        unreadable=unreadable,
        ignored=listing.ignored,
        left_out=listing.left_out,
        recognised=listing.format,
        patterned=settings.patient_pattern is not None,
    )
    return ScanResult(manifest, make_audit(manifest, evidence))


def _labels(listing: Listing, settings: ScanSettings, path: Path) -> tuple[str, str]:
    if settings.findings is not None:
        return NONE_FOUND, SOME_FOUND
    found, positive = set(listing.table["label"]), settings.positive
    try:
        # Findings and truth values that became NORMAL and PNEUMONIA are no labels themselves.
        return infer_labels(found, None if listing.sorted else positive)
    except CohortError as error:
        raise CohortError(error.problem, path=path, remedy=error.remedy) from error


def _add_sizes(table: pd.DataFrame, path: Path) -> None:
    """Add the columns of original sizes; radiographs that the CSV does not name have none.

    Folders and suffixes of its names may be missing.
    """
    known = read_sizes(path)
    names = matched(table["image"], known, path)
    sizes = [known[names[image]] if image in names else None for image in table["image"]]
    if not any(sizes):
        raise CohortError(
            "names none of these radiographs",
            path=path,
            remedy="give names as they stand in the manifest; folder and suffix may be missing",
        )
    table["orig_width"] = [str(size[1]) if size else "" for size in sizes]
    table["orig_height"] = [str(size[0]) if size else "" for size in sizes]


def _check_official(parts: Sequence[str], path: Path) -> None:
    if "test" not in parts:
        raise CohortError(
            "has no official test part to keep",
            path=path,
            remedy="scan without it, or give a test folder or a split column",
        )
    strange = sorted(set(parts) - {*SPLITS, EXCLUDED})
    if strange:
        raise CohortError(
            f"cannot keep official parts it does not know ({strange[0]!r})",
            path=path,
            remedy="use train, val or test in the split column",
        )


def _read_all(
    listing: Listing, workers: int | None, progress: Progress | None
) -> list[_Film | Unreadable]:
    """Read all files, in the order of the listing.

    Threads suffice: decoding, hashing and resizing release the interpreter's lock.
    """
    images = list(listing.table["image"])
    read: dict[int, _Film | Unreadable] = {}
    pool = ThreadPoolExecutor(workers or available_cpus())
    try:
        jobs = {pool.submit(_read, listing.root, image): i for i, image in enumerate(images)}
        for job in as_completed(jobs):
            read[jobs[job]] = job.result()
            if progress is not None:
                progress(len(read), len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return [read[i] for i in range(len(images))]


def _read(root: Path, image: str) -> _Film | Unreadable:
    if reason := unwritable(image):
        return Unreadable(image, reason)
    path = root / image
    try:
        radiograph = read_radiograph(path)
        digest = sha256_file(path)
    except ImageError as error:
        return Unreadable(image, error.problem)
    except OSError as error:
        return Unreadable(image, f"cannot be read ({error.strerror or error})")
    return _Film(
        sha256=digest,
        width=radiograph.width,
        height=radiograph.height,
        patient=radiograph.patient,
        thumbnail=thumbnail(radiograph.pixels),
    )


def _identify(
    table: pd.DataFrame, films: Sequence[_Film], settings: ScanSettings
) -> list[Identity]:
    pattern = compile_pattern(settings.patient_pattern)
    stated = table["patient"] if "patient" in table.columns else [""] * len(table)
    identities = [
        identify(image, column=column, dicom_id=film.patient, pattern=pattern)
        for image, column, film in zip(table["image"], stated, films, strict=True)
    ]
    require_matches(pattern, [identity.rule for identity in identities])
    return identities


def _duplicates(
    films: Sequence[_Film],
) -> tuple[list[list[int]], list[tuple[list[int], float]]]:
    """Groups of equal files, and groups of equal pictures with their smallest similarity.

    Equal pictures are looked for among one file of each set of equal files.
    """
    byte_groups = equal_bytes([film.sha256 for film in films])
    repeated = {index for group in byte_groups for index in group[1:]}
    single = [index for index in range(len(films)) if index not in repeated]
    pairs = near_pairs(np.stack([films[index].thumbnail for index in single]))
    names = {index: f"{index:09d}" for index in single}
    linked = [(names[single[pair.first]], names[single[pair.second]]) for pair in pairs]
    roots = patient_groups(names.values(), linked)
    lowest: dict[str, float] = {}
    for (first, _), pair in zip(linked, pairs, strict=True):
        lowest[roots[first]] = min(lowest.get(roots[first], 1.0), pair.similarity)
    members: dict[str, list[int]] = {root: [] for root in lowest}
    for index, name in names.items():
        if roots[name] in members:
            members[roots[name]].append(index)
    return byte_groups, [(members[root], lowest[root]) for root in members]


def _groups(table: pd.DataFrame, duplicates: Sequence[Sequence[int]]) -> list[str]:
    """The split group of each radiograph: its patient, and whoever shares a radiograph with it."""
    patients = list(table["patient"])
    together = [[patients[index] for index in group] for group in duplicates]
    roots = patient_groups(patients, together)
    return [roots[patient] for patient in patients]


def _split(
    table: pd.DataFrame, groups: list[str], positive: str, settings: ScanSettings
) -> list[str]:
    is_positive = [label == positive for label in table["label"]]
    if settings.keep_official:
        return split_rows_keeping_test(
            groups,
            is_positive,
            list(table[OFFICIAL]),
            fractions=settings.fractions,
            seed=settings.seed,
        )
    return split_rows(groups, is_positive, fractions=settings.fractions, seed=settings.seed)
