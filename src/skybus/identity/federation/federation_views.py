"""What a token's answer shows of the identity provider behind it."""

from __future__ import annotations

from typing import Any

from skybus.identity.auth.claims import Claims

GROUPS = """
SELECT group_id FROM identity.expiring_membership
 WHERE user_id = $1 AND identity_provider_id = $2 AND expires_at > now()
 ORDER BY group_id
"""


async def federation_view(db: Any, claims: Claims) -> dict[str, Any]:
    """`OS-FEDERATION` of a federated user's token."""
    provider_id, protocol_id = claims.federation or ("", "")
    rows = await db.fetch(GROUPS, claims.user_id, provider_id)
    return {
        "groups": [{"id": row["group_id"]} for row in rows],
        "identity_provider": {"id": provider_id},
        "protocol": {"id": protocol_id},
    }
