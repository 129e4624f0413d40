"""Routes of volume types, their extra specs, and who may use the private ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where, next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.volume.forms import boolean, both, collection, is_admin, owner_of
from skybus.volume.types import (
    SORT_KEYS,
    type_access,
    type_delete,
    type_get,
    type_grant,
    type_insert,
    type_list,
    type_named,
    type_revoke,
    type_update,
)

SEEN = "t.is_public OR EXISTS (SELECT FROM volume.type_access a WHERE a.type_id = t.id AND a.project_id = {})"
RULE = "volume_extension:"


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "is_public": row["is_public"],
        "os-volume-type-access:is_public": row["is_public"],
        "qos_specs_id": None,
        "extra_specs": row["extra_specs"],
    }


def _without(view: dict[str, Any], *names: str) -> dict[str, Any]:
    """What creating and updating answer: less."""
    return {name: value for name, value in view.items() if name not in names}


async def list_types(call: Call) -> Reply:
    """GET /types."""
    page = page_of(call, keys=SORT_KEYS, default_sort="created_at")
    where = Where()
    public = call.query.get("is_public")
    if not is_admin(call):
        where.add(SEEN, call.project_id)
    elif public is None:
        where.add("t.is_public")
    elif public.lower() != "none":
        where.add("t.is_public = {}", boolean(public, "is_public"))
    if "name" in call.query:
        where.add("t.name = {}", call.query["name"])
    rows = await type_list(call.store, where, page)
    body: dict[str, Any] = {"volume_types": [_view(row) for row in rows[: page.limit]]}
    if len(rows) > page.limit > 0:
        href = next_url(call, collection(call, "types"), rows[page.limit - 1]["id"], page.limit)
        body["volume_type_links"] = [{"rel": "next", "href": href}]
    return Reply(body)


async def show_type(call: Call) -> Reply:
    """GET /types/{type_id}; `default` is what a volume without a type gets."""
    if call.args["type_id"] == "default":
        return Reply({"volume_type": _view(await type_named(call.store, None, project_id=None))})
    return Reply({"volume_type": _view(await _seen(call, call.store))})


async def create_type(call: Call) -> Reply:
    """POST /types."""
    asked = call.body["volume_type"]
    public = boolean(asked.get("os-volume-type-access:is_public", True), "is_public")
    name = asked["name"].strip()
    if not name:
        raise BadRequest("Volume type name can not be empty.")
    async with call.transaction() as tx:
        row = await type_insert(tx, name, asked.get("description"), public, asked.get("extra_specs") or {})
    return Reply({"volume_type": _without(_view(row), "qos_specs_id")})


async def update_type(call: Call) -> Reply:
    """PUT /types/{type_id}."""
    asked = call.body["volume_type"]
    columns = {name: asked[name] for name in ("name", "description", "is_public") if asked.get(name) is not None}
    if not columns:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    if "name" in columns and not columns["name"].strip():
        raise BadRequest("Volume type name can not be empty.")
    if "is_public" in columns:
        columns["is_public"] = boolean(columns["is_public"], "is_public")
    async with call.transaction() as tx:
        row = await type_update(tx, await _seen(call, tx), **columns)
    return Reply({"volume_type": _without(_view(row), "qos_specs_id", "os-volume-type-access:is_public")})


async def delete_type(call: Call) -> Reply:
    """DELETE /types/{type_id}."""
    async with call.transaction() as tx:
        await type_delete(tx, await _seen(call, tx))
    return Reply(status=202)


async def _seen(call: Call, store: Any) -> Any:
    return await type_get(store, call.args["type_id"], project_id=owner_of(call))


# --- extra specs


async def list_specs(call: Call) -> Reply:
    """GET /types/{type_id}/extra_specs."""
    return Reply({"extra_specs": (await _seen(call, call.store))["extra_specs"]})


async def create_specs(call: Call) -> Reply:
    """POST /types/{type_id}/extra_specs."""
    specs = call.body["extra_specs"]
    async with call.transaction() as tx:
        row = await _seen(call, tx)
        await type_update(tx, row, extra_specs={**row["extra_specs"], **specs})
    return Reply({"extra_specs": specs})


async def show_spec(call: Call) -> Reply:
    """GET /types/{type_id}/extra_specs/{key}."""
    row, key = await _seen(call, call.store), call.args["key"]
    return Reply({key: _spec(row, key)})


async def update_spec(call: Call) -> Reply:
    """PUT /types/{type_id}/extra_specs/{key}."""
    key = call.args["key"]
    if list(call.body) != [key]:
        raise BadRequest("Request body and URI mismatch: the body must hold exactly the spec that the path names.")
    async with call.transaction() as tx:
        row = await _seen(call, tx)
        await type_update(tx, row, extra_specs={**row["extra_specs"], **call.body})
    return Reply(call.body)


async def delete_spec(call: Call) -> Reply:
    """DELETE /types/{type_id}/extra_specs/{key}."""
    key = call.args["key"]
    async with call.transaction() as tx:
        row = await _seen(call, tx)
        _spec(row, key)
        await type_update(tx, row, extra_specs={name: one for name, one in row["extra_specs"].items() if name != key})
    return Reply(status=202)


def _spec(row: Any, key: str) -> str:
    if key not in row["extra_specs"]:
        raise NotFound(f"Volume Type {row['id']} has no extra specs with key {key[:64]}.")
    value: str = row["extra_specs"][key]
    return value


# --- access


async def list_access(call: Call) -> Reply:
    """GET /types/{type_id}/os-volume-type-access."""
    row = await _seen(call, call.store)
    if row["is_public"]:
        raise NotFound("Access list not available for public volume types.")
    granted = await type_access(call.store, row["id"])
    return Reply({"volume_type_access": [{"volume_type_id": row["id"], "project_id": one} for one in granted]})


async def change_access(call: Call) -> Reply:
    """POST /types/{type_id}/action: addProjectAccess, removeProjectAccess."""
    [(action, how)] = call.body.items()
    call.require(f"{RULE}volume_type_access:{action}")
    async with call.transaction() as tx:
        row = await _seen(call, tx)
        if row["is_public"]:
            raise Conflict("Type access modification is not applicable to public volume type.")
        if action == "addProjectAccess":
            if not await type_grant(tx, row["id"], how["project"]):
                raise Conflict(f"Volume type access for {row['id']} / {how['project']} combination already exists.")
        elif not await type_revoke(tx, row["id"], how["project"]):
            raise NotFound(f"Volume type access not found for {row['id']} / {how['project']} combination.")
    return Reply(status=202)


TYPE = "/types/{type_id}"
SPECS = TYPE + "/extra_specs"
SPEC = SPECS + "/{key}"


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=path, handler=handler, policy=RULE + rule, body=body)


ROUTES: list[Route] = both(
    _route("GET", "/types", list_types, "type_get_all"),
    _route("POST", "/types", create_type, "type_create", "volume/type-create"),
    _route("GET", TYPE, show_type, "type_get"),
    _route("PUT", TYPE, update_type, "type_update", "volume/type-update"),
    _route("DELETE", TYPE, delete_type, "type_delete"),
    _route("GET", SPECS, list_specs, "types_extra_specs:index"),
    _route("POST", SPECS, create_specs, "types_extra_specs:create", "volume/type-specs"),
    _route("GET", SPEC, show_spec, "types_extra_specs:show"),
    _route("PUT", SPEC, update_spec, "types_extra_specs:update", "volume/type-spec"),
    _route("DELETE", SPEC, delete_spec, "types_extra_specs:delete"),
    _route("GET", f"{TYPE}/os-volume-type-access", list_access, "volume_type_access:get_all_for_type"),
    _route("POST", f"{TYPE}/action", change_access, "volume_type_access:addProjectAccess", "volume/type-access"),
)
