"""What a measurement needs to exist: no quotas, networks, the smallest flavor, an image."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.api import Api

IMAGE_BYTES = 65_536
NETWORKS = 20
"""Servers take them in turn, as those of many tenants would. All on one network, a thousand hosts would each have to be
told of every other."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Ids."""

    networks: tuple[str, ...]
    flavor: str
    image: str

    def server(self, name: str) -> dict[str, Any]:
        """The body that asks for a server."""
        networks = [{"uuid": self.networks[zlib.crc32(name.encode()) % len(self.networks)]}]
        wanted = {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": networks}
        return {"server": wanted}


@asynccontextmanager
async def world(api: Api) -> AsyncIterator[World]:
    """Made, and removed at the end as far as we made it."""
    await api.unlimited()
    networks: list[str] = []
    try:
        for number in range(NETWORKS):
            made = await api.call("POST", "network", "/networks", {"network": {"name": f"bench-{number}"}})
            networks.append(made["network"]["id"])
            subnet = {"network_id": networks[-1], "cidr": f"10.{128 + number}.0.0/16", "ip_version": 4}
            await api.call("POST", "network", "/subnets", {"subnet": subnet})
        flavors = (await api.call("GET", "compute", "/flavors/detail"))["flavors"]
        smallest = min(flavors, key=lambda flavor: (flavor["ram"], flavor["vcpus"]))
        yield World(networks=tuple(networks), flavor=smallest["id"], image=await _image(api))
    finally:
        for network in networks:
            await api.call("DELETE", "network", f"/networks/{network}")


async def _image(api: Api) -> str:
    """An image that is there, or else one that we make and leave: the cloud is removed with it."""
    images = (await api.call("GET", "image", "/images?status=active"))["images"]
    if images:
        return str(images[0]["id"])
    body = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
    made = await api.call("POST", "image", "/images", body)
    url = f"{api.urls['image']}/images/{made['id']}/file"
    headers = {**api.headers, "Content-Type": "application/octet-stream"}
    async with api.http.put(url, data=b"\0" * IMAGE_BYTES, headers=headers) as response:
        response.raise_for_status()
    return str(made["id"])
