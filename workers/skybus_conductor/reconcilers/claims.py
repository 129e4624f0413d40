"""Claims and metering: what is counted for a server or a volume is what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from skybus.compute.server_life import servers_hostless
from skybus.compute.servers import server_get, server_lock
from skybus.compute.spawn import place_order
from skybus.errors import Conflict
from skybus.messages.compute import ServerCreated, ServerDeleted
from skybus.messages.volume import VolumeCreated, VolumeDeleted
from skybus.metering import existence
from skybus.placement.claims import Claim, claim_consumers, claim_release, claims_take
from skybus.store import Tx
from skybus.volume.volumes import volume_get, volumes_hostless
from skybus_conductor.reconcilers import busy

log = structlog.get_logger()

HOSTLESS: Mapping[str, tuple[str, Callable[[Tx, Sequence[str]], Awaitable[list[str]]]]] = {
    "compute": ("server", servers_hostless),
    "volume": ("volume", volumes_hostless),
}
"""Kind of claim -> what claims, and who knows which of them are on no host."""
MENDED = "repair"
"""What metering notes instead of the event that it did not hear of."""


async def release_orphans(tx: Tx, kind: str) -> None:
    """Release the claims of a kind whose servers or volumes are on no host and on which nothing works."""
    what, hostless = HOSTLESS[kind]
    ids = {row["consumer_id"] for row in await claim_consumers(tx, kind)}
    # In this order: what an operation that ends meanwhile has claimed, and noted the host of, is seen to have a host.
    idle = sorted(ids - await busy(tx, what, ids))
    for consumer_id in sorted(await hostless(tx, idle)):
        log.warning("claim_of_nobody", kind=kind, consumer=consumer_id)
        await claim_release(tx, consumer_id)


async def claim_again(tx: Tx, server_id: str) -> None:
    """Claim for a server, on the host that it is on, what its row asks for, and nothing else anywhere. Raises Conflict,
    and leaves the claims alone, when that does not fit or an operation works on the server."""
    server = await server_lock(tx, server_id)
    if server["deleted"] or server["host"] is None or await busy(tx, "server", [server_id]):
        raise Conflict(f"Server {server_id} is not at rest on a host.")
    resources = {name: amount for name, amount in place_order(server).resources.items() if amount > 0}
    claim = Claim(consumer_id=server_id, project_id=server["project_id"], host=server["host"], resources=resources)
    await claim_release(tx, server_id)
    if server_id not in await claims_take(tx, "compute", [claim]):
        raise Conflict(f"Host {server['host']} is down, disabled, or has no room for what server {server_id} needs.")


async def meter_server(tx: Tx, server_id: str) -> None:
    """Tell metering what the server's row knows of its beginning and its end; what it knows already changes nothing."""
    server = await server_get(tx, server_id)
    if server["launched_at"] is not None:
        began = ServerCreated(
            server_id=server_id,
            name=server["name"],
            host=server["host"] or "",
            flavor_name=server["flavor_name"],
            vcpus=server["vcpus"],
            memory_mib=server["memory_mib"],
            disk_gib=server["disk_gib"],
            launched_at=server["launched_at"],
        )
        await existence.handle(tx, MENDED, began, project_id=server["project_id"])
    if server["deleted"] and server["terminated_at"] is not None:
        ended = ServerDeleted(server_id=server_id, terminated_at=server["terminated_at"])
        await existence.handle(tx, MENDED, ended, project_id=server["project_id"])


async def meter_volume(tx: Tx, volume_id: str) -> None:
    """Tell metering what the volume's row knows of its beginning and its end."""
    volume = await volume_get(tx, volume_id)
    if volume["deleted_at"] is not None:
        ended = VolumeDeleted(volume_id=volume_id, deleted_at=volume["deleted_at"])
        await existence.handle(tx, MENDED, ended, project_id=volume["project_id"])
    elif volume["host"] is not None:
        began = VolumeCreated(
            volume_id=volume_id,
            name=volume["name"] or "",
            host=volume["host"],
            size_gib=volume["size_gib"],
            volume_type=volume["type_name"],
            created_at=volume["created_at"],
        )
        await existence.handle(tx, MENDED, began, project_id=volume["project_id"])
