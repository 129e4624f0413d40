"""People who use the cloud at random, through its public API: each does one thing after another, whatever comes of it.

They share projects, run into each other's changes, into quotas and into each other's deletions; now and then one does
the same several times at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from simulation.cloud import Cloud, Gone
from simulation.dice import Dice
from simulation.site import IMAGE_ID

PROJECTS = ("pA", "pB")
COMPUTE, VOLUME, NETWORK = "/compute/v2.1", "/volume/v3", "/network/v2.0"
ADMIN = "root:p0:admin,member,reader"
FLAVORS = ("42", "42", "84", "1")
LIMITS = {
    "compute": {"instances": 4, "cores": 5, "ram": 900},
    "volume": {"volumes": 4, "gigabytes": 8},
    "network": {"port": 7, "network": 3, "subnet": 3},
}
"""Quotas of each project, small enough to be hit."""


class Project:
    """What a project's people know of: ids by kind, of things that were accepted and may be gone again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known: dict[str, list[str]] = {kind: [] for kind in ("server", "volume", "port", "network")}
        self.ever: dict[str, list[str]] = {kind: [] for kind in self.known}
        self.subnets = 0


class User:
    """Somebody with a token, and the cloud's answers."""

    def __init__(self, cloud: Cloud, project: Project, name: str, dice: Dice) -> None:
        self.cloud, self.project, self.dice = cloud, project, dice
        self.token = f"{name}:{project.name}:member,reader"

    async def live(self, actions: int, pause: float) -> None:
        """Do that many things, about `pause` virtual seconds apart."""
        for _ in range(actions):
            await asyncio.sleep(self.dice.about(pause))
            await self.act()

    async def act(self) -> None:
        """One thing, at random; an answer that never came is as good as a no."""
        weights = [weight for _, weight in ACTIONS]
        action = self.dice.choices([action for action, _ in ACTIONS], weights)[0]
        times = self.dice.choice((2, 2, 4)) if self.dice.chance(0.12) else 1
        for came in await asyncio.gather(*(action(self) for _ in range(times)), return_exceptions=True):
            if isinstance(came, BaseException) and not isinstance(came, Gone):
                raise came

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request, in a late microversion; what is found to be gone is forgotten."""
        version = "compute 2.90" if path.startswith(COMPUTE) else ""
        status, answer = await self.cloud.call(method, path, body, token=self.token, version=version)
        if status == 500:
            self.cloud.surprised(f"{method} {path} was answered with 500: {answer}")
        return status, answer

    def some(self, kind: str) -> str | None:
        """An id of that kind, mostly a recent one."""
        known = self.project.known[kind]
        return self.dice.choice(known[-4:]) if known else None

    def learn(self, kind: str, status: int, answer: Any) -> None:
        """Remember what was made."""
        if status < 300:
            for key in (kind, f"{kind}s"):
                found = answer.get(key, [])
                for one in found if isinstance(found, list) else [found]:
                    self.project.known[kind].append(str(one["id"]))
                    self.project.ever[kind].append(str(one["id"]))

    def forget(self, kind: str, id_: str, status: int) -> None:
        """It is not there any more."""
        if status == 404 and id_ in self.project.known[kind]:
            self.project.known[kind].remove(id_)


async def create_server(user: User) -> None:
    """On a network, with a port, or without any."""
    network, port = user.some("network"), user.some("port")
    networks: Any = "none"
    if network is not None and user.dice.chance(0.85):
        networks = [{"uuid": network}]
        if port is not None and user.dice.chance(0.3):
            networks = [{"port": port}]
    server: dict[str, Any] = {
        "name": "s", "flavorRef": user.dice.choice(FLAVORS), "imageRef": IMAGE_ID, "networks": networks,
    }  # fmt: skip
    if user.dice.chance(0.1):
        server |= {"min_count": 1, "max_count": 2}
    status, answer = await user.ask("POST", f"{COMPUTE}/servers", {"server": server})
    user.learn("server", status, answer)


async def create_volume(user: User) -> None:
    """Of one or two GiB."""
    size = user.dice.choice((1, 1, 2))
    status, answer = await user.ask("POST", f"{VOLUME}/volumes", {"volume": {"size": size, "name": "v"}})
    user.learn("volume", status, answer)


async def create_port(user: User) -> None:
    """On a network of one's own."""
    if (network := user.some("network")) is not None:
        status, answer = await user.ask("POST", f"{NETWORK}/ports", {"port": {"network_id": network, "name": "p"}})
        user.learn("port", status, answer)


async def create_network(user: User) -> None:
    """With a subnet, small enough to be full."""
    status, answer = await user.ask("POST", f"{NETWORK}/networks", {"network": {"name": "n"}})
    user.learn("network", status, answer)
    if status < 300:
        user.project.subnets += 1
        number = user.project.subnets
        subnet = {"network_id": answer["network"]["id"], "cidr": f"10.{number}.0.0/28", "ip_version": 4}
        await user.ask("POST", f"{NETWORK}/subnets", {"subnet": subnet})


def deletion(kind: str, base: str) -> Callable[[User], Awaitable[None]]:
    """Delete one of that kind."""

    async def delete(user: User) -> None:
        if (id_ := user.some(kind)) is not None:
            status, _ = await user.ask("DELETE", f"{base}/{kind}s/{id_}")
            user.forget(kind, id_, status)

    return delete


def action(body: dict[str, Any]) -> Callable[[User], Awaitable[None]]:
    """An action of a server."""

    async def act(user: User) -> None:
        if (server := user.some("server")) is not None:
            status, _ = await user.ask("POST", f"{COMPUTE}/servers/{server}/action", body)
            user.forget("server", server, status)

    return act


async def attach(user: User) -> None:
    """A volume to a server."""
    server, volume = user.some("server"), user.some("volume")
    if server is not None and volume is not None:
        body = {"volumeAttachment": {"volumeId": volume}}
        await user.ask("POST", f"{COMPUTE}/servers/{server}/os-volume_attachments", body)


async def detach(user: User) -> None:
    """A volume from its server."""
    server, volume = user.some("server"), user.some("volume")
    if server is not None and volume is not None:
        _, answer = await user.ask("GET", f"{VOLUME}/volumes/{volume}")
        for one in (answer or {}).get("volume", {}).get("attachments", []):
            server = one["server_id"]
        await user.ask("DELETE", f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")


async def look(user: User) -> None:
    """Lists, which show the project's own things alone."""
    for kind, path in (("server", f"{COMPUTE}/servers"), ("volume", f"{VOLUME}/volumes"), ("port", f"{NETWORK}/ports")):
        status, answer = await user.ask("GET", path)
        if status == 200:
            seen = {str(one["id"]) for one in answer[f"{kind}s"]}
            others = [project for project in user.cloud.projects if project is not user.project]
            foreign = seen & {id_ for project in others for id_ in project.ever[kind]}
            if foreign:
                user.cloud.surprised(f"{user.project.name} sees a {kind} of another project: {sorted(foreign)}")


ACTIONS: list[tuple[Callable[[User], Awaitable[None]], float]] = [
    (create_server, 5),
    (deletion("server", COMPUTE), 4),
    (action({"os-stop": None}), 1.5),
    (action({"os-start": None}), 1.5),
    (action({"reboot": {"type": "HARD"}}), 0.7),
    (action({"reboot": {"type": "SOFT"}}), 0.7),
    (create_volume, 3),
    (deletion("volume", VOLUME), 2),
    (attach, 4),
    (detach, 2.5),
    (create_port, 1.5),
    (deletion("port", NETWORK), 1),
    (create_network, 1),
    (deletion("network", NETWORK), 0.5),
    (look, 0.5),
]


async def move_in(cloud: Cloud) -> None:
    """Quotas, and a network for each project."""
    for project in cloud.projects:
        for path, key, limits in (
            (f"{COMPUTE}/os-quota-sets/{project.name}", "quota_set", LIMITS["compute"]),
            (f"{VOLUME}/os-quota-sets/{project.name}", "quota_set", LIMITS["volume"]),
            (f"{NETWORK}/quotas/{project.name}", "quota", LIMITS["network"]),
        ):
            status, answer = await cloud.call("PUT", path, {key: limits}, token=ADMIN)
            assert status == 200, (path, answer)
        await create_network(User(cloud, project, "owner", cloud.shape))


async def move_out(cloud: Cloud) -> None:
    """Everybody deletes all that they have, in an order in which that can be done. Waits for each kind to be gone."""
    for project in cloud.projects:
        user = User(cloud, project, "owner", cloud.shape)
        for kind, base in (("server", COMPUTE), ("volume", VOLUME), ("port", NETWORK), ("network", NETWORK)):
            await _delete_all(user, kind, base)


async def _delete_all(user: User, kind: str, base: str) -> None:
    left: list[str] = []
    for _ in range(60):
        _, answer = await user.ask("GET", f"{base}/{kind}s")
        left = [one["id"] for one in answer[f"{kind}s"] if one.get("device_owner") != "network:dhcp"]
        if not left:
            return
        for id_ in left:
            await user.ask("DELETE", f"{base}/{kind}s/{id_}")
        await asyncio.sleep(2)
    user.cloud.surprised(f"{user.project.name} cannot get rid of its {kind}s: {left}")
