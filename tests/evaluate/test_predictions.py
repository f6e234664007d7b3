"""What may not enter: each fault is named, with a remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pneumoscope.errors import EvaluationError
from pneumoscope.evaluate import Predictions


def columns() -> dict[str, Any]:
    return {
        "images": ["a.png", "b.png", "c.png"],
        "patients": ["1", "2", "2"],
        "targets": [0, 1, 1],
        "logits": [-1.0, 0.5, 3.0],
        "probabilities": [0.2, 0.6, 0.95],
    }


def test_columns_become_arrays() -> None:
    predictions = Predictions(**columns())
    assert predictions.targets.dtype == np.int64
    assert predictions.logits.dtype == predictions.probabilities.dtype == np.float64
    assert len(predictions) == 3
    assert predictions.n_patients == 2


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("probabilities", [0.2, np.nan, 0.9], "1 of 3 probabilities are NaN or infinite"),
        ("probabilities", [0.2, 0.3, 1.2], "outside [0, 1]"),
        ("probabilities", [-0.1, 0.3, 0.2], "outside [0, 1]"),
        ("probabilities", [[0.2], [0.3], [0.2]], "shape (3, 1)"),
        ("logits", [0.0, np.inf, 1.0], "logits are NaN or infinite"),
        ("logits", ["0.1", "high", "0.3"], "not all numbers"),
        ("logits", [0.0, 1.0], "2 logits"),
        ("targets", [0, 1, 2], "neither 0 nor 1"),
        ("targets", [0, 1], "lengths differ"),
        ("images", ["a.png"], "1 images"),
        ("patients", ["1", "", "2"], "row 1 has no patient"),
        ("patients", ["1", float("nan"), "2"], "row 1 has no patient"),
        ("patients", ["1", "2", None], "row 2 has no patient"),
    ],
)
def test_faults_are_named(column: str, value: Any, said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        Predictions(**{**columns(), column: value})
    assert said in str(caught.value)
    assert caught.value.remedy


def test_empty_is_refused() -> None:
    empty: dict[str, Any] = {name: [] for name in columns()}
    with pytest.raises(EvaluationError, match="there are no targets"):
        Predictions(**empty)
