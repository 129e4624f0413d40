"""Trusts: routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from skybus import clock
from skybus.errors import BadRequest, Forbidden
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import parse
from skybus.identity.delegation import trusts
from skybus.identity.people.users import user_hold
from skybus.identity.projects.projects import project_find
from skybus.identity.roles.assignments import effective_roles
from skybus.identity.roles.roles import role_view
from skybus.identity.rows import body_of, change, listing, missing, path_id, query_text


def _refuse_programs(call: Call) -> None:
    """Raises Forbidden for tokens of application credentials, unrestricted ones too: a trust would outlive them and
    their access rules."""
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is not None and key.kind == "application_credential":
        raise Forbidden("A token of an application credential cannot manage trusts.")


async def list_trusts(call: Call) -> Reply:
    """`GET /OS-TRUST/trusts`: of a trustor, of a trustee, or all."""
    where = Where()
    rule, target = "identity:list_trusts", {}
    for name in ("trustee_user_id", "trustor_user_id"):
        if name in call.query:
            value = query_text(call, name)
            where.add(f"t.{name} = {{}}", value)
            rule, target = f"identity:list_trusts_for_{name.removesuffix('_user_id')}", {f"target.trust.{name}": value}
    call.require(rule, **target)
    _refuse_programs(call)
    return await listing(call, "trusts", trusts.LIST, where, trusts.trust_view, "t.id")


async def create_trust(call: Call) -> Reply:
    """`POST /OS-TRUST/trusts`: the caller is the trustor."""
    asked = body_of(call, "trust")
    call.require("identity:create_trust", **{"target.trust.trustor_user_id": asked["trustor_user_id"]})
    _refuse_programs(call)
    expires_at = _expiry(asked)
    if asked.get("project_id") is not None and not asked.get("roles"):
        raise Forbidden("At least one role should be specified.")
    async with change(call) as tx:
        await trusts.trusts_lock(tx)
        await user_hold(tx, asked["trustee_user_id"])
        parent = await _parent(call, tx)
        count = _redelegations(asked, parent)
        if parent is not None:
            expires_at = _within(parent, asked, expires_at)
        row = await trusts.trust_insert(
            tx,
            asked,
            role_ids=await _role_ids(tx, asked, parent),
            expires_at=expires_at,
            redelegation_count=count,
            parent_id=parent["id"] if parent is not None else None,
        )
    return Reply({"trust": trusts.trust_detail(row, call.base + "/v3")}, 201)


def _expiry(asked: dict[str, Any]) -> datetime | None:
    if asked.get("expires_at") is None:
        return None
    moment = parse(asked["expires_at"], "expires_at")
    if moment <= clock.now():
        raise BadRequest("The expiry of a trust must lie in the future.")
    return moment


async def _parent(call: Call, tx: Any) -> Any | None:
    """The trust by which the caller's token was made. Raises Forbidden when it was made by another delegation."""
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is None:
        return None
    if key.kind != "trust":
        raise Forbidden("Nothing but a trust can be passed on.")
    return await trusts.trust_get(tx, key.id)


def _redelegations(asked: dict[str, Any], parent: Any | None) -> int:
    """How many trusts may hang below the new one in one line. Raises BadRequest or Forbidden."""
    wanted = asked.get("redelegation_count")
    most = trusts.DEEPEST if parent is None else parent["redelegation_count"] - 1
    if most < 0:
        raise Forbidden("This trust cannot be passed on: its redelegation count is 0.")
    if not asked.get("allow_redelegation") or wanted == 0:
        return 0
    if asked.get("remaining_uses") is not None:
        raise BadRequest("remaining_uses must not be set if redelegation is allowed.")
    if wanted is not None and parent is not None and wanted != most:
        raise Forbidden("The redelegation count of a trust that is passed on follows from the trust; leave it out.")
    if wanted is not None and wanted > most:
        raise Forbidden(f"The redelegation count {wanted} is greater than the allowed {most}.")
    return most if wanted is None else int(wanted)


def _within(parent: Any, asked: dict[str, Any], expires_at: datetime | None) -> datetime | None:
    """When a trust that is passed on ends. Raises Forbidden for what its parent does not allow."""
    if asked.get("remaining_uses") is not None:
        raise Forbidden("remaining_uses must not be set when a trust is passed on.")
    if asked["impersonation"] and not parent["impersonation"]:
        raise Forbidden("A trust without impersonation cannot be passed on with impersonation.")
    if asked.get("project_id") != parent["project_id"]:
        raise Forbidden("A trust is passed on in its own project.")
    if expires_at is None:
        ends: datetime | None = parent["expires_at"]
        return ends
    if parent["expires_at"] is not None and expires_at > parent["expires_at"]:
        raise Forbidden("The expiry lies behind that of the trust which is passed on.")
    return expires_at


async def _role_ids(tx: Any, asked: dict[str, Any], parent: Any | None) -> list[str]:
    """The ids of the asked roles. Raises NotFound for one that the first trustor does not have, Forbidden for one that
    the trust which is passed on does not carry."""
    project_id, owner_id = asked.get("project_id"), asked["trustor_user_id"]
    if project_id is not None:
        project = await project_find(tx, project_id)
        if project is None or project["is_domain"]:
            raise missing("project", project_id)
    if parent is not None:
        owner_id = (await trusts.trust_people(tx, parent["id"]))[0]["id"]
    rows = await effective_roles(tx, owner_id, project_id) if project_id is not None else []
    have = {row["id"]: row["name"] for row in rows}
    chosen = []
    for role in asked.get("roles") or []:
        found = [key for key, name in have.items() if role.get("id", key) == key and role.get("name", name) == name]
        if not found:
            raise missing("role", role.get("id") or role.get("name", ""))
        chosen += found
    if parent is not None and not {role["id"] for role in parent["roles"]}.issuperset(chosen):
        raise Forbidden("Some of the roles are not in the trust which is passed on.")
    return list(dict.fromkeys(chosen))


async def _permitted(call: Call, rule: str, *, unusable_too: bool = False) -> Any:
    """The trust in the path. Raises NotFound, also when it can be used no more, or Forbidden: its id is a secret that
    nobody guesses, and clients rely on the order."""
    trust_id = path_id(call, "trust_id", "trust")
    row = await trusts.trust_find(call.store, trust_id)
    if row is None or (trusts.spent(row) and not unusable_too):
        raise missing("trust", trust_id)
    target = {f"target.trust.{name}": row[name] for name in ("trustor_user_id", "trustee_user_id")}
    call.require(f"identity:{rule}", **target)
    _refuse_programs(call)
    return row


async def show_trust(call: Call) -> Reply:
    """`GET /OS-TRUST/trusts/{trust_id}`."""
    row = await _permitted(call, "get_trust")
    return Reply({"trust": trusts.trust_detail(row, call.base + "/v3")})


async def delete_trust(call: Call) -> Reply:
    """`DELETE /OS-TRUST/trusts/{trust_id}`.

    A trust's own token, which may name the trustor, gives up that trust or takes back what was passed on from it, and
    touches none of the trustor's others.
    """
    row = await _permitted(call, "delete_trust", unusable_too=True)
    key = call.service("tokens").claims(call.caller.token).delegation
    if key is not None and key.id not in (row["id"], row["redelegated_trust_id"]):
        raise Forbidden("A token that was made by a delegation cannot delete other delegations.")
    async with change(call) as tx:
        await trusts.trust_delete(tx, row["id"])
    return Reply(None, 204)


async def list_trust_roles(call: Call) -> Reply:
    """`GET /OS-TRUST/trusts/{trust_id}/roles`."""
    shown = trusts.trust_detail(await _permitted(call, "list_roles_for_trust"), call.base + "/v3")
    return Reply({"roles": shown["roles"], "links": shown["roles_links"]})


async def show_trust_role(call: Call) -> Reply:
    """`GET /OS-TRUST/trusts/{trust_id}/roles/{role_id}`."""
    row = await _permitted(call, "get_role_for_trust")
    role_id = path_id(call, "role_id", "role")
    for role in row["roles"]:
        if role["id"] == role_id:
            return Reply({"role": role_view(role, call.base + "/v3")})
    raise missing("role", role_id)


def _own(method: str, path: str, handler: Any, body: str = NO_BODY) -> Route:
    """A route whose handler asks for the rule, because the rule looks at the trust."""
    where = "/v3/OS-TRUST/trusts" + path
    return Route(method=method, path=where, handler=handler, policy="identity:any_caller", body=body)


ROUTES = [
    _own("GET", "", list_trusts),
    _own("POST", "", create_trust, "identity/trust-create"),
    _own("GET", "/{trust_id}", show_trust),
    _own("DELETE", "/{trust_id}", delete_trust),
    _own("GET", "/{trust_id}/roles", list_trust_roles),
    _own("GET", "/{trust_id}/roles/{role_id}", show_trust_role),
]
