"""Scans of real cohorts; the counts are facts about the public files at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pneumoscope.cohort import EXCLUDED, ScanSettings, scan

pytestmark = pytest.mark.data


def _data(name: str) -> Path:
    folder = os.environ.get("PNEUMOSCOPE_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"PNEUMOSCOPE_DATA does not hold {name}")
    return Path(folder) / name


@pytest.mark.slow
def test_kermany() -> None:
    result = scan(_data("chest_xray"), ScanSettings(keep_official=True))
    audit = result.audit
    if audit.total.radiographs != 5254:
        pytest.skip("another selection of the Kermany set")
    assert audit.identity == {"kermany": 5254}
    assert audit.total.patients == 2778
    byte = audit.groups("byte")
    assert len(byte) == 28
    assert [group.patients for group in byte if group.crosses_patients] == [
        ("NORMAL2-IM-0095", "NORMAL2-IM-0096")
    ]
    assert audit.groups("near") == []
    assert len(audit.official_overlap) == 154
    assert audit.by_split[EXCLUDED].total.radiographs == 431
    assert audit.by_split["test"].total.radiographs == 546


def test_rsna_has_no_false_duplicates() -> None:
    audit = scan(_data("rsna/cohort.csv")).audit
    assert audit.identity == {"column": audit.total.radiographs}
    assert audit.duplicates == ()
