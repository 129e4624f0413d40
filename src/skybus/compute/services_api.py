"""Routes of services: the nova-compute of each host, which an administrator may take out of use."""

from __future__ import annotations

from typing import Any

from skybus.compute import hosts
from skybus.compute.asked import boolean
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http import times
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version
from skybus.ids import is_uuid

API = "os_compute_api:os-services:"
BINARY = "nova-compute"
FORCED_DOWN_SINCE: Version = (2, 11)
UUIDS_SINCE: Version = (2, 53)


def _view(call: Call, host: Any) -> dict[str, Any]:
    view = {
        "id": host["service_id"] if call.version >= UUIDS_SINCE else host["number"],
        "binary": BINARY,
        "host": host["name"],
        "zone": host["zone"],
        "status": "disabled" if host["disabled"] else "enabled",
        "state": "up" if host["up"] else "down",
        "updated_at": times.micros(host["heard_at"]),
        "disabled_reason": host["disabled_reason"],
    }
    if call.version >= FORCED_DOWN_SINCE:
        view["forced_down"] = host["forced_down"]
    return view


async def list_services(call: Call) -> Reply:
    """The compute service of every host."""
    name, binary = call.query.get("host"), call.query.get("binary")
    rows = await hosts.host_list(call.store)
    rows = [row for row in rows if (not name or row["name"] == name) and (not binary or binary == BINARY)]
    return Reply({"services": [_view(call, row) for row in rows]})


async def act_on_service(call: Call) -> Reply:
    """Up to 2.52: enable, disable, disable-log-reason or force-down the service on the host that the body names."""
    action, asked = call.args["id"], call.body
    if action not in ("enable", "disable", "disable-log-reason") and (
        action != "force-down" or call.version < FORCED_DOWN_SINCE
    ):
        raise NotFound("Unknown action")
    if asked["binary"] != BINARY:
        raise BadRequest(f"Updating a {asked['binary']} service is not supported. Only {BINARY} services can be.")
    view: dict[str, Any] = {"host": asked["host"], "binary": BINARY}
    async with call.transaction() as tx:
        if action == "force-down":
            if "forced_down" not in asked:
                raise BadRequest("Missing forced_down field")
            view["forced_down"] = boolean(asked["forced_down"], "forced_down")
            await hosts.host_switch(tx, asked["host"], forced_down=view["forced_down"])
        else:
            view["status"] = "enabled" if action == "enable" else "disabled"
            reason = asked.get("disabled_reason") if action == "disable-log-reason" else None
            if action == "disable-log-reason":
                if reason is None:
                    raise BadRequest("Missing disabled reason field")
                view["disabled_reason"] = reason
            await hosts.host_switch(tx, asked["host"], disabled=action != "enable", reason=reason)
    return Reply({"service": view})


async def _find(call: Call, id_: str) -> Any:
    uuids = call.version >= UUIDS_SINCE
    if uuids and not is_uuid(id_):
        raise BadRequest(f"Invalid uuid {id_[:64]}")
    if not uuids and not id_.isdecimal():
        raise BadRequest(f"Invalid input received: id must be an integer, not {id_[:64]!r}")
    for row in await hosts.host_list(call.store):
        if str(row["service_id"] if uuids else row["number"]) == id_:
            return row
    raise NotFound(f"Service {id_[:64]} could not be found.")


async def update_service(call: Call) -> Reply:
    """From 2.53 on: enable, disable or force down a service."""
    row, asked = await _find(call, call.args["id"]), call.body
    if "status" not in asked and "forced_down" not in asked:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    reason, status = asked.get("disabled_reason"), asked.get("status")
    if reason is not None and status != "disabled":
        raise BadRequest("Specifying 'disabled_reason' is only valid with status 'disabled'.")
    down = boolean(asked["forced_down"], "forced_down") if "forced_down" in asked else None
    async with call.transaction() as tx:
        row = await hosts.host_switch(
            tx,
            row["name"],
            disabled=None if status is None else status == "disabled",
            reason=reason,
            forced_down=down,
        )
    return Reply({"service": _view(call, row)})


async def delete_service(call: Call) -> Reply:
    """Forget a host that has no servers; it comes back when it reports again."""
    row = await _find(call, call.args["id"])
    async with call.transaction() as tx:
        if (await hosts.servers_on(tx, [row["name"]]))[row["name"]]:
            raise Conflict("Unable to delete compute service that is hosting instances. Delete the instances first.")
        await hosts.host_forget(tx, row["name"])
    return Reply(status=204)


def _route(
    method: str, path: str, handler: Any, action: str, body: str, since: Version = (2, 1), until: Version = (9999, 0)
) -> Route:
    path = f"/os-services{path}"
    return Route(method=method, path=path, handler=handler, policy=API + action, body=body, since=since, until=until)


ROUTES: list[Route] = [
    _route("GET", "", list_services, "list", NO_BODY),
    _route("PUT", "/{id}", act_on_service, "update", "compute/service-action", until=(2, 52)),
    _route("PUT", "/{id}", update_service, "update", "compute/service-update", since=UUIDS_SINCE),
    _route("DELETE", "/{id}", delete_service, "delete", NO_BODY),
]
