"""Log lines: for people, or as JSON for machines; each names its event."""

import logging
from datetime import UTC, datetime
from typing import Literal

import msgspec

from stream_scorer import standard_error

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


class Handler(logging.Handler):
    """Writes to standard error; where that takes nothing, lines are left out and counted."""

    def __init__(self) -> None:
        """Begin with nothing left out."""
        super().__init__()
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, behind one that says how many were left out before it."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of `logging` does
            self.handleError(record)
            return
        if self._left_out:
            about = event("lines_left_out", count=self._left_out)
            line = f"{self.format(lost(self._left_out, about))}\n{line}"
        if standard_error.write(f"{line}\n"):
            self._left_out = 0
        else:
            self._left_out += 1


def lost(count: int, about: dict[str, object]) -> logging.LogRecord:
    """Return the record that says how many lines were left out."""
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": f"{count} lines of the log were left out: standard error took nothing",
            **about,
        }
    )


def begin(form: Format, *, level: int = logging.INFO, worker: int | None = None) -> None:
    """Write to standard error from now on."""
    handler = Handler()
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
    standard_error.write(f"{line}\n")
