"""Ports as the API shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skybus.http.call import Call
from skybus.http.times import seconds_z
from skybus.network.attributes import shown_attributes

GUARDED = {
    name: f"get_port:{name}"
    for name in ("binding:host_id", "binding:vif_type", "binding:vif_details", "binding:profile")
}


def target(row: Any) -> dict[str, Any]:
    """What policy rules may ask of a port."""
    return {
        "project_id": row["project_id"],
        "network.project_id": row["network_project_id"],
        "shared": row["shared"],
        "network_device": row["device_owner"].startswith("network:"),
    }


def viewer(call: Call) -> Callable[[Any], dict[str, Any]]:
    """How this caller sees a port's row."""
    guarded = shown_attributes(call, GUARDED)

    def view(row: Any) -> dict[str, Any]:
        shown = {
            "id": row["id"],
            "name": row["name"],
            "network_id": row["network_id"],
            "tenant_id": row["project_id"],
            "project_id": row["project_id"],
            "mac_address": row["mac"],
            "admin_state_up": row["admin_state_up"],
            "status": row["status"],
            "device_id": row["device_id"],
            "device_owner": row["device_owner"],
            "fixed_ips": row["fixed_ips"],
            "security_groups": list(row["security_groups"]),
            "port_security_enabled": row["port_security_enabled"],
            "allowed_address_pairs": [],
            "extra_dhcp_opts": [],
            "binding:vnic_type": "normal",
            "description": row["description"],
            "tags": [],
            "revision_number": row["revision"],
            "created_at": seconds_z(row["created_at"]),
            "updated_at": seconds_z(row["updated_at"]),
        }
        if guarded:
            shown.update((name, value) for name, value in _binding(row["host"]).items() if name in guarded)
        return shown

    return view


def _binding(host: str) -> dict[str, Any]:
    return {
        "binding:host_id": host,
        "binding:vif_type": "bridge" if host else "unbound",
        "binding:vif_details": {"connectivity": "l2"} if host else {},
        "binding:profile": {},
    }
