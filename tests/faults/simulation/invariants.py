"""What must hold, whatever happened: some of it at every moment, the rest once the cloud has come to rest.

Each check answers sentences about what is broken, and none when all is well. The doctor's own checks are among them;
those here look at the hosts themselves, at the event log and at the users' side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from simulation.cloud import Cloud
from simulation.users import COMPUTE, LIMITS, NETWORK, VOLUME
from skybus.doctor.checks import examine
from skybus.store import Store

Broken = list[str]

OVERSOLD = """
SELECT i.kind, i.host, i.resource_class, i.used, floor((i.total - i.reserved) * i.allocation_ratio)::bigint AS room,
       (SELECT coalesce(sum(a.amount), 0)::bigint FROM placement.allocation a
         WHERE (a.kind, a.host, a.resource_class) = (i.kind, i.host, i.resource_class)) AS claimed
  FROM placement.inventory i ORDER BY 1, 2, 3
"""
OWNED = {
    "instances": "SELECT project_id, count(*) AS n FROM compute.server WHERE NOT deleted GROUP BY 1",
    "cores": "SELECT project_id, sum(vcpus) AS n FROM compute.server WHERE NOT deleted GROUP BY 1",
    "ram": "SELECT project_id, sum(memory_mib) AS n FROM compute.server WHERE NOT deleted GROUP BY 1",
    "volumes": "SELECT project_id, count(*) AS n FROM volume.volume WHERE deleted_at IS NULL GROUP BY 1",
    "gigabytes": "SELECT project_id, sum(size_gib) AS n FROM volume.volume WHERE deleted_at IS NULL GROUP BY 1",
    "port": "SELECT project_id, count(*) AS n FROM network.port WHERE device_owner <> 'network:dhcp' GROUP BY 1",
    "network": "SELECT project_id, count(*) AS n FROM network.network GROUP BY 1",
    "subnet": "SELECT project_id, count(*) AS n FROM network.subnet GROUP BY 1",
}
MOST = {name: most for limits in LIMITS.values() for name, most in limits.items()}


class Watch:
    """What must hold after every commit: looked at when a commit could have broken it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.broken: Broken = []
        self._room: dict[tuple[str, ...], tuple[int, int]] = {}
        cloud.database.committed = self.look

    def look(self, statements: list[str]) -> None:
        """After a transaction with these statements."""
        text = "".join(statements)
        if "placement.inventory" in text or "placement.allocation" in text:
            self._capacity()
        for word, names in (
            ("INSERT INTO compute.server", ("instances", "cores", "ram")),
            ("INSERT INTO volume.volume", ("volumes", "gigabytes")),
            ("INSERT INTO network.", ("port", "network", "subnet")),
        ):
            if word in text:
                for name in names:
                    self._quota(name)

    def _capacity(self) -> None:
        """No host promises more than it has. One that says it has become smaller may be too full until it empties."""
        for row in self.cloud.database.rows(OVERSOLD):
            key, used, room = (row["kind"], row["host"], row["resource_class"]), row["used"], row["room"]
            before = self._room.get(key, (0, room))
            self._room[key] = (used, room)
            if used > room and used > before[0]:
                self._break(f"{' '.join(key)} is oversold: {used} of {room}")
            if used != row["claimed"]:
                self._break(f"{' '.join(key)} counts {used} as used, and {row['claimed']} is claimed")

    def _quota(self, name: str) -> None:
        for row in self.cloud.database.rows(OWNED[name]):
            if row["project_id"] in {project.name for project in self.cloud.projects} and row["n"] > MOST[name]:
                self._break(f"{row['project_id']} owns {row['n']} {name}, and may own {MOST[name]}")

    def _break(self, what: str) -> None:
        if what not in self.broken:
            self.cloud.trace.note("broken", "-", what)
            self.broken.append(what)


# --- at rest


async def busy(cloud: Cloud) -> Broken:
    """Nothing is on its way."""
    rows = cloud.database.rows(
        "SELECT kind, state, count(*) AS n FROM saga.operation WHERE state NOT IN ('done', 'undone', 'failed')"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    found = [f"{row['n']} {row['kind']} operations are {row['state']}" for row in rows]
    if owed := cloud.database.ask("SELECT count(*) FROM bus.outbox"):
        found.append(f"{owed} messages wait in the outbox")
    if waiting := cloud.broker.waiting:
        found.append(f"{waiting} messages wait at the broker")
    return found


async def operations(cloud: Cloud) -> Broken:
    """Every accepted request ended, and what could not be undone has a refusal of a host to explain it."""
    found = await busy(cloud)
    for row in cloud.database.rows("SELECT id, kind, error FROM saga.operation WHERE state = 'failed'"):
        if "faults.refused" not in str(row["error"]):
            found.append(f"operation {row['kind']} {row['id']} failed: {row['error']}")
    return found


async def doctor(cloud: Cloud) -> Broken:
    """The doctor finds nothing, refusals of hosts aside."""
    store: Store = cloud.store
    found = await examine(store)
    return [
        f"doctor {name}: {one.what} {one.says}"
        for name, findings in found.items()
        for one in findings
        if name != "operations-failed"
    ]


async def guests(cloud: Cloud) -> Broken:
    """Every live server has one guest, on its host and in its power state, and no host has another."""
    wanted = {
        (row["host"], str(row["id"])): row
        for row in cloud.database.rows("SELECT id, host, state FROM compute.server WHERE NOT deleted AND host <> ''")
    }
    found, seen = [], Counter[str]()
    for host in cloud.hosts.values():
        for guest in await host.hypervisor.guests():
            seen[guest.server_id] += 1
            server = wanted.pop((host.name, guest.server_id), None)
            if server is None:
                found.append(f"{host.name} has a guest of {guest.server_id}, which is not there")
            elif server["state"] in ("ACTIVE", "SHUTOFF") and guest.is_on != (server["state"] == "ACTIVE"):
                found.append(f"server {guest.server_id} is {server['state']}, and its guest is {guest.power_state}")
    for (name, id_), server in wanted.items():
        if server["state"] in ("ACTIVE", "SHUTOFF"):
            found.append(f"server {id_} is {server['state']} on {name}, which has no guest of it")
    return found + [f"server {id_} has {count} guests" for id_, count in seen.items() if count > 1]


async def taps(cloud: Cloud) -> Broken:
    """What is plugged on hosts is what is bound to them."""
    wanted = {
        (row["host"], str(row["id"]))
        for row in cloud.database.rows("SELECT id, host FROM network.port WHERE host <> '' AND status = 'ACTIVE'")
    }
    there = {(host.name, port) for host in cloud.hosts.values() for taps in host.plane.made.values() for port in taps}
    return _difference("tap", wanted, there)


async def stored(cloud: Cloud) -> Broken:
    """Pools have the volumes that there are, and export them to the servers that have them."""
    usable = "('available', 'in-use', 'attaching', 'detaching')"
    wanted = {
        (row["host"], str(row["id"]))
        for row in cloud.database.rows(f"SELECT id, host FROM volume.volume WHERE status IN {usable}")
    }
    excused = {
        (row["host"], str(row["id"]))
        for row in cloud.database.rows("SELECT id, host FROM volume.volume WHERE status LIKE 'error%' AND host <> ''")
    }
    there = {(host.name, id_) for host in cloud.hosts.values() for id_ in await host.pool.volumes()}
    exports = {(host.name, one.attachment_id) for host in cloud.hosts.values() for one in host.pool.ordered()}
    attached = {
        (row["host"], str(row["id"]))
        for row in cloud.database.rows(
            "SELECT a.id, v.host FROM volume.attachment a JOIN volume.volume v ON v.id = a.volume_id"
            " JOIN compute.server s ON s.id = a.server_id WHERE a.state = 'attached' AND s.host <> ''"
        )
    }
    return _difference("volume", wanted, there - excused) + _difference("export", attached, exports)


async def disks(cloud: Cloud) -> Broken:
    """A guest has the disks that are attached to its server, and no others."""
    rows = cloud.database.rows(
        "SELECT s.host, a.server_id, a.volume_id FROM volume.attachment a JOIN compute.server s ON s.id = a.server_id"
        " WHERE a.state = 'attached' AND s.host <> '' AND s.state <> 'ERROR'"
    )
    wanted = {(row["host"], f"{row['server_id']}/{row['volume_id']}") for row in rows}
    there = set()
    for host in cloud.hosts.values():
        for guest in await host.hypervisor.guests():
            there |= {(host.name, f"{guest.server_id}/{id_}") for id_ in host.hypervisor.volumes_of(guest.server_id)}
    return _difference("disk", wanted, there)


def _difference(what: str, wanted: set[tuple[str, str]], there: set[tuple[str, str]]) -> Broken:
    missing = [f"{what} {id_} should be on {host}, and is not" for host, id_ in sorted(wanted - there)]
    return missing + [f"{what} {id_} is on {host}, and should not be" for host, id_ in sorted(there - wanted)]


async def event_log(cloud: Cloud) -> Broken:
    """Positions without a gap, no event twice, and beginnings less ends are what there is."""
    events = cloud.database.rows("SELECT position, id, type, subject FROM bus.event ORDER BY position")
    found: Broken = []
    if [row["position"] for row in events] != list(range(1, len(events) + 1)):
        found.append(f"the log's positions have gaps: {[row['position'] for row in events][:50]}")
    doubles = [id_ for id_, count in Counter(row["id"] for row in events).items() if count > 1]
    found += [f"event {id_} is in the log twice" for id_ in doubles]
    told: dict[str, Counter[str]] = {}
    for row in events:
        told.setdefault(row["type"], Counter())[row["subject"]] += 1
    for noun, lived, rows in (
        ("compute.server", "launched_at IS NOT NULL", "compute.server"),
        ("volume.volume", "true", "volume.volume"),
        ("network.port", "true", "network.port"),
        ("network.network", "true", "network.network"),
    ):
        found += _life(cloud, told, noun, f"SELECT id FROM {rows} WHERE {lived}", rows)
    return found


def _life(cloud: Cloud, told: dict[str, Counter[str]], noun: str, sql: str, table: str) -> Broken:
    gone = {"compute.server": " AND deleted", "volume.volume": " AND deleted_at IS NOT NULL"}
    began = told.get(f"skybus.{noun}.created.v1", Counter())
    ended = told.get(f"skybus.{noun}.deleted.v1", Counter())
    found = [f"{noun} {id_} was created {count} times" for id_, count in began.items() if count > 1]
    found += [f"{noun} {id_} was deleted {count} times" for id_, count in ended.items() if count > 1]
    rows = {str(row["id"]) for row in cloud.database.rows(sql)}
    dead = {str(row["id"]) for row in cloud.database.rows(sql + gone[noun])} if noun in gone else set()
    live = rows - dead
    if noun == "volume.volume":
        # A volume begins to exist when it is made, not when it is asked for.
        made = "status IN ('available', 'in-use', 'attaching', 'detaching')"
        live = {str(row["id"]) for row in cloud.database.rows(f"SELECT id FROM {table} WHERE {made}")}
        return found + [f"{noun} {id_} is there, and no event told of it" for id_ in sorted(live - set(began))]
    told_live = set(began) - set(ended)
    found += [f"{noun} {id_} is there, and no event told of it" for id_ in sorted(live - told_live)]
    return found + [f"{noun} {id_} is gone, and no event told of it" for id_ in sorted(told_live - live)]


async def metering(cloud: Cloud) -> Broken:
    """What is metered is what was alive, to the microsecond."""
    rows = cloud.database.rows(
        "SELECT s.id, s.launched_at, s.terminated_at, e.started_at, e.ended_at FROM compute.server s"
        " FULL JOIN (SELECT * FROM metering.existence WHERE resource_type = 'server') e ON e.resource_id = s.id"
        " WHERE (s.launched_at IS NOT NULL OR e.started_at IS NOT NULL)"
        "   AND (s.launched_at IS DISTINCT FROM e.started_at OR s.terminated_at IS DISTINCT FROM e.ended_at)"
    )
    return [f"server {row['id']} lived {row[1]} to {row[2]}, and is metered {row[3]} to {row[4]}" for row in rows]


async def privacy(cloud: Cloud) -> Broken:
    """Nobody sees what another project has, by list, by id or by event."""
    found: Broken = []
    for project in cloud.projects:
        others = [one for one in cloud.projects if one is not project]
        token = f"spy:{project.name}:member,reader"
        for kind, base in (("server", COMPUTE), ("volume", VOLUME), ("port", NETWORK), ("network", NETWORK)):
            foreign = {id_ for other in others for id_ in other.ever[kind]}
            _, answer = await cloud.call("GET", f"{base}/{kind}s", token=token)
            found += [f"{project.name} lists {kind} {one['id']}" for one in answer[f"{kind}s"] if one["id"] in foreign]
            for id_ in sorted(foreign)[-2:]:
                status, _ = await cloud.call("GET", f"{base}/{kind}s/{id_}", token=token)
                if status != 404:
                    found.append(f"{project.name} asks for {kind} {id_} of another and gets {status}")
    return found + _strangers_events(cloud)


def _strangers_events(cloud: Cloud) -> Broken:
    """An event is its project's alone: none of a project's events is about another's thing."""
    found: Broken = []
    for project in cloud.projects:
        mine = {id_ for ids in project.ever.values() for id_ in ids}
        for row in cloud.database.rows(
            "SELECT type, subject, project_id FROM bus.event WHERE subject = ANY($1) AND project_id <> $2"
            " AND project_id = ANY($3)", sorted(mine), project.name, [one.name for one in cloud.projects],
        ):  # fmt: skip
            found.append(f"{row['project_id']} is told {row['type']} of {row['subject']}, which is {project.name}'s")
    return found


AT_REST: Sequence[Callable[[Cloud], Awaitable[Broken]]] = (
    operations, doctor, guests, taps, stored, disks, event_log, metering, privacy,
)  # fmt: skip

EMPTY = {
    "servers": "SELECT count(*) FROM compute.server WHERE NOT deleted",
    "volumes": "SELECT count(*) FROM volume.volume WHERE deleted_at IS NULL",
    "ports": "SELECT count(*) FROM network.port",
    "addresses": "SELECT count(*) FROM network.address",
    "networks": "SELECT count(*) FROM network.network",
    "claims": "SELECT count(*) FROM placement.allocation",
    "attachments": "SELECT count(*) FROM volume.attachment",
    "passwords of attachments": "SELECT count(*) FROM volume.chap",
    "presences": "SELECT count(*) FROM network.presence",
}


async def nothing_left(cloud: Cloud) -> Broken:
    """After everybody has moved out there is nothing, in no table and on no host."""
    found = [f"{count} {name} are left" for name, sql in EMPTY.items() if (count := cloud.database.ask(sql))]
    for host in cloud.hosts.values():
        left: dict[str, Any] = {
            "guests": [one.server_id for one in await host.hypervisor.guests()],
            "networks": sorted(host.plane.made),
            "known networks": sorted(host.picture.networks),
            "volumes": await host.pool.volumes(),
            "exports": [one.attachment_id for one in host.pool.ordered()],
        }
        found += [f"{host.name} still has {name} {ids}" for name, ids in left.items() if ids]
    return found
