"""Logins, and what was refused: noted as the answer goes out, gathered for a moment, and written together.

They cost the one who asks nothing, and whoever asks a million times fills neither the memory nor the table: what is
alike is counted in one row, and of what differs a bounded number is told apart. What a process that is killed has noted
in its last moments is lost; a change never is, for its row is written with it (`audit_events.py`).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import structlog
from aiohttp import web

from skybus.errors import CloudError
from skybus.http.call import Call
from skybus.http.routes import PUBLIC
from skybus.identity.audit.audit_events import AuditEvent, audit_event_of, audit_events_insert, initiator_is
from skybus.identity.auth.claims import unseal
from skybus.store import Store

log = structlog.get_logger()

SECONDS = 2.0
"""Between two writes."""
MOST = 200
"""Rows of one action and outcome that one write tells apart; the rest are one row without particulars."""
TOO_MANY = "audit.too-many"
MORE_NEEDED = "identity.more-methods-needed"
"""The reason of a login of which a part was good: an auth receipt was the answer."""

AUTHENTICATE = "identity.authenticate"
DENIED = "identity.denied"
REFUSALS = (401, 403, 404)
"""What a login that fails ends in: who shows nothing good, asks for what it may not, or shows a dead token."""
_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_Key = tuple[Any, ...]


class Journal:
    """What one process has noted and not yet written."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._noted: dict[_Key, AuditEvent] = {}
        self._kinds: dict[tuple[str, str], int] = {}

    def note(self, event: AuditEvent) -> None:
        """Keep `event`, or count it in one that is like it."""
        kind = (event.action, event.outcome)
        key: _Key = (*kind, event.reason, event.request, event.user_id, *sorted(event.said.items()))
        key = (*key, event.project_id, event.domain_id, event.system, event.delegation_id, event.address)
        key = (*key, event.target_id)
        known = self._noted.get(key)
        if known is None and self._kinds.get(kind, 0) >= MOST:
            key = (*kind, TOO_MANY)
            known = self._noted.get(key)
            event = _without_particulars(event)
        if known is not None:
            known.times = min(known.times + 1, 2**31 - 1)
            return
        self._noted[key] = event
        self._kinds[kind] = self._kinds.get(kind, 0) + 1

    async def write(self) -> None:
        """Write what was noted. What cannot be written is noted again, within the bounds."""
        noted, self._noted, self._kinds = list(self._noted.values()), {}, {}
        if not noted:
            return
        try:
            async with self.store.transaction() as tx:
                await audit_events_insert(tx, noted)
        except (CloudError, OSError, TimeoutError) as error:
            log.warning("audit_not_written", events=len(noted), reason=str(error))
            for event in noted:
                self.note(event)

    async def run(self) -> None:
        """Write from time to time, until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.write()
            except Exception:
                log.exception("audit_not_written")


def _without_particulars(event: AuditEvent) -> AuditEvent:
    return AuditEvent(
        action=event.action,
        outcome=event.outcome,
        reason=TOO_MANY,
        target_type=event.target_type,
        target_id=None,
        request=event.request,
        request_id=event.request_id,
    )


def witness(call: Call, response: web.StreamResponse | None, error: CloudError | None) -> None:
    """Note a login, a login that failed, or a change that the caller was not allowed."""
    event = None
    if error is None and response is not None and "X-Subject-Token" in response.headers:
        event = _login(call, response.headers["X-Subject-Token"])
    elif call.route.policy == PUBLIC and _status(response, error) in REFUSALS:
        reason = error.code if error is not None else MORE_NEEDED
        event = audit_event_of(call, AUTHENTICATE, "failure", ("user", None), reason=reason, said=_said(call))
    elif error is not None and error.status == 403 and not call.anonymous and call.route.method != "GET":
        event = audit_event_of(call, DENIED, "failure", _target(call), reason=error.code)
    if event is not None:
        call.service("identity").journal.note(event)


def _status(response: web.StreamResponse | None, error: CloudError | None) -> int:
    if error is not None:
        return error.status
    return response.status if response is not None else 0


def _login(call: Call, token: str) -> AuditEvent | None:
    """A token was made, and not only looked at."""
    if call.route.method != "POST" and call.route.policy != PUBLIC:
        return None
    # Read beside the memory of tokens: many a token is made and never shown again.
    claims = unseal(token, call.service("tokens").keys.verifying)
    if claims is None:
        return None
    event = audit_event_of(call, AUTHENTICATE, "success", ("user", claims.user_id))
    initiator_is(event, claims)
    event.details = {"methods": list(claims.methods)}
    return event


def _target(call: Call) -> tuple[str, str | None]:
    """What the path names last."""
    if not call.args:
        return call.route.path.rpartition("/")[2].removesuffix("s"), None
    name, value = list(call.args.items())[-1]
    return name.removesuffix("_id").replace("_", "-"), value if _ID.fullmatch(value) else None


def _said(call: Call) -> dict[str, str]:
    """Who the caller of a login said to be. The body has passed its schema, or there is none."""
    if "user_id" in call.args:
        return {"user_id": call.args["user_id"]}
    try:
        identity = call.body["auth"]["identity"]
        for method in ("password", "totp", "application_credential"):
            if method in identity.get("methods", ()):
                return _texts(identity[method])
    except (AttributeError, KeyError, TypeError):
        pass
    return {}


def _texts(shown: Any) -> dict[str, str]:
    user = shown.get("user", {})
    domain = user.get("domain", {})
    found = {"user_id": user.get("id"), "name": user.get("name")}
    found |= {"domain_id": domain.get("id"), "domain_name": domain.get("name")}
    found["application_credential_id"] = shown.get("id")
    return {name: text for name, text in found.items() if isinstance(text, str) and len(text) <= 255}
