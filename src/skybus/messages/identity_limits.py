"""Identity: what is announced when limits change."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Event


class RegisteredLimitCreated(Event, frozen=True, kw_only=True):
    """A resource of a service has a default limit from now on."""

    TYPE: ClassVar[str] = "skybus.identity.registered-limit.created.v1"
    SUBJECT: ClassVar[str] = "registered_limit_id"
    registered_limit_id: str
    service_id: str
    region_id: str | None
    resource_name: str
    default_limit: int
    """-1 is no limit, here and in every event below."""


class RegisteredLimitUpdated(Event, frozen=True, kw_only=True):
    """A default limit is another one, or of another resource."""

    TYPE: ClassVar[str] = "skybus.identity.registered-limit.updated.v1"
    SUBJECT: ClassVar[str] = "registered_limit_id"
    registered_limit_id: str
    service_id: str
    region_id: str | None
    resource_name: str
    default_limit: int


class RegisteredLimitDeleted(Event, frozen=True, kw_only=True):
    """A resource has no default limit any more."""

    TYPE: ClassVar[str] = "skybus.identity.registered-limit.deleted.v1"
    SUBJECT: ClassVar[str] = "registered_limit_id"
    registered_limit_id: str


class LimitCreated(Event, frozen=True, kw_only=True):
    """A project or a domain (`target`) has a limit of its own from now on."""

    TYPE: ClassVar[str] = "skybus.identity.limit.created.v1"
    SUBJECT: ClassVar[str] = "limit_id"
    limit_id: str
    registered_limit_id: str
    target: str
    resource_limit: int


class LimitUpdated(Event, frozen=True, kw_only=True):
    """The limit of a project or a domain (`target`) is another one."""

    TYPE: ClassVar[str] = "skybus.identity.limit.updated.v1"
    SUBJECT: ClassVar[str] = "limit_id"
    limit_id: str
    target: str
    resource_limit: int


class LimitDeleted(Event, frozen=True, kw_only=True):
    """The default holds again for a project or a domain (`target`)."""

    TYPE: ClassVar[str] = "skybus.identity.limit.deleted.v1"
    SUBJECT: ClassVar[str] = "limit_id"
    limit_id: str
    target: str
