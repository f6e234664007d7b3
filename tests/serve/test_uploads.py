"""A body that stops coming is not waited for without end."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from pneumoscope.serve.problems import Problem
from pneumoscope.serve.uploads import read_body

_SCOPE: Scope = {"type": "http", "method": "PUT", "path": "/", "headers": []}


def read(receive: Receive, seconds: float) -> bytes:
    """Read in a thread: the browser of other tests keeps an event loop in this one."""

    def run() -> bytes:
        return asyncio.run(read_body(Request(_SCOPE, receive), 100, seconds))

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_a_stalled_body_times_out() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"half", "more_body": True}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(Problem) as told:
        read(receive, 0.05)
    assert told.value.status == HTTPStatus.REQUEST_TIMEOUT
    assert told.value.headers == {"Connection": "close"}


def test_a_whole_body_is_read() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"whole", "more_body": False}

    assert read(receive, 60) == b"whole"
