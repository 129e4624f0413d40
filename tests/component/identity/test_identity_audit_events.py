"""The audit trail: who did what to what, when, from where; and that it is bounded, and keeps no secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from identity_cloud import PASSWORD, Cloud

from skybus import clock
from skybus.errors import Outage
from skybus.identity.audit.audit_events import audit_events_forget
from skybus.identity.audit.audit_journal import MOST, TOO_MANY, Journal
from skybus.ids import new_hex_id
from skybus.store import Store
from support.front import Answer


async def trail(cloud: Cloud, query: str = "", token: str | None = None) -> list[Any]:
    """What the trail shows, newest first."""
    await cloud.identity.journal.write()
    answer = await cloud.call("GET", f"/audit_events{query}", token=token)
    assert answer.status == 200, answer
    return list(answer.body["audit_events"])


async def test_a_change_is_kept_with_who_what_when_and_from_where(cloud: Cloud) -> None:
    global_id = "req-0190d3e6-7c51-7000-8000-000000000001"
    began = clock.now()
    headers = {"X-Openstack-Request-Id": global_id, "User-Agent": "openstack 7\u00e4"}
    made = await cloud.call("POST", "/users", {"user": {"name": "eve", "password": PASSWORD}}, headers=headers)
    user_id = made.body["user"]["id"]
    (event,) = await trail(cloud, f"?target_id={user_id}")
    assert (event["action"], event["outcome"], event["reason"], event["times"]) == (
        "identity.user.created",
        "success",
        None,
        1,
    )
    assert event["target"] == {"typeURI": "data/security/account/user", "type": "user", "id": user_id}
    who = event["initiator"]
    assert (who["user_id"], who["project_id"], who["system"]) == (cloud.admin_id, cloud.project_id, False)
    assert who["token_audit_id"] == cloud.identity.tokens.claims(cloud.admin_token).audit_ids[0]
    assert who["host"]["address"] == "127.0.0.1"
    assert who["host"]["agent"].startswith("openstack 7")
    assert who["request_id"] == made.headers["X-Openstack-Request-Id"]
    assert who["global_request_id"] == global_id
    assert event["request"] == "POST /identity/v3/users"
    assert event["details"] == {"user_id": user_id, "domain_id": "default", "name": "eve"}
    assert began.isoformat() <= event["eventTime"].replace("Z", "+00:00") <= clock.now().isoformat()
    shown = await cloud.call("GET", f"/audit_events/{event['id']}")
    assert shown.body["audit_event"] == event
    assert event["links"]["self"].endswith(f"/identity/v3/audit_events/{event['id']}")


async def test_who_acts_by_a_delegation_is_known_by_it(cloud: Cloud) -> None:
    """Security class 8: with an impersonating trust, the named user is not who acts."""
    trustor, project, token = await cloud.member()
    trustee = await cloud.made("user", password=PASSWORD)
    asked = {"trustor_user_id": trustor["id"], "trustee_user_id": trustee["id"], "impersonation": True}
    asked |= {"project_id": project["id"], "roles": [{"name": "member"}]}
    trust = (await cloud.call("POST", "/OS-TRUST/trusts", {"trust": asked}, token)).body["trust"]
    by_trust = await cloud.token(trustee["id"], scope={"OS-TRUST:trust": {"id": trust["id"]}})
    denied = await cloud.call("PATCH", f"/users/{trustor['id']}", {"user": {"enabled": False}}, token=by_trust)
    assert denied.status == 403
    events = await trail(cloud, f"?credential_id={trust['id']}")
    assert [event["action"] for event in events] == ["identity.denied", "identity.authenticate"]
    for event in events:
        assert event["initiator"]["user_id"] == trustor["id"]
        assert event["initiator"]["credential"] == {"type": "trust", "id": trust["id"]}
    assert all(one["initiator"]["credential"] is None for one in await trail(cloud, "?action=identity.user.*"))


async def test_a_change_that_fails_is_not_kept_as_done(cloud: Cloud) -> None:
    domain = await cloud.made("domain")
    assert (await cloud.call("DELETE", f"/domains/{domain['id']}")).status == 403
    outcomes = [(one["action"], one["outcome"]) for one in await trail(cloud, f"?target_id={domain['id']}")]
    assert outcomes == [("identity.denied", "failure"), ("identity.domain.created", "success")]


async def test_what_a_caller_may_not_is_kept(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    victim = await cloud.made("user")
    body = {"user": {"enabled": False}}
    assert (await cloud.call("PATCH", f"/users/{victim['id']}", body, token=token)).status == 403
    assert (await cloud.call("GET", f"/users/{victim['id']}", token=token)).status == 403
    (event,) = await trail(cloud, "?action=identity.denied")
    assert (event["outcome"], event["reason"]) == ("failure", "policy.forbidden")
    assert (event["initiator"]["user_id"], event["initiator"]["project_id"]) == (user["id"], project["id"])
    assert (event["target"]["type"], event["target"]["id"]) == ("user", victim["id"])
    assert event["request"] == "PATCH /identity/v3/users/{user_id}"


async def test_logins_are_kept_good_and_bad(cloud: Cloud) -> None:
    user = await cloud.made("user", password=PASSWORD)
    for _ in range(3):
        assert (await cloud.password(user["id"], "wrong")).status == 401
    named = {"name": user["name"], "domain": {"name": "Default"}, "password": "wrong"}
    assert (await cloud.auth({"methods": ["password"], "password": {"user": named}})).status == 401
    answer = await cloud.password(user["id"])
    events = await trail(cloud, f"?user_id={user['id']}&action=identity.authenticate")
    good = [one for one in events if one["outcome"] == "success"]
    assert [one["times"] for one in good] == [1]
    assert good[0]["details"]["methods"] == ["password"]
    assert good[0]["initiator"]["token_audit_id"] == answer.body["token"]["audit_ids"][0]
    assert sorted(one["times"] for one in events if one["outcome"] == "failure") == [1, 3]
    assert {one["reason"] for one in events if one["outcome"] == "failure"} == {"identity.unauthorized"}


async def test_whatever_way_a_login_fails_it_is_kept(cloud: Cloud) -> None:
    user, project, token = await cloud.member()
    trustee, stranger = [await cloud.made("user", password=PASSWORD) for _ in range(2)]
    asked = {"trustor_user_id": user["id"], "trustee_user_id": trustee["id"], "impersonation": False}
    asked |= {"project_id": project["id"], "roles": [{"name": "member"}]}
    trust = (await cloud.call("POST", "/OS-TRUST/trusts", {"trust": asked}, token)).body["trust"]
    assert (await cloud.password(stranger["id"], scope={"OS-TRUST:trust": {"id": trust["id"]}})).status == 403
    assert (await cloud.password(stranger["id"], scope={"project": {"id": project["id"]}})).status == 401
    assert (await cloud.again("sky1.nonsense")).status == 404
    events = await trail(cloud, "?action=identity.authenticate&outcome=failure")
    reasons = {(event["reason"], event["initiator"]["user_id"]) for event in events}
    assert reasons == {
        ("policy.forbidden", stranger["id"]),
        ("identity.unauthorized", stranger["id"]),
        ("resource.not-found", None),
    }


async def test_a_login_that_needs_more_methods_is_kept_as_such(cloud: Cloud) -> None:
    options = {"multi_factor_auth_rules": [["password", "totp"]]}
    user = await cloud.made("user", password=PASSWORD, options=options)
    answer = await cloud.password(user["id"])
    assert "Openstack-Auth-Receipt" in answer.headers
    (event,) = await trail(cloud, f"?user_id={user['id']}&action=identity.authenticate")
    assert (event["outcome"], event["reason"]) == ("failure", "identity.more-methods-needed")


async def test_what_nobody_is_called_is_not_kept(cloud: Cloud) -> None:
    """Security class 18: people type their passwords where their names belong."""
    canary = f"canary-{new_hex_id()}"
    for user in (
        {"name": canary, "domain": {"id": "default"}, "password": "x"},
        {"name": "admin", "domain": {"name": canary}, "password": "x"},
        {"id": canary, "password": canary},
    ):
        assert (await cloud.auth({"methods": ["password"], "password": {"user": user}})).status == 401
    secret = {"id": canary, "secret": canary}
    identity = {"methods": ["application_credential"], "application_credential": secret}
    assert (await cloud.auth(identity)).status == 401
    events = await trail(cloud, "?outcome=failure")
    assert len(events) == 4
    assert {one["initiator"]["user_id"] for one in events} == {None}
    assert canary not in str(events)


async def test_filters_and_pages_lead_through_the_trail(cloud: Cloud) -> None:
    users = [await cloud.made("user") for _ in range(5)]
    middle = clock.now()
    groups = [await cloud.made("group") for _ in range(2)]
    for group in groups:
        await cloud.call("DELETE", f"/groups/{group['id']}")
    everything = await trail(cloud)
    ids = [one["id"] for one in everything]
    assert ids == sorted(ids, reverse=True)
    found: list[str] = []
    answer = await cloud.call("GET", "/audit_events?limit=3")
    while True:
        found += [one["id"] for one in answer.body["audit_events"]]
        if answer.body["links"]["next"] is None:
            break
        assert len(answer.body["audit_events"]) == 3
        answer = await cloud.client.call("GET", answer.body["links"]["next"], token=cloud.admin_token)
    assert found == ids

    async def targets(query: str) -> set[str]:
        return {one["target"]["id"] for one in await trail(cloud, query)}

    assert await targets("?action=identity.user.created") == {user["id"] for user in users}
    assert await targets("?action=identity.group.*") == {group["id"] for group in groups}
    assert await targets("?target_type=group&outcome=success") == {group["id"] for group in groups}
    since = quote(middle.isoformat())
    assert await targets(f"?action=*.created&since={since}") == {group["id"] for group in groups}
    assert await targets(f"?action=*.created&until={since}") == {user["id"] for user in users}
    request_id = everything[0]["initiator"]["request_id"]
    assert [one["id"] for one in await trail(cloud, f"?request_id={request_id}")] == [ids[0]]
    assert await trail(cloud, "?user_id=nobody") == []
    assert await trail(cloud, "?address=10.0.0.1") == []
    for wrong in ("since=yesterday", "until=0001-01-01", "limit=0", "limit=x", "marker=1", "limit=%C2%B2"):
        assert (await cloud.call("GET", f"/audit_events?{wrong}")).status == 400, wrong


async def test_an_administrator_and_the_systems_reader_alone_read_the_trail(cloud: Cloud) -> None:
    """Security class 14."""
    (event, *_) = await trail(cloud)
    auditor = await cloud.made("user", password=PASSWORD)
    await cloud.call("PUT", f"/system/users/{auditor['id']}/roles/{cloud.roles['reader']}")
    system = await cloud.token(auditor["id"], scope={"system": {"all": True}})
    _, _, member = await cloud.member()
    _, _, manager = await cloud.member("manager")
    for token, status in ((system, 200), (member, 403), (manager, 403)):
        for path in ("/audit_events", f"/audit_events/{event['id']}"):
            assert (await cloud.call("GET", path, token=token)).status == status
    for nowhere in ("0190d3e6-7c51-7000-8000-000000000001", "nonsense", "%20"):
        assert (await cloud.call("GET", f"/audit_events/{nowhere}")).status == 404


async def test_a_flood_of_bad_logins_fills_neither_memory_nor_table(cloud: Cloud, store: Store) -> None:
    """Security class 16."""
    journal = cloud.identity.journal
    await trail(cloud)
    noted: list[Answer] = []
    credential = {"id": "", "secret": "x"}
    for number in range(MOST + 100):
        credential["id"] = f"{number:032x}"
        identity = {"methods": ["application_credential"], "application_credential": credential}
        noted.append(await cloud.auth(identity))
    assert {answer.status for answer in noted} == {401}
    assert len(journal._noted) == MOST + 1
    events = await trail(cloud, "?outcome=failure&limit=1000")
    assert len(events) == MOST + 1
    assert [one["times"] for one in events if one["reason"] == TOO_MANY] == [100]
    assert sum(one["times"] for one in events) == MOST + 100


async def test_the_trail_is_written_when_the_database_is_back(cloud: Cloud, store: Store) -> None:
    class Away(Store):
        def __init__(self) -> None:
            pass

        def transaction(self) -> Any:
            raise Outage("The database does not answer at the moment.")

    assert (await cloud.password(cloud.admin_id, "wrong")).status == 401
    journal = cloud.identity.journal
    journal.store = Away()
    await journal.write()
    journal.store = store
    assert [one["initiator"]["user_id"] for one in await trail(cloud, "?outcome=failure")] == [cloud.admin_id]


async def test_what_is_old_is_forgotten_in_small_bites(cloud: Cloud, store: Store) -> None:
    for _ in range(5):
        await cloud.made("group")
    count = len(await trail(cloud))
    async with store.transaction() as tx:
        assert await audit_events_forget(tx, clock.now() - timedelta(days=1), 100) == 0
        assert await audit_events_forget(tx, clock.now() + timedelta(seconds=1), 3) == 3
    left = await trail(cloud)
    assert len(left) == count - 3
    assert left[0]["action"] == "identity.group.created", "the oldest go first"


@pytest.mark.parametrize("times", [1, 4])
async def test_what_is_alike_is_one_row(cloud: Cloud, times: int) -> None:
    journal = Journal(cloud.identity.store)
    cloud.identity.journal = journal
    for _ in range(times):
        await cloud.password(cloud.admin_id)
    (event,) = await trail(cloud, f"?user_id={cloud.admin_id}&action=identity.authenticate")
    assert event["times"] == times
