"""`skybus doctor`: a cloud that agrees with itself has no findings, and each thing gone wrong is found by its check."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from written_cloud import HOST, Cloud

from skybus import clock
from skybus.cli import doctor
from skybus.cli.doctor import as_rows
from skybus.doctor.checks import CHECKS, examine, name_of
from skybus.doctor.finding import Finding
from skybus.store import Store


@pytest.fixture
async def cloud(store: Store) -> Cloud:
    made = Cloud(store)
    await made.build()
    return made


async def test_a_cloud_that_agrees_with_itself_has_no_findings(cloud: Cloud) -> None:
    assert await cloud.found() == {}


Breaks = Callable[[Cloud], Awaitable[None]]
STRANGER = "0190aaaa-0000-7000-8000-00000000abcd"

BROKEN: dict[str, tuple[Breaks, str, str]] = {
    "guest lost": (lambda c: c.report(guests={}), "guests-and-servers", "has no guest"),
    "guest reported absent": (lambda c: c.report(guests={c.server: "absent"}), "guests-and-servers", "has no guest"),
    "guest stopped": (lambda c: c.report(guests={c.server: "shutdown"}), "guests-and-servers", "h1 is shutdown"),
    "guest of nobody": (
        lambda c: c.report(guests={c.server: "running", STRANGER: "running"}), "guests-and-servers",
        "does not exist, and h1"),
    "guest with an id that is none": (
        lambda c: c.report(guests={c.server: "running", "'; --": "running"}), "guests-and-servers",
        "does not exist, and h1"),
    "guest on two hosts": (
        lambda c: c.report(host="h2", guests={c.server: "running"}, ports=[], volumes=[], exports={}),
        "guests-and-servers", "is on h1, and h2 has a guest"),
    "port not wired": (lambda c: c.report(ports=[]), "ports-wired", "not wired there"),
    "port of nobody": (lambda c: c.report(ports=[c.port, STRANGER]), "ports-wired", "does not exist"),
    "port wired elsewhere": (
        lambda c: c.report(host="h2", guests={}, ports=[c.port], volumes=[], exports={}),
        "ports-wired", "not bound there"),
    "volume lost": (lambda c: c.report(volumes=[]), "volumes-stored", "h1 does not have it"),
    "volume of nobody": (lambda c: c.report(volumes=[c.volume, STRANGER]), "volumes-stored", "does not exist"),
    "export lost": (lambda c: c.report(exports={}), "volumes-exported", "does not export it"),
    "export of nobody": (
        lambda c: c.report(exports={c.attachment: c.volume, STRANGER: c.volume}), "volumes-exported", "does not exist"),
    "host down": (lambda c: c.run("UPDATE placement.provider SET up = false WHERE kind = 'volume'"),
                  "hosts-silent", "is down"),
    "host never reported": (lambda c: c.run("DELETE FROM conductor.host_report WHERE kind = 'volume'"),
                            "hosts-silent", "never reported"),
    "operation failed": (lambda c: c.operation("failed", c.server), "operations-failed", "no way back"),
    "operation stuck": (lambda c: c.operation("running", c.server, late=120), "operations-stuck", "is running"),
    "operation waits for nothing": (lambda c: c.operation("waiting", c.server), "operations-stuck", "is waiting"),
    "server abandoned": (lambda c: c.run("UPDATE compute.server SET task_state = 'rebooting'"),
                         "resources-abandoned", "is rebooting, and no operation"),
    "used drifts": (lambda c: c.run("UPDATE placement.inventory SET used = used + 1 WHERE resource_class = 'VCPU'"),
                    "inventory-used", "3 VCPU used, and 2 claimed"),
    "oversold": (lambda c: c.run("UPDATE placement.inventory SET total = 1 WHERE resource_class = 'VCPU'"),
                 "inventory-room", "2 VCPU claimed, and 1 may be"),
    "claim too small": (
        lambda c: c.run("""WITH a AS (UPDATE placement.allocation SET amount = 1 WHERE resource_class = 'VCPU')
                           UPDATE placement.inventory SET used = 1 WHERE resource_class = 'VCPU'"""),
        "servers-unclaimed", "needs 2 VCPU on h1, and claims 1 on h1"),
    "not metered": (lambda c: c.run("DELETE FROM metering.existence WHERE resource_type = 'server'"),
                    "metering-gaps", "is not metered"),
    "presence too many": (lambda c: c.run("INSERT INTO network.presence VALUES ($1, 'h9')", c.network),
                          "network-presence", "no port of it is bound"),
    "presence missing": (lambda c: c.run("DELETE FROM network.presence"), "network-presence", "not noted as present"),
    "port bound elsewhere": (
        lambda c: c.run("""WITH p AS (UPDATE network.port SET host = 'h2') UPDATE network.presence SET host = 'h2'"""),
        "ports-of-servers", "is bound to h2, and its server is on h1"),
    "in use by nobody": (lambda c: c.run("DELETE FROM volume.attachment"), "volume-attachments", "has no attachment"),
    "available and attached": (lambda c: c.run("UPDATE volume.volume SET status = 'available'"),
                               "volume-attachments", "is available, and its attachment"),
    "outbox does not drain": (
        lambda c: c.run("""INSERT INTO bus.outbox (exchange, routing_key, message_id, type, source, subject, project_id,
                               request_id, operation_id, command_id, traceparent, time, body)
                           VALUES ('x', '', 'm', 't', 's', '', '', '', '', '', '', $1, '{}')""", c.then),
        "outbox-waiting", "1 messages wait"),
    "head without its event": (lambda c: c.run("UPDATE bus.event_head SET position = 5"),
                              "events-numbered", "head is 5"),
    "events missing": (
        lambda c: c.run("""WITH e AS (INSERT INTO bus.event SELECT n, 'i', 't', 's', '', '', '', '', '', now(), '{}'
                                        FROM unnest(ARRAY[3, 4, 6]) AS n)
                           UPDATE bus.event_head SET position = 6"""),
        "events-whole", "from 3 to 6, 1 events are missing"),
    "dead letter": (
        lambda c: c.run("""INSERT INTO bus.dead_letter (id, exchange, routing_key, queue, reason, type, source, subject,
                               project_id, request_id, operation_id, command_id, traceparent, time, body, died_at)
                           VALUES ('m', 'x', '', 'q', 'refused', 't', 's', '', '', '', '', '', '', $1, '{}', $1)""",
                        c.then),
        "dead-letters", "t in q: refused"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_each_disagreement_is_found_by_its_check(cloud: Cloud, name: str) -> None:
    breaks, check, says = BROKEN[name]
    await breaks(cloud)
    found = await cloud.found()
    assert any(says in one for one in found[check]), found


async def test_a_deleted_server_that_left_everything_behind_is_found_everywhere(cloud: Cloud) -> None:
    await cloud.run(
        "UPDATE compute.server SET state = 'DELETED', deleted = true, terminated_at = $1, updated_at = $1", cloud.then
    )
    assert await cloud.found() == {
        "guests-and-servers": [f"is gone, and {HOST} has a guest of it (running)"],
        "claims-of-nobody": [f"holds compute room on {HOST} for nobody"],
        "metering-gaps": ["is gone and still metered"],
        "ports-of-servers": [f"belongs to server {cloud.server}, which is gone"],
        "volume-attachments": [f"is in-use, and the server {cloud.server} that has it is gone"],
    }


async def test_a_deleted_volume_that_left_everything_behind_is_found_everywhere(cloud: Cloud) -> None:
    await cloud.run("DELETE FROM volume.attachment")
    await cloud.run("UPDATE volume.volume SET status = 'deleted', deleted_at = $1, updated_at = $1", cloud.then)
    assert await cloud.found() == {
        "volumes-stored": [f"is deleted, and {HOST} has it and should not"],
        "volumes-exported": [f"is exported by {HOST} for attachment {cloud.attachment}, which does not exist"],
        "claims-of-nobody": [f"holds volume room on {HOST} for nobody"],
        "metering-gaps": ["is gone and still metered"],
    }


async def test_what_changed_after_the_last_report_is_no_disagreement(cloud: Cloud) -> None:
    await cloud.report(guests={}, ports=[], volumes=[], exports={})
    assert set(await cloud.found()) == {"guests-and-servers", "ports-wired", "volumes-stored", "volumes-exported"}
    now = clock.now()
    for table in ("compute.server", "network.port", "volume.volume"):
        await cloud.run(f"UPDATE {table} SET updated_at = $1", now)
    await cloud.run("UPDATE volume.attachment SET attached_at = $1", now)
    assert await cloud.found() == {}


async def test_what_an_operation_works_on_may_disagree_for_a_while(cloud: Cloud) -> None:
    await cloud.report(guests={}, ports=[])
    await cloud.run("UPDATE compute.server SET task_state = 'deleting'")
    await cloud.operation("running", cloud.server)
    assert await cloud.found() == {}


async def test_an_older_report_that_comes_late_changes_nothing(cloud: Cloud) -> None:
    newest = clock.now()
    clock.use(lambda: newest - timedelta(seconds=30))
    try:
        await cloud.report(guests={})
    finally:
        clock.use(None)
    assert await cloud.found() == {}


@pytest.mark.parametrize("name", BROKEN)
async def test_each_disagreement_has_either_a_repair_or_advice_for_the_operator(cloud: Cloud, name: str) -> None:
    await BROKEN[name][0](cloud)
    for row in as_rows(await examine(cloud.store)):
        assert bool(row["repair"]) != bool(row["advice"]), row


def test_every_check_says_what_must_hold_and_has_a_name_of_its_own() -> None:
    assert all(check.__doc__ for check in CHECKS)
    assert len({name_of(check) for check in CHECKS}) == len(CHECKS)
    assert {check for _, check, _ in BROKEN.values()} | {"claims-of-nobody"} == {name_of(check) for check in CHECKS}


async def _doctor(store: Store, path: Path, *, as_json: bool) -> int:
    """Run the command in a thread, as it runs its own event loop."""
    config = path / "skybus.toml"
    config.write_text(f'[database]\ndsn = "{store.config.dsn}"\n')
    return await asyncio.to_thread(
        doctor.main, argparse.Namespace(config=str(config), json=as_json, repair=False, wait=0)
    )


async def test_the_command_prints_a_table_and_fails_when_there_is_a_disagreement(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _doctor(cloud.store, tmp_path, as_json=False) == 0
    assert capsys.readouterr().out == f"{len(CHECKS)} checks, no disagreements\n"
    await cloud.report(guests={})
    assert await _doctor(cloud.store, tmp_path, as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    says = "is ACTIVE, and h1 has no guest of it"
    assert lines[0].split("  ") == ["guests-and-servers", f"server {cloud.server}", says]
    assert lines[1].startswith("    left alone: ")
    assert lines[2] == f"{len(CHECKS)} checks, 1 disagreement"


async def test_the_command_prints_json_for_programs(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await cloud.report(ports=[])
    assert await _doctor(cloud.store, tmp_path, as_json=True) == 1
    printed = json.loads(capsys.readouterr().out)
    expected = Finding(what=f"port {cloud.port}", says=f"is bound to {HOST}, and not wired there")
    assert printed == {
        "checks": len(CHECKS),
        "disagreements": [
            {
                "check": "ports-wired",
                "what": expected.what,
                "says": expected.says,
                "repair": f"reconcile the network agent's host {HOST} with its last report",
                "advice": "",
            }
        ],
    }
