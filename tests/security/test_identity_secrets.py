"""Security class 18: what must not be known is in no log, no event, no audit trail, no refusal and no row.

Every route of identity is sent canaries wherever a secret may stand, in its proper place and in improper shapes.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
import structlog

from skybus.http.routes import NO_BODY, RAW, Api, Route
from skybus.ids import new_hex_id
from support.bodies import body_of, fields, with_value
from support.campaign import ROUTES, campaign
from support.front import Answer
from support.hostile import Ask, ask
from support.owned_cloud import PASSWORD, OwnedCloud, owned_cloud

SECRET = re.compile(r"pass|secret|blob|signature|seed", re.IGNORECASE)
"""Fields of bodies that hold secrets, by the last part of their names. A token's id is one too."""
PUBLISHED = {"identity/policy-create", "identity/policy-update"}
"""A service's policy is a blob, and for all to read."""
CANARY = re.compile(r"c4n4ry[0-9a-f]*")
TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', $1)"


def canary() -> str:
    return f"c4n4ry{new_hex_id()}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnedCloud]:
    """One cloud for all of it."""
    async with owned_cloud(tmp_path_factory.mktemp("secrets")) as made:
        yield made


@contextmanager
def logs() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, crashes and libraries included, as text."""
    before, stream = structlog.get_config(), io.StringIO()
    handler = logging.StreamHandler(stream)
    structlog.configure(
        processors=[structlog.processors.format_exc_info, lambda logger, name, event: repr(event)],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.getLogger().addHandler(handler)
    try:
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.configure(**before)


def secret_places(route: Route) -> Iterator[tuple[str, ...]]:
    """Where in a route's body a secret may stand."""
    for at in fields(route.body):
        if SECRET.search(at[-1]) or at[-2:] == ("token", "id"):
            yield at


def bodies(route: Route, cloud: OwnedCloud) -> Iterator[Any]:
    """Bodies with a canary in each place of a secret: as it should be, and as it should not."""
    proper = body_of(route.body, cloud.spare)
    if route.body == "identity/domain-config":
        # The schema leaves it open what a domain may set; this is the one secret among it.
        for value in (canary(), [canary()], {"a": canary()}, canary() * 400):
            yield {"config": {"ldap": {"url": "ldap://127.0.0.1:1", "password": value}}}
            yield {"config": {"ldap": {"password": value}, "surprise": {"password": value}}}
            yield {"config": {"password": value}}
    for at in secret_places(route):
        for value in (canary(), [canary()], {"a": canary()}, canary() * 400, f"{canary()}\n\x7f", json.dumps(canary())):
            yield with_value(_login_by(at, proper), at, value)
        good = with_value(_login_by(at, proper), at, canary())
        yield {**good, "surprise": 1}
        yield with_value(good, (*at[:-1], "surprise"), 1)
        yield with_value(good, at[:1], [good[at[0]]])


def _login_by(at: tuple[str, ...], proper: Any) -> Any:
    """The body of a login says by which methods."""
    if at[:2] != ("auth", "identity"):
        return proper
    return with_value(proper, ("auth", "identity", "methods"), [at[2]])


def secret_routes() -> list[tuple[Api, Route]]:
    return [
        (api, route)
        for api, route in ROUTES
        if api.name == "identity" and route.body not in (NO_BODY, RAW) and route.body not in PUBLISHED
    ]


def silent(asked: Ask, answer: Answer) -> str | None:
    """Whether a refusal repeats what it was sent; of a directory's password, whether any answer does."""
    quiet = answer.status >= 400 or asked.route.body == "identity/domain-config"
    return "it repeats a secret" if quiet and CANARY.search(answer.data.decode()) else None


async def traces(cloud: OwnedCloud) -> list[str]:
    """Every row of the database that has a canary in it."""
    store = cloud.cloud.store
    await cloud.identity.journal.write()
    found = []
    for (table,) in await store.fetch(TABLES, "information_schema"):
        for (row,) in await store.fetch(f"SELECT t::text FROM {table} t"):
            if CANARY.search(row):
                found.append(f"{table}: {row[:300]}")
    return found


@pytest.mark.parametrize("who", ["boss", "spender", None])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_secret_in_a_body_is_kept_nowhere_and_repeated_to_nobody(cloud: OwnedCloud, who: str | None) -> None:
    asks = [
        ask(api, route, cloud.spare, data=json.dumps(body).encode())
        for api, route in secret_routes()
        for body in bodies(route, cloud)
    ]
    with logs() as logged:
        offences = await campaign(cloud, asks, silent, who=who)
    offences.check()
    assert not CANARY.findall(logged.getvalue())
    assert await traces(cloud) == []
    if who == "boss":
        assert sum(offences.statuses[status] for status in (200, 201)) >= 5, "some were proper"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_secret_in_a_header_or_a_query_is_kept_nowhere_and_repeated_to_nobody(cloud: OwnedCloud) -> None:
    headers = {
        "X-Subject-Token": canary(),
        "Openstack-Auth-Receipt": canary(),
        "X-Service-Token": canary(),
        "Cookie": f"token={canary()}",
        "Authorization": f'OAuth oauth_token="{canary()}", oauth_consumer_key="k", oauth_signature="{canary()}"',
    }
    routes = [(api, route) for api, route in ROUTES if api.name == "identity"]
    with logs() as logged:
        for who, kept in (("spender", headers), (canary(), headers), (None, {"Authorization": f"Bearer {canary()}"})):
            asks = [ask(api, route, cloud.spare, query=f"?password={canary()}") for api, route in routes]
            (await campaign(cloud, asks, silent, who=who, headers=kept)).check()
    assert not CANARY.findall(logged.getvalue())
    assert await traces(cloud) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_made_up_for_a_user_is_shown_once_and_kept_nowhere(cloud: OwnedCloud) -> None:
    """Secrets of ours: those of application credentials and of EC2 credentials, and tokens."""
    owner, project = cloud.owned["user"], cloud.owned["project"]
    with logs() as logged:
        asked = {"application_credential": {"name": new_hex_id()}}
        path = f"/identity/v3/users/{owner}/application_credentials"
        secret = (await cloud.call("POST", path, asked, token="owner"))["application_credential"]["secret"]
        path = f"/identity/v3/users/{owner}/credentials/OS-EC2"
        ec2 = (await cloud.call("POST", path, {"tenant_id": project}, token="owner"))["credential"]["secret"]
        token = await cloud.token(owner, project)
    await cloud.identity.journal.write()
    rows = await cloud.rows()
    rows |= {row[0] for row in await cloud.cloud.store.fetch("SELECT body FROM bus.outbox")}
    for one in (secret, ec2, token, token.removeprefix("sky1."), PASSWORD):
        assert one not in logged.getvalue()
        assert not [row[:200] for row in rows if one in row]


def test_the_places_of_secrets_are_found() -> None:
    found = {(route.body, at[-1]) for _, route in secret_routes() for at in secret_places(route)}
    assert {
        ("identity/auth-create", "password"),
        ("identity/auth-create", "secret"),
        ("identity/auth-create", "passcode"),
        ("identity/auth-create", "id"),
        ("identity/user-create", "password"),
        ("identity/user-update", "password"),
        ("identity/user-password", "original_password"),
        ("identity/credential-create", "blob"),
        ("identity/application-credential-create", "secret"),
    } <= found
