"""Callers that never end a request's headers are turned away; others are not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from pneumoscope.serve.protocol import protocol_with

_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers once the body is there."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that waits a second for headers."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _answer, http=protocol_with(1.0), lifespan="off", ws="none", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


@pytest.mark.parametrize("before", [b"", _REQUEST])
@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\nX: "])
def test_half_sent_headers_time_out(port: int, before: bytes, half: bytes) -> None:
    with connected(port) as caller:
        if before:
            caller.sendall(before)
            assert caller.recv(1000).startswith(b"HTTP/1.1 204 ")
        caller.sendall(half)
        assert caller.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert caller.recv(1000) == b""


def test_a_caller_that_says_nothing_times_out(port: int) -> None:
    with connected(port) as caller:
        assert caller.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_more_bytes_buy_no_more_time(port: int) -> None:
    with connected(port) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nX: ")
        started = time.monotonic()
        caller.settimeout(0.2)
        while time.monotonic() - started < 60:
            try:
                assert caller.recv(1000).startswith(b"HTTP/1.1 408 ")
                return
            except TimeoutError:
                caller.sendall(b"a")
    raise AssertionError("still open")


def test_slow_bodies_and_pauses_between_requests_are_not_cut(port: int) -> None:
    with connected(port) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\na")
        time.sleep(1.5)
        caller.sendall(b"b")
        assert caller.recv(1000).startswith(b"HTTP/1.1 204 ")
        time.sleep(1.5)
        caller.sendall(_REQUEST)
        assert caller.recv(1000).startswith(b"HTTP/1.1 204 ")
