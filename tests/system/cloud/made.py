"""What the tests of the running cloud make in it, and how it is removed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from the_cloud import Cloud, wait

CIDR = "10.77.0.0/24"
ADDRESSES = {"near": "10.77.0.11", "far": "10.77.0.12", "elsewhere": "10.77.0.13"}
"""`elsewhere` is on a network of its own, which has the same addresses."""


@dataclass
class Made:
    """What the guests consist of, so that everything can be looked for after it was deleted."""

    image: str = ""
    networks: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


def delete_all(cloud: Cloud, made: Made) -> None:
    """Delete the servers, then what they used. Content to find nothing."""
    sdk = cloud.sdk
    for server_id in made.servers.values():
        sdk.compute.delete_server(server_id, ignore_missing=True)
    for server_id in made.servers.values():
        wait(f"server {server_id} is gone", partial(gone, sdk.compute.find_server, server_id), 60)
    for volume_id in made.volumes:
        sdk.block_storage.delete_volume(volume_id, ignore_missing=True)
    for volume_id in made.volumes:
        wait(f"volume {volume_id} is gone", partial(gone, sdk.block_storage.find_volume, volume_id), 60)
    for network_id in made.networks.values():
        sdk.network.delete_network(network_id, ignore_missing=True)
    if made.image:
        sdk.image.delete_image(made.image, ignore_missing=True)


def gone(find: Callable[[str], Any], thing_id: str) -> bool:
    """Whether the API shows no such thing any more."""
    return find(thing_id) is None
