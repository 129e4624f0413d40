"""The errors of the cloud, in the caller's words.

Each class knows its `code` (dotted, stable, for programs), its HTTP `status`, and whether asking again could help
(`retry`). One place turns them into HTTP, another into a message's fate.
"""

from __future__ import annotations

from typing import Any


class CloudError(Exception):
    """A "no" that the caller may read: `str(error)` is a sentence in the caller's words, free of secrets."""

    code = "internal"
    status = 500
    retry = False
    title = "Internal Server Error"

    def __init__(self, reason: str = "", *, code: str | None = None, **details: Any) -> None:
        super().__init__(reason or self.title)
        if code is not None:
            self.code = code
        self.details: dict[str, Any] = details

    @property
    def reason(self) -> str:
        """The sentence."""
        return str(self)


class BadRequest(CloudError):
    """The request cannot be understood, whoever asks and whenever."""

    code, status, title = "request.bad", 400, "Bad Request"


class Unauthorized(CloudError):
    """Nobody has been authenticated."""

    code, status, title = "identity.unauthorized", 401, "Unauthorized"


class Forbidden(CloudError):
    """The caller is known and may not."""

    code, status, title = "policy.forbidden", 403, "Forbidden"


class QuotaExceeded(Forbidden):
    """The project would own more than its quota allows."""

    code, title = "quota.exceeded", "Quota exceeded"


class NotFound(CloudError):
    """There is no such thing, or none that the caller may see."""

    code, status, title = "resource.not-found", 404, "Not Found"


class NotAcceptable(CloudError):
    """The API does not speak the version that was asked for."""

    code, status, title = "version.not-acceptable", 406, "Not Acceptable"


class Conflict(CloudError):
    """The thing is in a state, or in a use, that forbids this now."""

    code, status, title = "resource.conflict", 409, "Conflict"


class TooLarge(CloudError):
    """The body, or what it asks for, is over a limit."""

    code, status, title = "request.too-large", 413, "Request Entity Too Large"


class UnsupportedMedia(CloudError):
    """The body is in a form that this call does not read."""

    code, status, title = "request.unsupported-media", 415, "Unsupported Media Type"


class Unavailable(CloudError):
    """Something that we depend on did not answer in time; the same request may succeed later."""

    code, status, retry, title = "service.unavailable", 503, True, "Service Unavailable"


class Outage(Unavailable):
    """What everybody here needs is away for now: whoever can, waits for it. It says nothing about what was asked."""

    code = "service.outage"


class CommandRefused(CloudError):
    """An agent or the scheduler will not carry out a command, now or ever: the saga unwinds."""

    code = "command.refused"


class CommandTroubled(CloudError):
    """An agent could not carry out a command this time; asked again, it may."""

    code, retry = "command.troubled", True
