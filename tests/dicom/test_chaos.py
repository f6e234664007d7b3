"""Films in = results out, while the node is killed, its disk full and its archive choosy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS, RESULT = ROOT / "benchmarks", ROOT / "results" / "node" / "chaos.json"


@pytest.mark.slow
def test_a_little_chaos_loses_no_film(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, str(BENCHMARKS / "node.py"), "--out", str(out)]
    few = ["--films", "24", "--associations", "6", "--kills", "2", "--full", "1"]
    done = subprocess.run([*command, *few], capture_output=True, text=True, check=False)
    found = json.loads(out.read_text()) if out.exists() else {}
    assert done.returncode == 0, (found, done.stderr)
    assert found["films"] == found["delivered_films"] == found["left_in_queue"]["done"] == 24
    assert found["faults"]["kills"] == 2


def test_the_committed_run_lost_no_film() -> None:
    found = json.loads(RESULT.read_text())
    assert found["films"] == found["acknowledged"] == found["delivered_films"] >= 300
    assert found["missing"] == found["unknown"] == found["films_with_two_results"] == 0
    assert found["faults"]["kills"] >= 6
    assert found["faults"]["full disks"] >= 2
    assert found["callers"]["threads"] >= 100
