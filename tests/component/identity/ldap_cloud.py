"""A cloud with a domain whose users come from a real directory."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from identity_cloud import Cloud

from support.front import Answer
from support.slapd import PASSWORD, Slapd, options


class Directed:
    """A cloud and its domain `people`."""

    def __init__(self, cloud: Cloud, directory: Slapd) -> None:
        self.cloud, self.directory = cloud, directory
        self.domain_id = ""

    async def set_up(self, **more: Any) -> None:
        """Make the domain, and give it its directory."""
        self.domain_id = (await self.cloud.made("domain", name="people"))["id"]
        answer = await self.configure(**more)
        assert answer.status == 201, answer

    async def configure(self, **more: Any) -> Answer:
        """Set the domain's options."""
        config = {"config": options(more.pop("url", self.directory.url), **more)}
        return await self.cloud.call("PUT", f"/domains/{self.domain_id}/config", config)

    async def login(self, name: str, password: str = PASSWORD, scope: Any = None, **domain: str) -> Answer:
        """Authenticate by name and password."""
        user = {"name": name, "domain": domain or {"name": "people"}, "password": password}
        return await self.cloud.auth({"methods": ["password"], "password": {"user": user}}, scope)

    async def user(self, name: str) -> Any:
        """The user of this name, as the API has it."""
        found = (await self.cloud.call("GET", f"/users?name={quote(name)}&domain_id={self.domain_id}")).body
        return found["users"][0] if found["users"] else None
