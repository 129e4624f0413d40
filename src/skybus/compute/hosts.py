"""Hypervisor hosts: what they say they have, whether we hear of them, whether they may take servers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from skybus import clock
from skybus.errors import NotFound
from skybus.ids import derived_id
from skybus.messages.compute import HostChanged, HypervisorReport
from skybus.placement.inventory import provider_enable
from skybus.store import Store, Tx

Change = Literal["up", "down", "enabled", "disabled", "capacity"]

DEFAULT_ZONE = "nova"
"""The availability zone of a host that was not put into another."""

COLUMNS = """h.name, h.number, h.hypervisor_id, h.service_id, h.zone, h.hypervisor_type, h.hypervisor_version,
             h.address, h.vcpus, h.memory_mib, h.disk_gib, h.cpu_info, h.up AND NOT h.forced_down AS up, h.disabled,
             h.disabled_reason, h.forced_down, h.heard_at, h.started_at"""
GET = f"SELECT {COLUMNS} FROM compute.host h WHERE h.name = $1"
LOCK = f"{GET} FOR UPDATE"
ALL = f"""
SELECT {COLUMNS} FROM compute.host h
 WHERE ($1::integer IS NULL OR h.number > $1) AND ($2::text IS NULL OR position($2 in h.name) > 0)
 ORDER BY h.number LIMIT $3
"""
RUNNING = """
SELECT host, count(*) FILTER (WHERE state = 'ACTIVE') AS running, count(task_state) AS busy
  FROM compute.server WHERE NOT deleted AND host = ANY ($1) GROUP BY host
"""
INSERT = """
INSERT INTO compute.host (name, hypervisor_id, service_id, hypervisor_type, hypervisor_version, address, vcpus,
                          memory_mib, disk_gib, cpu_info, up, taken_at, heard_at, started_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true, $11, $12, $12, $12)
    ON CONFLICT (name) DO NOTHING
"""
HEARD = """
UPDATE compute.host
   SET hypervisor_type = $2, hypervisor_version = $3, address = $4, vcpus = $5, memory_mib = $6, disk_gib = $7,
       cpu_info = $8, up = true, taken_at = $9, heard_at = $10,
       started_at = CASE WHEN $11 THEN $10 ELSE started_at END
 WHERE name = $1 AND taken_at <= $9
RETURNING name
"""
TOUCHED = "UPDATE compute.host SET taken_at = $2, heard_at = $3 WHERE name = $1 AND taken_at <= $2"
ALIVE = """
UPDATE compute.host h SET taken_at = greatest(h.taken_at, a.taken_at), heard_at = $3
  FROM (SELECT name, max(taken_at) AS taken_at FROM unnest($1::text[], $2::timestamptz[]) AS asked (name, taken_at)
         GROUP BY name) a
 WHERE h.name = a.name RETURNING h.name, h.up, h.forced_down
"""
UP = "UPDATE compute.host SET up = true WHERE name = $1"
SILENT = "UPDATE compute.host SET up = false WHERE up AND heard_at < $1 RETURNING name"
SWITCH = "UPDATE compute.host SET disabled = $2, disabled_reason = $3, forced_down = $4 WHERE name = $1"
DELETE = "DELETE FROM compute.host WHERE name = $1"
SERVERS = "SELECT id, name, host FROM compute.server WHERE NOT deleted AND host = ANY ($1) ORDER BY created_at, id"


async def host_get(store: Store | Tx, name: str) -> Any:
    """The host's row. Raises NotFound."""
    row = await store.fetchrow(GET, name)
    if row is None:
        raise NotFound(f"Compute host {name[:64]} could not be found.")
    return row


async def host_list(
    store: Store | Tx, *, after: int | None = None, pattern: str | None = None, limit: int | None = None
) -> list[Any]:
    """Hosts in the order in which we first heard of them; `after` is a host's number, `pattern` a part of its name."""
    return await store.fetch(ALL, after, pattern, limit)


async def host_loads(store: Store | Tx, names: list[str]) -> dict[str, tuple[int, int]]:
    """(servers that run, servers with a task at hand) of each host that has servers."""
    return {row["host"]: (row["running"], row["busy"]) for row in await store.fetch(RUNNING, names)}


async def servers_on(store: Store | Tx, names: list[str]) -> dict[str, list[Any]]:
    """The servers (id, name) of each of the hosts."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for row in await store.fetch(SERVERS, names):
        found[row["host"]].append(row)
    return found


async def host_heard(tx: Tx, report: HypervisorReport) -> Change | None:
    """Take in a host's heartbeat; an older one than the last changes nothing.

    Publishes HostChanged for a host that is new, was silent, or has other capacity; answers which change that was.
    """
    row = await tx.fetchrow(LOCK, report.host)
    now = clock.now()
    facts = (
        report.hypervisor_type,
        report.hypervisor_version,
        report.address,
        report.vcpus,
        report.memory_mib,
        report.disk_gib,
        report.cpu_info,
    )
    if row is None:
        ids = (derived_id("hypervisor", report.host), derived_id("compute-service", report.host))
        await tx.execute(INSERT, report.host, *ids, *facts, report.taken_at, now)
        return _tell(tx, report.host, "up")
    change = _difference(row, report)
    if change is None and not report.started and tuple(row[name] for name in _FACTS) == facts:
        await tx.execute(TOUCHED, report.host, report.taken_at, now)  # the usual heartbeat: the row's indexes stay
        return None
    taken = await tx.fetchval(HEARD, report.host, *facts, report.taken_at, now, report.started)
    return _tell(tx, report.host, change) if taken is not None and change is not None else None


async def hosts_alive(tx: Tx, beats: Sequence[tuple[str, datetime]]) -> set[str]:
    """Take in heartbeats that say no more than that a host was there then; answer the hosts that are known. Publishes
    HostChanged for one that was silent."""
    rows = await tx.fetch(ALIVE, [name for name, _ in beats], [then for _, then in beats], clock.now())
    for row in sorted(rows, key=lambda one: str(one["name"])):
        if not row["up"] and not row["forced_down"]:
            await tx.execute(UP, row["name"])
            _tell(tx, row["name"], "up")
    return {row["name"] for row in rows}


_FACTS = ("hypervisor_type", "hypervisor_version", "address", "vcpus", "memory_mib", "disk_gib", "cpu_info")


def _difference(row: Any, report: HypervisorReport) -> Change | None:
    if not row["up"] and not row["forced_down"]:
        return "up"
    had = (row["vcpus"], row["memory_mib"], row["disk_gib"])
    return "capacity" if had != (report.vcpus, report.memory_mib, report.disk_gib) else None


def _tell(tx: Tx, host: str, change: Change) -> Change:
    tx.publish(HostChanged(host=host, change=change), project_id="")
    return change


async def hosts_silent(tx: Tx, before: datetime) -> list[str]:
    """Note as down every host that was last heard of before that time; answer their names."""
    names = [row["name"] for row in await tx.fetch(SILENT, before)]
    for name in names:
        _tell(tx, name, "down")
    return names


async def host_switch(
    tx: Tx,
    name: str,
    *,
    disabled: bool | None = None,
    reason: str | None = None,
    forced_down: bool | None = None,
) -> Any:
    """Let a host take servers, or no more; say that it is down whatever it reports. Answers its row; NotFound."""
    row = await tx.fetchrow(LOCK, name)
    if row is None:
        raise NotFound(f"Host '{name[:64]}' with binary 'nova-compute' could not be found.")
    off = row["disabled"] if disabled is None else disabled
    why = row["disabled_reason"] if disabled is None else reason
    down = row["forced_down"] if forced_down is None else forced_down
    await tx.execute(SWITCH, name, off, why if off else None, down)
    if off != row["disabled"]:
        _tell(tx, name, "disabled" if off else "enabled")
    await provider_enable(tx, "compute", name, not off and not down, why)
    after = await host_get(tx, name)
    if after["up"] != row["up"]:
        _tell(tx, name, "up" if after["up"] else "down")
    return after


async def host_forget(tx: Tx, name: str) -> None:
    """Remove a host that has no servers; it comes back when it reports again."""
    await tx.execute(DELETE, name)
    _tell(tx, name, "down")
