"""The list of revocations, for services that judge tokens by themselves."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from identity_cloud import PASSWORD, Cloud


async def listed(cloud: Cloud, query: str = "") -> list[dict[str, Any]]:
    answer = await cloud.call("GET", "/OS-REVOKE/events" + query)
    assert answer.status == 200, answer
    events: list[dict[str, Any]] = answer.body["events"]
    return events


async def test_each_kind_of_revocation_says_which_tokens_are_meant(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    audit_id = cloud.identity.tokens.claims(token).audit_ids[0]
    await cloud.call("DELETE", "/auth/tokens", token=token, headers={"X-Subject-Token": token})
    await cloud.call("DELETE", f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['member']}")
    await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    role = await cloud.made("role")
    await cloud.call("PATCH", f"/roles/{role['id']}", {"role": {"name": role["name"] + "x"}})
    domain = await cloud.made("domain")
    await cloud.call("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
    one, two, three, four, five = await listed(cloud)
    assert one["audit_id"] == audit_id
    assert (two["user_id"], two["project_id"]) == (user["id"], project["id"])
    assert (three["user_id"], "project_id" in three) == (user["id"], False)
    assert four["role_name"] == role["name"]
    assert five["domain_id"] == domain["id"]
    assert all(event["issued_before"] == event["revoked_at"] for event in (one, two, three, four, five))


async def test_the_list_begins_when_it_is_asked_to(cloud: Cloud) -> None:
    users = [await cloud.made("user", password=PASSWORD) for _ in range(2)]
    for user in users:
        await cloud.call("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    _, second = await listed(cloud)
    assert await listed(cloud, f"?since={quote(second['revoked_at'])}") == [second]
    assert await listed(cloud, "?since=2999-01-01T00:00:00Z") == []
    assert (await cloud.call("GET", "/OS-REVOKE/events?since=yesterday")).status == 400


async def test_a_long_list_comes_in_pages(cloud: Cloud) -> None:
    for _ in range(3):
        user = await cloud.made("user", password=PASSWORD)
        await cloud.call("DELETE", f"/users/{user['id']}")
    answer = await cloud.call("GET", "/OS-REVOKE/events?limit=2")
    assert len(answer.body["events"]) == 2
    path = answer.body["links"]["next"].partition("/v3")[2]
    assert len((await cloud.call("GET", path)).body["events"]) == 1


async def test_nobody_but_services_and_administrators_may_read_it(cloud: Cloud) -> None:
    _, _, token = await cloud.member()
    assert (await cloud.call("GET", "/OS-REVOKE/events", token=token)).status == 403
