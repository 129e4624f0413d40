"""Delegations: a part of somebody's roles on one project, in other hands. Tokens that are made by one die with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

Kind = Literal["application_credential"]
LETTERS: Mapping[Kind, str] = MappingProxyType({"application_credential": "a"})
"""How a token names the kind."""


class DelegationKey(msgspec.Struct, frozen=True):
    """By what a token was made."""

    kind: Kind
    id: str


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """What was delegated, as it is now."""

    key: DelegationKey
    project_id: str
    role_ids: tuple[str, ...]
    expires_at: int | None = None
    """Seconds since 1970."""
    unrestricted: bool = False
    """Whether tokens that are made by it may make and delete other delegations."""
