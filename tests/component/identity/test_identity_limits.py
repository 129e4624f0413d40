"""Registered limits, limits, the two models, and what other packages are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus.config import ConfigError
from skybus.identity.limits.limit_models import STRICT_TWO_LEVEL
from skybus.identity.limits.limits import UNLIMITED, Allowance, project_allowance
from support.front import Answer


async def register(cloud: Cloud, name: str = "volumes", default: int = 10, **more: Any) -> Any:
    """A registered limit of a service of its own, unless `service_id` says which."""
    if "service_id" not in more:
        more["service_id"] = (await cloud.made("service", type="block-storage"))["id"]
    asked = {"resource_name": name, "default_limit": default, **more}
    answer = await cloud.call("POST", "/registered_limits", {"registered_limits": [asked]})
    assert answer.status == 201, answer
    return answer.body["registered_limits"][0]


def of(registered: Any, number: int, **target: Any) -> dict[str, Any]:
    """What asks for a limit."""
    names = ("service_id", "region_id", "resource_name")
    return {**{name: registered[name] for name in names}, "resource_limit": number, **target}


async def ask(cloud: Cloud, *limits: dict[str, Any]) -> Answer:
    return await cloud.call("POST", "/limits", {"limits": list(limits)})


async def limit(cloud: Cloud, *limits: dict[str, Any]) -> Any:
    answer = await ask(cloud, *limits)
    assert answer.status == 201, answer
    return answer.body["limits"][0]


async def family(cloud: Cloud) -> tuple[Any, Any, Any]:
    """A domain and two projects in it."""
    domain = await cloud.made("domain")
    return domain, *[await cloud.made("project", domain_id=domain["id"]) for _ in "BC"]


# --- registered limits


async def test_registered_limits_are_made_together_shown_changed_and_deleted(cloud: Cloud) -> None:
    service, region = await cloud.made("service", type="compute"), await cloud.made("region")
    asked = [
        {"service_id": service["id"], "resource_name": "cores", "default_limit": 20, "description": "CPUs"},
        {"service_id": service["id"], "resource_name": "ram", "default_limit": -1, "region_id": region["id"]},
    ]
    answer = await cloud.call("POST", "/registered_limits", {"registered_limits": asked})
    assert answer.status == 201
    cores, ram = answer.body["registered_limits"]
    assert {name: cores[name] for name in asked[0]} == asked[0]
    assert (cores["region_id"], ram["region_id"], ram["description"]) == (None, region["id"], None)
    assert cores["links"]["self"].endswith(f"/identity/v3/registered_limits/{cores['id']}")
    changed = {"default_limit": 7, "region_id": region["id"], "description": None}
    answer = await cloud.call("PATCH", f"/registered_limits/{cores['id']}", {"registered_limit": changed})
    assert answer.body["registered_limit"] == {**cores, **changed}
    shown = await cloud.call("GET", f"/registered_limits/{cores['id']}")
    assert shown.body == answer.body
    assert (await cloud.call("DELETE", f"/registered_limits/{cores['id']}")).status == 204
    assert (await cloud.call("GET", f"/registered_limits/{cores['id']}")).status == 404
    assert (await cloud.call("DELETE", f"/registered_limits/{cores['id']}")).status == 404
    assert (await cloud.call("PATCH", "/registered_limits/none", {"registered_limit": {}})).status == 404
    assert [one["id"] for one in (await cloud.call("GET", "/registered_limits")).body["registered_limits"]] == [
        ram["id"]
    ]


async def test_a_resource_of_a_service_in_a_region_is_registered_once(cloud: Cloud) -> None:
    one = await register(cloud)
    other = await register(cloud, "snapshots", service_id=one["service_id"])
    again = {"service_id": one["service_id"], "resource_name": "volumes", "default_limit": 1}
    assert (await cloud.call("POST", "/registered_limits", {"registered_limits": [again]})).status == 409
    new = {**again, "resource_name": "backups"}
    assert (await cloud.call("POST", "/registered_limits", {"registered_limits": [new, new]})).status == 409
    renamed = {"registered_limit": {"resource_name": "volumes"}}
    assert (await cloud.call("PATCH", f"/registered_limits/{other['id']}", renamed)).status == 409
    listed = (await cloud.call("GET", "/registered_limits")).body["registered_limits"]
    assert {each["id"] for each in listed} == {one["id"], other["id"]}, "one that fails leaves none of its kind"


async def test_a_registered_limit_names_a_service_and_a_region_that_exist(cloud: Cloud) -> None:
    one = await register(cloud)
    for wrong in (
        {"service_id": "0" * 32},
        {"service_id": "nonsense"},
        {"region_id": "nowhere"},
        {"default_limit": -2},
        {"default_limit": 2**31},
        {"default_limit": "10"},
        {"resource_name": ""},
        {"resource_name": "x" * 256},
        {"surprise": 1},
    ):
        asked = {"service_id": one["service_id"], "resource_name": "new", "default_limit": 1, **wrong}
        assert (await cloud.call("POST", "/registered_limits", {"registered_limits": [asked]})).status == 400, wrong
        changed = {"registered_limit": wrong}
        assert (await cloud.call("PATCH", f"/registered_limits/{one['id']}", changed)).status == 400, wrong
    assert (await cloud.call("POST", "/registered_limits", {"registered_limits": []})).status == 400


async def test_a_registered_limit_in_use_is_neither_changed_nor_deleted(cloud: Cloud) -> None:
    registered = await register(cloud)
    made = await limit(cloud, of(registered, 5, project_id=cloud.project_id))
    path = f"/registered_limits/{registered['id']}"
    assert (await cloud.call("PATCH", path, {"registered_limit": {"default_limit": 3}})).status == 403
    assert (await cloud.call("DELETE", path)).status == 403
    assert (await cloud.call("DELETE", f"/limits/{made['id']}")).status == 204
    assert (await cloud.call("DELETE", path)).status == 204


async def test_limits_go_with_their_service_and_keep_their_region(cloud: Cloud) -> None:
    region = await cloud.made("region")
    registered = await register(cloud, region_id=region["id"])
    await limit(cloud, of(registered, 5, project_id=cloud.project_id))
    assert (await cloud.call("DELETE", f"/regions/{region['id']}")).status == 403
    assert (await cloud.call("DELETE", f"/services/{registered['service_id']}")).status == 204
    assert (await cloud.call("GET", "/limits")).body["limits"] == []
    assert (await cloud.call("GET", f"/registered_limits/{registered['id']}")).status == 404
    assert (await cloud.call("DELETE", f"/regions/{region['id']}")).status == 204


# --- limits


async def test_limits_are_made_together_shown_changed_and_deleted(cloud: Cloud) -> None:
    registered = await register(cloud)
    domain, project, _ = await family(cloud)
    asked = [
        of(registered, 5, project_id=project["id"], description="small"),
        of(registered, 6, domain_id=domain["id"]),
    ]
    answer = await ask(cloud, *asked)
    assert answer.status == 201
    mine, domains = answer.body["limits"]
    assert {name: mine[name] for name in asked[0]} == asked[0]
    assert (mine["domain_id"], domains["domain_id"], domains["project_id"]) == (None, domain["id"], None)
    changed = await cloud.call("PATCH", f"/limits/{mine['id']}", {"limit": {"resource_limit": 0}})
    assert changed.body["limit"] == {**mine, "resource_limit": 0}
    shown = await cloud.call("GET", f"/limits/{mine['id']}")
    assert shown.body == changed.body
    assert (await cloud.call("DELETE", f"/limits/{mine['id']}")).status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"limit": {"resource_limit": 1}})):
        assert (await cloud.call(method, f"/limits/{mine['id']}", body)).status == 404
    assert (await cloud.call("DELETE", f"/projects/{project['id']}")).status == 204


async def test_a_domain_may_be_called_a_project(cloud: Cloud) -> None:
    registered = await register(cloud)
    domain, project, _ = await family(cloud)
    made = await limit(cloud, of(registered, 6, project_id=domain["id"]))
    assert (made["domain_id"], made["project_id"]) == (domain["id"], None)
    assert (await ask(cloud, of(registered, 6, domain_id=project["id"]))).status == 400


async def test_what_cannot_be_a_limit_is_refused(cloud: Cloud) -> None:
    registered = await register(cloud)
    proper = of(registered, 5, project_id=cloud.project_id)
    assert (await ask(cloud, {**proper, "resource_name": "unregistered"})).status == 403
    assert (await ask(cloud, proper, {**proper, "resource_name": "unregistered"})).status == 403
    assert (await cloud.call("GET", "/limits")).body["limits"] == [], "all of them or none"
    for wrong in (
        {"service_id": "0" * 32},
        {"region_id": "nowhere"},
        {"project_id": "nobody"},
        {"project_id": None},
        {"domain_id": "default"},
        {"resource_limit": -2},
        {"resource_limit": 1.5},
    ):
        assert (await ask(cloud, {**proper, **wrong})).status == 400, wrong
    made = await limit(cloud, proper)
    assert (await ask(cloud, proper)).status == 409
    for wrong in ({"project_id": cloud.project_id}, {"resource_limit": "many"}, {"resource_name": "x"}):
        assert (await cloud.call("PATCH", f"/limits/{made['id']}", {"limit": wrong})).status == 400


async def test_limits_are_found_by_what_they_are_about(cloud: Cloud) -> None:
    region = await cloud.made("region")
    volumes, cores = await register(cloud), await register(cloud, "cores", region_id=region["id"])
    domain, project, _ = await family(cloud)
    ids = {}
    for name, asked in (
        ("project's volumes", of(volumes, 1, project_id=project["id"])),
        ("project's cores", of(cores, 2, project_id=project["id"])),
        ("domain's cores", of(cores, 3, domain_id=domain["id"])),
    ):
        ids[(await limit(cloud, asked))["id"]] = name

    async def found(query: str) -> set[str]:
        answer = await cloud.call("GET", f"/limits?{query}")
        assert answer.status == 200
        return {ids[one["id"]] for one in answer.body["limits"]}

    assert await found(f"service_id={cores['service_id']}") == {"project's cores", "domain's cores"}
    assert await found(f"region_id={region['id']}") == {"project's cores", "domain's cores"}
    assert await found("resource_name=volumes") == {"project's volumes"}
    assert await found(f"project_id={project['id']}&resource_name=cores") == {"project's cores"}
    assert await found(f"domain_id={domain['id']}") == {"domain's cores"}
    assert await found(f"domain_id={project['id']}") == set()
    registered = await cloud.call("GET", f"/registered_limits?region_id={region['id']}&resource_name=cores")
    assert [one["id"] for one in registered.body["registered_limits"]] == [cores["id"]]
    page = await cloud.call("GET", "/limits?limit=2")
    rest = await cloud.client.call("GET", page.body["links"]["next"], token=cloud.admin_token)
    assert len({one["id"] for one in (*page.body["limits"], *rest.body["limits"])}) == 3


async def test_everybody_sees_the_limits_of_their_own_place(cloud: Cloud) -> None:
    """Security class 14."""
    registered = await register(cloud)
    user, project, token = await cloud.member("reader")
    _, _, stranger = await cloud.member("reader")
    domain, inside, _ = await family(cloud)
    chief = await cloud.made("user", password=PASSWORD)
    await cloud.call("PUT", f"/domains/{domain['id']}/users/{chief['id']}/roles/{cloud.roles['reader']}")
    of_domain = await cloud.token(chief["id"], scope={"domain": {"id": domain["id"]}})
    unscoped = await cloud.token(user["id"], scope="unscoped")
    mine = (await limit(cloud, of(registered, 1, project_id=project["id"])))["id"]
    below = (await limit(cloud, of(registered, 2, project_id=inside["id"])))["id"]
    above = (await limit(cloud, of(registered, 3, domain_id=domain["id"])))["id"]
    for who, sees in (
        (token, {mine}),
        (stranger, set()),
        (of_domain, {below, above}),
        (unscoped, set()),
        (cloud.admin_token, {mine, below, above}),
    ):
        listed = await cloud.call("GET", "/limits", token=who)
        assert {one["id"] for one in listed.body["limits"]} == sees
        for one in (mine, below, above):
            assert (await cloud.call("GET", f"/limits/{one}", token=who)).status == (200 if one in sees else 403)
        if who != cloud.admin_token:
            for method, body in (("PATCH", {"limit": {"resource_limit": 9}}), ("DELETE", None)):
                assert (await cloud.call(method, f"/limits/{mine}", body, token=who)).status == 403
            assert (await cloud.call("GET", "/limits/model", token=who)).status == 200
    answer = await cloud.call("POST", "/limits", {"limits": [of(registered, 9, project_id=project["id"])]}, token=token)
    assert answer.status == 403


# --- the models


async def test_the_flat_model_lets_every_limit_be_what_it_is(cloud: Cloud) -> None:
    model = (await cloud.call("GET", "/limits/model")).body["model"]
    assert model["name"] == "flat"
    assert model["description"]
    registered = await register(cloud)
    domain, project, _ = await family(cloud)
    await limit(cloud, of(registered, 20, domain_id=domain["id"]), of(registered, 30, project_id=project["id"]))


@pytest.fixture
def strict(cloud: Cloud) -> Cloud:
    cloud.identity.limit_model = STRICT_TWO_LEVEL
    return cloud


async def test_no_project_has_more_than_its_domain(strict: Cloud) -> None:
    assert (await strict.call("GET", "/limits/model")).body["model"]["name"] == "strict_two_level"
    registered = await register(strict)
    domain, one, other = await family(strict)
    top = await limit(strict, of(registered, 20, domain_id=domain["id"]))
    first = await limit(strict, of(registered, 15, project_id=one["id"]))
    assert (await ask(strict, of(registered, 21, project_id=other["id"]))).status == 403
    assert (await ask(strict, of(registered, UNLIMITED, project_id=other["id"]))).status == 403
    await limit(strict, of(registered, 18, project_id=other["id"]))
    for path, number, status in (
        (first["id"], 21, 403),
        (first["id"], 20, 200),
        (top["id"], 19, 403),
        (top["id"], UNLIMITED, 200),
        (first["id"], 999, 200),
        (top["id"], 999, 200),
    ):
        answer = await strict.call("PATCH", f"/limits/{path}", {"limit": {"resource_limit": number}})
        assert answer.status == status, (number, answer)
    assert (await strict.call("GET", f"/limits/{first['id']}")).body["limit"]["resource_limit"] == 999


async def test_a_domain_without_a_limit_has_the_default(strict: Cloud) -> None:
    registered = await register(strict, default=10)
    domain, one, other = await family(strict)
    await limit(strict, of(registered, 9, project_id=one["id"]))
    assert (await ask(strict, of(registered, 11, project_id=other["id"]))).status == 403
    assert (await ask(strict, of(registered, 8, domain_id=domain["id"]))).status == 403
    await limit(strict, of(registered, 12, domain_id=domain["id"]))


async def test_a_tree_that_is_asked_for_together_is_judged_together(strict: Cloud) -> None:
    registered = await register(strict, default=1)
    domain, one, other = await family(strict)
    tree = [of(registered, 9, project_id=one["id"]), of(registered, 12, domain_id=domain["id"])]
    assert (await ask(strict, *tree, of(registered, 13, project_id=other["id"]))).status == 403
    await limit(strict, *tree, of(registered, 5, project_id=other["id"]))


async def test_two_who_change_limits_at_once_break_no_rule_together(strict: Cloud) -> None:
    registered = await register(strict)
    domain, one, _ = await family(strict)
    top = await limit(strict, of(registered, 20, domain_id=domain["id"]))
    low = await limit(strict, of(registered, 5, project_id=one["id"]))
    for _ in range(5):
        answers = await asyncio.gather(
            strict.call("PATCH", f"/limits/{top['id']}", {"limit": {"resource_limit": 10}}),
            strict.call("PATCH", f"/limits/{low['id']}", {"limit": {"resource_limit": 15}}),
        )
        assert sorted(answer.status for answer in answers) == [200, 403]
        for path, number in ((low["id"], 5), (top["id"], 20)):
            await strict.call("PATCH", f"/limits/{path}", {"limit": {"resource_limit": number}})


async def test_with_the_strict_model_no_project_is_made_below_a_project(strict: Cloud) -> None:
    parent = await strict.made("project")
    asked = {"project": {"name": "below", "parent_id": parent["id"]}}
    assert (await strict.call("POST", "/projects", asked)).status == 403
    below_domain = {"project": {"name": "below", "parent_id": "default"}}
    assert (await strict.call("POST", "/projects", below_domain)).status == 201


async def test_the_strict_model_is_not_switched_on_over_a_deeper_tree(cloud: Cloud) -> None:
    await STRICT_TWO_LEVEL.check_tree(cloud.identity.store)
    parent = await cloud.made("project")
    child = await cloud.made("project", parent_id=parent["id"])
    with pytest.raises(ConfigError, match=child["id"]):
        await STRICT_TWO_LEVEL.check_tree(cloud.identity.store)


# --- what other packages ask


async def test_a_project_may_own_what_its_limit_says_or_else_the_default(cloud: Cloud) -> None:
    region, elsewhere = await cloud.made("region"), await cloud.made("region")
    everywhere = await register(cloud, default=10)
    there = await register(cloud, default=4, region_id=region["id"], service_id=everywhere["service_id"])
    domain, project, other = await family(cloud)
    await limit(cloud, of(everywhere, 25, project_id=project["id"]), of(everywhere, 20, domain_id=domain["id"]))
    store, model = cloud.identity.store, cloud.identity.limit_model

    async def may(project_id: str, region_id: str | None = None, name: str = "volumes") -> Allowance | None:
        return await project_allowance(store, model, project_id, "block-storage", name, region_id)

    assert await may(project["id"]) == Allowance(project=25)
    assert await may(other["id"]) == Allowance(project=10)
    assert await may(project["id"], region["id"]) == Allowance(project=there["default_limit"])
    assert await may(project["id"], elsewhere["id"]) == Allowance(project=25)
    assert await may(project["id"], name="unknown") is None
    assert await may("nobody") is None
    model = STRICT_TWO_LEVEL
    assert await may(project["id"]) == Allowance(project=20, tree_id=domain["id"], tree=20)
    assert await may(other["id"]) == Allowance(project=10, tree_id=domain["id"], tree=20)
    assert await may(domain["id"]) == Allowance(project=20)


async def test_every_change_of_a_limit_is_announced(cloud: Cloud) -> None:
    registered = await register(cloud)
    made = await limit(cloud, of(registered, 5, project_id=cloud.project_id))
    await cloud.call("PATCH", f"/limits/{made['id']}", {"limit": {"resource_limit": 6}})
    await cloud.call("DELETE", f"/limits/{made['id']}")
    await cloud.call("PATCH", f"/registered_limits/{registered['id']}", {"registered_limit": {"default_limit": 1}})
    await cloud.call("DELETE", f"/registered_limits/{registered['id']}")
    rows = await cloud.identity.store.fetch(
        "SELECT type, subject FROM bus.outbox WHERE type LIKE '%limit%' ORDER BY id"
    )
    ids = {"limit": made["id"], "registered-limit": registered["id"]}
    told = [(row["type"].split(".")[2], row["type"].split(".")[3], row["subject"]) for row in rows]
    assert told == [
        (noun, change, ids[noun])
        for noun, change in (
            ("registered-limit", "created"),
            ("limit", "created"),
            ("limit", "updated"),
            ("limit", "deleted"),
            ("registered-limit", "updated"),
            ("registered-limit", "deleted"),
        )
    ]
