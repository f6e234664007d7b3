"""What the node logs: an event with fields, and the same as a line of text. No patient data.

Fields are the first digits of a radiograph's digest, titles and addresses of other machines, kinds
of objects, status codes and our own words. Values of a dataset are never among them.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

LOG = logging.getLogger("pneumoscope.node")


def say(level: int, event: str, text: str, **fields: object) -> None:
    """Log an event.

    Args:
        level: of `logging`.
        event: its name for machines, such as `film.accepted`.
        text: its line for people, a format of `fields`.
        fields: what the event is about.
    """
    LOG.log(level, "%s", text.format(**fields), extra={"event": event, "fields": fields})


def log_json() -> None:
    """Let what logs already log as JSON, an event per line."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())


class JsonLines(logging.Formatter):
    """A JSON object per line: time, level, event, message and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; records of other libraries have no event."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": when, "level": record.levelname.lower()}
        event = getattr(record, "event", None)
        if event is not None:
            said["event"] = event
        fields = getattr(record, "fields", {})
        return json.dumps({**fields, **said, "message": record.getMessage()}, default=str)
