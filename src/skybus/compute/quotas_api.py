"""Routes of quota sets and limits."""

from __future__ import annotations

from typing import Any

from skybus.compute import quotas
from skybus.compute.asked import boolean, only_known
from skybus.errors import BadRequest
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.http.versions import Version

API = "os_compute_api:"
QUOTA = f"{API}os-quota-sets:"

LIMIT_NAMES = {
    "instances": ("maxTotalInstances",),
    "cores": ("maxTotalCores",),
    "ram": ("maxTotalRAMSize",),
    "key_pairs": ("maxTotalKeypairs",),
    "floating_ips": ("maxTotalFloatingIps",),
    "metadata_items": ("maxServerMeta", "maxImageMeta"),
    "injected_files": ("maxPersonality",),
    "injected_file_content_bytes": ("maxPersonalitySize",),
    "security_groups": ("maxSecurityGroups",),
    "security_group_rules": ("maxSecurityGroupRules",),
    "server_groups": ("maxServerGroups",),
    "server_group_members": ("maxServerGroupMembers",),
}
USED_NAMES = {
    "ram": "totalRAMUsed",
    "cores": "totalCoresUsed",
    "instances": "totalInstancesUsed",
    "floating_ips": "totalFloatingIpsUsed",
    "security_groups": "totalSecurityGroupsUsed",
    "server_groups": "totalServerGroupsUsed",
}
IMAGE_META_UNTIL: Version = (2, 38)


def _user(call: Call) -> str:
    only_known(call, frozenset(("user_id",)))
    return call.query.get("user_id", "")


async def show_quotas(call: Call) -> Reply:
    """What a project may own."""
    id_ = call.args["id"]
    call.require(f"{QUOTA}show", project_id=id_)
    limits = await quotas.quota_limits(call.store, id_, _user(call))
    return Reply({"quota_set": {"id": id_, **{name: limits[name] for name in quotas.shown(call.version)}}})


async def show_quotas_in_detail(call: Call) -> Reply:
    """What a project may own and what it owns."""
    id_, user_id = call.args["id"], _user(call)
    call.require(f"{QUOTA}detail", project_id=id_)
    limits = await quotas.quota_limits(call.store, id_, user_id)
    used = await quotas.quota_used(call.store, id_, user_id)
    view = {name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in quotas.shown(call.version)}
    return Reply({"quota_set": {"id": id_, **view}})


async def show_default_quotas(call: Call) -> Reply:
    """What a project may own when nothing was set for it."""
    view = {name: quotas.DEFAULTS[name] for name in quotas.shown(call.version)}
    return Reply({"quota_set": {"id": call.args["id"], **view}})


async def update_quotas(call: Call) -> Reply:
    """Set what a project may own; not less than it owns unless forced."""
    id_, user_id, asked = call.args["id"], _user(call), dict(call.body["quota_set"])
    force = boolean(asked.pop("force", False), "force")
    shown = quotas.shown(call.version)
    unknown = sorted(set(asked) - set(shown))
    if unknown:
        raise BadRequest(f"Additional properties are not allowed ({unknown[0]!r} was unexpected).")
    wanted = {name: int(value) for name, value in asked.items()}
    async with call.transaction() as tx:
        await tx.lock("quota", id_)
        if not force:
            _check(wanted, await quotas.quota_used(tx, id_, user_id), await quotas.quota_limits(tx, id_), user_id)
        await quotas.quota_set(tx, id_, wanted, user_id)
        limits = await quotas.quota_limits(tx, id_, user_id)
    return Reply({"quota_set": {name: limits[name] for name in shown}})


def _check(wanted: dict[str, int], used: dict[str, int], project: dict[str, int], user_id: str) -> None:
    for name, limit in wanted.items():
        if 0 <= limit < used[name]:
            raise BadRequest(
                f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved "
                f"{used[name]}."
            )
        most = project[name] if user_id else -1
        if most >= 0 and (limit < 0 or limit > most):
            raise BadRequest(f"Quota limit {limit} for {name} must be less than or equal to {most}.")


async def delete_quotas(call: Call) -> Reply:
    """Go back to the defaults."""
    async with call.transaction() as tx:
        await quotas.quota_reset(tx, call.args["id"], _user(call))
    return Reply(status=202)


async def show_limits(call: Call) -> Reply:
    """What the caller's project may own and what it owns; an administrator may ask for another's."""
    only_known(call, frozenset(("tenant_id", "reserved")))
    project_id = call.query.get("tenant_id")
    if project_id:
        call.require(f"{API}limits:other_project")
    project_id = project_id or call.project_id
    limits = await quotas.quota_limits(call.store, project_id)
    used = await quotas.quota_used(call.store, project_id)
    absolute: dict[str, Any] = {}
    shown = quotas.shown(call.version)
    for name in shown:
        for limit_name in LIMIT_NAMES.get(name, ()):
            if limit_name != "maxImageMeta" or call.version <= IMAGE_META_UNTIL:
                absolute[limit_name] = limits[name]
        if name in USED_NAMES:
            absolute[USED_NAMES[name]] = used[name]
    return Reply({"limits": {"rate": [], "absolute": absolute}})


def _route(method: str, path: str, handler: Any, rule: str, body: str = NO_BODY) -> Route:
    return Route(method=method, path=f"/{path}", handler=handler, policy=rule, body=body)


ROUTES: list[Route] = [
    _route("GET", "limits", show_limits, f"{API}limits"),
    _route("GET", "os-quota-sets/{id}", show_quotas, f"{QUOTA}show"),
    _route("GET", "os-quota-sets/{id}/detail", show_quotas_in_detail, f"{QUOTA}detail"),
    _route("GET", "os-quota-sets/{id}/defaults", show_default_quotas, f"{QUOTA}defaults"),
    _route("PUT", "os-quota-sets/{id}", update_quotas, f"{QUOTA}update", "compute/quota-update"),
    _route("DELETE", "os-quota-sets/{id}", delete_quotas, f"{QUOTA}delete"),
]
