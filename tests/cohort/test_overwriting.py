"""`scan` and `join` write two or three files; none of them replaces somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.cli.join import join
from pneumoscope.cli.scan import scan
from pneumoscope.errors import OutputError
from tests.cohort.films import film, save


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for number, label in enumerate(("NORMAL", "PNEUMONIA") * 3):
        save(tmp_path / "films" / label / f"{number}.png", film(number))
    return tmp_path / "films"


@pytest.mark.parametrize("name", ["c.csv", "c.json", "c.audit.json"])
def test_scan_replaces_no_file_without_force(films: Path, name: str) -> None:
    theirs = films.parent / name
    theirs.write_text("{}")
    with pytest.raises(OutputError, match=r"already exists.*--force") as caught:
        scan(films, films.parent / "c.csv")
    assert caught.value.path == theirs and theirs.read_text() == "{}"
    assert not (films.parent / "c.csv").exists() or name == "c.csv"
    scan(films, films.parent / "c.csv", force=True)
    assert theirs.read_text() != "{}"


def test_join_replaces_no_file_without_force(films: Path) -> None:
    for name in ("a", "b"):
        scan(films, films.parent / f"{name}.csv")
    cohorts = [films.parent / "a.csv", films.parent / "b.csv"]
    out = films.parent / "ab.csv"
    for theirs in (out, out.with_suffix(".json")):
        theirs.write_text("{}")
        with pytest.raises(OutputError, match=r"already exists.*--force") as caught:
            join(cohorts, out)
        assert caught.value.path == theirs and theirs.read_text() == "{}"
        theirs.unlink()
    # Of an audit nothing is written here.
    out.with_suffix(".audit.json").write_text("{}")
    join(cohorts, out)
    assert out.exists() and out.with_suffix(".audit.json").read_text() == "{}"
