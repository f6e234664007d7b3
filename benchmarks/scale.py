"""An archive: its speed, memory and processor time, with a kill in the middle. Linux only.

    python benchmarks/scale.py --out scale.json

Phantoms are drawn once and named many times over (hard links), so that nothing but the number of
files grows. The command runs in a process of its own, by `predict` and by `predict --engine ray`.
It and all that it starts are killed with SIGKILL when half of the radiographs are done, and the
same command is run again. At the end every radiograph must have one finding. Meanwhile the resident
memory and the processor time of all its processes are read. If all were done before the kill, the
second run has nothing to do and no speed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumoscope.benchmark.random_bundle import FLOAT32_FILE, prepare
from pneumoscope.benchmark.timing import machine

WAYS = {
    "predict": ("--no-heatmaps", "--no-overlays"),
    "ray": ("--engine", "ray"),
}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--phantoms", type=int, default=500, help="different radiographs")
    parser.add_argument("--side", type=int, default=256, help="their height in pixels")
    parser.add_argument("--backbone", default="mobilenet_v3", help="with random weights")
    parser.add_argument("--size", type=int, default=96, help="side of its input in pixels")
    parser.add_argument("--bundle", type=Path, help="a file of pneumoscope export instead")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--kill", type=float, default=0.5, help="share done then; 0 for no kill")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two looks")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "command": " ".join(sys.argv), "ways": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = draw(folder, options.phantoms, options.side, options.films)
        bundle = options.bundle
        if bundle is None:
            prepare(folder / "bundle", options.backbone, options.size, "regional+mirror+lungs")
            bundle = folder / "bundle" / FLOAT32_FILE
        for way in options.ways:
            command = [sys.executable, "-m", "pneumoscope", "predict", str(films), "--quiet"]
            command += ["--bundle", str(bundle), *WAYS[way], "--out", str(folder / way)]
            result["ways"][way] = measure(command, folder / way, options)
            shutil.rmtree(folder / way)
    show(result["ways"])
    if options.out:
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
        (target / f"{index:07}{film.suffix}").hardlink_to(film)
    return target


@dataclass(slots=True)
class Run:
    """What was read while a command ran.

    Attributes:
        seconds: from its start to its end, or to the kill.
        mib: resident memory of all its processes, by radiographs done.
        processor: seconds of each of its processes.
    """

    seconds: float = 0.0
    mib: dict[int, int] = field(default_factory=dict)
    processor: dict[int, float] = field(default_factory=dict)


def measure(command: list[str], out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of a command that is killed once and run again; ends the program if it fails."""
    films, kill, interval = options.films, options.kill, options.interval
    runs = [watch(command, out, films, round(films * kill), interval)] if kill else []
    kept = sum(1 for _ in findings(out)) if runs else 0
    runs.append(watch(command, out, films, films + 1, interval))
    names = list(findings(out))
    done, seconds = films - kept, runs[-1].seconds
    processor = sum(runs[-1].processor.values())
    return {
        "radiographs": films,
        "findings": len(names),
        "different": len(set(names)),
        "kept_after_the_kill": kept,
        "seconds": [round(run.seconds, 1) for run in runs],
        "radiographs_per_second": round(done / seconds, 1) if done else None,
        "processor_ms_per_radiograph": round(1000 * processor / done, 2) if done else None,
        "resident_mib": [run.mib for run in runs],
    }


def watch(command: list[str], out: Path, films: int, kill_at: int, interval: float) -> Run:
    """Run a command, or kill it and its processes once so many radiographs are done.

    Args:
        command: what to run.
        out: where it writes its findings.
        films: how many radiographs it has to do.
        kill_at: radiographs done when it is killed; above `films` for never.
        interval: seconds between two looks.
    """
    run, written, began = Run(), Written(out), time.monotonic()
    kept = written.count()
    marks = [mark for share in (1, 3, 5, 7, 9) if (mark := films * share // 10) > kept]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        while process.poll() is None:
            family = descendants(process.pid)
            resident = sum(memory for memory, _ in family.values()) / 2**20
            run.processor |= {pid: seconds for pid, (_, seconds) in family.items()}
            done = written.count()
            while marks and done >= marks[0]:
                marks.pop(0)
                run.mib[done] = round(resident)
            if done >= kill_at:
                for pid in family:
                    with suppress(ProcessLookupError):  # It has ended meanwhile.
                        os.kill(pid, signal.SIGKILL)
                break
            time.sleep(interval)
        errors = process.communicate()[1].decode()
    run.seconds = time.monotonic() - began
    if process.returncode > 0:
        sys.exit(f"predict failed: {errors}")
    return run


class Written:
    """How many findings a folder holds; what was counted is not read again.

    Args:
        out: the folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lines, self._place = 0, 0
        self._parts: dict[Path, int] = {}

    def count(self) -> int:
        """Lines of the file that is being written, and rows of all parts."""
        partial = self._out / "findings.partial.jsonl"
        if partial.is_file():
            with partial.open("rb") as stream:
                stream.seek(self._place)
                new = stream.read()
            self._lines, self._place = self._lines + new.count(b"\n"), self._place + len(new)
        for path in set(self._out.rglob("*.parquet")) - set(self._parts):
            from pyarrow.parquet import read_metadata

            self._parts[path] = read_metadata(path).num_rows
        return self._lines + sum(self._parts.values())


def findings(out: Path) -> Iterator[str]:
    """The radiographs that have a finding in a folder, by name."""
    for path in sorted(out.glob("findings*.jsonl")):
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                if line.endswith("\n"):
                    yield json.loads(line)["image"]
    parts = sorted(out.rglob("*.parquet"))
    if parts:
        from pyarrow.parquet import read_table

        for path in parts:
            yield from read_table(path, columns=["image"])["image"].to_pylist()


def descendants(pid: int) -> dict[int, tuple[int, float]]:
    """Resident bytes and seconds of processor time of a process and of all below it."""
    parents: dict[int, int] = {}
    figures: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in brackets, may hold spaces.
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        parents[int(folder.name)] = int(words[1])
        spent = (int(words[11]) + int(words[12])) / _TICKS
        figures[int(folder.name)] = (int(words[21]) * _PAGE, spent)
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {each: figures[each] for each in family if each in figures}


def show(ways: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    print("| | radiographs/s | processor, ms each | resident memory, MiB | findings |")
    print("|---|---|---|---|---|")
    for way, found in ways.items():
        memory = [mib for run in found["resident_mib"] for mib in run.values()]
        span = f"{min(memory)} to {max(memory)}" if memory else ""
        speed = found["radiographs_per_second"] or ""
        each = found["processor_ms_per_radiograph"] or ""
        print(
            f"| {way} | {speed} | {each} | {span} "
            f"| {found['findings']:,} of {found['radiographs']:,} |"
        )


if __name__ == "__main__":
    main()
