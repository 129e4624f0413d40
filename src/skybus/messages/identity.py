"""Identity: what is announced when users, projects, roles or the catalog change. No message carries a secret."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from skybus.bus.message import Event

PREFIX = "skybus.identity."


class Revocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens that are no longer good: those that match every field that is set and carry a revision below this one."""

    revision: int
    expires_at: datetime
    """When no token can be left that this concerns."""
    audit_id: str | None = None
    user_id: str | None = None
    target: str | None = None
    """A project's or domain's id, or `system`."""
    domain_id: str | None = None
    """The domain of the token's user or of its project."""
    role: str | None = None
    """A role's name."""
    delegation_id: str | None = None
    """By what they were made."""


class TokensRevoked(Event, frozen=True, kw_only=True):
    """Tokens died before their time. Every gateway process applies it to its memory."""

    TYPE: ClassVar[str] = "skybus.identity.tokens.revoked.v1"
    revocations: list[Revocation]


# --- users


class UserCreated(Event, frozen=True, kw_only=True):
    """There is a new user."""

    TYPE: ClassVar[str] = "skybus.identity.user.created.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str
    domain_id: str
    name: str


class UserUpdated(Event, frozen=True, kw_only=True):
    """A user's attributes changed; `changed` names them."""

    TYPE: ClassVar[str] = "skybus.identity.user.updated.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str
    enabled: bool
    changed: list[str]


class UserPasswordChanged(Event, frozen=True, kw_only=True):
    """A user has a new password; all earlier tokens of the user are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.user.password-changed.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str
    by_user_id: str


class UserLocked(Event, frozen=True, kw_only=True):
    """Too many wrong attempts: the user cannot log in by `method` for `seconds`, or until it is enabled when 0."""

    TYPE: ClassVar[str] = "skybus.identity.user.locked.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str
    method: str
    seconds: int


class UserDeleted(Event, frozen=True, kw_only=True):
    """A user is gone, and with it its assignments and application credentials."""

    TYPE: ClassVar[str] = "skybus.identity.user.deleted.v1"
    SUBJECT: ClassVar[str] = "user_id"
    user_id: str


# --- groups


class GroupCreated(Event, frozen=True, kw_only=True):
    """There is a new group."""

    TYPE: ClassVar[str] = "skybus.identity.group.created.v1"
    SUBJECT: ClassVar[str] = "group_id"
    group_id: str
    domain_id: str
    name: str


class GroupUpdated(Event, frozen=True, kw_only=True):
    """A group's attributes changed."""

    TYPE: ClassVar[str] = "skybus.identity.group.updated.v1"
    SUBJECT: ClassVar[str] = "group_id"
    group_id: str


class GroupDeleted(Event, frozen=True, kw_only=True):
    """A group is gone, and its assignments with it."""

    TYPE: ClassVar[str] = "skybus.identity.group.deleted.v1"
    SUBJECT: ClassVar[str] = "group_id"
    group_id: str


class GroupMemberAdded(Event, frozen=True, kw_only=True):
    """A user is in a group now."""

    TYPE: ClassVar[str] = "skybus.identity.group.member-added.v1"
    SUBJECT: ClassVar[str] = "group_id"
    group_id: str
    user_id: str


class GroupMemberRemoved(Event, frozen=True, kw_only=True):
    """A user is no longer in a group; the user's tokens are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.group.member-removed.v1"
    SUBJECT: ClassVar[str] = "group_id"
    group_id: str
    user_id: str


# --- projects and domains


class ProjectCreated(Event, frozen=True, kw_only=True):
    """There is a new project."""

    TYPE: ClassVar[str] = "skybus.identity.project.created.v1"
    SUBJECT: ClassVar[str] = "project_id"
    project_id: str
    domain_id: str
    name: str


class ProjectUpdated(Event, frozen=True, kw_only=True):
    """A project's attributes changed; `changed` names them."""

    TYPE: ClassVar[str] = "skybus.identity.project.updated.v1"
    SUBJECT: ClassVar[str] = "project_id"
    project_id: str
    enabled: bool
    changed: list[str]


class ProjectDeleted(Event, frozen=True, kw_only=True):
    """A project is gone; what it owned elsewhere has no owner any more."""

    TYPE: ClassVar[str] = "skybus.identity.project.deleted.v1"
    SUBJECT: ClassVar[str] = "project_id"
    project_id: str
    domain_id: str


class DomainCreated(Event, frozen=True, kw_only=True):
    """There is a new domain."""

    TYPE: ClassVar[str] = "skybus.identity.domain.created.v1"
    SUBJECT: ClassVar[str] = "domain_id"
    domain_id: str
    name: str


class DomainUpdated(Event, frozen=True, kw_only=True):
    """A domain's attributes changed; `changed` names them."""

    TYPE: ClassVar[str] = "skybus.identity.domain.updated.v1"
    SUBJECT: ClassVar[str] = "domain_id"
    domain_id: str
    enabled: bool
    changed: list[str]


class DomainDeleted(Event, frozen=True, kw_only=True):
    """A domain is gone with all its projects, users and groups."""

    TYPE: ClassVar[str] = "skybus.identity.domain.deleted.v1"
    SUBJECT: ClassVar[str] = "domain_id"
    domain_id: str


# --- roles and assignments


class RoleCreated(Event, frozen=True, kw_only=True):
    """There is a new role."""

    TYPE: ClassVar[str] = "skybus.identity.role.created.v1"
    SUBJECT: ClassVar[str] = "role_id"
    role_id: str
    name: str


class RoleUpdated(Event, frozen=True, kw_only=True):
    """A role's attributes changed."""

    TYPE: ClassVar[str] = "skybus.identity.role.updated.v1"
    SUBJECT: ClassVar[str] = "role_id"
    role_id: str
    name: str


class RoleDeleted(Event, frozen=True, kw_only=True):
    """A role is gone, and its assignments with it."""

    TYPE: ClassVar[str] = "skybus.identity.role.deleted.v1"
    SUBJECT: ClassVar[str] = "role_id"
    role_id: str
    name: str


class RoleImplicationCreated(Event, frozen=True, kw_only=True):
    """One role implies another from now on."""

    TYPE: ClassVar[str] = "skybus.identity.role.implication-created.v1"
    SUBJECT: ClassVar[str] = "prior_role_id"
    prior_role_id: str
    implied_role_id: str


class RoleImplicationDeleted(Event, frozen=True, kw_only=True):
    """One role no longer implies another."""

    TYPE: ClassVar[str] = "skybus.identity.role.implication-deleted.v1"
    SUBJECT: ClassVar[str] = "prior_role_id"
    prior_role_id: str
    implied_role_id: str


class RoleAssigned(Event, frozen=True, kw_only=True):
    """A user or a group has a role on a project, a domain or the system (`target`)."""

    TYPE: ClassVar[str] = "skybus.identity.role.assigned.v1"
    SUBJECT: ClassVar[str] = "role_id"
    role_id: str
    target: str
    user_id: str | None = None
    group_id: str | None = None
    inherited: bool = False


class RoleUnassigned(Event, frozen=True, kw_only=True):
    """A user or a group no longer has a role on a project, a domain or the system (`target`)."""

    TYPE: ClassVar[str] = "skybus.identity.role.unassigned.v1"
    SUBJECT: ClassVar[str] = "role_id"
    role_id: str
    target: str
    user_id: str | None = None
    group_id: str | None = None
    inherited: bool = False


# --- the catalog


class CatalogChanged(Event, frozen=True, kw_only=True):
    """A region, a service or an endpoint was created, updated or deleted."""

    TYPE: ClassVar[str] = "skybus.identity.catalog.changed.v1"
    SUBJECT: ClassVar[str] = "id"
    kind: str
    """`region`, `service` or `endpoint`."""
    id: str
    change: str
    """`created`, `updated` or `deleted`."""


# --- application credentials


class ApplicationCredentialCreated(Event, frozen=True, kw_only=True):
    """A user made an application credential."""

    TYPE: ClassVar[str] = "skybus.identity.application-credential.created.v1"
    SUBJECT: ClassVar[str] = "application_credential_id"
    application_credential_id: str
    user_id: str
    in_project_id: str


class ApplicationCredentialDeleted(Event, frozen=True, kw_only=True):
    """An application credential is gone; its tokens are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.application-credential.deleted.v1"
    SUBJECT: ClassVar[str] = "application_credential_id"
    application_credential_id: str
    user_id: str
