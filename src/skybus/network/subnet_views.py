"""Subnets as the API shows them."""

from __future__ import annotations

from typing import Any

from skybus.http.times import seconds_z


def target(row: Any) -> dict[str, Any]:
    """What policy rules may ask of a subnet."""
    return {
        "project_id": row["project_id"],
        "network.project_id": row["network_project_id"],
        "shared": row["shared"],
        "external": row["external"],
    }


def view(row: Any) -> dict[str, Any]:
    """A subnet's row."""
    return {
        "id": row["id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "project_id": row["project_id"],
        "network_id": row["network_id"],
        "ip_version": row["ip_version"],
        "subnetpool_id": None,
        "enable_dhcp": row["enable_dhcp"],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "gateway_ip": row["gateway_ip"],
        "cidr": row["cidr"],
        "allocation_pools": [{"start": first, "end": last} for first, last in row["pools"]],
        "host_routes": [{"destination": to, "nexthop": via} for to, via in row["host_routes"]],
        "dns_nameservers": list(row["dns_nameservers"]),
        "description": row["description"],
        "router:external": row["external"],
        "service_types": [],
        "tags": [],
        "revision_number": row["revision"],
        "created_at": seconds_z(row["created_at"]),
        "updated_at": seconds_z(row["updated_at"]),
    }
