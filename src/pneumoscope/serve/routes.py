"""The HTTP API."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from pneumoscope import __version__
from pneumoscope.bundles import BundleInfo
from pneumoscope.errors import SettingsError
from pneumoscope.findings import Finding, indeterminate
from pneumoscope.serve import metrics
from pneumoscope.serve.card import rendered_card
from pneumoscope.serve.display import ShownFilm
from pneumoscope.serve.jobs import Answer
from pneumoscope.serve.problems import Problem, responses
from pneumoscope.serve.reading import MOST_BYTES, NewReading, Reading, parse_reading
from pneumoscope.serve.service import Service
from pneumoscope.serve.uploads import FIELD, FORM_TYPE, RAW_TYPES, read_body

NOTICE = "Research use only. Not a medical device; not for diagnosis."
_PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
_GONE = "There is no such finding, or no more."
_OUTDATED = (
    "Another bundle than the server's present one found this. Send the radiograph again to analyse "
    "it with the present bundle."
)
_UNUSABLE = "There is no such picture: the radiograph could not be used."
_NO_HEAT = "There is no heatmap: the radiograph was not assessed."
_NO_VALUES = "There are no separate values: film.png holds the radiograph's own."
_Kept = TypeVar("_Kept", bound=BaseModel)


class FoundFilm(BaseModel):
    """What is known of one radiograph."""

    id: str = Field(
        pattern="^[0-9a-f]{32}$", description="Random; the radiograph's name in its finding"
    )
    width: int = Field(ge=0, description="Of the radiograph in pixels; 0 if it cannot be used")
    height: int = Field(ge=0, description="Of the radiograph in pixels; 0 if it cannot be used")
    finding: Finding
    film: str | None = Field(description="Where the radiograph is, as 16-bit PNG")
    heatmap: str | None = Field(
        description="Where the heatmap is, as 16-bit PNG on its pixels; null if not assessed"
    )
    values: str | None = Field(
        description="Where the stored values are, as 16-bit PNG; null if the radiograph holds them"
    )
    display: ShownFilm | None = Field(
        description="What the file says for whoever reads the radiograph"
    )
    reading: Reading | None = Field(description="What a person read; null until somebody did")
    dicom: str | None = Field(description="Where its DICOM objects are, if there can be any")
    bundle: str | None = Field(
        description="Digest of the bundle that found it, as `/v1/model` has the present one; null "
        "in results of earlier versions"
    )

    @classmethod
    def of(cls, answer: Answer) -> FoundFilm:
        """From the worker's answer."""
        place = f"v1/findings/{answer.key}"
        usable = answer.width > 0
        return cls(
            id=answer.key,
            width=answer.width,
            height=answer.height,
            finding=Finding.model_validate_json(answer.finding),
            film=f"{place}/film.png" if usable else None,
            heatmap=None if answer.heatmap is None else f"{place}/heatmap.png",
            dicom=None if answer.source is None else f"{place}/dicom.zip",
            values=None if answer.values is None else f"{place}/values.png",
            display=_parsed(ShownFilm, answer.display),
            reading=_parsed(Reading, answer.reading),
            bundle=answer.bundle,
        )


def _parsed(kind: type[_Kept], text: str | None) -> _Kept | None:
    return None if text is None else kind.model_validate_json(text)


class FoundFilms(BaseModel):
    """What is known of the radiographs of one upload, in their order."""

    findings: list[FoundFilm]
    notice: str = NOTICE


class RegionRule(BaseModel):
    """How a heatmap becomes regions (`findings.find_regions`)."""

    threshold: float = 0.5
    min_area: float = 0.002
    max_regions: int = 5


class Model(BaseModel):
    """What the server judges with, and what it allows."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    bundle: str = Field(description="Digest of the bundle: weights, threshold, calibration")
    version: str = __version__
    runtime: str
    labels: tuple[str, str]
    threshold: float
    review: tuple[float, float] | None = Field(
        description="Lowest and highest probability that is indeterminate"
    )
    heatmap: str
    regions: RegionRule = RegionRule()
    card: str | None = Field(description="Where the model card is")
    downloads: list[str] = Field(description="What the page offers")
    max_bytes: int
    max_pixels: int
    films_per_request: int
    keep_seconds: float
    workers: int
    notice: str = NOTICE


class State(BaseModel):
    """Whether it serves."""

    status: str


router = APIRouter()
_SCHEMA: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {"type": "array", "minItems": 1, "items": _SCHEMA}},
                    "required": [FIELD],
                    "additionalProperties": False,
                }
            },
            **{kind: {"schema": _SCHEMA} for kind in RAW_TYPES},
        },
    }
}


def service_of(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service


@router.post(
    "/v1/findings",
    openapi_extra=_BODY,
    responses=responses(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    ),
)
async def post_findings(request: Request) -> FoundFilms:
    """Judge radiographs: one as the body, or several as a form.

    In a form a radiograph that cannot be used has a finding with an `error`, and the others go on;
    alone as the body it is a problem (422). File names are ignored.
    """
    answers, is_form = await service_of(request).judge(request)
    found = FoundFilms(findings=[FoundFilm.of(answer) for answer in answers])
    if not is_form and (error := found.findings[0].finding.error) is not None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The radiograph {error}.")
    return found


async def _answer(request: Request, key: str) -> Answer:
    answer = await asyncio.to_thread(service_of(request).store.get, key)
    if answer is None:
        raise Problem(HTTPStatus.NOT_FOUND, _GONE)
    return answer


async def _present(request: Request, key: str) -> Answer:
    """A result that the present bundle found: its labels and band belong to no other finding."""
    answer = await _answer(request, key)
    if service_of(request).found_by_another(answer):
        raise Problem(HTTPStatus.CONFLICT, _OUTDATED)
    return answer


@router.get("/v1/findings/{key}", responses=responses(HTTPStatus.NOT_FOUND))
async def get_finding(request: Request, key: str) -> FoundFilm:
    """A finding that is kept."""
    return FoundFilm.of(await _answer(request, key))


@router.delete(
    "/v1/findings/{key}",
    status_code=HTTPStatus.NO_CONTENT,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def delete_finding(request: Request, key: str) -> Response:
    """Forget a finding with its radiograph and heatmap."""
    if not await asyncio.to_thread(service_of(request).store.remove, key):
        raise Problem(HTTPStatus.NOT_FOUND, _GONE)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/v1/findings/{key}/film.png",
    response_class=Response,
    responses={200: _PNG, **responses(HTTPStatus.NOT_FOUND)},
)
async def get_film(request: Request, key: str) -> Response:
    """The radiograph at its native resolution, bright = dense: 65535 is full scale."""
    return _picture((await _answer(request, key)).film, _UNUSABLE)


@router.get(
    "/v1/findings/{key}/heatmap.png",
    response_class=Response,
    responses={200: _PNG, **responses(HTTPStatus.NOT_FOUND)},
)
async def get_heatmap(request: Request, key: str) -> Response:
    """The heatmap on the radiograph's pixels: 65535 is 1."""
    answer = await _answer(request, key)
    return _picture(answer.heatmap, _NO_HEAT if answer.film else _UNUSABLE)


@router.get(
    "/v1/findings/{key}/values.png",
    response_class=Response,
    responses={200: _PNG, **responses(HTTPStatus.NOT_FOUND)},
)
async def get_values(request: Request, key: str) -> Response:
    """A DICOM radiograph's values after the modality transform; see `display.scale`."""
    answer = await _answer(request, key)
    return _picture(answer.values, _NO_VALUES if answer.film else _UNUSABLE)


@router.put(
    "/v1/findings/{key}/reading",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": NewReading.model_json_schema()}},
        }
    },
    responses=responses(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
)
async def put_reading(request: Request, key: str) -> Reading:
    """Keep a person's reading beside the finding; it takes the place of an earlier one."""
    answer = await _present(request, key)
    service = service_of(request)
    finding = Finding.model_validate_json(answer.finding)
    body = await read_body(request, MOST_BYTES, service.settings.timeout)
    size = (answer.width, answer.height)
    reading = parse_reading(body, finding, service.info.labels, size)
    if not await asyncio.to_thread(service.store.read, key, reading.model_dump_json()):
        raise Problem(HTTPStatus.NOT_FOUND, _GONE)
    return reading


@router.get(
    "/v1/findings/{key}/dicom.zip",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {"schema": _SCHEMA}}},
        **responses(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.INTERNAL_SERVER_ERROR,
        ),
    },
)
async def get_objects(request: Request, key: str, objects: str = "sc,sr") -> Response:
    """DICOM objects of the finding in a ZIP file: some of sc, seg, regions, sr, gsps, or all.

    They belong to the radiograph's patient and study, and name both. Only for radiographs that were
    DICOM.
    """
    answer = await _present(request, key)
    if answer.source is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There are no DICOM objects for this radiograph.")
    from pneumoscope.dicom.objects import parse_kinds
    from pneumoscope.serve.objects import zipped_objects

    try:
        kinds = parse_kinds(objects)
    except SettingsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
    service = service_of(request)
    async with service.making_objects:
        content = await asyncio.to_thread(
            zipped_objects, answer, service.info, kinds, service.folder
        )
    return Response(content, media_type="application/zip")


@router.get(
    "/v1/findings/{key}/reading.dcm",
    response_class=Response,
    responses={
        200: {"content": {"application/dicom": {"schema": _SCHEMA}}},
        **responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    },
)
async def get_reading_object(request: Request, key: str) -> Response:
    """A person's reading of a DICOM radiograph as a Structured Report of its patient and study."""
    answer = await _present(request, key)
    reading = _parsed(Reading, answer.reading)
    if answer.source is None or reading is None or reading.label is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "There is no reading with a label, or the radiograph was not DICOM.",
        )
    from pneumoscope.serve.objects import reading_object

    service = service_of(request)
    async with service.making_objects:
        content = await asyncio.to_thread(reading_object, answer, reading, service.info)
    return Response(content, media_type="application/dicom")


def _picture(content: bytes | None, reason: str) -> Response:
    if content is None:
        raise Problem(HTTPStatus.NOT_FOUND, reason)
    return Response(content, media_type="image/png")


@router.get("/v1/model")
async def get_model(request: Request) -> Model:
    """What judges, with which threshold, and the server's limits."""
    service = service_of(request)
    info: BundleInfo = service.info
    settings = service.settings
    review = None if info.review is None else (info.review.low, info.review.high)
    return Model(
        model=info.model_id,
        bundle=service.digest,
        runtime=service.dispatcher.runtime,
        labels=info.labels,
        regions=RegionRule(threshold=info.region_threshold),
        threshold=info.threshold,
        review=review if review is None else indeterminate(review, info.threshold),
        heatmap=info.heatmap,
        card=None if service.card is None else "v1/model/card",
        downloads=["png", "json", *(["dicom"] if settings.engine.dicom else [])],
        max_bytes=settings.engine.limits.max_bytes,
        max_pixels=settings.engine.limits.max_pixels,
        films_per_request=settings.films_per_request,
        keep_seconds=settings.keep_seconds,
        workers=settings.workers,
    )


@router.get(
    "/v1/model/card",
    response_class=PlainTextResponse,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def get_card(request: Request) -> PlainTextResponse:
    """The model card, as Markdown."""
    return PlainTextResponse(_card(request))


@router.get(
    "/v1/model/card.html",
    response_class=HTMLResponse,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def get_card_page(request: Request) -> HTMLResponse:
    """The model card, as a piece of HTML."""
    return HTMLResponse(rendered_card(_card(request)))


def _card(request: Request) -> str:
    card = service_of(request).card
    if card is None:
        raise Problem(HTTPStatus.NOT_FOUND, "The bundle has no model card beside it.")
    return card


@router.get("/healthz")
async def get_health() -> State:
    """Whether the process answers."""
    return State(status="ok")


@router.get("/readyz", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def get_readiness(request: Request) -> State:
    """Whether radiographs would be judged now."""
    dispatcher = service_of(request).dispatcher
    if not dispatcher.ready:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The engine is being started or has ended.")
    return State(status="ready")


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=metrics.MEDIA_TYPE)
