"""Who may do what: owners, strangers, readers and managers of a domain, application credentials (security 8, 14)."""

from __future__ import annotations

from typing import Any

from identity_cloud import PASSWORD, Cloud

from skybus.identity.api import api


async def test_every_route_wants_a_token_but_those_by_which_one_comes_to_it(cloud: Cloud) -> None:
    open_routes = set()
    for route in api().routes:
        path = "/identity" + route.path
        for name in ("user_id", "group_id", "project_id", "domain_id", "role_id", "implied_id", "service_id"):
            path = path.replace(f"{{{name}}}", "0" * 32)
        answer = await cloud.client.call(route.method, path, {}, token=None)
        if answer.status != 401:
            open_routes.add(f"{route.method} {route.path}")
    assert open_routes == {
        "GET ",
        "GET /v3",
        "POST /v3/auth/tokens",
        "POST /v3/users/{user_id}/password",
        "POST /v3/OS-OAUTH1/request_token",
        "POST /v3/OS-OAUTH1/access_token",
        "GET /v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth",
        "POST /v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth",
    }


async def test_a_member_may_look_at_itself_and_change_nothing(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    other, foreign, _ = await cloud.member()
    mine = {f"/users/{user['id']}", f"/projects/{project['id']}", "/regions", "/auth/catalog", "/domains/default"}
    for path in mine:
        assert (await cloud.call("GET", path, token=token)).status == 200, path
    closed = [f"/users/{other['id']}", f"/projects/{foreign['id']}", "/users", "/projects", "/domains", "/groups"]
    closed += ["/roles", "/role_assignments", "/services", "/endpoints", f"/users/{'0' * 32}", f"/projects/{'0' * 32}"]
    for path in closed:
        assert (await cloud.call("GET", path, token=token)).status == 403, path
    grant = f"/projects/{project['id']}/users/{user['id']}/roles/{cloud.roles['admin']}"
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", f"/users/{user['id']}", {"user": {"name": "x"}}),
        ("DELETE", f"/users/{user['id']}", None),
        ("POST", "/users", {"user": {"name": "x"}}),
        ("POST", "/projects", {"project": {"name": "x"}}),
        ("PATCH", f"/projects/{project['id']}", {"project": {"name": "x"}}),
        ("DELETE", f"/projects/{project['id']}", None),
        ("POST", "/domains", {"domain": {"name": "x"}}),
        ("POST", "/roles", {"role": {"name": "x"}}),
        ("PUT", grant, None),
        ("PUT", grant.replace(f"/projects/{project['id']}", "/system"), None),
        ("PUT", f"/projects/{project['id']}/tags/x", None),
        ("POST", "/services", {"service": {"type": "x"}}),
    ]
    for method, path, body in changes:
        assert (await cloud.call(method, path, body, token=token)).status == 403, (method, path)


async def test_the_system_reader_sees_all_and_changes_nothing(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    await cloud.call("PUT", f"/system/users/{user['id']}/roles/{cloud.roles['reader']}")
    token = await cloud.token(user["id"], scope={"system": {"all": True}})
    for path in (
        "/users",
        "/projects",
        "/domains",
        "/groups",
        "/roles",
        "/role_assignments",
        "/services",
        "/endpoints",
    ):
        assert (await cloud.call("GET", path, token=token)).status == 200, path
    assert (await cloud.call("POST", "/users", {"user": {"name": "x"}}, token=token)).status == 403
    headers = {"X-Subject-Token": cloud.admin_token}
    assert (await cloud.call("GET", "/auth/tokens", token=token, headers=headers)).status == 200
    assert (await cloud.call("DELETE", "/auth/tokens", token=token, headers=headers)).status == 403


async def test_a_domains_manager_rules_in_its_domain_and_hands_out_no_admin(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    boss = await cloud.made("user", password=PASSWORD, domain_id=domain["id"])
    await cloud.call("PUT", f"/domains/{domain['id']}/users/{boss['id']}/roles/{cloud.roles['manager']}")
    token = await cloud.token(boss["id"], scope={"domain": {"id": domain["id"]}})
    user = await cloud.call("POST", "/users", {"user": {"name": "u"}}, token=token)
    project = await cloud.call("POST", "/projects", {"project": {"name": "p"}}, token=token)
    assert (user.status, project.status) == (201, 201)
    assert user.body["user"]["domain_id"] == project.body["project"]["domain_id"] == domain["id"]
    grant = f"/projects/{project.body['project']['id']}/users/{user.body['user']['id']}/roles/"
    assert (await cloud.call("PUT", grant + cloud.roles["member"], token=token)).status == 204
    assert (await cloud.call("PUT", grant + cloud.roles["admin"], token=token)).status == 403
    outsider, foreign, _ = await cloud.member()
    away = f"/projects/{foreign['id']}/users/{user.body['user']['id']}/roles/{cloud.roles['member']}"
    assert (await cloud.call("PUT", away, token=token)).status == 403
    assert (await cloud.call("PATCH", f"/users/{outsider['id']}", {"user": {"name": "x"}}, token=token)).status == 403
    body = {"user": {"name": "x", "domain_id": "default"}}
    assert (await cloud.call("POST", "/users", body, token=token)).status == 403
    assert (
        await cloud.call("POST", "/projects", {"project": {"name": "x", "is_domain": True}}, token=token)
    ).status == 403
    listed = (await cloud.call("GET", "/users", token=token)).body["users"]
    assert {one["domain_id"] for one in listed} == {domain["id"]}
    assert [one["id"] for one in (await cloud.call("GET", "/domains", token=token)).body["domains"]] == [domain["id"]]
    roles = {one["name"] for one in (await cloud.call("GET", "/roles", token=token)).body["roles"]}
    assert roles == {"manager", "member", "reader"}


async def _credential(cloud: Cloud, user: Any, token: str, **asked: Any) -> Any:
    path = f"/users/{user['id']}/application_credentials"
    answer = await cloud.call("POST", path, {"application_credential": {"name": "c", **asked}}, token=token)
    assert answer.status == 201, answer
    return answer.body["application_credential"]


async def _login(cloud: Cloud, credential: Any, secret: str | None = None, scope: Any = None) -> Any:
    shown = {"id": credential["id"], "secret": secret or credential["secret"]}
    return await cloud.auth({"methods": ["application_credential"], "application_credential": shown}, scope)


async def test_an_application_credential_opens_its_project_with_its_roles(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    made = await _credential(cloud, user, token, roles=[{"name": "reader"}])
    answer = await _login(cloud, made)
    assert answer.status == 201
    shown = answer.body["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    assert shown["project"]["id"] == project["id"]
    assert shown["application_credential"] == {"id": made["id"], "name": "c", "restricted": True}
    by_name = {"name": "c", "secret": made["secret"], "user": {"name": user["name"], "domain": {"id": "default"}}}
    again = await cloud.auth({"methods": ["application_credential"], "application_credential": by_name})
    assert again.status == 201
    path = f"/users/{user['id']}/application_credentials/{made['id']}"
    one = (await cloud.call("GET", path, token=token)).body["application_credential"]
    assert "secret" not in one
    assert (await _login(cloud, made, "wrong")).status == 401
    assert (await _login(cloud, {"id": "0" * 32, "secret": "x"})).status == 401
    assert (await cloud.call("DELETE", path, token=token)).status == 204
    assert not await cloud.works(answer.headers["X-Subject-Token"])
    assert (await _login(cloud, made)).status == 401


async def test_an_application_credential_gives_no_more_than_its_owner_has(cloud: Cloud) -> None:
    """Security class 8: roles of what is derived are among the roles of what it derives from."""
    user, _, token = await cloud.member()
    path = f"/users/{user['id']}/application_credentials"
    wrong = {"application_credential": {"name": "x", "roles": [{"name": "admin"}]}}
    assert (await cloud.call("POST", path, wrong, token=token)).status == 400
    made = await _credential(cloud, user, token)
    derived = (await _login(cloud, made)).headers["X-Subject-Token"]
    assert (await _login(cloud, made, scope={"project": {"id": cloud.project_id}})).status == 401
    assert (await cloud.again(derived, {"project": {"id": cloud.project_id}})).status == 403
    assert (await cloud.again(derived, {"system": {"all": True}})).status == 403
    assert (await cloud.again(derived, "unscoped")).status == 403
    rescoped = await cloud.again(derived)
    assert [role["name"] for role in rescoped.body["token"]["roles"]] == ["member", "reader"]
    for method, where, body in (
        ("POST", path, {"application_credential": {"name": "y"}}),
        ("DELETE", f"{path}/{made['id']}", None),
    ):
        assert (await cloud.call(method, where, body, token=derived)).status == 403
        assert (await cloud.call(method, where, body, token=rescoped.headers["X-Subject-Token"])).status == 403


async def test_an_application_credential_expires_and_so_do_its_tokens(cloud: Cloud) -> None:
    user, _, token = await cloud.member()
    path = f"/users/{user['id']}/application_credentials"
    past = {"application_credential": {"name": "x", "expires_at": "2001-01-01T00:00:00"}}
    assert (await cloud.call("POST", path, past, token=token)).status == 400
    from datetime import timedelta

    from skybus import clock

    soon = (clock.now() + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.000000")
    made = await _credential(cloud, user, token, expires_at=soon, secret="of my own")
    answer = await _login(cloud, made, "of my own")
    assert answer.body["token"]["expires_at"] == soon + "Z"


async def test_a_strangers_application_credentials_are_out_of_reach(cloud: Cloud) -> None:
    """Security class 14."""
    user, _, token = await cloud.member()
    _, _, other = await cloud.member()
    made = await _credential(cloud, user, token)
    path = f"/users/{user['id']}/application_credentials"
    body = {"application_credential": {"name": "z"}}
    for method, where, sent in (
        ("GET", path, None),
        ("POST", path, body),
        ("GET", f"{path}/{made['id']}", None),
        ("DELETE", f"{path}/{made['id']}", None),
    ):
        assert (await cloud.call(method, where, sent, token=other)).status == 403, (method, where)
    assert (await cloud.call("POST", path, body)).status == 403
    assert (await cloud.call("GET", path)).status == 200
