"""Routes of servers: create, list, show, update, delete."""

from __future__ import annotations

from typing import Any

from skybus.compute import wiring
from skybus.compute.hostnames import hostname_of
from skybus.compute.server_asked import address_of, refuse_unborn, server_asked
from skybus.compute.server_create import Accepted, Owner, new_password, servers_accept
from skybus.compute.server_lists import server_listing
from skybus.compute.server_views import ServerViews
from skybus.compute.servers import DELETING, not_found, server_change, server_lock, server_move, server_seen
from skybus.compute.states import Cause
from skybus.errors import BadRequest, Conflict
from skybus.http.call import Call, Reply
from skybus.http.paging import next_url
from skybus.http.routes import NO_BODY, Route
from skybus.saga.operations import operation_start

API = "os_compute_api:servers:"
MAX_CREATE_BYTES = 262_144
"""Room for user_data, metadata and many networks."""


def scope_of(call: Call) -> str | None:
    """The project whose servers the caller reaches by id; None for an administrator, who reaches all."""
    return None if "admin" in call.caller.roles else call.project_id


async def seen(call: Call, *, deleted: bool = False) -> Any:
    """The server that the path names, as the caller may see it. Raises NotFound."""
    return await server_seen(call.store, call.args["id"], project_id=scope_of(call), deleted=deleted)


async def create_servers(call: Call) -> Reply:
    """Accept one server or several; each is scheduled and booted by an operation of its own."""
    asked = server_asked(call.body["server"], call.version)
    target = {"project_id": call.project_id, "user_id": call.caller.user_id}
    if asked.trusted_certs:
        call.require(f"{API}create:trusted_certs", **target)
    if asked.wanted_host is not None:
        named = "host" in call.body["server"] or "hypervisor_hostname" in call.body["server"]
        call.require("compute:servers:create:requested_destination" if named else f"{API}create:forced_host", **target)
        # The scheduler takes no orders of this kind yet; to accept one and put the server elsewhere would be a lie.
        raise BadRequest("Choosing the host of a server is not offered by this cloud yet.", code="server.host-asked")
    owner = Owner(
        project_id=call.project_id,
        user_id=call.caller.user_id,
        is_admin="admin" in call.caller.roles,
        zero_disk=call.permits(f"{API}create:zero_disk_flavor", **target),
    )
    await wiring.zone_checked(call.store, asked.zone, asked.wanted_host)
    async with call.transaction() as tx:
        accepted = await servers_accept(tx, owner, asked)
    if asked.reservation:
        return Reply({"reservation_id": accepted.reservation_id}, status=202)
    return _accepted(call, accepted, asked.password or new_password(), asked.security_groups)


def _accepted(call: Call, accepted: Accepted, password: str, groups: list[str]) -> Reply:
    first = accepted.servers[0]
    views = ServerViews(call)
    links = views.links(first["id"])
    view = {
        "id": first["id"],
        "links": links,
        "OS-DCF:diskConfig": first["disk_config"],
        "security_groups": [{"name": name} for name in groups],
        "adminPass": password,
    }
    return Reply({"server": view}, status=202, headers={"Location": links[0]["href"]})


async def list_servers(call: Call) -> Reply:
    """Ids and names of servers."""
    listing = await server_listing(call, detail=False)
    views = ServerViews(call)
    return Reply({"servers": [views.brief(row) for row in listing.rows], **_next(call, listing, "servers")})


async def list_servers_in_detail(call: Call) -> Reply:
    """Servers with all that is known of them: three queries, however many there are."""
    listing = await server_listing(call, detail=True)
    ids = [row["id"] for row in listing.rows]
    addresses = await wiring.addresses_of(call.store, ids)
    volumes = await wiring.volumes_of(call.store, ids)
    full = ServerViews(call).full
    shown = [full(row, addresses.get(row["id"], {}), volumes.get(row["id"], ()), groups=False) for row in listing.rows]
    return Reply({"servers": shown, **_next(call, listing, "servers/detail")})


def _next(call: Call, listing: Any, path: str) -> dict[str, Any]:
    if not listing.more or not listing.rows:
        return {}
    url = next_url(call, f"{call.base}/{path}", listing.rows[-1]["id"], listing.limit)
    return {"servers_links": [{"rel": "next", "href": url}]}


async def _with_wires(call: Call, row: Any) -> tuple[Any, Any]:
    id_ = row["id"]
    addresses = await wiring.addresses_of(call.store, [id_])
    volumes = await wiring.volumes_of(call.store, [id_])
    return addresses.get(id_, {}), volumes.get(id_, ())


async def show_server(call: Call) -> Reply:
    """One server with all that is known of it."""
    row = await seen(call)
    return Reply({"server": ServerViews(call).full(row, *await _with_wires(call, row))})


async def update_server(call: Call) -> Reply:
    """Change what has nothing to do with the server's life."""
    asked = call.body["server"]
    refuse_unborn(asked, call.version)
    row = await seen(call)
    columns = _changes(call, asked, row)
    if columns:
        async with call.transaction() as tx:
            server = await server_lock(tx, row["id"])
            if server["deleted"]:
                raise Conflict("The server is being deleted.")
            await server_change(tx, server, **columns)
        row = await seen(call)
    return Reply({"server": ServerViews(call).changed(row, *await _with_wires(call, row))})


def _changes(call: Call, asked: dict[str, Any], row: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "name" in asked:
        columns["name"] = asked["name"]
    if "description" in asked:
        columns["description"] = asked["description"]
    if "OS-DCF:diskConfig" in asked:
        columns["disk_config"] = asked["OS-DCF:diskConfig"]
    if "accessIPv4" in asked:
        columns["access_ipv4"] = address_of(asked["accessIPv4"], 4)
    if "accessIPv6" in asked:
        columns["access_ipv6"] = address_of(asked["accessIPv6"], 6)
    if "hostname" in asked:
        if hostname_of(asked["hostname"], "") != asked["hostname"].lower().replace(".", "-"):
            raise BadRequest("Invalid input for field/attribute hostname. It must be a host name as DNS has them.")
        columns["hostname"] = asked["hostname"]
    return columns


def unlocked(call: Call, server: Any) -> None:
    """Raises Conflict when the server is locked against this caller."""
    if server["locked_by"] is not None and not call.permits("os_compute_api:os-lock-server:unlock:unlock_override"):
        raise Conflict(f"Instance {server['id']} is locked")


async def delete_server(call: Call) -> Reply:
    """Begin to delete; whatever is under way with the server is unwound first."""
    row = await seen(call)
    async with call.transaction() as tx:
        # The operation before the server: the conductor locks in this order too.
        await operation_start(tx, "server_delete", resource_type="server", resource_id=row["id"], interrupts=True)
        server = await server_lock(tx, row["id"])
        unlocked(call, server)
        if server["deleted"]:
            raise not_found(row["id"])
        if server["task_state"] != DELETING:
            await server_move(tx, server, Cause.DELETE_ASKED)
    return Reply(status=204)


def _route(method: str, path: str, handler: Any, action: str, body: str = NO_BODY, most: int | None = None) -> Route:
    path = f"/servers{path}"
    return Route(method=method, path=path, handler=handler, policy=API + action, body=body, max_body_bytes=most)


ROUTES: list[Route] = [
    _route("POST", "", create_servers, "create", "compute/server-create", MAX_CREATE_BYTES),
    _route("GET", "", list_servers, "index"),
    _route("GET", "/detail", list_servers_in_detail, "detail"),
    _route("GET", "/{id}", show_server, "show"),
    _route("PUT", "/{id}", update_server, "update", "compute/server-update"),
    _route("DELETE", "/{id}", delete_server, "delete"),
]
