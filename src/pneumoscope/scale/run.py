"""Ray Data over units of radiographs: started, watched, closed; interrupted, it is continued."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pneumoscope
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import MissingExtra, OutputError, PneumoscopeError, SettingsError
from pneumoscope.extras import how_to_install
from pneumoscope.files import PREDICTED
from pneumoscope.inference import Engine
from pneumoscope.inference.file_engine import FileEngine
from pneumoscope.scale.parts import Plan, Unit, plan
from pneumoscope.scale.storage import Place
from pneumoscope.scale.worker import Finder, Job

REUSED = "reused.txt"
# Only units, counts and the model travel through Ray's own memory; radiographs never do.
_OBJECT_STORE = 2**28
_STARTS = 5


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """How an archive is done.

    Attributes:
        workers: processes with an engine each; None for one per CPU.
        threads: of each engine.
        batch_size: radiographs per call of an engine.
        unit: radiographs per part: what is lost at most when a worker dies.
        address: of a Ray cluster; None to start Ray on this machine for as long as it takes.
        gate: ask the input gate of each radiograph.
    """

    workers: int | None = None
    threads: int = 1
    batch_size: int = 16
    unit: int = 256
    address: str | None = None
    gate: bool = True


@dataclass(frozen=True, slots=True)
class Archived:
    """What was done.

    Attributes:
        kept: radiographs that had a finding before, and have not changed since.
        changed: radiographs that have changed since their finding was made, and were done again.
        found: radiographs done now, those in error included.
        failed: radiographs in error, of those.
    """

    kept: tuple[str, ...]
    changed: tuple[str, ...]
    found: int
    failed: int


def predict_archive(
    engine: Engine,
    names: Sequence[str],
    out: str,
    *,
    threshold: float | None = None,
    settings: ArchiveSettings | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Archived:
    """Find in all radiographs; write `out/findings/*.parquet`, one row per radiograph.

    Args:
        engine: a loaded file of `pneumoscope export`; each worker loads it anew.
        names: paths or URIs, each once.
        out: path or URI of a folder; new, or left by an earlier call with the same model and
            settings, which are kept in `predict.json`.
        threshold: decide at this probability instead of the bundle's threshold.
        settings: workers and sizes.
        progress: told how many of the radiographs to do are done.

    Raises:
        SettingsError: the engine runs no exported file.
        PneumoscopeError: Ray is not installed or fails, or the cluster cannot be reached.
        OutputError: `out` holds something else, or findings made with other settings.
    """
    if not isinstance(engine, FileEngine):
        raise SettingsError(
            "ray runs exported files alone", remedy="write one with pneumoscope export"
        )
    settings = settings or ArchiveSettings()
    used = engine.info.threshold if threshold is None else threshold
    _require_ray()
    place = Place.at(out)
    identity = {
        "model": engine.info.model_id,
        "threshold": used,
        "gate": settings.gate,
        "engine": "ray",
        "precision": engine.runtime.precision,
        "unit": settings.unit,
    }
    _claim(place, identity)
    todo = plan(names, place, size=settings.unit)
    place.below(REUSED).write_bytes("".join(f"{name}\n" for name in todo.kept).encode())
    if not todo.units:
        return Archived(todo.kept, todo.changed, 0, 0)
    job = Job(
        version=pneumoscope.__version__,
        runtime=engine.runtime,
        threads=settings.threads,
        threshold=used,
        batch_size=settings.batch_size,
        base=os.getcwd(),  # noqa: PTH109
        out=out if "://" in out else place.path,
        gate=settings.gate,
    )
    with _ray(settings):
        found, failed = _run(todo, job, engine.path.read_bytes(), settings, progress)
    return Archived(todo.kept, todo.changed, found, failed)


def _require_ray() -> None:
    try:
        # Before Ray is imported: nothing about anybody's use is to be sent to anybody.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # The core writes to the terminal what concerns its developers.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        import pyarrow  # noqa: F401
        import ray.data  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{error.name} is not installed", remedy=how_to_install("scale")
        ) from error


def _claim(out: Place, identity: dict[str, Any]) -> None:
    """Make `out` an output of these settings, or see that it is one."""
    content = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    known = out.below(PREDICTED).read_bytes()
    if known is None:
        if out.names():
            raise OutputError(
                f"{out.text} is not empty and not a folder of findings",
                remedy="choose another --out folder",
            )
        out.below(PREDICTED).write_bytes(content.encode())
    elif known != content.encode():
        raise OutputError(
            f"{out.text} holds findings of another model or other settings",
            remedy="choose another --out folder",
        )


@contextmanager
def _ray(settings: ArchiveSettings) -> Iterator[None]:
    """A Ray for this call: of this machine alone, or the cluster at the address."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.address is None:
        options["num_cpus"] = settings.threads * (settings.workers or _workers(settings))
        options["include_dashboard"] = False
        options["object_store_memory"] = _OBJECT_STORE
    for attempt in range(1, _STARTS + 1):
        try:
            with _silent_stderr():
                ray.init(address=settings.address or "local", **options)
            break
        except Exception as error:  # Ray raises bare exceptions, too.
            ray.shutdown()
            # A busy machine may take longer than the half minute that Ray waits for itself.
            if settings.address is None and "timed out" in str(error) and attempt < _STARTS:
                continue
            here = settings.address is None
            failed = "started" if here else f"reached at {settings.address}"
            words = str(error).strip().partition("\n")[0].rstrip(".")
            raise PneumoscopeError(
                f"Ray cannot be {failed} ({words})",
                remedy="run again when this machine has less to do"
                if here
                else "check the address",
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's core writes to the process's stderr, past Python's; what matters it raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _workers(settings: ArchiveSettings) -> int:
    return max(1, available_cpus() // settings.threads)


def _run(
    todo: Plan,
    job: Job,
    model: bytes,
    settings: ArchiveSettings,
    progress: Callable[[int, int], None],
) -> tuple[int, int]:
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    cpus: float = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    workers = settings.workers or max(1, int(cpus) // settings.threads)
    counts = (
        ray.data.from_items(
            [_row(unit) for unit in todo.units], override_num_blocks=len(todo.units)
        )
        .map_batches(
            Finder,
            fn_constructor_kwargs={"job": job, "model": [ray.put(model)]},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(todo.units))),
            num_cpus=settings.threads,
        )
        .iter_rows()
    )
    total = sum(len(unit.names) for unit in todo.units)
    found = failed = 0
    progress(0, total)
    try:
        for row in counts:
            found, failed = found + row["found"], failed + row["failed"]
            progress(found, total)
    except ray.exceptions.RayError as error:
        raise _plain(error) from error
    return found, failed


def _plain(error: Exception) -> PneumoscopeError:
    """What a worker raised, as it raised it; else what Ray says, in one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PneumoscopeError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    words = str(error).strip().rpartition("\n")[2][:200]
    return PneumoscopeError(f"Ray failed ({words})", remedy="run again: it continues")


def _row(unit: Unit) -> dict[str, Any]:
    return {"part": unit.part, "names": list(unit.names)}
