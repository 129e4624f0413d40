"""Which endpoints a project's catalog shows: those that it was given, one by one or by groups. Without any, it shows
all."""

from __future__ import annotations

from typing import Any

import msgspec

from skybus.identity.catalog.endpoint_groups import LIST as GROUP_LIST
from skybus.identity.catalog.endpoint_groups import MATCHES, endpoint_group_hold
from skybus.identity.catalog.endpoints import LIST as ENDPOINT_LIST
from skybus.identity.catalog.endpoints import endpoint_hold
from skybus.identity.projects.projects import HOLD as PROJECT_HOLD
from skybus.identity.projects.projects import LIST as PROJECT_LIST
from skybus.identity.rows import missing
from skybus.messages.identity_catalog import EndpointGiven, EndpointWithdrawn
from skybus.store import Tx

GIVE_ENDPOINT = """
INSERT INTO identity.project_endpoint (project_id, endpoint_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
GIVE_GROUP = """
INSERT INTO identity.project_endpoint_group (project_id, endpoint_group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
TAKE_ENDPOINT = "DELETE FROM identity.project_endpoint WHERE project_id = $1 AND endpoint_id = $2"
TAKE_GROUP = "DELETE FROM identity.project_endpoint_group WHERE project_id = $1 AND endpoint_group_id = $2"
HAS_ENDPOINT = "SELECT true FROM identity.project_endpoint WHERE project_id = $1 AND endpoint_id = $2"
HAS_GROUP = "SELECT true FROM identity.project_endpoint_group WHERE project_id = $1 AND endpoint_group_id = $2"

ENDPOINTS_OF_PROJECT = f"""
{ENDPOINT_LIST}
 WHERE e.id IN (SELECT endpoint_id FROM identity.project_endpoint WHERE project_id = $1)
    OR EXISTS (SELECT 1 FROM identity.project_endpoint_group p
                 JOIN identity.endpoint_group g ON g.id = p.endpoint_group_id
                WHERE p.project_id = $1 AND {MATCHES} @> g.filters)
 ORDER BY e.id
"""
PROJECTS_OF_ENDPOINT = f"""
{PROJECT_LIST} WHERE p.id IN (SELECT project_id FROM identity.project_endpoint WHERE endpoint_id = $1) ORDER BY p.id
"""
GROUPS_OF_PROJECT = f"""
{GROUP_LIST} WHERE g.id IN (SELECT endpoint_group_id FROM identity.project_endpoint_group WHERE project_id = $1)
 ORDER BY g.id
"""
PROJECTS_OF_GROUP = f"""
{PROJECT_LIST}
 WHERE p.id IN (SELECT project_id FROM identity.project_endpoint_group WHERE endpoint_group_id = $1) ORDER BY p.id
"""

Row = Any


class Gift(msgspec.Struct, frozen=True, kw_only=True):
    """What a project is given: one endpoint, or the endpoints of one group."""

    project_id: str
    endpoint_id: str | None = None
    endpoint_group_id: str | None = None

    @property
    def args(self) -> tuple[str, str]:
        """As the statements want it."""
        return self.project_id, str(self.endpoint_id or self.endpoint_group_id)

    @property
    def missing(self) -> Exception:
        """The sentence for a project that was not given it."""
        noun = "endpoint" if self.endpoint_id is not None else "endpoint group"
        return missing(f"{noun} in project {self.project_id}", self.args[1])


async def gift_insert(tx: Tx, gift: Gift) -> None:
    """Give a project an endpoint or a group; it may have it. Raises NotFound."""
    if await tx.fetchrow(PROJECT_HOLD, gift.project_id) is None:
        raise missing("project", gift.project_id)
    if gift.endpoint_id is not None:
        await endpoint_hold(tx, gift.endpoint_id)
    else:
        await endpoint_group_hold(tx, gift.args[1])
    await tx.execute(GIVE_ENDPOINT if gift.endpoint_id is not None else GIVE_GROUP, *gift.args)
    event = EndpointGiven(
        to_project_id=gift.project_id, endpoint_id=gift.endpoint_id, endpoint_group_id=gift.endpoint_group_id
    )
    tx.publish(event, project_id="")


async def gift_delete(tx: Tx, gift: Gift) -> None:
    """Take an endpoint or a group from a project. Raises NotFound."""
    if await tx.execute(TAKE_ENDPOINT if gift.endpoint_id is not None else TAKE_GROUP, *gift.args) != "DELETE 1":
        raise gift.missing
    event = EndpointWithdrawn(
        from_project_id=gift.project_id, endpoint_id=gift.endpoint_id, endpoint_group_id=gift.endpoint_group_id
    )
    tx.publish(event, project_id="")


async def gift_check(db: Any, gift: Gift) -> None:
    """Raises NotFound unless a project was given this very endpoint or group."""
    if not await db.fetchval(HAS_ENDPOINT if gift.endpoint_id is not None else HAS_GROUP, *gift.args):
        raise gift.missing


async def endpoints_of_project(db: Any, project_id: str) -> list[Row]:
    """The endpoints that a project was given, also by groups."""
    return list(await db.fetch(ENDPOINTS_OF_PROJECT, project_id))


async def groups_of_project(db: Any, project_id: str) -> list[Row]:
    """The endpoint groups that a project was given."""
    return list(await db.fetch(GROUPS_OF_PROJECT, project_id))


async def projects_of_endpoint(db: Any, endpoint_id: str) -> list[Row]:
    """The projects to which an endpoint was given by itself."""
    return list(await db.fetch(PROJECTS_OF_ENDPOINT, endpoint_id))


async def projects_of_group(db: Any, group_id: str) -> list[Row]:
    """The projects to which an endpoint group was given."""
    return list(await db.fetch(PROJECTS_OF_GROUP, group_id))
