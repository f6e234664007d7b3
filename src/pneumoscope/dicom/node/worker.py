"""The thread that takes radiographs from the queue through the model, and queues the objects."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.dicom.deidentify import Pseudonyms
from pneumoscope.dicom.node.log import say
from pneumoscope.dicom.node.loop import Loop
from pneumoscope.dicom.node.queue import Queue
from pneumoscope.dicom.node.tally import Tally
from pneumoscope.dicom.objects import Kind
from pneumoscope.dicom.outcome import Outcome, tell
from pneumoscope.dicom.result import Report
from pneumoscope.dicom.selection import refuse_unless_chest_film
from pneumoscope.dicom.source import read_source
from pneumoscope.errors import ImageError, OutputError
from pneumoscope.imaging import Radiograph, read_radiograph

if TYPE_CHECKING:  # For start-up time.
    from pneumoscope.inference import Engine

# A radiograph in hand when the machine goes down has been begun, too: not too few.
MOST_ATTEMPTS = 5
_IDLE_SECONDS = 5.0
_AFTER_ERROR_SECONDS = 5.0


class _NothingMade(Exception):
    """Every object of a radiograph failed; the text names kinds, and nothing of the patient."""


class Worker(Loop):
    """Reads radiograph after radiograph until told to stop.

    Args:
        queue: the node's.
        engine: a loaded bundle.
        kinds: which objects to make.
        pseudonyms: given, the objects do not name the patient.
        gate: ask the input gate of each radiograph.
        tally: the node's.
    """

    def __init__(
        self,
        queue: Queue,
        engine: Engine,
        kinds: tuple[Kind, ...],
        pseudonyms: Pseudonyms | None,
        *,
        gate: bool,
        tally: Tally,
    ) -> None:
        super().__init__(queue, "worker")
        self._engine = engine
        self._kinds, self._pseudonyms, self._gate = kinds, pseudonyms, gate
        self._tally = tally
        self._step = ""

    def _run(self) -> None:
        for seen in self._looks():
            waiting = self._queue.waiting()
            if not waiting:
                self._queue.wait(_IDLE_SECONDS, seen)
            for key, path in waiting:
                if self._stop.is_set():
                    return
                self._attempt(key, path)

    def _attempt(self, key: str, path: Path) -> None:
        staged = None
        self._step = "the queue"
        try:
            times = self._queue.begin(key)
            if times > MOST_ATTEMPTS:
                say(
                    logging.ERROR,
                    "film.quarantined",
                    "radiograph {film} failed {times} times: in quarantine",
                    film=key[:12],
                    times=MOST_ATTEMPTS,
                )
                self._tally.add("films", "failure")
                self._queue.quarantine(key, {"chosen": False, "decided_by": "failure"})
                return
            staged = self._queue.staging(key)
            outcome, film = self._read(key, path, staged)
            self._step = "the queue"
            self._queue.processed(key, staged, note(outcome), film)
        except Exception as error:  # The radiograph stays where it is.
            say(
                logging.ERROR,
                "film.failed",
                "radiograph {film} failed at {step}: {error}",
                film=key[:12],
                step=self._step,
                error=_said(error),
            )
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
            if _is_of_the_disk(error):  # Not the radiograph's fault.
                self._queue.begin_again(key)
            self._stop.wait(_AFTER_ERROR_SECONDS)
            return
        self._tell_left_out(key, outcome)
        self._tally.add("films", "read" if outcome.chosen else outcome.decided_by)
        say(
            logging.INFO,
            "film.read" if outcome.chosen else "film.set_aside",
            "radiograph {film} read: {objects} objects"
            if outcome.chosen
            else "radiograph {film} not read: {reason}",
            film=key[:12],
            objects=len(outcome.objects),
            decided_by=outcome.decided_by,
            reason=outcome.reason,
        )

    def _tell_left_out(self, key: str, outcome: Outcome) -> None:
        for kind, problem in outcome.left_out.items():
            say(
                logging.WARNING,
                "object.left_out",
                "radiograph {film}: {problem}",
                film=key[:12],
                kind=kind,
                problem=problem,
            )

    def _read(self, key: str, path: Path, staged: Path) -> tuple[Outcome, str | None]:
        """What became of a radiograph, and what identifies it; None where it was not read."""
        from pneumoscope.inference import explain_in

        self._step = "reading"
        try:
            refuse_unless_chest_film(path)
        except ImageError as error:
            return Outcome(key, False, "tags", error.problem), None
        try:
            radiograph = read_radiograph(path)
            film = read_source(path, radiograph.pixels).digest
        except ImageError as error:
            return Outcome(key, False, "reading", error.problem), None
        twin = self._queue.twin(film, key)
        if twin is not None:
            return Outcome(key, False, "duplicate", f"the same radiograph as {twin:.12}"), None
        self._step = "the model"
        (item,) = explain_in(
            self._engine, [(key, radiograph)], read=_as_read, batch_size=1, gate=self._gate
        )
        self._step = "the objects"
        outcome, _ = tell(
            item,
            path,
            self._engine.info,
            self._kinds,
            staged.parent,
            staged.name,
            self._pseudonyms,
            self._predecessor(film),
        )
        if outcome.left_out and not outcome.objects:  # Quarantine keeps the radiograph.
            raise _NothingMade("; ".join(outcome.left_out.values()))
        self._remember(film, staged / "sr.dcm")
        return outcome, film

    def _predecessor(self, film: str) -> Report | None:
        uids = self._queue.report(self._name(film))
        return None if uids is None else Report(*uids)

    def _remember(self, film: str, path: Path) -> None:
        from pydicom import dcmread

        if path.exists():
            made = dcmread(path, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
            uids = (str(made.SeriesInstanceUID), str(made.SOPInstanceUID))
            self._queue.remember_report(self._name(film), uids)

    def _name(self, film: str) -> str:
        """Of the report: another one under pseudonyms, which must not refer to the first."""
        return film if self._pseudonyms is None else self._pseudonyms.code("film", film)


def _as_read(radiograph: Radiograph, /, *, model: int | None = None) -> Radiograph:
    """All of a radiograph that is read already."""
    return radiograph


def _said(error: Exception) -> str:
    """An error for the log; the messages of others can quote values, that is names."""
    return str(error) if isinstance(error, _NothingMade) else type(error).__name__


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the system refused to read or write; libraries raise OSError without a number."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    return isinstance(cause, OSError) and cause.errno is not None


def note(outcome: Outcome) -> dict[str, Any]:
    """What is kept of an outcome: no names of files, no answer about the patient."""
    return {
        "chosen": outcome.chosen,
        "decided_by": outcome.decided_by,
        "reason": outcome.reason,
        "objects": len(outcome.objects),
        **({"left_out": dict(outcome.left_out)} if outcome.left_out else {}),
    }
