"""Connections to two gateway processes that share a port; the kernel decides which of them takes one."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from support.process_cloud import ProcessCloud

PASSWORD = "correct horse battery staple"
CONNECTIONS = 16
"""So many that each process has one: that all are of one happens once in 32,768 times, and then they are made anew."""


class Answer:
    """Status, headers and JSON."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        data = response.read()
        self.status, self.headers = response.status, response.headers
        self.body: Any = json.loads(data) if data else None


class Connection:
    """One connection to whichever process took it."""

    def __init__(self, url: str) -> None:
        self.base = urlsplit(url)
        self.http = http.client.HTTPConnection(self.base.hostname or "", self.base.port, timeout=30)
        self.http.connect()

    def send(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> None:
        """Ask, and do not wait."""
        sent = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {}), **headers}
        data = json.dumps(body) if body is not None else None
        self.http.request(method, self.base.path + path, data, sent)

    def read(self) -> Answer:
        """What is answered."""
        return Answer(self.http.getresponse())

    def call(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Answer:
        """Ask, and wait."""
        self.send(method, path, body, token, **headers)
        return self.read()

    def status(self, token: str) -> int:
        """Of a call for which the token alone matters."""
        return self.call("GET", "/auth/catalog", token=token).status

    def close(self) -> None:
        """Let go of it."""
        self.http.close()


class Person:
    """A user with a role on a project, and a token for it."""

    def __init__(self, user: str, project: str, role: str, token: str) -> None:
        self.user, self.project, self.role, self.token = user, project, role, token


class Crowd:
    """Connections to both processes, and an administrator who makes people."""

    def __init__(self, cloud: ProcessCloud) -> None:
        self.cloud = cloud
        self.connections = [Connection(cloud.url) for _ in range(CONNECTIONS)]
        auth = cloud.entry["auth"]
        domain = {"id": "default"}
        user = {"name": auth["username"], "domain": domain, "password": auth["password"]}
        self.admin = self.token(user, {"project": {"name": auth["project_name"], "domain": domain}})

    def token(self, user: dict[str, Any], scope: Any) -> str:
        """By password."""
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = self.connections[0].call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        assert answer.status == 201, answer.body
        return answer.headers["X-Subject-Token"]

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """What the administrator is answered, which must be a yes."""
        answer = self.connections[0].call(method, path, body, self.admin)
        assert answer.status in (200, 201, 204), (method, path, answer.status, answer.body)
        return answer.body

    def made(self, noun: str, **attributes: Any) -> str:
        """The id of something new."""
        asked = {noun: {"name": f"{noun}-{secrets.token_hex(4)}", **attributes}}
        return str(self.done("POST", f"/{noun}s", asked)[noun]["id"])

    def person(self) -> Person:
        """A new one."""
        user, project, role = self.made("user", password=PASSWORD), self.made("project"), self.made("role")
        self.done("PUT", f"/projects/{project}/users/{user}/roles/{role}")
        token = self.token({"id": user, "password": PASSWORD}, {"project": {"id": project}})
        return Person(user, project, role, token)

    def statuses(self, token: str) -> set[int]:
        """What each connection answers."""
        return {connection.status(token) for connection in self.connections}

    def close(self) -> None:
        """Let go of all."""
        for connection in self.connections:
            connection.close()


@contextmanager
def crowd(cloud: ProcessCloud) -> Iterator[Crowd]:
    """Connections that both processes have a part of."""
    for _ in range(5):
        made = Crowd(cloud)
        try:
            before = [served(cloud, name) for name in cloud.GATEWAYS]
            assert made.statuses(made.admin) == {200}
            if all(served(cloud, name) > then for name, then in zip(cloud.GATEWAYS, before, strict=True)):
                yield made
                return
        finally:
            made.close()
    raise AssertionError("one process takes all connections")


def served(cloud: ProcessCloud, name: str) -> float:
    """How many requests for the catalog a gateway process says to have answered."""
    with urlopen(f"http://127.0.0.1:{cloud.port(name)}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    mark = "skybus_http_request_seconds_count{"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(mark) and "/v3/auth/catalog" in line)


@contextmanager
def frozen(cloud: ProcessCloud, name: str) -> Iterator[None]:
    """A process of the cloud, with its children, stands still."""
    pids = [cloud.pid(name), *children(cloud.pid(name))]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Of a process, and theirs."""
    found = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def within(seconds: float, holds: Callable[[], bool]) -> float:
    """How long it took until `holds`; fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began
