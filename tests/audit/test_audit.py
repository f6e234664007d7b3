"""The whole audit of a trained run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pneumoscope.audit import TESTS, Settings, phantom_films, run_audit
from pneumoscope.audit.sample import Progress
from pneumoscope.errors import BundleError, EvaluationError, SettingsError
from pneumoscope.inference import load_engine
from tests.audit.engines import KnownEngine, film, heat_on_square, square_of


@pytest.mark.slow
def test_a_run_is_audited(run_folder: Path) -> None:
    stages: list[str] = []
    calls: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def stage(title: str) -> Iterator[Progress]:
        stages.append(title)
        yield lambda done, total: calls.setdefault(title, []).append((done, total))

    engine = load_engine(run_folder)
    films = phantom_films(10, 2, 64)
    found = run_audit(engine, films, Settings(seed=1, max_steps=3), stage)
    assert stages == list(TESTS.values()) == list(calls)
    assert all(seen[-1][0] == seen[-1][1] for seen in calls.values())
    content = found.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["n"] == 10 and content["n_explained"] >= 8
    assert content["n_patients"] == len({film.patient for film in films})
    assert list(content["tests"]) == list(TESTS) == list(content["passed"])
    for test in content["tests"].values():
        assert test["passed"] or test["warnings"]
        for figures in (test["figures"], *(row["figures"] for row in test["rows"])):
            for interval in figures.values():
                assert set(interval) == {"value", "low", "high"}
    every = [text for test in content["tests"].values() for text in test["warnings"]]
    assert content["warnings"] == every
    again = run_audit(engine, films, Settings(seed=1, max_steps=3))
    assert again.to_dict() == content


def test_what_cannot_be_audited() -> None:
    def score(films):  # type: ignore[no-untyped-def]
        return square_of(films).mean(axis=(1, 2))

    engine = KnownEngine(score, heat_on_square)
    with pytest.raises(EvaluationError, match="needs radiographs"):
        run_audit(engine, [])
    with pytest.raises(BundleError, match="drawn anew"):
        run_audit(engine, [film(0)])


def test_some_tests_alone(run_folder: Path) -> None:
    found = run_audit(load_engine(run_folder), phantom_films(4, 0, 64), Settings(tests=("places",)))
    assert list(found.outcomes) == ["places"]
    with pytest.raises(SettingsError, match="no test is called 'places!'"):
        Settings(tests=("places!",))
