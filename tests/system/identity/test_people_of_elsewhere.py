"""The openstack command for people whom somebody else knows: an OpenID provider, or a directory."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tour import Tour, new_name

from support.loopback import free_port
from support.openid_provider import CLIENT_ID, CLIENT_SECRET, PASSWORD, SCOPE, OpenId, openid_provider
from support.process_cloud import ProcessCloud
from support.slapd import PASSWORD as DIRECTORY_PASSWORD
from support.slapd import Slapd, dn_of, options, slapd

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

RULES = [
    {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-sub"}]},
    {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-client_id"}]},
    {"local": [{"groups": "{0}", "domain": {"id": "default"}}], "remote": [{"type": "OIDC-groups"}]},
]


def restart_gateways(processes: ProcessCloud) -> None:
    """Have both gateways read their configuration again."""
    pids = [processes.pid(name) for name in processes.GATEWAYS]
    processes.signal(signal.SIGTERM, *processes.GATEWAYS)
    until = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < until, "a gateway does not stop"
        time.sleep(0.1)
    processes.up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def openid(
    processes: ProcessCloud, tour: Tour, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OpenId]:
    """A provider that the cloud believes, under the identity provider `people` with the protocol `openid`."""
    folder = tmp_path_factory.mktemp("openid")
    told = processes.state / "openid.toml"
    async with openid_provider(folder, free_port()) as provider:
        told.write_text(
            f"[[openid]]\nissuer = {json.dumps(provider.issuer)}\nclient_id = {json.dumps(CLIENT_ID)}\n"
            f"client_secret = {json.dumps(CLIENT_SECRET)}\n"
        )
        told.chmod(0o600)
        restart_gateways(processes)
        try:
            tour.do("identity", "provider", "create", "--remote-id", provider.issuer, "people")
            tour.do("mapping", "create", "--rules", tour.file(RULES), "people")
            words = ("--identity-provider", "people", "--mapping", "people")
            tour.do("federation", "protocol", "create", *words, "openid")
            yield provider
        finally:
            tour.tried("identity", "provider", "delete", "people")
            tour.tried("mapping", "delete", "people")
            told.unlink()
            restart_gateways(processes)


def _ways(provider: OpenId, token: str) -> dict[str, dict[str, str]]:
    """How keystoneauth can come in by a provider without a browser."""
    everywhere = {"identity_provider": "people", "protocol": "openid"}
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "discovery_endpoint": provider.issuer + "/.well-known/openid-configuration",
        "openid_scope": SCOPE,
    }
    return {
        "v3oidcpassword": {**everywhere, **client, "username": "alice", "password": PASSWORD},
        "v3oidcaccesstoken": {**everywhere, "access_token": token},
        "v3oidcclientcredentials": {**everywhere, **client, "openid_scope": "openid"},
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_comes_in_by_a_provider(tour: Tour, openid: OpenId) -> None:
    project, group = new_name("project"), "engineers"
    tour.do("project", "create", project)
    tour.do("group", "create", group)
    tour.do("role", "add", "--project", project, "--group", group, "member")
    try:
        for way, auth in _ways(openid, await openid.by_password("alice")).items():
            tour.add_cloud(way, way, **auth)
            issued = tour.json("token", "issue", cloud=way)
            expected = CLIENT_ID if way == "v3oidcclientcredentials" else "alice"
            assert tour.json("user", "show", issued["user_id"])["name"] == expected, way
        scoped = _ways(openid, "")["v3oidcpassword"]
        tour.add_cloud("at-work", "v3oidcpassword", **scoped, project_name=project, project_domain_id="default")
        issued = tour.json("token", "issue", cloud="at-work")
        assert issued["project_id"] == tour.json("project", "show", project)["id"]
        assert project in tour.column("Name", "federation", "project", "list", cloud="at-work")
        tour.refused("403", "user", "list", cloud="at-work")
        wrong = {**scoped, "username": "bob"}
        tour.add_cloud("outside", "v3oidcpassword", **wrong, project_name=project, project_domain_id="default")
        tour.refused("401", "token", "issue", cloud="outside")
    finally:
        tour.do("group", "delete", group)
        tour.do("project", "delete", project)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def directory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Slapd]:
    """A directory."""
    folder: Path = tmp_path_factory.mktemp("slapd")
    async with slapd(folder) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_works_with_a_directorys_people(tour: Tour, directory: Slapd) -> None:
    domain, project = tour.json("domain", "create", new_name("domain")), new_name("project")
    tour.do("project", "create", "--domain", domain["id"], project)
    _configure(tour, domain["id"], options(directory.url))
    try:
        names = tour.column("Name", "user", "list", "--domain", domain["id"])
        assert {"alice", "bob", "carol"} <= set(names)
        assert "engineers" in tour.column("Name", "group", "list", "--domain", domain["id"])
        where = ("--project", project, "--project-domain", domain["id"])
        tour.do("role", "add", *where, "--user", "alice", "--user-domain", domain["id"], "member")
        tour.do("role", "add", *where, "--group", "engineers", "--group-domain", domain["id"], "reader")
        here = {"user_domain_id": domain["id"], "project_domain_id": domain["id"], "project_name": project}
        tour.add_cloud("alice", "v3password", username="alice", password=DIRECTORY_PASSWORD, **here)
        assert tour.json("token", "issue", cloud="alice")["user_id"]
        tour.add_cloud("stranger", "v3password", username="alice", password="wrong", **here)
        tour.refused("401", "token", "issue", cloud="stranger")
        tour.refused("403", "user", "set", "--disable", "--domain", domain["id"], "alice")
        await directory.replace(dn_of("alice"), "employeeType", "FALSE")
        tour.refused("401", "token", "issue", cloud="alice")
        await directory.stop()
        tour.refused("503", "token", "issue", cloud="alice")
        assert tour.json("token", "issue", cloud="password")["user_id"] == tour.user_id
    finally:
        tour.do("domain", "set", "--disable", domain["id"])
        tour.do("domain", "delete", domain["id"])


def _configure(tour: Tour, domain_id: str, config: dict[str, Any]) -> None:
    """Set a domain's options, for which the openstack command has no words."""
    request = urllib.request.Request(
        f"{tour.processes.url}/domains/{domain_id}/config",
        data=json.dumps({"config": config}).encode(),
        headers={"X-Auth-Token": tour.token, "Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201
