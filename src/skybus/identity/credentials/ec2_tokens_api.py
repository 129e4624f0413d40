"""Signed requests of the EC2 and S3 APIs: services ask who signed them. Routes.

Services alone: whoever can have any signature checked could use addresses that were signed for somebody else.
"""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Any

import msgspec

from skybus.errors import Forbidden, Unauthorized
from skybus.http.call import Call, Reply
from skybus.http.routes import PUBLIC, Route
from skybus.identity.auth.token_views import token_body
from skybus.identity.credentials.ec2_login import METHOD, signed_token
from skybus.identity.credentials.ec2_signatures import SignedRequest, check_age, check_signature
from skybus.identity.credentials.s3_signatures import check_s3
from skybus.identity.rows import body_of

NAMES = ("credentials", "credential", "ec2Credentials")
"""What services call the signed request in their bodies."""


async def ec2_token(call: Call) -> Reply:
    """`POST /ec2tokens`."""
    request = SignedRequest.of(_signed(call))

    def check(secret: str) -> None:
        check_signature(request, secret)
        check_age(request.signed_at)

    identity = call.service("identity")
    token, claims = await signed_token(identity, request.access, check)
    data = await token_body(identity.directory, claims, brief=False)
    return Reply(data, 200, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


async def s3_token(call: Call) -> Reply:
    """`POST /s3tokens`: who it is, and no token."""
    said = _signed(call)
    try:
        text = base64.b64decode(said.get("token", ""), altchars=b"-_" if _urlsafe(said) else None, validate=True)
    except (ValueError, binascii.Error):
        raise Unauthorized("The string to sign is not in base64.") from None
    identity = call.service("identity")
    _, claims = await signed_token(
        identity, said["access"], lambda secret: check_s3(text, said["signature"], secret)
    )  # fmt: skip
    return Reply(await token_body(identity.directory, claims, brief=False), 200, {"Vary": "X-Auth-Token"})


def _signed(call: Call) -> dict[str, Any]:
    said = body_of(call, next(name for name in NAMES if name in call.body))
    if not said.get("access") or not said.get("signature"):
        raise Unauthorized("EC2 signature not supplied.")
    return said


def _urlsafe(said: dict[str, Any]) -> bool:
    return "-" in said.get("token", "") or "_" in said.get("token", "")


def without_signed(route: Route) -> Route:
    """The route, which refuses tokens that a signature made: they are for the services that asked for them, and whoever
    can have something signed must not be able to change credentials by it."""
    if route.policy == PUBLIC:
        return route
    handler = route.handler

    @functools.wraps(handler)
    async def guarded(call: Call) -> Any:
        if METHOD in call.caller.methods:
            raise Forbidden("EC2 credential tokens cannot be used for authorization.")
        return await handler(call)

    return msgspec.structs.replace(route, handler=guarded)


ROUTES = [
    Route(
        method="POST",
        path="/v3/ec2tokens",
        handler=ec2_token,
        policy="identity:ec2tokens_validate",
        body="identity/ec2-tokens",
    ),
    Route(
        method="POST",
        path="/v3/s3tokens",
        handler=s3_token,
        policy="identity:s3tokens_validate",
        body="identity/s3-tokens",
    ),
]
