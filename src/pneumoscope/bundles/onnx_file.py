"""An ONNX file that describes itself: a graph, a text, and a seal.

The text stands in the model's metadata under the key `pneumoscope`. The file ends with the metadata
`pneumoscope.sha256`, the digest of every byte before it: a file cannot hold its own digest, but its
last entry can hold that of all the rest. Like the digests in `bundle.json` the seal shows damage
and careless editing, not malice. That a stranger's file does no harm follows from what is accepted:
standard operators alone, no file beside it, no control flow, no functions.

Protocol Buffers are read here directly, down to the fields that decide this; it needs neither the
`onnx` package nor a session. Field numbers are those of onnx.proto (github.com/onnx/onnx).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pneumoscope.errors import BundleError

_TEXT_KEY = "pneumoscope"
_SEAL_KEY = "pneumoscope.sha256"
# The largest registered backbone makes 0.35 GB; Protocol Buffers end at 2 GB.
_MAX_BYTES = 1 << 30
_AGAIN = "write it again with pneumoscope export"

# How a field's value is written: a number, so many bytes, or a length and that many bytes.
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_KINDS = (_VARINT, _BYTES, *_FIXED)
# ModelProto; ir_version to doc_string (1 to 6) say nothing that matters here.
_HEADER = range(1, 7)
_GRAPH, _OPSET, _METADATA = 7, 8, 14
# A larger number in a tag is cut off by some readers: the field would be another one to them.
_MAX_FIELD = (1 << 29) - 1
# Of a message, the fields that hold another one which is looked into.
_INSIDE = {"graph": {1: "node", 5: "tensor"}, "node": {5: "attribute"}, "attribute": {5: "tensor"}}
_FOREIGN = "operators that are not standard ONNX"
# Of a message, the fields that a file of `export` never has, and what they would mean.
_REFUSED = {
    "opset": {1: _FOREIGN},
    "graph": {15: "sparse weights"},
    "node": {7: _FOREIGN},
    "attribute": {6: "control flow", 10: "lists of tensors", 11: "control flow",
                  22: "sparse weights", 23: "sparse weights"},
    "tensor": {13: "weights in another file", 14: "weights in another file"},
}  # fmt: skip

_Value = int | memoryview


def seal(model: bytes, text: str) -> bytes:
    """A serialised ONNX model with a text about it and the digest of it all."""
    # A record at the end belongs to the message as much as one in its middle.
    described = model + _entry(_TEXT_KEY, text)
    return described + _entry(_SEAL_KEY, hashlib.sha256(described).hexdigest())


def unseal(data: bytes) -> bytes:
    """The serialised model in the bytes of a sealed file, as it was before `seal`.

    Args:
        data: as `read_sealed` returned them.
    """
    entries = [
        _key_and_text(value) for field, value in _fields(memoryview(data)) if field == _METADATA
    ]
    added = sum(len(_entry(key, text)) for key, text in entries if key in (_TEXT_KEY, _SEAL_KEY))
    return data[:-added]


def read_sealed(path: Path) -> tuple[bytes, str]:
    """Read and check a file that `seal` made.

    Returns:
        Its bytes (what was checked is what is to be run) and the text.

    Raises:
        BundleError: it is missing, too large, of another origin, altered, or holds what could reach
            beyond the file.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise BundleError(
                f"is too large ({size >> 20} MB; the limit is {_MAX_BYTES >> 20} MB)",
                path=path,
                remedy=_AGAIN,
            )
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot be read ({error.strerror or error})", path=path, remedy="check the path"
        ) from error
    try:
        return data, _text(data)
    except _Refused as error:
        raise BundleError(str(error), path=path, remedy=_AGAIN) from error
    except (IndexError, UnicodeDecodeError) as error:
        raise BundleError(_NOT_ONNX, path=path, remedy=_AGAIN) from error


class _Refused(Exception):
    """Why the file is refused, in words."""


_NOT_ONNX = "is not an ONNX file"


def _text(data: bytes) -> str:
    """The text of a sealed file, once everything else in it has been looked at."""
    entries: dict[str, str] = {}
    for field, value in _fields(memoryview(data)):
        if field == _METADATA:
            key, text = _key_and_text(value)
            if key in entries:
                raise _Refused(f"says '{key}' twice")
            entries[key] = text
        elif field == _GRAPH:
            _check(value, "graph")
        elif field == _OPSET:
            _check(value, "opset")
        elif field not in _HEADER:
            raise _Refused("holds functions or training steps")
    if _TEXT_KEY not in entries or _SEAL_KEY not in entries:
        raise _Refused("is not a file of pneumoscope export")
    last = _entry(_SEAL_KEY, entries[_SEAL_KEY])
    digest = hashlib.sha256(memoryview(data)[: -len(last)]).hexdigest()
    if not data.endswith(last) or digest != entries[_SEAL_KEY]:
        raise _Refused("was altered since it was exported (its checksum differs)")
    return entries[_TEXT_KEY]


def _check(value: _Value, message: str) -> None:
    """Refuse a message with anything that `export` does not write."""
    for field, inner in _fields(value):
        # An empty text, a zero and an empty message are how absence may be written.
        if field in _REFUSED.get(message, {}) and inner:
            raise _Refused(f"holds {_REFUSED[message][field]}")
        below = _INSIDE.get(message, {}).get(field)
        if below is not None:
            _check(inner, below)


def _key_and_text(value: _Value) -> tuple[str, str]:
    """A metadata entry (StringStringEntryProto)."""
    texts = {1: "", 2: ""}
    for field, inner in _fields(value):
        if field in texts and isinstance(inner, memoryview):
            texts[field] = bytes(inner).decode("utf-8")
    return texts[1], texts[2]


def _fields(value: _Value) -> Iterator[tuple[int, _Value]]:
    """Numbers and values of a message's fields (Protocol Buffers, "Encoding").

    Raises:
        _Refused: it is no such message.
        IndexError: it ends within a number.
    """
    if not isinstance(value, memoryview):
        raise _Refused(_NOT_ONNX)
    at = 0
    while at < len(value):
        tag, at = _varint(value, at)
        field, kind = tag >> 3, tag & 7
        inner: _Value
        if kind == _VARINT:
            inner, at = _varint(value, at)
        else:
            length, at = (_FIXED[kind], at) if kind in _FIXED else _varint(value, at)
            inner = value[at : at + length]
            at += length
        if kind not in _KINDS or not 0 < field <= _MAX_FIELD or at > len(value):
            raise _Refused(_NOT_ONNX)
        yield field, inner


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise _Refused(_NOT_ONNX)


def _entry(key: str, text: str) -> bytes:
    """A metadata entry as a record of the model."""
    content = _record(1, key.encode()) + _record(2, text.encode())
    return _record(_METADATA, content)


def _record(field: int, content: bytes) -> bytes:
    head, length = bytearray([field << 3 | _BYTES]), len(content)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content
