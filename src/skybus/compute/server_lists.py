"""Lists of servers: which of them a request asks for, in which order, in one query."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from skybus.compute.asked import MAX_LIMIT, boolean
from skybus.compute.servers import VIEW_COLUMNS
from skybus.compute.states import STATUSES, STATUSES_OF_OTHERS, VM_STATES, State
from skybus.compute.wiring import servers_with_address
from skybus.errors import BadRequest, Forbidden
from skybus.http import times
from skybus.http.call import Call
from skybus.http.paging import Page, Where, page_of
from skybus.http.versions import Version
from skybus.ids import is_uuid

LONGEST_PATTERN = 255
MATCH_MILLISECONDS = 2000

SORT_KEYS = {
    "created_at": "s.created_at",
    "updated_at": "s.updated_at",
    "display_name": "s.name",
    "name": "s.name",
    "uuid": "s.id",
    "id": "s.id",
    "hostname": "s.hostname",
    "vm_state": "s.state",
    "task_state": "coalesce(s.task_state, '')",
    "power_state": "s.power_state",
    "project_id": "s.project_id",
    "user_id": "s.user_id",
    "image_ref": "coalesce(s.image_id::text, '')",
    "instance_type_id": "s.flavor_id",
    "key_name": "coalesce(s.key_name, '')",
    "availability_zone": "coalesce(s.zone, '')",
    "launch_index": "s.launch_index",
    "launched_at": "coalesce(s.launched_at, 'infinity')",
    "terminated_at": "coalesce(s.terminated_at, 'infinity')",
    "display_description": "coalesce(s.description, '')",
    "config_drive": "s.config_drive",
    "auto_disk_config": "s.disk_config",
    "access_ip_v4": "s.access_ipv4",
    "access_ip_v6": "s.access_ipv6",
    "host": "coalesce(s.host, '')",
    "node": "coalesce(s.host, '')",
    "locked": "(s.locked_by IS NOT NULL)",
    "locked_by": "coalesce(s.locked_by, '')",
}
PRIVILEGED_SORT = frozenset(("host", "node"))
IGNORED_SORT = frozenset(
    [
        "architecture",
        "cell_name",
        "cleaned",
        "default_ephemeral_device",
        "default_swap_device",
        "deleted",
        "deleted_at",
        "disable_terminate",
        "ephemeral_gb",
        "ephemeral_key_uuid",
        "key_data",
        "launched_on",
        "memory_mb",
        "os_type",
        "reservation_id",
        "root_gb",
        "shutdown_terminate",
        "user_data",
        "vcpus",
        "vm_mode",
    ]
)
"""Sort keys that were never of use: passed over up to 2.74, refused from then on."""
CONSTANT_SORT = frozenset(["progress", "kernel_id", "ramdisk_id", "root_device_name"])
"""Sort keys that have the same value for every server of ours."""

SINCE: dict[str, Version] = {
    "reservation_id": (2, 1),
    "name": (2, 1),
    "status": (2, 1),
    "image": (2, 1),
    "flavor": (2, 1),
    "ip": (2, 1),
    "changes-since": (2, 1),
    "all_tenants": (2, 1),
    "ip6": (2, 5),
    "tags": (2, 26),
    "tags-any": (2, 26),
    "not-tags": (2, 26),
    "not-tags-any": (2, 26),
    "changes-before": (2, 66),
    "locked": (2, 73),
    **dict.fromkeys(
        [
            "availability_zone",
            "config_drive",
            "key_name",
            "created_at",
            "launched_at",
            "terminated_at",
            "power_state",
            "task_state",
            "vm_state",
            "progress",
            "user_id",
        ],
        (2, 83),
    ),
}
"""Filters that everybody may use, and since when; an administrator may use all."""
PRIVILEGED = frozenset(
    [
        "project_id",
        "tenant_id",
        "launch_index",
        "image_ref",
        "kernel_id",
        "ramdisk_id",
        "hostname",
        "host",
        "node",
        "display_name",
        "description",
        "display_description",
        "locked_by",
        "uuid",
        "root_device_name",
        "access_ip_v4",
        "access_ip_v6",
        "auto_disk_config",
        "soft_deleted",
        "deleted",
    ]
)
PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir"))
REFUSED = frozenset(
    ["block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"]
)

MATCHED = {
    "name": "s.name",
    "display_name": "s.name",
    "description": "s.description",
    "display_description": "s.description",
    "hostname": "s.hostname",
}
"""Filters that are regular expressions, as in Nova's own database."""
EQUAL = {
    "reservation_id": "s.reservation_id",
    "flavor": "s.flavor_id",
    "key_name": "s.key_name",
    "user_id": "s.user_id",
    "host": "s.host",
    "node": "s.host",
    "locked_by": "s.locked_by",
    "task_state": "s.task_state",
    "access_ip_v4": "s.access_ipv4",
    "access_ip_v6": "s.access_ipv6",
}
NUMBERS = {"power_state": "s.power_state", "launch_index": "s.launch_index"}
TIMES = {"created_at": "s.created_at", "launched_at": "s.launched_at", "terminated_at": "s.terminated_at"}
UUIDS = {"image": "s.image_id", "image_ref": "s.image_id", "uuid": "s.id"}
TAGS = {
    "tags": "s.tags @> {}",
    "tags-any": "s.tags && {}",
    "not-tags": "NOT s.tags @> {}",
    "not-tags-any": "NOT s.tags && {}",
}


class Listing(msgspec.Struct, frozen=True):
    """One page of servers and whether another follows."""

    rows: list[Any]
    more: bool
    limit: int


async def server_listing(call: Call, *, detail: bool) -> Listing:
    """The servers that a request asks for. Raises BadRequest, and Forbidden for what administrators alone may ask."""
    filters = _filters(call)
    where = Where()
    project_id = _scope(call, filters, where, detail)
    if not _add_filters(call, filters, where):
        return Listing([], False, MAX_LIMIT)
    for name in ("ip", "ip6"):
        if name in filters:
            found = await servers_with_address(call.store, filters[name], 4 if name == "ip" else 6, project_id)
            where.add("s.id = ANY ({}::uuid[])", found)
    page = _page(call)
    order = page.order(SORT_KEYS, "s.id")
    if page.marker is not None:
        keys = ", ".join(column for column, _ in order)
        page.after(where, order, await _marker_row(call, page.marker, keys, project_id))
    columns = VIEW_COLUMNS if detail else "s.id, s.name"
    join = "LEFT JOIN compute.host h ON h.name = s.host" if detail else ""
    sql = f"SELECT {columns} FROM compute.server s {join} {where.sql} {page.tail(order, 1)}"
    if filters.keys() & MATCHED.keys():
        rows = await _matched(call, sql, where.args)
    else:
        rows = await call.store.fetch(sql, *where.args)
    return Listing(rows[: page.limit], len(rows) > page.limit, page.limit)


async def _matched(call: Call, sql: str, args: list[Any]) -> list[Any]:
    """The rows of a query with a caller's regular expression in it, which must not keep the database busy."""
    try:
        async with call.transaction() as tx:
            # Planned with the caller's expression in it, a wrong one is found even where there is nothing to match.
            await tx.execute(
                f"SET LOCAL statement_timeout = {MATCH_MILLISECONDS}; SET LOCAL plan_cache_mode = force_custom_plan"
            )
            rows: list[Any] = await tx.fetch(sql, *args)
    except (asyncpg.InvalidRegularExpressionError, asyncpg.QueryCanceledError):
        raise BadRequest("A filter is no regular expression that can be matched.") from None
    return rows


def _filters(call: Call) -> dict[str, str]:
    """The request's filters, without those that the caller may not use, which Nova passes over in silence."""
    version, every = call.version, call.permits("os_compute_api:servers:allow_all_filters")
    filters: dict[str, str] = {}
    for name in call.query:
        if name in PAGING:
            continue
        if name in REFUSED or name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name[:64]}.")
        known = name in SINCE or name in PRIVILEGED
        if version >= (2, 75) and not known:
            raise BadRequest(f"Additional properties are not allowed ({name[:64]!r} was unexpected).")
        if known and (every or SINCE.get(name, (9, 0)) <= version):
            filters[name] = call.query[name]
    return filters


def _scope(call: Call, filters: dict[str, str], where: Where, detail: bool) -> str | None:
    """Restrict to the caller's project, or not; answers the project, None for all."""
    everybody = filters.pop("all_tenants", None)
    if everybody is not None and (everybody == "" or boolean(everybody, "all_tenants")):
        call.require(f"os_compute_api:servers:{'detail' if detail else 'index'}:get_all_tenants")
        project_id = filters.pop("project_id", None) or filters.pop("tenant_id", None)
    else:
        project_id = call.project_id
    filters.pop("project_id", None)
    filters.pop("tenant_id", None)
    if project_id is not None:
        where.add("s.project_id = {}", project_id)
    return project_id


def _page(call: Call) -> Page:
    ignored = CONSTANT_SORT | (IGNORED_SORT if call.version < (2, 75) else frozenset())
    if call.version < (2, 73):
        ignored |= {"locked"}
    keys = {**SORT_KEYS, **dict.fromkeys(ignored, "")}
    page = page_of(call, keys=keys, default_sort="created_at", max_limit=MAX_LIMIT)
    if any(key in PRIVILEGED_SORT for key, _ in page.sort):
        call.require("os_compute_api:servers:allow_all_filters")
    sort = tuple(pair for pair in page.sort if pair[0] not in ignored) or (("created_at", False),)
    return msgspec.structs.replace(page, sort=sort)


async def _marker_row(call: Call, marker: str, keys: str, project_id: str | None) -> Any:
    sql = f"SELECT {keys} FROM compute.server s WHERE s.id = $1 AND ($2::text IS NULL OR s.project_id = $2)"
    row = await call.store.fetchrow(sql, marker, project_id) if is_uuid(marker) else None
    if row is None:
        raise BadRequest(f"marker [{marker[:64]}] not found")
    return tuple(row)


def _add_filters(call: Call, filters: dict[str, str], where: Where) -> bool:
    """Put the filters into `where`; answers False when no server can be meant."""
    if not _add_statuses(call, filters, where) or not _add_states(filters, where):
        return False
    _add_changes(call, filters, where)
    for name, text in filters.items():
        if "\x00" in text:
            raise BadRequest(f"Invalid filter field: {name}.")
        if name in MATCHED:
            if len(text) > LONGEST_PATTERN:
                raise BadRequest(f"The filter {name} has more than {LONGEST_PATTERN} characters.")
            where.add(f"{MATCHED[name]} ~ {{}}", text)
        elif name in EQUAL:
            where.add(f"{EQUAL[name]} = {{}}", text)
        elif name in NUMBERS:
            where.add(f"{NUMBERS[name]} = {{}}", _small(text, name))
        elif name in TIMES:
            where.add(
                f"date_trunc('second', {TIMES[name]}) = date_trunc('second', {{}}::timestamptz)",
                times.parse(text, name),
            )
        elif name in UUIDS:
            where.add(f"{UUIDS[name]} = {{}}", _uuid_of(text))
        elif name in TAGS:
            where.add(TAGS[name], text.split(","))
        elif name == "locked":
            where.add("(s.locked_by IS NOT NULL) = {}", boolean(text, name))
        elif name == "config_drive":
            where.add("s.config_drive = {}", text != "" and boolean(text, name))
        elif name == "auto_disk_config":
            where.add("(s.disk_config = 'AUTO') = {}", boolean(text, name))
        elif name == "availability_zone":
            where.add("coalesce((SELECT zone FROM compute.host WHERE name = s.host), s.zone) = {}", text)
    return True


def _small(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 4:
        raise BadRequest(f"Invalid filter field: {name}.")
    return int(text)


def _uuid_of(text: str) -> str:
    """The id in `text`, which may be the end of a URL; one that nothing has when it is none."""
    id_ = text.rsplit("/", 1)[-1].lower()
    return id_ if is_uuid(id_) else "00000000-0000-0000-0000-000000000000"


def _add_statuses(call: Call, filters: dict[str, str], where: Where) -> bool:
    if "status" not in filters:
        return True
    filters.pop("status")
    asked = {text.upper() for text in call.query.getall("status")}
    ours = [STATUSES[name] for name in asked if name in STATUSES]
    if not ours:
        if call.version >= (2, 38) and not asked & STATUSES_OF_OTHERS:
            raise BadRequest("Invalid status value")
        return False
    wanted = []
    for state, task in ours:
        if state == State.DELETED and "admin" not in call.caller.roles:
            raise Forbidden("Only administrators may list deleted instances")
        if task is None:
            plain = "AND coalesce(s.task_state, '') NOT LIKE 'rebooting%'" if state == State.ACTIVE else ""
            wanted.append(f"(s.state = '{state.value}' {plain})")
        else:
            wanted.append(f"(s.state = '{state.value}' AND s.task_state = '{task}')")
    where.add(" OR ".join(wanted))
    if asked & STATUSES.keys() == {"DELETED"}:
        filters["deleted"] = "true"
    return True


def _add_states(filters: dict[str, str], where: Where) -> bool:
    text = filters.pop("vm_state", None)
    if text is None:
        return True
    states = [state for state, vm_state in VM_STATES.items() if vm_state == text.lower()]
    where.add("s.state = ANY ({})", [str(state) for state in states])
    return bool(states)


def _add_changes(call: Call, filters: dict[str, str], where: Where) -> None:
    """Deleted servers show when asked for, or among what changed."""
    since, before = filters.pop("changes-since", None), filters.pop("changes-before", None)
    start = times.parse(since, "changes-since") if since is not None else None
    end = times.parse(before, "changes-before") if before is not None else None
    if start is not None:
        where.add("s.updated_at >= {}", start)
    if end is not None:
        where.add("s.updated_at <= {}", end)
    if start is not None and end is not None and end < start:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    deleted, soft = filters.pop("deleted", None), filters.pop("soft_deleted", None)
    if soft is not None and boolean(soft, "soft_deleted"):
        where.conditions.append("false")  # we do not keep deleted servers for later
    if deleted is not None:
        where.conditions.append("s.deleted" if boolean(deleted, "deleted") else "NOT s.deleted")
    elif start is None and end is None:
        where.conditions.append("NOT s.deleted")
