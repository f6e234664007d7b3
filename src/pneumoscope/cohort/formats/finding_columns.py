"""Several findings, each a column of the manifest with 1, 0, or nothing where it is not known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pneumoscope.cohort.formats.words import (
    NONE_FOUND,
    SOME_FOUND,
    UNCERTAIN,
    finding_key,
    split_names,
    truth,
)
from pneumoscope.cohort.tables import COLUMNS
from pneumoscope.errors import CohortError, SettingsError

PRESENT, ABSENT, UNKNOWN = "1", "0", ""
"""What a cell of such a column says."""


@dataclass(frozen=True)
class FindingColumns:
    """Which columns a cohort gets, and by which words of its table.

    Attributes:
        columns: name of the column to the words that mean it, one of which suffices.
    """

    columns: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> FindingColumns:
        """Read `Effusion,Opacity=Pneumonia|Consolidation`: names, and words if they differ.

        Raises:
            SettingsError: nothing is named, or a name is given twice or belongs to the manifest.
        """
        columns: dict[str, tuple[str, ...]] = {}
        for part in text.split(","):
            name, equals, words = (piece.strip() for piece in part.partition("="))
            found = split_names(words if equals else name)
            if not name or not found or "|" in name:
                raise SettingsError(
                    f"{part.strip()!r} names no finding",
                    remedy="write names joined by commas; several words of one finding as "
                    "'Opacity=Pneumonia|Consolidation'",
                )
            if name.casefold() in COLUMNS or name in columns:
                raise SettingsError(
                    f"a column {name!r} is there already", remedy="choose another name for it"
                )
            columns[name] = found
        return cls(columns)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all columns."""
        return tuple(word for words in self.columns.values() for word in words)

    def missing(self, known: Iterable[str]) -> list[str]:
        """Columns of which no word is among these, which are as `finding_key` compares them."""
        keys = set(known)
        return [
            "|".join(words) for name, words in self.columns.items() if not self.keys(name) & keys
        ]

    def keys(self, name: str) -> frozenset[str]:
        """The words of one column, as `finding_key` compares them."""
        return frozenset(map(finding_key, self.columns[name]))


def state_of(text: str) -> int:
    """What a cell of a finding's column says: 1 present, 0 absent, -1 not known or uncertain.

    Raises:
        CohortError: it says something else.
    """
    if text.strip().casefold() in {*UNCERTAIN, UNKNOWN, "nan"}:
        return -1
    said = truth(text)
    if said is None:
        raise CohortError(
            f"{text.strip()!r} does not say whether a finding is present",
            remedy="give 1, 0, -1 for uncertain, or nothing",
        )
    return int(said)


def overall_label(cells: Collection[str]) -> str | None:
    """Whether any finding of a radiograph is present; None if nothing is known of any.

    Args:
        cells: what its columns say; see `PRESENT`.
    """
    if set(cells) == {UNKNOWN}:
        return None
    return SOME_FOUND if PRESENT in cells else NONE_FOUND
