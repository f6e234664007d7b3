"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        detail: what is wrong and what to do about it, in one or two sentences.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        super().__init__(detail)


class ProblemDetails(BaseModel):
    """How an error is told."""

    type: str = Field(default="about:blank", description="Nothing is meant but the status itself")
    title: str = Field(description="The status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong and what to do about it")


def response(problem: Problem) -> JSONResponse:
    """The answer for a problem."""
    body = ProblemDetails(
        title=problem.status.phrase, status=problem.status.value, detail=problem.detail
    )
    return JSONResponse(
        body.model_dump(),
        status_code=problem.status.value,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """For a route's description: the problems it may answer with."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status.value: {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Let every error of an application leave as problem details, without what it knows inside."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> JSONResponse:
        return response(error)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return response(Problem(status, str(error.detail), error.headers))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        places = ", ".join(".".join(map(str, part["loc"])) for part in error.errors())
        return response(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Not as described: {places}."))
