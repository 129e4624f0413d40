"""Servers as rows: inserting, finding, moving through their states, changing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from skybus import clock
from skybus.bus.context import on_behalf_of
from skybus.compute.states import TASKS, Cause, State, after, status_of
from skybus.errors import Conflict, NotFound
from skybus.ids import is_uuid
from skybus.messages.compute import ServerMoved, ServerUpdated
from skybus.saga.operations import operation_start
from skybus.store import Store, Tx

COLUMNS = """s.id, s.number, s.project_id, s.user_id, s.name, s.hostname, s.description, s.state, s.task_state,
s.power_state, s.generation, s.flavor_id, s.flavor_name, s.vcpus, s.memory_mib, s.disk_gib, s.ephemeral_gib,
s.swap_mib, s.extra_specs, s.image_id, s.key_name, s.key_type, s.public_key, s.user_data, s.config_drive, s.metadata,
s.tags, s.trusted_certs, s.security_groups, s.zone, s.wanted_host, s.host, s.vnc_port, s.launch_index,
s.reservation_id, s.access_ipv4, s.access_ipv6, s.disk_config, s.locked_by, s.locked_reason, s.fault_code,
s.fault_message, s.fault_details, s.fault_at, s.created_at, s.updated_at, s.launched_at, s.terminated_at, s.deleted"""
VIEW_COLUMNS = f"""{COLUMNS}, h.zone AS host_zone, h.up AND NOT h.forced_down AS host_up, h.disabled AS host_disabled,
h.forced_down AS host_forced_down"""
SEEN = f"""
SELECT {VIEW_COLUMNS} FROM compute.server s LEFT JOIN compute.host h ON h.name = s.host
 WHERE s.id = $1 AND ($2::text IS NULL OR s.project_id = $2) AND (NOT s.deleted OR $3)
"""
GET = f"SELECT {COLUMNS} FROM compute.server s WHERE s.id = $1"
LOCK = f"{GET} FOR UPDATE"
GET_ALL = f"SELECT {COLUMNS} FROM compute.server s WHERE s.id = ANY($1::uuid[])"
LOCK_ALL = f"{GET_ALL} ORDER BY s.id FOR UPDATE"
INSERT = f"""
INSERT INTO compute.server AS s (id, project_id, user_id, name, hostname, description, state, task_state, flavor_id,
    flavor_name, vcpus, memory_mib, disk_gib, ephemeral_gib, swap_mib, extra_specs, image_id, key_name, key_type,
    public_key, user_data, config_drive, metadata, tags, trusted_certs, security_groups, zone, wanted_host,
    launch_index, reservation_id, access_ipv4, access_ipv6, disk_config, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $34)
RETURNING {COLUMNS}
"""
INSERTED = (
    "id",
    "project_id",
    "user_id",
    "name",
    "hostname",
    "description",
    "state",
    "task_state",
    "flavor_id",
    "flavor_name",
    "vcpus",
    "memory_mib",
    "disk_gib",
    "ephemeral_gib",
    "swap_mib",
    "extra_specs",
    "image_id",
    "key_name",
    "key_type",
    "public_key",
    "user_data",
    "config_drive",
    "metadata",
    "tags",
    "trusted_certs",
    "security_groups",
    "zone",
    "wanted_host",
    "launch_index",
    "reservation_id",
    "access_ipv4",
    "access_ipv6",
    "disk_config",
)
"""What an insert must be given, in the order of its places."""

MOVED: Mapping[str, str] = MappingProxyType(
    {
        "state": "text",
        "task_state": "text",
        "power_state": "smallint",
        "host": "text",
        "vnc_port": "integer",
        "launched_at": "timestamptz",
        "terminated_at": "timestamptz",
        "deleted": "boolean",
        "fault_code": "integer",
        "fault_message": "text",
        "fault_details": "text",
        "fault_at": "timestamptz",
    }
)
"""What a move writes, with its type: state and task always, the rest as its cause has it."""
CHANGED = frozenset(
    [
        "name",
        "hostname",
        "description",
        "access_ipv4",
        "access_ipv6",
        "disk_config",
        "metadata",
        "tags",
        "locked_by",
        "locked_reason",
    ]
)
"""What `server_change` may write: what has nothing to do with the server's life."""

TOLD = frozenset(("name", "hostname", "metadata"))
"""Attributes that a server's metadata service tells: its host must hear of a change."""
DELETING = "deleting"


def not_found(server_id: str) -> NotFound:
    """The 404 of a server that is not there or not the caller's to see."""
    return NotFound(f"Instance {server_id[:64]} could not be found.", code="server.not-found")


async def server_get(store: Store | Tx, server_id: str) -> Any:
    """The server's row, whoever owns it, deleted ones included. Raises NotFound."""
    row = await store.fetchrow(GET, server_id) if is_uuid(server_id) else None
    if row is None:
        raise not_found(server_id)
    return row


async def server_lock(tx: Tx, server_id: str) -> Any:
    """The server's row, locked to the end of the transaction. Raises NotFound."""
    row = await tx.fetchrow(LOCK, server_id) if is_uuid(server_id) else None
    if row is None:
        raise not_found(server_id)
    return row


async def servers_get(store: Store | Tx, server_ids: Iterable[str]) -> dict[str, Any]:
    """The rows of those of the servers that there are, by id, deleted ones included."""
    return {row["id"]: row for row in await store.fetch(GET_ALL, list(server_ids))}


async def servers_lock(tx: Tx, server_ids: Iterable[str]) -> dict[str, Any]:
    """The servers' rows by id, locked to the end of the transaction. Raises NotFound when one is missing."""
    asked = list(server_ids)
    rows = {row["id"]: row for row in await tx.fetch(LOCK_ALL, asked)}
    for server_id in asked:
        if server_id not in rows:
            raise not_found(server_id)
    return rows


async def server_seen(store: Store | Tx, server_id: str, *, project_id: str | None, deleted: bool = False) -> Any:
    """The server's row with its host's, as `project_id` sees it; None sees all. Raises NotFound.

    A deleted server is not there unless `deleted`.
    """
    row = await store.fetchrow(SEEN, server_id, project_id, deleted) if is_uuid(server_id) else None
    if row is None:
        raise not_found(server_id)
    return row


async def server_insert(tx: Tx, values: Mapping[str, Any]) -> Any:
    """Add a server; `values` has every name of INSERTED. Answers its row."""
    return await tx.fetchrow(INSERT, *(values[name] for name in INSERTED), clock.now())


async def server_move(tx: Tx, server: Any, cause: Cause, **columns: Any) -> Any:
    """Apply `cause` to one server, and write `columns` with it; answer the new row. Raises as `servers_move`."""
    return (await servers_move(tx, cause, [(server, columns)]))[server["id"]]


async def servers_move(tx: Tx, cause: Cause, moves: Sequence[tuple[Any, Mapping[str, Any]]]) -> dict[str, Any]:
    """Apply `cause` to servers, given as (row, columns to write with it), the same columns for each; answer their new
    rows by id.

    The only function that writes `state`, `task_state` and `power_state`. Raises Conflict when there is no such way
    out of a state, or when a server moved on since its row was read.
    """
    if not moves:
        return {}
    states = [_after(server, cause) for server, _ in moves]
    writes = [
        {"state": state, "task_state": task, **columns}
        for (state, task), (_, columns) in zip(states, moves, strict=True)
    ]
    rows = await _write(tx, [server for server, _ in moves], writes)
    for (server, _), (state, task) in zip(moves, states, strict=True):
        if server["id"] not in rows:
            raise Conflict(f"Server {server['id']} moved on from generation {server['generation']}.")
        if cause not in _UNTOLD:
            old, new = status_of(server["state"], server["task_state"]), status_of(state, task)
            event = ServerMoved(server_id=server["id"], old=old, new=new, cause=cause.value)
            with on_behalf_of(server["id"]):
                tx.publish(event, project_id=server["project_id"])
    return rows


def _after(server: Any, cause: Cause) -> tuple[State, str | None]:
    task = TASKS.get(cause)
    if server["task_state"] == DELETING and cause in _BESIDE_DELETE:
        task = DELETING  # a step that was under way ends while the server waits to be deleted
    return after(State(server["state"]), cause), task


_UNTOLD = frozenset((Cause.PLACED, Cause.UNPLACED, Cause.WIRED))
"""Steps of a build that change no status: `ServerPlaced` tells of them."""


_BESIDE_DELETE = frozenset(
    (
        Cause.PLACED,
        Cause.UNPLACED,
        Cause.WIRED,
        Cause.BOOTED,
        Cause.STARTED,
        Cause.STOPPED,
        Cause.REBOOTED,
        Cause.GAVE_UP,
        Cause.POWERED_ON,
        Cause.POWERED_OFF,
    )
)


async def _write(tx: Tx, servers: Sequence[Any], writes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write columns of servers that are still of the generation of their rows; answer what was written."""
    names = list(writes[0])
    if not MOVED.keys() >= set(names):
        raise ValueError(f"a move does not write {sorted(set(names) - MOVED.keys())}")
    sets = ", ".join(f"{name} = n.{name}" for name in names)
    types = ", ".join(f"${number}::{MOVED[name]}[]" for number, name in enumerate(names, 4))
    sql = f"""
        UPDATE compute.server s SET updated_at = $3, generation = s.generation + 1, {sets}
          FROM unnest($1::uuid[], $2::integer[], {types}) AS n (id, generation, {", ".join(names)})
         WHERE s.id = n.id AND s.generation = n.generation RETURNING {COLUMNS}
    """
    known = [server["id"] for server in servers], [server["generation"] for server in servers]
    rows = await tx.fetch(sql, *known, clock.now(), *([one[name] for one in writes] for name in names))
    return {row["id"]: row for row in rows}


async def server_change(tx: Tx, server: Any, changed: Sequence[str] = (), **columns: Any) -> None:
    """Write attributes that have nothing to do with the server's life, and tell which `changed`."""
    if not columns or not columns.keys() <= CHANGED:
        raise ValueError(f"a change does not write {sorted(columns.keys() - CHANGED)}")
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 3))
    sql = f"UPDATE compute.server SET updated_at = $2, {sets} WHERE id = $1"
    await tx.execute(sql, server["id"], clock.now(), *columns.values())
    event = ServerUpdated(server_id=server["id"], changed=list(changed) or sorted(columns))
    tx.publish(event, project_id=server["project_id"])
    if columns.keys() & TOLD and server["host"] is not None:
        id_ = server["id"]
        await operation_start(tx, "server_refresh", resource_type="server", resource_id=id_, exclusive=False)
