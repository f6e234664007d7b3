"""Names of files as text: valid Unicode that leads back to the file, and one line to show.

A name may hold any bytes but a null and a slash. Where it becomes text in a finding, a table or a
message, it passes through here; standard library only.
"""

from __future__ import annotations

import os
import re

_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")
# Control characters, line and paragraph separators, and what turns the direction of writing.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8, as a name with other bytes cannot."""
    return _SURROGATE.search(text) is None


def written(name: str | os.PathLike[str]) -> str:
    r"""The name of a file as valid Unicode; `meant` gives the file's own name again.

    A name in UTF-8 is written as it is. Each byte that is not UTF-8 is written as `\xHH`; in a name
    with such an escape, or with a `\x` of its own, a backslash is doubled, so that no two names are
    written alike.
    """
    text = os.fspath(name)
    if is_unicode(text) and r"\x" not in text:
        return text
    doubled = text.replace("\\", "\\\\")
    return _SURROGATE.sub(lambda found: _bytes_of(found[0]), doubled)


def meant(text: str) -> str:
    r"""The name that was `written` as `text`.

    The result is for the operating system: it may hold surrogates, Python's stand-ins for bytes
    that are not UTF-8.
    """
    if r"\x" not in text:
        return text
    raw = _ESCAPED.sub(_byte, text.encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8", "surrogateescape")


def plain(text: object) -> str:
    r"""One line of valid Unicode for people: control characters become escapes such as `\x1b`."""
    return _SURROGATE.sub(
        lambda found: _bytes_of(found[0]), _UNSAFE.sub(lambda found: _shown(found[0]), str(text))
    )


def json_text(text: str) -> str:
    r"""JSON without raw control characters and line separators: they become `\uXXXX`.

    JSON allows some of them inside a string, but programs that split text into lines break there.
    """
    return _UNSAFE.sub(
        lambda found: found[0] if found[0] in "\n\r\t" else f"\\u{ord(found[0]):04x}", text
    )


def _bytes_of(surrogate: str) -> str:
    code = ord(surrogate)
    # The other surrogates stand for no byte; they come from names on Windows.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _byte(found: re.Match[bytes]) -> bytes:
    return b"\\" if found[1] is None else bytes([int(found[1], 16)])


def _shown(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
