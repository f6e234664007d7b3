"""The application: API, page, guard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from pneumoscope import __version__
from pneumoscope.serve import problems
from pneumoscope.serve.problems import Problem
from pneumoscope.serve.routes import NOTICE, router
from pneumoscope.serve.security import Guard
from pneumoscope.serve.service import Service

PAGE = Path(__file__).parent / "page"
_BETWEEN_SWEEPS = 30.0


def create_app(service: Service) -> FastAPI:
    """The application of a service that was started; it stops the service when it ends."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(service))
        yield
        sweeping.cancel()
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="Pneumoscope",
        version=__version__,
        description=NOTICE,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.service = service
    problems.install(app)
    app.include_router(router)
    # After the routes: it takes every path that is left.
    app.mount("/", _Page(directory=PAGE, html=True), name="page")
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics)
    described = app.openapi

    def openapi() -> dict[str, object]:
        schema = described()
        parts = schema["components"]["schemas"]
        parts["ProblemDetails"] = problems.ProblemDetails.model_json_schema()
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


class _Page(StaticFiles):
    """The page's files, and the refusal of a path of the API whose method does not exist."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what no route took."""
        if methods := _methods(scope["path"]):
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"This path takes {', '.join(methods)} only.",
                {"Allow": ", ".join(methods)},
            )
        await super().__call__(scope, receive, send)


def _methods(path: str) -> list[str]:
    """The methods of a path of the API; none if it is no such path."""
    known = {
        method
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return sorted(known | ({"HEAD"} if "GET" in known else set()))


async def _sweep(service: Service) -> None:
    while True:
        await asyncio.sleep(_BETWEEN_SWEEPS)
        await asyncio.to_thread(service.store.sweep)
