"""How log records look on standard error: lines, or JSON Lines."""

from __future__ import annotations

import json
import logging
import sys

from auricle.cli.output import LAYOUT
from auricle.errors import escaped

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time` in UTC seconds, `level`, `logger`, `message`, `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["trace"] = self.formatException(record.exc_info)
        return json.dumps(content)


class PlainRecord(logging.LogRecord):
    """A line of the log, escaped as `say` does."""

    def getMessage(self) -> str:  # noqa: N802
        """The message with its arguments filled in."""
        return escaped(super().getMessage(), LAYOUT)


def set_up(debug: bool, as_json: bool) -> None:
    """Send log records to standard error.

    Args:
        debug: Whether to log everything, not only our records from INFO on and warnings of others.
        as_json: Whether to log JSON Lines.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(LINE))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler])
    if not debug:
        logging.getLogger("auricle").setLevel(logging.INFO)
