"""Between the queue and one worker: feeds it, hears it, replaces it."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from pneumoscope.errors import BundleError
from pneumoscope.serve.engine_process import Memory, Message, Ready, Unusable, run
from pneumoscope.serve.jobs import Answer, Job, WorkQueue
from pneumoscope.serve.settings import ServeSettings

_LOG = logging.getLogger(__name__)
_STARTING = 300.0
# Between looks for new radiographs while the worker has some: short against a radiograph's time.
_LOOK = 0.01


class WorkerDied(Exception):
    """A worker died, or hung, with this radiograph alone."""


@dataclass(slots=True)
class Tally:
    """What happened so far.

    Attributes:
        answered: radiographs.
        restarts: workers replaced because they died or hung.
        recycled: workers replaced because their memory grew.
        memory: of the worker when it was last heard of, in bytes.
        seconds: per radiograph, a moving mean while there is work.
    """

    answered: int = 0
    restarts: int = 0
    recycled: int = 0
    memory: int = 0
    seconds: float = 0.5


class Lane:
    """One worker process and the thread that speaks with it.

    Args:
        settings: of the server.
        queue: where radiographs come from; other lanes may take from it too.
    """

    def __init__(self, settings: ServeSettings, queue: WorkQueue) -> None:
        self._settings, self._queue = settings, queue
        self.tally = Tally()
        self.runtime = ""
        self.ready = threading.Event()
        self._flying: dict[str, Job] = {}
        self._window = 3 * settings.engine.batch_size
        self._base = 0
        # Whether the worker is to tell its memory, and whether that has grown too much.
        self._owed = self._grown = False
        self._heard = 0.0
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._thread = threading.Thread(target=self._serve, name="lane", daemon=True)

    def start(self) -> None:
        """Load the engine in the worker and take radiographs from the queue.

        Raises:
            BundleError: it cannot be loaded.
        """
        self._launch()
        self._thread.start()

    def stop(self) -> None:
        """Finish what was accepted, then end the worker; the queue is closed."""
        if self._thread.ident is not None:
            self._thread.join(self._settings.timeout)
        self.ready.clear()
        self._end(kindly=not self._thread.is_alive())

    @property
    def alive(self) -> bool:
        """Whether the thread that serves the queue still runs."""
        return self._thread.is_alive()

    def _launch(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=run, args=(theirs, self._settings.engine), name="engine", daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            first = self._pipe.recv() if self._pipe.poll(_STARTING) else None
        except EOFError:
            first = None
        if not isinstance(first, Ready):
            self._end(kindly=False)
            problem = first.problem if isinstance(first, Unusable) else "the engine does not start"
            raise BundleError(problem)
        self.runtime, self._base = first.runtime, first.memory
        self.tally.memory = first.memory
        self._heard = time.monotonic()
        self._owed = self._grown = False
        self.ready.set()

    def _end(self, *, kindly: bool) -> None:
        process, pipe = self._process, self._pipe
        if process is None or pipe is None:
            return
        if kindly:
            try:
                pipe.send(None)
            except OSError:
                kindly = False
        process.join(10 if kindly else 0)
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()
        self._process = self._pipe = None

    def _serve(self) -> None:
        while True:
            try:
                if not self._feed():
                    return
                self._hear()
            except (EOFError, OSError):
                self._replace_dead()

    def _feed(self) -> bool:
        """Hand radiographs to the worker; False when there will be none anymore."""
        assert self._pipe is not None
        room = self._window - len(self._flying)
        alone = any(job.attempts for job in self._flying.values())
        if room <= 0 or alone or self._grown:
            return True
        idle = not self._flying
        jobs = self._queue.take(room, wait=idle and not self._owed, idle=idle)
        if jobs is None:
            return False
        if idle and jobs:
            self._heard = time.monotonic()
        wanted = [job for job in jobs if not job.answer.cancelled()]
        for job in jobs:
            if job not in wanted:
                self._finish(job, None)
        self._flying |= {job.key: job for job in wanted}
        for job in wanted:
            self._owed = True
            self._pipe.send((job.key, job.path))
        return True

    def _hear(self) -> None:
        assert self._pipe is not None
        if not self._pipe.poll(_LOOK):
            if time.monotonic() - self._heard > self._settings.timeout:
                raise EOFError
            return
        message: Message = self._pipe.recv()
        if isinstance(message, Answer):
            self._answered(message)
        elif isinstance(message, Memory):
            self.tally.memory = message.resident
            self._owed = False
            self._grown = message.resident - self._base > self._settings.growth
        if self._grown and not self._flying:
            self._recycle()

    def _answered(self, answer: Answer) -> None:
        job = self._flying.pop(answer.key)
        now = time.monotonic()
        self.tally.seconds += 0.1 * (now - self._heard - self.tally.seconds)
        self._heard = now
        self.tally.answered += 1
        self._finish(job, answer)

    def _finish(self, job: Job, answer: Answer | None) -> None:
        job.path.unlink(missing_ok=True)
        if job.answer.set_running_or_notify_cancel():
            if answer is None:
                job.answer.set_exception(WorkerDied())
            else:
                job.answer.set_result(answer)
        self._queue.release()

    def _recycle(self) -> None:
        _LOG.info(
            "worker replaced: its memory grew by %d MB", (self.tally.memory - self._base) >> 20
        )
        self.tally.recycled += 1
        self.ready.clear()
        self._end(kindly=True)
        self._relaunch()

    def _replace_dead(self) -> None:
        """A new worker; the radiographs of the dead one are tried again, each alone."""
        self.tally.restarts += 1
        self.ready.clear()
        self._end(kindly=False)
        _LOG.warning("worker died or hung with %d radiographs; it is replaced", len(self._flying))
        again = []
        for job in self._flying.values():
            job.attempts += 1
            if job.attempts > 1 and len(self._flying) == 1:
                self._finish(job, None)
            else:
                again.append(job)
        self._flying.clear()
        self._queue.put_back(again)
        self._relaunch()

    def _relaunch(self) -> None:
        """Until it works: the bundle was good once."""
        pause = 1.0
        while True:
            try:
                self._launch()
            except BundleError as error:
                _LOG.error("worker cannot start: %s", error.problem)
                time.sleep(pause)
                pause = min(2 * pause, 60.0)
            else:
                return
