"""Authentication: from what somebody shows (password, token, application credential) to who it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from skybus import clock
from skybus.config import Identity, SecurityCompliance
from skybus.errors import BadRequest, Unauthorized
from skybus.identity.auth.claims import Claims
from skybus.identity.auth.tokens import NO_ENTRY, Tokens
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.credentials.ec2_memory import SignerMemory
from skybus.identity.ldap.ldap_domains import LdapDomains
from skybus.identity.login import by_application_credential, by_mapped, by_oauth1, by_password, by_token, by_totp
from skybus.identity.login.login_failures import attempt_settle, password_limit
from skybus.identity.login.login_memory import LoginMemory
from skybus.identity.login.password_rules import NO_RULES, inactive
from skybus.identity.login.passwords import Passwords
from skybus.identity.login.proof import Proven, both, live
from skybus.identity.login.receipts import Receipts
from skybus.identity.people.user_options import factor_rules, factors_suffice
from skybus.identity.people.users import user_seen

SETTINGS = Identity()

Method = Callable[["Login", Mapping[str, Any], int], Awaitable[Proven]]
"""(login, what is shown, the revision that a token of it must carry) -> who it is. Raises Unauthorized when what is
shown does not hold: all refusals of a person read, and take time, the same."""

METHODS: Mapping[str, Method] = {
    "password": by_password.prove,
    "token": by_token.prove,
    "mapped": by_mapped.prove,
    "openid": by_mapped.prove,
    "totp": by_totp.prove,
    "application_credential": by_application_credential.prove,
    "oauth1": by_oauth1.prove,
}


class MoreNeeded(Unauthorized):
    """What was shown holds, and the user's rules demand more methods; `receipt` keeps what was shown."""

    def __init__(self, receipt: str, claims: Claims, wanted: list[list[str]]) -> None:
        super().__init__(NO_ENTRY)
        self.receipt = receipt
        self.claims = claims
        self.wanted = wanted
        """Combinations of methods that suffice, which include some that were shown."""


class Login:
    """Checks what an authentication request shows."""

    def __init__(
        self,
        store: Any,
        tokens: Tokens,
        passwords: Passwords,
        settings: Identity = SETTINGS,
        compliance: SecurityCompliance = NO_RULES,
    ) -> None:
        self.store = store
        self.tokens = tokens
        self.passwords = passwords
        self.credential_keys = CredentialKeys()
        self.signers = SignerMemory(tokens)
        self.settings = settings
        self.compliance = compliance
        self.memory = LoginMemory(store, tokens.revocations)
        self.receipts = Receipts(tokens, seconds=settings.receipt_seconds)
        self.ldap = LdapDomains(store, lambda: self.credential_keys)

    async def prove(self, identity: Mapping[str, Any], receipt: str | None = None) -> Proven:
        """Who shows `identity` (the object of an authentication request), and perhaps the `receipt` of an earlier one.

        Raises Unauthorized when it does not hold, MoreNeeded when it does and the user must show more methods, NotFound
        for a dead token, BadRequest for a method without data.
        """
        # The revision comes before all that is read, so that a revocation in between kills the token; see revocations.
        revision = await self.memory.look()
        proven: Proven | None = None
        for name in dict.fromkeys(identity["methods"]):
            method = METHODS.get(name)
            if method is None:
                raise Unauthorized(f"Attempted to authenticate with an unsupported method: {name[:32]!r}.")
            if not isinstance(identity.get(name), Mapping):
                raise BadRequest(f"Expecting to find {name} in identity. The server could not comply with it.")
            found = await method(self, identity[name], revision)
            proven = found if proven is None else both(proven, found)
        assert proven is not None
        if inactive(self.compliance, proven.user, clock.now()):
            raise Unauthorized(NO_ENTRY)
        if receipt:
            proven = self._continued(proven, receipt)
        self._demand_factors(proven)
        await user_seen(self.store, proven.user["id"], self.compliance, proven.user["last_active_at"])
        return proven

    def _continued(self, proven: Proven, receipt: str) -> Proven:
        """The proof with the methods of a receipt. Raises Unauthorized for a receipt that is not good."""
        earlier = self.receipts.read(receipt, proven.user["id"]).methods
        methods = tuple(dict.fromkeys((*earlier, *proven.methods)))
        live(proven.user, password="password" in methods)
        return msgspec.structs.replace(proven, methods=methods)

    def _demand_factors(self, proven: Proven) -> None:
        user = proven.user
        rules = factor_rules(user["options"], METHODS)
        if factors_suffice(rules, proven.methods):
            return
        if any(limit is not None for limit in (proven.parent, proven.delegation, proven.federation, proven.expires_at)):
            # A receipt says who and how, and nothing of the limits that this proof has: it would be a way around them.
            raise Unauthorized(NO_ENTRY)
        text, claims = self.receipts.issue(user["id"], user["domain_id"], proven.methods, proven.revision)
        # Those that can be completed; a rule that has nothing of what was shown would tell how else to come in.
        wanted = [rule for rule in rules if set(rule) & set(proven.methods)]
        raise MoreNeeded(text, claims, wanted)

    async def check_password(self, user: Any | None, password: str) -> Any:
        """The user (a row of users.LOGIN, or None) if `password` is its own and it may act; the password may have
        expired. Raises Unauthorized, in the same words and after the same work whatever is wrong."""
        right = await self.passwords.check(password, user["hash"] if user is not None else None)
        able = user is not None and user["enabled"] and user["domain_enabled"]
        able = able and not inactive(self.compliance, user, clock.now())
        limit = password_limit(self.compliance)
        if limit is not None:
            # An attempt on a user that may not act counts for nobody, unless its password is wrong.
            right = await attempt_settle(self.store, limit, user if able or not right else None, right=right)
        if not right or not able:
            raise Unauthorized(NO_ENTRY)
        return user
