"""Every kind of delegation, found by what a token says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skybus.errors import Forbidden
from skybus.http.call import Call
from skybus.identity.application_credentials import credential_delegation
from skybus.identity.delegations import Delegation, DelegationKey, Kind
from skybus.identity.trusts import trust_of_token

_FIND: Mapping[Kind, Callable[[Any, str], Awaitable[Delegation | None]]] = {
    "application_credential": credential_delegation,
    "trust": trust_of_token,
}


async def delegation_find(db: Any, key: DelegationKey) -> Delegation | None:
    """The delegation, or None when it is no more."""
    return await _FIND[key.kind](db, key.id)


async def refuse_delegates(call: Call) -> None:
    """Whoever came by a delegation may not make or delete any, unless it is unrestricted. Raises Forbidden."""
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is None:
        return
    delegation = await delegation_find(call.store, key)
    if delegation is None or not delegation.unrestricted:
        raise Forbidden(f"A token of a restricted {key.kind.replace('_', ' ')} cannot manage delegations.")
