"""Log lines: for people, or as JSON for machines; each names its event."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

Format = Literal["text", "json"]
OTHER = "other"  # a library's own


def event(name: str, **fields: object) -> dict[str, object]:
    """Return a log call's `extra`: a name that stays when the words change, and what it is about.

    No field may hold a payload, a key of a record, or a secret.
    """
    return {"event": name, "fields": fields}


class AsJson(logging.Formatter):
    """One object a line: time, level, event, its fields, logger, message."""

    def __init__(self, worker: int | None) -> None:
        """Give each line the worker's number, if it is one."""
        super().__init__()
        self._own = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", OTHER),
            **self._own,
            **getattr(record, "fields", {}),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def begin(form: Format, *, level: int = logging.INFO, worker: int | None = None) -> None:
    """Write to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    name = "" if worker is None else f"worker {worker}: "
    text = logging.Formatter(f"%(asctime)s %(levelname)s {name}%(message)s")
    handler.setFormatter(AsJson(worker) if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler])


def last_line(text: str, exit_code: int) -> None:
    """Say why the process ends, in the form that its log has.

    Past the handlers and their locks: a thread that hangs may hold one.
    """
    form = next((handler.formatter for handler in logging.root.handlers), None)
    line = f"stream-scorer: {text}"
    if isinstance(form, AsJson):
        about = event("ended", exit_code=exit_code)
        line = form.format(
            logging.makeLogRecord(
                {"name": "stream_scorer", "levelname": "CRITICAL", "msg": text, **about}
            )
        )
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
