"""Federation and directories: what is announced when other ways to know people change. No message carries a secret."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Event


class FederationChanged(Event, frozen=True, kw_only=True):
    """An identity provider, a protocol of one, a mapping or a service provider was created, updated or deleted."""

    TYPE: ClassVar[str] = "skybus.identity.federation.changed.v1"
    SUBJECT: ClassVar[str] = "id"
    kind: str
    """`identity_provider`, `protocol`, `mapping` or `service_provider`."""
    id: str
    change: str
    """`created`, `updated` or `deleted`."""
    identity_provider_id: str | None = None
    """Whose protocol it is."""


class FederatedUserMapped(Event, frozen=True, kw_only=True):
    """Somebody came by an identity provider, and other groups go with it than at the time before."""

    TYPE: ClassVar[str] = "skybus.identity.federated-user.mapped.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str
    identity_provider_id: str
    protocol_id: str
    group_ids: list[str]


class DomainConfigChanged(Event, frozen=True, kw_only=True):
    """A domain's own settings changed; `options` names those, as `section.name`."""

    TYPE: ClassVar[str] = "skybus.identity.domain.config-changed.v1"
    SUBJECT: ClassVar[str] = "domain_id"
    domain_id: str
    options: list[str]
