"""STOW-RS (PS3.18 10.5): a `multipart/related` request, each radiograph taken when complete."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pneumoscope.dicom.node.intake import Intake, Named, name_of
from pneumoscope.dicom.node.statuses import MISMATCH, OUT_OF_RESOURCES, SUCCESS

_MOST_BYTES = 512 << 20
"""Of one radiograph. A request has no limit, because a radiograph that is taken leaves memory."""
_MEDIA_TYPE = "application/dicom+json"


class Receiver:
    """Answers STOW-RS requests.

    Args:
        intake: the node's.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def store(self, request: Request) -> Response:
        """Take the radiographs of a request: 200 if all were taken, 202 if some, 409 if none."""
        boundary = _boundary(request.headers.get("Content-Type", ""))
        if boundary is None:
            return PlainTextResponse(
                "send multipart/related; type=application/dicom with a boundary", 415
            )
        parts, found = _Parts(boundary), _Answer(request.path_params.get("study"))
        caller = f"STOW@{request.client.host if request.client else '?'}"
        try:
            async for chunk in request.stream():
                parts.write(chunk)
                for content in parts.take():
                    found.add(*await run_in_threadpool(self._take, content, caller, found.study))
            parts.finish()
        except MultipartParseError:
            return PlainTextResponse("the multipart body is damaged or cut off", 400)
        except ClientDisconnect:  # What was complete is in the queue; it comes again and is known.
            return Response(status_code=400)
        return found.response()

    def _take(self, content: bytes | None, caller: str, study: str | None) -> tuple[Any, int]:
        if content is None:
            return None, self._intake.refuse(OUT_OF_RESOURCES, "too_large", caller)
        named = name_of(content)
        if named is not None and study is not None and named.study != study:
            return named, self._intake.refuse(MISMATCH, "wrong_study", caller)
        return named, self._intake.take(content, caller, "stow")


class _Parts:
    """The bodies of a multipart message, one after the other as they are complete."""

    def __init__(self, boundary: bytes) -> None:
        self._part, self._whole, self._ended = bytearray(), list[bytes | None](), False
        self._large = False
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, chunk: bytes) -> None:
        """The next bytes of the message."""
        self._parser.write(chunk)

    def take(self) -> list[bytes | None]:
        """Bodies that became complete; None for one that was too large."""
        whole, self._whole = self._whole, []
        return whole

    def finish(self) -> None:
        """The message ends here.

        Raises:
            MultipartParseError: it is cut off.
        """
        self._parser.finalize()
        if not self._ended:
            raise MultipartParseError("cut off")

    def _begin(self) -> None:
        self._part, self._large = bytearray(), False

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._large or len(self._part) + end - start > _MOST_BYTES:
            self._part, self._large = bytearray(), True
        else:
            self._part += data[start:end]

    def _end(self) -> None:
        self._whole.append(None if self._large else bytes(self._part))
        self._part = bytearray()

    def _finish(self) -> None:
        self._ended = True


class _Answer:
    """The Store Instances Response Module, in DICOM JSON (PS3.18 table 10.5.3-1).

    Args:
        study: that the radiographs must be of; None for any.
    """

    def __init__(self, study: str | None) -> None:
        self.study = study
        self._stored: list[Any] = []
        self._failed: list[Any] = []

    def add(self, named: Named | None, status: int) -> None:
        """What became of a radiograph."""
        item: dict[str, Any] = {}
        if named is not None:
            item["00081150"] = {"vr": "UI", "Value": [named.kind]}
            item["00081155"] = {"vr": "UI", "Value": [named.instance]}
        if status == SUCCESS:
            self._stored.append(item)
        else:
            self._failed.append({**item, "00081197": {"vr": "US", "Value": [status]}})

    def response(self) -> Response:
        """The answer to the whole request."""
        body: dict[str, Any] = {}
        if self._stored:
            body["00081199"] = {"vr": "SQ", "Value": self._stored}
        if self._failed:
            body["00081198"] = {"vr": "SQ", "Value": self._failed}
        code = 200 if not self._failed else 202 if self._stored else 409
        if not body:
            return PlainTextResponse("the request holds no radiograph", 400)
        return JSONResponse(body, code, media_type=_MEDIA_TYPE)


def _boundary(content_type: str) -> bytes | None:
    """Of a multipart/related message of DICOM files; None for another kind of message."""
    header = Message()
    header["Content-Type"] = content_type
    kind = str(header.get_param("type") or "application/dicom").lower()
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/related" or kind != "application/dicom":
        return None
    return boundary.encode("ascii", "replace") if boundary else None
