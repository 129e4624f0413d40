"""A client of one cloud: it logs in, finds the services in the catalog, and asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

ANSWER_SECONDS = 120.0


class Api:
    """The cloud that an entry of `clouds.yaml` names."""

    def __init__(self, http: aiohttp.ClientSession, cloud: dict[str, Any]) -> None:
        self.http = http
        self.auth = cloud["auth"]
        self.headers: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.project_id = self.user_id = ""

    @property
    def token(self) -> str:
        """The token that we use."""
        return self.headers["X-Auth-Token"]

    def password(self) -> dict[str, Any]:
        """The body that asks for a token with the password."""
        user = {
            "name": self.auth["username"],
            "domain": {"id": "default"},
            "password": self.auth["password"],
        }
        project = {"name": self.auth["project_name"], "domain": {"id": "default"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return {"auth": {"identity": identity, "scope": {"project": project}}}

    async def issue(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """A token and what it says. Raises RuntimeError when there is none."""
        async with self.http.post(f"{self.auth['auth_url'].rstrip('/')}/auth/tokens", json=body) as response:
            answer = await response.json()
            if response.status != 201:
                raise RuntimeError(f"asking for a token: {response.status} {answer}")
            return response.headers["X-Subject-Token"], answer["token"]

    async def login(self) -> None:
        """A token, and the catalog."""
        value, token = await self.issue(self.password())
        self.headers = {"X-Auth-Token": value}
        self.project_id, self.user_id = token["project"]["id"], token["user"]["id"]
        for service in token["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self.urls[service["type"]] = endpoint["url"].rstrip("/")
        self.urls["identity"] = self.auth["auth_url"].rstrip("/")
        self.urls["network"] += "/v2.0"
        self.urls["image"] += "/v2"

    async def call(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer below 400. Raises RuntimeError otherwise."""
        data = await self.raw(method, service, path, body, **headers)
        return json.loads(data) if data else None

    async def raw(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> bytes:
        """The bytes of an answer below 400. Raises RuntimeError otherwise."""
        url = self.urls[service] + path
        async with self.http.request(method, url, json=body, headers={**self.headers, **headers}) as response:
            data = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {url}: {response.status} {data[:300]!r}")
            return data

    async def unlimited(self) -> None:
        """No quotas for our project."""
        compute = {"instances": -1, "cores": -1, "ram": -1}
        await self.call("PUT", "compute", f"/os-quota-sets/{self.project_id}", {"quota_set": compute})
        network = {"port": -1, "network": -1, "subnet": -1}
        await self.call("PUT", "network", f"/quotas/{self.project_id}", {"quota": network})
        volume = {"volumes": -1, "gigabytes": -1}
        await self.call("PUT", "block-storage", f"/os-quota-sets/{self.project_id}", {"quota_set": volume})


@asynccontextmanager
async def api_of(cloud: dict[str, Any], *, connections: int = 0) -> AsyncIterator[Api]:
    """A client that is logged in, with so many connections at most; 0 is no limit."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), timeout=timeout) as http:
        api = Api(http, cloud)
        await api.login()
        yield api
