"""Logs: one JSON object a line, an event name and fields; context is bound once, at the edge."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import Any, TextIO, cast

import msgspec
import structlog

_encoder = msgspec.json.Encoder(enc_hook=str)


def _render(_logger: Any, _name: str, event: Any) -> str:
    # A struct says by its repr what of it may be seen.
    shown = {key: repr(value) if isinstance(value, msgspec.Struct) else value for key, value in event.items()}
    return _encoder.encode(shown).decode()


class Forgiving(io.TextIOBase):
    """Writes to a stream what the stream takes, and drops what it does not: a full disk must not stop the work."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def write(self, text: str) -> int:
        """Write, or drop."""
        with contextlib.suppress(OSError):
            self._to.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it to the next one."""
        with contextlib.suppress(OSError):
            self._to.flush()


def configure(process: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send the logs of this process, and the warnings of its libraries, to `stream` as JSON: to standard output unless
    a command's answer goes there."""
    to = cast(TextIO, Forgiving(stream or sys.stdout))
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _named(process), _render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _named(process)],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _named(process: str) -> Any:
    def add(_logger: Any, _name: str, event: Any) -> Any:
        event["process"] = process
        return event

    return add
