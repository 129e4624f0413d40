"""Every saga, disturbed in every way that `exercise_saga` knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skybus.bus.envelope import Envelope
from skybus.bus.message import Answer, Command
from skybus.messages.compute import DestroyGuest, SpawnGuest
from skybus.messages.volume import UnexportVolume
from skybus.saga.plans import PLANS
from skybus_conductor.sagas import MODULES
from support.exercise import REFUSED, Case, exercise_saga
from support.small_cloud import Carry, SmallCloud, small_cloud


async def post(cloud: SmallCloud, server_id: str, action: dict[str, Any]) -> str:
    made = await cloud.client.call("POST", f"/compute/v2.1/servers/{server_id}/action", action)
    assert made.status == 202, made
    return server_id


def is_now(status: str | None) -> Any:
    async def check(cloud: SmallCloud, server_id: str) -> None:
        assert await cloud.status(server_id) == status

    return check


def volume_is_now(status: str | None) -> Any:
    async def check(cloud: SmallCloud, volume_id: str) -> None:
        assert await cloud.volume_status(volume_id) == status

    return check


# --- servers


async def two_networks_and_an_image(cloud: SmallCloud) -> tuple[list[str], str]:
    return [await cloud.network("a", "10.1.0.0/24"), await cloud.network("b", "10.2.0.0/24")], await cloud.image()


async def ask_for_a_server(cloud: SmallCloud, made: tuple[list[str], str]) -> str:
    return await cloud.server_asked(*made)


async def it_failed_with_a_reason(cloud: SmallCloud, server_id: str) -> None:
    shown = await cloud.show(server_id)
    assert shown is not None
    assert shown["status"] == "ERROR"
    assert "The test said no." in shown["fault"]["message"]
    assert shown["OS-EXT-STS:task_state"] is None


async def a_server(cloud: SmallCloud) -> str:
    return await cloud.server(networks=2)


async def a_stopped_server(cloud: SmallCloud) -> str:
    server_id = await cloud.server()
    await post(cloud, server_id, {"os-stop": None})
    await cloud.run()
    assert await cloud.status(server_id) == "SHUTOFF"
    return server_id


async def a_server_with_a_volume(cloud: SmallCloud) -> str:
    server_id, volume_id = await cloud.server(networks=2), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    await cloud.run()
    return server_id


async def delete_it(cloud: SmallCloud, server_id: str) -> str:
    answer = await cloud.client.call("DELETE", f"/compute/v2.1/servers/{server_id}")
    assert answer.status == 204, answer
    return server_id


async def nothing_is_left(cloud: SmallCloud, server_id: str) -> None:
    assert await cloud.status(server_id) is None
    world = await cloud.world()
    left = {name: found for name, found in world.items() if found and not name.endswith(" volumes")}
    left.pop("addresses", None)
    # The volume stays, and its claim with it.
    assert [claim for claim in left.pop("claims", []) if claim[3] == "compute"] == []
    dhcp = [row for row in left.pop("ports", []) if "dhcp" not in str(row)]
    assert left == {}
    assert dhcp == []


def do(action: dict[str, Any]) -> Any:
    async def act(cloud: SmallCloud, server_id: str) -> str:
        return await post(cloud, server_id, action)

    return act


async def read_the_console(cloud: SmallCloud, server_id: str) -> str:
    from skybus.saga.operations import operation_start

    async with cloud.store.transaction() as tx:
        await operation_start(
            tx, "server_console", resource_type="server", resource_id=server_id, memo={"lines": 5}, exclusive=False
        )
    return server_id


async def label_it(cloud: SmallCloud, server_id: str) -> str:
    answer = await cloud.client.call(
        "POST", f"/compute/v2.1/servers/{server_id}/metadata", {"metadata": {"role": "web"}}
    )
    assert answer.status == 200, answer
    return server_id


async def name_a_name_server(cloud: SmallCloud, server_id: str) -> str:
    subnets = (await cloud.client.call("GET", "/network/v2.0/subnets")).body["subnets"]
    change = {"subnet": {"dns_nameservers": ["10.0.0.53"]}}
    answer = await cloud.client.call("PUT", f"/network/v2.0/subnets/{subnets[0]['id']}", change)
    assert answer.status == 200, answer
    return server_id


# --- volumes


async def nothing(cloud: SmallCloud) -> None:
    return None


async def ask_for_a_volume(cloud: SmallCloud, made: None) -> str:
    return await cloud.volume_asked()


async def a_volume(cloud: SmallCloud) -> str:
    return await cloud.volume()


async def delete_the_volume(cloud: SmallCloud, volume_id: str) -> str:
    answer = await cloud.client.call("DELETE", f"/volume/v3/volumes/{volume_id}")
    assert answer.status == 202, answer
    return volume_id


async def a_server_and_a_volume(cloud: SmallCloud) -> tuple[str, str]:
    return await cloud.server(), await cloud.volume()


async def attach_it(cloud: SmallCloud, made: tuple[str, str]) -> str:
    await cloud.attach(*made)
    return made[1]


async def an_attached_volume(cloud: SmallCloud) -> tuple[str, str]:
    server_id, volume_id = await a_server_and_a_volume(cloud)
    await cloud.attach(server_id, volume_id)
    await cloud.run()
    assert await cloud.volume_status(volume_id) == "in-use"
    return server_id, volume_id


async def detach_it(cloud: SmallCloud, made: tuple[str, str]) -> str:
    server_id, volume_id = made
    url = f"/compute/v2.1/servers/{server_id}/os-volume_attachments/{volume_id}"
    answer = await cloud.client.call("DELETE", url)
    assert answer.status == 202, answer
    return volume_id


CASES = [
    Case(
        kind="server_create",
        arrange=two_networks_and_an_image,
        act=ask_for_a_server,
        done=is_now("ACTIVE"),
        undone=it_failed_with_a_reason,
    ),
    Case(
        kind="server_delete",
        arrange=a_server_with_a_volume,
        act=delete_it,
        done=nothing_is_left,
        undone=is_now("ERROR"),
        rests=False,
        again=delete_it,
    ),
    Case(
        kind="server_start",
        arrange=a_stopped_server,
        act=do({"os-start": None}),
        done=is_now("ACTIVE"),
        undone=is_now("SHUTOFF"),
        rests=False,
        again=do({"os-start": None}),
    ),
    Case(
        kind="server_stop",
        arrange=a_server,
        act=do({"os-stop": None}),
        done=is_now("SHUTOFF"),
        undone=is_now("ACTIVE"),
        rests=False,
        again=do({"os-stop": None}),
    ),
    Case(
        kind="server_reboot",
        arrange=a_server,
        act=do({"reboot": {"type": "SOFT"}}),
        done=is_now("ACTIVE"),
        undone=is_now("ACTIVE"),
    ),
    Case(kind="server_console", arrange=a_server, act=read_the_console, done=is_now("ACTIVE"), undone=is_now("ACTIVE")),
    Case(kind="server_refresh", arrange=a_server, act=label_it, done=is_now("ACTIVE"), undone=is_now("ACTIVE")),
    Case(
        kind="network_refresh",
        arrange=a_server,
        act=name_a_name_server,
        done=is_now("ACTIVE"),
        undone=is_now("ACTIVE"),
    ),
    Case(
        kind="volume_create",
        arrange=nothing,
        act=ask_for_a_volume,
        done=volume_is_now("available"),
        undone=volume_is_now("error"),
    ),
    Case(
        kind="volume_delete",
        arrange=a_volume,
        act=delete_the_volume,
        done=volume_is_now(None),
        undone=volume_is_now("error_deleting"),
        rests=False,
        again=delete_the_volume,
    ),
    Case(
        kind="volume_attach",
        arrange=a_server_and_a_volume,
        act=attach_it,
        done=volume_is_now("in-use"),
        undone=volume_is_now("available"),
    ),
    Case(
        kind="volume_detach",
        arrange=an_attached_volume,
        act=detach_it,
        done=volume_is_now("available"),
        undone=volume_is_now("in-use"),
        rests=False,
        again=detach_it,
    ),
]


def test_every_saga_is_exercised_and_has_a_plan() -> None:
    kinds = sorted(module.__name__.rpartition(".")[2] for module in MODULES)
    assert kinds == sorted(case.kind for case in CASES)
    assert kinds == sorted(PLANS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
async def test_no_disturbance_leaves_a_saga_stuck_or_anything_behind(case: Case, tmp_path: Path) -> None:
    await exercise_saga(case, tmp_path)


async def test_a_delete_interrupts_a_create_at_whatever_step_it_is(tmp_path: Path) -> None:
    for deliveries in range(14):
        async with small_cloud(tmp_path / str(deliveries)) as cloud:
            server_id = await cloud.server_asked(*await two_networks_and_an_image(cloud))
            for _ in range(deliveries):
                await cloud.deliver()
            await delete_it(cloud, server_id)
            await cloud.run()
            await nothing_is_left(cloud, server_id)


async def test_an_interrupted_creation_leaves_the_server_on_no_host(tmp_path: Path) -> None:
    orders: list[Command] = []

    async def note(envelope: Envelope, command: Command, carry: Carry) -> Answer | None:
        orders.append(command)
        return await carry(command)

    async with small_cloud(tmp_path) as cloud:
        server_id = await cloud.server_asked(*await two_networks_and_an_image(cloud))
        cloud.meddle = note
        while not any(isinstance(order, SpawnGuest) for order in orders):
            assert await cloud.deliver()
        await delete_it(cloud, server_id)
        await cloud.run()
        await nothing_is_left(cloud, server_id)
    # Its claim went with the undo: a second order, refused, would leave it on a host without one.
    assert sum(isinstance(order, DestroyGuest) for order in orders) == 1


async def test_a_detach_is_undone_although_the_guest_went_away(tmp_path: Path) -> None:
    async def refuse(envelope: Envelope, command: Command, carry: Carry) -> Answer | None:
        return REFUSED if isinstance(command, UnexportVolume) else await carry(command)

    async with small_cloud(tmp_path) as cloud:
        server_id, volume_id = await an_attached_volume(cloud)
        for address, agent in cloud.agents.items():
            if address.startswith("compute."):
                await agent.handlers[DestroyGuest](DestroyGuest(server_id=server_id))
        cloud.meddle = refuse
        await detach_it(cloud, (server_id, volume_id))
        await cloud.run()
        assert await cloud.volume_status(volume_id) == "in-use"
        cloud.meddle = None
        await delete_it(cloud, server_id)
        await cloud.run()
        await nothing_is_left(cloud, server_id)
        assert await cloud.volume_status(volume_id) == "available"
