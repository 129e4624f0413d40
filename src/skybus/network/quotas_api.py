"""Routes of quotas."""

from __future__ import annotations

from skybus.errors import NotFound
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.network import quotas
from skybus.network.attributes import require, sees_everything

_MOST_LETTERS = 255


def _project(call: Call, rule: str) -> str:
    """The project of the path. Raises Forbidden when it is not the caller's to ask about."""
    project_id = call.args["project_id"]
    if len(project_id) > _MOST_LETTERS or "\0" in project_id:
        raise NotFound("The resource could not be found.")
    require(call, rule, {"project_id": project_id})
    return project_id


async def list_quotas(call: Call) -> Reply:
    """The limits of every project that has some of its own."""
    found = await quotas.quota_list(call.store)
    everything = sees_everything(call, "get_quota")
    shown = [
        {**limits, "project_id": project_id, "tenant_id": project_id}
        for project_id, limits in found.items()
        if everything or project_id == call.caller.project_id
    ]
    return Reply({"quotas": shown})


async def show_quota(call: Call) -> Reply:
    """A project's limits."""
    return Reply({"quota": await quotas.quota_get(call.store, _project(call, "get_quota"))})


async def show_default_quota(call: Call) -> Reply:
    """The limits of a project that has none of its own."""
    _project(call, "get_quota")
    return Reply({"quota": dict(quotas.DEFAULTS)})


async def show_quota_details(call: Call) -> Reply:
    """A project's limits and what it has of each."""
    project_id = _project(call, "get_quota")
    limits = await quotas.quota_get(call.store, project_id)
    used = await quotas.quota_used(call.store, project_id)
    return Reply({"quota": {name: {"limit": limits[name], "used": used[name], "reserved": 0} for name in limits}})


async def update_quota(call: Call) -> Reply:
    """Change a project's limits. A limit below what the project has takes nothing away."""
    project_id = _project(call, "update_quota")
    asked = {key: value for key, value in call.body["quota"].items() if key not in ("project_id", "tenant_id", "force")}
    async with call.transaction() as tx:
        await quotas.quota_set(tx, project_id, asked)
        limits = await quotas.quota_get(tx, project_id)
    return Reply({"quota": limits})


async def reset_quota(call: Call) -> Reply:
    """Give a project the defaults again."""
    project_id = _project(call, "delete_quota")
    async with call.transaction() as tx:
        await quotas.quota_reset(tx, project_id)
    return Reply(None, 204)


_ONE = "/quotas/{project_id}"
ROUTES = [
    Route(method="GET", path="/quotas", handler=list_quotas, policy="get_quota", body=NO_BODY),
    Route(method="GET", path=_ONE, handler=show_quota, policy="get_quota", body=NO_BODY),
    Route(method="GET", path=f"{_ONE}/default", handler=show_default_quota, policy="get_quota", body=NO_BODY),
    Route(method="GET", path=f"{_ONE}/details", handler=show_quota_details, policy="get_quota", body=NO_BODY),
    Route(method="PUT", path=_ONE, handler=update_quota, policy="update_quota", body="network/quota-update"),
    Route(method="DELETE", path=_ONE, handler=reset_quota, policy="delete_quota", body=NO_BODY),
]
