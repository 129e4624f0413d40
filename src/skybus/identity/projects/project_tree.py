"""What stands above and below a project, as `GET /projects/{project_id}` shows it when asked."""

from __future__ import annotations

from typing import Any

from skybus.errors import BadRequest
from skybus.http.call import Call
from skybus.identity.limits.limits import LIST as LIMIT_LIST
from skybus.identity.limits.limits import limit_view
from skybus.identity.projects.projects import COLUMNS, project_view
from skybus.identity.roles.assignments import projects_of
from skybus.identity.rows import flag

PARENTS = f"""
WITH RECURSIVE found (id, parent_id, depth) AS (
    SELECT id, parent_id, 0 FROM identity.project WHERE id = $1
    UNION ALL
    SELECT p.id, p.parent_id, f.depth + 1 FROM identity.project p JOIN found f ON p.id = f.parent_id WHERE f.depth < 32
)
SELECT {COLUMNS} FROM found f JOIN identity.project p ON p.id = f.id WHERE f.depth > 0 ORDER BY f.depth
"""
SUBTREE = f"""
WITH RECURSIVE found (id, depth) AS (
    SELECT id, 0 FROM identity.project WHERE id = $1
    UNION ALL
    SELECT p.id, f.depth + 1 FROM identity.project p JOIN found f ON p.parent_id = f.id WHERE f.depth < 32
)
SELECT {COLUMNS} FROM found f JOIN identity.project p ON p.id = f.id WHERE f.depth > 0 ORDER BY f.depth, p.id
"""
LIMITS = f"{LIMIT_LIST} WHERE l.target_id = ANY($1) ORDER BY l.id"

Row = Any
WAYS = (("parents", PARENTS), ("subtree", SUBTREE))


async def tree_shown(call: Call, project: Row) -> dict[str, Any]:
    """`parents` and `subtree` as far as the query asks for them. Raises BadRequest for both forms of one.

    A list holds what the caller has a role on, with the limits of each when `include_limits` is asked for; the nested
    ids hold all.
    """
    shown: dict[str, Any] = {}
    for name, sql in WAYS:
        as_list, as_ids = (_asked(call, f"{name}_as_{form}") for form in ("list", "ids"))
        if as_list and as_ids:
            raise BadRequest(f"Cannot use {name}_as_list and {name}_as_ids query params at the same time.")
        if as_list or as_ids:
            rows = await call.store.fetch(sql, project["id"])
            shown[name] = await _listed(call, rows) if as_list else _nested(project, rows, name)
    return shown


def _asked(call: Call, name: str) -> bool:
    return name in call.query and flag(call.query[name] or "1")


async def _listed(call: Call, rows: list[Row]) -> list[dict[str, Any]]:
    mine = {row["id"] for row in await projects_of(call.store, call.caller.user_id, disabled_too=True)}
    shown = {row["id"]: project_view(row, call.base + "/v3") for row in rows if row["id"] in mine}
    if _asked(call, "include_limits"):
        for view in shown.values():
            view["limits"] = []
        for row in await call.store.fetch(LIMITS, list(shown)):
            shown[row["target_id"]]["limits"].append(limit_view(row, call.base + "/v3"))
    return [{"project": view} for view in shown.values()]


def _nested(project: Row, rows: list[Row], name: str) -> dict[str, Any] | None:
    if name == "parents":
        above: dict[str, Any] | None = None
        for row in reversed(rows):
            above = {row["id"]: above}
        return above
    nodes: dict[str, dict[str, Any]] = {project["id"]: {}}
    for row in rows:
        nodes[row["id"]] = nodes[row["parent_id"]][row["id"]] = {}
    return _pruned(nodes[project["id"]])


def _pruned(tree: dict[str, Any]) -> dict[str, Any] | None:
    return {key: _pruned(value) for key, value in tree.items()} or None
