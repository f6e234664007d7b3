from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.cohort.split import (
    EXCLUDED,
    SPLITS,
    assign_splits,
    check_fractions,
    majority,
    patient_groups,
    split_rows,
    split_rows_keeping_test,
)
from pneumoscope.errors import SettingsError

_ROWS = st.lists(
    st.tuples(st.integers(0, 30).map(lambda k: f"p{k}"), st.booleans()), min_size=1, max_size=120
)


@given(rows=_ROWS, seed=st.integers(0, 5), shuffle=st.randoms(use_true_random=False))
def test_patients_stay_whole_and_order_does_not_matter(
    rows: list[tuple[str, bool]], seed: int, shuffle: random.Random
) -> None:
    splits = split_rows([p for p, _ in rows], [v for _, v in rows], seed=seed)
    of_patient = dict(zip([p for p, _ in rows], splits, strict=True))
    assert set(splits) <= set(SPLITS)
    assert [of_patient[p] for p, _ in rows] == splits
    shuffled = rows.copy()
    shuffle.shuffle(shuffled)
    again = split_rows([p for p, _ in shuffled], [v for _, v in shuffled], seed=seed)
    assert dict(zip([p for p, _ in shuffled], again, strict=True)) == of_patient


def test_each_label_is_split_in_the_same_proportions() -> None:
    strata = {f"n{k}": False for k in range(400)} | {f"p{k}": True for k in range(1000)}
    assigned = assign_splits(strata)
    counts = Counter((strata[group], split) for group, split in assigned.items())
    assert [counts[False, split] for split in SPLITS] == [280, 60, 60]
    assert [counts[True, split] for split in SPLITS] == [700, 150, 150]


def test_the_seed_moves_patients() -> None:
    strata = {f"p{k}": True for k in range(100)}
    first, second = assign_splits(strata, seed=1), assign_splits(strata, seed=2)
    moved = sum(first[patient] != second[patient] for patient in strata)
    assert moved > 20


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [1, 0, 0]), (3, [1, 1, 1]), (6, [4, 1, 1]), (10, [7, 1, 2])]
)
def test_small_strata_reach_every_split(count: int, expected: list[int]) -> None:
    found = Counter(assign_splits({f"p{k}": True for k in range(count)}).values())
    assert [found[split] for split in SPLITS] == expected


def test_a_fraction_of_zero_stays_empty() -> None:
    assigned = assign_splits({f"p{k}": True for k in range(20)}, fractions=(0.8, 0.2, 0.0))
    assert Counter(assigned.values()) == {"train": 16, "val": 4}


def test_majority_and_its_tie() -> None:
    groups = ["a", "a", "a", "b", "b", "c"]
    assert majority(groups, [True, False, False, True, False, False]) == {
        "a": False,
        "b": True,
        "c": False,
    }


def test_union_find_joins_chains() -> None:
    groups = patient_groups("abcdef", [["d", "c"], ["c", "b"], ["f", "e"], ["a"]])
    assert groups == {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e", "f": "e"}


def test_keeping_the_official_test_part() -> None:
    groups = [f"t{k}" for k in range(10)] + [f"p{k}" for k in range(85)] + ["t0", "t1", "t1", "x"]
    parts = ["test"] * 10 + ["train"] * 80 + ["val"] * 5 + ["train", "val", "train", EXCLUDED]
    splits = split_rows_keeping_test(groups, [True] * len(groups), parts)
    assert splits[:10] == ["test"] * 10
    assert splits[-4:] == [EXCLUDED] * 4
    # 15 of the 85 that are not test: val / (train + val) of 70/15/15.
    assert Counter(splits[10:95]) == {"train": 70, "val": 15}


@pytest.mark.parametrize(
    "fractions", [(0.7, 0.2), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5)]
)
def test_bad_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="add up to 1"):
        check_fractions(fractions)
