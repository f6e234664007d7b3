"""A process of its own: explain batches by one way, say how much memory that took.

Reads `make_way`'s arguments as JSON from standard input, the radiographs as the path of an .npy
file, and writes the highest resident memory in bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pneumoscope.benchmark.ways import make_way
from pneumoscope.comparison.peak_memory import peak_bytes

_STEPS = 3


def peak_megabytes(way: str, folder: Path, films: Path, batch: int, threads: int) -> float | None:
    """MB (10^6 bytes) of a fresh process, interpreter and libraries included; None if untold.

    Args:
        way, folder, batch, threads: as of `make_way`.
        films: an .npy file of (N, S, S) uint8.

    Raises:
        subprocess.CalledProcessError: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", __name__],
        input=json.dumps([way, str(folder), str(films), batch, threads]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    peak = json.loads(done.stdout.strip().splitlines()[-1])
    return None if peak is None else peak / 1e6


def main() -> None:
    """What the process of its own does."""
    name, folder, films, batch, threads = json.load(sys.stdin)
    way = make_way(name, Path(folder), np.load(films), batch, threads)
    with way.turn():
        for _ in range(_STEPS):
            way.step()
    print(json.dumps(peak_bytes()))


if __name__ == "__main__":
    main()
