"""Tokens for signed requests: whom an EC2 credential names, and where and with which roles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from skybus import clock
from skybus.errors import NotFound, Unauthorized
from skybus.http.caller import Caller
from skybus.identity.auth.claims import Claims
from skybus.identity.auth.scopes import TRUST, Scope, scope_for
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.credentials.credentials import Credential, credential_by_access, ec2_blob
from skybus.identity.credentials.ec2_signatures import MAX_AGE
from skybus.identity.credentials.s3_signatures import check_s3
from skybus.identity.delegation.delegation_lookup import delegation_find
from skybus.identity.delegation.delegations import Delegation, DelegationKey
from skybus.identity.delegation.trusts import trust_find, trust_use
from skybus.identity.login.login_memory import change_count
from skybus.identity.login.password_rules import inactive
from skybus.identity.login.proof import Proven, live
from skybus.identity.people import users

if TYPE_CHECKING:
    from skybus.identity.service import Identity

Row = Any
METHOD = "ec2credential"
"""How a token says that a signature made it. Such a token opens nothing in Identity itself."""


async def signed_token(identity: Identity, access: str, check: Callable[[str], None]) -> tuple[str, Claims]:
    """A token for who signed with the access key `access`; `check` is given the secret and raises Unauthorized when the
    signature is not made with it.

    Raises NotFound for an unknown access key, Unauthorized when its owner may not act, or not there any more. The roles
    are those that the owner has now on the project, and of these at most what made the credential passed on.
    """
    # The revision comes before all that is read, so that a revocation in between kills the token; see revocations.
    revision = await identity.tokens.catch_up(identity.store)
    credential = await credential_by_access(identity.store, identity.login.credential_keys, access)
    if credential is None:
        raise NotFound("EC2 access key not found.")
    check(_secret(credential))
    user, scope, delegation = await _where(identity.store, credential, revision)
    if inactive(identity.compliance, user, clock.now()):
        raise Unauthorized(NO_ENTRY)
    if scope.project is None or scope.project["id"] != credential.project_id or user["id"] != credential.user_id:
        raise Unauthorized(NO_ENTRY)
    if scope.counted and delegation is not None:
        async with identity.store.transaction() as tx:
            await trust_use(tx, delegation.key.id)
            await change_count(tx)
    return identity.tokens.issue(
        user_id=user["id"],
        user_domain_id=user["domain_id"],
        methods=(METHOD,),
        revision=revision,
        project_id=scope.project["id"],
        project_domain_id=scope.project["domain_id"],
        roles=scope.roles,
        expires_at=delegation.expires_at if delegation is not None else None,
        delegation=delegation.key if delegation is not None else None,
        credential_id=credential.id,
    )


async def _where(db: Any, credential: Credential, revision: int) -> tuple[Row, Scope, Delegation | None]:
    """Who speaks where, with which roles, and by which delegation. Raises Unauthorized when one of them is no more,
    Forbidden when a trust cannot be used any more."""
    if credential.delegation_kind == "trust":
        return await _by_trust(db, credential, revision)
    user = await _user(db, credential.user_id)
    if credential.delegation_kind is None or credential.delegation_id is None:
        proven = Proven(user=user, methods=(METHOD,), revision=revision)
        return user, await scope_for(db, proven, {"project": {"id": credential.project_id}}), None
    delegation = await delegation_find(db, DelegationKey(credential.delegation_kind, credential.delegation_id))
    if delegation is None or (delegation.expires_at is not None and delegation.expires_at <= clock.now().timestamp()):
        raise Unauthorized(NO_ENTRY)
    proven = Proven(user=user, methods=(METHOD,), revision=revision, delegation=delegation)
    return user, await scope_for(db, proven, None), delegation


async def _by_trust(db: Any, credential: Credential, revision: int) -> tuple[Row, Scope, Delegation | None]:
    """As the trustee would come who made the credential, by the same trust."""
    trust = await trust_find(db, credential.delegation_id or "")
    if trust is None:
        raise Unauthorized(NO_ENTRY)
    trustee = await _user(db, trust["trustee_user_id"])
    proven = Proven(user=trustee, methods=(METHOD,), revision=revision)
    scope = await scope_for(db, proven, {TRUST: {"id": trust["id"]}})
    return scope.speaker or trustee, scope, scope.delegation


async def _user(db: Any, user_id: str) -> Row:
    return live(await db.fetchrow(users.LOGIN_BY_ID, user_id), password=False)


def _secret(credential: Credential) -> str:
    secret = ec2_blob(credential.blob).get("secret")
    if not secret:
        raise Unauthorized("The EC2 credential has no key to sign with.")
    return str(secret)


async def s3_caller(
    identity: Identity, *, access: str, string_to_sign: bytes, signature: str, lifetime: timedelta = MAX_AGE
) -> Caller:
    """Who signed an S3 request, for the object store in this process. An address that was signed in advance and has its
    end in its canonical request is good for `lifetime`, which is for the object store to read there.

    Who signed in the last minute is known without a look into the database. Raises NotFound for an unknown access key,
    Unauthorized for everything else that is not right.
    """

    def check(secret: str) -> None:
        check_s3(string_to_sign, signature, secret, lifetime)

    signers = identity.login.signers
    known = await signers.caller(access, check)
    if known is not None:
        return known
    secrets: list[str] = []

    def check_and_keep(secret: str) -> None:
        check(secret)
        secrets.append(secret)

    token, claims = await signed_token(identity, access, check_and_keep)
    # The uses of a trust are counted: each has to be asked for.
    if claims.delegation is None or claims.delegation.kind != "trust":
        signers.keep(access, secrets[-1], token)
    return await identity.tokens.authenticate(token)
