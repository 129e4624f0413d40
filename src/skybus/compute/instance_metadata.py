"""What a guest may learn about itself: the documents of the metadata service and of the config drive."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from skybus import clock
from skybus.compute.hosts import DEFAULT_ZONE
from skybus.compute.instance_identity import InstanceIdentity
from skybus.compute.servers import server_get
from skybus.errors import NotFound
from skybus.messages.compute import InstanceMetadata
from skybus.messages.network import PlugPort
from skybus.network.server_ports import cards_of_server
from skybus.network.wiring import plug_order
from skybus.store import Tx

ZONE = "SELECT zone FROM compute.host WHERE name = $1"


async def instance_metadata(
    tx: Tx,
    server_id: str,
    *,
    identity: InstanceIdentity | None = None,
    host: str | None = None,
    plugs: Sequence[PlugPort] | None = None,
) -> InstanceMetadata:
    """All of it, as the server and its ports are now; signed when there is an `identity` to sign with.

    `host` is where the server is or will be, its own host when it is not given; `plugs` are the orders for its ports,
    first card first, where the caller has them already. Raises NotFound.
    """
    server = await server_get(tx, server_id)
    if server["deleted"]:
        raise NotFound(f"Instance {server_id} could not be found.", code="server.not-found")
    host = host or server["host"]
    zone = (await tx.fetchval(ZONE, host) if host else None) or server["zone"] or DEFAULT_ZONE
    if plugs is None:
        plugs = [await plug_order(tx, card["id"], host or "", None) for card in await cards_of_server(tx, server_id)]
    document, signature = identity.sign(_identity(server, zone, plugs)) if identity is not None else ("", "")
    return InstanceMetadata(
        server_id=server_id,
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
