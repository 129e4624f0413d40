"""What may be done with a server in which state, and what the conductor's words make of it."""

from __future__ import annotations

import asyncio
from typing import Any

from skybus.compute.server_life import (
    server_fail,
    server_gave_up,
    server_power_seen,
    server_rebooted,
    server_started,
    server_stopped,
    servers_expected,
)

from .conftest import ADMIN, Compute


async def _operation(compute: Compute, server_id: str) -> Any:
    return await compute.store.fetchrow(
        "SELECT id, kind, memo FROM saga.operation WHERE resource_id = $1 AND state = 'running'", server_id
    )


async def test_a_server_stops_starts_and_reboots_and_shows_each_task(compute: Compute) -> None:
    server_id = await compute.active()
    steps = [
        ({"os-stop": None}, "ACTIVE", "powering-off", server_stopped, "shutdown", "SHUTOFF"),
        ({"os-start": None}, "SHUTOFF", "powering-on", server_started, "running", "ACTIVE"),
        ({"reboot": {"type": "SOFT"}}, "REBOOT", "rebooting", server_rebooted, "running", "ACTIVE"),
        ({"reboot": {"type": "Hard"}}, "HARD_REBOOT", "rebooting_hard", server_rebooted, "running", "ACTIVE"),
    ]
    for action, meanwhile, task, ended, power, afterwards in steps:
        answer = await compute.act(server_id, action)
        assert (answer.status, answer.data) == (202, b""), answer
        shown = await compute.show(server_id)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (meanwhile, task)
        assert (await compute.act(server_id, action)).status == 409, "one thing at a time"
        async with compute.store.transaction() as tx:
            await ended(tx, server_id, power)
        await compute.end_operations(server_id)
        shown = await compute.show(server_id)
        assert (shown["status"], shown["OS-EXT-STS:task_state"]) == (afterwards, None)


async def test_a_refused_action_starts_no_operation(compute: Compute) -> None:
    server_id = await compute.active()
    assert (await compute.act(server_id, {"os-start": None})).status == 409
    assert (await compute.act(server_id, {"reboot": {"type": "WILD"}})).status == 400
    assert (await compute.act(server_id, {"os-stop": None, "os-start": None})).status == 400
    assert (await compute.act(server_id, {})).status == 400
    assert (await compute.act(server_id, {"fly": None})).status == 400
    refused = await compute.act(server_id, {"pause": None})
    assert refused.status == 400
    assert "not offered" in refused.body["badRequest"]["message"]
    assert (await compute.act(server_id, {"unpause": None})).status == 409
    assert await _operation(compute, server_id) is None


async def test_a_server_that_failed_to_build_has_no_host_to_act_on(compute: Compute) -> None:
    server_id = await compute.create()
    async with compute.store.transaction() as tx:
        await server_fail(tx, server_id, "compute.broken", "The disk is broken.")
    await compute.end_operations(server_id)
    assert (await compute.act(server_id, {"os-stop": None})).status == 409
    assert (await compute.call("DELETE", f"/servers/{server_id}")).status == 204


async def test_an_action_that_is_given_up_leaves_the_server_as_it_was(compute: Compute) -> None:
    server_id = await compute.active()
    await compute.act(server_id, {"os-stop": None})
    async with compute.store.transaction() as tx:
        await server_gave_up(tx, server_id)
    shown = await compute.show(server_id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", None)


async def test_a_locked_server_is_left_alone_until_it_is_unlocked(compute: Compute) -> None:
    server_id = await compute.active()
    assert (await compute.act(server_id, {"lock": {"locked_reason": "holiday"}})).status == 202
    shown = await compute.show(server_id)
    assert (shown["locked"], shown["locked_reason"]) == (True, "holiday")
    assert (await compute.act(server_id, {"os-stop": None})).status == 409
    assert (await compute.call("DELETE", f"/servers/{server_id}")).status == 409
    assert (await compute.act(server_id, {"unlock": None})).status == 202
    await compute.act(server_id, {"lock": None}, token=ADMIN)
    assert (await compute.act(server_id, {"unlock": None})).status == 403, "what an administrator locked"
    await compute.act(server_id, {"unlock": None}, token=ADMIN)
    assert (await compute.act(server_id, {"os-stop": None})).status == 202


async def test_an_administrator_resets_a_state_and_nobody_else_does(compute: Compute) -> None:
    server_id = await compute.active()
    reset = {"os-resetState": {"state": "error"}}
    assert (await compute.act(server_id, reset)).status == 403
    assert (await compute.act(server_id, reset, token=ADMIN)).status == 202
    assert (await compute.show(server_id))["status"] == "ERROR"
    assert (await compute.act(server_id, {"os-resetState": {"state": "active"}}, token=ADMIN)).status == 202
    assert (await compute.show(server_id))["status"] == "ACTIVE"


async def test_the_console_answers_with_what_the_operation_read(compute: Compute) -> None:
    server_id = await compute.active()

    async def conductor() -> None:
        while (operation := await _operation(compute, server_id)) is None:
            await asyncio.sleep(0.01)
        assert (operation["kind"], operation["memo"]) == ("server_console", {"lines": 5})
        async with compute.store.transaction() as tx:
            await tx.execute(
                "UPDATE saga.operation SET state = 'done', memo = $2, finished_at = now() WHERE id = $1",
                operation["id"],
                {"lines": 5, "text": "login: "},
            )

    reading = asyncio.create_task(conductor())
    answer = await compute.act(server_id, {"os-getConsoleOutput": {"length": "5"}})
    await asyncio.wait_for(reading, 5)
    assert (answer.status, answer.body) == (200, {"output": "login: "})
    building = await compute.create()
    assert (await compute.act(building, {"os-getConsoleOutput": {}})).status == 409
    assert (await compute.act(server_id, {"os-getConsoleOutput": {"length": "x"}})).status == 400


async def test_a_server_follows_its_guest_when_it_is_idle(compute: Compute) -> None:
    server_id = await compute.active()
    async with compute.store.transaction() as tx:
        assert not await server_power_seen(tx, server_id, "host-2", "shutdown"), "another host's word"
        assert await server_power_seen(tx, server_id, "host-1", "crashed")
        assert not await server_power_seen(tx, server_id, "host-1", "crashed")
    assert (await compute.show(server_id))["status"] == "SHUTOFF"
    await compute.act(server_id, {"os-start": None})
    async with compute.store.transaction() as tx:
        assert not await server_power_seen(tx, server_id, "host-1", "running"), "the operation will tell"
    assert [row["id"] for row in await servers_expected(compute.store, "host-1")] == [server_id]


async def test_actions_are_told_from_operations_with_their_request(compute: Compute) -> None:
    server_id = await compute.active()
    stopped = await compute.act(server_id, {"os-stop": None})
    request_id = stopped.headers["X-Openstack-Request-Id"]
    assert stopped.headers["X-Compute-Request-Id"] == request_id
    listed = (await compute.get(f"/servers/{server_id}/os-instance-actions"))["instanceActions"]
    assert [(one["action"], one["user_id"]) for one in listed] == [("stop", "alice"), ("create", "alice")]
    path = f"/servers/{server_id}/os-instance-actions"
    shown = (await compute.get(f"{path}/{request_id}"))["instanceAction"]
    assert shown["events"][0]["finish_time"] is None
    assert "traceback" not in shown["events"][0]
    assert "events" not in (await compute.get(f"{path}/{request_id}", version="2.50"))["instanceAction"]
    first = await compute.get(f"{path}?limit=1")
    assert len(first["instanceActions"]) == 1
    marker = first["links"][0]["href"].split("marker=")[1]
    assert [one["action"] for one in (await compute.get(f"{path}?marker={marker}"))["instanceActions"]] == ["create"]
    assert (await compute.call("GET", f"{path}/req-nothing")).status == 404
    assert (await compute.call("GET", f"{path}?marker=nothing")).status == 400


async def test_asking_twice_at_the_same_time_starts_one_operation(compute: Compute) -> None:
    server_id = await compute.active()
    answers = await asyncio.gather(*(compute.act(server_id, {"os-stop": None}) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [202, 409, 409, 409]


async def test_metadata_is_set_replaced_and_removed_by_item(compute: Compute) -> None:
    server_id = await compute.active(metadata={"a": "1"})
    path = f"/servers/{server_id}/metadata"
    assert (await compute.call("POST", path, {"metadata": {"b": "2"}})).body == {"metadata": {"a": "1", "b": "2"}}
    assert (await compute.call("PUT", f"{path}/c", {"meta": {"c": "3"}})).body == {"meta": {"c": "3"}}
    assert (await compute.call("PUT", f"{path}/c", {"meta": {"d": "3"}})).status == 400
    assert (await compute.call("DELETE", f"{path}/a")).status == 204
    assert (await compute.call("DELETE", f"{path}/a")).status == 404
    assert (await compute.call("GET", f"{path}/a")).status == 404
    assert (await compute.call("PUT", path, {"metadata": {"z": "9"}})).body == {"metadata": {"z": "9"}}
    assert await compute.get(path) == {"metadata": {"z": "9"}}
    for bad in ({"metadata": None}, {"metadata": {"": "x"}}, {"metadata": {"k": "v" * 256}}, {}):
        assert (await compute.call("POST", path, bad)).status == 400
    many = {"metadata": {f"k{number}": "v" for number in range(129)}}
    assert (await compute.call("PUT", path, many)).status == 403


async def test_tags_come_with_2_26(compute: Compute) -> None:
    server_id = await compute.active(tags=["a"])
    path = f"/servers/{server_id}/tags"
    assert (await compute.call("GET", path, version="2.25")).status == 404
    assert (await compute.call("PUT", f"{path}/b")).status == 201
    assert (await compute.call("PUT", f"{path}/b")).status == 204
    assert (await compute.call("PUT", f"{path}/{'x' * 61}")).status == 400
    assert await compute.get(path) == {"tags": ["a", "b"]}
    assert [one["id"] for one in (await compute.get("/servers?tags=a,b"))["servers"]] == [server_id]
    assert (await compute.get("/servers?not-tags-any=a"))["servers"] == []
    assert (await compute.call("DELETE", f"{path}/a")).status == 204
    assert (await compute.call("GET", f"{path}/a")).status == 404
    assert (await compute.call("PUT", path, {"tags": ["c", "c"]})).body == {"tags": ["c"]}
    assert (await compute.call("PUT", path, {"tags": [f"t{number}" for number in range(51)]})).status == 400
    assert (await compute.call("DELETE", path)).status == 204
