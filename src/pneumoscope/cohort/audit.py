"""The audit of a cohort: what a split by file would have hidden.

A plain record that the command line prints and `audit.json` keeps. Patients appear under their
keys; DICOM PatientIDs are hashed before they get here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pneumoscope.files import write_json

VERSION = 1


@dataclass(frozen=True)
class DuplicateGroup:
    """Radiographs that show the same exposure.

    Args:
        kind: "byte" for equal files, "near" for equal pictures in different files.
        images: their paths, two or more. A near group names one file of each set of equal ones.
        patients: the distinct patients.
        labels: the distinct labels.
        official: the distinct parts they came in, empty when the set had none.
        splits: the distinct splits they were given.
        similarity: smallest correlation of textures among the matching pairs; 1 for equal bytes.
    """

    kind: Literal["byte", "near"]
    images: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[str, ...]
    official: tuple[str, ...]
    splits: tuple[str, ...]
    similarity: float

    @property
    def crosses_patients(self) -> bool:
        """Whether it holds more than one patient."""
        return len(self.patients) > 1

    @property
    def crosses_labels(self) -> bool:
        """Whether the same exposure has both labels."""
        return len(self.labels) > 1

    @property
    def crosses_official(self) -> bool:
        """Whether the set as it came has it in more than one part."""
        return len(self.official) > 1


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class Count:
    """How many radiographs, of how many patients."""

    radiographs: int
    patients: int


@dataclass(frozen=True)
class Part:
    """One split: everything in it, and the same for each label, negative first."""

    total: Count
    by_label: dict[str, Count]


@dataclass(frozen=True)
class Audit:
    """What `scan` found.

    Args:
        total: all readable radiographs.
        by_label: the same for each label, negative first.
        by_split: the same for train, val, test, and excluded if there are any.
        identity: how many radiographs got their patient by which rule.
        duplicates: byte groups, then near groups.
        merged_patients: patients kept in one split because they share a radiograph.
        mixed_patients: patients with radiographs of both labels.
        official_overlap: patients in the set's own test part and in its train or val part.
        sizes: for each label the smallest, median and largest (width, height) in pixels. Labels
            that differ in size give a model something to learn other than disease.
        unreadable: files that are not in the manifest, and why.
        ignored: files and folders that were not looked at.
        warnings: what a person should know before training.
        left_out: how many radiographs that a table of the field names are not in the manifest, by
            reason.
        recognised: what the table is, and which findings count; "" for a folder or a plain CSV.
    """

    total: Count
    by_label: dict[str, Count]
    by_split: dict[str, Part]
    identity: dict[str, int]
    duplicates: tuple[DuplicateGroup, ...]
    merged_patients: tuple[tuple[str, ...], ...]
    mixed_patients: tuple[str, ...]
    official_overlap: tuple[str, ...]
    sizes: dict[str, dict[str, tuple[int, int]]]
    unreadable: tuple[Unreadable, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    recognised: str = ""

    def groups(self, kind: Literal["byte", "near"]) -> list[DuplicateGroup]:
        """The duplicate groups of one kind."""
        return [group for group in self.duplicates if group.kind == kind]

    def summary(self) -> list[tuple[str, str]]:
        """Name and value of each line of the table that people see, in order."""
        lines = [("recognised as", self.recognised)] if self.recognised else []
        lines.append(("radiographs", _count(self.total)))
        lines += [(label, _count(count)) for label, count in self.by_label.items()]
        for split, part in self.by_split.items():
            labels = [f"{count.radiographs:,} {label}" for label, count in part.by_label.items()]
            lines.append((split, f"{_count(part.total)} ({' + '.join(labels)})"))
        lines.append(("patient from", _listed(self.identity)))
        for kind, name in (("byte", "identical files"), ("near", "near duplicates")):
            groups = [group for group in self.duplicates if group.kind == kind]
            lines.append(
                (
                    name,
                    f"{len(groups):,} groups, {sum(g.crosses_patients for g in groups):,} across "
                    f"patients, {sum(g.crosses_labels for g in groups):,} across labels, "
                    f"{sum(g.crosses_official for g in groups):,} across official parts",
                )
            )
        lines += [
            ("patients with both labels", f"{len(self.mixed_patients):,}"),
            ("patients merged by duplicates", f"{sum(map(len, self.merged_patients)):,}"),
            ("patients in official test and train", f"{len(self.official_overlap):,}"),
            ("unreadable files", f"{len(self.unreadable):,}"),
            ("ignored files", f"{len(self.ignored):,}"),
        ]
        lines += [(f"left out {reason}", f"{count:,}") for reason, count in self.left_out.items()]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The audit as JSON types, with `version`."""
        content = asdict(self)
        for record, group in zip(content["duplicates"], self.duplicates, strict=True):
            record["similarity"] = round(group.similarity, 4)
            record["crosses_patients"] = group.crosses_patients
            record["crosses_labels"] = group.crosses_labels
            record["crosses_official"] = group.crosses_official
        return {"version": VERSION, **content}

    def write(self, path: Path) -> None:
        """Write `audit.json`, atomically.

        Raises:
            OutputError: it cannot be written.
        """
        write_json(Path(path), self.to_dict())


def _count(count: Count) -> str:
    return f"{count.radiographs:,} of {count.patients:,} patients"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
