"""Routes of quota sets and limits."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest, Forbidden
from skybus.http.call import Call, Reply
from skybus.http.routes import NO_BODY, Route
from skybus.volume.forms import boolean, both, is_admin
from skybus.volume.quotas import DEFAULTS, quota_limits, quota_reset, quota_set, quota_used

MOST = 2**31 - 1


def _target(call: Call) -> str:
    target = call.args["target_id"]
    if len(target) > 255:
        raise BadRequest("Invalid input received: the project's id is not one.")
    if not is_admin(call) and target != call.project_id:
        raise Forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")
    return target


async def show_quota(call: Call) -> Reply:
    """GET /os-quota-sets/{target_id}, with `usage=true` also what is in use."""
    target = _target(call)
    limits = await quota_limits(call.store, target)
    if not boolean(call.query.get("usage", "false"), "usage"):
        return Reply({"quota_set": {"id": target, **limits}})
    used = await quota_used(call.store, target)
    usage = {name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in limits}
    return Reply({"quota_set": {"id": target, **usage}})


async def show_defaults(call: Call) -> Reply:
    """GET /os-quota-sets/{target_id}/defaults."""
    return Reply({"quota_set": {"id": _target(call), **DEFAULTS}})


async def update_quota(call: Call) -> Reply:
    """PUT /os-quota-sets/{target_id}."""
    target, asked = _target(call), dict(call.body["quota_set"])
    for name in ("id", "tenant_id", "project_id", "force"):
        asked.pop(name, None)
    unknown = sorted(asked.keys() - DEFAULTS.keys())
    if unknown:
        raise BadRequest(f"Bad key(s) in quota set: {', '.join(unknown)[:128]}")
    limits = {name: _limit(name, value) for name, value in asked.items()}
    async with call.transaction() as tx:
        await quota_set(tx, target, limits)
        shown = await quota_limits(tx, target)
    return Reply({"quota_set": shown})


def _limit(name: str, value: Any) -> int:
    text = str(value)
    digits = text.removeprefix("-")
    known = digits.isascii() and digits.isdecimal() and len(digits) <= 10
    if isinstance(value, bool) or not known or not -1 <= int(text) <= MOST:
        raise BadRequest(f"Invalid input received: {name} must be an integer between -1 and {MOST}.")
    return int(text)


async def delete_quota(call: Call) -> Reply:
    """DELETE /os-quota-sets/{target_id}: the defaults apply again."""
    target = _target(call)
    async with call.transaction() as tx:
        await quota_reset(tx, target)
    return Reply(status=200)


async def show_limits(call: Call) -> Reply:
    """GET /limits: what the caller's project may own and does. An admin may ask for another project's."""
    target = call.project_id
    if is_admin(call):
        target = call.query.get("project_id") or call.query.get("tenant_id") or target
    limits, used = await quota_limits(call.store, target), await quota_used(call.store, target)
    absolute = {
        "maxTotalVolumes": limits["volumes"],
        "maxTotalVolumeGigabytes": limits["gigabytes"],
        "maxTotalSnapshots": limits["snapshots"],
        "maxTotalBackups": limits["backups"],
        "maxTotalBackupGigabytes": limits["backup_gigabytes"],
        "totalVolumesUsed": used["volumes"],
        "totalGigabytesUsed": used["gigabytes"],
        "totalSnapshotsUsed": used["snapshots"],
        "totalBackupsUsed": used["backups"],
        "totalBackupGigabytesUsed": used["backup_gigabytes"],
    }
    return Reply({"limits": {"rate": [], "absolute": absolute}})


QUOTA = "/os-quota-sets/{target_id}"
SHOW, UPDATE = "volume_extension:quotas:show", "volume_extension:quotas:update"
DELETE = "volume_extension:quotas:delete"
ROUTES: list[Route] = both(
    Route(method="GET", path=QUOTA, handler=show_quota, policy=SHOW, body=NO_BODY),
    Route(method="GET", path=f"{QUOTA}/defaults", handler=show_defaults, policy=SHOW, body=NO_BODY),
    Route(method="PUT", path=QUOTA, handler=update_quota, policy=UPDATE, body="volume/quota-update"),
    Route(method="DELETE", path=QUOTA, handler=delete_quota, policy=DELETE, body=NO_BODY),
    Route(method="GET", path="/limits", handler=show_limits, policy="limits_extension:used_limits", body=NO_BODY),
)
