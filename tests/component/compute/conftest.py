"""A gateway in front of the compute API, and a small cloud behind it: a host, flavors, an image, a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skybus import clock
from skybus.bus.context import Context, bound
from skybus.compute.api import apis
from skybus.compute.flavors import bootstrap
from skybus.compute.hosts import host_heard
from skybus.compute.policies import RULES
from skybus.compute.server_life import servers_booted, servers_placed
from skybus.ids import new_id
from skybus.image.images import Image, image_get, image_insert
from skybus.image.uploads import Received, upload_begin, upload_finish
from skybus.messages.compute import HypervisorReport
from skybus.network.networks import network_insert
from skybus.network.subnets import subnet_insert
from skybus.store import Store
from skybus.volume.api import api as volume_api
from skybus.volume.policies import RULES as VOLUME_RULES
from support.front import Answer, Client, front

ADMIN = "root:p0:admin,manager,member,reader"
ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
READER = "rita:p1:reader"
V21 = "/compute/v2.1"


def report_of(host: str, **more: Any) -> HypervisorReport:
    """A heartbeat of a host with 8 CPUs."""
    facts: dict[str, Any] = {
        "host": host,
        "taken_at": clock.now(),
        "started": True,
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7_002_000,
        "address": "127.0.0.9",
        "vcpus": 8,
        "memory_mib": 16_384,
        "disk_gib": 100,
        "cpu_info": {"arch": "x86_64", "model": "qemu64"},
        **more,
    }
    return HypervisorReport(**facts)


class Compute:
    """The compute API as a test speaks to it."""

    def __init__(self, client: Client, store: Store, image_id: str, network_id: str) -> None:
        self.client, self.store, self.image_id, self.network_id = client, store, image_id, network_id

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = ALICE, version: str = "2.96"
    ) -> Answer:
        """One request in one microversion."""
        headers = {"OpenStack-API-Version": f"compute {version}"} if version else {}
        return await self.client.call(method, V21 + path, body, token=token, headers=headers)

    async def get(self, path: str, *, token: str = ALICE, version: str = "2.96") -> Any:
        """The body of a GET that works."""
        answer = await self.call("GET", path, token=token, version=version)
        assert answer.status == 200, answer
        return answer.body

    def asked(self, **more: Any) -> dict[str, Any]:
        """The body of a request for a server."""
        fields = {"name": "vm", "flavorRef": "42", "imageRef": self.image_id, "networks": "auto", **more}
        return {"server": {name: value for name, value in fields.items() if value is not ...}}

    async def create(self, *, token: str = ALICE, version: str = "2.96", **more: Any) -> str:
        """The id of a new server."""
        answer = await self.call("POST", "/servers", self.asked(**more), token=token, version=version)
        assert answer.status == 202, answer
        return str(answer.body["server"]["id"])

    async def boot(self, server_id: str) -> None:
        """What the conductor tells of a server that boots well."""
        async with self.store.transaction() as tx:
            await servers_placed(tx, {server_id: "host-1"})
            await servers_booted(tx, {server_id: ("running", 5901)})
        await self.end_operations(server_id)

    async def end_operations(self, server_id: str) -> None:
        """The engine's part: every operation on the server ends."""
        async with self.store.transaction() as tx:
            await tx.execute(
                "UPDATE saga.operation SET state = 'done', finished_at = now() WHERE resource_id = $1", server_id
            )

    async def active(self, **more: Any) -> str:
        """The id of a server that runs."""
        server_id = await self.create(**more)
        await self.boot(server_id)
        return server_id

    async def act(self, server_id: str, action: Any, *, token: str = ALICE, version: str = "2.96") -> Answer:
        """One action."""
        return await self.call("POST", f"/servers/{server_id}/action", action, token=token, version=version)

    async def show(self, server_id: str, *, token: str = ALICE, version: str = "2.96") -> Any:
        """The server."""
        return (await self.get(f"/servers/{server_id}", token=token, version=version))["server"]

    async def events(self) -> list[str]:
        """The types of what was published, oldest first."""
        rows = await self.store.fetch("SELECT type FROM bus.outbox WHERE exchange = 'skybus.events' ORDER BY id")
        return [row["type"] for row in rows]


async def make_image(store: Store, *, min_ram: int = 0, visibility: str = "public", owner: str = "p0") -> str:
    """The id of an image that boots."""
    now = clock.now()
    image = Image(
        id=new_id(), owner=owner, name="tiny", status="queued", visibility=visibility, disk_format="qcow2",
        container_format="bare", min_disk=0, min_ram=min_ram, protected=False, os_hidden=False, tags=[],
        properties={}, size=None, virtual_size=None, checksum=None, os_hash_value=None, data_name=None,
        created_at=now, updated_at=now,
    )  # fmt: skip
    async with store.transaction() as tx:
        await image_insert(tx, image)
        upload_id = await upload_begin(tx, await image_get(tx, image.id))
        received = Received(size=1000, virtual_size=1 << 27, md5="0" * 32, sha512="0" * 128)
        await upload_finish(tx, image, upload_id, received)
    return image.id


@pytest.fixture
async def compute(store: Store) -> AsyncIterator[Compute]:
    """The API over a cloud with one host, the default flavors, an image, and a shared network."""
    image_id = await make_image(store)
    with bound(Context(request_id="req-setup", project_id="p0", user_id="root")):
        async with store.transaction() as tx:
            await bootstrap(tx)
            await host_heard(tx, report_of("host-1"))
            network = await network_insert(tx, project_id="p0", name="net", shared=True)
            await subnet_insert(tx, network_id=network["id"], project_id="p0", cidr="10.7.0.0/16", ip_version=4)
    async with front([*apis(), volume_api()], {**RULES, **VOLUME_RULES}, {"store": store}) as client:
        yield Compute(client, store, image_id, network["id"])
