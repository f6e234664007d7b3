"""The outcome of a comparison in sentences that claim no more than the tests show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from pneumoscope.evaluate.comparison_report import ModelRow, Pair
from pneumoscope.evaluate.ensembles import UNIFORM, WEIGHTED

LEVEL = 0.05
"""Holm-corrected p-value below which two models are told apart."""

# A sentence names this many pairs at most.
_NAMED_PAIRS = 3


def judge(rows: Sequence[ModelRow], pairs: Sequence[Pair]) -> tuple[list[list[str]], list[str]]:
    """Groups and verdict of a `Comparison`.

    Args:
        rows: largest ROC-AUC first.
        pairs: all pairs of rows, `first` the earlier row.
    """
    judgement = _Judgement(rows, pairs)
    runs = judgement.runs()
    sentences = judgement.differences(runs) + judgement.cautions()
    return [[rows[index].name for index in run] for run in runs], sentences


class _Judgement:
    """Rows by rank, from 0, and the Holm-corrected p of each pair of ranks."""

    def __init__(self, rows: Sequence[ModelRow], pairs: Sequence[Pair]) -> None:
        self.rows = rows
        rank = {row.name: index for index, row in enumerate(rows)}
        self.p = {(rank[pair.first], rank[pair.second]): pair.delong_p_holm for pair in pairs}

    def runs(self) -> list[range]:
        """Longest runs of two or more neighbours no two of which are told apart."""
        found: list[range] = []
        for start in range(len(self.rows)):
            end = start + 1
            while end < len(self.rows) and all(
                self.p[index, end] >= LEVEL for index in range(start, end)
            ):
                end += 1
            if end - start > 1 and (not found or end > found[-1].stop):
                found.append(range(start, end))
        return found

    def differences(self, runs: Sequence[range]) -> list[str]:
        """Who is best, who cannot be told apart, who is better than whom, who is worst."""
        last = len(self.rows) - 1
        best, worst = self._apart_from_all(0), self._apart_from_all(last)
        sentences = []
        if best:
            sentences.append(self._extreme(0, "better"))
        sentences += [self._same(run) for run in runs]
        for one in range(1 if best else 0, last):
            below = [
                other
                for other in range(one + 1, last if worst else last + 1)
                if self.p[one, other] < LEVEL
            ]
            if below:
                others = _listed(self._name(other) for other in below)
                bound = _at_most(self.p[one, other] for other in below)
                sentences.append(f"{self._name(one)} is better than {others} ({bound}).")
        together = {(i, j) for run in runs for i in run for j in run}
        sentences += [
            self._same(pair) for pair, p in self.p.items() if p >= LEVEL and pair not in together
        ]
        if worst and last > 1:
            sentences.append(self._extreme(last, "worse"))
        sentences += [
            f"{self._name(one)} and {self._name(other)} cannot be tested against each other: "
            "their ROC-AUCs have no usable variance."
            for (one, other), p in self.p.items()
            if math.isnan(p)
        ]
        return sentences

    def cautions(self) -> list[str]:
        """What the p-values are, and what they leave out."""
        if not self.p:
            return ["There is only one model: nothing to compare."]
        corrected = f", Holm-corrected for {len(self.p)} pairs" if len(self.p) > 1 else ""
        sentences = [f"p-values: DeLong's test of ROC-AUC with patients as clusters{corrected}."]
        # An ensemble has no seed of its own: its row shows the seeds of its members.
        trained = [row for row in self.rows if row.name not in (UNIFORM, WEIGHTED)]
        single = [row.name for row in trained if len(row.seeds) == 1]
        if single:
            whose = (
                "One seed each" if len(single) == len(trained) else f"One seed of {_listed(single)}"
            )
            sentences.append(
                f"{whose}: differences between trainings of the same backbone are not included."
            )
        unsure = [
            f"{self._name(one)} and {self._name(other)}"
            for (one, other), p in self.p.items()
            if p < LEVEL and self._seed_sd(one, other) > (self._auc(one) - self._auc(other)) / 2.0
        ]
        if unsure:
            more = len(unsure) - _NAMED_PAIRS
            named = "; ".join(unsure[:_NAMED_PAIRS]) + (f" and {more} more pairs" * (more > 0))
            sentences.append(
                f"Other seeds may change the order of {named}: ROC-AUC varies between "
                "seeds (SD) by more than half the difference."
            )
        return sentences

    def _apart_from_all(self, rank: int) -> bool:
        own = [p for pair, p in self.p.items() if rank in pair]
        return bool(own) and all(p < LEVEL for p in own)

    def _extreme(self, rank: int, word: str) -> str:
        own = [p for pair, p in self.p.items() if rank in pair]
        if len(self.rows) == 2:
            areas = f"ROC-AUC {_area(self._auc(0))} against {_area(self._auc(1))}"
            return f"{self._name(0)} is better than {self._name(1)} ({areas}, {_equals(own[0])})."
        area = f"ROC-AUC {_area(self._auc(rank))}"
        return f"{self._name(rank)} is {word} than every other ({area}; {_at_most(own)})."

    def _same(self, ranks: Sequence[int]) -> str:
        names = _listed(self._name(rank) for rank in ranks)
        areas = _listed(_area(self._auc(rank)) for rank in ranks)
        inside = [p for (i, j), p in self.p.items() if i in ranks and j in ranks]
        p = _equals(inside[0]) if len(inside) == 1 else _at_least(inside)
        return f"{names} cannot be told apart (ROC-AUC {areas}, {p})."

    def _name(self, rank: int) -> str:
        return self.rows[rank].name

    def _auc(self, rank: int) -> float:
        return self.rows[rank].figures["roc_auc"].value

    def _seed_sd(self, *ranks: int) -> float:
        """The largest SD over seeds of the ROC-AUC; 0 where there is none."""
        return max(self.rows[rank].seed_sd["roc_auc"] or 0.0 for rank in ranks)


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _area(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _equals(p: float) -> str:
    return f"p {'<' if p < 0.001 else '='} {_p(max(p, 0.001), round)}"


def _at_most(p_values: Iterable[float]) -> str:
    largest = max(p_values)
    return "p < .001" if largest < 0.001 else f"p <= {_p(largest, math.ceil)}"


def _at_least(p_values: Iterable[float]) -> str:
    smallest = min(p_values)
    return "p = 1" if smallest >= 1.0 else f"p >= {_p(smallest, math.floor)}"


def _p(value: float, whole: Callable[[float], int]) -> str:
    """Two decimals, three below .1, brought to the last one by `whole`."""
    if value >= 1.0:
        return "1"
    digits = 2 if value >= 0.1 else 3
    # A .05 that is held as .05000000000000001 must not become .051.
    shifted = round(value * 10**digits, 9)
    return f"{whole(shifted) / 10**digits:.{digits}f}".removeprefix("0")
