"""`skybus doctor --repair`: what is safe is mended through the reconcilers, and the cloud agrees with itself again.
What is not safe is left alone, with advice."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from skybus.cli import doctor
from skybus.cli.doctor import as_rows
from skybus.config import Config, Gateway
from skybus.doctor.checks import CHECKS, examine
from skybus.doctor.finding import Finding
from skybus.identity import keys_ensure
from skybus.ids import new_id
from skybus.messages.network import UnplugPort
from skybus.messages.volume import UnexportVolume
from skybus.store import Store
from skybus_conductor.host_reports import report_keep
from skybus_conductor.repairs import REPAIRS, Outcome, mend
from support.small_cloud import HOSTS, SmallCloud, small_cloud

STRANGER = "0190aaaa-0000-7000-8000-00000000abcd"
OPERATION = """
INSERT INTO saga.operation (id, kind, project_id, user_id, request_id, resource_type, resource_id, exclusive, state,
                            step, error, created_at, updated_at, finished_at)
SELECT $1, $2, s.project_id, s.user_id, 'r', 'server', s.id::text, true, $3, CASE $3 WHEN 'failed' THEN 0 ELSE -1 END,
       '{"reason": "no way back"}', s.created_at, s.created_at - interval '1 hour',
       CASE $3 WHEN 'failed' THEN now() END
  FROM compute.server s
"""


class Patient:
    """A server with one port and one volume, and a volume that nobody has; all as it should be."""

    def __init__(self, cloud: SmallCloud, config: Config) -> None:
        self.cloud = cloud
        self.config = config
        self.store: Store = cloud.store
        self.server = self.volume = self.spare = self.host = self.other = ""

    async def build(self) -> None:
        """Make it, and have every host report it."""
        self.server = await self.cloud.server()
        self.volume, self.spare = await self.cloud.volume(), await self.cloud.volume()
        await self.cloud.attach(self.server, self.volume)
        await self.cloud.run()
        self.host = str(await self.value("SELECT host FROM compute.server"))
        self.other = next(host for host in HOSTS if host != self.host)
        await self.reported()
        assert await self.found() == []

    async def value(self, sql: str, *args: Any) -> Any:
        """The first value of a query."""
        return await self.store.fetchval(sql, *args)

    async def harm(self, sql: str, *args: Any) -> None:
        """One statement, committed."""
        async with self.store.transaction() as tx:
            await tx.execute(sql, *args)

    async def found(self) -> list[dict[str, str]]:
        """What the doctor says."""
        return as_rows(await examine(self.store))

    async def mended(self) -> list[Outcome]:
        """Every repair made; hosts and operations have had their time, and the hosts have reported."""
        outcomes = await self.treated()
        for _ in range(2):
            await self.cloud.run()
            await self.reported()
        return outcomes

    async def reported(self) -> None:
        """Some seconds pass, and all hosts report."""
        self.cloud.wait(5)
        await self.cloud.report()

    async def treated(self) -> list[Outcome]:
        """Every repair made, and nothing delivered."""
        _, outcomes = await mend(self.store, self.config, await examine(self.store))
        return outcomes

    async def seen(self, kind: str, host: str) -> None:
        """An agent's report is kept, and no reconciler looks at it."""
        self.cloud.wait(5)
        report: Any = await self.cloud.agents[f"{kind}.{host}"].report(started=False)
        async with self.store.transaction() as tx:
            await report_keep(tx, kind, report)  # type: ignore[arg-type]

    async def order(self, address: str, command: Any) -> None:
        """An agent does something that nobody in the control plane knows of."""
        await self.cloud.agents[address].handlers[type(command)](command)


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Patient]:
    keys = tmp_path / "keys"
    keys_ensure(keys)
    async with small_cloud(tmp_path / "cloud") as cloud:
        made = Patient(cloud, Config(gateway=Gateway(token_key_dir=keys)))
        await made.build()
        yield made


Damage = Callable[[Patient], Awaitable[Any]]


async def _unwire(p: Patient) -> None:
    row = await p.store.fetchrow("SELECT id, network_id, host FROM network.port WHERE server_id IS NOT NULL")
    tap = f"tap{row['id'][-11:]}"
    await p.order(f"network.{row['host']}", UnplugPort(port_id=row["id"], network_id=row["network_id"], tap=tap))
    await p.seen("network", row["host"])


async def _unexport(p: Patient) -> None:
    row = await p.store.fetchrow(
        "SELECT a.id, v.id AS volume_id, v.host FROM volume.attachment a JOIN volume.volume v ON v.id = a.volume_id"
    )
    await p.order(f"volume.{row['host']}", UnexportVolume(volume_id=row["volume_id"], attachment_id=row["id"]))
    await p.seen("volume", row["host"])


async def _waiting_for_nothing(p: Patient) -> None:
    await p.harm("UPDATE compute.server SET task_state = 'deleting'")
    await p.harm(OPERATION, new_id(), "server_delete", "waiting")


CLAIM = "INSERT INTO placement.allocation VALUES ($1, 'VCPU', 'compute', $2, 'p', 1)"
USED = (
    "UPDATE placement.inventory SET used = used + $1 WHERE kind = 'compute' AND host = $2 AND resource_class = 'VCPU'"
)


async def _claim_of_nobody(p: Patient) -> None:
    await p.harm(CLAIM, STRANGER, p.host)
    await p.harm(USED, 1, p.host)


async def _claim_elsewhere(p: Patient) -> None:
    for host, change in ((p.host, -1), (p.other, 1)):
        await p.harm(USED, change, host)
    await p.harm(
        "UPDATE placement.allocation SET host = $1 WHERE kind = 'compute' AND resource_class = 'VCPU'", p.other
    )


async def _unmetered(p: Patient) -> None:
    p.cloud.wait(300)  # metering does not run here: what exists is not metered


async def _metered_beyond_the_end(p: Patient) -> None:
    await p.harm(
        "INSERT INTO metering.existence (resource_type, resource_id, project_id, started_at) "
        "SELECT 'volume', id, project_id, created_at FROM volume.volume UNION ALL "
        "SELECT 'server', id, project_id, launched_at FROM compute.server"
    )
    deleted = await p.cloud.client.call("DELETE", f"/volume/v3/volumes/{p.spare}")
    assert deleted.status == 202, deleted
    await p.cloud.run()
    p.cloud.wait(300)


async def _made_after_all(p: Patient) -> None:
    """A late order made a volume whose creation had been undone."""
    await p.harm("DELETE FROM placement.allocation WHERE consumer_id = $1", p.spare)
    await p.harm("UPDATE volume.volume SET status = 'error', host = NULL WHERE id = $1", p.spare)


REPAIRED: dict[str, tuple[Damage, str, str]] = {
    "claim of nobody": (_claim_of_nobody, "claims-of-nobody", "release-claims"),
    "claim lost": (
        lambda p: p.harm("DELETE FROM placement.allocation WHERE consumer_id = $1", p.server),
        "servers-unclaimed", "claim"),
    "claim elsewhere": (_claim_elsewhere, "servers-unclaimed", "claim"),
    "used drifts": (lambda p: p.harm(USED, 1, p.host), "inventory-used", "recount"),
    "not metered": (_unmetered, "metering-gaps", "meter-server"),
    "metered beyond its end": (_metered_beyond_the_end, "metering-gaps", "meter-volume"),
    "port of a server that is gone": (
        lambda p: p.harm("UPDATE network.port SET server_id = $1 WHERE server_id IS NOT NULL", STRANGER),
        "ports-of-servers", "end-ports"),
    "port bound elsewhere": (
        lambda p: p.harm("""WITH moved AS (UPDATE network.presence SET host = $1)
                            UPDATE network.port SET host = $1 WHERE server_id IS NOT NULL""", p.other),
        "ports-of-servers", "move-port"),
    "present where no port is": (
        lambda p: p.harm("INSERT INTO network.presence SELECT network_id, 'h9' FROM network.presence"),
        "network-presence", "presence"),
    "not noted as present": (lambda p: p.harm("DELETE FROM network.presence"), "network-presence", "presence"),
    "attached to a server that never was": (
        lambda p: p.harm("UPDATE volume.attachment SET server_id = $1", STRANGER), "volume-attachments", "settle"),
    "available and attached": (
        lambda p: p.harm("UPDATE volume.volume SET status = 'available' WHERE id = $1", p.volume),
        "volume-attachments", "settle"),
    "server that reboots for ever": (
        lambda p: p.harm("UPDATE compute.server SET task_state = 'rebooting'"),
        "resources-abandoned", "take-up-server"),
    "server that is built for ever": (
        lambda p: p.harm("UPDATE compute.server SET state = 'BUILD', task_state = 'spawning', launched_at = NULL"),
        "resources-abandoned", "take-up-server"),
    "server that is deleted for ever": (
        lambda p: p.harm("UPDATE compute.server SET task_state = 'deleting'"),
        "resources-abandoned", "take-up-server"),
    "volume that is made for ever": (
        lambda p: p.harm("UPDATE volume.volume SET status = 'creating' WHERE id = $1", p.spare),
        "resources-abandoned", "take-up-volume"),
    "volume that is deleted for ever": (
        lambda p: p.harm("UPDATE volume.volume SET status = 'deleting' WHERE id = $1", p.spare),
        "resources-abandoned", "take-up-volume"),
    "volume that is attached for ever": (
        lambda p: p.harm("""WITH a AS (UPDATE volume.attachment SET state = 'attaching')
                            UPDATE volume.volume SET status = 'attaching' WHERE id = $1""", p.volume),
        "resources-abandoned", "take-up-volume"),
    "operation that waits for nothing": (_waiting_for_nothing, "operations-stuck", "begin-waiting"),
    "head behind its log": (
        lambda p: p.harm("INSERT INTO bus.event VALUES (7, 'i', 't', 's', '', '', '', '', '', now(), '{}')"),
        "events-numbered", "raise-head"),
    "server whose guest runs": (
        lambda p: p.harm("UPDATE compute.server SET state = 'SHUTOFF', power_state = 4"),
        "guests-and-servers", "host"),
    "server that was said to be active": (
        lambda p: p.harm("UPDATE compute.server SET state = 'SHUTOFF'"), "guests-and-servers", "host"),
    "port that lost its wire": (_unwire, "ports-wired", "host"),
    "port that is wired for nobody": (
        lambda p: p.harm("DELETE FROM network.port WHERE host <> ''"), "ports-wired", "host"),
    "deleted volume that is still there": (
        lambda p: p.harm("UPDATE volume.volume SET status = 'deleted', deleted_at = created_at WHERE id = $1", p.spare),
        "volumes-stored", "host"),
    "volume that never came to be and is there": (_made_after_all, "volumes-stored", "host"),
    "volume that is not exported": (_unexport, "volumes-exported", "host"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPAIRED)
async def test_what_can_be_mended_safely_is_found_mended_and_clean_afterwards(patient: Patient, name: str) -> None:
    damage, check, repair = REPAIRED[name]
    await damage(patient)
    rows = await patient.found()
    assert repair in {one.repair[0] for one in (await examine(patient.store))[check] if one.repair}, rows
    assert all(row["repair"] or row["check"] == "volume-attachments" for row in rows), rows
    outcomes = await patient.mended()
    assert [one for one in outcomes if one.refused] == []
    assert await patient.found() == []


async def test_a_deleted_server_that_left_everything_behind_is_cleared_away_and_its_volume_kept(
    patient: Patient,
) -> None:
    await patient.harm("UPDATE compute.server SET state = 'DELETED', deleted = true, terminated_at = launched_at")
    checks = {row["check"] for row in await patient.found()}
    assert checks >= {"guests-and-servers", "claims-of-nobody", "ports-of-servers", "volume-attachments"}
    await patient.mended()
    assert await patient.found() == []
    world = await patient.cloud.world()
    left = {name: what for name, what in world.items() if what and not name.endswith("volumes") and name != "claims"}
    assert left.keys() <= {"ports", "addresses"}, left
    assert {row[3] for row in world["claims"]} == {"volume"}
    assert {row[3] for row in world["ports"]} <= {"None"}, "what is left of ports is the networks' own"
    assert await patient.cloud.volume_status(patient.volume) == "available"


async def test_a_volume_in_use_by_nobody_is_free_once_its_host_exports_it_no_longer(patient: Patient) -> None:
    await patient.harm("DELETE FROM volume.attachment")
    first = {one.check: one.refused for one in await patient.mended()}
    assert first["volumes-exported"] == ""
    assert "still exports it" in first["volume-attachments"]
    assert [one.refused for one in await patient.mended()] == [""]
    assert await patient.found() == []
    assert await patient.cloud.volume_status(patient.volume) == "available"


def doctored(path: str, value: str) -> str:
    """SQL that puts `value` behind the list at `path` of every report."""
    return f"UPDATE conductor.host_report SET report = jsonb_insert(report, '{{{path},0}}', '{value}') WHERE kind = $1"


LEFT_ALONE: dict[str, tuple[Damage, str, str]] = {
    "guest of a server that never was": (
        lambda p: p.harm(doctored("guests", f'{{"server_id": "{STRANGER}", "power_state": "running"}}'), "compute"),
        "guests-and-servers", "we destroy no guest"),
    "guest lost": (
        lambda p: p.harm("UPDATE conductor.host_report SET report = jsonb_set(report, '{guests}', '[]')"),
        "guests-and-servers", "reboot it hard"),
    "server on another host": (
        lambda p: p.harm("UPDATE compute.server SET host = $1", p.other), "guests-and-servers", "look at both"),
    "volume that never was": (
        lambda p: p.harm(doctored("volumes", f'"{STRANGER}"'), "volume"), "volumes-stored", "we destroy no data"),
    "host down": (lambda p: p.harm("UPDATE placement.provider SET up = false"), "hosts-silent", "its agent runs"),
    "oversold": (
        lambda p: p.harm("UPDATE placement.inventory SET total = 0 WHERE used > 0"),
        "inventory-room", "delete or move"),
    "operation that could not be undone": (
        lambda p: p.harm(OPERATION, new_id(), "server_stop", "failed"), "operations-failed", "operations retry"),
    "events lost": (lambda p: p.harm("UPDATE bus.event_head SET position = 9"), "events-numbered", "events were lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_ALONE)
async def test_what_is_not_safe_to_mend_is_left_alone_with_advice(patient: Patient, name: str) -> None:
    damage, check, advice = LEFT_ALONE[name]
    await damage(patient)

    async def of_check() -> Sequence[Finding]:
        return [one for one in (await examine(patient.store))[check] if advice in one.advice]

    found = await of_check()
    assert found
    assert all(not one.repair for one in found)
    assert check not in {one.check for one in await patient.treated()}
    assert await of_check() == found


async def test_what_a_parked_operation_left_waits_until_somebody_has_decided_about_it(patient: Patient) -> None:
    await patient.harm(OPERATION, new_id(), "server_stop", "failed")
    await patient.harm("UPDATE compute.server SET task_state = 'powering-off'")
    [abandoned] = [row for row in await patient.found() if row["check"] == "resources-abandoned"]
    assert abandoned["repair"] == ""
    assert "first decide" in abandoned["advice"]
    await patient.harm(
        "INSERT INTO saga.acknowledgement SELECT id, 'seen', now() FROM saga.operation WHERE state = 'failed'"
    )
    await patient.mended()
    assert await patient.found() == []


async def test_a_claim_that_does_not_fit_any_more_is_refused_and_the_old_one_kept(patient: Patient) -> None:
    await _claim_elsewhere(patient)
    await patient.harm("UPDATE placement.provider SET enabled = false WHERE host = $1", patient.host)
    [outcome] = await patient.treated()
    assert "has no room" in outcome.refused
    assert await patient.value("SELECT host FROM placement.allocation WHERE resource_class = 'VCPU'") == patient.other


async def test_a_port_does_not_move_away_from_a_guest_that_another_host_reports(patient: Patient) -> None:
    await patient.harm("UPDATE compute.server SET host = $1", patient.other)
    outcomes = {one.check: one for one in await patient.treated()}
    assert "does not report to be the only one" in outcomes["ports-of-servers"].refused
    assert await patient.value("SELECT host FROM network.port WHERE server_id IS NOT NULL") == patient.host


async def test_a_host_that_is_not_heard_of_is_not_reconciled_with_its_old_report(patient: Patient) -> None:
    await patient.harm("UPDATE compute.server SET state = 'SHUTOFF', power_state = 4")
    await patient.harm("UPDATE placement.provider SET up = false WHERE kind = 'compute'")
    [outcome] = await patient.treated()
    assert "is not heard of" in outcome.refused


async def test_what_needs_keys_that_are_out_of_reach_is_refused_and_the_rest_is_mended(patient: Patient) -> None:
    await _unwire(patient)
    await _claim_of_nobody(patient)
    _, outcomes = await mend(patient.store, Config(), await examine(patient.store))
    refused = {one.check: one.refused for one in outcomes}
    assert "keys of tokens" in refused["ports-wired"]
    assert refused["claims-of-nobody"] == ""


async def test_a_repair_commits_with_an_event_that_says_what_was_mended(patient: Patient) -> None:
    await _claim_of_nobody(patient)
    request_id, _ = await mend(patient.store, patient.config, await examine(patient.store))
    row = await patient.store.fetchrow(
        "SELECT project_id, request_id, body::json AS body FROM bus.outbox WHERE type = 'skybus.saga.repair.made.v1'"
    )
    assert row is not None
    assert (row["project_id"], row["request_id"]) == ("", request_id), "an administrator's to see"
    assert row["body"] == {
        "check": "claims-of-nobody",
        "what": f"claim of {STRANGER}",
        "says": f"holds compute room on {patient.host} for nobody",
        "repair": "release the compute claims of what is on no host",
    }


async def test_a_cloud_that_is_well_is_not_touched(patient: Patient) -> None:
    before = await patient.cloud.world()
    assert await patient.treated() == []
    assert await patient.value("SELECT count(*) FROM bus.outbox") == 0
    assert await patient.cloud.world() == before


async def _command(patient: Patient, folder: Path, **options: Any) -> int:
    """`skybus doctor`, in a thread, as it runs its own event loop."""
    config = folder / "skybus.toml"
    config.write_text(f'[database]\ndsn = "{patient.store.config.dsn}"\n')
    args = {"config": str(config), "json": False, "repair": False, "wait": 0.0, **options}
    return await asyncio.to_thread(doctor.main, argparse.Namespace(**args))


async def test_the_command_changes_nothing_unless_told_to_and_then_says_what_it_did(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _claim_of_nobody(patient)
    assert await _command(patient, tmp_path) == 1
    assert "--repair would release the compute claims of what is on no host" in capsys.readouterr().out
    assert await _command(patient, tmp_path) == 1, "nothing was changed"
    capsys.readouterr()
    assert await _command(patient, tmp_path, repair=True) == 0
    told = capsys.readouterr().out
    assert f"claim of {STRANGER}  mended: release the compute claims of what is on no host" in told
    assert "the story of it: skybus trace req-" in told
    assert told.endswith(f"{len(CHECKS)} checks, no disagreements\n")


async def test_the_command_fails_while_something_is_left_and_tells_programs_all_of_it(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _claim_elsewhere(patient)
    await patient.harm("UPDATE placement.provider SET enabled = false WHERE host = $1", patient.host)
    assert await _command(patient, tmp_path, repair=True, json=True) == 1
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert [one["check"] for one in told["disagreements"]] == ["servers-unclaimed"]
    [repair] = told["repairs"]
    assert (repair["check"], repair["what"]) == ("servers-unclaimed", f"server {patient.server}")
    assert "has no room" in repair["refused"]
    assert told["request_id"].startswith("req-")


def test_every_repair_there_is_has_a_damage_here_that_it_mends() -> None:
    assert {repair for _, _, repair in REPAIRED.values()} == set(REPAIRS)
