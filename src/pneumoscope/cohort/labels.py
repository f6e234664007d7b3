"""Which of two labels says "pneumonia": the order (negative, positive) every room relies on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pneumoscope.cohort.formats.words import UNCERTAIN
from pneumoscope.errors import CohortError

_NEGATIVE = re.compile(
    r"^(?:no|not|non|without|negative|normal|healthy|control|clear|absent|false|f|n)(?![a-z])"
    r"|(?<![a-z])(?:normal|negative|healthy)(?![a-z])"
)
_POSITIVE = re.compile(
    r"pneumonia|opacity|opacities|consolidation|infiltrat|covid|(?<![a-z])(?:positive|abnormal|"
    r"bacteria|bacterial|virus|viral|disease|diseased|sick|present|true|yes|t|y)(?![a-z])"
)


# Words for a label that is missing or uncertain.
_NO_LABEL = UNCERTAIN | {"na", "n/a", "nan", "null", "unknown", "uncertain", "?"}


def infer_labels(values: Iterable[str], positive: str | None = None) -> tuple[str, str]:
    """Order the two labels of a cohort as (negative, positive).

    Args:
        values: the labels of all radiographs.
        positive: the positive label, compared without case; inferred from the words when None
            (pneumonia, opacity, positive, abnormal, 1, true, ... against normal, no ..., 0, ...).

    A cohort of one label, such as a set of boxed radiographs, gets NORMAL or PNEUMONIA as the other
    one.

    Raises:
        CohortError: there are more than two labels, `positive` is none of them, the words do not
            tell which one is positive, or one of them means a label that is missing.
    """
    found = sorted(set(values))
    if len(found) == 1:
        return _of_one(found[0], positive)
    if len(found) != 2:
        named = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise CohortError(
            f"{len(found)} labels are present ({named or 'none'}), two are needed",
            remedy="say with --positive and --negative which labels are which, joined by |; "
            "radiographs with other labels are left out",
        )
    chosen = _chosen(found, positive) if positive is not None else _inferred(found)
    (other,) = (label for label in found if label != chosen)
    return other, chosen


def _of_one(label: str, positive: str | None) -> tuple[str, str]:
    if positive is not None:
        _chosen([label], positive)
    if positive is not None or (_says_positive(label) and not _says_negative(label)):
        return ("NORMAL" if label != "NORMAL" else "other"), label
    if _says_negative(label):
        return label, ("PNEUMONIA" if label != "PNEUMONIA" else "other")
    raise CohortError(
        f"only one label is present ({label}), and the word does not tell whether it is positive",
        remedy="add radiographs of the other label, or name the positive one with --positive",
    )


def _chosen(found: list[str], positive: str) -> str:
    exact = [label for label in found if label == positive.strip()]
    loose = [label for label in found if label.casefold() == positive.strip().casefold()]
    matches = exact or loose
    if len(matches) != 1:
        raise CohortError(
            f"the positive label {positive!r} is not one of the labels ({', '.join(found)})",
            remedy="give one of them with --positive",
        )
    return matches[0]


def _inferred(found: list[str]) -> str:
    if unclear := [label for label in found if label.casefold() in _NO_LABEL]:
        raise CohortError(
            f"it is not clear whether {unclear[0]!r} is a label ({found[0]} or {found[1]})",
            remedy="remove those lines, or name the positive label with --positive",
        )
    negative = [label for label in found if _says_negative(label)]
    positive = [label for label in found if label not in negative and _says_positive(label)]
    if len(positive) == 1:
        return positive[0]
    if len(negative) == 1:
        return next(label for label in found if label != negative[0])
    raise CohortError(
        f"cannot tell which label is positive ({found[0]} or {found[1]})",
        remedy="name it with --positive",
    )


def _says_negative(label: str) -> bool:
    return _number(label) == 0 or _NEGATIVE.search(label.casefold()) is not None


def _says_positive(label: str) -> bool:
    return _number(label) == 1 or _POSITIVE.search(label.casefold()) is not None


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
