"""Routes of ports.

A port that a server has is the server's: its addresses, MAC, device and guard change, and it is deleted, only through
the server. Neutron lets a user delete it and leaves the guest with a dead card; here that is 409.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.errors import Conflict
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.ids import is_uuid
from skybus.network import errors, ports
from skybus.network.attributes import owner, require, require_attributes, sees_everything
from skybus.network.binding import port_bind, port_unbind
from skybus.network.groups import group_default, groups_check
from skybus.network.lists import Collection, Filter, chosen, is_mac, listed, typed
from skybus.network.port_views import target, viewer
from skybus.network.ports import DHCP, FixedIp
from skybus.network.quotas import quota_claim
from skybus.network.shapes import NetworkShape, shape_get

DEFAULTS: dict[str, Any] = {
    "device_id": "",
    "device_owner": "",
    "mac_address": None,
    "fixed_ips": None,
    "port_security_enabled": True,
    "binding:host_id": "",
    "binding:profile": {},
    "binding:vnic_type": "normal",
}
OF_THE_SERVER = ("device_id", "device_owner", "mac_address", "fixed_ips", "port_security_enabled", "admin_state_up",
                 "binding:host_id")  # fmt: skip
"""What nobody changes while a server has the port."""
SAME_NAME = ("name", "description", "admin_state_up", "device_id", "device_owner", "port_security_enabled")
"""Attributes that are called as their columns are."""

MINE = "p.project_id = {} OR p.network_id = ANY(ARRAY(SELECT id FROM network.network WHERE project_id = {}))"
"""Said with an array, so that both halves find an index."""


def _fixed_ips(where: Where, values: list[str]) -> None:
    """`fixed_ips=ip_address=...`, `subnet_id=...`, `ip_address_substr=...`; values of one kind are alternatives."""
    asked: dict[str, list[str]] = {}
    for value in values:
        key, _, text = value.partition("=")
        asked.setdefault(key, []).append(text)
    for key, texts in asked.items():
        if key == "ip_address":
            condition, kind = "a.ip = ANY({}::inet[])", typed(key, "inet", texts)
        elif key == "subnet_id":
            condition, kind = "a.subnet_id = ANY({}::uuid[])", typed(key, "uuid", texts)
        elif key == "ip_address_substr":
            condition, kind = "EXISTS (SELECT 1 FROM unnest({}::text[]) t WHERE strpos(host(a.ip), t) > 0)", texts
        else:
            raise errors.invalid(f"'{key[:64]}' is not in ('ip_address', 'subnet_id', 'ip_address_substr')")
        where.add(f"EXISTS (SELECT 1 FROM network.address a WHERE a.port_id = p.id AND {condition})", kind)


def _mac(where: Where, values: list[str]) -> None:
    where.add("p.mac = ANY(({}::text[])::macaddr[])", [value for value in values if is_mac(value)])


def _groups(where: Where, values: list[str]) -> None:
    where.add("p.security_groups && {}::uuid[]", [value for value in values if is_uuid(value)])


def _vnic_type(where: Where, values: list[str]) -> None:
    where.conditions.append("true" if "normal" in values else "false")


LIST = Collection(
    name="ports",
    path="/ports",
    select=ports.SELECT,
    unique="p.id",
    marker_select=ports.FROM,
    not_found=errors.port_not_found,
    filters={
        "id": Filter("p.id", "uuid"),
        "name": Filter("p.name"),
        "description": Filter("p.description"),
        "project_id": Filter("p.project_id"),
        "tenant_id": Filter("p.project_id"),
        "network_id": Filter("p.network_id", "uuid"),
        "device_id": Filter("p.device_id"),
        "device_owner": Filter("p.device_owner"),
        "status": Filter("p.status"),
        "admin_state_up": Filter("p.admin_state_up", "bool"),
        "port_security_enabled": Filter("p.port_security_enabled", "bool"),
        "binding:host_id": Filter("p.host"),
        "revision_number": Filter("p.revision", "int"),
    },
    special={
        "fixed_ips": _fixed_ips,
        "mac_address": _mac,
        "security_groups": _groups,
        "binding:vnic_type": _vnic_type,
    },
    sorts={
        "id": "p.id",
        "name": "p.name",
        "project_id": "p.project_id",
        "tenant_id": "p.project_id",
        "network_id": "p.network_id",
        "mac_address": "p.mac",
        "device_id": "p.device_id",
        "device_owner": "p.device_owner",
        "status": "p.status",
        "admin_state_up": "p.admin_state_up",
        "created_at": "p.created_at",
        "updated_at": "p.updated_at",
    },
)


async def list_ports(call: Call) -> Reply:
    """The caller's ports and those on its networks."""
    where = Where()
    if not sees_everything(call, "get_port"):
        where.add(MINE, call.caller.project_id, call.caller.project_id)
    if "binding:host_id" in call.query:
        require(call, "get_port:binding:host_id", {"project_id": ""})
    return await listed(call, LIST, where, viewer(call))


async def _visible(call: Call, store: Any, port_id: str, *, lock: bool = False) -> Any:
    if not is_uuid(port_id):
        raise errors.port_not_found(port_id[:64])
    row = await (ports.port_locked if lock else ports.port_get)(store, port_id)
    if not call.permits("get_port", **target(row)):
        raise errors.port_not_found(port_id)
    return row


async def show_port(call: Call) -> Reply:
    """One port."""
    row = await _visible(call, call.store, call.args["port_id"])
    return Reply({"port": chosen(call, viewer(call)(row))})


async def create_port(call: Call) -> Reply:
    """One port, or, with `ports`, all of them or none."""
    many = "ports" in call.body
    asked = call.body["ports"] if many else [call.body["port"]]
    async with call.transaction() as tx:
        rows = [await _create(call, tx, one) for one in asked]
    views = [viewer(call)(row) for row in rows]
    return Reply({"ports": views} if many else {"port": views[0]}, 201)


async def _create(call: Call, tx: Any, asked: dict[str, Any]) -> Any:
    network = await _network(call, tx, asked["network_id"])
    project_id = owner(call, "create_port", asked)
    aim = network.target(project_id)
    aim["network_device"] = asked.get("device_owner", "").startswith("network:")
    require(call, "create_port", aim)
    require_attributes(call, "create_port", asked, aim, DEFAULTS)
    fixed_ips = _wishes(call, "create_port", asked, aim)
    _check_device_owner(asked.get("device_owner", ""))
    await quota_claim(tx, project_id, "port")
    guarded = asked.get("port_security_enabled", network.port_security_enabled)
    row = await ports.port_insert(
        tx,
        network,
        project_id=project_id,
        name=asked.get("name") or "",
        description=asked.get("description") or "",
        admin_state_up=asked.get("admin_state_up", True),
        mac=_mac_of(asked),
        device_id=asked.get("device_id", ""),
        device_owner=asked.get("device_owner", ""),
        port_security_enabled=guarded,
        security_groups=await _groups_of(tx, project_id, asked, guarded, aim["network_device"]),
        fixed_ips=fixed_ips,
    )
    if asked.get("binding:host_id"):
        row = await port_bind(tx, row["id"], asked["binding:host_id"])
    return row


async def _network(call: Call, store: Any, network_id: str) -> NetworkShape:
    """The network, if the caller may see it. Raises NotFound."""
    if not is_uuid(network_id):
        raise errors.network_not_found(network_id[:64])
    network = await shape_get(store, network_id)
    if not call.permits("get_network", **network.target(network.project_id)):
        raise errors.network_not_found(network_id)
    return network


def _wishes(call: Call, verb: str, asked: dict[str, Any], aim: dict[str, Any]) -> list[FixedIp] | None:
    """The addresses that the body asks for, once the policy has been asked about each part of them."""
    if asked.get("fixed_ips") is None:
        return None
    wishes = msgspec.convert(asked["fixed_ips"], list[FixedIp])
    for part in ("ip_address", "subnet_id"):
        if any(getattr(wish, part) is not None for wish in wishes):
            require(call, f"{verb}:fixed_ips:{part}", aim)
    return wishes


def _check_device_owner(device_owner: str) -> None:
    if device_owner == DHCP:
        raise errors.invalid("a network's DHCP port follows its subnets; it cannot be made by hand")


def _mac_of(asked: dict[str, Any]) -> str | None:
    text: str | None = asked.get("mac_address")
    if text is None:
        return None
    # The lowest bit of the first byte marks multicast, which no card may have as its own address.
    if not is_mac(text) or int(text[:2], 16) & 1:
        raise errors.invalid(f"'{text[:64]}' is not a valid MAC address")
    return text.lower().replace("-", ":")


async def _groups_of(tx: Any, project_id: str, asked: dict[str, Any], guarded: bool, network_device: bool) -> list[str]:
    if asked.get("security_groups") is not None:
        if asked["security_groups"] and not guarded:
            raise Conflict(
                "Port Security must be enabled in order to have allowed address pairs or security groups on a port.",
                type="PortSecurityAndIPRequiredForSecurityGroups",
            )
        return await groups_check(tx, project_id, asked["security_groups"])
    return [await group_default(tx, project_id)] if guarded and not network_device else []


async def update_port(call: Call) -> Reply:
    """Change a port."""
    asked = call.body["port"]
    async with call.transaction() as tx:
        row = await _visible(call, tx, call.args["port_id"], lock=True)
        aim = target(row)
        require(call, "update_port", aim)
        aim["network_device"] = aim["network_device"] or asked.get("device_owner", "").startswith("network:")
        view = viewer(call)
        require_attributes(call, "update_port", asked, aim, view(row))
        _check_free(row, {name for name, value in asked.items() if _differs(row, view, name, value)})
        await _apply(call, tx, row, asked, aim)
        row = await ports.port_get(tx, row["id"])
    return Reply({"port": view(row)})


def _differs(row: Any, view: Any, name: str, value: Any) -> bool:
    return bool(row["host"] != value if name == "binding:host_id" else view(row).get(name) != value)


def _check_free(row: Any, changing: set[str]) -> None:
    """Raises Conflict when a change would pull the port from under whoever has it."""
    if row["device_owner"] == DHCP and changing - {"name", "description"}:
        raise Conflict(f"Port {row['id']} is the network's DHCP port and follows its subnets.", type="PortInUse")
    if row["server_id"] is not None and changing & set(OF_THE_SERVER):
        raise errors.port_in_use(row["id"], row["network_id"], row["device_id"])


async def _apply(call: Call, tx: Any, row: Any, asked: dict[str, Any], aim: dict[str, Any]) -> None:
    new: dict[str, Any] = {name: asked[name] for name in SAME_NAME if name in asked}
    guarded = new.get("port_security_enabled", row["port_security_enabled"])
    if "device_owner" in new and row["device_owner"] != DHCP:
        _check_device_owner(new["device_owner"])
    if asked.get("mac_address") is not None:
        new["mac"] = _mac_of(asked)
    if asked.get("security_groups") is not None:
        new["security_groups"] = await _groups_of(tx, row["project_id"], asked, guarded, False)
    elif not guarded and row["security_groups"]:
        raise Conflict(
            "Port has security group associated. Cannot disable port security or IP address until security group "
            "is removed.",
            type="PortSecurityPortHasSecurityGroup",
        )
    changed = await ports.port_update(tx, row, new)
    if "fixed_ips" in asked and row["device_owner"] != DHCP and row["server_id"] is None:
        wishes = _wishes(call, "update_port", asked, aim)
        await ports.addresses_change(tx, await shape_get(tx, row["network_id"]), row, wishes or [])
        changed.append("fixed_ips")
    ports.port_announce(tx, row, changed)
    if "binding:host_id" in asked and asked["binding:host_id"] != row["host"]:
        host = asked["binding:host_id"]
        await (port_bind(tx, row["id"], host) if host else port_unbind(tx, row["id"]))


async def delete_port(call: Call) -> Reply:
    """Delete a port that no server has."""
    async with call.transaction() as tx:
        row = await _visible(call, tx, call.args["port_id"], lock=True)
        require(call, "delete_port", target(row))
        if row["device_owner"] == DHCP:
            raise errors.service_port_in_use(row["id"], "it is the network's DHCP port")
        if row["server_id"] is not None:
            raise errors.port_in_use(row["id"], row["network_id"], row["device_id"])
        await port_unbind(tx, row["id"])
        await ports.port_delete(tx, row)
    return Reply(None, 204)


_ONE = "/ports/{port_id}"
ROUTES = [
    Route(method="GET", path="/ports", handler=list_ports, policy="get_port", body=NO_BODY),
    Route(method="POST", path="/ports", handler=create_port, policy="create_port:somewhere",
          body="network/port-create"),
    Route(method="GET", path=_ONE, handler=show_port, policy="get_port", body=NO_BODY),
    Route(method="PUT", path=_ONE, handler=update_port, policy="update_port", body="network/port-update"),
    Route(method="DELETE", path=_ONE, handler=delete_port, policy="delete_port", body=NO_BODY),
]  # fmt: skip
