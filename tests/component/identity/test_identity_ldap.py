"""Users and groups of a real slapd: found, let in, given roles, and let go."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from identity_cloud import PASSWORD as OURS
from identity_cloud import Cloud
from ldap_cloud import Directed

from skybus import clock
from skybus.identity.auth.keys import keys_ensure
from skybus.identity.credentials.credential_keys import CredentialKeys
from skybus.identity.ldap.ldap_connection import Connection, WrongPassword
from skybus.identity.ldap.ldap_watch import LdapWatch
from support.slapd import PASSWORD, READER_PASSWORD, dn_of, group_dn, options, person, slapd


@pytest.fixture
async def people(cloud: Cloud, tmp_path: Path) -> AsyncIterator[Directed]:
    """A cloud whose domain `people` is in a directory."""
    keys_ensure(tmp_path / "credential-keys")
    cloud.identity.login.credential_keys = CredentialKeys(tmp_path / "credential-keys")
    folder = tmp_path / "slapd"
    folder.mkdir()
    async with slapd(folder) as directory:
        directed = Directed(cloud, directory)
        await directed.set_up()
        yield directed
        cloud.identity.ldap.close()


async def _project(people: Directed, actor: str, role: str = "member") -> Any:
    """A project on which `actor` (a path such as `users/ID`) has a role."""
    project = await people.cloud.made("project")
    path = f"/projects/{project['id']}/{actor}/roles/{people.cloud.roles[role]}"
    assert (await people.cloud.call("PUT", path)).status == 204
    return project


async def test_users_of_a_directory_are_listed_and_shown_under_lasting_ids(people: Directed) -> None:
    listed = (await people.cloud.call("GET", f"/users?domain_id={people.domain_id}")).body["users"]
    assert sorted(one["name"] for one in listed) == ["alice", "bob", "carol", "w*ld (card)\\"]
    alice = await people.user("alice")
    assert alice["id"] == hashlib.sha256(f"{people.domain_id}useralice".encode()).hexdigest()
    assert (alice["email"], alice["enabled"], alice["domain_id"]) == ("alice@people.example", True, people.domain_id)
    assert (await people.user("carol"))["enabled"] is False
    assert (await people.cloud.call("GET", f"/users/{alice['id']}")).body["user"] == alice
    await people.directory.replace(dn_of("alice"), "mail", "new@people.example")
    assert (await people.cloud.call("GET", f"/users/{alice['id']}")).body["user"]["email"] == "new@people.example"
    assert await people.user("nobody") is None


async def test_a_password_of_the_directory_opens_a_project(people: Directed) -> None:
    cloud = people.cloud
    first = await people.login("alice")
    assert first.status == 201, first
    alice = first.body["token"]["user"]
    assert alice["domain"] == {"id": people.domain_id, "name": "people"}
    project = await _project(people, f"users/{alice['id']}")
    for answer in (
        await people.login("alice", scope={"project": {"id": project["id"]}}, id=people.domain_id),
        await cloud.password(alice["id"], PASSWORD, {"project": {"id": project["id"]}}),
    ):
        assert [role["name"] for role in answer.body["token"]["roles"]] == ["member", "reader"]
        assert await cloud.works(answer.headers["X-Subject-Token"])


async def test_a_group_of_the_directory_gives_roles_to_its_members(people: Directed) -> None:
    cloud = people.cloud
    groups = (await cloud.call("GET", f"/groups?domain_id={people.domain_id}")).body["groups"]
    ids = {one["name"]: one["id"] for one in groups}
    assert sorted(ids) == ["engineers", "everybody"]
    members = (await cloud.call("GET", f"/groups/{ids['everybody']}/users")).body["users"]
    assert sorted(one["name"] for one in members) == ["alice", "bob", "carol"]
    project = await _project(people, f"groups/{ids['engineers']}")
    scope = {"project": {"id": project["id"]}}
    assert (await people.login("alice", scope=scope)).status == 201
    assert (await people.login("bob", scope=scope)).status == 401
    await people.directory.replace(group_dn("engineers"), "member", dn_of("bob"), dn_of("alice"))
    answer = await people.login("bob", scope=scope)
    assert answer.status == 201
    bob = answer.body["token"]["user"]["id"]
    mine = (await cloud.call("GET", f"/users/{bob}/groups")).body["groups"]
    assert sorted(one["name"] for one in mine) == ["engineers", "everybody"]
    await people.directory.replace(group_dn("engineers"), "member", dn_of("alice"))
    mine = (await cloud.call("GET", f"/users/{bob}/groups")).body["groups"]
    assert [one["name"] for one in mine] == ["everybody"]
    assert not await cloud.works(answer.headers["X-Subject-Token"])
    named = await cloud.call("GET", f"/role_assignments?group.id={ids['engineers']}&include_names=1")
    assert named.body["role_assignments"][0]["group"]["name"] == "engineers"


async def test_whoever_is_not_let_in_gets_one_and_the_same_answer(people: Directed) -> None:
    """Security class 17."""
    alice = (await people.login("alice")).body["token"]["user"]["id"]
    answers = [
        await people.login("alice", "wrong"),
        await people.login("alice", ""),
        await people.login("nobody"),
        await people.login("nobody", ""),
        await people.login("carol"),
        await people.cloud.password(alice, "wrong"),
        await people.cloud.password(alice, ""),
        await people.cloud.password("0" * 64, PASSWORD),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1


async def test_many_may_come_at_once(people: Directed) -> None:
    answers = await asyncio.gather(*(people.login(name) for name in ("alice", "bob", "carol", "nobody") * 10))
    assert [answer.status for answer in answers] == [201, 201, 401, 401] * 10


INJECTIONS = [
    "*",
    "a*",
    "alice)(uid=*",
    "*)(objectClass=*",
    "*))(|(uid=*",
    "alice\\2a",
    "\\61lice",
    "alice,ou=people",
    "(alice)",
    "alice)(&",
    "al\u0131ce",
    "\x00",
]


async def test_a_name_is_a_name_and_no_filter(people: Directed) -> None:
    """Security class 15."""
    for name in INJECTIONS:
        assert (await people.login(name)).status in (400, 401), name
        answer = await people.cloud.call("GET", f"/users?domain_id={people.domain_id}&name={quote(name)}")
        assert answer.status == 400 or answer.body["users"] == [], name


async def test_a_name_with_every_letter_that_means_something_is_found(people: Directed) -> None:
    name = "w*ld (card)\\"
    answer = await people.login(name)
    assert answer.status == 201
    await people.directory.replace(group_dn("engineers"), "member", dn_of(name))
    user_id = answer.body["token"]["user"]["id"]
    mine = await people.cloud.call("GET", f"/users/{user_id}/groups")
    assert [one["name"] for one in mine.body["groups"]] == ["engineers"]
    group = mine.body["groups"][0]["id"]
    assert [one["name"] for one in (await people.cloud.call("GET", f"/groups/{group}/users")).body["users"]] == [name]


async def test_nothing_is_written_to_a_directory(people: Directed) -> None:
    cloud = people.cloud
    alice = await people.user("alice")
    group = (await cloud.call("GET", f"/groups?domain_id={people.domain_id}")).body["groups"][0]
    ours, mine = await cloud.made("user"), await cloud.made("group")
    here = {"domain_id": people.domain_id}
    writes: list[tuple[str, str, Any]] = [
        ("POST", "/users", {"user": {"name": "x", **here}}),
        ("PATCH", f"/users/{alice['id']}", {"user": {"enabled": False}}),
        ("DELETE", f"/users/{alice['id']}", None),
        ("POST", "/groups", {"group": {"name": "x", **here}}),
        ("PATCH", f"/groups/{group['id']}", {"group": {"name": "x"}}),
        ("DELETE", f"/groups/{group['id']}", None),
        ("PUT", f"/groups/{group['id']}/users/{ours['id']}", None),
        ("PUT", f"/groups/{mine['id']}/users/{alice['id']}", None),
        ("DELETE", f"/groups/{group['id']}/users/{alice['id']}", None),
    ]
    for method, path, body in writes:
        assert (await cloud.call(method, path, body)).status == 403, (method, path)
    assert (await people.login("alice")).status == 201


async def test_who_is_disabled_or_gone_there_loses_its_tokens_here(people: Directed) -> None:
    """Security class 7: in bounded time, though the directory announces nothing."""
    cloud = people.cloud
    answers = {name: await people.login(name) for name in ("alice", "bob", "w*ld (card)\\")}
    tokens = {name: answer.headers["X-Subject-Token"] for name, answer in answers.items()}
    ids = {name: answer.body["token"]["user"]["id"] for name, answer in answers.items()}
    project = await _project(people, f"users/{ids['bob']}")
    watch = LdapWatch(cloud.identity.ldap, token_seconds=3600)
    await people.directory.replace(dn_of("alice"), "employeeType", "FALSE")
    await people.directory.delete(dn_of("bob"))
    assert await watch.look() == 0
    began = clock.now()
    clock.use(lambda: began + timedelta(seconds=watch.check_seconds + 61))
    try:
        assert await watch.look() == 3
        assert await watch.look() == 0
    finally:
        clock.use(None)
    assert [await cloud.works(token) for token in tokens.values()] == [False, False, True]
    assert (await people.login("alice")).status == (await people.login("bob")).status == 401
    assert (await cloud.call("GET", f"/users/{ids['bob']}")).status == 404
    listed = (await cloud.call("GET", f"/users?domain_id={people.domain_id}")).body["users"]
    assert ids["bob"] not in {one["id"] for one in listed}
    # Nothing was deleted on a directory's word: who comes back has what it had.
    await people.directory.add(dn_of("bob"), person("bob"))
    again = await people.login("bob", scope={"project": {"id": project["id"]}})
    assert again.status == 201
    assert again.body["token"]["user"]["id"] == ids["bob"]


async def test_an_application_credential_ends_with_its_owner_there(people: Directed) -> None:
    """Security class 7, 8: nobody types a password any more, and the directory is asked all the same."""
    cloud = people.cloud
    alice = (await people.login("alice")).body["token"]["user"]["id"]
    project = await _project(people, f"users/{alice}")
    token = (await people.login("alice", scope={"project": {"id": project["id"]}})).headers["X-Subject-Token"]
    path = f"/users/{alice}/application_credentials"
    made = (await cloud.call("POST", path, {"application_credential": {"name": "c"}}, token=token)).body
    shown = {name: made["application_credential"][name] for name in ("id", "secret")}
    by_credential = {"methods": ["application_credential"], "application_credential": shown}
    await people.directory.replace(dn_of("alice"), "employeeType", "FALSE")
    watch = LdapWatch(cloud.identity.ldap, token_seconds=3600)
    began = clock.now()
    clock.use(lambda: began + timedelta(hours=2))
    try:
        late = await cloud.auth(by_credential)
        assert late.status == 201
        assert await watch.look() == 1
        assert not await cloud.works(late.headers["X-Subject-Token"])
        assert (await cloud.auth(by_credential)).status == 401
    finally:
        clock.use(None)


async def test_a_listing_that_is_cut_short_lets_nobody_go(cloud: Cloud, tmp_path: Path) -> None:
    keys_ensure(tmp_path / "credential-keys")
    cloud.identity.login.credential_keys = CredentialKeys(tmp_path / "credential-keys")
    (tmp_path / "slapd").mkdir()
    async with slapd(tmp_path / "slapd", sizelimit=2) as directory:
        people = Directed(cloud, directory)
        await people.set_up()
        token = (await people.login("alice")).headers["X-Subject-Token"]
        for name in ("bob", "w*ld (card)\\"):
            assert (await people.login(name)).status == 201
        assert (await cloud.call("GET", f"/users?domain_id={people.domain_id}")).status == 200
        assert await cloud.works(token)
        cloud.identity.ldap.close()


async def test_a_directory_that_is_away_is_503_and_nobody_elses_trouble(people: Directed) -> None:
    cloud = people.cloud
    alice = (await people.login("alice")).body["token"]["user"]["id"]
    ours = await cloud.made("user", password=OURS)
    await people.directory.stop()
    for answer in (
        await people.login("alice"),
        await cloud.call("GET", f"/users/{alice}"),
        await cloud.call("GET", f"/users?domain_id={people.domain_id}"),
        await cloud.call("GET", f"/groups?domain_id={people.domain_id}"),
    ):
        assert answer.status == 503, answer
    assert (await cloud.password(ours["id"], OURS)).status == 201
    assert (await cloud.call("GET", "/users?domain_id=default")).status == 200
    assert (await cloud.call("GET", "/users")).status == 200
    await people.directory.start()
    await _answers(people)


async def _answers(people: Directed) -> None:
    """Until the directory is asked again."""
    until = time.monotonic() + 20
    while (answer := await people.login("alice")).status != 201:
        assert answer.status == 503
        assert time.monotonic() < until


async def test_a_directory_that_takes_its_time_gets_little_of_ours(people: Directed) -> None:
    """Security class 16: deadlines, and then nobody waits in vain."""
    assert (await people.login("alice")).status == 201
    people.directory.freeze()
    began = time.monotonic()
    assert (await people.login("alice")).status == 503
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert (await people.login("bob")).status == 503
    assert time.monotonic() - began < 1.5
    people.directory.thaw()
    await _answers(people)


async def test_no_secret_of_a_directory_is_shown(people: Directed, capfd: pytest.CaptureFixture[str]) -> None:
    """Security class 18."""
    cloud = people.cloud
    path = f"/domains/{people.domain_id}/config"
    answers = [await cloud.call("GET", path), await cloud.call("GET", path + "/ldap"), await people.login("alice")]
    answers.append(await cloud.call("GET", path + "/ldap/password"))
    answers.append(await cloud.call("PATCH", path + "/ldap/password", {"config": {"password": READER_PASSWORD}}))
    answers.append(await people.login("alice", PASSWORD + "x"))
    assert [answer.status for answer in answers] == [200, 200, 201, 404, 200, 401]
    store = cloud.identity.store
    rows = [
        row["body"]
        for row in await store.fetch("SELECT body FROM bus.outbox UNION ALL SELECT body::text FROM bus.event")
    ]
    rows += [str(dict(row)) for row in await store.fetch("SELECT * FROM identity.domain_option")]
    directory = await cloud.identity.ldap.directory(people.domain_id)
    assert directory is not None
    written = "".join((*capfd.readouterr(), *rows, repr(directory.settings)))
    for secret in (READER_PASSWORD, PASSWORD):
        assert secret not in written
        assert all(secret.encode() not in answer.data for answer in answers)


async def test_other_settings_take_hold_at_once_and_end_what_was(people: Directed) -> None:
    cloud = people.cloud
    token = (await people.login("alice")).headers["X-Subject-Token"]
    answer = await cloud.call(
        "PATCH", f"/domains/{people.domain_id}/config", {"config": {"ldap": {"user_filter": "(mail=*)"}}}
    )
    assert answer.status == 200, answer
    assert not await cloud.works(token)
    assert (await people.login("alice")).status == 201
    assert (await people.login("bob")).status == 401
    assert (await cloud.call("DELETE", f"/domains/{people.domain_id}/config")).status == 204
    assert (await people.login("alice")).status == 401
    made = await cloud.made("user", domain_id=people.domain_id, name="ours", password=OURS)
    assert (await cloud.password(made["id"], OURS)).status == 201


WAYS: list[tuple[dict[str, Any], dict[str, int]]] = [
    (
        {"user_enabled_attribute": "employeeNumber", "user_enabled_mask": 2, "user_enabled_default": "512"},
        {"alice": 201, "bob": 201, "carol": 401},
    ),
    ({"user_enabled_invert": True}, {"alice": 401, "bob": 401, "carol": 201}),
    ({"page_size": 2}, {"alice": 201, "bob": 201, "carol": 401}),
    ({"query_scope": "sub", "user_tree_dn": None, "group_tree_dn": None}, {"alice": 201, "bob": 201, "carol": 401}),
    (
        {"user_enabled_emulation": True, "user_enabled_emulation_dn": group_dn("engineers")},
        {"alice": 201, "bob": 401, "carol": 401},
    ),
    ({"use_pool": False}, {"alice": 201, "bob": 201, "carol": 401}),
]


async def test_directories_say_the_same_in_different_ways(people: Directed) -> None:
    for more, expected in WAYS:
        assert (await people.configure(**more)).status == 200
        assert {name: (await people.login(name)).status for name in expected} == expected, more


async def test_the_directory_is_spoken_to_under_tls_that_is_checked(people: Directed) -> None:
    folder, port = people.directory.folder, people.directory.tls_port
    trusted = {"tls_cacertfile": str(folder / "ca.pem")}
    assert (await people.configure(use_tls=True, **trusted)).status == 200
    assert (await people.login("alice")).status == 201
    assert (await people.configure(**trusted, url=f"ldaps://localhost:{port}")).status == 200
    assert (await people.login("alice")).status == 201
    for more in ({"url": f"ldaps://127.0.0.1:{port}"}, {"use_tls": True}):
        assert (await people.configure(**more)).status == 200
        assert (await people.login("alice")).status == 503


async def test_an_empty_password_is_never_sent_with_a_name(people: Directed) -> None:
    connection = await Connection.open("127.0.0.1", people.directory.port, tls=None, start_tls=False)
    with pytest.raises(WrongPassword):
        await connection.bind(dn_of("alice"), "")
    await connection.bind("", "")
    connection.close()


# --- a domain's own options


async def test_options_are_set_changed_shown_and_forgotten(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    path = f"/domains/{domain['id']}/config"
    assert (await cloud.call("GET", path)).status == 404
    config = {"identity": {"driver": "sql"}, "ldap": {"url": "ldap://x.example", "user_tree_dn": "ou=x"}}
    assert (await cloud.call("PUT", path, {"config": config})).status == 201
    assert (await cloud.call("PUT", path, {"config": config})).status == 200
    assert (await cloud.call("GET", path)).body["config"] == config
    assert (await cloud.call("GET", path + "/ldap")).body["config"] == {"ldap": config["ldap"]}
    assert (await cloud.call("GET", path + "/ldap/url")).body["config"] == {"url": "ldap://x.example"}
    changed = await cloud.call("PATCH", path + "/ldap/url", {"config": {"url": "ldap://y.example"}})
    assert changed.body["config"]["ldap"] == {"url": "ldap://y.example", "user_tree_dn": "ou=x"}
    changed = await cloud.call("PATCH", path + "/ldap", {"config": {"ldap": {"page_size": 7}}})
    assert changed.body["config"]["ldap"]["page_size"] == 7
    assert (await cloud.call("DELETE", path + "/ldap/url")).status == 204
    assert (await cloud.call("DELETE", path + "/ldap/url")).status == 404
    assert (await cloud.call("PATCH", path + "/ldap/url", {"config": {"url": "ldap://z.example"}})).status == 404
    assert (await cloud.call("DELETE", path + "/ldap")).status == 204
    assert (await cloud.call("GET", path)).body["config"] == {"identity": {"driver": "sql"}}
    assert (await cloud.call("DELETE", path)).status == 204
    assert (await cloud.call("GET", path)).status == 404
    assert (await cloud.call("GET", f"/domains/{'0' * 32}/config")).status == 404


WRONG: list[Any] = [
    {},
    {"nonsense": {"a": 1}},
    {"ldap": {}},
    {"ldap": {"nonsense": 1}},
    {"ldap": "x"},
    {"identity": {"driver": 7}},
    {"ldap": {"url": "x" * 10_000}},
    {**options("http://x.example", page_size=-1)},
    {**options("ldap://x.example", user_filter="(uid=")},
    {**options("ldap://x.example", user_id_attribute="uid)(x=*")},
    {**options("ldap://x.example", query_scope="all")},
    {**options("ldap://x.example", page_size=-1)},
    {**options("ldap://x.example", user_enabled_mask="two")},
    {**options("ldap://x.example", tls_req_cert="perhaps")},
]


async def test_options_that_mean_nothing_are_refused(people: Directed) -> None:
    path = f"/domains/{people.domain_id}/config"
    for config in WRONG:
        assert (await people.cloud.call("PUT", path, {"config": config})).status == 403, config
    assert (await people.login("alice")).status == 201


async def test_a_directory_that_is_nowhere_is_unavailable_and_a_strange_driver_is_none(people: Directed) -> None:
    path = f"/domains/{people.domain_id}/config"
    nowhere = {"config": options("http://x.example")}
    assert (await people.cloud.call("PATCH", path, nowhere)).status == 200
    assert (await people.login("alice")).status == 503
    strange = {"config": {"identity": {"driver": "kvs"}}}
    assert (await people.cloud.call("PATCH", path + "/identity", strange)).status == 200
    assert (await people.login("alice")).status == 401


async def test_a_directory_that_is_none_is_unavailable(people: Directed) -> None:
    assert (await people.configure(url="http://x.example")).status == 200
    assert (await people.login("alice")).status == 503


async def test_the_clouds_own_users_stay_its_own(cloud: Cloud) -> None:
    config = {"config": {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x.example"}}}
    assert (await cloud.call("PUT", "/domains/default/config", config)).status == 403


async def test_defaults_are_told(cloud: Cloud) -> None:
    every = (await cloud.call("GET", "/domains/config/default")).body["config"]
    assert every["identity"]["driver"] == "sql"
    assert "password" not in every["ldap"]
    ldap = (await cloud.call("GET", "/domains/config/ldap/default")).body["config"]
    assert ldap == {"ldap": every["ldap"]}
    one = await cloud.call("GET", "/domains/config/ldap/user_objectclass/default")
    assert one.body["config"] == {"user_objectclass": "inetOrgPerson"}
    for wrong in (
        "/domains/config/x/default",
        "/domains/config/ldap/x/default",
        "/domains/config/ldap/password/default",
    ):
        assert (await cloud.call("GET", wrong)).status == 403


async def test_what_passwords_must_be_like_is_told_to_everybody(cloud: Cloud) -> None:
    _, _, token = await cloud.member()
    told = await cloud.call("GET", "/domains/default/config/security_compliance", token=token)
    assert set(told.body["config"]["security_compliance"]) == {"password_regex", "password_regex_description"}
    one = await cloud.call("GET", "/domains/default/config/security_compliance/password_regex", token=token)
    assert set(one.body["config"]) == {"password_regex"}
    for path in ("default/config/security_compliance/lockout_duration", "other/config/security_compliance"):
        assert (await cloud.call("GET", f"/domains/{path}", token=token)).status == 403
    for path in ("default/config", "default/config/ldap", "config/default"):
        assert (await cloud.call("GET", f"/domains/{path}", token=token)).status == 403
    wrong = {"config": {"ldap": {"url": "ldap://x.example"}}}
    assert (await cloud.call("PUT", "/domains/default/config", wrong, token=token)).status == 403
