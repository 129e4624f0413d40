"""Projects and domains: their rows. A domain is a project without a parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg

from skybus import clock
from skybus.errors import BadRequest, Conflict, Forbidden
from skybus.identity.auth.revocations import revoke
from skybus.identity.immutable import options_after, refuse_change, refuse_delete
from skybus.identity.rows import extra_of, missing
from skybus.ids import new_hex_id
from skybus.messages.identity import DomainCreated, DomainUpdated, ProjectCreated, ProjectDeleted, ProjectUpdated
from skybus.store import Tx

DEFAULT_DOMAIN = "default"
DEEPEST = 5
"""Levels of projects below a domain, as Keystone has it."""
MOST_TAGS = 80

COLUMNS = "p.id, p.domain_id, p.parent_id, p.is_domain, p.name, p.description, p.enabled, p.tags, p.options, p.extra"
LIST = f"SELECT {COLUMNS} FROM identity.project p"
GET = f"{LIST} WHERE p.id = $1"
HOLD = f"{LIST} WHERE p.id = $1 FOR KEY SHARE"
LOCK = f"{LIST} WHERE p.id = $1 FOR UPDATE"
HOLD_DOMAIN = """
SELECT p.id FROM identity.project p WHERE p.id = (SELECT domain_id FROM identity.project WHERE id = $1) FOR KEY SHARE
"""
BY_NAME = f"{LIST} WHERE p.domain_id = $1 AND p.name = $2 AND NOT p.is_domain"
DOMAIN_BY_NAME = f"{LIST} WHERE p.name = $1 AND p.is_domain"
INSERT = f"""
INSERT INTO identity.project AS p
       (id, domain_id, parent_id, is_domain, name, description, enabled, tags, options, extra, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""
UPDATE = f"""
UPDATE identity.project AS p
   SET name = $2, description = $3, enabled = $4, tags = $5, options = $6, extra = $7
 WHERE id = $1
RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM identity.project WHERE id = $1"
HAS_CHILDREN = "SELECT EXISTS (SELECT 1 FROM identity.project WHERE parent_id = $1)"
ENABLED_BELOW = "SELECT EXISTS (SELECT 1 FROM identity.project WHERE parent_id = $1 AND enabled)"
NOBODYS_DEFAULT = """UPDATE identity."user" SET default_project_id = NULL WHERE default_project_id = ANY($1)"""
DEPTH = """
WITH RECURSIVE up (id, parent_id, depth) AS (
    SELECT id, parent_id, 0 FROM identity.project WHERE id = $1
    UNION ALL
    SELECT p.id, p.parent_id, up.depth + 1 FROM identity.project p JOIN up ON p.id = up.parent_id WHERE up.depth < 32
)
SELECT max(depth) FROM up
"""

KNOWN = frozenset(("id", "domain_id", "parent_id", "is_domain", "name", "description", "enabled", "tags", "options"))
PRIVATE = frozenset(("links", "explicit_domain_id"))
Row = Any


async def project_find(db: Any, project_id: str) -> Row | None:
    """The project or domain, or None."""
    return await db.fetchrow(GET, project_id)


async def project_by_name(db: Any, domain_id: str, name: str) -> Row | None:
    """The project called `name` in a domain, or None."""
    return await db.fetchrow(BY_NAME, domain_id, name)


async def domain_by_name(db: Any, name: str) -> Row | None:
    """The domain called `name`, or None."""
    return await db.fetchrow(DOMAIN_BY_NAME, name)


async def domain_hold(tx: Tx, domain_id: str) -> Row:
    """The domain, which cannot be deleted before `tx` ends. Raises NotFound."""
    row = await tx.fetchrow(HOLD, domain_id)
    if row is None or not row["is_domain"]:
        raise missing("domain", domain_id)
    return row


async def project_insert(tx: Tx, asked: dict[str, Any], default_domain_id: str) -> Row:
    """Make a project from a request's attributes. Raises NotFound, BadRequest, Forbidden or Conflict."""
    parent = await _parent(tx, asked, default_domain_id)
    domain_id = parent["domain_id"] or parent["id"]
    if not parent["is_domain"] and await tx.fetchval(DEPTH, parent["id"]) >= DEEPEST:
        raise Forbidden(f"Projects can be nested at most {DEEPEST} deep.")
    row = await _row_insert(tx, asked, domain_id=domain_id, parent_id=parent["id"])
    if row is None:
        raise Conflict(
            "Conflict occurred attempting to store project - it is not permitted to have two of that name in a domain."
        )
    tx.publish(ProjectCreated(project_id=row["id"], domain_id=domain_id, name=row["name"]), project_id=row["id"])
    return row


async def _parent(tx: Tx, asked: dict[str, Any], default_domain_id: str) -> Row:
    """What a new project is to hang below, held with its domain. Raises NotFound, or BadRequest when it will not do."""
    parent_id = asked.get("parent_id")
    parent = await project_find(tx, parent_id) if parent_id is not None else None
    if parent_id is not None and parent is None:
        raise missing("project", parent_id)
    inside = default_domain_id if parent is None else parent["domain_id"] or parent["id"]
    domain_id = asked.get("domain_id") or inside
    if parent is not None and domain_id != inside:
        raise BadRequest("A project must be in the domain of its parent.")
    # The domain first: whoever deletes a domain locks it before what is in it.
    holders = [await domain_hold(tx, domain_id)]
    if parent is not None and not parent["is_domain"]:
        held = await tx.fetchrow(HOLD, parent["id"])
        if held is None:
            raise missing("project", parent["id"])
        holders.append(held)
    for row in holders:
        if not row["enabled"]:
            raise BadRequest(f"Cannot create a project in a branch that contains the disabled project {row['id']}.")
    return holders[-1]


async def _row_insert(
    tx: Tx, asked: dict[str, Any], *, domain_id: str | None, parent_id: str | None, new_id: str | None = None
) -> Row | None:
    """The row of a new project, or of a new domain when it is in none; None when id or name are in use."""
    return await tx.fetchrow(
        INSERT,
        new_id or new_hex_id(),
        domain_id,
        parent_id,
        domain_id is None,
        asked["name"].strip(),
        asked.get("description") or "",
        asked.get("enabled", True),
        sorted(asked.get("tags", [])),
        options_after({}, asked.get("options", {})),
        extra_of(asked, KNOWN | PRIVATE),
        clock.now(),
    )


async def domain_insert(tx: Tx, asked: dict[str, Any], domain_id: str | None = None) -> Row:
    """Make a domain from a request's attributes. Raises Conflict."""
    row = await _row_insert(tx, asked, domain_id=None, parent_id=None, new_id=domain_id)
    if row is None:
        raise Conflict("Conflict occurred attempting to store domain - it is not permitted to have two of that name.")
    tx.publish(DomainCreated(domain_id=row["id"], name=row["name"]), project_id="")
    return row


async def project_update(tx: Tx, project_id: str, asked: dict[str, Any], *, is_domain: bool = False) -> Row:
    """Change a project or, with `is_domain`, a domain. Raises NotFound, Forbidden, BadRequest or Conflict.

    Disabling revokes every token of its scope; disabling a domain also those of its users and projects.
    """
    noun = "domain" if is_domain else "project"
    if not is_domain:
        # Before the project itself, because whoever deletes a domain locks it before what is in it.
        await tx.fetchrow(HOLD_DOMAIN, project_id)
    old = await tx.fetchrow(LOCK, project_id)
    if old is None or old["is_domain"] != is_domain:
        raise missing(noun, project_id)
    refuse_change(noun, old, asked)
    _refuse_move(old, asked)
    enabled = asked.get("enabled", old["enabled"])
    if enabled != old["enabled"] and not is_domain:
        await (_may_be_enabled if enabled else _may_be_disabled)(tx, old)
    try:
        row = await tx.fetchrow(
            UPDATE,
            project_id,
            asked.get("name", old["name"]).strip(),
            asked.get("description", old["description"]) or "",
            enabled,
            sorted(asked.get("tags", old["tags"])),
            options_after(old["options"], asked.get("options", {})),
            extra_of(asked, KNOWN | PRIVATE, old["extra"]),
        )
    except asyncpg.UniqueViolationError:
        raise Conflict(f"Conflict occurred attempting to store {noun} - the name is in use.") from None
    changed = sorted(asked)
    if is_domain:
        tx.publish(DomainUpdated(domain_id=project_id, enabled=enabled, changed=changed), project_id="")
    else:
        event = ProjectUpdated(project_id=project_id, enabled=enabled, changed=changed)
        tx.publish(event, project_id=project_id)
    if old["enabled"] and not enabled:
        await revoke(tx, {"domain_id" if is_domain else "target": project_id})
    return row


def _refuse_move(old: Row, asked: dict[str, Any]) -> None:
    for name in ("id", "domain_id", "is_domain"):
        if name in asked and asked[name] != old[name]:
            raise BadRequest(f"{name} of a project cannot be changed.")
    if "parent_id" in asked and asked["parent_id"] != old["parent_id"]:
        raise Forbidden("The parent of a project cannot be changed.")


async def _may_be_enabled(tx: Tx, project: Row) -> None:
    """Raises Forbidden while something above it is disabled. Nothing above can be disabled before `tx` ends."""
    for above in (project["domain_id"], project["parent_id"]):
        # What is enabled has no disabled project above it, so that parent and domain speak for all.
        row = await tx.fetchrow(HOLD, above)
        if row is None or not row["enabled"]:
            raise Forbidden(f"Cannot enable project {project['id']} since it has disabled parents.")


async def _may_be_disabled(tx: Tx, project: Row) -> None:
    if await tx.fetchval(ENABLED_BELOW, project["id"]):
        raise Forbidden(f"Cannot disable project {project['id']} since its subtree contains enabled projects.")


async def tags_change(tx: Tx, project_id: str, change: Callable[[set[str]], set[str]]) -> Row:
    """Give a project or a domain the tags that `change` makes of those it has. Raises NotFound, Forbidden, or
    BadRequest for more than 80."""
    await tx.fetchrow(HOLD_DOMAIN, project_id)
    row = await tx.fetchrow(LOCK, project_id)
    if row is None:
        raise missing("project", project_id)
    tags = change(set(row["tags"]))
    if len(tags) > MOST_TAGS:
        raise BadRequest(f"A project has at most {MOST_TAGS} tags.")
    return await project_update(tx, project_id, {"tags": list(tags)}, is_domain=row["is_domain"])


async def project_delete(tx: Tx, project_id: str) -> None:
    """Delete a project that has none below it. Raises NotFound or Forbidden."""
    row = await tx.fetchrow(LOCK, project_id)
    if row is None or row["is_domain"]:
        raise missing("project", project_id)
    refuse_delete("project", row)
    if await tx.fetchval(HAS_CHILDREN, project_id):
        raise Forbidden(f"Cannot delete the project {project_id} since it is not a leaf in the hierarchy.")
    await tx.execute(NOBODYS_DEFAULT, [project_id])
    await tx.execute(DELETE, project_id)
    tx.publish(ProjectDeleted(project_id=project_id, domain_id=row["domain_id"]), project_id=project_id)
    await revoke(tx, {"target": project_id})


def project_view(row: Row, base: str) -> dict[str, Any]:
    """A project as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "description": row["description"],
        "enabled": row["enabled"],
        "parent_id": row["parent_id"],
        "is_domain": row["is_domain"],
        "tags": row["tags"],
        "options": row["options"],
        "links": {"self": f"{base}/projects/{row['id']}"},
    }


def domain_view(row: Row, base: str) -> dict[str, Any]:
    """A domain as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "enabled": row["enabled"],
        "tags": row["tags"],
        "options": row["options"],
        "links": {"self": f"{base}/domains/{row['id']}"},
    }
