"""A campaign: many requests to an owned cloud, a check of every answer, and one report of all that was wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from skybus.gateway.apis import apis
from skybus.http.routes import Api, Route
from support.front import Answer
from support.hostile import PRIVATE, Ask, exists, malformed, named, send
from support.owned_cloud import OwnedCloud

ROUTES = [(api, route) for api in apis() for route in api.routes if exists(api, route)]
AT_ONCE = 6
"""Requests on their way at any moment."""
Check = Callable[[Ask, Answer], str | None]


class Offences:
    """What a part of the campaign found, reported together."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.statuses: Counter[int] = Counter()

    def note(self, what: str, asked: Ask, answer: Answer) -> None:
        """One offence."""
        request_id = next((answer.headers[name] for name in asked.api.request_id_headers if name in answer.headers), "")
        self.found.append(f"{what}: {asked} -> {request_id} {answer}")

    def check(self) -> None:
        """Fails when there was any."""
        assert not self.found, f"{len(self.found)} offences, {dict(self.statuses)}:\n" + "\n".join(self.found)
        assert sum(self.statuses.values()) > 0


async def campaign(
    cloud: OwnedCloud, asks: Iterable[Ask], check: Check, *, who: str | None, headers: dict[str, str] | None = None
) -> Offences:
    """Send all; nothing may crash, and every refusal is in its API's own form."""
    offences, gate = Offences(), asyncio.Semaphore(AT_ONCE)
    token = None if who is None else cloud.tokens.get(who, who)

    async def one(asked: Ask) -> None:
        async with gate:
            try:
                answer = await send(cloud.client, asked, token, headers)
            except TimeoutError:
                offences.note("no answer", asked, Answer(0, {}, b"", None))
                return
        offences.statuses[answer.status] += 1
        problem = check(asked, answer)
        if answer.status >= 500 and answer.status != 501:
            problem = "it crashed"
        elif problem is None and answer.status >= 400:
            problem = malformed(asked, answer) or None
        if problem:
            offences.note(problem, asked, answer)

    pending = list(asks)
    await _in_turn(pending, one)
    return offences


async def _in_turn(asks: list[Ask], one: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    for start in range(0, len(asks), 200):
        async with asyncio.TaskGroup() as group:
            for asked in asks[start : start + 200]:
                group.create_task(one(asked))


@asynccontextmanager
async def untouched(cloud: OwnedCloud) -> AsyncIterator[None]:
    """Holds that no row that names something of the owner's came, went or changed."""
    before = await owners_rows(cloud)
    yield
    after = await owners_rows(cloud)
    changed = [f"- {row}" for row in sorted(before - after)] + [f"+ {row}" for row in sorted(after - before)]
    assert not changed, "the owner's things have changed:\n" + "\n".join(changed)


async def owners_rows(cloud: OwnedCloud) -> set[str]:
    """The rows that name something of the owner's."""
    mine = [cloud.owned[name] for name in PRIVATE if name in cloud.owned and not is_shared(cloud, name)]
    return {row for row in await cloud.rows() if any(one in row for one in mine)}


def is_shared(cloud: OwnedCloud, name: str) -> bool:
    """Whether both estates name the same thing, as a host."""
    return cloud.owned[name] == cloud.spare.get(name)


def is_twin(api: Api, route: Route) -> bool:
    """Whether the route is another spelling of one: in an older version, or with the project in its path."""
    return (api.versions is not None and api.versions.fixed) or is_prefixed(route)


def is_prefixed(route: Route) -> bool:
    """Whether a volume route says the project twice, in the path and by the token."""
    return route.path.startswith("/v3/{project_id}/") and route.handler.__module__.startswith("skybus.volume.")


def private_parts(cloud: OwnedCloud, api: Api, route: Route) -> list[str]:
    """What of the path is the owner's own."""
    return [name for name in named(api, route) if name in PRIVATE and name in cloud.owned]
