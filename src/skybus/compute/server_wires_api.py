"""Routes of a server's network cards and addresses."""

from __future__ import annotations

from typing import Any

from skybus.compute import wiring
from skybus.compute.servers_api import seen
from skybus.errors import NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version
from skybus.network.server_ports import cards_of_servers

API = "os_compute_api:"
TAG_SINCE: Version = (2, 70)


def _interface(call: Call, port: Any) -> dict[str, Any]:
    view = {
        "port_id": port["id"],
        "net_id": port["network_id"],
        "mac_addr": port["mac"],
        "port_state": port["status"],
        "fixed_ips": [{"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]} for one in port["fixed_ips"]],
    }
    if call.version >= TAG_SINCE:
        view["tag"] = None
    return view


async def list_interfaces(call: Call) -> Reply:
    """A server's ports."""
    row = await seen(call)
    ports = (await cards_of_servers(call.store, [row["id"]]))[row["id"]]
    return Reply({"interfaceAttachments": [_interface(call, port) for port in ports]})


async def show_interface(call: Call) -> Reply:
    """One of a server's ports."""
    row = await seen(call)
    for port in (await cards_of_servers(call.store, [row["id"]]))[row["id"]]:
        if port["id"] == call.args["port_id"]:
            return Reply({"interfaceAttachment": _interface(call, port)})
    raise NotFound(f"Instance {row['id']} does not have a port with id {call.args['port_id'][:64]}")


async def _addresses(call: Call) -> dict[str, list[dict[str, Any]]]:
    row = await seen(call)
    found = (await wiring.addresses_of(call.store, [row["id"]])).get(row["id"], {})
    return {
        name: [{"version": one["version"], "addr": one["addr"]} for one in several] for name, several in found.items()
    }


async def list_addresses(call: Call) -> Reply:
    """A server's addresses on every network."""
    return Reply({"addresses": await _addresses(call)})


async def show_addresses(call: Call) -> Reply:
    """A server's addresses on one network."""
    addresses, network = await _addresses(call), call.args["network"]
    if network not in addresses:
        raise NotFound("Instance is not a member of specified network")
    return Reply({network: addresses[network]})


def _route(path: str, handler: Any, rule: str) -> Route:
    return Route(method="GET", path=f"/servers/{{id}}/{path}", handler=handler, policy=API + rule, body=NO_BODY)


ROUTES: list[Route] = [
    _route("os-interface", list_interfaces, "os-attach-interfaces:list"),
    _route("os-interface/{port_id}", show_interface, "os-attach-interfaces:show"),
    _route("ips", list_addresses, "ips:index"),
    _route("ips/{network}", show_addresses, "ips:show"),
]
