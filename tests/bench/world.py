"""What a measurement needs to exist: no quotas, a network, the smallest flavor, an image."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.api import Api

IMAGE_BYTES = 65_536
NETWORK = {"network": {"name": "bench"}}


@dataclass(frozen=True, kw_only=True)
class World:
    """Ids."""

    network: str
    flavor: str
    image: str

    def server(self, name: str) -> dict[str, Any]:
        """The body that asks for a server."""
        networks = [{"uuid": self.network}]
        wanted = {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": networks}
        return {"server": wanted}


@asynccontextmanager
async def world(api: Api) -> AsyncIterator[World]:
    """Made, and removed at the end as far as we made it."""
    await api.unlimited()
    network = (await api.call("POST", "network", "/networks", NETWORK))["network"]["id"]
    try:
        subnet = {"network_id": network, "cidr": "10.128.0.0/16", "ip_version": 4}
        await api.call("POST", "network", "/subnets", {"subnet": subnet})
        flavors = (await api.call("GET", "compute", "/flavors/detail"))["flavors"]
        smallest = min(flavors, key=lambda flavor: (flavor["ram"], flavor["vcpus"]))
        yield World(network=network, flavor=smallest["id"], image=await _image(api))
    finally:
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
