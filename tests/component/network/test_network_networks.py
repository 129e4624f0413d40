"""Networks over HTTP."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from skybus.store import Store

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_network_is_made_shown_changed_and_deleted(net: Any) -> None:
    made = await net.make("network", name="blue")
    assert made["status"] == "ACTIVE"
    assert made["mtu"] == 1450
    assert made["project_id"] == made["tenant_id"] == "p1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert "provider:segmentation_id" not in made
    assert (await net.get(f"/networks/{made['id']}"))["network"] == made
    answer = await net.call("PUT", f"/networks/{made['id']}", {"network": {"name": "red", "admin_state_up": False}})
    assert answer.status == 200
    assert (answer.body["network"]["name"], answer.body["network"]["admin_state_up"]) == ("red", False)
    assert answer.body["network"]["revision_number"] == made["revision_number"] + 1
    assert (await net.call("DELETE", f"/networks/{made['id']}")).status == 204
    await net.refused("GET", f"/networks/{made['id']}", status=404, kind="NetworkNotFound")


async def test_every_change_of_a_network_is_announced(net: Any, store: Store) -> None:
    network, _ = await net.network_with_subnet()
    await net.call("PUT", f"/networks/{network['id']}", {"network": {"name": "x"}})
    await net.call("DELETE", f"/networks/{network['id']}")
    rows = await store.fetch("SELECT type, project_id, body::json->'changed' AS changed FROM bus.outbox ORDER BY id")
    assert {row["project_id"] for row in rows} == {"p1"}
    kinds = [row["type"].removeprefix("skybus.network.").removesuffix(".v1") for row in rows]
    assert kinds == [
        "network.created", "subnet.created", "port.created", "network.updated", "port.deleted", "network.deleted",
    ]  # fmt: skip
    assert rows[3]["changed"] == ["name"]


async def test_the_administrator_sees_how_a_network_is_made_and_may_say_so(net: Any) -> None:
    named = {"provider:network_type": "vxlan", "provider:segmentation_id": 77}
    made = await net.make("network", net.ADMIN, name="x", **named)
    assert {key: made[key] for key in named} == named
    await net.refused("POST", "/networks", {"network": named}, net.ADMIN, status=409, kind="TunnelIdInUse")
    await net.refused("POST", "/networks", {"network": named}, status=403, kind="PolicyNotAuthorized")
    flat = {"provider:network_type": "flat", "provider:physical_network": "wire", "router:external": True}
    wire = await net.make("network", net.ADMIN, **flat)
    assert (wire["mtu"], wire["provider:segmentation_id"], wire["router:external"]) == (1500, None, True)
    await net.refused("POST", "/networks", {"network": flat}, net.ADMIN, status=409, kind="FlatNetworkInUse")
    await net.refused(
        "POST", "/networks", {"network": {"provider:network_type": "flat"}}, net.ADMIN, status=400, kind="InvalidInput"
    )


async def test_each_network_gets_a_segment_of_its_own(net: Any) -> None:
    answers = await asyncio.gather(*(net.call("POST", "/networks", {"network": {}}, net.ADMIN) for _ in range(12)))
    numbers = {answer.body["network"]["provider:segmentation_id"] for answer in answers}
    assert len(numbers) == 12


async def test_another_projects_network_does_not_exist_unless_it_is_shared_or_external(net: Any) -> None:
    """Security class 14: cross-tenant access."""
    mine = await net.make("network", name="mine")
    shared = await net.make("network", net.ADMIN, name="shared", shared=True)
    outside = await net.make("network", net.ADMIN, name="outside", **{"router:external": True})
    seen = {one["name"] for one in (await net.get("/networks", net.BOB))["networks"]}
    assert seen == {"shared", "outside"}
    for method, body in (("GET", None), ("PUT", {"network": {"name": "x"}}), ("DELETE", None)):
        await net.refused(method, f"/networks/{mine['id']}", body, net.BOB, status=404, kind="NetworkNotFound")
    for visible in (shared, outside):
        await net.get(f"/networks/{visible['id']}", net.BOB)
        await net.refused("DELETE", f"/networks/{visible['id']}", None, net.BOB, status=403, kind="PolicyNotAuthorized")
        await net.refused(
            "PUT",
            f"/networks/{visible['id']}",
            {"network": {"name": "x"}},
            net.BOB,
            status=403,
            kind="PolicyNotAuthorized",
        )
    seen = {one["name"] for one in (await net.get("/networks", net.ADMIN))["networks"]}
    assert seen == {"mine", "shared", "outside"}
    assert (await net.get(f"/networks/{mine['id']}"))["network"]["name"] == "mine"


async def test_a_reader_changes_nothing_and_a_member_shares_nothing(net: Any) -> None:
    """Security class 14: the policy applies to each verb and each attribute."""
    network = await net.make("network")
    await net.refused("POST", "/networks", {"network": {}}, net.READER, status=403)
    await net.refused("DELETE", f"/networks/{network['id']}", None, net.READER, status=403)
    for attribute in ("shared", "router:external", "is_default"):
        for method, path in (("POST", "/networks"), ("PUT", f"/networks/{network['id']}")):
            await net.refused(method, path, {"network": {attribute: True}}, status=403, kind="PolicyNotAuthorized")
        await net.make("network", **{attribute: False})
    await net.refused("POST", "/networks", {"network": {"project_id": "p2"}}, status=403)
    assert (await net.make("network", net.ADMIN, tenant_id="p2"))["project_id"] == "p2"
    assert (await net.call("GET", "/networks", token="")).status == 401


async def test_many_networks_are_made_in_one_request_or_none(net: Any) -> None:
    answer = await net.call("POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert [one["name"] for one in answer.body["networks"]] == ["a", "b"]
    await net.refused(
        "POST", "/networks", {"networks": [{"name": "c"}, {"mtu": 9000}]}, status=400, kind="InvalidInput"
    )
    assert len((await net.get("/networks"))["networks"]) == 2


async def test_bad_input_is_refused_and_changes_nothing(net: Any, store: Store) -> None:
    """Security class 16: unbounded input."""
    bad = [
        {"network": {"name": "x" * 10_000}},
        {"network": {"name": 5}},
        {"network": {"name": "a\0b"}},
        {"network": {"colour": "red"}},
        {"network": {"admin_state_up": "yes"}},
        {"network": {"mtu": -1}},
        {"network": {"provider:segmentation_id": 2**24}},
        {"network": []},
        {"networks": []},
        {"networks": [{}] * 101},
        {"port": {}},
        {},
        [],
    ]
    for body in bad:
        await net.refused("POST", "/networks", body, net.ADMIN, status=400)
    answer = await net.call("POST", "/networks", data=b'{"network": ', headers={"Content-Type": "application/json"})
    assert (answer.status, answer.body["NeutronError"]["type"]) == (400, "HTTPBadRequest")
    for path in ("/networks/nonsense", f"/networks/{NOBODY}"):
        await net.refused("GET", path, status=404, kind="NetworkNotFound")
    await net.refused("GET", "/networks/x%00y", status=400, kind="HTTPBadRequest")
    assert await store.fetchval("SELECT count(*) FROM network.network") == 0
    assert await store.fetchval("SELECT count(*) FROM bus.outbox") == 0


async def test_lists_filter_sort_page_and_choose_fields(net: Any) -> None:
    for name in ("d", "a", "c", "b", "e"):
        await net.make("network", name=name)
    assert [one["name"] for one in (await net.get("/networks?name=a&name=b&sort_key=name"))["networks"]] == ["a", "b"]
    page = await net.get("/networks?limit=2&sort_key=name&fields=name&fields=id")
    assert [set(one) for one in page["networks"]] == [{"id", "name"}] * 2
    names, url = [one["name"] for one in page["networks"]], page["networks_links"][0]
    while url:
        assert url["rel"] == "next"
        page = (await net.client.call("GET", url["href"], token=net.ALICE)).body
        names += [one["name"] for one in page["networks"]]
        links = {link["rel"]: link for link in page["networks_links"]}
        url, back = links.get("next"), links["previous"]
    assert names == ["a", "b", "c", "d", "e"]
    page = (await net.client.call("GET", back["href"], token=net.ALICE)).body
    assert [one["name"] for one in page["networks"]] == ["c", "d"]
    assert [link["rel"] for link in page["networks_links"]] == ["next", "previous"]
    assert (await net.get("/networks?id=nonsense"))["networks"] == []
    assert (await net.get("/networks?shared=True"))["networks"] == []
    for query in (
        "colour=red",
        "limit=-1",
        "sort_key=colour",
        "shared=perhaps",
        "name=%00",
        "sort_key=name&sort_dir=up",
    ):
        await net.refused("GET", f"/networks?{query}", status=400)
    await net.refused("GET", "/networks?marker=nonsense", status=404)
    await net.refused("GET", "/networks?provider:network_type=vxlan", status=403)
    assert len((await net.get("/networks?provider:network_type=vxlan", net.ADMIN))["networks"]) == 5


async def test_a_network_is_not_deleted_under_a_port(net: Any) -> None:
    network, subnet = await net.network_with_subnet()
    port = await net.make("port", network_id=network["id"])
    await net.refused("DELETE", f"/networks/{network['id']}", status=409, kind="NetworkInUse")
    await net.call("DELETE", f"/ports/{port['id']}")
    assert (await net.call("DELETE", f"/networks/{network['id']}")).status == 204
    await net.refused("GET", f"/subnets/{subnet['id']}", status=404, kind="SubnetNotFound")
    assert (await net.get("/ports"))["ports"] == []


async def test_ports_and_the_deletion_of_their_network_race_without_a_500(net: Any) -> None:
    for _ in range(5):
        network, _ = await net.network_with_subnet()
        calls = [net.call("POST", "/ports", {"port": {"network_id": network["id"]}}) for _ in range(3)]
        answers = await asyncio.gather(*calls, net.call("DELETE", f"/networks/{network['id']}"))
        statuses = [answer.status for answer in answers]
        assert set(statuses[:3]) <= {201, 404}
        assert statuses[3] == (204 if statuses[:3].count(201) == 0 else 409)


async def test_a_quota_holds_when_many_ask_at_once(net: Any) -> None:
    """Security class 16: a quota on every creatable thing."""
    assert (await net.call("PUT", "/quotas/p1", {"quota": {"network": 3}}, net.ADMIN)).status == 200
    answers = await asyncio.gather(*(net.call("POST", "/networks", {"network": {}}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 5
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.body["NeutronError"]["type"] == "OverQuota"
    await net.make("network", net.BOB)
