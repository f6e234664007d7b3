"""Which findings count as positive and negative, and whose statements count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pneumoscope.cohort.formats.finding_columns import FindingColumns
from pneumoscope.cohort.formats.marks import FieldFile, Mark
from pneumoscope.cohort.formats.words import finding_key, split_names
from pneumoscope.errors import CohortError

UNION, MAJORITY = "union", "majority"


@dataclass(frozen=True)
class Choice:
    """What is taken from a file of the field.

    Args:
        positive: findings that make a radiograph positive, joined by `|`; None for the format's.
        negative: findings that make it negative, likewise; other radiographs are left out.
        readers: of several readers `union` (any of them), `majority` (more than half of them), or
            the name of one.
        label_column: the column with the labels, for a table that is no known format.
        findings: several findings, each to become a column of its own; see `FindingColumns`.
    """

    positive: str | None = None
    negative: str | None = None
    readers: str = UNION
    label_column: str | None = None
    findings: FindingColumns | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Every finding that was named."""
        named = (*split_names(self.positive or ""), *split_names(self.negative or ""))
        return named if self.findings is None else (*named, *self.findings.words)

    @property
    def joins_positives(self) -> bool:
        """Whether several labels are positive."""
        return len(split_names(self.positive or "")) > 1

    @property
    def groups(self) -> bool:
        """Whether labels are sorted into positive, negative and left out, or into findings.

        One positive label alone only says which of two labels it is.
        """
        return self.joins_positives or self.findings is not None or self.negative is not None

    @property
    def maps_labels(self) -> bool:
        """Whether the table needs more than its own column `label`."""
        return self.groups or self.label_column is not None

    def of(self, file: FieldFile) -> Rule:
        """The rule for a file: what was chosen, else what its format proposes.

        Raises:
            CohortError: none of the findings chosen, or not the reader, is in the file.
        """
        positive = _chosen(self.positive, file.positive, file, "--positive")
        negative = _chosen(self.negative, file.negative, file, "--negative")
        rule = Rule(positive, negative, self.readers)
        if self.readers in (UNION, MAJORITY):
            return rule
        known = sorted({mark.reader for mark in file.marks if mark.reader})
        if self.readers not in known:
            raise CohortError(
                f"is {file.format}, which has no reader {self.readers!r}",
                path=file.path,
                remedy=f"use union or majority, or one of {', '.join(known[:8])}"
                if known
                else "leave --readers out: the file names no readers",
            )
        return rule


@dataclass(frozen=True)
class Rule:
    """A choice, made for one file.

    Args:
        positive: keys of findings (see `finding_key`); empty for any that is not negative.
        negative: likewise; empty where the stated absence of the positive ones is negative.
        readers: `union`, `majority` or a reader.
    """

    positive: frozenset[str]
    negative: frozenset[str]
    readers: str

    def wants(self, mark: Mark) -> bool:
        """Whether a mark is of a positive finding."""
        key = finding_key(mark.finding)
        return key in self.positive if self.positive else key not in self.negative

    def heard(self, marks: Iterable[Mark]) -> list[Mark]:
        """The marks of those readers that count."""
        if self.readers in (UNION, MAJORITY):
            return list(marks)
        return [mark for mark in marks if mark.reader == self.readers]

    def label(self, marks: Sequence[Mark]) -> bool | None:
        """Whether the radiograph of these marks is positive; None if it is left out."""
        readers: dict[str, list[Mark]] = {}
        for mark in self.heard(marks):
            readers.setdefault(mark.reader, []).append(mark)
        votes = [self._vote(own) for own in readers.values()]
        if self.readers != MAJORITY and True in votes:
            return True
        for answer in (True, False):
            if 2 * votes.count(answer) > len(votes):
                return answer
        return None

    def _vote(self, marks: Sequence[Mark]) -> bool | None:
        own = [mark.present for mark in marks if self.wants(mark)]
        if True in own:
            return True
        if None in own:
            return None
        if self.negative:
            stated = (finding_key(m.finding) in self.negative and m.present for m in marks)
            return False if any(stated) else None
        return False if own else None


def _chosen(
    text: str | None, proposed: tuple[str, ...], file: FieldFile, option: str
) -> frozenset[str]:
    named = file.findings()
    if text is None or not named:
        return frozenset(map(finding_key, proposed))
    keys = frozenset(map(finding_key, split_names(text)))
    # A list of boxes has no negative radiographs, whatever they are called elsewhere.
    positives_only = option == "--negative" and bool(file.positive) and not file.negative
    if not keys & named.keys() and not positives_only:
        raise file.lacks(text, option)
    return keys


def narrowed(rule: Rule, file: FieldFile) -> Rule:
    """The rule to take lesions by: with several findings in a file, which ones must be clear.

    Raises:
        CohortError: the file has several findings, and nobody said which ones count.
    """
    drawn = {finding_key(m.finding): m.finding for m in file.marks if m.shape is not None}
    if rule.positive or len(drawn) < 2:
        return rule
    clear = frozenset(key for key in drawn if key in _PNEUMONIA)
    if clear:
        return replace(rule, positive=clear)
    listed = ", ".join(sorted(name or "(no name)" for name in drawn.values())[:20])
    raise CohortError(
        f"is {file.format} with {len(drawn)} findings ({listed})",
        path=file.path,
        remedy="say with --positive which of them are lesions of pneumonia, joined by |",
    )


_PNEUMONIA = frozenset(
    map(
        finding_key,
        (
            "Pneumonia", "Lung Opacity", "Consolidation", "Infiltration", "Infiltrate",
            "Airspace Opacity", "Opacity",
        ),
    )
)  # fmt: skip
