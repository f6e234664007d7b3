"""The templates of this room, loaded from the installed package."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pneumoscope.findings.words import RESEARCH_ONLY

__all__ = ["RESEARCH_ONLY", "escape_markdown", "render"]

if TYPE_CHECKING:  # For start-up time.
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """Fill a template of `report/templates`; HTML is escaped in `.html.j2`, Markdown by `md`."""
    return _environment().get_template(template).render(research_only=RESEARCH_ONLY, **values)


def escape_markdown(value: object) -> str:
    """Text on one line that Markdown shows as it is, also inside a table."""
    text = " ".join(str(value).split())
    text = re.sub(r"([\\`*\[\]|])", r"\\\1", text)
    # Underscores inside a word are no emphasis, and names here are full of them.
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("pneumoscope.report", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escape_markdown
    return environment
