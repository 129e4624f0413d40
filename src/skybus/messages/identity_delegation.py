"""Identity: what is announced when users pass a part of their roles on. No message carries a secret."""

from __future__ import annotations

from typing import ClassVar

from skybus.bus.message import Event

# --- trusts


class TrustCreated(Event, frozen=True, kw_only=True):
    """A trustor lets a trustee act on a project."""

    TYPE: ClassVar[str] = "skybus.identity.trust.created.v1"
    SUBJECT: ClassVar[str] = "trust_id"
    trust_id: str
    trustor_user_id: str
    trustee_user_id: str
    in_project_id: str | None
    impersonation: bool
    redelegated_trust_id: str | None = None


class TrustUsed(Event, frozen=True, kw_only=True):
    """A token was made by a trust whose uses are counted."""

    TYPE: ClassVar[str] = "skybus.identity.trust.used.v1"
    SUBJECT: ClassVar[str] = "trust_id"
    trust_id: str
    remaining_uses: int


class TrustDeleted(Event, frozen=True, kw_only=True):
    """A trust is gone; its tokens are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.trust.deleted.v1"
    SUBJECT: ClassVar[str] = "trust_id"
    trust_id: str
    trustor_user_id: str
    trustee_user_id: str


# --- access rules


class AccessRuleCreated(Event, frozen=True, kw_only=True):
    """A user has a new access rule, made with an application credential."""

    TYPE: ClassVar[str] = "skybus.identity.access-rule.created.v1"
    SUBJECT: ClassVar[str] = "access_rule_id"
    access_rule_id: str
    user_id: str
    service: str
    method: str
    path: str


class AccessRuleDeleted(Event, frozen=True, kw_only=True):
    """An access rule that no application credential has is gone."""

    TYPE: ClassVar[str] = "skybus.identity.access-rule.deleted.v1"
    SUBJECT: ClassVar[str] = "access_rule_id"
    access_rule_id: str
    user_id: str


# --- OAuth 1.0a


class ConsumerCreated(Event, frozen=True, kw_only=True):
    """There is a new OAuth consumer."""

    TYPE: ClassVar[str] = "skybus.identity.consumer.created.v1"
    SUBJECT: ClassVar[str] = "consumer_id"
    consumer_id: str


class ConsumerUpdated(Event, frozen=True, kw_only=True):
    """A consumer's description changed."""

    TYPE: ClassVar[str] = "skybus.identity.consumer.updated.v1"
    SUBJECT: ClassVar[str] = "consumer_id"
    consumer_id: str


class ConsumerDeleted(Event, frozen=True, kw_only=True):
    """A consumer is gone with all its request and access tokens; the tokens made by these are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.consumer.deleted.v1"
    SUBJECT: ClassVar[str] = "consumer_id"
    consumer_id: str


class RequestTokenCreated(Event, frozen=True, kw_only=True):
    """A consumer asks for a part of somebody's roles on a project."""

    TYPE: ClassVar[str] = "skybus.identity.request-token.created.v1"
    SUBJECT: ClassVar[str] = "id"
    id: str
    consumer_id: str
    in_project_id: str


class RequestTokenAuthorized(Event, frozen=True, kw_only=True):
    """A user gave a consumer what it had asked for; the consumer can fetch its access token."""

    TYPE: ClassVar[str] = "skybus.identity.request-token.authorized.v1"
    SUBJECT: ClassVar[str] = "id"
    id: str
    consumer_id: str
    user_id: str
    role_ids: list[str]


class AccessTokenCreated(Event, frozen=True, kw_only=True):
    """A consumer fetched its access token; the request token is gone."""

    TYPE: ClassVar[str] = "skybus.identity.access-token.created.v1"
    SUBJECT: ClassVar[str] = "id"
    id: str
    consumer_id: str
    user_id: str
    in_project_id: str


class AccessTokenDeleted(Event, frozen=True, kw_only=True):
    """An access token is gone; the tokens made by it are revoked."""

    TYPE: ClassVar[str] = "skybus.identity.access-token.deleted.v1"
    SUBJECT: ClassVar[str] = "id"
    id: str
    consumer_id: str
    user_id: str
