"""The orders to boot servers: each everything that its host needs to know, in one message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from skybus.compute.instance_identity import InstanceIdentity
from skybus.compute.instance_metadata import instance_metadata
from skybus.errors import NotFound
from skybus.image.boot import image_source
from skybus.image.images import image_get
from skybus.messages.compute import GuestPort, GuestVolume, InstanceMetadata, SpawnGuest
from skybus.messages.placement import Place
from skybus.network.server_ports import cards_of_servers
from skybus.network.wiring import plug_orders, tap_name
from skybus.store import Tx


def place_order(server: Any) -> Place:
    """What a server's row asks of a host."""
    wanted = {"VCPU": server["vcpus"], "MEMORY_MB": server["memory_mib"], "DISK_GB": server["disk_gib"]}
    return Place(
        consumer_id=server["id"],
        project_id=server["project_id"],
        kind="compute",
        resources=wanted,
        availability_zone=server["zone"],
    )


async def spawn_orders(
    tx: Tx,
    servers: Mapping[str, Any],
    issue_image_token: Callable[[str], str],
    gateway_url: str,
    *,
    identity: InstanceIdentity | None = None,
    volumes: Mapping[str, Sequence[GuestVolume]] = MappingProxyType({}),
) -> dict[str, SpawnGuest]:
    """The orders for servers, given as rows by id, as they are now. `issue_image_token` makes a token that is good for
    one image alone; `volumes` are what the servers have attached.

    Raises NotFound when a server or its image is gone, BadRequest when the image has no data any more.
    """
    for server in servers.values():
        if server["image_id"] is None or server["deleted"]:
            raise NotFound(f"Instance {server['id']} could not be found.", code="server.not-found")
    images = {id_: await image_get(tx, id_) for id_ in sorted({server["image_id"] for server in servers.values()})}
    cards = await cards_of_servers(tx, servers)
    # Other guests ask the metadata service, and that is on their host already.
    told = await _drives(tx, {id_: one for id_, one in servers.items() if one["config_drive"]}, identity)
    return {
        id_: SpawnGuest(
            server_id=id_,
            project_id=server["project_id"],
            name=server["name"],
            vcpus=server["vcpus"],
            memory_mib=server["memory_mib"],
            disk_gib=server["disk_gib"],
            image=image_source(images[server["image_id"]], gateway_url, issue_image_token(server["image_id"])),
            ports=[
                GuestPort(port_id=card["id"], tap=tap_name(card["id"]), mac=card["mac"], mtu=card["mtu"])
                for card in cards[id_]
            ],
            volumes=list(volumes.get(id_, ())),
            config_drive=server["config_drive"],
            metadata=told.get(id_),
        )
        for id_, server in servers.items()
    }


async def _drives(tx: Tx, servers: Mapping[str, Any], identity: InstanceIdentity | None) -> dict[str, InstanceMetadata]:
    """What stands on the config drives of servers."""
    if not servers:
        return {}
    hosts = {id_: server["host"] or "" for id_, server in servers.items()}
    return await instance_metadata(tx, hosts, await plug_orders(tx, hosts), identity=identity)
