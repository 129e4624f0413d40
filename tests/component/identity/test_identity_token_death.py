"""Security class 7: whatever takes a right away ends the tokens that had it, on every gateway, within a second; and
nobody else's. With everything in order, by events alone, and without a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from identity_cloud import PASSWORD
from token_death import MODES, Case, Prepare, hold
from two_gateways import World, two_gateways

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- users


async def user_disabled(world: World) -> Case:
    one, other = await world.person(), await world.person()
    doomed = await world.lines(one) + await world.line(one.user, "unscoped")
    change = {"user": {"enabled": False}}
    return Case(doomed, lambda: world.done("PATCH", f"/users/{one.user}", change), await world.lines(other))


async def user_deleted(world: World) -> Case:
    one = await world.person()
    return Case(await world.lines(one), lambda: world.done("DELETE", f"/users/{one.user}"))


async def password_set_by_the_administrator(world: World) -> Case:
    one = await world.person()
    change = {"user": {"password": "another " + PASSWORD}}
    return Case(await world.lines(one), lambda: world.done("PATCH", f"/users/{one.user}", change))


async def password_changed_by_its_user(world: World) -> Case:
    one = await world.person()
    doomed = await world.lines(one)
    change = {"user": {"password": "another " + PASSWORD, "original_password": PASSWORD}}
    return Case(doomed, lambda: world.done("POST", f"/users/{one.user}/password", change, doomed[0]))


# --- projects and domains


async def project_disabled(world: World) -> Case:
    one = await world.person()
    spared = await world.line(one.user, "unscoped")
    change = {"project": {"enabled": False}}
    return Case(await world.lines(one), lambda: world.done("PATCH", f"/projects/{one.project}", change), spared)


async def project_deleted(world: World) -> Case:
    one = await world.person()
    return Case(await world.lines(one), lambda: world.done("DELETE", f"/projects/{one.project}"))


async def domain_of_the_user_disabled(world: World) -> Case:
    domain = await world.made("domain")
    one = await world.person(domain_id=domain)
    change = {"domain": {"enabled": False}}
    return Case(await world.lines(one), lambda: world.done("PATCH", f"/domains/{domain}", change))


async def domain_of_the_project_disabled(world: World) -> Case:
    domain = await world.made("domain")
    one = await world.person(project=await world.made("project", domain_id=domain))
    spared = await world.line(one.user, "unscoped")
    change = {"domain": {"enabled": False}}
    return Case(await world.lines(one), lambda: world.done("PATCH", f"/domains/{domain}", change), spared)


async def domain_deleted(world: World) -> Case:
    domain = await world.made("domain")
    user, role = await world.made("user", password=PASSWORD, domain_id=domain), await world.made("role")
    await world.done("PUT", f"/domains/{domain}/users/{user}/roles/{role}")
    doomed = await world.line(user, {"domain": {"id": domain}})

    async def act() -> None:
        await world.done("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
        await world.done("DELETE", f"/domains/{domain}")

    return Case(doomed, act)


# --- assignments


async def role_taken_from_a_user_on_a_project(world: World) -> Case:
    one = await world.person()
    elsewhere = await world.person(user=one.user)
    path = f"/projects/{one.project}/users/{one.user}/roles/{one.role}"
    return Case(await world.lines(one), lambda: world.done("DELETE", path), await world.lines(elsewhere))


async def one_role_of_two_taken(world: World) -> Case:
    one = await world.person()
    await world.person(user=one.user, project=one.project)
    path = f"/projects/{one.project}/users/{one.user}/roles/{one.role}"
    return Case(await world.lines(one), lambda: world.done("DELETE", path))


async def role_taken_on_a_domain(world: World) -> Case:
    one = await world.person()
    path = f"/domains/{await world.made('domain')}/users/{one.user}/roles/{one.role}"
    await world.done("PUT", path)
    doomed = await world.line(one.user, {"domain": {"id": path.split("/")[2]}})
    return Case(doomed, lambda: world.done("DELETE", path), await world.lines(one))


async def role_taken_on_the_system(world: World) -> Case:
    one = await world.person()
    path = f"/system/users/{one.user}/roles/{one.role}"
    await world.done("PUT", path)
    doomed = await world.line(one.user, {"system": {"all": True}})
    return Case(doomed, lambda: world.done("DELETE", path), await world.lines(one))


async def inherited_role_taken_from_a_user_of_a_domain(world: World) -> Case:
    domain, role = await world.made("domain"), await world.made("role")
    user, project = await world.made("user", password=PASSWORD), await world.made("project", domain_id=domain)
    path = f"/OS-INHERIT/domains/{domain}/users/{user}/roles/{role}/inherited_to_projects"
    await world.done("PUT", path)
    return Case(await world.line(user, {"project": {"id": project}}), lambda: world.done("DELETE", path))


async def _in_a_group(world: World) -> tuple[str, str]:
    user, group = await world.made("user", password=PASSWORD), await world.made("group")
    await world.done("PUT", f"/groups/{group}/users/{user}")
    return user, group


async def inherited_role_taken_from_a_group_of_a_parent(world: World) -> Case:
    user, group = await _in_a_group(world)
    parent, role = await world.made("project"), await world.made("role")
    project = await world.made("project", parent_id=parent)
    path = f"/OS-INHERIT/projects/{parent}/groups/{group}/roles/{role}/inherited_to_projects"
    await world.done("PUT", path)
    return Case(await world.line(user, {"project": {"id": project}}), lambda: world.done("DELETE", path))


async def role_taken_from_a_group(world: World) -> Case:
    user, group = await _in_a_group(world)
    project, role = await world.made("project"), await world.made("role")
    path = f"/projects/{project}/groups/{group}/roles/{role}"
    await world.done("PUT", path)
    spared = await world.line(user, "unscoped")
    return Case(await world.line(user, {"project": {"id": project}}), lambda: world.done("DELETE", path), spared)


async def role_taken_from_a_group_on_the_system(world: World) -> Case:
    user, group = await _in_a_group(world)
    path = f"/system/groups/{group}/roles/{await world.made('role')}"
    await world.done("PUT", path)
    return Case(await world.line(user, {"system": {"all": True}}), lambda: world.done("DELETE", path))


async def group_left(world: World) -> Case:
    user, group = await _in_a_group(world)
    project = await world.made("project")
    await world.done("PUT", f"/projects/{project}/groups/{group}/roles/{await world.made('role')}")
    doomed = await world.line(user, {"project": {"id": project}})
    return Case(doomed, lambda: world.done("DELETE", f"/groups/{group}/users/{user}"))


async def group_deleted(world: World) -> Case:
    user, group = await _in_a_group(world)
    project = await world.made("project")
    await world.done("PUT", f"/projects/{project}/groups/{group}/roles/{await world.made('role')}")
    doomed = await world.line(user, {"project": {"id": project}})
    return Case(doomed, lambda: world.done("DELETE", f"/groups/{group}"))


async def role_deleted(world: World) -> Case:
    one, other = await world.person(), await world.person()
    return Case(await world.lines(one), lambda: world.done("DELETE", f"/roles/{one.role}"), await world.lines(other))


async def implication_deleted(world: World) -> Case:
    one, other = await world.person(), await world.person()
    path = f"/roles/{one.role}/implies/{other.role}"
    await world.done("PUT", path)
    return Case(await world.lines(one), lambda: world.done("DELETE", path), await world.lines(other))


async def implication_of_a_role_of_one_domain_deleted(world: World) -> Case:
    role, implied = await world.made("role", domain_id="default"), await world.made("role")
    one = await world.person(role=role)
    path = f"/roles/{role}/implies/{implied}"
    await world.done("PUT", path)
    return Case(await world.lines(one), lambda: world.done("DELETE", path))


# --- tokens


async def token_revoked_by_its_owner(world: World) -> Case:
    one = await world.person()
    first, second = await world.lines(one)
    return Case(
        [first], lambda: world.done("DELETE", "/auth/tokens", token=first, **{"X-Subject-Token": first}), [second]
    )


async def token_revoked_by_the_administrator(world: World) -> Case:
    one = await world.person()
    first, second = await world.lines(one)
    return Case([second], lambda: world.done("DELETE", "/auth/tokens", **{"X-Subject-Token": second}), [first])


CASES: list[Prepare] = [
    user_disabled,
    user_deleted,
    password_set_by_the_administrator,
    password_changed_by_its_user,
    project_disabled,
    project_deleted,
    domain_of_the_user_disabled,
    domain_of_the_project_disabled,
    domain_deleted,
    role_taken_from_a_user_on_a_project,
    one_role_of_two_taken,
    role_taken_on_a_domain,
    role_taken_on_the_system,
    inherited_role_taken_from_a_user_of_a_domain,
    inherited_role_taken_from_a_group_of_a_parent,
    role_taken_from_a_group,
    role_taken_from_a_group_on_the_system,
    group_left,
    group_deleted,
    role_deleted,
    implication_deleted,
    implication_of_a_role_of_one_domain_deleted,
    token_revoked_by_its_owner,
    token_revoked_by_the_administrator,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES, ids=lambda how: how.__name__)
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two gateways, with all that keeps them informed or a part of it."""
    async with two_gateways(tmp_path_factory.mktemp("gateways")) as made:
        await request.param(made)
        yield made


@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__)
async def test_the_tokens_die_on_every_gateway_and_no_others_do(world: World, prepare: Prepare) -> None:
    await hold(world, prepare)
