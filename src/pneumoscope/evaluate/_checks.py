"""What every figure needs of its input, checked once and said plainly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumoscope.errors import EvaluationError


def finite_vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """`values` as float64 of shape (n,), n > 0, without NaN or infinity.

    Raises:
        EvaluationError: not numbers, not one-dimensional, empty, or not finite.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            f"{name} are not all numbers", remedy="remove rows with a missing or textual value"
        ) from error
    if vector.ndim != 1:
        raise EvaluationError(
            f"{name} have shape {vector.shape} instead of one value per radiograph",
            remedy="pass a one-dimensional array",
        )
    if vector.size == 0:
        raise EvaluationError(
            f"there are no {name}", remedy="check that the split holds radiographs"
        )
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise EvaluationError(
            f"{bad.size} of {vector.size} {name} are NaN or infinite (first at row {bad[0]})",
            remedy="predict again; if it recurs, the training diverged: lower the learning rate",
        )
    return vector


def probability_vector(values: ArrayLike, name: str = "probabilities") -> NDArray[np.float64]:
    """`values` as float64 of shape (n,) in [0, 1].

    Raises:
        EvaluationError: as `finite_vector`, or outside [0, 1].
    """
    vector = finite_vector(values, name)
    if vector.min() < 0.0 or vector.max() > 1.0:
        raise EvaluationError(
            f"{name} reach from {vector.min():g} to {vector.max():g}, outside [0, 1]",
            remedy="pass probabilities, not logits or percentages",
        )
    return vector


def target_vector(values: ArrayLike, name: str = "targets") -> NDArray[np.int64]:
    """`values` as int64 of shape (n,), each 0 (negative) or 1 (positive).

    Raises:
        EvaluationError: as `finite_vector`, or a value other than 0 and 1.
    """
    vector = finite_vector(values, name)
    odd = vector[(vector != 0.0) & (vector != 1.0)]
    if odd.size:
        raise EvaluationError(
            f"{name} hold {odd[0]:g}, which is neither 0 nor 1",
            remedy="code the negative label as 0 and the positive one as 1",
        )
    return vector.astype(np.int64)


def predicted(
    probabilities: ArrayLike, targets: ArrayLike, purpose: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities and targets (n,) of the same radiographs.

    Args:
        probabilities: (n,) in [0, 1].
        targets: (n,) of 0 and 1.
        purpose: what needs both classes; "" if one class will do.

    Raises:
        EvaluationError: as `probability_vector` and `target_vector`, lengths that differ, or a
            single class.
    """
    p, y = probability_vector(probabilities), target_vector(targets)
    same_length(probabilities=p.size, targets=y.size)
    if purpose:
        both_classes(y, purpose)
    return p, y


def decision_threshold(value: float) -> None:
    """Refuse a threshold outside [0, 1].

    Raises:
        EvaluationError: it is.
    """
    if not 0.0 <= value <= 1.0:
        raise EvaluationError(f"threshold {value:g} is outside [0, 1]", remedy="choose one on val")


def share_of_positives(value: float | None) -> None:
    """Refuse a prevalence outside (0, 1); None is that of the sample.

    Raises:
        EvaluationError: it is.
    """
    if value is not None and not 0.0 < value < 1.0:
        raise EvaluationError(
            f"prevalence {value:g} is not between 0 and 1",
            remedy="state the share of positives as a fraction, for instance 0.05",
        )


def weight_vector(values: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """`values` (or ones) as float64 of shape (n,), none negative, not all zero.

    Raises:
        EvaluationError: as `finite_vector`, another length, negative, or all zero.
    """
    if values is None:
        return np.ones(n)
    vector = finite_vector(values, "weights")
    same_length(targets=n, weights=vector.size)
    if vector.min() < 0.0 or vector.max() <= 0.0:
        raise EvaluationError("weights are negative or all zero", remedy="pass weights above 0")
    return vector


def same_length(**lengths: int) -> None:
    """Refuse columns of different lengths, naming each.

    Raises:
        EvaluationError: the lengths differ.
    """
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise EvaluationError(
            f"lengths differ: {listed}", remedy="pass one value per radiograph in each column"
        )


def both_classes(targets: NDArray[np.int64], purpose: str) -> None:
    """Refuse targets that hold a single class.

    Raises:
        EvaluationError: only one class is present.
    """
    if targets.min() == targets.max():
        only = "positive" if targets[0] else "negative"
        raise EvaluationError(
            f"{purpose} needs both classes, but all {targets.size} radiographs are {only}",
            remedy="use a split that holds both labels",
        )


def patient_codes(patients: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Number the patients: codes of shape (n,) in [0, n_patients), and n_patients.

    Raises:
        EvaluationError: no patient at all, or one that is missing or blank.
    """
    if len(patients) == 0:
        raise EvaluationError(
            "there are no patients", remedy="check that the split holds radiographs"
        )
    for row, patient in enumerate(patients):
        if not isinstance(patient, str) or not patient.strip():
            raise EvaluationError(
                f"row {row} has no patient (found {patient!r}; text is expected)",
                remedy="give each radiograph its patient; if unknown, use the image's own name",
            )
    names, codes = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    return codes.astype(np.int64), int(names.size)
