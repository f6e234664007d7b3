"""The node's HTTP service: health, metrics, a status page, and radiographs by STOW-RS."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pneumoscope.dicom.node.intake import Intake
from pneumoscope.dicom.node.metrics import MEDIA_TYPE, metrics_text
from pneumoscope.dicom.node.page import status_page
from pneumoscope.dicom.node.settings import TlsFiles
from pneumoscope.dicom.node.stow import Receiver
from pneumoscope.errors import OutputError

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STOP_SECONDS = 10.0


class HttpService:
    """Serves a node's state in a thread of its own.

    Args:
        intake: the node's.
        status: gives its state, as `survey.status` does.
        tls: given, the port speaks TLS alone, and callers must show a certificate if it names an
            authority.

    Raises:
        OutputError: the port is taken.
    """

    def __init__(self, intake: Intake, status: Callable[[], dict[str, Any]]) -> None:
        settings = intake.settings
        self._socket = _listen(settings.http_host, settings.http_port or 0)
        app = Starlette(routes=_routes(intake, status), middleware=[Middleware(_Gate, intake)])
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", **_tls(settings.tls)
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin."""
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
        self._thread.start()

    def stop(self) -> None:
        """End after the answers in hand."""
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._socket.close()


class _Gate(BaseHTTPMiddleware):
    """Turns strangers away, and gives every answer its headers."""

    def __init__(self, app: Any, intake: Intake) -> None:
        super().__init__(app)
        self._intake = intake

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        caller = request.client.host if request.client else ""
        if self._intake.admits(caller):
            answer = await call_next(request)
        else:
            answer = PlainTextResponse("this address is not on the node's list", 403)
        answer.headers.update(_HEADERS)
        return answer


def _routes(intake: Intake, status: Callable[[], dict[str, Any]]) -> list[Route]:
    def health(_: Request) -> Response:
        problems = status()["problems"]
        return JSONResponse(
            {"status": "failing" if problems else "ok", "problems": problems},
            503 if problems else 200,
        )

    def metrics(_: Request) -> Response:
        return Response(metrics_text(status), media_type=MEDIA_TYPE)

    routes = [
        Route("/healthz", health),
        Route("/metrics", metrics),
        Route("/status.json", lambda _: JSONResponse(status())),
        Route("/", lambda _: HTMLResponse(status_page(status()))),
    ]
    if intake.settings.stow:
        store = Receiver(intake).store
        for path in ("/dicom-web/studies", "/dicom-web/studies/{study}"):
            routes.append(Route(path, store, methods=["POST"]))
    return routes


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise OutputError(
            f"cannot listen on {host}:{port} ({error.strerror})",
            remedy="choose another --http-port, or stop who has it",
        ) from error


def _tls(files: TlsFiles | None) -> dict[str, Any]:
    if files is None:
        return {}
    options: dict[str, Any] = {"ssl_certfile": files.certificate, "ssl_keyfile": files.key}
    if files.authority is not None:
        options |= {"ssl_ca_certs": str(files.authority), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options
