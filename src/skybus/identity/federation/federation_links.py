"""Which users of identity providers a user of ours stands for: made by a login, or by an administrator beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from skybus.errors import BadRequest, Conflict
from skybus.http.call import Call
from skybus.http.paging import Where
from skybus.http.times import micros_z
from skybus.identity.auth.revocations import revoke
from skybus.identity.federation.protocols import protocol_find
from skybus.identity.rows import query_text
from skybus.store import Tx

OF_USER = """
SELECT identity_provider_id, protocol_id, unique_id FROM identity.federated_user
 WHERE user_id = $1 ORDER BY identity_provider_id, protocol_id, unique_id
"""
FORGET = "DELETE FROM identity.federated_user WHERE user_id = $1"
LEAVE = """
DELETE FROM identity.expiring_membership WHERE user_id = $1 AND NOT (identity_provider_id = ANY($2::text[]))
"""
FOREIGN = """
SELECT EXISTS (SELECT 1 FROM identity.identity_provider WHERE id = ANY($1::text[]) AND domain_id <> $2)
"""
EXPIRIES = """
SELECT e.group_id, max(e.expires_at) AS expires_at FROM identity.expiring_membership e
 WHERE e.user_id = $1 AND e.group_id NOT IN (SELECT group_id FROM identity.membership WHERE user_id = $1)
 GROUP BY e.group_id
"""
LINK = """
INSERT INTO identity.federated_user (identity_provider_id, protocol_id, unique_id, user_id) VALUES ($1, $2, $3, $4)
"""
FILTERS = {"idp_id": "identity_provider_id", "protocol_id": "protocol_id", "unique_id": "unique_id"}
_Link = tuple[str, str, str]


async def links_view(db: Any, user_id: str) -> list[dict[str, Any]]:
    """The links of a user as the API shows them, by provider."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in await db.fetch(OF_USER, user_id):
        link = {"protocol_id": row["protocol_id"], "unique_id": row["unique_id"]}
        found.setdefault(row["identity_provider_id"], []).append(link)
    return [{"idp_id": provider_id, "protocols": links} for provider_id, links in found.items()]


async def links_permit(call: Call, domain_id: str, asked: Sequence[dict[str, Any]]) -> None:
    """Raises Forbidden unless the caller may say for whom of these providers a user of the domain stands: whoever rules
    in one domain does not say who comes in by the provider of another."""
    if await call.store.fetchval(FOREIGN, [one["idp_id"] for one in asked], domain_id):
        call.require("admin_required")


async def links_set(tx: Tx, user_id: str, asked: Sequence[dict[str, Any]]) -> None:
    """Let a user stand for these, and for no others; for whom it stands no more, its tokens are revoked.

    Raises BadRequest for a provider or protocol that does not exist, Conflict when another user stands for one.
    """
    wanted: list[_Link] = []
    for one in asked:
        for protocol in one["protocols"]:
            if await protocol_find(tx, one["idp_id"], protocol["protocol_id"]) is None:
                raise BadRequest(f"Could not find protocol {protocol['protocol_id']} of provider {one['idp_id']}.")
            wanted.append((one["idp_id"], protocol["protocol_id"], protocol["unique_id"]))
    before = {tuple(row) for row in await tx.fetch(OF_USER, user_id)}
    await tx.execute(FORGET, user_id)
    await tx.execute(LEAVE, user_id, [provider_id for provider_id, _, _ in wanted])
    try:
        await tx.executemany(LINK, [(*link, user_id) for link in dict.fromkeys(wanted)])
    except asyncpg.UniqueViolationError:
        raise Conflict("Another user stands for this one of the identity provider already.") from None
    if before - set(wanted):
        await revoke(tx, {"user_id": user_id})


def links_filter(call: Call, where: Where) -> None:
    """`idp_id=`, `protocol_id=` and `unique_id=`: users who stand for such ones."""
    asked = [(column, query_text(call, name)) for name, column in FILTERS.items() if name in call.query]
    if asked:
        conditions = " AND ".join(f"{column} = {{}}" for column, _ in asked)
        select = f"u.id IN (SELECT user_id FROM identity.federated_user WHERE {conditions})"
        where.add(select, *(value for _, value in asked))


async def membership_expiries(db: Any, user_id: str) -> dict[str, str | None]:
    """When a user's memberships end, by group; those that last are not among them."""
    return {row["group_id"]: micros_z(row["expires_at"]) for row in await db.fetch(EXPIRIES, user_id)}
