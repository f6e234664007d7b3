"""From `metrics.json` to what the page says of localization.

`localization` and `localization_all` hold method to figure to `value`, `low`, `high`, for true
positives and for all radiographs. `localization_method` names the bundle's own method.
`localization_details` may hold

- `slice`: `test half`, or `true positives` where only lungs were measured;
- `lungs_from`: `masks` or `segmenter`;
- `methods`: method to `MethodReport.to_dict()` (or `LungsReport.to_dict()`), figures not read;
- `paired`: other method to `FigureReport.to_dict()`, the own method's figures less the other's, on
  true positives;
- `pairs`: `FigureReport.to_dict()` of other pairs, with `first` and `second`;
- `groups`: `GroupReport.to_dict()`.

Every part may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.report.localization_words import (
    HEADLINES,
    HEADLINES_ALL,
    HEADLINES_ANNOTATED,
    HEADLINES_LUNGS,
    localization_meaning,
    localization_name,
    spelt_out,
)
from pneumoscope.report.numbers import (
    MISSING,
    ends,
    figure_text,
    finite,
    interval_text,
    is_table,
    method_name,
    number_text,
)

Details = Mapping[str, Any]

TRUE_POSITIVES, ANNOTATED, ALL = "true_positives", "annotated", "all"
_KEYS = {
    TRUE_POSITIVES: "localization",
    ANNOTATED: "localization_annotated",
    ALL: "localization_all",
}
_TITLES = {
    TRUE_POSITIVES: "True positives",
    ANNOTATED: "All annotated radiographs, whatever the decision",
    ALL: "All radiographs, as delivered",
}
# The second table, cut where its figures change their subject.
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Regions on lesions, by overlap asked for", ("iou@", "iobb@")),
    ("Lesions found, by false regions per radiograph", ("froc", "false_regions_per_negative")),
    ("Lungs and border", ("energy_in_lungs", "peak_in_lungs", "lungs_share", "peak_at_border")),
    ("Heat on lesions", ("",)),
)
_BREAKDOWNS = {
    "lesion_size": "Size of the lesions",
    "n_boxes": "Lesions on the radiograph",
    "side": "Half of the radiograph",
}
_LEVELS = ("small", "medium", "large")
_USUAL = "usual_location"


@dataclass(frozen=True)
class Line:
    """A method's line: `own` is the bundle's method, `baseline` what has to be beaten."""

    name: str
    texts: list[str]
    own: bool = False
    baseline: bool = False


@dataclass(frozen=True)
class LocalizationTable:
    """Methods in lines, figures in columns."""

    title: str
    columns: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class SlicePart:
    """What is said of true positives, or of all radiographs."""

    title: str
    facts: list[str]
    headline: LocalizationTable
    further: list[LocalizationTable]
    differences: LocalizationTable | None


@dataclass(frozen=True)
class Breakdown:
    """Figures of one method by groups of radiographs: (title of a breakdown, its lines)."""

    title: str
    columns: list[str]
    groups: list[tuple[str, list[list[str]]]]
    note: str


@dataclass(frozen=True)
class Localization:
    """What the page says of localization."""

    sentences: list[str]
    parts: list[SlicePart]
    breakdown: Breakdown | None
    glossary: list[tuple[str, str]]


def localization_view(metrics: Mapping[str, Any]) -> Localization | None:
    """All of it; None if localization was not measured."""
    details: Details = metrics.get("localization_details") or {}
    own = metrics.get("localization_method")
    parts, shown = [], []
    for of, key in _KEYS.items():
        methods = measured(metrics.get(key))
        if not methods:
            continue
        columns = _columns(methods)
        shown += columns
        headline = headline_table(metrics, of)
        rest = [column for column in columns if localization_name(column) not in headline.columns]
        seen = of == TRUE_POSITIVES
        parts.append(
            SlicePart(
                _TITLES[of],
                _counts(details, own, of),
                headline,
                _further(methods, rest, own, details if seen else {}),
                _differences(details, own) if seen else None,
            )
        )
    if not parts:
        return None
    return Localization(
        [*_sources(details), *_verdicts(details, own)],
        parts,
        _breakdown(details, own),
        [(localization_name(key), localization_meaning(key)) for key in dict.fromkeys(shown)],
    )


def headline_table(metrics: Mapping[str, Any], of: str) -> LocalizationTable:
    """The figures shown first, of a slice; without a line if there are none.

    Where none of the headline figures was measured, all that were are shown.
    """
    methods = measured(metrics.get(_KEYS[of]))
    columns = _columns(methods)
    chosen = [column for column in headlines(columns, of) if column in columns] or columns
    return _table(_TITLES[of], methods, chosen, metrics.get("localization_method"))


def headlines(columns: Sequence[str], of: str = TRUE_POSITIVES) -> tuple[str, ...]:
    """The names of the figures shown first, given those that were measured."""
    if of == ALL:
        return HEADLINES_ALL
    if of == ANNOTATED:
        return HEADLINES_ANNOTATED
    return HEADLINES if set(HEADLINES) & set(columns) else HEADLINES_LUNGS


def ordered(methods: Iterable[str], own: str | None) -> list[str]:
    """The bundle's own method first, baselines last, otherwise as they came."""
    return sorted(methods, key=lambda name: (name != own, method_name(name)[1]))


def measured(values: Details | None) -> dict[str, Details]:
    """The methods of `localization`, without the plain values beside them."""
    return {key: value for key, value in (values or {}).items() if is_table(value)}


def _columns(methods: Mapping[str, Details]) -> list[str]:
    return list(dict.fromkeys(key for figures in methods.values() for key in figures))


def _table(
    title: str, methods: Mapping[str, Details], columns: Sequence[str], own: str | None
) -> LocalizationTable:
    lines = []
    for key in ordered(methods, own):
        name, baseline = method_name(key)
        figures = methods[key]
        texts = [figure_text(figures[column]) if column in figures else "" for column in columns]
        lines.append(Line(name, texts, key == own, baseline))
    return LocalizationTable(title, [localization_name(column) for column in columns], lines)


def _further(
    methods: Mapping[str, Details], columns: Sequence[str], own: str | None, details: Details
) -> list[LocalizationTable]:
    left, tables = list(columns), []
    for title, starts in _PARTS:
        taken = [column for column in left if column.startswith(starts)]
        left = [column for column in left if column not in taken]
        if taken:
            tables.append(_table(title, methods, taken, own))
    thresholds = _thresholds(methods, own, details)
    if thresholds is not None:
        tables.append(thresholds)
    return tables


def _thresholds(
    methods: Mapping[str, Details], own: str | None, details: Details
) -> LocalizationTable | None:
    """At which heat the figures "at tuned heat" were read."""
    reports = details.get("methods") or {}
    lines = []
    for key in ordered(methods, own):
        report = reports.get(key) or {}
        threshold = finite(report.get("threshold"))
        if threshold is not None:
            name, baseline = method_name(key)
            texts = [f"{threshold:.2f}", str(report.get("threshold_from", ""))]
            lines.append(Line(name, texts, key == own, baseline))
    columns = ["Threshold", "Chosen on"]
    return LocalizationTable("Heat thresholds", columns, lines) if lines else None


def _sources(details: Details) -> list[str]:
    """What the figures were measured on."""
    sentences = []
    if details.get("slice") == "test half":
        sentences.append(
            "Patients come in two halves: on the tuning half heat thresholds were chosen and the "
            "usual location was learnt, and all figures are of the other, the test half."
        )
    lungs = {"masks": "masks that were given", "segmenter": "the lung segmenter"}
    if details.get("lungs_from") in lungs:
        sentences.append(f"Where the lungs are is known from {lungs[details['lungs_from']]}.")
    return sentences


def _counts(details: Details, own: str | None, of: str) -> list[str]:
    report = (details.get("methods") or {}).get(own) or {}
    # Where only lungs were measured there is one slice, and the counts stand by themselves.
    counts = (report.get("slices") or {TRUE_POSITIVES: report}).get(of) or {}
    if counts.get("n") is None:
        return []
    n, patients, boxes, missed, negatives = (
        number_text(counts.get(key))
        for key in ("n", "n_patients", "n_boxes", "n_missed", "n_negatives")
    )
    if of == ALL:
        facts = [
            f"{n} radiographs with {boxes} lesions, of which the classifier missed {missed}, and "
            f"{negatives} without lesions. Where it says negative there is no heatmap: a missed "
            f"lesion is found by no method."
        ]
    else:
        lesions = f" with {boxes} lesions" if "n_boxes" in counts else ""
        called = "all called positive" if of == TRUE_POSITIVES else f"{missed} called negative"
        facts = [f"{n} radiographs of {patients} patients{lesions}, {called}."]
    empty = int(counts.get("n_flat") or 0) + int(counts.get("n_nan") or 0)
    if empty:
        facts.append(
            f"The model's own heatmap shows no evidence on {empty:,} of them; these hit nothing."
        )
    return facts


def _verdicts(details: Details, own: str | None) -> list[str]:
    """The own method against the others it was paired with, in words."""
    sentences = []
    for other, pair in (details.get("paired") or {}).items():
        difference = (pair.get("figures") or {}).get(HEADLINES[0])
        _, low, high = ends(difference)
        if low is None or high is None:
            continue
        words = {
            "▲": "more often than",
            "▼": "less often than",
            "": "neither clearly more nor less often than",
        }[_side(low, high)]
        by, n = interval_text(difference, signed=True), number_text(pair.get("n"))
        sentences.append(
            f"{method_name(str(own))[0]} peaks in a lesion {words} {method_name(other)[0]}: "
            f"{by}, on the same {n} true positives."
        )
    return sentences


def _differences(details: Details, own: str | None) -> LocalizationTable | None:
    """Headline figures of each pair of methods, the first's less the second's."""
    pairs = [
        {"first": own, "second": other, **pair}
        for other, pair in (details.get("paired") or {}).items()
    ]
    further = details.get("pairs") or []
    known = _columns({str(place): one["figures"] for place, one in enumerate(pairs + further)})
    columns = [column for column in HEADLINES if column in known]
    lines = []
    for pair in (*pairs, *further):
        name, baseline = method_name(pair["second"])
        if further:
            name = f"{method_name(str(pair['first']))[0]} less {name}"
        texts = [_marked(pair["figures"].get(key)) for key in columns]
        lines.append(Line(name, texts, baseline=baseline and not further))
    if not columns:
        return None
    title = "Differences" if further else "The model's own less the others"
    titles = [localization_name(column) for column in columns]
    return LocalizationTable(f"{title}, on the same radiographs", titles, lines)


def _breakdown(details: Details, own: str | None) -> Breakdown | None:
    """The own method by groups of true positives, beside the usual location."""
    groups = details.get("groups") or {}
    methods = groups.get("methods") or {}
    mine, usual = methods.get(own) or {}, methods.get(_USUAL) or {}
    levels = [group for breakdown in mine.values() for group in breakdown.values()]
    if not levels:
        return None
    keys = _columns({str(index): group["figures"] for index, group in enumerate(levels)})
    columns = ["Radiographs", "Patients", *map(localization_name, keys)]
    if usual:
        columns += [f"{localization_name(HEADLINES[0])}: {method_name(_USUAL)[0]}"]
    result = []
    for breakdown, found in mine.items():
        lines = []
        for level in sorted(found, key=_level_order):
            group = found[level]
            texts = [
                level,
                number_text(group.get("n")),
                number_text(group.get("n_patients")),
                *(figure_text(group["figures"].get(key)) for key in keys),
            ]
            if usual:
                theirs = (usual.get(breakdown) or {}).get(level) or {}
                texts.append(figure_text((theirs.get("figures") or {}).get(HEADLINES[0])))
            lines.append(texts)
        result.append((_BREAKDOWNS.get(breakdown, spelt_out(breakdown)), lines))
    return Breakdown(method_name(str(own))[0], columns, result, _sizes(groups))


def _sizes(groups: Details) -> str:
    bounds = [finite(value) for value in groups.get("size_boundaries") or []]
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None:
        return ""
    return (
        f"Lesions are small up to {bounds[0]:.1%} of the radiograph, medium up to {bounds[1]:.1%}, "
        f"large above."
    )


def _level_order(level: str) -> tuple[int, str]:
    return (_LEVELS.index(level) if level in _LEVELS else len(_LEVELS), level)


def _marked(difference: object) -> str:
    """A signed difference, with an arrow where its interval leaves out 0."""
    value, low, high = ends(difference)
    if value is None:
        return "" if difference is None else MISSING
    side = "" if low is None or high is None else _side(low, high)
    return f"{side}{interval_text(difference, signed=True)}"


def _side(low: float, high: float) -> str:
    return "▲" if low > 0 else "▼" if high < 0 else ""
