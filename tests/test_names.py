from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import PneumoscopeError
from pneumoscope.findings import Finding
from pneumoscope.names import is_unicode, json_text, meant, plain, written

_NAMES = st.one_of(
    st.binary(max_size=12),
    st.lists(st.sampled_from([b"\\", b"x", b"ff", b"\xff", b"\\xe9", b"a"]), max_size=8).map(
        b"".join
    ),
).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"").replace(b"/", b"")))


@given(_NAMES)
def test_a_written_name_is_unicode_and_leads_back(name: str) -> None:
    text = written(name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert meant(text) == name


@given(_NAMES, _NAMES)
def test_no_two_names_are_written_alike(one: str, other: str) -> None:
    assert (written(one) == written(other)) == (one == other)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"film.png", "film.png"),
        ("胸部.png".encode(), "胸部.png"),
        (b"a\\b.png", "a\\b.png"),
        (b"caf\xe9.png", "caf\\xe9.png"),
        (b"a\\b\xe9", "a\\\\b\\xe9"),
        (b"caf\\xe9.png", "caf\\\\xe9.png"),
    ],
)
def test_names_as_they_are_written(raw: bytes, text: str) -> None:
    assert written(os.fsdecode(raw)) == text


@given(st.text(st.characters(codec=None, max_codepoint=0x20FF), max_size=20))
def test_plain_text_is_one_line_without_control_characters(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert is_unicode(shown)
    assert not any(0x7F <= ord(character) < 0xA0 or ord(character) < 0x20 for character in shown)


@given(st.text(max_size=20))
def test_json_keeps_its_meaning_and_its_lines(text: str) -> None:
    line = json_text(json.dumps({"image": text}, ensure_ascii=False))
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"image": text}


def test_errors_and_findings_show_any_name() -> None:
    name = os.fsdecode(b"caf\xe9\x1b[2J\n.png")
    error = PneumoscopeError("is empty", path=name)
    assert str(error) == "caf\\xe9\\x1b[2J\\n.png: is empty"
    finding = Finding.from_error(name, error, "model")
    assert meant(finding.image) == name
    assert Finding.model_validate_json(finding.json_line()) == finding
