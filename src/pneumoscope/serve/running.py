"""A socket and uvicorn under the application."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

import uvicorn

from pneumoscope.errors import SettingsError
from pneumoscope.serve.app import create_app
from pneumoscope.serve.protocol import protocol_with
from pneumoscope.serve.service import Service
from pneumoscope.serve.settings import ServeSettings

_BACKLOG = 256
# Longer than clients keep a connection, so that none sends on one that is being closed.
_KEEP_ALIVE = 75
# For the headers of a request, at most.
_HEADER_SECONDS = 20.0


def serve(settings: ServeSettings, listening: Callable[[str, Service], None]) -> None:
    """Serve until a signal ends it; then finish what was accepted.

    Args:
        settings: of the server.
        listening: called with the address when radiographs can be sent.

    Raises:
        BundleError, OutputError: as `Service`.
        SettingsError: the address is taken or not this machine's.
    """
    door = _bind(settings)
    service = Service(settings)
    service.start()
    app = create_app(service)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        lifespan="on",
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        # Proxies are not believed: nothing here depends on who asks.
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(settings.timeout),
        ws="none",
        http=protocol_with(min(settings.timeout, _HEADER_SECONDS)),
    )
    host, port = door.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    listening(f"http://{shown}:{port}/", service)
    uvicorn.Server(config).run(sockets=[door])


def _bind(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror})",
            remedy="give another --port, or 0 for a free one",
        ) from error
