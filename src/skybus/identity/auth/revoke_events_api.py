"""What was revoked, as Keystone tells those who judge tokens by themselves (OS-REVOKE): routes.

Ours need not ask: every gateway knows it. A revocation of what is gone by now names what it can.
"""

from __future__ import annotations

from typing import Any

from skybus.http.call import Call, Reply
from skybus.http.paging import Where
from skybus.http.routes import NO_BODY, Route
from skybus.http.times import micros_z, parse
from skybus.identity.auth.claims import SYSTEM
from skybus.identity.rows import listing, query_text

Row = Any

KEY = "lpad(v.id::text, 20, '0')"
SELECT = f"""
SELECT {KEY} AS id, v.audit_id, v.user_id, v.target, v.domain_id, v.role, v.delegation_id, v.revoked_at,
       r.id AS role_id, p.is_domain
  FROM identity.revocation v
  LEFT JOIN identity.role r ON r.name = v.role AND r.domain_id IS NULL
  LEFT JOIN identity.project p ON p.id = v.target
"""


async def list_revoke_events(call: Call) -> Reply:
    """`GET /OS-REVOKE/events`, with `since` (ISO 8601)."""
    where = Where()
    if "since" in call.query:
        where.add("v.revoked_at >= {}", parse(query_text(call, "since"), "since"))
    return await listing(call, "events", SELECT, where, revoke_event_view, KEY)


def revoke_event_view(row: Row, base: str) -> dict[str, Any]:
    """Tokens are meant that were issued before the time, and match all the rest."""
    moment = micros_z(row["revoked_at"])
    event = {"issued_before": moment, "revoked_at": moment, **_scope(row)}
    for name, column in (("audit_id", "audit_id"), ("user_id", "user_id"), ("role_id", "role_id")):
        event[name] = row[column]
    if row["domain_id"] is not None:
        event["domain_id"] = row["domain_id"]
    if row["role_id"] is None:
        event["role_name"] = row["role"]
    event["delegation_id"] = row["delegation_id"]
    return {name: value for name, value in event.items() if value is not None}


def _scope(row: Row) -> dict[str, Any]:
    if row["target"] == SYSTEM:
        return {"system": "all"}
    return {"domain_scope_id" if row["is_domain"] else "project_id": row["target"]}


ROUTES = [
    Route(
        method="GET",
        path="/v3/OS-REVOKE/events",
        handler=list_revoke_events,
        policy="identity:list_revoke_events",
        body=NO_BODY,
    )
]
