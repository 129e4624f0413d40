"""`GET /role_assignments`: every filter, what contradicts itself, and who sees what."""

from __future__ import annotations

from typing import Any

from identity_cloud import PASSWORD, Cloud

Fact = tuple[str, str, str]
"""(actor, role, target), by ids."""


async def found(cloud: Cloud, query: str, token: str | None = None) -> set[Fact]:
    """What a query finds."""
    answer = await cloud.call("GET", f"/role_assignments?{query}", token=token)
    assert answer.status == 200, answer
    return {fact(one) for one in answer.body["role_assignments"]}


def fact(one: Any) -> Fact:
    """An assignment in short."""
    actor = one["user"]["id"] if "user" in one else "group " + one["group"]["id"]
    scope = {key: value for key, value in one["scope"].items() if key != "OS-INHERIT:inherited_to"}
    [(kind, target)] = scope.items()
    mark = "*" if "OS-INHERIT:inherited_to" in one["scope"] else ""
    return actor, one["role"]["id"], mark + ("system" if kind == "system" else target["id"])


async def grant(cloud: Cloud, path: str, role: str, *, inherited: bool = False) -> None:
    """Give a role."""
    start, end = ("/OS-INHERIT", "/inherited_to_projects") if inherited else ("", "")
    answer = await cloud.call("PUT", f"{start}{path}/roles/{cloud.roles[role]}{end}")
    assert answer.status == 204, answer


class Scene:
    """A domain with a tree of projects, a user and a group with that user, who have roles in every way."""

    def __init__(self, domain: Any, top: Any, low: Any, user: Any, group: Any) -> None:
        self.domain, self.top, self.low = domain["id"], top["id"], low["id"]
        self.user, self.group = user["id"], group["id"]

    @classmethod
    async def make(cls, cloud: Cloud) -> Scene:
        """Make all of it."""
        domain = await cloud.made("domain")
        top = await cloud.made("project", domain_id=domain["id"])
        low = await cloud.made("project", parent_id=top["id"])
        user = await cloud.made("user", domain_id=domain["id"], password=PASSWORD)
        group = await cloud.made("group", domain_id=domain["id"])
        scene = cls(domain, top, low, user, group)
        assert (await cloud.call("PUT", f"/groups/{scene.group}/users/{scene.user}")).status == 204
        await grant(cloud, f"/projects/{scene.top}/users/{scene.user}", "member")
        await grant(cloud, f"/domains/{scene.domain}/groups/{scene.group}", "reader")
        await grant(cloud, f"/domains/{scene.domain}/groups/{scene.group}", "service", inherited=True)
        await grant(cloud, f"/system/users/{scene.user}", "reader")
        await grant(cloud, f"/projects/{scene.low}/groups/{scene.group}", "reader")
        return scene


async def test_every_filter_finds_what_was_given(cloud: Cloud) -> None:
    scene, roles = await Scene.make(cloud), cloud.roles
    group = "group " + scene.group
    direct = (scene.user, roles["member"], scene.top)
    system = (scene.user, roles["reader"], "system")
    domain = (group, roles["reader"], scene.domain)
    inherited = (group, roles["service"], "*" + scene.domain)
    low = (group, roles["reader"], scene.low)
    assert await found(cloud, f"user.id={scene.user}") == {direct, system}
    assert await found(cloud, f"group.id={scene.group}") == {domain, inherited, low}
    assert await found(cloud, f"group.id={scene.group}&role.id={roles['reader']}") == {domain, low}
    assert await found(cloud, f"scope.project.id={scene.top}") == {direct}
    assert await found(cloud, f"scope.project.id={scene.top}&include_subtree=true") == {direct, low}
    assert await found(cloud, f"scope.domain.id={scene.domain}") == {domain, inherited}
    assert await found(cloud, f"scope.system=all&user.id={scene.user}") == {system}
    by_way = f"scope.domain.id={scene.domain}&scope.OS-INHERIT:inherited_to="
    assert await found(cloud, by_way + "projects") == {inherited}
    assert await found(cloud, by_way + "nothing") == {domain}
    assert await found(cloud, f"scope.domain.id={scene.low}") == set()
    assert await found(cloud, f"scope.project.id={scene.domain}") == set()
    assert await found(cloud, "user.id=nobody") == set()


async def test_effective_roles_are_those_of_users_on_what_they_hold_for(cloud: Cloud) -> None:
    scene, roles = await Scene.make(cloud), cloud.roles
    user = scene.user
    on_top = {(user, roles["member"], scene.top), (user, roles["reader"], scene.top)}
    on_low = {(user, roles["reader"], scene.low)}
    from_above = {(user, roles["service"], "*" + scene.top), (user, roles["service"], "*" + scene.low)}
    domain = {(user, roles["reader"], scene.domain)}
    system = {(user, roles["reader"], "system")}
    assert await found(cloud, f"effective&user.id={user}") == on_top | on_low | from_above | domain | system
    tree = f"effective&scope.project.id={scene.top}&include_subtree"
    assert await found(cloud, tree) == on_top | on_low | from_above
    assert await found(cloud, f"effective&scope.project.id={scene.low}") == on_low | {
        (user, roles["service"], "*" + scene.low)
    }
    assert await found(cloud, f"effective&scope.domain.id={scene.domain}") == domain
    assert await found(cloud, f"effective&user.id={user}&scope.system=all") == system
    inherited = f"effective&user.id={user}&scope.OS-INHERIT:inherited_to=projects"
    assert await found(cloud, inherited) == from_above
    assert await found(cloud, f"effective&user.id={user}&role.id={roles['service']}") == from_above
    assert await found(cloud, f"effective=0&user.id={user}") == await found(cloud, f"user.id={user}")


async def test_the_links_lead_to_where_a_role_was_given(cloud: Cloud) -> None:
    scene, roles = await Scene.make(cloud), cloud.roles
    base = f"{cloud.client.url}/identity/v3"
    query = f"effective&include_names&user.id={scene.user}&scope.project.id={scene.low}&role.id={roles['service']}"
    [one] = (await cloud.call("GET", f"/role_assignments?{query}")).body["role_assignments"]
    end = f"groups/{scene.group}/roles/{roles['service']}/inherited_to_projects"
    assert one["links"] == {
        "assignment": f"{base}/OS-INHERIT/domains/{scene.domain}/{end}",
        "membership": f"{base}/groups/{scene.group}/users/{scene.user}",
    }
    assert one["role"]["name"] == "service"
    assert one["scope"]["project"]["domain"]["id"] == scene.domain
    query = f"effective&user.id={scene.user}&scope.project.id={scene.top}&role.id={roles['reader']}"
    [implied] = (await cloud.call("GET", f"/role_assignments?{query}")).body["role_assignments"]
    assert implied["links"] == {
        "assignment": f"{base}/projects/{scene.top}/users/{scene.user}/roles/{roles['member']}",
        "prior_role": f"{base}/prior_role/{roles['member']}/implies/{roles['reader']}",
    }


async def test_filters_that_contradict_each_other_are_a_bad_request(cloud: Cloud) -> None:
    inherited = "scope.OS-INHERIT:inherited_to=projects"
    for query in (
        "user.id=a&group.id=b",
        "scope.project.id=a&scope.domain.id=b",
        "scope.project.id=a&scope.system=all",
        "scope.domain.id=a&scope.system=all",
        "effective&group.id=a",
        f"effective&scope.domain.id=default&{inherited}",
        "include_subtree",
        "include_subtree=true&user.id=a",
        "user.id=%00",
    ):
        assert (await cloud.call("GET", f"/role_assignments?{query}")).status == 400, query
    gone = await cloud.call("GET", f"/role_assignments?include_subtree&scope.project.id={'0' * 32}")
    assert gone.status == 404


async def test_a_domains_reader_sees_its_domain_and_a_member_nothing(cloud: Cloud) -> None:
    scene, other = await Scene.make(cloud), await Scene.make(cloud)
    scope = {"domain": {"id": scene.domain}}
    token = await cloud.token(scene.user, scope=scope)
    seen = await found(cloud, "", token)
    assert {target.lstrip("*") for _, _, target in seen} == {scene.domain, scene.top, scene.low}
    assert await found(cloud, f"user.id={other.user}", token) == set()
    assert await found(cloud, f"scope.project.id={scene.top}&include_subtree", token)
    foreign = f"/role_assignments?scope.project.id={other.top}&include_subtree"
    assert (await cloud.call("GET", foreign, token=token)).status == 403
    member = await cloud.token(scene.user, scene.top)
    for query in ("", f"user.id={scene.user}", f"scope.project.id={scene.top}&include_subtree"):
        assert (await cloud.call("GET", f"/role_assignments?{query}", token=member)).status == 403
