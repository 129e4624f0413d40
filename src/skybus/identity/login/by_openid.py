"""Authentication by a token of an OpenID provider: shown as a bearer token at the address of its protocol."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import structlog

from skybus import clock
from skybus.errors import Unauthorized
from skybus.http.call import Call
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.federation.federation import map_user, proven_by_provider, provider_open
from skybus.identity.federation.oidc_assertions import assertion_of
from skybus.identity.federation.oidc_tokens import LONGEST, TokenRefused
from skybus.identity.login.login import METHODS
from skybus.identity.login.password_rules import inactive
from skybus.identity.login.proof import Proven
from skybus.identity.people.user_options import factor_rules, factors_suffice
from skybus.identity.rows import change

if TYPE_CHECKING:
    from skybus.identity.service import Identity

log = structlog.get_logger()

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=\-]+) *")


def bearer_token(call: Call) -> str:
    """The token that a request shows. Raises Unauthorized."""
    shown = _BEARER.fullmatch(call.headers.get("Authorization", ""))
    if shown is None or len(shown.group(1)) > LONGEST:
        raise Unauthorized("Expecting to find a bearer token in the header Authorization.")
    return shown.group(1)


async def prove(call: Call, provider_id: str, protocol_id: str) -> Proven:
    """Who shows the token. Raises Unauthorized, NotFound for an unknown provider or protocol, and Unavailable when the
    provider cannot be asked."""
    identity: Identity = call.service("identity")
    token = bearer_token(call)
    provider = await provider_open(call.store, provider_id, protocol_id)
    try:
        claims = await identity.openid.claims(token, provider["remote_ids"])
    except TokenRefused as error:
        log.info("openid_token_refused", provider=provider_id, protocol=protocol_id, reason=str(error)[:200])
        raise Unauthorized(NO_ENTRY) from None
    async with change(call) as tx:
        user_id, theirs = await map_user(
            tx, provider_id, protocol_id, claims["iss"], assertion_of(claims), identity.tokens.seconds
        )
    # Only now: what the login itself took away has been revoked by the transaction before.
    revision = await identity.tokens.catch_up(call.store)
    proven = await proven_by_provider(call.store, user_id, provider_id, protocol_id, revision)
    if theirs:
        return msgspec.structs.replace(proven, federation=(provider_id, protocol_id))
    _refuse_limited(identity, proven)
    return proven


def _refuse_limited(identity: Identity, proven: Proven) -> None:
    """Raises Unauthorized for a user of ours who has been away too long, or must show more than a provider's word."""
    rules = factor_rules(proven.user["options"], METHODS)
    if inactive(identity.compliance, proven.user, clock.now()) or not factors_suffice(rules, proven.methods):
        raise Unauthorized(NO_ENTRY)
