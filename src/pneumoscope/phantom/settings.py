"""What a phantom cohort is made of."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.errors import SettingsError

MIN_SIZE = 64
MAX_SIZE = 1024
MAX_VIEWS = 9


@dataclass(frozen=True)
class PhantomSettings:
    """Settings of a phantom cohort; the same settings give the same files, byte for byte.

    Attributes:
        n: number of radiographs, at least 1. A larger `n` adds patients and changes none of the
            radiographs a smaller one would have given, except that the last patient of the
            smaller cohort may gain views.
        seed: any non-negative integer.
        size: height in pixels, 64 to 1024; the width is 0.86 to 1.14 times that.
        prevalence: share of patients with pneumonia, in [0, 1].
        max_views: most radiographs of one patient, 1 to 9.
        marker_label_correlation: plants a bright disc in the radiograph's upper left corner that
            says PNEUMONIA when present: the probability in [0, 1] that it agrees with the label (1
            is a perfect shortcut, 0.5 none). None plants nothing.

    Raises:
        SettingsError: a value is out of its range.
    """

    n: int = 600
    seed: int = 7
    size: int = 256
    prevalence: float = 0.5
    max_views: int = 3
    marker_label_correlation: float | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise _out_of_range("n", self.n, "1 or more")
        if self.seed < 0:
            raise _out_of_range("seed", self.seed, "0 or more")
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise _out_of_range("size", self.size, f"{MIN_SIZE} to {MAX_SIZE} pixels")
        if not 0.0 <= self.prevalence <= 1.0:
            raise _out_of_range("prevalence", self.prevalence, "0 to 1")
        if not 1 <= self.max_views <= MAX_VIEWS:
            raise _out_of_range("max_views", self.max_views, f"1 to {MAX_VIEWS}")
        correlation = self.marker_label_correlation
        if correlation is not None and not 0.0 <= correlation <= 1.0:
            raise _out_of_range("marker_label_correlation", correlation, "0 to 1")


def _out_of_range(name: str, value: float, allowed: str) -> SettingsError:
    return SettingsError(
        f"phantom setting {name} is {value}, out of range", remedy=f"give {name} as {allowed}"
    )
