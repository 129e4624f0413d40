"""Availability zones of storage: where the storage hosts are."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.placement.inventory import providers

DEFAULT_ZONE = "nova"


async def zone_names(store: Any) -> dict[str, bool]:
    """Every zone and whether a host in it takes volumes now. The default one is always there."""
    zones = {DEFAULT_ZONE: False}
    for row in await providers(store):
        if row["kind"] == "volume":
            zone = row["availability_zone"]
            zones[zone] = zones.get(zone, False) or (row["up"] and row["enabled"])
    return zones


async def zone_check(store: Any, name: str | None) -> str:
    """The zone that a new volume goes to. Raises BadRequest for one that is not there."""
    if name is None or name == DEFAULT_ZONE:
        return DEFAULT_ZONE
    if name not in await zone_names(store):
        raise BadRequest(f"Invalid input received: Availability zone '{name[:64]}' is invalid.")
    return name
