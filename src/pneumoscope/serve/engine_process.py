"""What the worker process does: radiographs in through a pipe, answers out of it.

Decoding what strangers send happens here and nowhere else.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import ImageError, PneumoscopeError
from pneumoscope.serve.jobs import Answer
from pneumoscope.serve.settings import EngineSettings

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Engine, Explained, Failed


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its engine.

    Attributes:
        runtime: what computes.
        memory: resident, in bytes.
    """

    runtime: str
    memory: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """The worker cannot load its engine, and why."""

    problem: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes, between radiographs."""

    resident: int


Message = Ready | Unusable | Memory | Answer
Sent = tuple[str, Path]
"""A radiograph's id and file; None instead of one ends the worker."""


def run(pipe: Connection, settings: EngineSettings) -> None:
    """Serve until the pipe closes; the parent decides when, so signals are ignored here."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # What libraries say of a file can quote its values, a patient's name among them.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        from pneumoscope.inference import load_engine

        engine = load_engine(
            settings.bundle,
            engine=settings.engine,
            precision=settings.precision,
            threads=settings.threads,
            batch_size=settings.batch_size,
        )
    except PneumoscopeError as error:
        pipe.send(Unusable(str(error)))
        return
    pipe.send(Ready(str(engine.runtime), resident()))
    try:
        while (first := pipe.recv()) is not None:
            for answer in _answers(engine, settings, _arriving(pipe, first, settings)):
                pipe.send(answer)
            pipe.send(Memory(resident()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        # Its message may quote the file; its kind and place may be told.
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = "" if place is None else f" at {place.tb_frame.f_code.co_name}:{place.tb_lineno}"
        sys.stderr.write(f"worker: {type(error).__name__}{where}\n")
        os._exit(1)


def resident() -> int:
    """Resident memory of this process in bytes; at its peak where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10
    return pages * os.sysconf("SC_PAGE_SIZE")


def _arriving(pipe: Connection, first: Sent, settings: EngineSettings) -> Iterator[Sent]:
    """Films as long as there are more at once: the engine's batches form by themselves."""
    yield first
    for _ in range(settings.films_between_checks - 1):
        if not pipe.poll():
            return
        sent = pipe.recv()
        if sent is None:
            raise EOFError
        yield sent


def _answers(engine: Engine, settings: EngineSettings, films: Iterator[Sent]) -> Iterator[Answer]:
    """Answers in the radiographs' order; one refused by its header comes early."""
    from pneumoscope.findings import Finding
    from pneumoscope.imaging import read_header, read_radiograph
    from pneumoscope.inference import process_in

    refused: list[Answer] = []

    def passed() -> Iterator[Sent]:
        for key, path in films:
            try:
                read_header(path, limits=settings.limits)
            except ImageError as error:
                reason = ImageError(error.problem, remedy=error.remedy)
                found = Finding.from_error(key, reason, engine.info.model_id)
                refused.append(Answer(key, found.json_line()))
            else:
                yield key, path

    found = process_in(
        engine,
        passed(),
        partial(_answer, settings=settings),
        read=partial(read_radiograph, limits=settings.limits),
        batch_size=settings.batch_size,
        gate=True,
    )
    for answer in found:
        yield answer
        while refused:
            yield refused.pop(0)
    yield from refused


def _answer(item: Explained | Failed, *, settings: EngineSettings) -> Answer:
    from pneumoscope.imaging import is_dicom_file
    from pneumoscope.imaging.display import display_of
    from pneumoscope.imaging.png import encode_gray16, encode_unit
    from pneumoscope.inference import Failed
    from pneumoscope.serve.display import display_text

    if isinstance(item, Failed):
        return Answer(item.name, item.finding.json_line())
    radiograph = item.radiograph
    height, width = radiograph.pixels.shape
    is_dicom = is_dicom_file(radiograph.source, limits=settings.limits)
    shown = display_of(radiograph, is_dicom=is_dicom, limits=settings.limits)
    return Answer(
        item.name,
        item.finding.json_line(),
        film=encode_unit(radiograph.pixels),
        heatmap=encode_unit(item.heatmap) if item.finding.judged else None,
        width=width,
        height=height,
        source=_source(item) if settings.dicom and is_dicom else None,
        values=None if shown.levels is None else encode_gray16(shown.levels),
        display=display_text(shown, study=settings.study),
    )


def _source(item: Explained) -> str | None:
    """What DICOM objects carry of a radiograph; None if there can be none for it."""
    from pneumoscope.serve.objects import source_text

    return source_text(item)
