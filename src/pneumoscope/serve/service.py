"""The running server without HTTP: queue, worker, results."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from hashlib import sha256
from http import HTTPStatus

from starlette.requests import Request

from pneumoscope.bundles import read_bundle
from pneumoscope.bundles.info import CARD_FILE
from pneumoscope.findings import Finding
from pneumoscope.serve.dispatcher import Dispatcher
from pneumoscope.serve.jobs import Answer, Job
from pneumoscope.serve.lane import WorkerDied
from pneumoscope.serve.metrics import Metrics
from pneumoscope.serve.problems import Problem
from pneumoscope.serve.scratch import Scratch
from pneumoscope.serve.settings import ServeSettings
from pneumoscope.serve.store import FolderStore, MemoryStore, Store
from pneumoscope.serve.uploads import Uploads


class Service:
    """All that is behind the routes.

    Args:
        settings: of the server.

    Raises:
        BundleError: there is no usable bundle.
        OutputError: the folder for results cannot be used.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        found, self.info = read_bundle(settings.engine.bundle)
        card = (found if found.is_dir() else found.parent) / CARD_FILE
        # The threshold, the calibration and the weights: each can change under one model's name.
        self.digest = sha256(self.info.model_dump_json().encode("utf-8")).hexdigest()
        self.card = card.read_text(encoding="utf-8") if card.is_file() else None
        self.store: Store = (
            MemoryStore(settings.keep_seconds, settings.keep_bytes)
            if settings.store is None
            else FolderStore(settings.store, settings.keep_seconds)
        )
        self.dispatcher = Dispatcher(settings)
        self.metrics = Metrics(self.dispatcher)
        # Radiographs as large as the limits allow, several at once, would need much memory.
        self.making_objects = asyncio.Semaphore()
        self._scratch = Scratch()
        self.folder = self._scratch.path
        self._uploads = Uploads(settings, self.folder)

    def start(self) -> None:
        """Start the worker.

        Raises:
            BundleError: it cannot load the bundle.
        """
        try:
            self.dispatcher.start()
        except BaseException:
            self._scratch.remove()
            raise

    def stop(self) -> None:
        """Finish what was accepted, then stop."""
        self.dispatcher.stop()
        self._scratch.remove()

    def found_by_another(self, answer: Answer) -> bool:
        """Whether another bundle than this service's found a result that is kept."""
        if answer.bundle not in (None, self.digest):
            return True
        return Finding.model_validate_json(answer.finding).model != self.info.model_id

    async def judge(self, request: Request) -> tuple[list[Answer], bool]:
        """Judge the radiographs of a request and keep their results.

        Returns:
            Answers in the films' order, and whether they came as a form.

        Raises:
            Problem: the upload cannot be taken, there is no place, or it took too long.
        """
        queue = self.dispatcher.queue
        # A place before a byte is kept: an upload without one would fill the disk for nothing.
        if not queue.reserve(1):
            raise self._full(skipped=await self._uploads.skip(request))
        try:
            films, is_form = await self._uploads.receive(request)
        except BaseException:
            queue.release()
            raise
        if len(films) > 1 and not queue.reserve(len(films) - 1):
            queue.release()
            self._uploads.discard(films)
            raise self._full(skipped=True)
        jobs = [Job(key, path) for key, path in films.items()]
        for job in jobs:
            queue.put(job)
        found = await self._wait([job.answer for job in jobs])
        answers = [replace(answer, bundle=self.digest) for answer in found]
        for answer in answers:
            self.metrics.film("judged" if answer.width else "unusable")
            await asyncio.to_thread(self.store.add, answer)
        return answers, is_form

    def _full(self, *, skipped: bool) -> Problem:
        closing = {} if skipped else {"Connection": "close"}
        self.metrics.film("refused")
        return Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "The queue is full. Send these radiographs again later, or fewer at a time.",
            {"Retry-After": str(self.dispatcher.retry_after())} | closing,
        )

    async def _wait(self, futures: list[Future[Answer]]) -> list[Answer]:
        try:
            async with asyncio.timeout(self.settings.timeout):
                return [await asyncio.wrap_future(future) for future in futures]
        except TimeoutError as error:
            self.metrics.film("lost")
            raise Problem(
                HTTPStatus.GATEWAY_TIMEOUT,
                "The answer took too long. Send the radiographs again later, or fewer at a time.",
            ) from error
        except WorkerDied as error:
            self.metrics.film("lost")
            raise Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "A radiograph of these ended the engine twice. Leave it out.",
            ) from error
        finally:
            # Whoever waits no more wants no answer.
            for future in futures:
                future.cancel()
