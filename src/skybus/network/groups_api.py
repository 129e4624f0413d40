"""Routes of security groups: the default group of each project, to be read.

Groups and rules of a user's own are refused with 501 until hosts enforce them: a rule that is accepted and does nothing
is worse than none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from skybus.errors import Conflict, NotFound
from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import seconds_z
from skybus.network import errors, groups
from skybus.network.attributes import sees_everything
from skybus.network.lists import Collection, Filter, chosen, listed

_SENTENCE = "This cloud enforces no security group but each project's default one, so none can be made or changed."


def _group_filter(where: Where, values: list[str]) -> None:
    where.conditions.append("false" if "True" in values or "true" in values else "true")


LIST = Collection(
    name="security_groups",
    path="/security-groups",
    select=groups.SELECT,
    unique="g.id",
    marker_select=groups.FROM,
    not_found=errors.group_not_found,
    filters={
        "id": Filter("g.id", "uuid"),
        "name": Filter("g.name"),
        "description": Filter("g.description"),
        "project_id": Filter("g.project_id"),
        "tenant_id": Filter("g.project_id"),
        "stateful": Filter("g.stateful", "bool"),
        "revision_number": Filter("g.revision", "int"),
    },
    special={"shared": _group_filter},
    sorts={
        "id": "g.id",
        "name": "g.name",
        "description": "g.description",
        "project_id": "g.project_id",
        "tenant_id": "g.project_id",
        "created_at": "g.created_at",
        "updated_at": "g.updated_at",
    },
)

RULES = Collection(
    name="security_group_rules",
    path="/security-group-rules",
    select=groups.RULE_SELECT,
    unique="r.id",
    marker_select=groups.RULE_FROM,
    not_found=lambda rule_id: NotFound(
        f"Security group rule {rule_id} does not exist", type="SecurityGroupRuleNotFound"
    ),
    filters={
        "id": Filter("r.id", "uuid"),
        "security_group_id": Filter("r.security_group_id", "uuid"),
        "remote_group_id": Filter("r.remote_group_id", "uuid"),
        "project_id": Filter("r.project_id"),
        "tenant_id": Filter("r.project_id"),
        "direction": Filter("r.direction"),
        "ethertype": Filter("r.ethertype"),
        "protocol": Filter("r.protocol"),
        "port_range_min": Filter("r.port_range_min", "int"),
        "port_range_max": Filter("r.port_range_max", "int"),
        "description": Filter("r.description"),
    },
    sorts={
        "id": "r.id",
        "security_group_id": "r.security_group_id",
        "direction": "r.direction",
        "ethertype": "r.ethertype",
        "project_id": "r.project_id",
        "created_at": "r.created_at",
    },
)


def rule_view(row: Any) -> dict[str, Any]:
    """A rule, from its own row or from its group's."""
    created = row["created_at"]
    shown = seconds_z(created if isinstance(created, datetime) else datetime.fromisoformat(created))
    return {
        "id": row["id"],
        "security_group_id": row["security_group_id"],
        "tenant_id": row["project_id"],
        "project_id": row["project_id"],
        "direction": row["direction"],
        "ethertype": row["ethertype"],
        "protocol": row["protocol"],
        "port_range_min": row["port_range_min"],
        "port_range_max": row["port_range_max"],
        "remote_ip_prefix": row["remote_ip_prefix"],
        "remote_group_id": row["remote_group_id"],
        "description": row["description"],
        "revision_number": 0,
        "tags": [],
        "created_at": shown,
        "updated_at": shown,
    }


def view(row: Any) -> dict[str, Any]:
    """A group's row."""
    return {
        "id": row["id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "project_id": row["project_id"],
        "description": row["description"],
        "stateful": row["stateful"],
        "shared": False,
        "security_group_rules": [rule_view(rule) for rule in row["rules"]],
        "tags": [],
        "revision_number": row["revision"],
        "created_at": seconds_z(row["created_at"]),
        "updated_at": seconds_z(row["updated_at"]),
    }


async def _default_exists(call: Call) -> None:
    """A project's default group is there as soon as somebody of the project looks."""
    project_id = call.caller.project_id
    if project_id is not None and await call.store.fetchval(groups.DEFAULT, project_id) is None:
        async with call.transaction() as tx:
            await groups.group_default(tx, project_id)


async def list_groups(call: Call) -> Reply:
    """The project's groups."""
    await _default_exists(call)
    where = Where()
    if not sees_everything(call, "get_security_group"):
        where.add("g.project_id = {}", call.caller.project_id)
    return await listed(call, LIST, where, view)


async def _visible_group(call: Call) -> Any:
    row = await groups.group_get(call.store, call.args["group_id"])
    if not call.permits("get_security_group", project_id=row["project_id"]):
        raise errors.group_not_found(row["id"])
    return row


async def show_group(call: Call) -> Reply:
    """One group with its rules."""
    return Reply({"security_group": chosen(call, view(await _visible_group(call)))})


async def list_rules(call: Call) -> Reply:
    """The rules of the project's groups."""
    await _default_exists(call)
    where = Where()
    if not sees_everything(call, "get_security_group_rule"):
        where.add("r.project_id = {}", call.caller.project_id)
    return await listed(call, RULES, where, rule_view)


async def _visible_rule(call: Call) -> Any:
    row = await groups.rule_get(call.store, call.args["rule_id"])
    if not call.permits("get_security_group_rule", project_id=row["project_id"]):
        raise RULES.not_found(row["id"])
    return row


async def show_rule(call: Call) -> Reply:
    """One rule."""
    return Reply({"security_group_rule": chosen(call, rule_view(await _visible_rule(call)))})


async def create(call: Call) -> Reply:
    """501: groups are read only."""
    raise errors.NotImplementedHere(_SENTENCE)


async def update_group(call: Call) -> Reply:
    """501, for a group that is there."""
    await _visible_group(call)
    raise errors.NotImplementedHere(_SENTENCE)


async def delete_rule(call: Call) -> Reply:
    """501, for a rule that is there."""
    await _visible_rule(call)
    raise errors.NotImplementedHere(_SENTENCE)


async def delete_group(call: Call) -> Reply:
    """Every group is a default one, which administrators alone may remove, as when its project ends; others get 409.

    It comes back when somebody of the project looks at it or makes a port.
    """
    row = await _visible_group(call)
    if sees_everything(call, "delete_security_group"):
        async with call.transaction() as tx:
            await groups.group_delete(tx, row["id"])
        return Reply(status=204)
    raise Conflict("Insufficient rights for removing default security group.", type="SecurityGroupCannotRemoveDefault")


_GROUP, _RULE = "/security-groups/{group_id}", "/security-group-rules/{rule_id}"
ROUTES = [
    Route(method="GET", path="/security-groups", handler=list_groups, policy="get_security_group", body=NO_BODY),
    Route(method="POST", path="/security-groups", handler=create, policy="create_security_group", body=NO_BODY),
    Route(method="GET", path=_GROUP, handler=show_group, policy="get_security_group", body=NO_BODY),
    Route(method="PUT", path=_GROUP, handler=update_group, policy="update_security_group", body=NO_BODY),
    Route(method="DELETE", path=_GROUP, handler=delete_group, policy="delete_security_group", body=NO_BODY),
    Route(method="GET", path="/security-group-rules", handler=list_rules, policy="get_security_group_rule",
          body=NO_BODY),
    Route(method="POST", path="/security-group-rules", handler=create, policy="create_security_group_rule",
          body=NO_BODY),
    Route(method="GET", path=_RULE, handler=show_rule, policy="get_security_group_rule", body=NO_BODY),
    Route(method="DELETE", path=_RULE, handler=delete_rule, policy="delete_security_group_rule", body=NO_BODY),
]  # fmt: skip
