"""Identity as one process has it: the pieces that handlers use, put together."""

from __future__ import annotations

import asyncio
from typing import Any

from skybus.config import Gateway, SecurityCompliance, openid_providers
from skybus.config import Identity as Settings
from skybus.identity.audit.audit_journal import Journal
from skybus.identity.auth.keys import Keys
from skybus.identity.auth.revocation_watch import RevocationWatch
from skybus.identity.auth.tokens import Tokens
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.delegation.access_rules import AccessRules
from skybus.identity.directory import Directory
from skybus.identity.federation.oidc_providers import OpenIdProviders
from skybus.identity.ldap.ldap_domains import LdapDomains
from skybus.identity.ldap.ldap_watch import LdapWatch
from skybus.identity.limits.limit_models import FLAT, MODELS
from skybus.identity.login.login import SETTINGS, Login
from skybus.identity.login.password_rules import NO_RULES
from skybus.identity.login.passwords import Passwords
from skybus.messages.identity_credentials import KeysChanged
from skybus.store import Store


class Identity:
    """Tokens, names and logins of one process. `apply_event` must hear every `skybus.identity.*` event."""

    def __init__(
        self,
        store: Store,
        tokens: Tokens,
        passwords: Passwords,
        settings: Settings = SETTINGS,
        compliance: SecurityCompliance = NO_RULES,
    ) -> None:
        self.store = store
        self.tokens = tokens
        self.directory = Directory(store)
        self.access_rules = AccessRules(store)
        self.passwords = passwords
        self.openid = OpenIdProviders()
        self.limit_model = FLAT
        self.login = Login(store, tokens, passwords, settings, compliance)
        self.login.memory.changed = self.directory.forget
        self._watching: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self.login.ldap.apply = self.apply_event
        self.journal = Journal(store)
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        store: Store,
        config: Gateway,
        settings: Settings = SETTINGS,
        compliance: SecurityCompliance = NO_RULES,
    ) -> Identity:
        """Read the keys, learn the revocations and watch them until `close`. Begin to keep events before, and apply
        them after.

        Raises ConfigError without a token key, or where projects are deeper than the limit model allows.
        """
        keys = await asyncio.to_thread(Keys, config.token_key_dir)
        passwords = await asyncio.to_thread(Passwords, config.password_rounds)
        identity = cls(store, Tokens(keys, seconds=config.token_seconds), passwords, settings, compliance)
        trust = config.revocation_trust_seconds
        identity.tokens.watch = RevocationWatch(
            store, identity.tokens.revocations, trust_seconds=trust, changed=identity.directory.forget
        )
        identity.limit_model = MODELS[config.limit_model]
        identity.openid = OpenIdProviders(await asyncio.to_thread(openid_providers, config))
        await identity.limit_model.check_tree(store)
        identity.login.credential_keys = await asyncio.to_thread(CredentialKeys, config.credential_key_dir)
        await identity.tokens.load(store)
        identity._watching = asyncio.create_task(identity.tokens.watch.run())
        identity._writing = asyncio.create_task(identity.journal.run())
        identity._asking = asyncio.create_task(LdapWatch(identity.ldap, token_seconds=config.token_seconds).run())
        return identity

    @property
    def ldap(self) -> LdapDomains:
        """The domains whose users come from a directory."""
        return self.login.ldap

    @property
    def settings(self) -> Settings:
        """How logins go."""
        return self.login.settings

    @property
    def compliance(self) -> SecurityCompliance:
        """What passwords and logins must obey."""
        return self.login.compliance

    async def close(self) -> None:
        """End the watch, write what the journal has noted, and give the threads back."""
        await self.end_watch()
        await self.openid.close()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self.ldap.close()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            await self.journal.write()
        self.passwords.close()

    async def end_watch(self) -> None:
        """Learn of revocations by events alone from now on, as a process without others may."""
        self.tokens.watch = None
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def services(self) -> dict[str, Any]:
        """What the handlers of this package, and of others, ask the gateway for by name."""
        return {"identity": self, "tokens": self.tokens, "directory": self.directory, "access_rules": self.access_rules}

    async def apply_event(self, kind: str, body: dict[str, Any]) -> None:
        """Take note of an identity event, whichever process caused it; twice does no harm."""
        if kind == KeysChanged.TYPE:
            self.tokens.keys.refresh()
            self.login.credential_keys.refresh()
        await self.tokens.apply_event(kind, body)
        await self.directory.apply_event(kind, body)
        self.login.memory.forget()
        self.ldap.apply_event(kind)
