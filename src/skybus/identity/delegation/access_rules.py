"""Access rules: which requests the tokens of an application credential may make. A rule never changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from skybus import clock
from skybus.errors import BadRequest, Forbidden, Unauthorized
from skybus.http.caller import Caller
from skybus.identity.auth.tokens import NO_ENTRY
from skybus.identity.delegation.access_rule_paths import PathPattern
from skybus.identity.rows import missing
from skybus.ids import new_hex_id
from skybus.messages.identity_delegation import AccessRuleCreated, AccessRuleDeleted
from skybus.store import Store, Tx

Row = Any
MOST = 1000
"""Rules of one user."""
REMEMBERED = 2000
"""Credentials whose rules a process keeps in memory."""

LIST = "SELECT a.id, a.service, a.method, a.path FROM identity.access_rule a"
GET = f"{LIST} WHERE a.id = $1 AND a.user_id = $2"
OF_CREDENTIAL = f"""
{LIST} JOIN identity.application_credential_access_rule x ON x.rule_id = a.id WHERE x.credential_id = $1
"""
SAME = f"{LIST} WHERE a.user_id = $1 AND a.service = $2 AND a.method = $3 AND a.path = $4"
COUNT = "SELECT count(*) FROM identity.access_rule WHERE user_id = $1"
INSERT = """
INSERT INTO identity.access_rule (id, user_id, service, method, path, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
USE = "INSERT INTO identity.application_credential_access_rule SELECT $1, unnest($2::text[])"
LOCK = f"{GET} FOR UPDATE"
IN_USE = "SELECT EXISTS (SELECT 1 FROM identity.application_credential_access_rule WHERE rule_id = $1)"
DELETE = "DELETE FROM identity.access_rule WHERE id = $1"

SERVICES: Mapping[str, tuple[str, ...]] = {
    "volume": ("block-storage", "volumev3", "volumev2", "volume", "block-store"),
    "events": ("event-stream",),
}
"""Where a service stands on the gateway, and the types that rules call it by, where these are not the same word."""


async def rule_get(db: Any, user_id: str, rule_id: str) -> Row:
    """A user's rule. Raises NotFound."""
    row = await db.fetchrow(GET, rule_id, user_id)
    if row is None:
        raise missing("access_rule", rule_id)
    return row


async def rules_use(tx: Tx, user_id: str, credential_id: str, asked: Sequence[Mapping[str, str]]) -> None:
    """Give a new credential the rules that it asks for, by id or by what they say; a rule that its user has already is
    used again. Raises BadRequest for one that is not there, Forbidden when the user has too many."""
    if not asked:
        return
    # Rules that are being looked for are neither made twice nor deleted.
    await tx.lock("identity", "access_rule", user_id)
    ids = [await _rule_id(tx, user_id, rule) for rule in asked]
    await tx.execute(USE, credential_id, list(dict.fromkeys(ids)))


async def _rule_id(tx: Tx, user_id: str, asked: Mapping[str, str]) -> str:
    if "id" in asked:
        row = await tx.fetchrow(GET, asked["id"], user_id)
        if row is None:
            raise BadRequest(f"Invalid application credential: there is no access rule {asked['id']}.")
        return str(row["id"])
    if not {"service", "method", "path"}.issubset(asked):
        raise BadRequest("An access rule is named by its id, or says service, method and path.")
    said = asked["service"], asked["method"], asked["path"]
    row = await tx.fetchrow(SAME, user_id, *said)
    if row is not None:
        return str(row["id"])
    if await tx.fetchval(COUNT, user_id) >= MOST:
        raise Forbidden(f"A user can have at most {MOST} access rules.")
    rule_id = new_hex_id()
    await tx.execute(INSERT, rule_id, user_id, *said, clock.now())
    service, method, path = said
    event = AccessRuleCreated(access_rule_id=rule_id, user_id=user_id, service=service, method=method, path=path)
    tx.publish(event, project_id="")
    return rule_id


async def rule_delete(tx: Tx, user_id: str, rule_id: str) -> None:
    """Delete a rule. Raises NotFound, or Forbidden while an application credential has it: it would be less limited."""
    await tx.lock("identity", "access_rule", user_id)
    if await tx.fetchrow(LOCK, rule_id, user_id) is None:
        raise missing("access_rule", rule_id)
    if await tx.fetchval(IN_USE, rule_id):
        raise Forbidden("May not delete access rule in use.")
    await tx.execute(DELETE, rule_id)
    tx.publish(AccessRuleDeleted(access_rule_id=rule_id, user_id=user_id), project_id="")


def rule_view(row: Row, base: str) -> dict[str, Any]:
    """A rule as the API shows it alone."""
    links = {"self": f"{base}/access_rules/{row['id']}"}
    return {"id": row["id"], "service": row["service"], "method": row["method"], "path": row["path"], "links": links}


class _Rule(NamedTuple):
    service: str
    method: str
    pattern: PathPattern


class AccessRules:
    """Holds requests against the rules of the credential that their token was made by.

    The rules of a credential never change while it lives, and its tokens die with it: what was read once stays true.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: OrderedDict[str, list[_Rule]] = OrderedDict()

    async def check(self, caller: Caller, method: str, path: str) -> None:
        """Raises Unauthorized, as the middleware of OpenStack's services does, unless a rule allows the request.
        Asks the database when this process sees the credential for the first time."""
        place, inside = _split(path)
        if (place, method, inside) == ("identity", "GET", "/v3/auth/tokens"):
            return  # a token can always be looked at
        services = SERVICES.get(place, (place,))
        for rule in await self._rules(caller.ruled_by or ""):
            if rule.method == method and rule.service in services and rule.pattern.matches(inside):
                return
        raise Unauthorized(NO_ENTRY)

    async def _rules(self, credential_id: str) -> list[_Rule]:
        kept = self._kept.get(credential_id)
        if kept is not None:
            self._kept.move_to_end(credential_id)
            return kept
        rows = await self.store.fetch(OF_CREDENTIAL, credential_id)
        rules = [_Rule(row["service"], row["method"], PathPattern(row["path"])) for row in rows]
        self._kept[credential_id] = rules
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return rules


def _split(path: str) -> tuple[str, str]:
    """(where the service stands, the path inside it), as the router reads a path: empty parts do not count."""
    first, *rest = [part for part in path.split("/") if part] or [""]
    return first, "/" + "/".join(rest)
