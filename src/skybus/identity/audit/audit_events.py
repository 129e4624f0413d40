"""The audit trail's rows: who did what to what, when, from where, and how it ended. No secret stands in one.

What changed is taken from the events that tell of it, in the transaction that changes it: there is no change without
its row, and no row without its change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from skybus import clock
from skybus.http.call import Call
from skybus.http.times import micros_z
from skybus.identity.auth.claims import Claims, unseal
from skybus.ids import first_id_at, new_id
from skybus.messages.identity import PREFIX, TokensRevoked
from skybus.store import Store, Tx

CADF_EVENT = "http://schemas.dmtf.org/cloud/audit/1.0/event"
TARGET_TYPES = {
    "user": "data/security/account/user",
    "group": "data/security/group",
    "project": "data/security/project",
    "domain": "data/security/domain",
    "role": "data/security/role",
    "region": "data/security/region",
    "service": "data/security/service",
    "endpoint": "data/security/endpoint",
    "policy": "data/security/policy",
    "trust": "data/security/trust",
    "credential": "data/security/credential",
    "application-credential": "data/security/credential",
}
"""CADF's names, where it has one more exact than UNTYPED."""
UNTYPED = "data/security"

COLUMNS = (
    "id, time, action, outcome, reason, times, user_id, project_id, domain_id, system, token_id, delegation_kind, "
    "delegation_id, address, agent, request_id, global_request_id, request, target_type, target_id, details"
)
LIST = f"SELECT {COLUMNS} FROM identity.audit_event"
GET = f"{LIST} WHERE id = $1::uuid"
# Whoever says to be a user is kept as that user if there is one; other names are not kept, for people type passwords
# where their names belong.
INSERT = f"""
INSERT INTO identity.audit_event ({COLUMNS})
SELECT e.id::uuid, e.time, e.action, e.outcome, e.reason, e.times,
       COALESCE(e.user_id,
                (SELECT u.id FROM identity."user" u WHERE u.id = e.said ->> 'user_id'),
                (SELECT u.id FROM identity."user" u JOIN identity.project d ON d.id = u.domain_id
                  WHERE u.name = e.said ->> 'name'
                    AND (d.id = e.said ->> 'domain_id' OR d.name = e.said ->> 'domain_name')),
                (SELECT c.user_id FROM identity.application_credential c
                  WHERE c.id = e.said ->> 'application_credential_id')),
       e.project_id, e.domain_id, e.system, e.token_id, e.delegation_kind, e.delegation_id, e.address, e.agent,
       e.request_id, e.global_request_id, e.request, e.target_type, e.target_id, e.details
  FROM (SELECT t.*, details_text::jsonb AS details, said_text::jsonb AS said
          FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[],
                      $8::text[], $9::text[], $10::bool[], $11::text[], $12::text[], $13::text[], $14::text[],
                      $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],
                      $22::text[])
            AS t (id, time, action, outcome, reason, times, user_id, project_id, domain_id, system, token_id,
                  delegation_kind, delegation_id, address, agent, request_id, global_request_id, request, target_type,
                  target_id, details_text, said_text)) AS e
"""
FORGET = """
DELETE FROM identity.audit_event e
 USING (SELECT id FROM identity.audit_event WHERE id < $1::uuid ORDER BY id LIMIT $2) AS old
 WHERE e.id = old.id
"""
MOST_AGENT = 200
"""Characters that are kept of what a client says to be."""

Row = Any
_encode = msgspec.json.Encoder().encode


class AuditEvent(msgspec.Struct, kw_only=True):
    """A row that is about to be written."""

    action: str
    """`identity.user.created`, as the event is called, `identity.authenticate` or `identity.denied`."""
    outcome: str
    target_type: str
    target_id: str | None
    request: str
    """Method and route: what was called, and nothing that the caller wrote."""
    request_id: str
    reason: str | None = None
    times: int = 1
    user_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    token_id: str | None = None
    """The audit id of the token, which opens nothing."""
    delegation_kind: str | None = None
    delegation_id: str | None = None
    """By which application credential, trust or access token."""
    address: str | None = None
    agent: str | None = None
    global_request_id: str | None = None
    details: dict[str, Any] = {}
    said: dict[str, str] = {}
    """Who somebody said to be who has proven nothing; looked up when the row is written, and not kept itself."""
    id: str = msgspec.field(default_factory=new_id)
    time: datetime = msgspec.field(default_factory=clock.now)

    def columns(self) -> tuple[Any, ...]:
        """In the order of INSERT's arguments."""
        names = [name.strip() for name in COLUMNS.split(",")][:-1]
        details, said = _encode(self.details).decode(), _encode(self.said).decode()
        return (*(getattr(self, name) for name in names), details, said)


def audit_event_of(call: Call, action: str, outcome: str, target: tuple[str, str | None], **more: Any) -> AuditEvent:
    """An event whose initiator is the caller of `call`; `target` is its type and id."""
    event = AuditEvent(
        action=action,
        outcome=outcome,
        target_type=target[0],
        target_id=target[1],
        request=f"{call.request.method} {call.api.prefix}{call.route.path}",
        request_id=call.context.request_id,
        address=call.request.remote,
        agent=_printable(call.headers.get("User-Agent", ""))[:MOST_AGENT] or None,
        global_request_id=call.global_request_id,
    )
    if not call.anonymous:
        # The token has been believed already, and says more than what handlers are told of the caller.
        initiator_is(event, unseal(call.caller.token, call.service("tokens").keys.verifying))
    for name, value in more.items():
        setattr(event, name, value)
    return event


def initiator_is(event: AuditEvent, claims: Claims | None) -> None:
    """Let the user of a token be who did it."""
    if claims is None:
        return
    event.user_id, event.project_id, event.domain_id = claims.user_id, claims.project_id, claims.domain_id
    event.system, event.token_id = claims.system, claims.audit_ids[0]
    if claims.delegation is not None:
        event.delegation_kind, event.delegation_id = claims.delegation.kind, claims.delegation.id


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable())


async def changes_keep(tx: Tx, call: Call) -> None:
    """Write a row for each identity event that `tx` is about to publish. That tokens died with what they were made by
    goes without saying."""
    told = [post.envelope for post in tx.posts if post.envelope.type.startswith(PREFIX)]
    if len(told) > 1:
        told = [envelope for envelope in told if envelope.type != TokensRevoked.TYPE]
    events = []
    for envelope in told:
        kind = envelope.type.removeprefix("skybus.").rpartition(".")[0]
        target = (kind.split(".")[1], envelope.subject or None)
        details = msgspec.json.decode(envelope.body)
        events.append(audit_event_of(call, kind, "success", target, details=details))
    await audit_events_insert(tx, events)


async def audit_events_insert(tx: Tx, events: Sequence[AuditEvent]) -> None:
    """Write these, in one statement."""
    if events:
        columns = zip(*(event.columns() for event in events), strict=True)
        await tx.execute(INSERT, *(list(column) for column in columns))


async def audit_event_find(db: Any, event_id: str) -> Row | None:
    """The event, or None; `event_id` is a UUID."""
    return await db.fetchrow(GET, event_id)


async def audit_events_list(store: Store, condition: str, args: Iterable[Any], limit: int) -> list[Row]:
    """The newest `limit` events for which `condition` (WHERE and what follows, or nothing) holds, newest first."""
    return await store.fetch(f"{LIST} {condition} ORDER BY id DESC LIMIT {limit:d}", *args)


async def audit_events_forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete at most `limit` events from before a moment, the oldest first; answer how many."""
    return int((await tx.execute(FORGET, first_id_at(before), limit)).rpartition(" ")[2])


def _credential(row: Row) -> dict[str, str] | None:
    if row["delegation_id"] is None:
        return None
    return {"type": row["delegation_kind"], "id": row["delegation_id"]}


def audit_event_view(row: Row, base: str) -> dict[str, Any]:
    """An event in the words of CADF, with what happened to be known besides."""
    return {
        "id": row["id"],
        "typeURI": CADF_EVENT,
        "eventType": "activity",
        "eventTime": micros_z(row["time"]),
        "action": row["action"],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "times": row["times"],
        "initiator": {
            "typeURI": "service/security/account/user",
            "id": row["user_id"] or "unknown",
            "user_id": row["user_id"],
            "project_id": row["project_id"],
            "domain_id": row["domain_id"],
            "system": row["system"],
            "token_audit_id": row["token_id"],
            "credential": _credential(row),
            "host": {"address": row["address"], "agent": row["agent"]},
            "request_id": row["request_id"],
            "global_request_id": row["global_request_id"],
        },
        "target": {
            "typeURI": TARGET_TYPES.get(row["target_type"], UNTYPED),
            "type": row["target_type"],
            "id": row["target_id"] or "unknown",
        },
        "observer": {"typeURI": "service/security", "id": "identity"},
        "request": row["request"],
        "details": row["details"],
        "links": {"self": f"{base}/audit_events/{row['id']}"},
    }
