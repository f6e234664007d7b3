"""The whole audit: five tests, four of heatmaps and one of the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

from pneumoscope.audit.deletion import explained_films, pixel_deletion
from pneumoscope.audit.marker import marker_shortcut
from pneumoscope.audit.outcome import Outcome
from pneumoscope.audit.places import heat_places
from pneumoscope.audit.probe import Probe, WhiteBox
from pneumoscope.audit.randomisation import MAX_STEPS, weight_randomisation
from pneumoscope.audit.sample import AuditFilm, Progress
from pneumoscope.audit.shortcuts import shortcuts
from pneumoscope.errors import BundleError, EvaluationError, SettingsError
from pneumoscope.inference import Engine
from pneumoscope.lungs import LungSegmenter
from pneumoscope.models.classifier import Classifier

TESTS = {
    "randomisation": "Weights drawn anew",
    "deletion": "Hottest pixels removed",
    "marker": "Markers stamped",
    "places": "Places of heat",
    "shortcuts": "Parts of radiographs hidden",
}
"""Name and title of each test, in their order."""

Stage = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an audit.

    Attributes:
        seed: of new weights, random order, ties and noise.
        max_steps: blocks of the weight randomisation at which heatmaps are compared.
        tests: which of `TESTS`, in their order.
    """

    seed: int = 0
    max_steps: int = MAX_STEPS
    tests: tuple[str, ...] = tuple(TESTS)

    def __post_init__(self) -> None:
        unknown = set(self.tests) - set(TESTS)
        if unknown or not self.tests:
            raise SettingsError(
                f"no test is called '{', '.join(sorted(unknown))}'",
                remedy=f"name some of {', '.join(TESTS)}",
            )


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        model: the bundle's short identity.
        heatmap: the bundle's heatmap.
        n, n_patients, n_positive: radiographs, their patients, those of the positive label.
        n_called: radiographs the bundle calls positive.
        n_explained: radiographs whose heatmaps deletion and places look at.
        outcomes: by test, in the order of `TESTS`.
    """

    model: str
    heatmap: str
    n: int
    n_patients: int
    n_positive: int
    n_called: int
    n_explained: int
    outcomes: Mapping[str, Outcome]

    @property
    def warnings(self) -> list[str]:
        """All tests' warnings."""
        return [text for outcome in self.outcomes.values() for text in outcome.warnings]

    def to_dict(self) -> dict[str, Any]:
        """As `audit.json` holds it."""
        return {
            "model": self.model,
            "heatmap": self.heatmap,
            "n": self.n,
            "n_patients": self.n_patients,
            "n_positive": self.n_positive,
            "n_called_positive": self.n_called,
            "n_explained": self.n_explained,
            "passed": {name: outcome.passed for name, outcome in self.outcomes.items()},
            "warnings": self.warnings,
            "tests": {
                name: {"title": TESTS[name], **outcome.to_dict()}
                for name, outcome in self.outcomes.items()
            },
        }


def run_audit(
    engine: Engine,
    films: Sequence[AuditFilm],
    settings: Settings | None = None,
    stage: Stage | None = None,
    *,
    scored: Sequence[AuditFilm] | None = None,
    table: Mapping[str, Mapping[str, float]] | None = None,
) -> Audit:
    """Put a bundle and its explanations to five tests.

    Args:
        engine: a loaded bundle whose network can be taken apart.
        films: the sample, from `cohort_films` or `phantom_films`.
        settings: how.
        stage: called with each test's title; gives the context in which its progress is reported.
        scored: the sample of the test of shortcuts, which a ROC-AUC asks to be larger; `films` if
            None.
        table: what the cohort's table tells of those, from `table_scores`.

    Raises:
        EvaluationError: no radiograph.
        SettingsError: a test is not known.
        BundleError: the engine does not give away its network.
        WeightsError: lungs have to be found and the segmenter cannot be loaded.
    """
    if not films:
        raise EvaluationError("an audit needs radiographs", remedy="give some")
    white = _taken_apart(engine)
    settings = settings or Settings()
    stage = stage or (lambda _: nullcontext(None))
    scored = films if scored is None else scored
    unknown = any(film.lungs is None for film in (*films, *scored))
    lungs = LungSegmenter.load() if unknown or Probe(engine).own.anatomical else None
    probe = Probe(engine, lungs)
    explained, called = explained_films(probe, films)
    tests: dict[str, Callable[[Progress | None], Outcome]] = {
        "randomisation": lambda progress: weight_randomisation(
            white, films, settings.seed, progress, settings.max_steps
        ),
        "deletion": lambda progress: pixel_deletion(probe, explained, settings.seed, progress),
        "marker": lambda progress: marker_shortcut(probe, films, progress),
        "places": lambda progress: heat_places(probe, explained, lungs, progress),
        "shortcuts": lambda progress: shortcuts(probe, scored, lungs, table or {}, progress),
    }
    outcomes = {}
    for name, title in TESTS.items():
        if name not in settings.tests:
            continue
        with stage(title) as progress:
            outcomes[name] = tests[name](progress)
    return Audit(
        model=engine.info.model_id,
        heatmap=engine.info.heatmap,
        n=len(films),
        n_patients=len({film.patient for film in films}),
        n_positive=sum(film.target for film in films),
        n_called=called,
        n_explained=len(explained),
        outcomes=outcomes,
    )


def _taken_apart(engine: Engine) -> WhiteBox:
    if not isinstance(getattr(engine, "classifier", None), Classifier):
        raise BundleError(
            "cannot be audited: its network cannot be drawn anew",
            remedy="audit the bundle with its safetensors weights",
        )
    return cast("WhiteBox", engine)
