"""The queue and the lanes that serve it, one for each worker process."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

from pneumoscope.serve.jobs import WorkQueue
from pneumoscope.serve.lane import Lane, Tally
from pneumoscope.serve.settings import ServeSettings

_LONGEST_RETRY = 60


class Dispatcher:
    """A queue in front of workers that each have their own engine.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.queue = WorkQueue(settings.queue, takers=settings.workers)
        self.lanes = [Lane(settings, self.queue) for _ in range(settings.workers)]

    def start(self) -> None:
        """Load the engine in every worker.

        Raises:
            BundleError: it cannot be loaded.
        """
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            started = [pool.submit(lane.start) for lane in self.lanes]
        problem = next((error for each in started if (error := each.exception())), None)
        if problem is not None:
            self.stop()
            raise problem

    def stop(self) -> None:
        """Finish what was accepted, then end the workers."""
        self.queue.close()
        for lane in self.lanes:
            lane.stop()

    def retry_after(self) -> int:
        """Seconds after which there should be a place again, 1 to 60."""
        seconds = self.queue.held * self.tally.seconds / len(self.lanes)
        return min(max(math.ceil(seconds), 1), _LONGEST_RETRY)

    @property
    def tally(self) -> Tally:
        """What happened so far in all lanes; `seconds` is their mean."""
        each = [lane.tally for lane in self.lanes]
        return Tally(
            answered=sum(tally.answered for tally in each),
            restarts=sum(tally.restarts for tally in each),
            recycled=sum(tally.recycled for tally in each),
            memory=sum(tally.memory for tally in each),
            seconds=sum(tally.seconds for tally in each) / len(each),
        )

    @property
    def runtime(self) -> str:
        """What computes, and in how many workers."""
        name = self.lanes[0].runtime
        return name if len(self.lanes) == 1 else f"{name}, {len(self.lanes)} workers"

    @property
    def ready(self) -> bool:
        """Whether a worker can take radiographs now."""
        return any(lane.ready.is_set() and lane.alive for lane in self.lanes)
