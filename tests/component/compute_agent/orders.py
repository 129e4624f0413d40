"""Orders as the conductor sends them."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

from skybus.messages.compute import GuestVolume, ImageSource, InstanceMetadata, SpawnGuest
from skybus.messages.volume import IscsiTarget


def new_id() -> str:
    """An id as the conductor draws them."""
    return str(uuid4())


def image_source(data: bytes = b"", **changes: Any) -> ImageSource:
    """An image of `data`, as the gateway would announce it."""
    facts: dict[str, Any] = {
        "image_id": new_id(),
        "url": "http://127.0.0.1:9/none",
        "token": "canary-image-token",
        "disk_format": "raw",
        "size": len(data),
        "sha512": hashlib.sha512(data).hexdigest(),
    }
    return ImageSource(**(facts | changes))


def metadata(server_id: str, **changes: Any) -> InstanceMetadata:
    """What a guest may learn about itself."""
    facts: dict[str, Any] = {
        "server_id": server_id,
        "project_id": new_id(),
        "meta_data": {"uuid": server_id, "hostname": "guest-1"},
        "network_data": {"links": [], "networks": [], "services": []},
    }
    return InstanceMetadata(**(facts | changes))


def spawn_order(**changes: Any) -> SpawnGuest:
    """A small guest."""
    server_id = changes.pop("server_id", None) or new_id()
    facts: dict[str, Any] = {
        "server_id": server_id,
        "project_id": new_id(),
        "name": "guest-1",
        "vcpus": 1,
        "memory_mib": 64,
        "disk_gib": 0,
        "image": image_source(b"x"),
        "metadata": metadata(server_id),
    }
    return SpawnGuest(**(facts | changes))


def volume(**changes: Any) -> GuestVolume:
    """A volume that nobody serves."""
    target = IscsiTarget(
        portal="127.0.0.1:9",
        iqn="iqn.2026-11.test:none",
        lun=1,
        chap_user="user",
        chap_password="canary-chap-password",
    )
    facts: dict[str, Any] = {
        "attachment_id": new_id(),
        "volume_id": new_id(),
        "device": "/dev/vdb",
        "target": target,
    }
    return GuestVolume(**(facts | changes))
