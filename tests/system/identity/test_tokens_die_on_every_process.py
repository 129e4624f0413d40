"""Security class 7 with real processes: tokens end on each of two gateways within a second, with and without a broker,
and nobody is believed whose revocation cannot be known."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from two_processes import Connection, Crowd, Person, crowd, frozen, within

from support.process_cloud import ProcessCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SOON_SECONDS = 1.0
"""What the cloud promises."""
TRUST_SECONDS = 5.0
"""How long a gateway believes tokens when it hears nothing of the database: the setting's default."""


@pytest.fixture
def people(processes: ProcessCloud) -> Iterator[Crowd]:
    """Connections to both processes."""
    with crowd(processes) as made:
        yield made


def disabled(people: Crowd, one: Person) -> None:
    people.done("PATCH", f"/users/{one.user}", {"user": {"enabled": False}})


def password_set(people: Crowd, one: Person) -> None:
    people.done("PATCH", f"/users/{one.user}", {"user": {"password": "another long password"}})


def role_taken(people: Crowd, one: Person) -> None:
    people.done("DELETE", f"/projects/{one.project}/users/{one.user}/roles/{one.role}")


def role_deleted(people: Crowd, one: Person) -> None:
    people.done("DELETE", f"/roles/{one.role}")


def project_disabled(people: Crowd, one: Person) -> None:
    people.done("PATCH", f"/projects/{one.project}", {"project": {"enabled": False}})


def token_revoked(people: Crowd, one: Person) -> None:
    answer = people.connections[0].call("DELETE", "/auth/tokens", token=one.token, **{"X-Subject-Token": one.token})
    assert answer.status == 204


CHANGES = [disabled, password_set, role_taken, role_deleted, project_disabled, token_revoked]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_token_dies_on_both_processes_within_a_second(people: Crowd, change: Callable[[Crowd, Person], None]) -> None:
    one, other = people.person(), people.person()
    assert people.statuses(one.token) == people.statuses(other.token) == {200}
    change(people, one)
    within(SOON_SECONDS, lambda: people.statuses(one.token) == {401})
    assert people.statuses(other.token) == {200}


def test_a_token_dies_as_soon_while_the_broker_stands_still(processes: ProcessCloud, people: Crowd) -> None:
    doomed, kept = [people.person() for _ in CHANGES], people.person()
    with frozen(processes, "rabbitmq"):
        for change, one in zip(CHANGES, doomed, strict=True):
            assert people.statuses(one.token) == {200}
            change(people, one)
            within(SOON_SECONDS, lambda token=one.token: people.statuses(token) == {401})
        assert people.statuses(kept.token) == {200}
        assert people.person().token


def test_nobody_is_believed_when_the_database_has_been_silent_for_too_long(
    processes: ProcessCloud, people: Crowd
) -> None:
    one = people.person()
    assert people.statuses(one.token) == {200}
    with frozen(processes, "postgres"):
        assert people.statuses(one.token) == {200}
        # A request that is asked while a process looks for the database waits a moment for that.
        within(TRUST_SECONDS + 4, lambda: people.statuses(one.token) == {503})
        answer = people.connections[0].call("GET", "/auth/catalog", token=one.token)
        assert answer.headers["Retry-After"] == "1"
    within(20, lambda: people.statuses(one.token) == {200})


def test_a_process_that_stood_still_looks_before_it_believes(processes: ProcessCloud, people: Crowd) -> None:
    one = people.person()
    assert people.statuses(one.token) == {200}
    with frozen(processes, "gateway-2"):
        asleep = [connection for connection in people.connections if not answers(connection, one.token)]
        assert 0 < len(asleep) < len(people.connections)
        awake = next(connection for connection in people.connections if connection not in asleep)
        said = awake.call("PATCH", f"/users/{one.user}", {"user": {"enabled": False}}, people.admin)
        assert said.status == 200
        time.sleep(TRUST_SECONDS)
    assert {connection.read().status for connection in asleep} == {401}


def answers(connection: Connection, token: str) -> bool:
    """Whether it answers at once; otherwise its answer is still to be read."""
    connection.send("GET", "/auth/catalog", token=token)
    connection.http.sock.settimeout(0.5)
    try:
        connection.http.sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        connection.http.sock.settimeout(30)
    connection.read()
    return True
