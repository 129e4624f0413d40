"""Tokens: made, believed and revoked without the database or the network on the way of a request."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from skybus import clock
from skybus.errors import NotFound, Unauthorized
from skybus.http.caller import Caller
from skybus.identity.auth.claims import IMAGE_READER, Claims, new_audit_id, seal, unseal
from skybus.identity.auth.keys import Keys
from skybus.identity.auth.revocation_watch import RevocationWatch
from skybus.identity.auth.revocations import Revocations, revoke
from skybus.identity.delegation.delegations import DelegationKey
from skybus.messages.identity import TokensRevoked
from skybus.store import Tx

NO_ENTRY = "The request you have made requires authentication."


class _Known:
    """A token whose signature was checked before."""

    __slots__ = ("caller", "claims", "expires", "generation")

    def __init__(self, claims: Claims, token: str) -> None:
        self.claims = claims
        self.caller = claims.caller(token)
        self.expires = float(claims.expires_at)
        self.generation = -1


class Tokens:
    """Issues and reads tokens; `seconds` is how long one lives. At most `remembered` tokens are kept in memory."""

    def __init__(
        self, keys: Keys, revocations: Revocations | None = None, *, seconds: int = 3600, remembered: int = 5_000
    ) -> None:
        self.keys = keys
        self.revocations = revocations if revocations is not None else Revocations()
        self.seconds = seconds
        self.watch: RevocationWatch | None = None
        """What keeps the revocations true, in a process that answers others."""
        self._remembered = remembered
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def load(self, store: Any) -> None:
        """Learn all revocations that hold. Call it before the first request, when events are already being kept."""
        await self.revocations.load(store)

    async def catch_up(self, db: Any) -> int:
        """Learn the revocations that no event has told of yet; answer the revision that a new token must carry.

        What is read from the database after this call has seen every revocation up to that one.
        """
        return await self.revocations.catch_up(db)

    async def apply_event(self, kind: str, body: dict[str, Any]) -> None:
        """Take note of an identity event, whichever process caused it."""
        if kind == TokensRevoked.TYPE:
            self.revocations.apply_body(body)

    async def authenticate(self, token: str) -> Caller:
        """The caller whom `token` names. About 1 µs for a known token.

        Raises Unauthorized when it is not good now, Unavailable when nobody can say because the database has not been
        heard of for too long.
        """
        if self.watch is not None and not self.watch.young:
            await self.watch.need()
        return self._good(token).caller

    def claims(self, token: str) -> Claims:
        """What `token` says. Raises Unauthorized when it is not good now."""
        return self._good(token).claims

    def subject(self, token: str, expired_seconds: int = 0) -> Claims:
        """What the token that a call is about says. Raises NotFound when it is not a good token of a user; one that
        ended at most `expired_seconds` ago is good enough."""
        try:
            claims = self._good(token, expired_seconds).claims
        except Unauthorized:
            raise NotFound("Could not find token.") from None
        if claims.image_id is not None:
            raise NotFound("Could not find token.")
        return claims

    def _good(self, token: str, expired_seconds: int = 0) -> _Known:
        known = self._known.get(token)
        if known is None:
            known = self._read(token)
        else:
            self._known.move_to_end(token)
        if known.expires + expired_seconds <= clock.now().timestamp():
            self._known.pop(token, None)
            raise Unauthorized(NO_ENTRY)
        generation = self.revocations.generation
        if known.generation != generation:
            if self.revocations.covers(known.claims):
                self._known.pop(token, None)
                raise Unauthorized(NO_ENTRY)
            known.generation = generation
        return known

    def _read(self, token: str) -> _Known:
        claims = unseal(token, self.keys.verifying)
        if claims is None and self.keys.refresh():
            claims = unseal(token, self.keys.verifying)
        if claims is None:
            raise Unauthorized(NO_ENTRY)
        known = self._known[token] = _Known(claims, token)
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return known

    def issue(
        self,
        *,
        user_id: str,
        user_domain_id: str,
        methods: tuple[str, ...],
        revision: int,
        project_id: str | None = None,
        project_domain_id: str | None = None,
        domain_id: str | None = None,
        system: bool = False,
        roles: tuple[str, ...] = (),
        parent: Claims | None = None,
        expires_at: int | None = None,
        delegation: DelegationKey | None = None,
        federation: tuple[str, str] | None = None,
        credential_id: str | None = None,
    ) -> tuple[str, Claims]:
        """A new token and what it says.

        It lives `seconds`, less when `expires_at` (seconds since 1970) or the `parent` token that it is made from ends
        earlier: authenticating again with a token never prolongs it.
        """
        now = int(clock.now().timestamp())
        ends = [now + self.seconds]
        if expires_at is not None:
            ends.append(expires_at)
        if parent is not None:
            ends.append(parent.expires_at)
        claims = Claims(
            user_id=user_id,
            user_domain_id=user_domain_id,
            methods=methods,
            audit_ids=(new_audit_id(),) if parent is None else (new_audit_id(), parent.audit_ids[-1]),
            issued_at=now,
            expires_at=min(ends),
            revision=revision,
            project_id=project_id,
            project_domain_id=project_domain_id,
            domain_id=domain_id,
            system=system,
            roles=roles,
            delegation=delegation,
            federation=federation,
            credential_id=credential_id if parent is None else parent.credential_id,
        )
        return self._sealed(claims), claims

    def issue_image_token(self, image_id: str, seconds: int = 600) -> str:
        """A token by which a host may read the data of one image for `seconds`, and do nothing else.

        Its caller has `image_id` set, the role `service`, and no project.
        """
        now = int(clock.now().timestamp())
        return self._sealed(
            Claims(
                user_id=IMAGE_READER,
                user_domain_id="default",
                methods=("image",),
                audit_ids=(new_audit_id(),),
                issued_at=now,
                expires_at=now + seconds,
                revision=0,
                roles=("service",),
                image_id=image_id,
            )
        )

    def _sealed(self, claims: Claims) -> str:
        self.keys.refresh()
        return seal(claims, self.keys.signing)

    async def revoke(self, tx: Tx, claims: Claims) -> None:
        """Revoke one token when `tx` commits."""
        await revoke(tx, {"audit_id": claims.audit_ids[0]})
