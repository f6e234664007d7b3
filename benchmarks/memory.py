"""Memory of `pneumoscope predict` while it works through many files.

Phantoms are drawn once and named many times over (hard links), so that nothing but the number of
files grows. The command runs in a process of its own; its resident memory is read when so many
findings are written. Linux only.

    python benchmarks/memory.py --bundle model.onnx
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pneumoscope.benchmark.timing import machine


def main() -> None:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, required=True, help="a file of pneumoscope export")
    parser.add_argument("--at", type=int, nargs="+", default=[500, 2000, 10000], help="films")
    parser.add_argument("--phantoms", type=int, default=500, help="different films")
    parser.add_argument("--side", type=int, default=256, help="their height in pixels")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("predict", nargs="*", help="further options of predict, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        films = draw(Path(folder), options.phantoms, options.side, max(options.at))
        figures = watch(films, options.bundle, Path(folder) / "out", options.at, options.predict)
    print("| radiographs | resident memory, MiB |\n|---|---|")
    for count, mebibytes in figures.items():
        print(f"| {count:,} | {mebibytes:.0f} |")
    if options.out:
        result = {"machine": machine(), "resident_mib": figures}
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def draw(folder: Path, phantoms: int, side: int, films: int) -> Path:
    """A folder of `films` files, of which `phantoms` differ."""
    from pneumoscope.phantom import PhantomSettings, write_cohort

    cohort = write_cohort(folder / "phantoms", PhantomSettings(n=phantoms, seed=11, size=side))
    drawn = sorted((cohort.root / "images").iterdir())
    target = folder / "films"
    target.mkdir()
    for index in range(films):
        film = drawn[index % len(drawn)]
        (target / f"{index:06}{film.suffix}").hardlink_to(film)
    return target


def watch(
    films: Path, bundle: Path, out: Path, counts: list[int], options: list[str]
) -> dict[int, float]:
    """Resident memory in MiB once so many findings are written."""
    command = [sys.executable, "-m", "pneumoscope", "predict", str(films)]
    command += ["--bundle", str(bundle), "--out", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    figures: dict[int, float] = {}
    waiting = sorted(counts)
    resident = 0.0
    lines, place = 0, 0
    while waiting:
        if process.poll() is None:
            resident = resident_mib(process.pid) or resident
            partial = out / "findings.partial.jsonl"
            if partial.is_file():
                with partial.open("rb") as stream:
                    stream.seek(place)
                    new = stream.read()
                lines, place = lines + new.count(b"\n"), place + len(new)
        elif process.returncode:
            sys.exit(f"predict failed: {process.communicate()[1].decode()}")
        else:
            lines = max(counts)
        while waiting and lines >= waiting[0]:
            figures[waiting.pop(0)] = resident
        time.sleep(0.02)
    process.wait()
    return figures


def resident_mib(pid: int) -> float | None:
    """Resident memory of a process in MiB; None once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    lines = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else None


if __name__ == "__main__":
    main()
