"""`GET /role_assignments`: the grants as they stand, or, with `effective`, what they amount to for each user."""

from __future__ import annotations

from typing import Any

from skybus.http.paging import Where

SELECT = """
SELECT a.role_id, a.user_id, a.group_id, a.target_id, a.inherited, NULL::text AS via_group, NULL::text AS prior_role,
       t.is_domain, t.name AS target_name, t.domain_id AS target_domain_id, td.name AS target_domain_name,
       r.name AS role_name, r.domain_id AS role_domain_id, rd.name AS role_domain_name,
       u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name,
       g.name AS group_name, g.domain_id AS group_domain_id, gd.name AS group_domain_name
"""
JOINS = """
  JOIN identity.role r ON r.id = a.role_id
  LEFT JOIN identity.project t ON t.id = a.target_id
  LEFT JOIN identity.project td ON td.id = t.domain_id
  LEFT JOIN identity.project rd ON rd.id = r.domain_id
  LEFT JOIN identity."user" u ON u.id = a.user_id
  LEFT JOIN identity.project ud ON ud.id = u.domain_id
  LEFT JOIN identity."group" g ON g.id = a.group_id
  LEFT JOIN identity.project gd ON gd.id = g.domain_id
"""
DIRECT = SELECT + "  FROM identity.assignment a" + JOINS

# $1 is the one user, and $2 the one domain, that it is about, or null: all others are left out before anything is
# worked out. Roles are inherited within a domain.
# Groups become their members, inherited roles go down to the projects, implied roles stand beside their prior ones.
EFFECTIVE = (
    """
WITH RECURSIVE persons AS (
    SELECT a.role_id, COALESCE(a.user_id, m.user_id) AS user_id, a.group_id AS via_group, a.target_id, a.inherited
      FROM identity.assignment a LEFT JOIN identity.belonging m ON m.group_id = a.group_id
     WHERE (a.user_id IS NOT NULL OR m.user_id IS NOT NULL)
       AND ($1::text IS NULL OR COALESCE(a.user_id, m.user_id) = $1)
       AND ($2::text IS NULL OR a.target_id IN (SELECT id FROM identity.project WHERE id = $2 OR domain_id = $2))
), below (top, id) AS (
    SELECT p.parent_id, p.id FROM identity.project p
     WHERE p.parent_id IN (SELECT target_id FROM persons WHERE inherited)
    UNION
    SELECT b.top, p.id FROM identity.project p JOIN below b ON p.parent_id = b.id
), placed AS (
    SELECT role_id, user_id, via_group, target_id, NULL::text AS inherited_from FROM persons WHERE NOT inherited
    UNION
    SELECT e.role_id, e.user_id, e.via_group, b.id, e.target_id
      FROM persons e JOIN below b ON b.top = e.target_id WHERE e.inherited
), implied (prior, role_id) AS (
    SELECT id, id FROM identity.role
    UNION
    SELECT i.prior, r.implied_id FROM implied i JOIN identity.implied_role r ON r.prior_id = i.role_id
), a AS (
    SELECT i.role_id, p.user_id, NULL::text AS group_id, p.target_id, p.inherited_from, p.via_group,
           CASE WHEN i.role_id <> p.role_id THEN p.role_id END AS prior_role
      FROM placed p JOIN implied i ON i.prior = p.role_id
)
SELECT a.role_id, a.user_id, a.group_id, a.target_id, false AS inherited, a.via_group, a.prior_role, a.inherited_from,
       t.is_domain, t.name AS target_name, t.domain_id AS target_domain_id, td.name AS target_domain_name,
       r.name AS role_name, r.domain_id AS role_domain_id, rd.name AS role_domain_name,
       u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name,
       NULL::text AS group_name, NULL::text AS group_domain_id, NULL::text AS group_domain_name
  FROM a"""
    + JOINS
)
MOST = 10_000
TAIL = f"ORDER BY a.target_id NULLS FIRST, a.user_id, a.group_id, a.role_id LIMIT {MOST + 1}"

Row = Any


async def direct_assignments(db: Any, where: Where) -> list[Row]:
    """The grants that match `where` (over `a`, `t`, `r`); at most 10,001."""
    return list(await db.fetch(" ".join((DIRECT, where.sql, TAIL)), *where.args))


def effective_where(user_id: str | None, domain_id: str | None) -> Where:
    """The beginning of a `where` for `effective_assignments`: of one user or of all, in one domain or everywhere."""
    where = Where()
    where.args += [user_id, domain_id]
    # A role of one domain stands in no token; only what it implies does.
    where.add("r.domain_id IS NULL")
    return where


async def effective_assignments(db: Any, where: Where) -> list[Row]:
    """What the grants amount to, as far as it matches a `where` made by `effective_where`; at most 10,001."""
    return list(await db.fetch(" ".join((EFFECTIVE, where.sql, TAIL)), *where.args))


def assignment_view(row: Row, base: str, *, names: bool, effective: bool) -> dict[str, Any]:
    """An assignment as the API shows it."""
    role = _named({"id": row["role_id"]}, row, "role", names, always_domain=False)
    scope, path = _scope(row, names, effective)
    view: dict[str, Any] = {"role": role, "scope": scope}
    if row["user_id"] is not None:
        view["user"] = _named({"id": row["user_id"]}, row, "user", names)
        actor = f"users/{row['user_id']}"
    else:
        view["group"] = _named({"id": row["group_id"]}, row, "group", names)
        actor = f"groups/{row['group_id']}"
    role_id = row["prior_role"] or row["role_id"]
    if row["via_group"] is not None:
        actor = f"groups/{row['via_group']}"
    view["links"] = {"assignment": _link(base, path, actor, role_id)}
    if row["via_group"] is not None:
        view["links"]["membership"] = f"{base}/groups/{row['via_group']}/users/{row['user_id']}"
    if row["prior_role"] is not None:
        view["links"]["prior_role"] = f"{base}/prior_role/{row['prior_role']}/implies/{row['role_id']}"
    return view


def _link(base: str, path: str, actor: str, role_id: str) -> str:
    inherited = path.endswith("/inherited")
    path = path.removesuffix("/inherited")
    if inherited:
        return f"{base}/OS-INHERIT/{path}/{actor}/roles/{role_id}/inherited_to_projects"
    return f"{base}/{path}/{actor}/roles/{role_id}"


def _scope(row: Row, names: bool, effective: bool) -> tuple[dict[str, Any], str]:
    """The scope as shown, and the path under which it was granted, with a mark when it is inherited."""
    if row["target_id"] is None:
        return {"system": {"all": True}}, "system"
    kind = "domain" if row["is_domain"] else "project"
    target = {"id": row["target_id"]}
    if names:
        target["name"] = row["target_name"]
        if kind == "project":
            target["domain"] = {"id": row["target_domain_id"], "name": row["target_domain_name"]}
    scope: dict[str, Any] = {kind: target}
    path = f"{kind}s/{row['target_id']}"
    if row["inherited"]:
        scope["OS-INHERIT:inherited_to"] = "projects"
        return scope, path + "/inherited"
    above = row["inherited_from"] if effective else None
    if above is not None:
        scope["OS-INHERIT:inherited_to"] = "projects"
        top = "domains" if above == row["target_domain_id"] else "projects"
        return scope, f"{top}/{above}/inherited"
    return scope, path


def _named(view: dict[str, Any], row: Row, kind: str, names: bool, *, always_domain: bool = True) -> dict[str, Any]:
    if names:
        view["name"] = row[f"{kind}_name"]
        if always_domain or row[f"{kind}_domain_id"] is not None:
            view["domain"] = {"id": row[f"{kind}_domain_id"], "name": row[f"{kind}_domain_name"]}
    return view
