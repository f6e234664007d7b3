from __future__ import annotations

import pytest

from pneumoscope.cohort import infer_labels
from pneumoscope.errors import CohortError


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("NORMAL", "PNEUMONIA"),
        ("Normal", "Abnormal"),
        ("No Pneumonia", "Pneumonia"),
        ("not_pneumonia", "pneumonia"),
        ("NON-PNEUMONIA", "PNEUMONIA"),
        ("Negative for Pneumonia", "Typical Appearance"),
        ("0", "1"),
        ("0.0", "1.0"),
        ("False", "True"),
        ("no", "yes"),
        ("No Finding", "Lung Opacity"),
        ("clean", "bacterial"),
        ("healthy", "zebra"),
    ],
)
def test_the_words_tell_which_is_positive(negative: str, positive: str) -> None:
    assert infer_labels([positive, negative, positive]) == (negative, positive)
    assert infer_labels([negative, positive]) == (negative, positive)


@pytest.mark.parametrize("labels", [["A", "B"], ["bacterial pneumonia", "viral pneumonia"]])
def test_words_that_do_not_tell_ask_for_positive(labels: list[str]) -> None:
    with pytest.raises(CohortError, match="--positive"):
        infer_labels(labels)
    assert infer_labels(labels, labels[0].upper()) == (labels[1], labels[0])


def test_positive_overrides_the_words_and_must_exist() -> None:
    assert infer_labels(["NORMAL", "PNEUMONIA"], "normal") == ("PNEUMONIA", "NORMAL")
    with pytest.raises(CohortError, match="not one of the labels"):
        infer_labels(["NORMAL", "PNEUMONIA"], "covid")


def test_one_label_gets_the_other_that_it_lacks() -> None:
    assert infer_labels(["NORMAL", "NORMAL"]) == ("NORMAL", "PNEUMONIA")
    assert infer_labels(["Lung Opacity"]) == ("NORMAL", "Lung Opacity")
    assert infer_labels(["zebra"], "zebra") == ("NORMAL", "zebra")
    with pytest.raises(CohortError, match=r"only one label is present \(zebra\)"):
        infer_labels(["zebra"])


def test_three_labels_are_refused_by_name() -> None:
    with pytest.raises(CohortError, match="COVID, NORMAL, PNEUMONIA"):
        infer_labels(["NORMAL", "PNEUMONIA", "COVID"], "PNEUMONIA")
    with pytest.raises(CohortError, match="0 labels"):
        infer_labels([])
