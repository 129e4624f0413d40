"""Auth receipts: a signed note that some of the methods a user must show were shown, to go on with the others.

Signed with keys of their own, made from those of the tokens: a receipt is never a token, whatever is done to its text.
"""

from __future__ import annotations

import hmac

from skybus import clock
from skybus.errors import Unauthorized
from skybus.identity.auth.claims import PREFIX as TOKEN_PREFIX
from skybus.identity.auth.claims import Claims, new_audit_id, seal, unseal
from skybus.identity.auth.tokens import Tokens

PREFIX = "rcp1."
LOST = "Could not find auth receipt."


class Receipts:
    """Makes and reads receipts that live `seconds`."""

    def __init__(self, tokens: Tokens, *, seconds: int) -> None:
        self.tokens = tokens
        self.seconds = seconds

    def issue(self, user_id: str, user_domain_id: str, methods: tuple[str, ...], revision: int) -> tuple[str, Claims]:
        """A receipt, and what it says: `user_id` has shown `methods`."""
        now = int(clock.now().timestamp())
        claims = Claims(
            user_id=user_id,
            user_domain_id=user_domain_id,
            methods=methods,
            audit_ids=(new_audit_id(),),
            issued_at=now,
            expires_at=now + self.seconds,
            revision=revision,
        )
        keys = self.tokens.keys
        keys.refresh()
        return PREFIX + seal(claims, _own(keys.signing)).removeprefix(TOKEN_PREFIX), claims

    def read(self, receipt: str, user_id: str) -> Claims:
        """What `receipt` says. Raises Unauthorized unless it is one of this user's, young, and not revoked.

        The caller has caught up with the revocations: what revokes a user's tokens ends its receipts.
        """
        claims = self._unsealed(receipt)
        if claims is None or claims.user_id != user_id or claims.expires_at <= clock.now().timestamp():
            raise Unauthorized(LOST)
        if self.tokens.revocations.covers(claims):
            raise Unauthorized(LOST)
        return claims

    def _unsealed(self, receipt: str) -> Claims | None:
        if not receipt.startswith(PREFIX):
            return None
        text = TOKEN_PREFIX + receipt[len(PREFIX) :]
        keys = self.tokens.keys
        claims = unseal(text, [_own(key) for key in keys.verifying])
        if claims is None and keys.refresh():
            claims = unseal(text, [_own(key) for key in keys.verifying])
        return claims


def _own(key: bytes) -> bytes:
    return hmac.digest(key, b"auth receipt", "sha256")
