"""Routes of flavors, their extra specs and their access lists."""

from __future__ import annotations

from typing import Any

from skybus.compute import flavors
from skybus.compute.asked import MAX_LIMIT, boolean, only_known, whole
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url, page_of
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version

LIST_NAMES = frozenset(("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir"))
DESCRIPTION_SINCE: Version = (2, 55)
SPECS_SINCE: Version = (2, 61)
API = "os_compute_api:"


def links_of(call: Call, kind: str, id_: str) -> list[dict[str, str]]:
    """The `self` and `bookmark` links of something under this API."""
    return [
        {"rel": "self", "href": f"{call.base}/{kind}/{id_}"},
        {"rel": "bookmark", "href": f"{call.base.rpartition('/')[0]}/{kind}/{id_}"},
    ]


def _brief(call: Call, row: Any) -> dict[str, Any]:
    view = {"id": row["id"], "name": row["name"], "links": links_of(call, "flavors", row["id"])}
    if call.version >= DESCRIPTION_SINCE:
        view["description"] = row["description"]
    return view


def _full(call: Call, row: Any, with_specs: bool) -> dict[str, Any]:
    view = {
        **_brief(call, row),
        "ram": row["memory_mib"],
        "disk": row["disk_gib"],
        "swap": row["swap_mib"] or (0 if call.version >= (2, 75) else ""),
        "vcpus": row["vcpus"],
        "OS-FLV-EXT-DATA:ephemeral": row["ephemeral_gib"],
        "OS-FLV-DISABLED:disabled": row["disabled"],
        "os-flavor-access:is_public": row["is_public"],
        "rxtx_factor": row["rxtx_factor"],
    }
    if with_specs:
        view["extra_specs"] = row["extra_specs"]
    return view


def _with_specs(call: Call) -> bool:
    return call.version >= SPECS_SINCE and call.permits(f"{API}os-flavor-extra-specs:index")


def _sees(call: Call) -> str | None:
    """The project whose flavors the caller sees; None for one that sees all."""
    return None if call.permits(f"{API}os-flavor-access") else call.project_id


async def _page(call: Call, path: str) -> tuple[list[Any], dict[str, Any]]:
    only_known(call, LIST_NAMES)
    query, sees = call.query, _sees(call)
    text = query.get("is_public", "true").lower()
    is_public = None if text == "none" else boolean(text, "is_public")
    page = page_of(call, keys=flavors.SORT_KEYS, default_sort="flavorid", default_up=True, max_limit=MAX_LIMIT)
    rows, more = await flavors.flavor_list(
        call.store,
        page,
        project_id=sees,
        is_public=is_public,
        min_ram=whole(query["minRam"], "minRam") if "minRam" in query else None,
        min_disk=whole(query["minDisk"], "minDisk") if "minDisk" in query else None,
    )
    links: dict[str, Any] = {}
    if more and rows:
        url = next_url(call, f"{call.base}/{path}", rows[-1]["id"], page.limit)
        links["flavors_links"] = [{"rel": "next", "href": url}]
    return rows, links


async def list_flavors(call: Call) -> Reply:
    """Ids and names of the flavors that the caller may use."""
    rows, links = await _page(call, "flavors")
    return Reply({"flavors": [_brief(call, row) for row in rows], **links})


async def list_flavors_in_detail(call: Call) -> Reply:
    """The flavors that the caller may use, with their sizes."""
    rows, links = await _page(call, "flavors/detail")
    with_specs = _with_specs(call)
    return Reply({"flavors": [_full(call, row, with_specs) for row in rows], **links})


async def show_flavor(call: Call) -> Reply:
    """One flavor."""
    row = await flavors.flavor_get(call.store, call.args["id"], project_id=_sees(call))
    return Reply({"flavor": _full(call, row, _with_specs(call))})


async def create_flavor(call: Call) -> Reply:
    """Make a flavor."""
    asked = call.body["flavor"]
    if "description" in asked and call.version < DESCRIPTION_SINCE:
        raise BadRequest("Additional properties are not allowed ('description' was unexpected).")
    id_ = asked.get("id")
    async with call.transaction() as tx:
        row = await flavors.flavor_create(
            tx,
            name=asked["name"],
            vcpus=_number(asked["vcpus"], "vcpus", 1),
            memory_mib=_number(asked["ram"], "ram", 1),
            disk_gib=_number(asked["disk"], "disk", 0),
            flavor_id=None if id_ in (None, "auto") else str(id_),
            ephemeral_gib=_number(asked.get("OS-FLV-EXT-DATA:ephemeral", 0), "ephemeral", 0),
            swap_mib=_number(asked.get("swap", 0), "swap", 0),
            rxtx_factor=_factor(asked.get("rxtx_factor", 1.0)),
            is_public=boolean(asked.get("os-flavor-access:is_public", True), "os-flavor-access:is_public"),
            description=asked.get("description"),
        )
    return Reply({"flavor": _full(call, row, _with_specs(call))})


def _number(value: int | str, name: str, least: int) -> int:
    number = int(value)
    if not least <= number <= 0x7FFFFFFF:
        raise BadRequest(f"Invalid input for field/attribute {name}. Value: {number}. It must be at least {least}.")
    return number


def _factor(value: float | str) -> float:
    number = float(value)
    if not 0 < number < 3.5e38:
        raise BadRequest(f"Invalid input for field/attribute rxtx_factor. Value: {number}. It must be above 0.")
    return number


async def update_flavor(call: Call) -> Reply:
    """Change a flavor's description."""
    async with call.transaction() as tx:
        row = await flavors.flavor_describe(tx, call.args["id"], call.body["flavor"]["description"])
    return Reply({"flavor": _full(call, row, _with_specs(call))})


async def delete_flavor(call: Call) -> Reply:
    """Take a flavor from the offer."""
    async with call.transaction() as tx:
        await flavors.flavor_delete(tx, call.args["id"])
    return Reply(status=202)


async def list_specs(call: Call) -> Reply:
    """A flavor's extra specs."""
    row = await flavors.flavor_get(call.store, call.args["id"], project_id=_sees(call))
    return Reply({"extra_specs": row["extra_specs"]})


async def show_spec(call: Call) -> Reply:
    """One extra spec."""
    row = await flavors.flavor_get(call.store, call.args["id"], project_id=_sees(call))
    key = call.args["key"]
    if key not in row["extra_specs"]:
        raise NotFound(f"Flavor {row['id']} has no extra specs with key {key[:255]}.")
    return Reply({key: row["extra_specs"][key]})


async def create_specs(call: Call) -> Reply:
    """Set extra specs."""
    specs = {key: str(value) for key, value in call.body["extra_specs"].items()}
    async with call.transaction() as tx:
        await flavors.flavor_specs_add(tx, call.args["id"], specs)
    return Reply({"extra_specs": specs})


async def update_spec(call: Call) -> Reply:
    """Set one extra spec, which the body must name like the path."""
    key = call.args["key"]
    if set(call.body) != {key}:
        raise BadRequest("Request body and URI mismatch.")
    specs = {key: str(call.body[key])}
    async with call.transaction() as tx:
        await flavors.flavor_specs_add(tx, call.args["id"], specs)
    return Reply(specs)


async def delete_spec(call: Call) -> Reply:
    """Remove one extra spec."""
    async with call.transaction() as tx:
        await flavors.flavor_spec_drop(tx, call.args["id"], call.args["key"])
    return Reply(status=200)


async def list_access(call: Call) -> Reply:
    """The projects that may use a flavor which is not public."""
    row = await flavors.flavor_get(call.store, call.args["id"])
    if row["is_public"]:
        raise NotFound("Access list not available for public flavors.")
    return Reply(_access(row["id"], await flavors.flavor_access(call.store, row["id"])))


def _access(flavor_id: str, projects: list[str]) -> dict[str, Any]:
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project} for project in projects]}


async def change_access(call: Call) -> Reply:
    """Let a project use a flavor, or no more."""
    ((action, asked),) = call.body.items()
    flavor_id, project = call.args["id"], asked["tenant"]
    adds = action == "addTenantAccess"
    call.require(f"{API}os-flavor-access:{'add' if adds else 'remove'}_tenant_access")
    async with call.transaction() as tx:
        row = await flavors.flavor_get(tx, flavor_id)
        if row["is_public"] and (adds or call.version >= (2, 7)):
            raise Conflict("Can not add or remove access: the flavor is public.")
        change = flavors.flavor_access_add if adds else flavors.flavor_access_drop
        await change(tx, flavor_id, project)
        projects = await flavors.flavor_access(tx, flavor_id)
    return Reply(_access(flavor_id, projects))


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY, since: Version = (2, 1)) -> Route:
    return Route(method=method, path=f"/flavors{path}", handler=handler, policy=f"{API}{rule}", body=body, since=since)


ROUTES: list[Route] = [
    _route("GET", "", list_flavors, "flavors:index"),
    _route("GET", "/detail", list_flavors_in_detail, "flavors:detail"),
    _route("GET", "/{id}", show_flavor, "flavors:show"),
    _route("POST", "", create_flavor, "os-flavor-manage:create", "compute/flavor-create"),
    _route("PUT", "/{id}", update_flavor, "os-flavor-manage:update", "compute/flavor-update", DESCRIPTION_SINCE),
    _route("DELETE", "/{id}", delete_flavor, "os-flavor-manage:delete"),
    _route("GET", "/{id}/os-extra_specs", list_specs, "os-flavor-extra-specs:index"),
    _route("POST", "/{id}/os-extra_specs", create_specs, "os-flavor-extra-specs:create", "compute/flavor-specs"),
    _route("GET", "/{id}/os-extra_specs/{key}", show_spec, "os-flavor-extra-specs:show"),
    _route("PUT", "/{id}/os-extra_specs/{key}", update_spec, "os-flavor-extra-specs:update", "compute/flavor-spec"),
    _route("DELETE", "/{id}/os-extra_specs/{key}", delete_spec, "os-flavor-extra-specs:delete"),
    _route("GET", "/{id}/os-flavor-access", list_access, "os-flavor-access"),
    _route("POST", "/{id}/action", change_access, "os-flavor-access", "compute/flavor-action"),
]
