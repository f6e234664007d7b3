"""The node's status page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2

WORDS = {
    "accepted": "radiographs, for the model",
    "results": "objects, to be sent",
    "undeliverable": "objects, given up (retry or drop)",
    "uncommitted": "objects, sent, storage not committed",
    "quarantine": "radiographs, the model failed (retry or drop)",
}
"""What waits in each state of the queue, for people."""


def status_page(status: Mapping[str, Any]) -> str:
    """The page of a status, as `survey.status` gives it; it loads nothing and runs no script."""
    return _template().render(status, words=WORDS, age=age)


def age(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pneumoscope.dicom.node", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template("status.html.j2")
