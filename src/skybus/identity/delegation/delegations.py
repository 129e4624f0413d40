"""Delegations: a part of somebody's roles on one project, in other hands. Tokens that are made by one die with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

Kind = Literal["application_credential", "trust", "oauth1"]
LETTERS: Mapping[Kind, str] = MappingProxyType({"application_credential": "a", "trust": "t", "oauth1": "o"})
"""How a token names the kind; as a capital where access rules say what its tokens may be used for."""


class DelegationKey(msgspec.Struct, frozen=True):
    """By what a token was made, and all that the token must say of it."""

    kind: Kind
    id: str
    ruled: bool = False
    """Whether access rules say which requests its tokens may make."""
    depends_on: tuple[str, ...] = ()
    """Ids of the users, and of their domains, without whom it ends, besides the user that the token names: of those who
    passed a trust on. What revokes tokens of one of them revokes this token."""


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """What was delegated, as it is now."""

    key: DelegationKey
    project_id: str
    role_ids: tuple[str, ...]
    expires_at: int | None = None
    """Seconds since 1970."""
    unrestricted: bool = False
    """Whether tokens that are made by it may make and delete other delegations."""
