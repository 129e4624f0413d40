"""What an authentication method proves: who somebody is, and what the way of showing it limits."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus import clock
from skybus.errors import Forbidden, Unauthorized
from skybus.identity.auth.claims import Claims
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.delegation.delegations import Delegation
from skybus.identity.login.password_rules import expired

Row = Any


class Proven(msgspec.Struct, kw_only=True):
    """Who it is, and what the way of showing it limits."""

    user: Row
    methods: tuple[str, ...]
    revision: int
    parent: Claims | None = None
    """The token that was shown."""
    delegation: Delegation | None = None
    """What was shown, or by which the shown token was made."""
    expires_at: int | None = None
    """Seconds since 1970, when the new token must end at the latest."""
    federation: tuple[str, str] | None = None
    """The identity provider and the protocol by which the user came."""


def live(user: Row | None, *, password: bool = True) -> Row:
    """The user, if it may act. Raises Unauthorized, in one sentence for all reasons."""
    if user is None or not user["enabled"] or not user["domain_enabled"]:
        raise Unauthorized(NO_ENTRY)
    if password and expired(user, clock.now()):
        raise Unauthorized(NO_ENTRY)
    return user


def both(first: Proven, second: Proven) -> Proven:
    """Two proofs of one user: all methods, and every limit of both. Raises Unauthorized when they are of two users,
    Forbidden for limits that cannot meet."""
    if first.user["id"] != second.user["id"]:
        raise Unauthorized(NO_ENTRY)
    if first.delegation is not None and second.delegation is not None and first.delegation != second.delegation:
        raise Forbidden("Two delegations cannot be used together.")
    return Proven(
        user=first.user,
        methods=tuple(dict.fromkeys((*first.methods, *second.methods))),
        revision=min(first.revision, second.revision),
        parent=first.parent or second.parent,
        delegation=first.delegation or second.delegation,
        federation=first.federation or second.federation,
        expires_at=min((end for end in (first.expires_at, second.expires_at) if end is not None), default=None),
    )
