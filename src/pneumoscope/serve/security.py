"""Who may ask, and the headers every answer has. No cookies, no CORS."""

from __future__ import annotations

import hmac
import logging
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pneumoscope.addresses import is_loopback
from pneumoscope.serve.metrics import Metrics
from pneumoscope.serve.problems import Problem, response
from pneumoscope.serve.settings import ServeSettings

_LOG = logging.getLogger(__name__)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# The page asks for the token itself; who watches over a server has none.
_OPEN = ("/healthz", "/readyz")


class Guard:
    """In front of everything: who may ask, what is counted and logged, headers.

    A line of the log has the method, the route without its ids, the status and the time; neither
    who asked nor for what.

    Args:
        app: what is guarded.
        settings: of the server.
        metrics: what counts requests.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._local = is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        method = scope["method"]
        if method == "HEAD":  # Answered as GET, without the body.
            scope = {**scope, "method": "GET"}

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            elif method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            refusal = self._refusal(scope["path"], scope["method"], Headers(scope=scope))
            if refusal is None:
                await self._app(scope, receive, sending)
            else:
                await response(refusal)(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.request(method, route, status, seconds)
            _LOG.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    def _refusal(self, path: str, method: str, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        # Another site's name that resolves to this machine (DNS rebinding): its page has no token.
        tokenless = self._settings.token is None
        if self._local and tokenless and not is_loopback(_name(host)):
            return Problem(HTTPStatus.MISDIRECTED_REQUEST, "This server is for this machine alone.")
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            foreign = True
        if foreign and (path.startswith("/v1/") or method not in ("GET", "HEAD")):
            return Problem(HTTPStatus.FORBIDDEN, "Pages of other sites may not ask this server.")
        needed = self._settings.token is not None and path not in _OPEN
        if needed and (path.startswith("/v1/") or path in ("/metrics", "/openapi.json")):
            return self._unknown(headers.get("authorization", ""))
        return None

    def _unknown(self, shown: str) -> Problem | None:
        wanted = f"Bearer {self._settings.token}"
        if hmac.compare_digest(shown.encode("utf-8"), wanted.encode("utf-8")):
            return None
        return Problem(
            HTTPStatus.UNAUTHORIZED,
            "A token is needed: Authorization: Bearer TOKEN.",
            {"WWW-Authenticate": "Bearer"},
        )


def _name(host: str) -> str:
    """The host of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
