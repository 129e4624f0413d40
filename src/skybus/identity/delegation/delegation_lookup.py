"""Every kind of delegation, found by what a token says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call
from skybus.identity.delegation.application_credentials import credential_delegation
from skybus.identity.delegation.delegations import Delegation, DelegationKey, Kind
from skybus.identity.delegation.oauth1_access_tokens import access_token_delegation
from skybus.identity.delegation.trusts import trust_of_token

_FIND: Mapping[Kind, Callable[[Any, str], Awaitable[Delegation | None]]] = {
    "application_credential": credential_delegation,
    "trust": trust_of_token,
    "oauth1": access_token_delegation,
}


async def delegation_find(db: Any, key: DelegationKey) -> Delegation | None:
    """The delegation, or None when it is no more."""
    return await _FIND[key.kind](db, key.id)


async def refuse_delegates(call: Call, *, ruled_too: bool = False) -> None:
    """Whoever came by a delegation may not make or delete any, unless it is unrestricted. Raises Forbidden.

    With `ruled_too` whoever is limited by access rules may not either: what is made would not be limited.
    """
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is None:
        return
    delegation = await delegation_find(call.store, key)
    if delegation is None or not delegation.unrestricted or (ruled_too and key.ruled):
        raise Forbidden(f"A token of a restricted {key.kind.replace('_', ' ')} cannot manage delegations.")


def refuse_handed_on(call: Call) -> None:
    """Raises Forbidden for tokens that are in other hands than their user's: of trusts and of OAuth access tokens."""
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is not None and key.kind != "application_credential":
        raise Forbidden("A token that was made by a delegation cannot look after application credentials.")
