"""OAuth 1.0a signatures (RFC 5849): who signed a request, and that nobody sends it a second time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec
from oauthlib.oauth1 import (
    SIGNATURE_HMAC_SHA1,
    SIGNATURE_HMAC_SHA256,
    RequestValidator,
    ResourceEndpoint,
    SignatureOnlyEndpoint,
)
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header

from skybus import clock
from skybus.errors import BadRequest, Unauthorized
from skybus.http.call import Call
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.store import Tx

LIFETIME = 300
"""Seconds before and behind now in which a time stamp is good."""

REMEMBER = (
    "INSERT INTO identity.nonce (consumer_id, token, nonce, stamp) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)
FORGET = "DELETE FROM identity.nonce WHERE stamp < $1"

_ID = re.compile(r"[0-9a-f]{32}")
_NONCE = re.compile(r"[!-~]{1,64}")
_NOBODY = "0" * 32


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signed request, before its signature is checked."""

    uri: str
    authorization: str
    consumer_id: str
    token_id: str
    """Of a request token or an access token; empty for the first request of all."""
    verifier: str
    nonce: str
    stamp: int


def request_shown(call: Call) -> Mapping[str, str]:
    """What of a call is signed, and the signature."""
    return {
        "uri": call.public_url + call.request.path_qs,
        "authorization": call.headers.get("Authorization", ""),
    }


def signed_of(shown: Mapping[str, Any]) -> Signed:
    """What a signed request says of itself. Raises BadRequest when it is not signed at all, or not in its header."""
    header = str(shown.get("authorization") or "")
    try:
        said = dict(parse_authorization_header(header))
    except ValueError:
        said = {}
    consumer_id, nonce, stamp = (said.get(f"oauth_{name}", "") for name in ("consumer_key", "nonce", "timestamp"))
    if not consumer_id or _NONCE.fullmatch(nonce) is None or re.fullmatch(r"[0-9]{10}", stamp) is None:
        raise BadRequest("Expecting to find an Authorization header with OAuth parameters.")
    return Signed(
        uri=str(shown.get("uri", "")),
        authorization=header,
        consumer_id=consumer_id if _ID.fullmatch(consumer_id) else _NOBODY,
        token_id=_known_form(said.get("oauth_token", "")),
        verifier=said.get("oauth_verifier", ""),
        nonce=nonce,
        stamp=int(stamp),
    )


def _known_form(token_id: str) -> str:
    return token_id if not token_id or _ID.fullmatch(token_id) else _NOBODY


def signature_check(signed: Signed, consumer_secret: str | None, token_secret: str | None) -> None:
    """Raises Unauthorized unless the request, a POST, was signed with both secrets not long ago.

    A secret that is None is of a consumer or token that does not exist: the same work is done for it.
    """
    validator = _Secrets(consumer_secret, token_secret)
    headers = {"Authorization": signed.authorization}
    try:
        if signed.token_id:
            endpoint = ResourceEndpoint(validator)
            good, _ = endpoint.validate_protected_resource_request(signed.uri, "POST", "", headers, realms=None)
        else:
            good, _ = SignatureOnlyEndpoint(validator).validate_request(signed.uri, "POST", "", headers)
    except ValueError:
        good = False
    if not good:
        raise Unauthorized(NO_ENTRY)


async def nonce_use(tx: Tx, signed: Signed) -> None:
    """Let this be the one time that the request is sent. Raises Unauthorized when it came before, to any process.

    Only what was signed well is remembered, and no longer than its time stamp is good.
    """
    await tx.execute(FORGET, int(clock.now().timestamp()) - 2 * LIFETIME)
    try:
        done = await tx.execute(REMEMBER, signed.consumer_id, signed.token_id, signed.nonce, signed.stamp)
    except asyncpg.ForeignKeyViolationError:
        raise Unauthorized(NO_ENTRY) from None  # the consumer went in this moment
    if done != "INSERT 0 1":
        raise Unauthorized(NO_ENTRY)


class _Secrets(RequestValidator):  # type: ignore[misc]  # the library has no types
    """Answers what oauthlib asks about one request, from what was read before."""

    def __init__(self, consumer_secret: str | None, token_secret: str | None) -> None:
        super().__init__()
        self._consumer, self._token = consumer_secret, token_secret
        self._nothing = secrets.token_hex(32)

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        # PLAINTEXT would show the secrets to whoever hears the request; no consumer has an RSA key.
        return SIGNATURE_HMAC_SHA1, SIGNATURE_HMAC_SHA256

    @property
    def timestamp_lifetime(self) -> int:
        return LIFETIME

    @property
    def enforce_ssl(self) -> bool:
        return False  # what stands in front of the gateway ends TLS

    @property
    def dummy_client(self) -> str:
        return _NOBODY

    @property
    def dummy_access_token(self) -> str:
        return _NOBODY

    def check_client_key(self, client_key: str) -> bool:
        return True

    def check_access_token(self, request_token: str) -> bool:
        return True

    def check_nonce(self, nonce: str) -> bool:
        return True  # its form was looked at before, whether it is new is seen behind

    def validate_timestamp_and_nonce(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return self._consumer is not None

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        return self._token is not None

    def validate_realms(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return self._consumer or self._nothing

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self._token or self._nothing
