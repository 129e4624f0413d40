"""Credentials: routes. Whoever came by a delegation reaches nothing but what that same delegation made."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.errors import BadRequest, Forbidden
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.identity.credentials import credentials
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.credentials.credentials import Credential
from skybus.identity.delegation.delegation_lookup import delegation_find
from skybus.identity.delegation.delegations import DelegationKey
from skybus.identity.rows import body_of, change, extra_of, listing, missing, path_id, text_filter

KNOWN = frozenset(("id", "user_id", "project_id", "type", "blob", "links"))
MOST = 1000
"""Credentials of one page: their blobs may be long."""
MOST_EXTRA = 4096
"""Bytes of the attributes that we do not know."""


def keys_of(call: Call) -> CredentialKeys:
    """What opens the blobs."""
    keys: CredentialKeys = call.service("identity").login.credential_keys
    return keys


def delegated_by(call: Call) -> DelegationKey | None:
    """The delegation that made the caller's token."""
    key: DelegationKey | None = call.service("tokens").claims(call.caller.token).delegation
    return key


def target_of(user_id: str | None, project_id: str | None = None) -> dict[str, Any]:
    """What policy rules may compare of a credential."""
    return {"target.credential.user_id": user_id, "target.credential.project_id": project_id}


async def may_make(call: Call, by: DelegationKey | None, user_id: str, project_id: str | None, *, type_: str) -> None:
    """A delegation makes credentials for its own user and project alone, and none to log in with; nor any to sign
    requests with when it is a restricted application credential. Raises Forbidden."""
    if by is None:
        return
    if user_id != call.caller.user_id or project_id is None or project_id != call.caller.project_id:
        raise Forbidden("A delegation makes credentials for its own user and project alone.")
    if type_.lower() == credentials.TOTP:
        raise Forbidden("A delegation makes nothing to log in with.")
    if type_.lower() == credentials.EC2 and by.kind == "application_credential":
        found = await delegation_find(call.store, by)
        if found is None or not found.unrestricted:
            raise Forbidden("A token of a restricted application credential cannot manage EC2 credentials.")


def may_reach(by: DelegationKey | None, credential: Credential) -> None:
    """Raises Forbidden for a credential that the caller's delegation did not make: it may give more than that does."""
    if by is not None and not credential.made_by(by):
        raise Forbidden("A delegation reaches no credentials but those that it made.")


def may_see(call: Call, credential: Credential) -> bool:
    """Whether the caller is shown the secret: who may only look at the cloud could log in with it."""
    return credential.user_id == call.caller.user_id or call.permits("admin_required")


async def list_credentials(call: Call) -> Reply:
    """`GET /credentials`: all that the caller may see."""
    call.require("identity:list_credentials", **target_of(call.caller.user_id))
    where, keys, by = Where(), keys_of(call), delegated_by(call)
    if not call.permits("identity:get_credential", **target_of(None)):
        where.add("c.user_id = {}", call.caller.user_id)
    if by is not None:
        where.add("c.delegation_kind = {} AND c.delegation_id = {}", by.kind, by.id)
    text_filter(call, where, "user_id", "c.user_id")
    text_filter(call, where, "type", "c.type")

    def view(row: Any, base: str) -> dict[str, Any]:
        found = credentials.opened(keys, row)
        return credentials.credential_view(found, base, secret=may_see(call, found))

    return await listing(call, "credentials", credentials.SELECT, where, view, "c.id", MOST)


async def create_credential(call: Call) -> Reply:
    """`POST /credentials`."""
    asked = body_of(call, "credential")
    call.require("identity:create_credential", **target_of(asked["user_id"], asked.get("project_id")))
    by = delegated_by(call)
    await may_make(call, by, asked["user_id"], asked.get("project_id"), type_=asked["type"])
    async with change(call) as tx:
        made = await credentials.credential_insert(tx, keys_of(call), asked, extra=_extra(asked), by=by)
    return _reply(call, made, 201)


async def show_credential(call: Call) -> Reply:
    """`GET /credentials/{credential_id}`."""
    return _reply(call, await _found(call, call.store, "identity:get_credential"))


async def update_credential(call: Call) -> Reply:
    """`PATCH /credentials/{credential_id}`."""
    asked = body_of(call, "credential")
    async with change(call) as tx:
        old = await _found(call, tx, "identity:update_credential", lock=True)
        if asked.get("id", old.id) != old.id:
            raise BadRequest("Cannot change credential ID.")
        new = credentials.credential_changed(old, asked, _extra(asked, old.extra))
        # Neither may it be given away to somebody for whom the caller may not do this.
        call.require("identity:update_credential", **target_of(new.user_id, new.project_id))
        await may_make(call, delegated_by(call), new.user_id, new.project_id, type_=new.type)
        await credentials.credential_update(tx, keys_of(call), old, new)
    return _reply(call, new)


async def delete_credential(call: Call) -> Reply:
    """`DELETE /credentials/{credential_id}`."""
    async with change(call) as tx:
        await credentials.credential_delete(tx, await _found(call, tx, "identity:delete_credential", lock=True))
    return Reply(None, 204)


async def _found(call: Call, db: Any, rule: str, *, lock: bool = False) -> Credential:
    """The credential in the path, if the caller may do `rule` to it. Raises Forbidden or NotFound, in this order, so
    that whoever may not look learns nothing."""
    credential_id = path_id(call, "credential_id", "credential")
    found = await credentials.credential_find(db, keys_of(call), credential_id, lock=lock)
    call.require(rule, **(target_of(found.user_id, found.project_id) if found is not None else target_of(None)))
    if found is None:
        raise missing("credential", credential_id)
    may_reach(delegated_by(call), found)
    return found


def _extra(asked: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    extra = extra_of(asked, KNOWN, before)
    if len(msgspec.json.encode(extra)) > MOST_EXTRA:
        raise BadRequest(f"The further attributes of a credential are over {MOST_EXTRA} bytes.")
    return extra


def _reply(call: Call, credential: Credential, status: int = 200) -> Reply:
    view = credentials.credential_view(credential, call.base + "/v3", secret=may_see(call, credential))
    return Reply({"credential": view}, status)


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the credential."""
    return Route(method=method, path="/v3/credentials" + path, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_credentials),
    _own("POST", "", create_credential, "identity/credential-create"),
    _own("GET", "/{credential_id}", show_credential),
    _own("PATCH", "/{credential_id}", update_credential, "identity/credential-update"),
    _own("DELETE", "/{credential_id}", delete_credential),
]
