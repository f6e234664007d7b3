"""HTTP as uvicorn speaks it, with a limit on how long a caller may take for a request's headers.

uvicorn waits for them for ever: callers that never end a request would use up all connections.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def protocol_with(seconds: float) -> type[H11Protocol]:
    """The protocol for `uvicorn.Config(http=...)`, with so long for the headers of a request."""

    class Limited(_Protocol):
        header_seconds = seconds

    return Limited


class _Protocol(H11Protocol):
    header_seconds: ClassVar[float]
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The clock runs while headers are not whole, however many bytes of them come."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self._close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        transport = self.transport
        if not transport.is_closing():
            transport.write(_TOO_SLOW)
            transport.close()
