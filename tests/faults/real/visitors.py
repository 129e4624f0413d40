"""Two users who come and go on the real cloud: one with servers, one with volumes that a standing guest gets and gives
back. How long the cloud was not there for them is how long it took to be normal again."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Coroutine
from typing import Any

from churn import Client, Refused
from standing import Standing

PATIENCE_SECONDS = 240
"""A fault may last a minute; whoever waits longer than this tells of something that is stuck."""
PRETEND_IMAGE = bytes(510) + b"\x55\xaa" + bytes((1 << 20) - 512)
"""A disk that says it can boot and holds nothing: a guest of it costs next to no time."""


class Visitors:
    """Users at work until `stop`."""

    def __init__(self, client: Client, standing: Standing, dice: random.Random) -> None:
        self.client = client
        self.standing = standing
        self.dice = dice
        self.stop = asyncio.Event()
        self.served: dict[str, list[tuple[float, float]]] = {"server": [], "volume": []}
        """When each round of a user began and ended, in monotonic seconds."""
        self.errors: list[str] = []
        """Things in ERROR, with the reason that users are told."""
        self.late: list[str] = []
        """Waits that ended in vain."""
        self.image = ""

    async def prepare(self) -> None:
        """An image that boots nothing."""
        wanted = {"name": "pretend", "disk_format": "raw", "container_format": "bare"}
        self.image = (await self.client.call("POST", "image", "/images", wanted))["id"]
        headers = {**self.client.headers, "Content-Type": "application/octet-stream"}
        url = f"{self.client.urls['image']}/images/{self.image}/file"
        async with self.client.http.put(url, data=PRETEND_IMAGE, headers=headers) as response:
            assert response.status == 204, await response.text()

    async def run(self) -> None:
        """Both at work, until `stop` is set and each has ended its round."""
        await asyncio.gather(self._again("server", self._server), self._again("volume", self._volume))

    async def _again(self, what: str, one_round: Any) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                if await self._in_time(one_round()):
                    self.served[what].append((began, time.monotonic()))
            except TimeoutError:
                self.late.append(f"{what}: given up after {time.monotonic() - began:.0f} s")
            await asyncio.sleep(0.2)

    async def _in_time(self, one_round: Coroutine[Any, Any, bool]) -> bool:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await one_round

    async def served_again(self, since: float, seconds: float) -> float:
        """When both users had a round served that they began after `since`. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while True:
            firsts = [min((to for frm, to in rounds if frm > since), default=0.0) for rounds in self.served.values()]
            if all(firsts):
                return max(firsts)
            if time.monotonic() > end:
                raise TimeoutError(f"users not served within {seconds:.0f} s: {self.served} {self.errors} {self.late}")
            await asyncio.sleep(0.1)

    async def _server(self) -> bool:
        """A server from its request to its end, which may come early. Whether it became ACTIVE."""
        call = self.client.call
        wanted = {"name": "visitor", "imageRef": self.image, "flavorRef": self.standing.flavor,
                  "networks": [{"uuid": self.standing.near.network_id}]}  # fmt: skip
        body = {"server": wanted}
        id_ = (await call("POST", "compute", "/servers", body, seconds=PATIENCE_SECONDS))["server"]["id"]
        status = ""
        if self.dice.random() < 0.2:
            await asyncio.sleep(self.dice.uniform(0, 1))
        else:
            status = await self.client.until("compute", "server", id_, {"ACTIVE", "ERROR"}, PATIENCE_SECONDS)
        if status == "ERROR":
            fault = (await call("GET", "compute", f"/servers/{id_}"))["server"].get("fault", {})
            self.errors.append(f"server {id_}: {fault.get('message', '')}")
        await self._delete("compute", "server", id_)
        return status == "ACTIVE"

    async def _volume(self) -> bool:
        """A volume from its request to its end, given to a guest in between. Whether all of that went well."""
        call, until = self.client.call, self.client.until
        body = {"volume": {"size": 1, "name": "visitor"}}
        made = await call("POST", "block-storage", "/volumes", body, seconds=PATIENCE_SECONDS)
        id_, well = made["volume"]["id"], False
        if await until("block-storage", "volume", id_, {"AVAILABLE", "ERROR"}, PATIENCE_SECONDS) == "AVAILABLE":
            well = await self._visit(id_)
        else:
            self.errors.append(f"volume {id_}")
        await self._delete("block-storage", "volume", id_)
        return well

    async def _visit(self, volume_id: str) -> bool:
        """The volume in the standing guest and out again. Whether it was in."""
        attachments = f"/servers/{self.standing.far.id}/os-volume_attachments"
        body = {"volumeAttachment": {"volumeId": volume_id}}
        settled = {"AVAILABLE", "IN-USE", "ERROR"}
        try:
            await self.client.call("POST", "compute", attachments, body, seconds=PATIENCE_SECONDS)
            was_in = await self.client.until("block-storage", "volume", volume_id, settled, PATIENCE_SECONDS)
            while await self.client.until("block-storage", "volume", volume_id, settled, PATIENCE_SECONDS) == "IN-USE":
                await self._detach(f"{attachments}/{volume_id}")
        except Refused as refusal:
            if refusal.status not in (400, 404, 409):
                raise
            return False
        return was_in == "IN-USE"

    async def _detach(self, path: str) -> None:
        """Ask for the end of an attachment; busy just now or ended by then: fine."""
        try:
            await self.client.call("DELETE", "compute", path, seconds=PATIENCE_SECONDS)
        except Refused as refusal:
            if refusal.status not in (400, 404, 409):
                raise
            await asyncio.sleep(0.5)

    async def _delete(self, service: str, kind: str, id_: str) -> None:
        """Delete until it is gone: what cannot be deleted is stuck."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in itertools.count():
                try:
                    await self.client.call("DELETE", service, f"/{kind}s/{id_}", seconds=PATIENCE_SECONDS)
                except Refused as refusal:
                    if refusal.status not in (400, 404, 409):
                        raise
                if await self.client.status(service, kind, id_) == "GONE":
                    return
                await asyncio.sleep(0.3)
