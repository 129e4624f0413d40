"""Authentication by an OAuth access token: the request itself is signed with it, and stands for its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.delegation import oauth1_access_tokens as access_tokens
from skybus.identity.delegation.oauth1_consumers import consumer_secret
from skybus.identity.delegation.oauth1_signatures import nonce_use, signature_check, signed_of
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users

if TYPE_CHECKING:
    from skybus.identity.login.login import Login


async def prove(login: Login, shown: Mapping[str, Any], revision: int) -> Proven:
    """Who authorized the access token. `shown` is what of the request was signed. Raises BadRequest for a request that
    was not."""
    signed = signed_of(shown)
    row = await access_tokens.access_token_find(login.store, signed.token_id)
    if row is not None and (row["consumer_id"] != signed.consumer_id or row["expires_at"] <= clock.now()):
        row = None
    keys = login.credential_keys
    secret = None if row is None else keys.open(row["id"], row["key_number"], row["sealed"])
    signature_check(signed, await consumer_secret(login.store, keys, signed.consumer_id), secret)
    if row is None:
        raise Unauthorized(NO_ENTRY)
    async with login.store.transaction() as tx:
        await nonce_use(tx, signed)
    delegation = access_tokens.access_token_delegates(row)
    return Proven(
        user=live(await login.store.fetchrow(users.LOGIN_BY_ID, row["user_id"]), password=False),
        methods=("oauth1",),
        revision=revision,
        delegation=delegation,
        expires_at=delegation.expires_at,
    )
