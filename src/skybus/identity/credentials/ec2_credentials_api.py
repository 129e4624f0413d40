"""A user's EC2 credentials, by their access keys: routes."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.identity.credentials import credentials
from skybus.identity.credentials.credentials import Credential
from skybus.identity.credentials.credentials_api import delegated_by, keys_of, may_make, may_reach, may_see, target_of
from skybus.identity.people import users
from skybus.identity.projects.projects import project_find
from skybus.identity.rows import change, missing, path_id, whole


async def list_credentials(call: Call) -> Reply:
    """`GET /users/{user_id}/credentials/OS-EC2`."""
    user_id = path_id(call, "user_id", "user")
    call.require("identity:ec2_list_credentials", user_id=user_id)
    await users.user_get(call.store, user_id)
    by = delegated_by(call)
    found = await credentials.credentials_of_user(call.store, user_id, credentials.EC2, keys_of(call))
    shown = [_view(call, one) for one in found if by is None or one.made_by(by)]
    return whole(call, "credentials", shown)


async def create_credential(call: Call) -> Reply:
    """`POST /users/{user_id}/credentials/OS-EC2`: keys of our making, for one project."""
    user_id, project_id = path_id(call, "user_id", "user"), call.body["tenant_id"]
    call.require("identity:ec2_create_credential", **target_of(user_id, project_id))
    by = delegated_by(call)
    await may_make(call, by, user_id, project_id, type_=credentials.EC2)
    project = await project_find(call.store, project_id)
    if project is None or project["is_domain"]:
        raise missing("project", project_id)
    blob = {"access": secrets.token_hex(16), "secret": secrets.token_hex(16), "trust_id": None}
    asked = {
        "user_id": user_id,
        "project_id": project_id,
        "type": credentials.EC2,
        "blob": msgspec.json.encode(blob).decode(),
    }
    async with change(call) as tx:
        made = await credentials.credential_insert(tx, keys_of(call), asked, extra={}, by=by)
    return Reply({"credential": _view(call, made)}, 201)


async def show_credential(call: Call) -> Reply:
    """`GET /users/{user_id}/credentials/OS-EC2/{access}`."""
    found = await _found(call, call.store, "identity:ec2_get_credential")
    return Reply({"credential": _view(call, found)})


async def delete_credential(call: Call) -> Reply:
    """`DELETE /users/{user_id}/credentials/OS-EC2/{access}`."""
    async with change(call) as tx:
        await credentials.credential_delete(tx, await _found(call, tx, "identity:ec2_delete_credential"))
    return Reply(None, 204)


async def _found(call: Call, db: Any, rule: str) -> Credential:
    """The credential in the path, if the caller may do `rule` to it. Raises Forbidden or NotFound, in this order."""
    user_id, access = path_id(call, "user_id", "user"), call.args["access"]
    found = await credentials.credential_by_access(db, keys_of(call), access)
    call.require(rule, **target_of(user_id, found.project_id if found is not None else None))
    if found is None or found.user_id != user_id:
        raise missing("credential", access)
    may_reach(delegated_by(call), found)
    return found


def _view(call: Call, credential: Credential) -> dict[str, Any]:
    said = credentials.ec2_blob(credential.blob)
    return {
        "user_id": credential.user_id,
        "tenant_id": credential.project_id,
        "access": said["access"],
        "secret": said.get("secret") if may_see(call, credential) else None,
        "trust_id": said.get("trust_id"),
        "links": {"self": f"{call.base}/v3/users/{credential.user_id}/credentials/OS-EC2/{said['access']}"},
    }


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the credential."""
    where = "/v3/users/{user_id}/credentials/OS-EC2" + path
    return Route(method=method, path=where, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_credentials),
    _own("POST", "", create_credential, "identity/ec2-credential-create"),
    _own("GET", "/{access}", show_credential),
    _own("DELETE", "/{access}", delete_credential),
]
