"""Identity: what is announced when projects are given endpoints, and when the policies of services change."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Event


class EndpointGroupCreated(Event, frozen=True, kw_only=True):
    """There is a new group of endpoints."""

    TYPE: ClassVar[str] = "skybus.identity.endpoint-group.created.v1"
    SUBJECT: ClassVar[str] = "endpoint_group_id"
    endpoint_group_id: str
    name: str


class EndpointGroupUpdated(Event, frozen=True, kw_only=True):
    """A group of endpoints changed: its name, or which endpoints belong to it."""

    TYPE: ClassVar[str] = "skybus.identity.endpoint-group.updated.v1"
    SUBJECT: ClassVar[str] = "endpoint_group_id"
    endpoint_group_id: str


class EndpointGroupDeleted(Event, frozen=True, kw_only=True):
    """A group of endpoints is gone; no project has its endpoints by it any more."""

    TYPE: ClassVar[str] = "skybus.identity.endpoint-group.deleted.v1"
    SUBJECT: ClassVar[str] = "endpoint_group_id"
    endpoint_group_id: str


class EndpointGiven(Event, frozen=True, kw_only=True):
    """A project was given an endpoint, or those of a group; its catalog shows what it was given alone."""

    TYPE: ClassVar[str] = "skybus.identity.endpoint.given.v1"
    SUBJECT: ClassVar[str] = "to_project_id"
    to_project_id: str
    endpoint_id: str | None = None
    endpoint_group_id: str | None = None


class EndpointWithdrawn(Event, frozen=True, kw_only=True):
    """What a project was given, one endpoint or a group, was taken from it."""

    TYPE: ClassVar[str] = "skybus.identity.endpoint.withdrawn.v1"
    SUBJECT: ClassVar[str] = "from_project_id"
    from_project_id: str
    endpoint_id: str | None = None
    endpoint_group_id: str | None = None


class PolicyBlobCreated(Event, frozen=True, kw_only=True):
    """A service's policy is kept from now on."""

    TYPE: ClassVar[str] = "skybus.identity.policy-blob.created.v1"
    SUBJECT: ClassVar[str] = "policy_id"
    policy_id: str


class PolicyBlobUpdated(Event, frozen=True, kw_only=True):
    """A service's policy changed."""

    TYPE: ClassVar[str] = "skybus.identity.policy-blob.updated.v1"
    SUBJECT: ClassVar[str] = "policy_id"
    policy_id: str


class PolicyBlobDeleted(Event, frozen=True, kw_only=True):
    """A service's policy is gone, and its associations with it."""

    TYPE: ClassVar[str] = "skybus.identity.policy-blob.deleted.v1"
    SUBJECT: ClassVar[str] = "policy_id"
    policy_id: str


class PolicyBlobAssociated(Event, frozen=True, kw_only=True):
    """A policy is that of an endpoint, of a service, or of a service in a region and below."""

    TYPE: ClassVar[str] = "skybus.identity.policy-blob.associated.v1"
    SUBJECT: ClassVar[str] = "policy_id"
    policy_id: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None


class PolicyBlobDissociated(Event, frozen=True, kw_only=True):
    """A policy is no longer that of an endpoint, of a service, or of a service in a region and below."""

    TYPE: ClassVar[str] = "skybus.identity.policy-blob.dissociated.v1"
    SUBJECT: ClassVar[str] = "policy_id"
    policy_id: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None
