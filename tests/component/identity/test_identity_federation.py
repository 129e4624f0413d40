"""Identity providers, protocols, mappings and service providers: made, shown, listed, changed, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.identity.federation import identity_providers

RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-sub"}]}]
AT = "/OS-FEDERATION"


async def put(cloud: Cloud, path: str, noun: str, **attributes: Any) -> Any:
    answer = await cloud.call("PUT", AT + path, {noun: attributes})
    assert answer.status == 201, answer
    return answer.body[noun]


NOUNS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "identity_providers",
        "identity_provider",
        {"description": "x", "remote_ids": ["https://b.example", "https://a.example"], "authorization_ttl": 5},
        {"enabled": True, "remote_ids": ["https://c.example"], "authorization_ttl": None},
    ),
    ("mappings", "mapping", {"rules": RULES}, {"rules": RULES * 2, "schema_version": "2.0"}),
    (
        "service_providers",
        "service_provider",
        {"auth_url": "https://sp.example/v3/auth", "sp_url": "https://sp.example/sso"},
        {"enabled": True, "description": "y", "sp_url": "https://sp.example/other"},
    ),
]


@pytest.mark.parametrize(("collection", "noun", "first", "then"), NOUNS, ids=[noun for _, noun, _, _ in NOUNS])
async def test_a_noun_of_federation_lives_from_put_to_delete(
    cloud: Cloud, collection: str, noun: str, first: Any, then: Any
) -> None:
    path = f"{AT}/{collection}/one-1"
    made = await put(cloud, f"/{collection}/one-1", noun, **first)
    assert made["id"] == "one-1"
    assert made["links"]["self"].endswith(path)
    expected = {**first, "remote_ids": sorted(first["remote_ids"])} if "remote_ids" in first else first
    assert {name: made[name] for name in first} == expected
    assert (
        await cloud.call("PUT", path, {noun: {**first, "remote_ids": []} if "remote_ids" in first else first})
    ).status == 409
    assert (await cloud.call("GET", path)).body[noun] == made
    assert (await cloud.call("GET", f"{AT}/{collection}")).body[collection] == [made]
    changed = await cloud.call("PATCH", path, {noun: then})
    assert (changed.status, changed.body[noun]) == (200, {**made, **then})
    assert (await cloud.call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert (await cloud.call(method, path, {noun: then} if method == "PATCH" else None)).status == 404


async def test_a_provider_without_a_domain_gets_one_of_its_own(cloud: Cloud) -> None:
    made = await put(cloud, "/identity_providers/p", "identity_provider")
    domain = (await cloud.call("GET", f"/domains/{made['domain_id']}")).body["domain"]
    assert domain["enabled"]
    assert not made["enabled"]
    other = await put(cloud, "/identity_providers/q", "identity_provider", domain_id="default")
    assert other["domain_id"] == "default"
    assert (
        await cloud.call("PUT", AT + "/identity_providers/r", {"identity_provider": {"domain_id": "x"}})
    ).status == 404
    assert (await cloud.call("GET", AT + "/identity_providers/r")).status == 404


async def test_providers_are_found_by_id_and_by_whether_they_are_enabled(cloud: Cloud) -> None:
    await put(cloud, "/identity_providers/on", "identity_provider", enabled=True)
    await put(cloud, "/identity_providers/off", "identity_provider")
    for query, found in (
        ("?enabled=true", ["on"]),
        ("?id=off", ["off"]),
        ("?enabled=false&id=on", []),
        ("", ["off", "on"]),
    ):
        listed = await cloud.call("GET", f"{AT}/identity_providers{query}")
        assert [one["id"] for one in listed.body["identity_providers"]] == found


async def test_a_remote_id_means_one_provider(cloud: Cloud) -> None:
    await put(cloud, "/identity_providers/a", "identity_provider", remote_ids=["https://x.example"])
    body = {"identity_provider": {"remote_ids": ["https://x.example"]}}
    assert (await cloud.call("PUT", AT + "/identity_providers/b", body)).status == 409
    await put(cloud, "/identity_providers/b", "identity_provider")
    assert (await cloud.call("PATCH", AT + "/identity_providers/b", body)).status == 409
    assert (await cloud.call("GET", AT + "/identity_providers/b")).body["identity_provider"]["remote_ids"] == []


async def test_a_protocol_belongs_to_a_provider_and_has_a_mapping(cloud: Cloud) -> None:
    path = "/identity_providers/p/protocols/openid"
    body = {"protocol": {"mapping_id": "m"}}
    assert (await cloud.call("PUT", AT + path, body)).status == 404
    await put(cloud, "/identity_providers/p", "identity_provider")
    assert (await cloud.call("PUT", AT + path, body)).status == 400
    await put(cloud, "/mappings/m", "mapping", rules=RULES)
    await put(cloud, "/mappings/n", "mapping", rules=RULES)
    made = await put(cloud, path, "protocol", mapping_id="m")
    assert made["links"]["identity_provider"].endswith("/identity_providers/p")
    assert (await cloud.call("PUT", AT + path, body)).status == 409
    listed = await cloud.call("GET", AT + "/identity_providers/p/protocols")
    assert listed.body["protocols"] == [made]
    changed = await cloud.call("PATCH", AT + path, {"protocol": {"mapping_id": "n"}})
    assert changed.body["protocol"]["mapping_id"] == "n"
    assert (await cloud.call("PATCH", AT + path, {"protocol": {"mapping_id": "o"}})).status == 400
    assert (await cloud.call("GET", AT + "/identity_providers/q/protocols")).status == 404
    assert (await cloud.call("DELETE", AT + path)).status == 204
    for method in ("GET", "DELETE"):
        assert (await cloud.call(method, AT + path)).status == 404
    await put(cloud, path, "protocol", mapping_id="m")
    assert (await cloud.call("DELETE", AT + "/identity_providers/p")).status == 204
    assert (await cloud.call("GET", AT + path)).status == 404


WRONG: list[tuple[str, Any]] = [
    ("/mappings/m", {"mapping": {}}),
    ("/mappings/m", {"mapping": {"rules": []}}),
    ("/mappings/m", {"mapping": {"rules": [{"local": [], "remote": []}]}}),
    ("/mappings/m", {"mapping": {"rules": RULES, "schema_version": "7"}}),
    ("/mappings/m", {"mapping": {"rules": [{"local": [{"user": {"nome": "x"}}], "remote": [{"type": "a"}]}]}}),
    ("/mappings/m", {"mapping": {"rules": [{**RULES[0], "remote": [{"type": "a", "any_one_of": "x"}]}]}}),
    (
        "/mappings/m",
        {"mapping": {"rules": [{**RULES[0], "remote": [{"type": "a", "whitelist": ["("], "regex": True}]}]}},
    ),
    ("/identity_providers/p", {"identity_provider": {"enabled": "yes"}}),
    ("/identity_providers/p", {"identity_provider": {"authorization_ttl": -1}}),
    ("/identity_providers/p", {"identity_provider": {"remote_ids": ["a", "a"]}}),
    ("/identity_providers/p", {"identity_provider": {"unknown": 1}}),
    ("/service_providers/s", {"service_provider": {"sp_url": "https://x.example"}}),
    ("/service_providers/s", {"service_provider": {"sp_url": "https://x.example", "auth_url": "javascript:x"}}),
]


@pytest.mark.parametrize(("path", "body"), WRONG)
async def test_what_cannot_be_meant_is_a_bad_request(cloud: Cloud, path: str, body: Any) -> None:
    """Security class 16."""
    assert (await cloud.call("PUT", AT + path, body)).status == 400
    assert (await cloud.call("GET", AT + path)).status == 404


async def test_readers_of_the_system_look_and_members_do_not(cloud: Cloud) -> None:
    """Security class 14."""
    await put(cloud, "/identity_providers/p", "identity_provider")
    _, _, member = await cloud.member("manager")
    reader = await cloud.made("user", password=PASSWORD)
    await cloud.call("PUT", f"/system/users/{reader['id']}/roles/{cloud.roles['reader']}")
    looking = await cloud.token(reader["id"], scope={"system": {"all": True}})
    for path in ("/identity_providers", "/identity_providers/p", "/identity_providers/p/protocols", "/mappings"):
        assert (await cloud.call("GET", AT + path, token=looking)).status == 200, path
        assert (await cloud.call("GET", AT + path, token=member)).status == 403, path
    for token in (looking, member):
        changes = [
            ("PUT", "/identity_providers/q", {"identity_provider": {}}),
            ("PATCH", "/identity_providers/p", {"identity_provider": {"enabled": True}}),
            ("DELETE", "/identity_providers/p", None),
            ("PUT", "/mappings/m", {"mapping": {"rules": RULES}}),
            ("PUT", "/identity_providers/p/protocols/x", {"protocol": {"mapping_id": "m"}}),
            ("PUT", "/service_providers/s", {"service_provider": {"auth_url": "https://x.y", "sp_url": "https://x.y"}}),
        ]
        for method, path, body in changes:
            assert (await cloud.call(method, AT + path, body, token=token)).status == 403, path


async def test_enabled_service_providers_are_shown_in_every_token(cloud: Cloud) -> None:
    urls = {"auth_url": "https://sp.example/auth", "sp_url": "https://sp.example/sso"}
    await put(cloud, "/service_providers/off", "service_provider", **urls)
    await put(cloud, "/service_providers/on", "service_provider", enabled=True, **urls)
    answer = await cloud.password(cloud.admin_id)
    assert answer.body["token"]["service_providers"] == [{"id": "on", **urls}]
    await cloud.call("DELETE", AT + "/service_providers/on")
    assert "service_providers" not in (await cloud.password(cloud.admin_id)).body["token"]


async def test_what_a_token_may_reach_is_listed_here_too(cloud: Cloud) -> None:
    _, project, token = await cloud.member()
    listed = await cloud.call("GET", AT + "/projects", token=token)
    assert [one["id"] for one in listed.body["projects"]] == [project["id"]]
    assert (await cloud.call("GET", AT + "/domains", token=token)).body["domains"] == []


async def test_a_provider_with_many_users_ends_their_tokens_in_whatever_domain_they_are(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_providers, "MANY_USERS", 1)
    elsewhere = await cloud.made("domain")
    await put(cloud, "/mappings/m", "mapping", rules=RULES)
    await put(cloud, "/identity_providers/p", "identity_provider", enabled=True)
    await put(cloud, "/identity_providers/p/protocols/openid", "protocol", mapping_id="m")
    linked = [{"idp_id": "p", "protocols": [{"protocol_id": "openid", "unique_id": "somebody"}]}]
    user = await cloud.made("user", password=PASSWORD, domain_id=elsewhere["id"], federated=linked)
    token = await cloud.token(user["id"])
    assert await cloud.works(token)
    change = {"identity_provider": {"enabled": False}}
    assert (await cloud.call("PATCH", "/OS-FEDERATION/identity_providers/p", change)).status == 200
    assert not await cloud.works(token)
