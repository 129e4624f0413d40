"""Routes of subnets."""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.ids import is_uuid
from skybus.network import errors, subnets
from skybus.network.attributes import owner, require, sees_everything
from skybus.network.lists import Collection, Filter, chosen, listed
from skybus.network.networks_api import visible as visible_network
from skybus.network.quotas import quota_claim
from skybus.network.subnet_views import target, view

LIST = Collection(
    name="subnets",
    path="/subnets",
    select=subnets.SELECT,
    unique="s.id",
    marker_select=subnets.FROM,
    not_found=errors.subnet_not_found,
    filters={
        "id": Filter("s.id", "uuid"),
        "name": Filter("s.name"),
        "description": Filter("s.description"),
        "project_id": Filter("s.project_id"),
        "tenant_id": Filter("s.project_id"),
        "network_id": Filter("s.network_id", "uuid"),
        "ip_version": Filter("family(s.cidr)", "int"),
        "cidr": Filter("s.cidr::text"),
        "gateway_ip": Filter("s.gateway_ip", "inet"),
        "enable_dhcp": Filter("s.enable_dhcp", "bool"),
        "shared": Filter("n.shared", "bool"),
        "router:external": Filter("n.external", "bool"),
        "revision_number": Filter("s.revision", "int"),
    },
    sorts={
        "id": "s.id",
        "name": "s.name",
        "project_id": "s.project_id",
        "tenant_id": "s.project_id",
        "network_id": "s.network_id",
        "ip_version": "family(s.cidr)",
        "enable_dhcp": "s.enable_dhcp",
        "created_at": "s.created_at",
        "updated_at": "s.updated_at",
    },
)

MINE = """
s.project_id = {} OR s.network_id = ANY(ARRAY(SELECT id FROM network.network WHERE project_id = {}
                                              UNION ALL SELECT id FROM network.network WHERE shared OR external))
"""
"""Said with an array, so that both halves find an index."""
_SAME_NAME = ("name", "description", "enable_dhcp", "gateway_ip")


async def _visible(call: Call, store: Any, subnet_id: str) -> Any:
    if not is_uuid(subnet_id):
        raise errors.subnet_not_found(subnet_id[:64])
    row = await subnets.subnet_get(store, subnet_id)
    if not call.permits("get_subnet", **target(row)):
        raise errors.subnet_not_found(subnet_id)
    return row


async def list_subnets(call: Call) -> Reply:
    """The caller's subnets, those on its networks, and those of shared and external networks."""
    where = Where()
    if not sees_everything(call, "get_subnet"):
        mine = call.caller.project_id
        where.add(MINE, mine, mine)
    return await listed(call, LIST, where, view)


async def show_subnet(call: Call) -> Reply:
    """One subnet."""
    return Reply({"subnet": chosen(call, view(await _visible(call, call.store, call.args["subnet_id"])))})


async def create_subnet(call: Call) -> Reply:
    """One subnet, or, with `subnets`, all of them or none."""
    many = "subnets" in call.body
    asked = call.body["subnets"] if many else [call.body["subnet"]]
    async with call.transaction() as tx:
        rows = [await _create(call, tx, one) for one in asked]
    views = [view(row) for row in rows]
    return Reply({"subnets": views} if many else {"subnet": views[0]}, 201)


async def _create(call: Call, tx: Any, asked: dict[str, Any]) -> Any:
    network = await visible_network(call, tx, asked["network_id"])
    # A subnet belongs to its network's owner unless an administrator says otherwise.
    project_id = owner(call, "create_subnet", asked, network["project_id"])
    aim = {
        "project_id": project_id,
        "network.project_id": network["project_id"],
        "shared": network["shared"],
        "external": network["external"],
    }
    require(call, "create_subnet", aim)
    await quota_claim(tx, project_id, "subnet")
    return await subnets.subnet_insert(
        tx,
        network_id=network["id"],
        project_id=project_id,
        cidr=asked["cidr"],
        ip_version=asked["ip_version"],
        **_columns(asked),
    )


def _columns(asked: dict[str, Any]) -> dict[str, Any]:
    """What the body says, under the names that `subnets` uses; what it does not say is absent."""
    columns = {key: asked[key] for key in _SAME_NAME if key in asked}
    if "allocation_pools" in asked:
        columns["pools"] = [(pool["start"], pool["end"]) for pool in asked["allocation_pools"]]
    if "dns_nameservers" in asked:
        columns["dns_nameservers"] = asked["dns_nameservers"] or []
    if "host_routes" in asked:
        columns["host_routes"] = [(route["destination"], route["nexthop"]) for route in asked["host_routes"] or []]
    return columns


async def update_subnet(call: Call) -> Reply:
    """Change a subnet."""
    asked = _columns(call.body["subnet"])
    async with call.transaction() as tx:
        row = await _visible(call, tx, call.args["subnet_id"])
        require(call, "update_subnet", target(row))
        row = await subnets.subnet_update(tx, row["id"], asked)
    return Reply({"subnet": view(row)})


async def delete_subnet(call: Call) -> Reply:
    """Delete a subnet that no port has an address in."""
    async with call.transaction() as tx:
        row = await _visible(call, tx, call.args["subnet_id"])
        require(call, "delete_subnet", target(row))
        await subnets.subnet_delete(tx, row["id"])
    return Reply(None, 204)


_ONE = "/subnets/{subnet_id}"
ROUTES = [
    Route(method="GET", path="/subnets", handler=list_subnets, policy="get_subnet", body=NO_BODY),
    Route(method="POST", path="/subnets", handler=create_subnet, policy="create_subnet:somewhere",
          body="network/subnet-create"),
    Route(method="GET", path=_ONE, handler=show_subnet, policy="get_subnet", body=NO_BODY),
    Route(method="PUT", path=_ONE, handler=update_subnet, policy="update_subnet", body="network/subnet-update"),
    Route(method="DELETE", path=_ONE, handler=delete_subnet, policy="delete_subnet", body=NO_BODY),
]  # fmt: skip
