"""A cloud that believes a real OpenID provider."""

from __future__ import annotations

from typing import Any

import msgspec
from identity_cloud import Cloud

from skybus.config import OpenIdProvider
from skybus.identity.federation.oidc_providers import OpenIdProviders
from support.front import Answer
from support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenId

AT = "/OS-FEDERATION/identity_providers/people"
BY_NAME = {
    "local": [{"user": {"name": "{0}", "email": "{1}"}}],
    "remote": [{"type": "OIDC-sub"}, {"type": "OIDC-email"}],
}
BY_GROUP = {"local": [{"groups": "{0}", "domain": {"name": "Default"}}], "remote": [{"type": "OIDC-groups"}]}


class Believing:
    """A cloud with the identity provider `people`, its protocol `openid` and a mapping."""

    def __init__(self, cloud: Cloud, openid: OpenId) -> None:
        self.cloud, self.openid = cloud, openid
        self.domain_id = ""

    async def set_up(self, rules: list[Any], **provider: Any) -> None:
        """Make provider, mapping and protocol."""
        issuer = self.openid.issuer
        body = {"identity_provider": {"enabled": True, "remote_ids": [issuer], **provider}}
        made = await self.cloud.call("PUT", AT, body)
        assert made.status == 201, made
        self.domain_id = made.body["identity_provider"]["domain_id"]
        await self.put("/OS-FEDERATION/mappings/people", {"mapping": {"rules": rules}})
        await self.put(AT + "/protocols/openid", {"protocol": {"mapping_id": "people"}})
        await self.believe()

    async def believe(self, **other: Any) -> None:
        """Have the provider in the configuration."""
        known = OpenIdProvider(issuer=self.openid.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        await self.cloud.identity.openid.close()
        self.cloud.identity.openid = OpenIdProviders([msgspec.structs.replace(known, **other)])

    async def put(self, path: str, body: Any) -> None:
        answer = await self.cloud.call("PUT", path, body)
        assert answer.status == 201, answer

    async def rules(self, *rules: Any) -> None:
        """Put other rules in."""
        answer = await self.cloud.call("PATCH", "/OS-FEDERATION/mappings/people", {"mapping": {"rules": list(rules)}})
        assert answer.status == 200, answer

    async def come(self, token: str, method: str = "POST", at: str = AT + "/protocols/openid/auth") -> Answer:
        """Show a token of the provider."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.cloud.client.call(method, "/identity/v3" + at, token=None, headers=headers)

    async def alice(self) -> Answer:
        """Alice comes in."""
        answer = await self.come(await self.openid.by_password("alice"))
        assert answer.status == 201, answer
        return answer
