"""Identity: what is announced of credentials and of the keys of the cloud. No message carries what they keep secret."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Event


class CredentialCreated(Event, frozen=True, kw_only=True):
    """A user has a new credential."""

    TYPE: ClassVar[str] = "skybus.identity.credential.created.v1"
    SUBJECT: ClassVar[str] = "credential_id"
    credential_id: str
    user_id: str
    kind: str
    """`ec2`, `totp`, `cert`, or what the user calls it."""
    in_project_id: str | None = None


class CredentialUpdated(Event, frozen=True, kw_only=True):
    """A credential changed; `changed` names its attributes. Tokens made by it before are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.credential.updated.v1"
    SUBJECT: ClassVar[str] = "credential_id"
    credential_id: str
    user_id: str
    changed: list[str]


class CredentialDeleted(Event, frozen=True, kw_only=True):
    """A credential is gone; tokens made by it are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.credential.deleted.v1"
    SUBJECT: ClassVar[str] = "credential_id"
    credential_id: str
    user_id: str


class KeysChanged(Event, frozen=True, kw_only=True):
    """There is a new key, or a key was let sign or dropped: every gateway process looks at its folder."""

    TYPE: ClassVar[str] = "skybus.identity.keys.changed.v1"
    SUBJECT: ClassVar[str] = "kind"
    kind: str
    """`tokens` or `credentials`."""
    change: str
    """`staged`, `promoted` or `retired`."""
    number: int
    """The newest key that this is about."""
