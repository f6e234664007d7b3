"""Words for findings and truth values, as the tables of the field spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable

NEGATIVE, POSITIVE = "NORMAL", "PNEUMONIA"
"""The labels that a cohort gets where its table has findings or yes and no."""

NONE_FOUND, SOME_FOUND = "no finding", "finding"
"""The labels of a cohort with a column for each of several findings."""

UNCERTAIN = frozenset({"-1", "-1.0"})
"""Cells of a finding that nobody is sure of, as in CheXpert's tables."""

_TRUTH = {
    **dict.fromkeys(("1", "1.0", "yes", "y", "true", "t", "positive", "present"), True),
    **dict.fromkeys(("0", "0.0", "no", "n", "false", "f", "negative", "absent"), False),
}

# NIH's table of labels says Infiltration, its list of boxes Infiltrate.
_SAME = {"infiltrate": "infiltration"}


def finding_key(name: str) -> str:
    """A finding's name for comparison: without case, `_` and `-` as spaces, in one spelling."""
    key = re.sub(r"[\s_-]+", " ", name.strip()).casefold()
    return _SAME.get(key, key)


def truth(text: str) -> bool | None:
    """Return what a cell says: `1`, `yes`, `True`, ... or their opposites; None for other text."""
    return _TRUTH.get(text.strip().casefold())


def without_truth_values(labels: Iterable[str]) -> list[str]:
    """The labels; where all are truth values (0/1, yes/no, True/False), NORMAL and PNEUMONIA."""
    labels = list(labels)
    known = [truth(label) for label in labels]
    if not labels or any(value is None for value in known):
        return labels
    return [POSITIVE if value else NEGATIVE for value in known]


def split_names(text: str) -> tuple[str, ...]:
    """Names joined by `|`, such as `Pneumonia|Lung Opacity`."""
    return tuple(name.strip() for name in text.split("|") if name.strip())
