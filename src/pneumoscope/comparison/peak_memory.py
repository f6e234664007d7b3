"""A process of its own: load a bundle, explain radiographs, say how much memory that took.

`python -m pneumoscope.comparison.peak_memory BUNDLE` reads a JSON list of files from standard input
and writes `{"peak_bytes": ..., "explained": ...}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def explain(bundle: Path, files: list[str]) -> int:
    """Load a bundle and explain files as `predict` does; how many could be read."""
    from pneumoscope.inference import Explained, explain_in, load_engine

    pairs = [(name, Path(name)) for name in files]
    return sum(isinstance(item, Explained) for item in explain_in(load_engine(bundle), pairs))


def peak_bytes() -> int | None:
    """The highest resident memory of this process so far; None where nobody tells.

    On Linux from `VmHWM`, which starts anew with the program; `ru_maxrss` does not, it begins with
    what the parent process held when it started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def main() -> None:
    """Run the process."""
    explained = explain(Path(sys.argv[1]), json.load(sys.stdin))
    print(json.dumps({"peak_bytes": peak_bytes(), "explained": explained}))


if __name__ == "__main__":
    main()
