"""Routes of keypairs. A keypair belongs to a user, whichever project it acts in."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from skybus.compute import keypairs
from skybus.compute.asked import MAX_LIMIT, only_known
from skybus.compute.key_material import fingerprint_of, generate, generate_x509
from skybus.errors import BadRequest
from skybus.http import times
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version

API = "os_compute_api:os-keypairs:"
TYPE_SINCE: Version = (2, 2)
USER_SINCE: Version = (2, 10)
PAGES_SINCE: Version = (2, 35)
IMPORT_ONLY_SINCE: Version = (2, 92)
_OLD_NAME = re.compile(r"[a-zA-Z0-9 _-]{1,255}")
_NEW_NAME = re.compile(r"[a-zA-Z0-9 _@.-]{1,255}")


def _user_of(call: Call, action: str, asked: str | None) -> str:
    """Whose keypairs are meant: from 2.10 on an administrator may name another user. Raises Forbidden."""
    user_id = asked if asked and call.version >= USER_SINCE else call.caller.user_id
    call.require(API + action, user_id=user_id)
    return user_id


def _listed(call: Call, row: Any) -> dict[str, Any]:
    view = {"name": row["name"], "public_key": row["public_key"], "fingerprint": row["fingerprint"]}
    if call.version >= TYPE_SINCE:
        view["type"] = row["type"]
    return view


async def list_keypairs(call: Call) -> Reply:
    """A user's keypairs."""
    only_known(call, frozenset(("user_id", "limit", "marker")))
    user_id = _user_of(call, "index", call.query.get("user_id"))
    paged = call.version >= PAGES_SINCE
    page = page_of(call, keys={"name": "name"}, default_sort="name", default_up=True, max_limit=MAX_LIMIT)
    limit, marker = (page.limit, page.marker) if paged else (MAX_LIMIT, None)
    rows = await keypairs.keypair_list(call.store, user_id, limit=limit + 1, marker=marker)
    body: dict[str, Any] = {"keypairs": [{"keypair": _listed(call, row)} for row in rows[:limit]]}
    if paged and len(rows) > limit > 0:
        url = next_url(call, f"{call.base}/os-keypairs", rows[limit - 1]["name"], limit)
        body["keypairs_links"] = [{"rel": "next", "href": url}]
    return Reply(body)


async def show_keypair(call: Call) -> Reply:
    """One keypair."""
    only_known(call, frozenset(("user_id",)))
    user_id = _user_of(call, "show", call.query.get("user_id"))
    row = await keypairs.keypair_get(call.store, user_id, call.args["name"])
    view = {
        **_listed(call, row),
        "user_id": row["user_id"],
        "id": row["number"],
        "created_at": times.micros(row["created_at"]),
        "deleted": False,
        "deleted_at": None,
        "updated_at": None,
    }
    return Reply({"keypair": view})


async def create_keypair(call: Call) -> Reply:
    """Import a public key, or (up to 2.91) make a pair, whose private half is shown once and not kept."""
    asked = call.body["keypair"]
    _refuse_unborn(call, asked)
    name = asked["name"]
    _check_name(call, name)
    user_id = _user_of(call, "create", asked.get("user_id"))
    kind = asked.get("type", "ssh")
    public_key, private_key = asked.get("public_key"), None
    if public_key is None:
        public_key, private_key = await _generated(kind, user_id)
    fingerprint = fingerprint_of(kind, public_key)
    async with call.transaction() as tx:
        row = await keypairs.keypair_insert(
            tx,
            project_id=call.caller.project_id or "",
            user_id=user_id,
            name=name,
            kind=kind,
            fingerprint=fingerprint,
            public_key=public_key,
        )
    view = {**_listed(call, row), "user_id": row["user_id"]}
    if private_key is not None:
        view["private_key"] = private_key
    return Reply({"keypair": view}, status=201 if call.version >= TYPE_SINCE else 200)


async def _generated(kind: str, user_id: str) -> tuple[str, str]:
    if kind == "x509":
        return await asyncio.to_thread(generate_x509, user_id)
    return generate("Generated-by-Skybus")


def _refuse_unborn(call: Call, asked: dict[str, Any]) -> None:
    for field, since in (("type", TYPE_SINCE), ("user_id", USER_SINCE)):
        if field in asked and call.version < since:
            raise BadRequest(f"Additional properties are not allowed ({field!r} was unexpected).")
    if call.version >= IMPORT_ONLY_SINCE and "public_key" not in asked:
        raise BadRequest("Invalid input for field/attribute keypair. 'public_key' is a required property.")


def _check_name(call: Call, name: str) -> None:
    allowed = _NEW_NAME if call.version >= IMPORT_ONLY_SINCE else _OLD_NAME
    if not allowed.fullmatch(name) or name != name.strip():
        raise BadRequest("Keypair data is invalid: Keypair name contains unsafe characters.")


async def delete_keypair(call: Call) -> Reply:
    """Forget a keypair."""
    only_known(call, frozenset(("user_id",)))
    user_id = _user_of(call, "delete", call.query.get("user_id"))
    async with call.transaction() as tx:
        await keypairs.keypair_delete(tx, user_id, call.args["name"])
    return Reply(status=204 if call.version >= TYPE_SINCE else 202)


def _route(method: str, path: str, handler: Any, action: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=f"/os-keypairs{path}", handler=handler, policy=API + action, body=body)


ROUTES: list[Route] = [
    _route("GET", "", list_keypairs, "index"),
    _route("POST", "", create_keypair, "create", "compute/keypair-create"),
    _route("GET", "/{name}", show_keypair, "show"),
    _route("DELETE", "/{name}", delete_keypair, "delete"),
]
