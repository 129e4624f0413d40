"""The order to boot a server: everything its host needs to know, in one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skybus.compute.instance_identity import InstanceIdentity
from skybus.compute.instance_metadata import instance_metadata
from skybus.compute.servers import server_get
from skybus.errors import NotFound
from skybus.image.boot import image_source
from skybus.image.images import image_get
from skybus.messages.compute import GuestPort, GuestVolume, InstanceMetadata, SpawnGuest
from skybus.messages.placement import Place
from skybus.network.server_ports import cards_of_server
from skybus.network.wiring import tap_name
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


async def spawn_order(
    tx: Tx,
    server_id: str,
    issue_image_token: Callable[[str], str],
    gateway_url: str,
    *,
    metadata: InstanceMetadata | None = None,
    identity: InstanceIdentity | None = None,
    volumes: Sequence[GuestVolume] = (),
) -> SpawnGuest:
    """The order for the server as it is now. `issue_image_token` makes a token that is good for one image alone.

    `metadata` is what `instance_metadata` answered, where the caller has it already. Raises NotFound when the server
    or its image is gone, BadRequest when the image has no data any more.
    """
    server = await server_get(tx, server_id)
    if server["image_id"] is None or server["deleted"]:
        raise NotFound(f"Instance {server_id} could not be found.", code="server.not-found")
    image = await image_get(tx, server["image_id"])
    cards = await cards_of_server(tx, server_id)
    if not server["config_drive"]:
        metadata = None  # the guest asks the metadata service, and that is on its host already
    elif metadata is None:
        metadata = await instance_metadata(tx, server_id, identity=identity)
    return SpawnGuest(
        server_id=server_id,
        project_id=server["project_id"],
        name=server["name"],
        vcpus=server["vcpus"],
        memory_mib=server["memory_mib"],
        disk_gib=server["disk_gib"],
        image=image_source(image, gateway_url, issue_image_token(image.id)),
        ports=[
            GuestPort(port_id=card["id"], tap=tap_name(card["id"]), mac=card["mac"], mtu=card["mtu"]) for card in cards
        ],
        volumes=list(volumes),
        config_drive=server["config_drive"],
        metadata=metadata,
    )
