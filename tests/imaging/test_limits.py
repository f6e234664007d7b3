"""A file beyond the limits is told of the option that raises them, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.errors import UnsupportedImage
from pneumoscope.imaging import DEFAULT_LIMITS, Limits


def test_a_refusal_names_the_option_that_raises_the_limit() -> None:
    limits = Limits(max_bytes=9, max_pixels=9999, options=("--max-mb", "--max-pixels"))
    with pytest.raises(UnsupportedImage, match="raise the limit with --max-pixels"):
        limits.check_size(Path("film.png"), 100, 100)
    with pytest.raises(UnsupportedImage, match="raise the limit with --max-mb"):
        limits.check_bytes(Path("film.png"), 10)


def test_a_refusal_names_no_option_where_there_is_none() -> None:
    with pytest.raises(UnsupportedImage) as raised:
        DEFAULT_LIMITS.check_size(Path("film.png"), 10_000, 9_000)
    assert "raise" not in str(raised.value)
