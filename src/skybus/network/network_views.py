"""Networks as the API shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skybus.http.call import Call
from skybus.http.times import seconds_z
from skybus.network.attributes import shown_attributes

GUARDED = {
    "provider:network_type": "get_network:provider:network_type",
    "provider:physical_network": "get_network:provider:physical_network",
    "provider:segmentation_id": "get_network:provider:segmentation_id",
}


def target(row: Any) -> dict[str, Any]:
    """What policy rules may ask of a network."""
    return {"project_id": row["project_id"], "shared": row["shared"], "external": row["external"]}


def viewer(call: Call) -> Callable[[Any], dict[str, Any]]:
    """How this caller sees a network's row."""
    guarded = shown_attributes(call, GUARDED)

    def view(row: Any) -> dict[str, Any]:
        shown = {
            "id": row["id"],
            "name": row["name"],
            "tenant_id": row["project_id"],
            "project_id": row["project_id"],
            "description": row["description"],
            "admin_state_up": row["admin_state_up"],
            "status": "ACTIVE",
            "subnets": list(row["subnets"]),
            "shared": row["shared"],
            "router:external": row["external"],
            "is_default": row["is_default"],
            "mtu": row["mtu"],
            "port_security_enabled": row["port_security_enabled"],
            "availability_zone_hints": [],
            "availability_zones": ["nova"] if row["subnets"] else [],
            "ipv4_address_scope": None,
            "ipv6_address_scope": None,
            "tags": [],
            "revision_number": row["revision"],
            "created_at": seconds_z(row["created_at"]),
            "updated_at": seconds_z(row["updated_at"]),
        }
        if "provider:network_type" in guarded:
            shown["provider:network_type"] = row["kind"]
        if "provider:physical_network" in guarded:
            shown["provider:physical_network"] = row["physical_network"]
        if "provider:segmentation_id" in guarded:
            shown["provider:segmentation_id"] = row["vni"]
        return shown

    return view
