"""Users who never sit still: each creates servers and volumes, puts them together, and deletes them at odd moments.

They behave as good clients do: a broken connection, or an answer that says "later", is followed by another attempt.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import aiohttp

PAUSE_SECONDS = 0.3
"""Between two attempts, and between two looks."""
LATER = (429, 500, 502, 503, 504)
"""Statuses after which a good client tries again."""


class Refused(Exception):
    """The cloud said a final no; `status` is HTTP's."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what}: {status}")
        self.status = status


class Client:
    """One user of one cloud."""

    def __init__(self, http: aiohttp.ClientSession, clouds_file: Path) -> None:
        self.http = http
        self.auth = json.loads(clouds_file.read_text())["clouds"]["skybus"]["auth"]
        self.headers: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.project_id = ""
        self.internal_errors: list[str] = []
        """Answers of status 500, which the cloud should give to nobody."""

    async def login(self) -> None:
        """A token, and the catalog."""
        user = {"name": self.auth["username"], "domain": {"id": "default"}, "password": self.auth["password"]}
        scope = {"project": {"name": self.auth["project_name"], "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        async with self.http.post(f"{self.auth['auth_url']}/auth/tokens", json=body) as response:
            token = (await response.json())["token"]
            self.headers = {"X-Auth-Token": response.headers["X-Subject-Token"]}
        self.project_id = token["project"]["id"]
        for service in token["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self.urls[service["type"]] = endpoint["url"].rstrip("/")
        self.urls["network"] += "/v2.0"
        self.urls["image"] += "/v2"

    async def call(self, method: str, service: str, path: str, body: Any = None, *, seconds: float = 60) -> Any:
        """The JSON of the answer, asked for again as long as the cloud is not there. Raises Refused, TimeoutError."""
        what = f"{method} {service} {path}"
        async with asyncio.timeout(seconds):
            while True:
                try:
                    url = self.urls[service] + path
                    async with self.http.request(method, url, json=body, headers=self.headers) as response:
                        data = await response.read()
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if response.status == 500:
                    self.internal_errors.append(f"{what}: {data[:200]!r}")
                if response.status in LATER:
                    await asyncio.sleep(PAUSE_SECONDS)
                elif response.status >= 400:
                    raise Refused(f"{what}: {data[:200]!r}", response.status)
                else:
                    return json.loads(data) if data else None

    async def status(self, service: str, kind: str, id_: str, seconds: float = 60) -> str:
        """A thing's status, in capitals; GONE where there is none."""
        try:
            return str((await self.call("GET", service, f"/{kind}s/{id_}", seconds=seconds))[kind]["status"]).upper()
        except Refused as refusal:
            if refusal.status == 404:
                return "GONE"
            raise

    async def until(self, service: str, kind: str, id_: str, wanted: set[str], seconds: float = 90) -> str:
        """The thing's status once it is one of `wanted`. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while (status := await self.status(service, kind, id_, seconds)) not in wanted:
                await asyncio.sleep(PAUSE_SECONDS)
            return status


class Churn:
    """Users at work until `stop` is set."""

    def __init__(self, client: Client, dice: random.Random) -> None:
        self.client = client
        self.dice = dice
        self.stop = asyncio.Event()
        self.made: dict[str, str] = {}
        self.active: list[tuple[float, float]] = []
        """When each server was asked for and was first seen ACTIVE, in monotonic seconds."""
        self.errors: list[str] = []
        """Servers in ERROR."""
        self.late: list[str] = []
        """Waits that ended in vain."""

    async def prepare(self) -> None:
        """No quotas, a network with room."""
        call, project = self.client.call, self.client.project_id
        await call(
            "PUT",
            "compute",
            f"/os-quota-sets/{project}",
            {"quota_set": dict.fromkeys(("instances", "cores", "ram"), -1)},
        )
        await call("PUT", "network", f"/quotas/{project}", {"quota": dict.fromkeys(("port", "network", "subnet"), -1)})
        limits = dict.fromkeys(("volumes", "gigabytes"), -1)
        await call("PUT", "block-storage", f"/os-quota-sets/{project}", {"quota_set": limits})
        network = (await call("POST", "network", "/networks", {"network": {"name": "churn"}}))["network"]["id"]
        subnet = {"network_id": network, "cidr": "10.129.0.0/16", "ip_version": 4}
        await call("POST", "network", "/subnets", {"subnet": subnet})
        flavors = (await call("GET", "compute", "/flavors/detail"))["flavors"]
        images = (await call("GET", "image", "/images"))["images"]
        smallest = min(flavors, key=lambda flavor: flavor["ram"])
        self.made = {"network": network, "flavor": smallest["id"], "image": images[0]["id"]}

    async def run(self, users: int) -> None:
        """Have so many users at work, each with one server at a time, until `stop`."""
        await asyncio.gather(*(self._user() for _ in range(users)))

    async def _user(self) -> None:
        while not self.stop.is_set():
            try:
                await self._one_server()
            except TimeoutError:
                self.late.append(f"a user gave up at {time.strftime('%X')}")

    async def _one_server(self) -> None:
        """A server from its request to its end; the end comes at any moment of its life."""
        asked = time.monotonic()
        server = {
            "name": "churn",
            "flavorRef": self.made["flavor"],
            "imageRef": self.made["image"],
            "networks": [{"uuid": self.made["network"]}],
        }
        id_ = (await self.client.call("POST", "compute", "/servers", {"server": server}))["server"]["id"]
        fate = self.dice.random()
        if fate < 0.35:
            await asyncio.sleep(self.dice.uniform(0, 0.6))
        else:
            status = await self.client.until("compute", "server", id_, {"ACTIVE", "ERROR", "GONE"})
            if status == "ACTIVE":
                self.active.append((asked, time.monotonic()))
                if fate < 0.75:
                    await self._volume(id_)
            else:
                self.errors.append(id_)
        if self.dice.random() < 0.93:
            await self._delete("compute", "server", id_)

    async def _volume(self, server_id: str) -> None:
        """A volume with the server, for a moment, now and then to beyond the server's end."""
        call, until = self.client.call, self.client.until
        body = {"volume": {"size": 1, "name": "churn"}}
        id_ = (await call("POST", "block-storage", "/volumes", body))["volume"]["id"]
        if await until("block-storage", "volume", id_, {"AVAILABLE", "ERROR"}) == "AVAILABLE":
            try:
                attachments = f"/servers/{server_id}/os-volume_attachments"
                await call("POST", "compute", attachments, {"volumeAttachment": {"volumeId": id_}})
                await asyncio.sleep(self.dice.uniform(0, 0.5))
                if self.dice.random() < 0.3:
                    await self._delete("compute", "server", server_id)
                else:
                    await until("block-storage", "volume", id_, {"IN-USE", "AVAILABLE", "ERROR"})
                    await call("DELETE", "compute", f"{attachments}/{id_}")
            except Refused as refusal:
                if refusal.status not in (400, 404, 409):
                    raise
            await until("block-storage", "volume", id_, {"AVAILABLE", "ERROR", "IN-USE"})
        await self._delete("block-storage", "volume", id_)

    async def _delete(self, service: str, kind: str, id_: str) -> None:
        """Delete; somebody was quicker, or it is in use just now: fine."""
        try:
            await self.client.call("DELETE", service, f"/{kind}s/{id_}")
        except Refused as refusal:
            if refusal.status not in (400, 404, 409):
                raise
