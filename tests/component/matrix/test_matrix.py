"""Every route of every API, asked by everybody: the answers are those of `matrix.txt`, which people read.

`SKYBUS_WRITE_MATRIX=1` writes the file anew from the answers; what has changed in it is for a reviewer to judge. The
requests are made from the routes table and the schemas of bodies, so a new route is asked as soon as it exists.
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from personas import PERSONAS, SHUT, dry_cloud

from skybus.http.routes import PUBLIC, Api, Route
from support.campaign import ROUTES, private_parts
from support.hostile import PRIVATE, ask, send
from support.owned_cloud import OwnedCloud

GOLDEN = Path(__file__).parent / "matrix.txt"
WRITE = "SKYBUS_WRITE_MATRIX"
AT_ONCE = 6
COLUMNS = (*PERSONAS, SHUT)
CLAIMS = {
    "X-Roles": "admin",
    "X-Role": "admin",
    "X-User-Id": "admin",
    "X-User-Name": "admin",
    "X-User-Domain-Id": "default",
    "X-Project-Id": "{project}",
    "X-Tenant-Id": "{project}",
    "X-Domain-Id": "default",
    "X-Is-Admin-Project": "True",
    "X-Identity-Status": "Confirmed",
    "X-Service-Identity-Status": "Confirmed",
    "X-Service-Token": "admin",
    "X-Service-Roles": "service,admin",
    "X-Service-User-Id": "admin",
    "X-Auth-Key": "admin",
    "OpenStack-System-Scope": "all",
    "REMOTE_USER": "admin",
}
"""Security class 9: what a proxy would say of a caller whom it has authenticated goes with every request."""
OPEN = {
    "/os-quota-sets/{id}/defaults",
    "/quotas/{project_id}/default",
    "/v3/os-quota-sets/{target_id}/defaults",
}
"""What anybody may ask of any project: the answer is the same for all."""


class Asked(msgspec.Struct, frozen=True):
    """One answer."""

    status: int
    request_id: str


class Matrix:
    """All answers, by persona and route."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Asked] = {}
        self.audited: dict[str, list[str]] = {}
        self.private: set[str] = set()
        self.shown: list[str] = []
        """What a manager of another domain was shown of the owner's in lists."""
        self.seen: list[str] = []
        """What an administrator was."""

    def status(self, persona: str, api: Api, route: Route) -> int:
        return self.answers[persona, name_of(api, route)].status

    def lines(self) -> list[str]:
        """The file, line by line."""
        shown = [f"# {name:8} {text}" for name, text in PERSONAS.items()]
        shown.append(f'# {SHUT:8} admin on the system, while every rule is "!"')
        width = max(len(name_of(api, route)) for api, route in ROUTES)
        shown.append(f"{'':{width}} " + " ".join(f"{name:>7}" for name in COLUMNS))
        for api, route in sorted(ROUTES, key=lambda one: (one[0].prefix, one[1].path, one[1].method, one[1].since)):
            statuses = " ".join(f"{self.status(name, api, route):>7}" for name in COLUMNS)
            shown.append(f"{name_of(api, route):{width}} {statuses}  {route.policy}")
        return shown


def name_of(api: Api, route: Route) -> str:
    """How the file calls a route; one that there is in several versions is told apart by its first."""
    since = f" since {route.since[0]}.{route.since[1]}" if route.since != (0, 0) else ""
    return f"{route.method:6} {api.prefix}{route.path}{since}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    """Everybody's answers from one cloud."""
    made = Matrix()
    async with dry_cloud(tmp_path_factory.mktemp("matrix")) as (cloud, store, tokens):
        made.private = {name_of(api, route) for api, route in ROUTES if private_parts(cloud, api, route)}
        made.audited = store.audited
        for persona in PERSONAS:
            await _ask_all(made, cloud, persona, tokens[persona])
        made.shown = await _shown(cloud, tokens["foreign"])
        made.seen = await _shown(cloud, tokens["system"])
        policy = cloud.client.dispatcher.policy
        rules = [name for name in policy.defaults if name not in ("identity:any_caller", PUBLIC)]
        policy.override(dict.fromkeys(rules, "!"))
        await _ask_all(made, cloud, SHUT, tokens[SHUT])
        yield made


async def _ask_all(made: Matrix, cloud: OwnedCloud, persona: str, token: str | None) -> None:
    headers = {name: value.format(project=cloud.owned["project"]) for name, value in CLAIMS.items()}
    headers["X-Subject-Token"] = cloud.tokens["owner"]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(api: Api, route: Route) -> None:
        async with gate:
            answer = await send(cloud.client, ask(api, route, cloud.owned), token, headers)
        ids = [answer.headers[name] for name in api.request_id_headers if name in answer.headers]
        made.answers[persona, name_of(api, route)] = Asked(answer.status, ids[0] if ids else "")

    async with asyncio.TaskGroup() as group:
        for api, route in ROUTES:
            group.create_task(one(api, route))


async def _shown(cloud: OwnedCloud, token: str | None) -> list[str]:
    """What of the owner's is in the lists that somebody gets, with filters that ask for it."""
    owned = cloud.owned
    private = [owned[name] for name in PRIVATE if name in owned and owned[name] != cloud.spare.get(name)]
    queries = ("", "?domain_id=default", f"?scope.project.id={owned['project']}&include_names=1", "?name__contains=e")
    queries += (
        "?scope.domain.id=default&effective",
        f"?user.id={owned['user']}",
        f"?parent_id=default&user_id={owned['user']}",
    )
    found = []
    for api, route in ROUTES:
        if route.method != "GET" or "{" in route.path or route.path.endswith(("/stream", "/auth/tokens")):
            continue
        for query in queries if api.name == "identity" else queries[:1]:
            answer = await send(cloud.client, ask(api, route, owned, query=query), token)
            text = answer.data.decode(errors="replace").replace(query[1:], "")
            if answer.status < 300 and any(one in text for one in private):
                found.append(f"{name_of(api, route)}{query}")
    return found


@pytest.mark.asyncio(loop_scope="module")
async def test_a_manager_of_another_domain_is_shown_nothing_of_this_one(matrix: Matrix) -> None:
    """Security class 14."""
    assert matrix.shown == []
    assert len(matrix.seen) > 10, "the look finds what there is"


@pytest.mark.asyncio(loop_scope="module")
async def test_everybody_is_answered_as_the_file_says(matrix: Matrix) -> None:
    """Security classes 9 and 14."""
    lines = matrix.lines()
    if os.environ.get(WRITE) == "1":
        GOLDEN.write_text("\n".join(lines) + "\n")
    known = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []
    changed = list(difflib.unified_diff(known, lines, "matrix.txt", "now", n=0, lineterm=""))
    assert not changed, f"if this is meant, run with {WRITE}=1:\n" + "\n".join(changed)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_crashes_whoever_asks(matrix: Matrix) -> None:
    crashed = [key for key, answer in matrix.answers.items() if answer.status >= 500 and answer.status != 501]
    assert crashed == []


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_but_public_routes_is_open_to_those_without_a_good_token(matrix: Matrix) -> None:
    wrong = [
        (persona, name_of(api, route))
        for api, route in ROUTES
        for persona in ("none", "expired")
        if route.policy != PUBLIC and matrix.status(persona, api, route) != 401
    ]
    assert wrong == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_one_projects_or_domains_is_no_others(matrix: Matrix) -> None:
    """Security class 14."""
    wrong = [
        (name_of(api, route), persona, matrix.status(persona, api, route))
        for api, route in ROUTES
        for persona in ("other", "foreign")
        if route.policy != PUBLIC and name_of(api, route) in matrix.private and route.path not in OPEN
        if matrix.status(persona, api, route) not in (400, 403, 404)
    ]
    assert wrong == []


@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_forgets_to_ask_for_a_rule(matrix: Matrix) -> None:
    """Whatever a route declares, and whatever its handler asks for by itself: with every rule shut, it is shut."""
    open_still = [
        (name_of(api, route), matrix.status(SHUT, api, route))
        for api, route in ROUTES
        if route.policy != PUBLIC and matrix.status(SHUT, api, route) not in (403, 404)
    ]
    assert open_still == []


@pytest.mark.asyncio(loop_scope="module")
async def test_every_change_of_identity_is_in_the_audit_trail(matrix: Matrix) -> None:
    unseen = []
    for api, route in ROUTES:
        if api.name != "identity" or route.method == "GET" or route.policy == PUBLIC:
            continue
        done = [matrix.answers[persona, name_of(api, route)] for persona in PERSONAS]
        done = [answer for answer in done if answer.status < 300]
        if any(not matrix.audited.get(answer.request_id) for answer in done):
            unseen.append(name_of(api, route))
    assert unseen == []
