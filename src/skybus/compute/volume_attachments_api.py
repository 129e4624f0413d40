"""Routes of a server's volumes. The attachments are the volume package's; their operations run on the volume."""

from __future__ import annotations

from typing import Any

from skybus.compute.asked import MAX_LIMIT, boolean, only_known, whole
from skybus.compute.servers import server_lock
from skybus.compute.servers_api import seen, unlocked
from skybus.compute.states import VM_STATES, State
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version
from skybus.ids import is_uuid
from skybus.volume.attachments import attachment_begin_detach, attachment_start, attachments_of_server

API = "os_compute_api:os-volumes-attachments:"
TAG_SINCE: Version = (2, 49)
TAG_SHOWN_SINCE: Version = (2, 70)
KEEP_SINCE: Version = (2, 79)
UPDATE_SINCE: Version = (2, 85)
IDS_SINCE: Version = (2, 89)
ATTACHABLE = (State.ACTIVE, State.SHUTOFF)


def _view(call: Call, one: Any, *, made: bool = False) -> dict[str, Any]:
    """An attachment; the answer to its making keeps the volume's id as its own also after 2.89."""
    version = call.version
    view: dict[str, Any] = {} if version >= IDS_SINCE and not made else {"id": one["volume_id"]}
    view |= {"volumeId": one["volume_id"], "serverId": one["server_id"], "device": one["device"]}
    if version >= TAG_SHOWN_SINCE:
        view["tag"] = one["tag"]
    if version >= KEEP_SINCE:
        view["delete_on_termination"] = one["delete_on_termination"]
    if version >= IDS_SINCE and not made:
        view |= {"attachment_id": one["id"], "bdm_uuid": one["id"]}
    return view


async def _attachment(call: Call, server_id: str) -> Any:
    volume_id = call.args["volume_id"]
    for one in await attachments_of_server(call.store, server_id):
        if one["volume_id"] == volume_id:
            return one
    raise NotFound(f"Instance {server_id} is not attached to volume {volume_id[:64]}")


async def list_attachments(call: Call) -> Reply:
    """A server's volumes."""
    only_known(call, frozenset(("limit", "offset")))
    row = await seen(call)
    offset, limit = (whole(call.query.get(name, text), name) for name, text in (("offset", "0"), ("limit", "0")))
    if offset < 0 or limit < 0:
        raise BadRequest("limit and offset must not be negative.")
    found = (await attachments_of_server(call.store, row["id"]))[offset:][: min(limit or MAX_LIMIT, MAX_LIMIT)]
    return Reply({"volumeAttachments": [_view(call, one) for one in found]})


async def show_attachment(call: Call) -> Reply:
    """One of a server's volumes."""
    row = await seen(call)
    return Reply({"volumeAttachment": _view(call, await _attachment(call, row["id"]))})


def _refuse_unborn(call: Call, asked: dict[str, Any]) -> None:
    for field, since in (("tag", TAG_SINCE), ("delete_on_termination", KEEP_SINCE)):
        if field in asked and call.version < since:
            raise BadRequest(f"Additional properties are not allowed ({field!r} was unexpected).")


async def _changeable(call: Call, tx: Any, row: Any, action: str) -> Any:
    """The server, locked in the transaction, if its volumes may be changed now. Raises Conflict."""
    server = await server_lock(tx, row["id"])
    unlocked(call, server)
    if server["state"] not in ATTACHABLE:
        state = VM_STATES[server["state"]]
        raise Conflict(f"Cannot '{action}' instance {server['id']} while it is in vm_state {state}")
    if server["task_state"] is not None:
        raise Conflict(f"Cannot '{action}' instance {server['id']} while it is in task_state {server['task_state']}")
    return server


async def attach_volume(call: Call) -> Reply:
    """Begin to give a server a volume as a disk."""
    asked = call.body["volumeAttachment"]
    _refuse_unborn(call, asked)
    row = await seen(call)
    goes = boolean(asked.get("delete_on_termination", False), "delete_on_termination")
    async with call.transaction() as tx:
        server = await _changeable(call, tx, row, "attach_volume")
        one = await attachment_start(
            tx,
            asked["volumeId"].lower(),
            server["id"],
            project_id=server["project_id"],
            device=asked.get("device"),
            tag=asked.get("tag"),
            delete_on_termination=goes,
        )
    return Reply({"volumeAttachment": _view(call, one, made=True)})


async def update_attachment(call: Call) -> Reply:
    """From 2.85 on: say whether the volume goes with the server. Exchanging the volume is not offered."""
    row = await seen(call)
    asked, volume_id = call.body["volumeAttachment"], call.args["volume_id"]
    if call.version < UPDATE_SINCE or asked["volumeId"].lower() != volume_id:
        raise Conflict(f"Volume {volume_id[:64]} is not migrating; this call exchanges volumes that are.")
    one = await _attachment(call, row["id"])
    fixed = {"id": one["volume_id"], "serverId": row["id"], "device": one["device"], "tag": one["tag"]}
    for field, value in fixed.items():
        if field in asked and asked[field] != value:
            raise BadRequest(f"The {field} property is not mutable")
    goes = boolean(asked.get("delete_on_termination", one["delete_on_termination"]), "delete_on_termination")
    if goes != one["delete_on_termination"]:
        raise BadRequest(
            "Whether a volume goes with its server is said when it is attached, and not changed later yet."
        )
    return Reply(status=202)


async def detach_volume(call: Call) -> Reply:
    """Begin to take a volume from a server."""
    if not is_uuid(call.args["volume_id"]):
        raise NotFound(f"Volume {call.args['volume_id'][:64]} could not be found.")
    row = await seen(call)
    one = await _attachment(call, row["id"])
    async with call.transaction() as tx:
        server = await _changeable(call, tx, row, "detach_volume")
        await attachment_begin_detach(tx, server["id"], one["volume_id"])
    return Reply(status=202)


def _route(method: str, path: str, handler: Any, action: str, body: str = NO_BODY) -> Route:
    path = f"/servers/{{id}}/os-volume_attachments{path}"
    return Route(method=method, path=path, handler=handler, policy=API + action, body=body)


ROUTES: list[Route] = [
    _route("GET", "", list_attachments, "index"),
    _route("POST", "", attach_volume, "create", "compute/volume-attachment-create"),
    _route("GET", "/{volume_id}", show_attachment, "show"),
    _route("PUT", "/{volume_id}", update_attachment, "update", "compute/volume-attachment-update"),
    _route("DELETE", "/{volume_id}", detach_volume, "delete"),
]
