"""GET /events/v1/stream: one's own events, from any position, at one's own pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse

from skybus import clock
from skybus.bus.memory import MemoryBroker, MemoryTransport
from skybus.errors import Unauthorized
from skybus.events import stream_api
from skybus.events.api import apis
from skybus.events.policies import RULES
from skybus.http.caller import Caller
from skybus.messages.compute import ServerMoved
from skybus.messages.volume import VolumeUpdated
from skybus.store import Store
from skybus.store.event_log import events_forget
from skybus.store.relay import Relay
from skybus.store.tail import Tail
from support.front import Client, front, made_up

ALICE, BOB, ADMIN = "alice:p1:member,reader", "bob:p2:member,reader", "root:p0:admin"


class Gateway:
    """The events API over a log that grows; `revoked` tokens are no longer good."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.revoked: set[str] = set()
        self.client: Client

    async def authenticate(self, token: str) -> Caller:
        """The caller that a made-up token names, unless it was revoked."""
        if token in self.revoked:
            raise Unauthorized("The token was revoked.")
        return await made_up(token)

    async def announce(self, subject: str, project_id: str = "p1", *, kind: str = "server") -> None:
        """An event about `subject`."""
        event: Any = VolumeUpdated(volume_id=subject, changed=["name"])
        if kind == "server":
            event = ServerMoved(server_id=subject, old="BUILD", new="ACTIVE", cause="booted")
        async with self.store.transaction() as tx:
            tx.publish(event, project_id=project_id, request_id=f"req-{subject}")

    @asynccontextmanager
    async def stream(self, query: str = "", *, token: str = ALICE, last: int | None = None) -> AsyncIterator[Stream]:
        """A subscriber."""
        headers = {"X-Auth-Token": token} | ({"Last-Event-ID": str(last)} if last is not None else {})
        async with self.client.http.get(f"{self.client.url}/events/v1/stream{query}", headers=headers) as response:
            assert response.status == 200, await response.text()
            yield await Stream.begun(response)


class Stream:
    """Reads events as a browser's EventSource does."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    @classmethod
    async def begun(cls, response: ClientResponse) -> Stream:
        """Once the gateway has said from where on it sends."""
        stream = cls(response)
        assert (await stream._block())[0].startswith(": position ")
        return stream

    async def _block(self) -> list[str]:
        lines: list[str] = []
        async with asyncio.timeout(10):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                lines.append(line)
        return lines

    async def next(self) -> Mapping[str, Any]:
        """The next event's data, held against its id and name."""
        while not (fields := dict(line.split(": ", 1) for line in await self._block() if not line.startswith(":"))):
            pass
        data: dict[str, Any] = json.loads(fields["data"])
        assert (fields["id"], fields["event"]) == (str(data["position"]), data["type"])
        return data

    async def subjects(self, count: int) -> list[str]:
        """The subjects of the next events."""
        return [(await self.next())["subject"] for _ in range(count)]


@pytest.fixture
async def gateway(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    # The gateway notices that a subscriber has left when it next writes to it.
    monkeypatch.setattr(stream_api, "KEEPALIVE_SECONDS", 0.2)
    made, transport = Gateway(store), MemoryTransport(MemoryBroker())
    await transport.open()
    relay, tail = Relay(store, transport), Tail(store)
    await relay.start()
    await tail.start()
    store.tail = tail
    try:
        async with front(apis(), RULES, {"store": store}, authenticate=made.authenticate) as client:
            made.client = client
            yield made
    finally:
        await tail.stop()
        await relay.stop()
        await transport.close()


async def logged(gateway: Gateway, count: int) -> None:
    """Return when the log has that many events."""
    async with asyncio.timeout(10):
        while await gateway.store.fetchval("SELECT position FROM bus.event_head") < count:
            await asyncio.sleep(0.01)


async def test_an_event_arrives_as_a_whole_cloudevent_soon_after_its_commit(gateway: Gateway) -> None:
    async with gateway.stream() as stream:
        await gateway.announce("s1")
        event = await stream.next()
    assert event["data"] == {"server_id": "s1", "old": "BUILD", "new": "ACTIVE", "cause": "booted"}
    assert (event["specversion"], event["type"]) == ("1.0", "skybus.compute.server.moved.v1")
    assert (event["projectid"], event["requestid"], event["position"]) == ("p1", "req-s1", 1)


async def test_a_subscriber_begins_now_or_behind_any_position(gateway: Gateway) -> None:
    for number in range(1, 6):
        await gateway.announce(f"s{number}")
    await logged(gateway, 5)
    for last in range(6):
        async with gateway.stream(last=last) as by_header, gateway.stream(f"?position={last}") as by_query:
            expected = [f"s{number}" for number in range(last + 1, 6)]
            assert await by_header.subjects(len(expected)) == expected
            assert await by_query.subjects(len(expected)) == expected
    async with gateway.stream() as now, gateway.stream("?position=0", last=4) as both:
        await gateway.announce("s6")
        assert await now.subjects(1) == ["s6"]
        assert await both.subjects(2) == ["s5", "s6"], "a reconnection knows better than the URL"


async def test_a_position_older_than_the_log_is_refused_with_where_the_log_begins(gateway: Gateway) -> None:
    for number in range(1, 6):
        await gateway.announce(f"s{number}")
    await logged(gateway, 5)
    async with gateway.store.transaction() as tx:
        assert await events_forget(tx, clock.now(), 3) == 3
    for query, headers in (("?position=0", {}), ("?position=2", {}), ("", {"Last-Event-ID": "1"})):
        answer = await gateway.client.call("GET", f"/events/v1/stream{query}", headers=headers, token=ALICE)
        assert answer.status == 410
        assert "begins at position 4" in answer.body["errors"][0]["detail"]
    async with gateway.stream("?position=3") as behind, gateway.stream("?position=earliest") as earliest:
        assert await behind.subjects(2) == ["s4", "s5"]
        assert await earliest.subjects(2) == ["s4", "s5"]


async def test_the_newest_event_outlives_every_age_and_positions_are_not_used_again(gateway: Gateway) -> None:
    for number in range(1, 4):
        await gateway.announce(f"s{number}")
    await logged(gateway, 3)
    async with gateway.store.transaction() as tx:
        assert await events_forget(tx, clock.now(), 100) == 2
        assert await events_forget(tx, clock.now(), 100) == 0
    await gateway.announce("s4")
    async with gateway.stream("?position=3") as stream:
        assert (await stream.next())["position"] == 4


async def test_a_subscriber_that_reconnects_again_and_again_misses_nothing_and_sees_nothing_twice(
    gateway: Gateway,
) -> None:
    last, seen = 0, []
    for number in range(12):
        await gateway.announce(f"s{number}")
        if number % 3 == 2:
            async with gateway.stream(last=last) as stream:
                for _ in range(2):  # it leaves before it has read all
                    event = await stream.next()
                    seen.append(event["subject"])
                    last = event["position"]
    async with gateway.stream(last=last) as stream:
        seen += await stream.subjects(4)
    assert seen == [f"s{number}" for number in range(12)]


async def test_a_long_log_is_read_in_order_to_its_end(gateway: Gateway) -> None:
    async with gateway.store.transaction() as tx:
        for number in range(450):  # more than two batches
            tx.publish(VolumeUpdated(volume_id=str(number), changed=[]), project_id="p1")
    async with gateway.stream(last=0) as stream:
        assert await stream.subjects(450) == [str(number) for number in range(450)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?type=skybus.compute.*", ["s1", "s2"]),
        ("?type=skybus.volume.volume.updated.v1", ["v1"]),
        ("?type=skybus.compute.*,skybus.volume.*", ["s1", "v1", "s2"]),
        ("?type=skybus.compute.*&type=skybus.volume.*", ["s1", "v1", "s2"]),
        ("?type=*.moved.v1", ["s1", "s2"]),
        ("?resource=s2", ["s2"]),
        ("?resource=s1&type=skybus.volume.*", []),
        ("?type=%25", []),  # no wildcard of SQL's
        ("?type=skybus_compute_server_moved_v1", []),
        ("?project=p1", ["s1", "v1", "s2"]),
    ],
)
async def test_filters_choose_types_and_resources(gateway: Gateway, query: str, expected: list[str]) -> None:
    await gateway.announce("s1")
    await gateway.announce("v1", kind="volume")
    await gateway.announce("s2")
    await logged(gateway, 3)
    async with gateway.stream(query, last=0) as stream:
        assert await stream.subjects(len(expected)) == expected
        if not expected:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await stream.next()


async def test_another_projects_events_are_never_seen(gateway: Gateway) -> None:
    """Security class 14."""
    for project_id, subject in (("p2", "theirs"), ("", "the cloud's own"), ("p1", "mine"), ("p2", "more")):
        await gateway.announce(subject, project_id)
    await logged(gateway, 4)
    async with gateway.stream(last=0) as alice, gateway.stream(last=0, token=BOB) as bob:
        assert await alice.subjects(1) == ["mine"]
        assert await bob.subjects(2) == ["theirs", "more"]
        await gateway.announce("later")
        assert await alice.subjects(1) == ["later"]
    for query in ("?project=p2", "?project=", "?project=p1&resource=x&project=p2"):
        asked = await gateway.client.call("GET", f"/events/v1/stream{query}", token="eve:p3:reader")
        assert asked.status == 403


async def test_an_admin_sees_all_or_one_project(gateway: Gateway) -> None:
    for project_id, subject in (("p1", "one"), ("", "cloud"), ("p2", "two")):
        await gateway.announce(subject, project_id)
    await logged(gateway, 3)
    async with gateway.stream(last=0, token=ADMIN) as every, gateway.stream("?project=p2", last=0, token=ADMIN) as two:
        assert await every.subjects(3) == ["one", "cloud", "two"]
        assert await two.subjects(1) == ["two"]


async def test_a_reader_who_does_not_read_holds_up_nobody(gateway: Gateway) -> None:
    """Security class 16."""
    filler = ["x" * 5000]
    async with gateway.stream() as slow, gateway.stream() as quick:
        for batch in range(8):
            async with gateway.store.transaction() as tx:
                for number in range(100):
                    event = VolumeUpdated(volume_id=f"{batch}-{number}", changed=filler)
                    tx.publish(event, project_id="p1")
            assert await quick.subjects(100) == [f"{batch}-{number}" for number in range(100)]
            assert (await gateway.client.call("GET", "/events/v1/operations")).status == 200
        assert await slow.subjects(800) == [f"{batch}-{number}" for batch in range(8) for number in range(100)]


async def test_a_revoked_token_ends_its_stream_and_no_other(gateway: Gateway) -> None:
    """Security class 7."""
    async with gateway.stream() as revoked, gateway.stream(token="carol:p1:reader") as good:
        await gateway.announce("before")
        assert await revoked.subjects(1) == await good.subjects(1) == ["before"]
        gateway.revoked.add(ALICE)
        await gateway.announce("after")
        assert await good.subjects(1) == ["after"]
        async with asyncio.timeout(10):
            rest = await _rest(revoked.response)
    assert b"after" not in rest


async def _rest(response: ClientResponse) -> bytes:
    """What still comes before the connection ends, cleanly or not."""
    received = b""
    try:
        async for chunk in response.content.iter_any():
            received += chunk
    except Exception:  # cut off: as good an end as any
        return received
    return received


@pytest.mark.parametrize(
    ("query", "token", "status"),
    [
        ("", None, 401),
        ("", "dave:p1:nothing", 403),
        ("?position=-1", ALICE, 400),
        ("?position=x", ALICE, 400),
        ("?position=" + "9" * 40, ALICE, 400),
        ("?" + "&".join(["type=a"] * 21), ALICE, 400),
        ("?type=" + "a" * 201, ALICE, 400),
    ],
)
async def test_what_cannot_be_streamed_is_refused(gateway: Gateway, query: str, token: str, status: int) -> None:
    answer = await gateway.client.call("GET", f"/events/v1/stream{query}", token=token)
    assert answer.status == status
    assert answer.body["errors"][0]["request_id"] == answer.headers["X-Openstack-Request-Id"]
