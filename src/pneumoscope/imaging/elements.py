"""Header elements as writers really write them: another VR, either byte order, sloppy text.

pydicom converts a value by the VR that the file gives it and raises various errors where the two
do not fit. These functions start from the bytes, so that a number is a number whatever VR it has.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_TYPES = {
    "US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "UV": "u8", "SV": "i8",
    "FL": "f4", "FD": "f8",
}  # fmt: skip
_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM",
                   "UC", "UI", "UR", "UT"))  # fmt: skip


class MalformedElement(ValueError):
    """An element of the header is not what it must be.

    Args:
        keyword: the element's name in the standard.
    """

    def __init__(self, keyword: str) -> None:
        super().__init__(f"malformed {keyword}")
        self.keyword = keyword


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """The finite numbers of an element; none where it is absent or empty.

    Raises:
        MalformedElement: it holds anything else.
    """
    element = dataset.get_item(keyword)
    if element is None:
        return ()
    try:
        found = _raw_numbers(element) if isinstance(element, RawDataElement) else _values(element)
    except (TypeError, ValueError, UnicodeError):
        raise MalformedElement(keyword) from None
    if not all(math.isfinite(number) for number in found):
        raise MalformedElement(keyword)
    return found


def number(dataset: Any, keyword: str) -> float | None:
    """The first number of an element; None where it is absent or empty.

    Raises:
        MalformedElement: it holds anything else.
    """
    found = numbers(dataset, keyword)
    return found[0] if found else None


def words(dataset: Any, keyword: str) -> tuple[int, ...]:
    """The 16-bit words of an element, 0 to 65535, whichever of US and SS the file calls them.

    Raises:
        MalformedElement: it holds anything else.
    """
    element = dataset.get_item(keyword)
    if isinstance(element, RawDataElement) and element.VR not in _TEXT:
        content = bytes(element.value or b"")
        if element.VR in ("UL", "SL", "UV", "SV", "FL", "FD", "SQ") or len(content) % 2:
            raise MalformedElement(keyword)
        return tuple(np.frombuffer(content, _order(element) + "u2").tolist())
    found = numbers(dataset, keyword)
    if any(value != int(value) or not -32768 <= value <= 65535 for value in found):
        raise MalformedElement(keyword)
    return tuple(int(value) & 0xFFFF for value in found)


def content(dataset: Any, keyword: str) -> tuple[bytes, str]:
    """The bytes of an element, and their byte order, "<" or ">"; no bytes where it is absent.

    Raises:
        MalformedElement: it holds no bytes, such as a sequence.
    """
    element = dataset.get_item(keyword)
    if element is None:
        return b"", "<"
    if isinstance(element, RawDataElement):
        return bytes(element.value or b""), _order(element)
    value = element.value
    if isinstance(value, bytes):
        return value, ">" if dataset.original_encoding[1] is False else "<"
    return np.asarray(words(dataset, keyword), "<u2").tobytes(), "<"


def texts(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values of a text element, stripped; none where it is absent, empty or no text."""
    element = dataset.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        if isinstance(element, RawDataElement) and element.VR in _TYPES:
            return ()
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.split("\\")
    elif value is not None and not isinstance(value, MultiValue):
        return ()
    found = tuple(str(each).strip(" \0\t\r\n") for each in value or ())
    return found if any(found) else ()


def text(dataset: Any, keyword: str) -> str | None:
    """The first value of a text element, stripped; None where it is absent, empty or no text."""
    found = texts(dataset, keyword)
    return found[0] or None if found else None


def code(dataset: Any, keyword: str) -> str | None:
    """The first value of a code string, upper case and printable; None when absent or empty."""
    value = text(dataset, keyword)
    return printable(value.upper()) or None if value else None


def items(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; none where it is absent or empty.

    Raises:
        MalformedElement: it is no sequence.
    """
    if keyword not in dataset:
        return []
    try:
        value = dataset[keyword].value
    except Exception:  # pydicom raises almost anything on a sequence that is none
        raise MalformedElement(keyword) from None
    if not isinstance(value, Sequence):
        raise MalformedElement(keyword)
    return list(value)


def printable(value: str) -> str:
    """Short text without control characters: a file must not be able to drive the terminal."""
    return re.sub(r"[^\w .,()/\[\]-]", "?", value)[:64]


def _raw_numbers(element: RawDataElement) -> tuple[float, ...]:
    vr = element.VR
    if vr in (None, "UN", "OB", "OW"):
        vr = dictionary_VR(element.tag)
    if not element.value:
        return ()
    if vr in _TEXT:
        return _parsed(bytes(element.value).decode("ascii").strip(" \0").split("\\"))
    if vr == "SQ":
        raise ValueError("a sequence")
    kind = _TYPES.get(vr, "u2")  # "US or SS", where the caller minds the sign
    return tuple(map(float, np.frombuffer(bytes(element.value), _order(element) + kind).tolist()))


def _values(element: Any) -> tuple[float, ...]:
    value = element.value
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        return ()
    if isinstance(value, str):
        return _parsed(value.split("\\"))
    if isinstance(value, int | float):
        return (float(value),)
    return tuple(float(each) for each in value)


def _parsed(parts: list[str]) -> tuple[float, ...]:
    stripped = [part.strip(" \0") for part in parts]
    if any("_" in part for part in stripped):  # Python's own way to write 1_000
        raise ValueError("no number")
    return tuple(float(part) for part in stripped) if any(stripped) else ()


def _order(element: RawDataElement) -> str:
    return "<" if element.is_little_endian else ">"
