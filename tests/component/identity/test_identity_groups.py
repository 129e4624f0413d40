"""Groups: where they are, who is in them, and what their members get and lose by them."""

from __future__ import annotations

import asyncio

from identity_cloud import PASSWORD, Cloud

NONE = "0" * 32


async def test_groups_are_listed_by_domain_and_name(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    mine = await cloud.made("group", domain_id=domain["id"], name="People of the north")
    await cloud.made("group", name="People of the south")

    async def listed(query: str) -> list[str]:
        return [group["id"] for group in (await cloud.call("GET", f"/groups?{query}")).body["groups"]]

    assert await listed(f"domain_id={domain['id']}") == [mine["id"]]
    assert await listed("name=People+of+the+north") == [mine["id"]]
    assert await listed("name__icontains=NORTH") == [mine["id"]]
    assert len(await listed("name__startswith=People")) == 2
    assert await listed(f"domain_id={NONE}") == []


async def test_a_group_stays_in_its_domain(cloud: Cloud) -> None:
    group, domain = await cloud.made("group"), await cloud.made("domain")
    moved = await cloud.call("PATCH", f"/groups/{group['id']}", {"group": {"domain_id": domain["id"]}})
    assert moved.status == 400
    asked = {"group": {"name": "x", "domain_id": NONE}}
    assert (await cloud.call("POST", "/groups", asked)).status == 404


async def test_members_come_and_go_and_are_filtered(cloud: Cloud) -> None:
    group = await cloud.made("group")
    users = [await cloud.made("user", name=f"member-{number}", enabled=number > 0) for number in range(3)]
    path = f"/groups/{group['id']}/users"
    for user in users:
        assert (await cloud.call("PUT", f"{path}/{user['id']}")).status == 204
    assert (await cloud.call("PUT", f"{path}/{users[0]['id']}")).status == 204

    async def listed(query: str) -> list[str]:
        return [user["name"] for user in (await cloud.call("GET", f"{path}?{query}")).body["users"]]

    assert await listed("") == ["member-0", "member-1", "member-2"]
    assert await listed("enabled=true") == ["member-1", "member-2"]
    assert await listed("name=member-1") == ["member-1"]
    assert await listed("limit=2") == ["member-0", "member-1"]
    assert await listed(f"limit=2&marker={users[1]['id']}") == ["member-2"]
    assert (await cloud.call("DELETE", f"{path}/{users[1]['id']}")).status == 204
    assert (await cloud.call("DELETE", f"{path}/{users[1]['id']}")).status == 404
    assert await listed("") == ["member-0", "member-2"]
    for wrong in (f"/groups/{NONE}/users/{users[0]['id']}", f"{path}/{NONE}"):
        for method in ("PUT", "HEAD", "DELETE"):
            assert (await cloud.call(method, wrong)).status == 404


async def test_roles_of_a_group_are_its_members_for_as_long_as_there_is_all_of_it(cloud: Cloud) -> None:
    """Security class 7."""
    for end in ("membership", "grant", "group"):
        group, project = await cloud.made("group"), await cloud.made("project")
        user = await cloud.made("user", password=PASSWORD)
        membership = f"/groups/{group['id']}/users/{user['id']}"
        grant = f"/projects/{project['id']}/groups/{group['id']}/roles/{cloud.roles['member']}"
        assert (await cloud.call("PUT", membership)).status == 204
        assert (await cloud.call("PUT", grant)).status == 204
        token = await cloud.token(user["id"], project["id"])
        ends = {"membership": membership, "grant": grant, "group": f"/groups/{group['id']}"}
        assert (await cloud.call("DELETE", ends[end])).status == 204
        assert not await cloud.works(token), end
        assert (await cloud.password(user["id"], scope={"project": {"id": project["id"]}})).status == 401


async def test_whoever_joins_a_group_that_goes_is_told_so_or_was_in_it(cloud: Cloud) -> None:
    user = await cloud.made("user")
    for _ in range(4):
        group = await cloud.made("group")
        path = f"/groups/{group['id']}"
        joined, changed, gone = await asyncio.gather(
            cloud.call("PUT", f"{path}/users/{user['id']}"),
            cloud.call("PATCH", path, {"group": {"description": "x"}}),
            cloud.call("DELETE", path),
        )
        assert gone.status == 204
        assert joined.status in (204, 404)
        assert changed.status in (200, 404)
        assert (await cloud.call("GET", f"/users/{user['id']}/groups")).body["groups"] == []
