"""From a request's body to files with random names, within limits."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from pneumoscope.serve.problems import Problem
from pneumoscope.serve.settings import ServeSettings

RAW_TYPES = (
    "application/dicom", "application/octet-stream", "image/jpeg", "image/png", "image/tiff",
)  # fmt: skip
# What programs write for the same: a radiograph's content says what it is.
_ALSO = ("image/jpg", "image/pjpeg", "image/x-png", "image/tif", "image/x-tiff")
FORM_TYPE = "multipart/form-data"
FIELD = "files"
_LONG_HEADER = (
    "The header of a file in the form is too long. Send shorter file names; they are ignored."
)
_CHUNK = 1 << 20
_SKIPPING = 10.0


class Uploads:
    """Reads bodies into a folder.

    Args:
        settings: of the server.
        folder: private; files get random names in it.
    """

    def __init__(self, settings: ServeSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder

    async def receive(self, request: Request) -> tuple[dict[str, Path], bool]:
        """The radiographs of a request by new random ids, in order, and whether it was a form.

        Raises:
            Problem: it is too large, too slow, of another type, or holds no radiograph.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != FORM_TYPE and kind not in (*RAW_TYPES, *_ALSO):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Send {FORM_TYPE} with the field '{FIELD}', "
                f"or a radiograph as {', '.join(RAW_TYPES)}.",
            )
        is_form = kind == FORM_TYPE
        most = self._settings.max_request if is_form else self._settings.engine.limits.max_bytes
        _check_announced(request, most)
        films: dict[str, Path] = {}
        try:
            async with asyncio.timeout(self._settings.timeout):
                if is_form:
                    await self._form(request, most, films)
                else:
                    await self._save(_bounded(request, most), films)
        except TimeoutError as error:
            self.discard(films)
            raise _too_slow(
                "The upload took too long. Send fewer radiographs at a time."
            ) from error
        except ClientDisconnect as error:
            self.discard(films)
            raise Problem(HTTPStatus.BAD_REQUEST, "The upload broke off.") from error
        except BaseException:
            self.discard(films)
            raise
        return films, is_form

    async def skip(self, request: Request) -> bool:
        """Read a refused body to its end without keeping it, so that its sender hears the refusal.

        Closing a connection on which more arrives resets it, and the answer is lost. False if the
        body is too long or too slow for that.
        """
        try:
            _check_announced(request, self._settings.max_request)
            async with asyncio.timeout(_SKIPPING):
                async for _ in _bounded(request, self._settings.max_request):
                    pass
        except (Problem, TimeoutError, ClientDisconnect):
            return False
        return True

    def discard(self, films: dict[str, Path]) -> None:
        """Delete the files of radiographs that are not to be judged."""
        for path in films.values():
            path.unlink(missing_ok=True)

    async def _form(self, request: Request, most: int, films: dict[str, Path]) -> None:
        limited = Request(request.scope, _receiving(request, most))
        count = self._settings.films_per_request
        try:
            async with limited.form(max_files=count, max_fields=0) as form:
                for upload in form.getlist(FIELD):
                    if isinstance(upload, UploadFile):
                        await self._save(_chunks(upload), films)
        except (MultiPartException, HTTPException, KeyError, ValueError) as error:
            if _says(error, "header size"):
                raise Problem(HTTPStatus.BAD_REQUEST, _LONG_HEADER) from error
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"Not a form with 1 to {count} files in the field '{FIELD}' and nothing else.",
            ) from error
        if not films:
            raise Problem(HTTPStatus.BAD_REQUEST, f"There is no file in the field '{FIELD}'.")

    async def _save(self, chunks: AsyncIterator[bytes], films: dict[str, Path]) -> None:
        key = secrets.token_hex(16)
        films[key] = path = self._folder / key
        with path.open("xb") as stream:
            async for chunk in chunks:
                await asyncio.to_thread(stream.write, chunk)


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """A small body, whole.

    Raises:
        Problem: it is larger than `most` bytes, takes longer than `seconds`, or broke off.
    """
    _check_announced(request, most)
    try:
        async with asyncio.timeout(seconds):
            return b"".join([chunk async for chunk in _bounded(request, most)])
    except TimeoutError as error:
        raise _too_slow("The body took too long to arrive. Send it again.") from error
    except ClientDisconnect as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "The upload broke off.") from error


def _says(error: BaseException | None, words: str) -> bool:
    """Whether an error, or one that it came from, has these words in its message."""
    while error is not None:
        if words in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _check_announced(request: Request, most: int) -> None:
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise Problem(HTTPStatus.BAD_REQUEST, "The length of the body is no number.")
    if int(announced) > most:
        raise _too_large(most)


def _too_large(most: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than {_size(most)}. Send less.",
        {"Connection": "close"},
    )


def _too_slow(detail: str) -> Problem:
    # The rest of the body may never come: the connection is of no more use.
    return Problem(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"})


def _size(most: int) -> str:
    return f"{most >> 20} MB" if most >> 20 else f"{most >> 10} KB"


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most:
            raise _too_large(most)
        yield chunk


def _receiving(request: Request, most: int) -> Receive:
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return receive


async def _chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(_CHUNK):
        yield chunk
