"""`skybus operations`: an operator sees what runs and what is parked, and decides about what is parked."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from written_cloud import Cloud

from skybus.cli import operations
from skybus.errors import BadRequest, Conflict, NotFound
from skybus.store import Store

Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def cloud(store: Store) -> Cloud:
    made = Cloud(store)
    await made.build()
    return made


@pytest.fixture
def command(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in a thread, as it has its own event loop; answers its exit status and what it printed."""
    config = tmp_path / "skybus.toml"
    config.write_text(f'[database]\ndsn = "{cloud.store.config.dsn}"\n')

    async def run(action: str, id_: str | None = None, **more: object) -> tuple[int, str]:
        options = {"reason": None, "acknowledged": False, "json": False, **more}
        args = argparse.Namespace(config=str(config), action=action, id=id_, **options)
        return await asyncio.to_thread(operations.main, args), capsys.readouterr().out

    return run


async def _id(cloud: Cloud, state: str) -> str:
    return str(await cloud.store.fetchval("SELECT id FROM saga.operation WHERE state = $1", state))


async def test_what_runs_and_what_is_parked_is_listed_with_why(cloud: Cloud, command: Command) -> None:
    for state, resource in (("running", cloud.server), ("failed", cloud.volume), ("done", cloud.port)):
        await cloud.operation(state, resource)
    status, listed = await command("list")
    assert status == 0
    assert f"server {cloud.server}  step 0, attempt 0" in listed
    assert "no way back" in listed
    assert listed.endswith("2 operations\n")
    rows = json.loads((await command("list", json=True))[1])
    assert [(row["state"], row["resource_id"]) for row in rows] == [("running", cloud.server), ("failed", cloud.volume)]


async def test_one_is_shown_whole_with_its_acknowledgement(cloud: Cloud, command: Command) -> None:
    await cloud.operation("failed", cloud.server)
    parked = await _id(cloud, "failed")
    assert json.loads((await command("show", parked))[1])["acknowledged"] is None
    assert await command("acknowledge", parked, reason="the host was scrapped") == (
        0,
        f"k on server {cloud.server} is acknowledged\n",
    )
    shown = json.loads((await command("show", parked))[1])
    assert (shown["state"], shown["acknowledged"]["reason"]) == ("failed", "the host was scrapped")
    assert (await command("list"))[1] == "0 operations\n"
    assert "acknowledged: the host was scrapped" in (await command("list", acknowledged=True))[1]
    assert "operations-failed" not in await cloud.found(), "the doctor asks no more"


async def test_a_retry_puts_the_operation_back_on_its_way_back(cloud: Cloud, command: Command) -> None:
    await cloud.operation("failed", cloud.server)
    parked = await _id(cloud, "failed")
    status, said = await command("retry", parked)
    assert (status, said) == (0, f"the undo of k on server {cloud.server} is tried again\n")
    assert await _id(cloud, "undoing") == parked
    assert await cloud.store.fetchval("SELECT count(*) FROM bus.outbox WHERE orphan") == 1, (
        "a relay will send its event"
    )


async def test_what_cannot_be_is_said_and_changes_nothing(cloud: Cloud, command: Command) -> None:
    await cloud.operation("running", cloud.server)
    running = await _id(cloud, "running")
    assert (await command("show"))[0] == 2
    assert (await command("show", "nothing"))[0] == 1
    with pytest.raises(NotFound):
        await command("retry", "nothing")
    with pytest.raises(Conflict):
        await command("retry", running)
    with pytest.raises(BadRequest):
        await command("acknowledge", running)
    assert await _id(cloud, "running") == running
