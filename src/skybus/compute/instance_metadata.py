"""What a guest may learn about itself: the documents of the metadata service and of the config drive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from skybus import clock
from skybus.compute.hosts import DEFAULT_ZONE
from skybus.compute.instance_identity import InstanceIdentity
from skybus.compute.servers import servers_get
from skybus.messages.compute import InstanceMetadata
from skybus.messages.network import PlugPort
from skybus.store import Tx

ZONES = "SELECT name, zone FROM compute.host WHERE name = ANY($1::text[])"


async def instance_metadata(
    tx: Tx,
    hosts: Mapping[str, str],
    plugs: Mapping[str, Sequence[PlugPort]],
    *,
    identity: InstanceIdentity | None = None,
) -> dict[str, InstanceMetadata]:
    """All of it for each server, as it and its ports are now; signed when there is an `identity` to sign with.

    `hosts` are the hosts, by server id, where the servers are or will be; `plugs` the orders for their ports, first
    card first. A server that is gone is not in the answer.
    """
    servers = await servers_get(tx, hosts)
    zones = {row["name"]: row["zone"] for row in await tx.fetch(ZONES, sorted(set(hosts.values())))}
    return {
        id_: _metadata(server, zones.get(hosts[id_]) or server["zone"] or DEFAULT_ZONE, plugs[id_], identity)
        for id_, server in servers.items()
        if not server["deleted"]
    }


def _metadata(server: Any, zone: str, plugs: Sequence[PlugPort], identity: InstanceIdentity | None) -> InstanceMetadata:
    document, signature = identity.sign(_identity(server, zone, plugs)) if identity is not None else ("", "")
    return InstanceMetadata(
        server_id=server["id"],
        project_id=server["project_id"],
        meta_data=meta_data(server, zone),
        network_data=network_data(plugs),
        user_data=server["user_data"],
        identity_document=document,
        identity_signature=signature,
    )


def meta_data(server: Any, zone: str) -> dict[str, Any]:
    """`meta_data.json`: who the server is and which key it lets in."""
    document: dict[str, Any] = {
        "uuid": server["id"],
        "name": server["name"],
        "hostname": server["hostname"],
        "project_id": server["project_id"],
        "availability_zone": zone,
        "launch_index": server["launch_index"],
        "meta": server["metadata"],
        "devices": [],
    }
    if server["public_key"] is not None:
        name, key = server["key_name"], server["public_key"]
        document["public_keys"] = {name: key}
        document["keys"] = [{"name": name, "type": server["key_type"], "data": key}]
    return document


def network_data(plugs: Sequence[PlugPort]) -> dict[str, Any]:
    """`network_data.json`: the cards, their networks, the name servers."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for plug in plugs:
        link_id = plug.binding.tap
        links.append(
            {
                "id": link_id,
                "vif_id": plug.port_id,
                "type": "bridge",
                "mtu": plug.segment.mtu,
                "ethernet_mac_address": plug.binding.mac,
            }
        )
        subnets = {subnet.subnet_id: subnet for subnet in plug.segment.subnets}
        for subnet_id, address in plug.binding.fixed_ips:
            subnet = subnets[subnet_id]
            networks.append(_network(f"network{len(networks)}", link_id, plug.segment.network_id, subnet, address))
            services += [{"type": "dns", "address": server} for server in subnet.dns_nameservers]
    unique = [one for index, one in enumerate(services) if one not in services[:index]]
    return {"links": links, "networks": networks, "services": unique}


def _network(id_: str, link_id: str, network_id: str, subnet: Any, address: str) -> dict[str, Any]:
    cidr = ip_network(subnet.cidr)
    family = f"ipv{cidr.version}"
    network: dict[str, Any] = {"id": id_, "link": link_id, "network_id": network_id}
    if subnet.enable_dhcp:
        # The guest asks: what the address is, is the DHCP server's to say.
        return {**network, "type": f"{family}_dhcp"}
    routes = [_route("::/0" if cidr.version == 6 else "0.0.0.0/0", subnet.gateway_ip)]
    routes += [_route(destination, hop) for destination, hop in subnet.host_routes]
    return {
        **network,
        "type": family,
        "ip_address": address,
        "netmask": str(cidr.netmask),
        "routes": [route for route in routes if route["gateway"] is not None],
        "services": [{"type": "dns", "address": server} for server in subnet.dns_nameservers],
    }


def _route(destination: str, gateway: str | None) -> dict[str, Any]:
    network = ip_network(destination, strict=False)
    return {"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway}


def _identity(server: Any, zone: str, plugs: Sequence[PlugPort]) -> dict[str, Any]:
    """What the cloud vouches for. `issued_at` is when it was true."""
    return {
        "instance_id": server["id"],
        "project_id": server["project_id"],
        "user_id": server["user_id"],
        "name": server["name"],
        "hostname": server["hostname"],
        "image_id": server["image_id"],
        "flavor": server["flavor_name"],
        "availability_zone": zone,
        "addresses": [address for plug in plugs for _, address in plug.binding.fixed_ips],
        "created_at": server["created_at"].isoformat(),
        "issued_at": clock.now().isoformat(),
    }
