"""Whose request is being served: bound at the edge, carried by every message and every log line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec
import structlog


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The thread that leads from an HTTP call through every message and step to its end."""

    request_id: str = ""
    """`req-<uuid>` of the HTTP call; empty for what the cloud does by itself."""
    project_id: str = ""
    """Whose resources are touched, and so who may see the events."""
    user_id: str = ""
    operation_id: str = ""
    traceparent: str = ""
    """W3C Trace Context."""


NOBODY = Context()
_current: ContextVar[Context] = ContextVar("skybus_context", default=NOBODY)
_owners: ContextVar[Mapping[str, Context] | None] = ContextVar("skybus_owners", default=None)


def current() -> Context:
    """The context that was bound last."""
    return _current.get()


@contextmanager
def bound(context: Context) -> Iterator[None]:
    """Bind `context`, for messages and for logs, while the block runs."""
    token = _current.set(context)
    fields = {"request_id": context.request_id, "project_id": context.project_id, "operation_id": context.operation_id}
    try:
        with structlog.contextvars.bound_contextvars(**{key: value for key, value in fields.items() if value}):
            yield
    finally:
        _current.reset(token)


@contextmanager
def owners(contexts: Mapping[str, Context]) -> Iterator[None]:
    """Say in whose context each resource, by its id, is worked on while the block runs."""
    token = _owners.set(contexts)
    try:
        yield
    finally:
        _owners.reset(token)


@contextmanager
def on_behalf_of(resource_id: str) -> Iterator[None]:
    """Bind the context in which `resource_id` is worked on: for code that handles many resources at once. Where nobody
    said, the current one stays."""
    context = (_owners.get() or {}).get(resource_id)
    if context is None:
        yield
        return
    with bound(context):
        yield
