"""Scopes: from who somebody is, and what the request asks for, to where a token is good and with which roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skybus.errors import BadRequest, Forbidden, Unauthorized
from skybus.identity.auth.claims import Claims
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.delegation import trusts
from skybus.identity.delegation.delegations import Delegation
from skybus.identity.login.proof import Proven
from skybus.identity.people.users import LOGIN_BY_ID
from skybus.identity.projects.projects import domain_by_name, project_by_name, project_find
from skybus.identity.roles.assignments import effective_roles

Row = Any
TRUST = "OS-TRUST:trust"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Where a token is good. At most one of project, domain and system is set."""

    project: Row | None = None
    domain: Row | None = None
    system: bool = False
    roles: tuple[str, ...] = ()
    delegation: Delegation | None = None
    """The trust that opens it."""
    speaker: Row | None = None
    """Whom a token of the trust names as its user, when that is not who asks: the trustor."""
    counted: bool = False
    """Whether the token takes one of the trust's uses."""


UNSCOPED = Scope()


def earliest(*ends: int | None) -> int | None:
    """The first of these moments; None is none."""
    return min((end for end in ends if end is not None), default=None)


async def scope_for(db: Any, proven: Proven, asked: Mapping[str, Any] | str | None) -> Scope:
    """The scope that a request asks for, or the user's default one.

    Raises Unauthorized when there is no such thing or the user has no role there, BadRequest when the request cannot
    be understood, Forbidden when a delegation is to reach beyond its project.
    """
    if proven.delegation is not None:
        if proven.parent is not None and proven.delegation.key.kind != "application_credential":
            raise Forbidden("A token that was made by a delegation cannot be used to create another one.")
        return await _delegated(db, proven, proven.delegation, asked)
    if proven.parent is not None and proven.parent.credential_id is not None:
        return await _signed(db, proven, proven.parent, asked)
    if asked is None:
        return await _default(db, proven.user)
    if asked == "unscoped":
        return UNSCOPED
    if not isinstance(asked, Mapping) or len(asked) != 1:
        raise BadRequest("Expecting to find exactly one of project, domain, system and unscoped in scope.")
    if "unscoped" in asked:
        return UNSCOPED
    if "project" in asked:
        return await _project(db, proven.user, await _find_project(db, asked["project"]))
    if "domain" in asked:
        return await _domain(db, proven.user, await _find_domain(db, asked["domain"]))
    if "system" in asked:
        return await _system(db, proven.user, asked["system"])
    if TRUST in asked:
        return await _trusted(db, proven.user, asked[TRUST])
    raise BadRequest("A token can be scoped to a project, a domain or the system.")


async def _default(db: Any, user: Row) -> Scope:
    """The user's default project where that is good, and no scope otherwise."""
    if user["default_project_id"] is None:
        return UNSCOPED
    try:
        return await _project(db, user, await project_find(db, user["default_project_id"]))
    except Unauthorized:
        return UNSCOPED


async def _project(db: Any, user: Row, project: Row | None) -> Scope:
    project = await _open(db, project)
    return Scope(project=project, roles=await _roles(db, user, project["id"]))


async def _open(db: Any, project: Row | None) -> Row:
    """The project, if tokens can be scoped to it. Raises Unauthorized."""
    if project is None or project["is_domain"] or not project["enabled"]:
        raise Unauthorized(NO_ENTRY)
    domain = await project_find(db, project["domain_id"])
    if domain is None or not domain["enabled"]:
        raise Unauthorized(NO_ENTRY)
    return project


async def _domain(db: Any, user: Row, domain: Row | None) -> Scope:
    if domain is None or not domain["is_domain"] or not domain["enabled"]:
        raise Unauthorized(NO_ENTRY)
    return Scope(domain=domain, roles=await _roles(db, user, domain["id"]))


async def _system(db: Any, user: Row, asked: Any) -> Scope:
    if not isinstance(asked, Mapping) or not asked.get("all", next(iter(asked.values()), False)):
        raise BadRequest("Expecting to find all: true in system.")
    return Scope(system=True, roles=await _roles(db, user, None))


async def _roles(db: Any, user: Row, target_id: str | None) -> tuple[str, ...]:
    """The user's roles there. Raises Unauthorized without any, in the words for what is not there: ids are not told."""
    roles = await effective_roles(db, user["id"], target_id)
    if not roles:
        raise Unauthorized(NO_ENTRY)
    return tuple(row["name"] for row in roles)


async def _delegated(db: Any, proven: Proven, delegation: Delegation, asked: Any) -> Scope:
    """A delegation has one project, and there those of its roles that its user still has."""
    if asked is not None:
        if "application_credential" in proven.methods and proven.parent is None:
            raise Unauthorized("Application credentials cannot request a scope.")
        wanted = asked.get("project") if isinstance(asked, Mapping) else None
        project = await _find_project(db, wanted) if wanted is not None else None
        if project is None or project["id"] != delegation.project_id:
            raise Forbidden("A delegation cannot be used anywhere but in its project.")
    scope = await _project(db, proven.user, await project_find(db, delegation.project_id))
    allowed = await _implied(db, delegation.role_ids)
    roles = tuple(name for name in scope.roles if name in allowed)
    if proven.parent is not None:
        roles = tuple(name for name in roles if name in proven.parent.roles)
    if not roles:
        raise Unauthorized(NO_ENTRY)
    return Scope(project=scope.project, roles=roles)


async def _trusted(db: Any, user: Row, asked: Any) -> Scope:
    """Where a trust is good, and who speaks there: `user`, or the trustor whom it impersonates.

    Raises Unauthorized for a trust that is gone or used up, Forbidden for one of another trustee, of people who may not
    act any more, or with a role that its first trustor has lost.
    """
    trust_id = asked.get("id") if isinstance(asked, Mapping) else None
    if not trust_id:
        raise BadRequest("Expecting to find id in OS-TRUST:trust.")
    trust = await trusts.trust_find(db, trust_id)
    if trust is None or trusts.spent(trust):
        raise Unauthorized(NO_ENTRY)
    if trust["trustee_user_id"] != user["id"]:
        raise Forbidden("User is not a trustee.")
    people = await trusts.trust_people(db, trust_id)
    if not all(person["enabled"] for person in people):
        raise Forbidden("One of those who passed the trust on is disabled.")
    project = await _open(db, await project_find(db, trust["project_id"]) if trust["project_id"] else None)
    speaker = await db.fetchrow(LOGIN_BY_ID, trust["trustor_user_id"]) if trust["impersonation"] else None
    if trust["impersonation"] and speaker is None:
        raise Unauthorized(NO_ENTRY)
    delegation = trusts.trust_delegation(trust, people, speaker or user)
    have = await effective_roles(db, people[0]["id"], project["id"])
    wanted = await _implied(db, delegation.role_ids)
    if not wanted or not wanted.issubset(row["name"] for row in have):
        raise Forbidden("Trustee has no delegated roles.")
    return Scope(
        project=project,
        roles=tuple(row["name"] for row in have if row["name"] in wanted),
        delegation=delegation,
        speaker=speaker,
        counted=trust["remaining_uses"] is not None,
    )


async def _signed(db: Any, proven: Proven, parent: Claims, asked: Any) -> Scope:
    """A token of an EC2 credential is good in the project of the credential and leads nowhere else."""
    if asked is not None:
        wanted = asked.get("project") if isinstance(asked, Mapping) else None
        named = await _find_project(db, wanted) if wanted is not None else None
        if named is None or named["id"] != parent.project_id:
            raise Forbidden("A token of an EC2 credential cannot be used anywhere but in its project.")
    scope = await _project(db, proven.user, await project_find(db, parent.project_id or ""))
    return Scope(project=scope.project, roles=tuple(name for name in scope.roles if name in parent.roles))


BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT unnest($1::text[])
    UNION
    SELECT i.implied_id FROM identity.implied_role i JOIN below b ON i.prior_id = b.id
)
SELECT r.name FROM identity.role r JOIN below b ON b.id = r.id WHERE r.domain_id IS NULL
"""


async def _implied(db: Any, role_ids: Sequence[str]) -> set[str]:
    """The names of these roles and of all that they imply."""
    return {row["name"] for row in await db.fetch(BELOW, list(role_ids))}


async def _find_project(db: Any, asked: Mapping[str, Any]) -> Row | None:
    if asked.get("id") is not None:
        return await project_find(db, asked["id"])
    domain = asked.get("domain") or {}
    if asked.get("name") is None or (domain.get("id") is None and domain.get("name") is None):
        raise BadRequest("Expecting to find domain in project. The server could not comply with the request.")
    domain_id = domain.get("id")
    if domain_id is None:
        row = await domain_by_name(db, domain["name"])
        if row is None:
            return None
        domain_id = row["id"]
    return await project_by_name(db, domain_id, asked["name"])


async def _find_domain(db: Any, asked: Mapping[str, Any]) -> Row | None:
    if asked.get("id") is not None:
        return await project_find(db, asked["id"])
    if asked.get("name") is None:
        raise BadRequest("Expecting to find id or name in domain. The server could not comply with the request.")
    return await domain_by_name(db, asked["name"])
