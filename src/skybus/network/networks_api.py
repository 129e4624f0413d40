"""Routes of networks."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.ids import is_uuid
from skybus.network import errors, networks
from skybus.network.attributes import owner, require, require_attributes, sees_everything
from skybus.network.lists import Collection, Filter, chosen, listed, truth
from skybus.network.network_views import target, viewer
from skybus.network.quotas import quota_claim

DEFAULTS: dict[str, Any] = {
    "shared": False,
    "router:external": False,
    "is_default": False,
    "port_security_enabled": True,
}


def _status(where: Where, values: list[str]) -> None:
    where.conditions.append("true" if "ACTIVE" in values else "false")


def _default(where: Where, values: list[str]) -> None:
    where.add("n.is_default = ANY({}::boolean[])", [truth("is_default", value) for value in values])


LIST = Collection(
    name="networks",
    path="/networks",
    select=networks.SELECT,
    unique="n.id",
    marker_select="FROM network.network n",
    not_found=errors.network_not_found,
    filters={
        "id": Filter("n.id", "uuid"),
        "name": Filter("n.name"),
        "description": Filter("n.description"),
        "project_id": Filter("n.project_id"),
        "tenant_id": Filter("n.project_id"),
        "admin_state_up": Filter("n.admin_state_up", "bool"),
        "shared": Filter("n.shared", "bool"),
        "router:external": Filter("n.external", "bool"),
        "mtu": Filter("n.mtu", "int"),
        "port_security_enabled": Filter("n.port_security_enabled", "bool"),
        "provider:network_type": Filter("n.kind"),
        "provider:physical_network": Filter("n.physical_network"),
        "provider:segmentation_id": Filter("n.vni", "int"),
        "revision_number": Filter("n.revision", "int"),
    },
    special={"status": _status, "is_default": _default},
    sorts={
        "id": "n.id",
        "name": "n.name",
        "project_id": "n.project_id",
        "tenant_id": "n.project_id",
        "admin_state_up": "n.admin_state_up",
        "shared": "n.shared",
        "mtu": "n.mtu",
        "created_at": "n.created_at",
        "updated_at": "n.updated_at",
    },
)


async def visible(call: Call, store: Any, network_id: str) -> Any:
    """The network's row. Raises NotFound when there is none or the caller may not see it."""
    if not is_uuid(network_id):
        raise errors.network_not_found(network_id[:64])
    row = await networks.network_get(store, network_id)
    if not call.permits("get_network", **target(row)):
        raise errors.network_not_found(network_id)
    return row


async def list_networks(call: Call) -> Reply:
    """The caller's networks, shared ones and external ones."""
    where = Where()
    if not sees_everything(call, "get_network"):
        where.add("n.project_id = {} OR n.shared OR n.external", call.caller.project_id)
    for name in ("provider:network_type", "provider:physical_network", "provider:segmentation_id"):
        if name in call.query:
            require(call, f"get_network:{name}", {"project_id": ""})
    return await listed(call, LIST, where, viewer(call))


async def show_network(call: Call) -> Reply:
    """One network."""
    row = await visible(call, call.store, call.args["network_id"])
    return Reply({"network": chosen(call, viewer(call)(row))})


async def create_network(call: Call) -> Reply:
    """One network, or, with `networks`, all of them or none."""
    many = "networks" in call.body
    asked = call.body["networks"] if many else [call.body["network"]]
    async with call.transaction() as tx:
        rows = [await _create(call, tx, one) for one in asked]
    views = [viewer(call)(row) for row in rows]
    return Reply({"networks": views} if many else {"network": views[0]}, 201)


async def _create(call: Call, tx: Any, asked: dict[str, Any]) -> Any:
    project_id = owner(call, "create_network", asked)
    aim = {"project_id": project_id}
    require(call, "create_network", aim)
    require_attributes(call, "create_network", asked, aim, DEFAULTS)
    await quota_claim(tx, project_id, "network")
    return await networks.network_insert(
        tx,
        project_id=project_id,
        name=asked.get("name") or "",
        description=asked.get("description") or "",
        admin_state_up=asked.get("admin_state_up", True),
        shared=asked.get("shared", False),
        external=asked.get("router:external", False),
        is_default=asked.get("is_default", False),
        kind=asked.get("provider:network_type") or "vxlan",
        vni=asked.get("provider:segmentation_id"),
        physical_network=asked.get("provider:physical_network"),
        mtu=asked.get("mtu"),
        port_security_enabled=asked.get("port_security_enabled", True),
    )


async def update_network(call: Call) -> Reply:
    """Change a network."""
    asked = call.body["network"]
    async with call.transaction() as tx:
        row = await visible(call, tx, call.args["network_id"])
        require(call, "update_network", target(row))
        now = {key: row[column] for key, column in networks.CHANGEABLE.items()}
        require_attributes(call, "update_network", asked, target(row), now)
        row = await networks.network_update(tx, row["id"], asked)
    return Reply({"network": viewer(call)(row)})


async def delete_network(call: Call) -> Reply:
    """Delete a network that no port but the cloud's own is on."""
    async with call.transaction() as tx:
        row = await visible(call, tx, call.args["network_id"])
        require(call, "delete_network", target(row))
        await networks.network_delete(tx, row["id"])
    return Reply(None, 204)


_ONE = "/networks/{network_id}"
ROUTES = [
    Route(method="GET", path="/networks", handler=list_networks, policy="get_network", body=NO_BODY),
    Route(method="POST", path="/networks", handler=create_network, policy="create_network",
          body="network/network-create"),
    Route(method="GET", path=_ONE, handler=show_network, policy="get_network", body=NO_BODY),
    Route(method="PUT", path=_ONE, handler=update_network, policy="update_network", body="network/network-update"),
    Route(method="DELETE", path=_ONE, handler=delete_network, policy="delete_network", body=NO_BODY),
]  # fmt: skip
