"""GET /events/v1/operations: what was accepted, how far it is, how it ended; one's own alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from skybus.bus.context import Context, bound
from skybus.events.api import apis
from skybus.events.policies import RULES
from skybus.ids import new_id
from skybus.saga.operations import operation_start
from skybus.store import Store
from support.front import Client, front

BOB, ADMIN = "bob:p2:member,reader", "root:p0:admin"
PATH = "/events/v1/operations"


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    async with front(apis(), RULES, {"store": store}) as made:
        yield made


async def started(store: Store, project_id: str = "p1", kind: str = "server_create", request: str = "req-1") -> str:
    """An operation that was accepted."""
    with bound(Context(project_id=project_id, user_id="u", request_id=request)):
        async with store.transaction() as tx:
            return await operation_start(tx, kind, resource_type="server", resource_id=new_id(), memo={"secret": "s"})


async def set_to(store: Store, operation_id: str, **columns: Any) -> None:
    """As the conductor would have left it."""
    names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    async with store.transaction() as tx:
        await tx.execute(f"UPDATE saga.operation SET {names} WHERE id = $1", operation_id, *columns.values())


async def test_an_operation_shows_its_steps_and_what_it_waits_for(store: Store, client: Client) -> None:
    operation_id = await started(store)
    awaiting = {"c1": {"key": "a", "to": "network.h1", "answer_type": None, "answer": None}}
    await set_to(store, operation_id, step=1, attempt=2, awaiting=awaiting)
    shown = (await client.call("GET", f"{PATH}/{operation_id}")).body["operation"]
    assert shown["steps"] == [
        {"name": "place", "state": "done"},
        {"name": "wire", "state": "awaited"},
        {"name": "spawn", "state": "pending"},
    ]
    assert shown["awaiting"] == [{"worker": "network.h1", "order": "a", "answered": False}]
    assert (shown["state"], shown["attempt"], shown["request_id"]) == ("running", 2, "req-1")
    assert shown["deadline"]
    assert "memo" not in shown, "what the steps need is not the user's to see"


@pytest.mark.parametrize(
    ("state", "step", "states"),
    [
        ("running", -1, ["pending", "pending", "pending"]),
        ("running", 0, ["awaited", "pending", "pending"]),
        ("undoing", 1, ["done", "undoing", "undone"]),
        ("undone", -1, ["undone", "undone", "undone"]),
        ("failed", 1, ["done", "failed", "pending"]),
        ("done", 3, ["done", "done", "done"]),
    ],
)
async def test_the_steps_tell_how_far_it_is(
    store: Store, client: Client, state: str, step: int, states: list[str]
) -> None:
    operation_id = await started(store)
    error = {"code": "placement.no-valid-host", "reason": "No host has room."} if state == "undone" else None
    await set_to(store, operation_id, state=state, step=step, error=error)
    shown = (await client.call("GET", f"{PATH}/{operation_id}")).body["operation"]
    assert [one["state"] for one in shown["steps"]] == states
    assert shown["error"] == error


async def test_another_projects_operations_do_not_exist(store: Store, client: Client) -> None:
    """Security class 14."""
    mine, theirs = await started(store), await started(store, "p2")
    assert [one["id"] for one in (await client.call("GET", PATH)).body["operations"]] == [mine]
    for query in ("?project_id=p2", "?state=running&project_id=p2", f"?marker={new_id()}&project_id=p2"):
        assert theirs not in (await client.call("GET", PATH + query)).data.decode()
    hidden, absent = [await client.call("GET", f"{PATH}/{one}") for one in (theirs, new_id())]
    assert hidden.status == absent.status == 404
    assert hidden.body["errors"][0]["detail"] == f"Operation {theirs} could not be found."
    assert (await client.call("GET", f"{PATH}/{theirs}", token=BOB)).status == 200


async def test_an_admin_sees_all_or_one_project(store: Store, client: Client) -> None:
    mine, theirs = await started(store), await started(store, "p2")
    every = await client.call("GET", PATH, token=ADMIN)
    assert {one["id"] for one in every.body["operations"]} == {theirs, mine}
    one = await client.call("GET", f"{PATH}?project_id=p1", token=ADMIN)
    assert [operation["id"] for operation in one.body["operations"]] == [mine]
    assert (await client.call("GET", f"{PATH}/{mine}", token=ADMIN)).status == 200


async def test_filters_narrow_the_list(store: Store, client: Client) -> None:
    create = await started(store)
    stop = await started(store, kind="server_stop", request="req-2")
    await set_to(store, stop, state="done")
    row = await store.fetchrow("SELECT resource_id FROM saga.operation WHERE id = $1", stop)
    assert row is not None

    async def ids(query: str) -> set[str]:
        return {one["id"] for one in (await client.call("GET", f"{PATH}?{query}")).body["operations"]}

    assert await ids("kind=server_stop") == {stop}
    assert await ids("state=running") == {create}
    assert await ids("state=running,done") == {stop, create}
    assert await ids("request_id=req-1") == {create}
    assert await ids(f"resource_type=server&resource_id={row['resource_id']}") == {stop}
    assert await ids("resource_type=volume") == set()


async def test_the_links_lead_through_all_pages(store: Store, client: Client) -> None:
    made = [await started(store) for _ in range(7)]
    for _ in range(3):
        await started(store, "p2")
    url, seen, pages = f"{PATH}?limit=3&kind=server_create", [], 0
    while url:
        answer = await client.call("GET", url)
        seen += [one["id"] for one in answer.body["operations"]]
        pages += 1
        links = answer.body.get("operations_links", [{"href": ""}])
        url = links[0]["href"]
    assert seen == sorted(made, reverse=True)  # ids of one millisecond are in no order of time
    assert pages == 3


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "limit=" + "9" * 5000, "state=sleeping", "marker=x", "marker=%00", "state="],
)
async def test_what_cannot_be_understood_is_refused(client: Client, query: str) -> None:
    assert (await client.call("GET", f"{PATH}?{query}")).status == 400


@pytest.mark.parametrize("operation_id", ["x", "..%2f..", new_id().upper(), "a" * 3000])
async def test_an_id_that_is_none_is_not_found(client: Client, operation_id: str) -> None:
    assert (await client.call("GET", f"{PATH}/{operation_id}")).status == 404


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("dave:p1:nothing", 403)])
async def test_who_may_not_read_is_refused(client: Client, token: str | None, status: int) -> None:
    assert (await client.call("GET", PATH, token=token)).status == status
