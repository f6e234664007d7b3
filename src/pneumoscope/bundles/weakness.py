"""Where a model was measured to be weak, so that its words about such a radiograph can say so."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

_Years = Annotated[float, Field(ge=0, le=150)]


class WeaknessInfo(BaseModel):
    """A subgroup of radiographs in which the model was measured to be weak.

    Attributes:
        measured: what was measured in which subgroup, in words that readers see, such as
            "on PA radiographs sensitivity was .58 (95 % CI .39 to .75)"; without n.
        n: how many radiographs it was measured on.
        views: DICOM view positions of the subgroup, such as PA; empty for every view.
        from_age, below_age: the patients' age in years; None where that side is open.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measured: Annotated[str, Field(min_length=1, max_length=300)]
    n: Annotated[int, Field(gt=0)]
    views: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9 _]{1,16}$")], ...] = ()
    from_age: _Years | None = None
    below_age: _Years | None = None

    @model_validator(mode="after")
    def _is_a_subgroup(self) -> Self:
        if not self.views and self.from_age is None and self.below_age is None:
            raise ValueError("a weakness needs views, from_age or below_age")
        return self

    def concerns(self, view: str | None, age: float | None) -> bool:
        """Whether a radiograph is known to belong to the subgroup.

        Args:
            view: its view position; None if unknown.
            age: the patient's, in years; None if unknown.
        """
        if self.views and view not in self.views:
            return False
        if self.from_age is None and self.below_age is None:
            return True
        low, high = self.from_age, self.below_age
        return age is not None and (low is None or age >= low) and (high is None or age < high)

    @property
    def words(self) -> str:
        """What readers see."""
        return f"{self.measured.rstrip('.')} (n = {self.n})"


def weaknesses_of(content: object) -> tuple[WeaknessInfo, ...]:
    """Weaknesses from a list of mappings, as JSON or YAML gives one.

    Raises:
        ValueError: it is not such a list; what is wrong at which place of it.
    """
    try:
        return TypeAdapter(tuple[WeaknessInfo, ...]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from error
