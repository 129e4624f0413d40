"""What nobody can handle is kept with its reason, can be listed and sent again, and holds up nothing."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from running import CONTROL, Running, running_workers

from skybus import clock
from skybus.bus.agent import CommandHandler
from skybus.bus.envelope import ANSWERS, COMMANDS, CONDUCTOR, EVENTS, Envelope, Post, seal
from skybus.bus.hosting import AgentServer
from skybus.bus.message import Answer, Command, Report
from skybus.bus.transport import command_queue
from skybus.cli import look
from skybus.errors import BadRequest, CommandTroubled
from skybus.ids import new_id
from skybus.messages.compute import DestroyGuest, GuestDestroyed, HypervisorReport, ServerCreated, ServerDeleted
from skybus.messages.network import UnplugPort
from skybus.messages.placement import Place
from skybus.messages.volume import RemoveVolume
from skybus.store import Store
from skybus_conductor.dead_letters import (
    dead_letter_count,
    dead_letter_discard,
    dead_letter_get,
    dead_letter_list,
    dead_letter_replay,
    dead_letters_forget,
)


@pytest.fixture
async def workers(store: Store, tmp_path: Path) -> AsyncIterator[Running]:
    async with running_workers(store, tmp_path) as running:
        yield running


SERVER = "0190aaaa-0000-7000-8000-00000000abcd"
GOOD: Mapping[str, tuple[str, str, Any]] = {
    "skybus.command.compute.h1": (COMMANDS, "compute.h1", DestroyGuest(server_id=SERVER)),
    "skybus.command.network.h1": (COMMANDS, "network.h1", UnplugPort(port_id=SERVER, network_id=SERVER, tap="tapx")),
    "skybus.command.volume.h1": (COMMANDS, "volume.h1", RemoveVolume(volume_id=SERVER)),
    "skybus.command.scheduler": (
        COMMANDS, "scheduler", Place(consumer_id=SERVER, project_id="p", kind="compute", resources={"VCPU": 10**9})),
    "skybus.answers": (ANSWERS, CONDUCTOR, GuestDestroyed(server_id=SERVER)),
    "skybus.metering": (
        EVENTS, ServerDeleted.TYPE, ServerDeleted(server_id=SERVER, terminated_at="2026-01-01T00:00:00Z")),  # type: ignore[arg-type]
}  # fmt: skip
"""Queue -> (exchange, key, a message that its worker understands)."""


def spoiled(envelope: Envelope) -> list[Envelope]:
    """Ways in which a message can be nonsense."""
    return [
        msgspec.structs.replace(envelope, id=new_id(), **change)
        for change in (
            {"body": b"not json"},
            {"body": b'{"surprise": 1}'},
            {"body": b"\xff\xfe"},
            {"body": b"[" * 5000},
            {"body": b'"\\u0000"'},
            {"type": "skybus.nobody.knows.this.v1"},
            {"type": ""},
        )
    ]


@pytest.mark.parametrize("queue", GOOD)
async def test_nonsense_on_a_queue_is_kept_with_its_reason_and_the_worker_goes_on(workers: Running, queue: str) -> None:
    exchange, key, message = GOOD[queue]
    nonsense = spoiled(seal(message, "conductor"))
    transport = await workers.as_account(CONTROL)
    await transport.publish([Post(exchange=exchange, key=key, envelope=one) for one in nonsense])
    dead = [row for row in await workers.dead(len(nonsense)) if row["queue"] == queue]
    reached = [one for one in nonsense if exchange != EVENTS or one.type == message.TYPE or key == message.TYPE]
    assert {row["id"] for row in dead} == {one.id for one in reached}
    assert all("nobody there can understand it" in row["reason"] for row in dead)
    assert all((row["exchange"], row["routing_key"]) == (exchange, key) for row in dead)
    if exchange == COMMANDS:
        answer = await workers.answer_to(await workers.command(key, message))
        assert answer.user in (key, CONTROL)
    else:
        await transport.publish([Post(exchange=exchange, key=key, envelope=seal(message, "conductor"))])
    await workers.until(lambda: _empty(workers, queue))
    assert await workers.store.fetchval("SELECT count(*) FROM bus.dead_letter") == len(nonsense)


async def _empty(workers: Running, queue: str) -> bool:
    there = workers.broker.queues[queue]
    return not there.messages and not any(consumer.tasks for consumer in there.consumers)


async def test_a_message_of_a_known_type_that_is_not_for_this_worker_is_refused(workers: Running) -> None:
    created = ServerCreated(
        server_id=SERVER, name="n", host="h1", flavor_name="f", vcpus=1, memory_mib=1, disk_gib=1,
        launched_at="2026-01-01T00:00:00Z",  # type: ignore[arg-type]
    )  # fmt: skip
    message_id = await workers.tell(created, source="conductor", user=CONTROL)
    [row] = await workers.dead()
    assert (row["id"], row["queue"]) == (message_id, "skybus.answers")
    answer = await workers.answer_to(await workers.command("compute.h1", RemoveVolume(volume_id=SERVER)))
    assert b"bus.not-for-us" in answer.envelope.body


async def test_a_death_is_announced(workers: Running) -> None:
    message_id = await workers.tell(GuestDestroyed(server_id=SERVER), source="conductor", user=CONTROL, body=b"x")
    await workers.dead()

    async def announced() -> bool:
        return bool(await workers.store.fetchval("SELECT 1 FROM bus.event WHERE subject = $1", message_id))

    await workers.until(announced)
    event = await workers.store.fetchrow("SELECT type, project_id, body FROM bus.event WHERE subject = $1", message_id)
    assert event is not None
    assert (event["type"], event["project_id"]) == ("skybus.bus.message.died.v1", "")
    assert event["body"]["queue"] == "skybus.answers"


class Sulking:
    """An agent that is in trouble until it is told better."""

    kind, host = "compute", "h9"

    def __init__(self) -> None:
        self.sulks = True
        self.destroyed: list[str] = []

    @property
    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        return {DestroyGuest: self.destroy}

    async def destroy(self, order: DestroyGuest) -> Answer:
        self.destroyed.append(order.server_id)
        return GuestDestroyed(server_id=order.server_id)

    async def start(self, tell: Any) -> None:
        """Nothing to connect to."""

    async def report(self, *, started: bool) -> Report:
        return HypervisorReport(
            host=self.host,
            taken_at=clock.now(),
            started=started,
            hypervisor_type="sulking",
            hypervisor_version=1,
            address="127.0.0.1",
            vcpus=1,
            memory_mib=1,
            disk_gib=1,
        )

    async def close(self) -> None:
        """Nothing to let go of."""


class SulkingServer(AgentServer):
    """Cannot send its answers while the agent sulks, so that the command fails each time it is delivered."""

    async def _handle(self, delivery: Any, message: Any) -> None:
        if self.agent.sulks:  # type: ignore[attr-defined]
            raise CommandTroubled("not today")
        await super()._handle(delivery, message)


@pytest.fixture
async def sulking(workers: Running) -> AsyncIterator[Sulking]:
    agent = Sulking()
    transport = await workers.as_account("compute.h9")
    await transport.declare([command_queue("compute.h9")])
    server = SulkingServer(agent, transport, prefetch=1, report_seconds=3600)
    await server.start()
    yield agent
    await server.stop(1)


async def test_a_dead_letter_is_listed_shown_and_sent_again(workers: Running, sulking: Sulking) -> None:
    command_id = await workers.command(
        "compute.h9", DestroyGuest(server_id=SERVER), request_id="req-1", project_id="p1"
    )
    [row] = await workers.dead()
    [listed] = await dead_letter_list(workers.store)
    assert (listed["id"], listed["queue"], listed["type"]) == (
        row["id"],
        "skybus.command.compute.h9",
        DestroyGuest.TYPE,
    )
    assert listed["reason"].startswith("failed every time")
    whole = await dead_letter_get(workers.store, row["id"])
    assert (whole["command_id"], whole["request_id"], whole["project_id"]) == (command_id, "req-1", "p1")
    assert await dead_letter_count(workers.store) == 1

    async with workers.store.transaction() as tx:  # it still sulks: the letter dies again, and is listed again
        assert await dead_letter_replay(tx, row["id"])

    async def died_again() -> bool:
        return bool(await workers.store.fetchval("SELECT replayed_at IS NULL AND died_at > $1 FROM bus.dead_letter",
                                                 row["died_at"]))  # fmt: skip

    await workers.until(died_again)
    assert sulking.destroyed == []

    sulking.sulks = False
    async with workers.store.transaction() as tx:
        assert await dead_letter_replay(tx, row["id"])
    answer = await workers.answer_to(command_id)
    assert answer.envelope.request_id == "req-1"
    assert sulking.destroyed == [SERVER]
    assert await dead_letter_list(workers.store) == []
    assert len(await dead_letter_list(workers.store, replayed=True)) == 1
    assert await dead_letter_count(workers.store) == 0


async def test_there_is_nothing_to_send_again_of_a_letter_that_is_not_there(store: Store) -> None:
    async with store.transaction() as tx:
        assert not await dead_letter_replay(tx, "nobody")
    assert await dead_letter_get(store, "nobody") is None


async def test_the_command_lists_shows_and_replays(
    workers: Running, sulking: Sulking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "skybus.toml"
    config.write_text(f'[database]\ndsn = "{workers.store.config.dsn}"\n')

    async def command(action: str, id_: str | None = None, **more: Any) -> tuple[int, str]:
        options = {"replayed": False, "reason": None, **more}
        args = argparse.Namespace(config=str(config), command="dead-letters", action=action, id=id_, **options)
        status = await asyncio.to_thread(look.main, args)
        lines = [
            line for line in capsys.readouterr().out.splitlines() if "message=skybus" not in line
        ]  # the workers' log
        return status, "\n".join(lines)

    await workers.command("compute.h9", DestroyGuest(server_id=SERVER))
    [row] = await workers.dead()
    status, listed = await command("list")
    assert status == 0
    assert row["id"] in listed
    assert "1 dead letters" in listed
    status, shown = await command("show", row["id"])
    assert status == 0
    assert SERVER in shown
    assert (await command("show", "nobody"))[0] == 1
    assert (await command("replay"))[0] == 2
    assert (await command("replay", "nobody"))[0] == 1
    sulking.sulks = False
    assert await command("replay", row["id"]) == (0, "sent again")
    assert (await command("list"))[1] == "0 dead letters"
    assert row["id"] in (await command("list", replayed=True))[1]


async def test_a_discarded_letter_waits_for_nobody_keeps_its_reason_and_is_forgotten_in_time(
    workers: Running, sulking: Sulking
) -> None:
    await workers.command("compute.h9", DestroyGuest(server_id=SERVER))
    [row] = await workers.dead()
    store = workers.store
    async with store.transaction() as tx:
        with pytest.raises(BadRequest):
            await dead_letter_discard(tx, row["id"], "  ")
        assert not await dead_letter_discard(tx, "nobody", "why")
        assert await dead_letters_forget(tx, clock.now(), 10) == 0, "one that waits is kept"
        assert await dead_letter_discard(tx, row["id"], "the host is gone")
    assert await dead_letter_count(store) == 0
    assert await dead_letter_list(store) == []
    [kept] = await dead_letter_list(store, replayed=True)
    assert kept["discarded_reason"] == "the host is gone"
    async with store.transaction() as tx:
        assert await dead_letters_forget(tx, clock.now() - timedelta(seconds=60), 10) == 0
        assert await dead_letters_forget(tx, clock.now() + timedelta(seconds=60), 10) == 1
    assert await dead_letter_list(store, replayed=True) == []
