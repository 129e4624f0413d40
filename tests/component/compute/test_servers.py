"""Servers through the API: what is accepted, what is refused, what is seen."""

from __future__ import annotations

from typing import Any

from skybus.ids import new_id

from .conftest import ADMIN, ALICE, BOB, READER, Compute, make_image


async def test_a_server_that_is_accepted_is_building_and_has_an_operation(compute: Compute) -> None:
    answer = await compute.call("POST", "/servers", compute.asked(name="web 1"))
    assert answer.status == 202, answer
    server = answer.body["server"]
    assert answer.headers["Location"] == server["links"][0]["href"]
    assert len(server["adminPass"]) >= 12
    shown = await compute.show(server["id"])
    assert (shown["status"], shown["OS-EXT-STS:vm_state"]) == ("BUILD", "building")
    assert shown["OS-EXT-STS:task_state"] == "scheduling"
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "web-1"
    assert shown["addresses"] == {}
    operation = await compute.store.fetchrow("SELECT * FROM saga.operation WHERE resource_id = $1", server["id"])
    assert (operation["kind"], operation["resource_type"], operation["state"]) == ("server_create", "server", "running")
    assert "skybus.compute.server.requested.v1" in await compute.events()


async def test_a_server_that_booted_is_active_and_shows_its_addresses(compute: Compute) -> None:
    server_id = await compute.active()
    shown = await compute.show(server_id)
    assert (shown["status"], shown["OS-EXT-STS:power_state"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", 1, None)
    (address,) = shown["addresses"]["net"]
    assert address["addr"].startswith("10.7.")
    assert address["OS-EXT-IPS:type"] == "fixed"
    assert shown["hostId"]
    assert shown["OS-EXT-AZ:availability_zone"] == "nova"
    assert shown["OS-SRV-USG:launched_at"]
    assert "OS-EXT-SRV-ATTR:host" not in shown
    assert (await compute.show(server_id, token=ADMIN))["OS-EXT-SRV-ATTR:host"] == "host-1"


async def test_a_boot_that_was_placed_nowhere_leaves_the_reasons_in_the_fault(compute: Compute) -> None:
    from skybus.compute.server_life import server_fail

    server_id = await compute.create()
    details = {
        "hosts": 3,
        "removed": {"ram": 2, "disabled": 1},
        "closest": [{"host": "host-1", "reason": "16 MiB short"}],
    }
    async with compute.store.transaction() as tx:
        await server_fail(tx, server_id, "placement.no-valid-host", "There are not enough hosts available.", details)
    shown = await compute.show(server_id)
    assert shown["status"] == "ERROR"
    assert shown["fault"]["message"].startswith("No valid host was found.")
    assert "ram removed 2" in shown["fault"]["message"]
    assert "details" not in shown["fault"], "details name hosts, which are not the owner's to know"
    assert "16 MiB short" in (await compute.show(server_id, token=ADMIN))["fault"]["details"]


REFUSED: tuple[tuple[dict[str, Any], int], ...] = (
    ({"name": ""}, 400),
    ({"name": "x" * 10_000}, 400),
    ({"name": 12345}, 400),
    ({"name": " vm"}, 400),
    ({"name": "a\nb"}, 400),
    ({"flavorRef": "-1"}, 400),
    ({"flavorRef": new_id()}, 400),
    ({"imageRef": "-1"}, 400),
    ({"imageRef": new_id()}, 400),
    ({"imageRef": ...}, 400),
    ({"networks": [{"uuid": "nonsense"}]}, 400),
    ({"networks": [{"uuid": new_id()}]}, 400),
    ({"networks": [{"port": new_id()}]}, 400),
    ({"networks": "any"}, 400),
    ({"networks": ...}, 400),
    ({"key_name": "nobodys"}, 400),
    ({"user_data": "not base64!"}, 400),
    ({"user_data": "A" * 65_536}, 400),
    ({"metadata": {"k" * 256: "v"}}, 400),
    ({"metadata": {"k": "v" * 256}}, 400),
    ({"metadata": {"k": 1}}, 400),
    ({"metadata": {f"k{i}": "v" for i in range(129)}}, 403),
    ({"security_groups": [{"name": "nobodys"}]}, 400),
    ({"security_groups": [{"name": new_id()}]}, 400),
    ({"availability_zone": "mars"}, 400),
    ({"availability_zone": "nova:host-1"}, 403),
    ({"host": "host-1"}, 403),
    ({"min_count": 0}, 400),
    ({"min_count": 3, "max_count": 2}, 400),
    ({"min_count": 11}, 403),
    ({"max_count": 100_000}, 400),
    ({"accessIPv4": "1.1.1.1.1.1"}, 400),
    ({"accessIPv6": "notvalid"}, 400),
    ({"tags": ["a,b"]}, 400),
    ({"hostname": "under_score"}, 400),
    ({"hostname": "-x"}, 400),
    ({"personality": []}, 400),
    ({"nonsense": 1}, 400),
    ({"block_device_mapping_v2": [{"source_type": "volume", "uuid": new_id(), "boot_index": 0}]}, 400),
    ({"block_device_mapping_v2": [{"source_type": "blank", "destination_type": "volume"}]}, 400),
    ({"config_drive": "perhaps"}, 400),
)


async def test_a_bad_request_gets_its_4xx_and_leaves_nothing(compute: Compute) -> None:
    """Security classes 14, 15 and 16: odd, foreign and unbounded input."""
    for fields, status in REFUSED:
        answer = await compute.call("POST", "/servers", compute.asked(**fields))
        assert answer.status == status, (fields, answer)
        ((kind, said),) = answer.body.items()
        assert said["code"] == status
        assert kind == {400: "badRequest", 403: "forbidden"}[status]
    assert await compute.store.fetchval("SELECT count(*) FROM compute.server") == 0
    assert await compute.store.fetchval("SELECT count(*) FROM saga.operation") == 0
    assert await compute.store.fetchval("SELECT count(*) FROM network.port WHERE server_id IS NOT NULL") == 0


async def test_malformed_json_is_a_bad_request(compute: Compute) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await compute.client.call("POST", "/compute/v2.1/servers", data=b'{"server": ', headers=headers)
    assert answer.status == 400
    assert "badRequest" in answer.body


async def test_a_field_is_refused_before_its_microversion(compute: Compute) -> None:
    for field, value, since in (
        ("description", "text", 19),
        ("tags", ["a"], 52),
        ("trusted_image_certificates", ["a"], 63),
        ("hostname", "here", 90),
    ):
        body = compute.asked(networks="auto" if since > 37 else ..., **{field: value})
        assert (await compute.call("POST", "/servers", body, version=f"2.{since - 1}")).status == 400, field
        assert (await compute.call("POST", "/servers", body, version=f"2.{since}")).status == 202, field


async def test_several_servers_share_a_reservation_and_each_has_its_operation(compute: Compute) -> None:
    body = compute.asked(min_count=2, max_count=3, return_reservation_id=True)
    answer = await compute.call("POST", "/servers", body)
    assert answer.status == 202
    assert answer.body["reservation_id"].startswith("r-")
    listed = (await compute.get("/servers?sort_key=display_name&sort_dir=asc"))["servers"]
    assert [one["name"] for one in listed] == ["vm-1", "vm-2", "vm-3"]
    assert await compute.store.fetchval("SELECT count(*) FROM saga.operation WHERE state = 'running'") == 3


async def test_quota_bounds_what_is_granted_between_min_and_max(compute: Compute) -> None:
    """Security class 20: the quota is counted in the inserting transaction."""
    await compute.call("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 2}}, token=ADMIN)
    body = compute.asked(min_count=1, max_count=5)
    assert (await compute.call("POST", "/servers", body)).status == 202
    assert len((await compute.get("/servers"))["servers"]) == 2
    refused = await compute.call("POST", "/servers", compute.asked())
    assert refused.status == 403
    assert "Quota exceeded for instances" in refused.body["forbidden"]["message"]


async def test_a_key_that_is_deleted_stays_in_the_server_made_with_it(compute: Compute) -> None:
    made = await compute.call("POST", "/os-keypairs", {"keypair": {"name": "k"}}, version="2.91")
    assert made.status == 201
    server_id = await compute.create(key_name="k")
    await compute.call("DELETE", "/os-keypairs/k")
    row = await compute.store.fetchrow("SELECT key_name, public_key FROM compute.server WHERE id = $1", server_id)
    assert (row["key_name"], row["public_key"]) == ("k", made.body["keypair"]["public_key"])


async def test_an_image_that_needs_more_memory_than_the_flavor_has_is_refused(compute: Compute) -> None:
    image_id = await make_image(compute.store, min_ram=4096)
    answer = await compute.call("POST", "/servers", compute.asked(imageRef=image_id))
    assert answer.status == 400
    assert "memory is too small" in answer.body["badRequest"]["message"]


async def test_another_projects_private_image_does_not_exist(compute: Compute) -> None:
    """Security class 14: another tenant's things."""
    image_id = await make_image(compute.store, visibility="private", owner="p2")
    assert (await compute.call("POST", "/servers", compute.asked(imageRef=image_id))).status == 400
    assert (await compute.call("POST", "/servers", compute.asked(imageRef=image_id), token=BOB)).status == 202


ROUTES_OF_A_SERVER: tuple[tuple[str, str, Any], ...] = (
    ("GET", "", None),
    ("PUT", "", {"server": {"name": "mine"}}),
    ("DELETE", "", None),
    ("POST", "/action", {"os-stop": None}),
    ("POST", "/action", {"reboot": {"type": "HARD"}}),
    ("POST", "/action", {"os-getConsoleOutput": {}}),
    ("POST", "/action", {"lock": None}),
    ("POST", "/action", {"os-resetState": {"state": "error"}}),
    ("GET", "/metadata", None),
    ("POST", "/metadata", {"metadata": {"a": "b"}}),
    ("PUT", "/metadata/a", {"meta": {"a": "b"}}),
    ("DELETE", "/metadata/a", None),
    ("GET", "/tags", None),
    ("PUT", "/tags/x", None),
    ("DELETE", "/tags", None),
    ("GET", "/ips", None),
    ("GET", "/os-interface", None),
    ("GET", "/os-instance-actions", None),
    ("GET", "/os-volume_attachments", None),
    ("POST", "/os-volume_attachments", {"volumeAttachment": {"volumeId": new_id()}}),
    ("DELETE", f"/os-volume_attachments/{new_id()}", None),
)


async def test_another_projects_server_is_not_there(compute: Compute) -> None:
    """Security class 14: every route of a server, for a member of another project."""
    server_id = await compute.active(metadata={"a": "1"})
    before = await compute.store.fetchrow("SELECT * FROM compute.server WHERE id = $1", server_id)
    for method, path, body in ROUTES_OF_A_SERVER:
        for wrong, token in ((server_id, BOB), ("-1", ALICE), ("x" * 300, ALICE), (new_id(), ALICE)):
            answer = await compute.call(method, f"/servers/{wrong}{path}", body, token=token)
            assert answer.status == 404, (method, path, answer)
    assert await compute.store.fetchrow("SELECT * FROM compute.server WHERE id = $1", server_id) == before


async def test_a_reader_reads_and_changes_nothing(compute: Compute) -> None:
    server_id = await compute.active()
    await compute.show(server_id, token=READER)
    for method, path, body in (
        ("POST", "", compute.asked()),
        ("PUT", f"/{server_id}", {"server": {"name": "x"}}),
        ("DELETE", f"/{server_id}", None),
        ("POST", f"/{server_id}/action", {"os-stop": None}),
        ("POST", f"/{server_id}/metadata", {"metadata": {}}),
    ):
        assert (await compute.call(method, f"/servers{path}", body, token=READER)).status == 403
    assert (await compute.call("GET", "/servers?all_tenants=1")).status == 403


async def test_an_update_changes_the_name_and_says_so(compute: Compute) -> None:
    server_id = await compute.active()
    changes = {"name": "né", "description": "d", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:DB8::1"}
    answer = await compute.call("PUT", f"/servers/{server_id}", {"server": changes})
    assert answer.status == 200
    server = answer.body["server"]
    assert (server["name"], server["description"], server["accessIPv6"]) == ("né", "d", "2001:db8::1")
    assert "skybus.compute.server.updated.v1" in await compute.events()
    for bad in ({"name": ""}, {"name": "x" * 256}, {"accessIPv4": "1.2.3"}, {"status": "ERROR"}):
        assert (await compute.call("PUT", f"/servers/{server_id}", {"server": bad})).status == 400


async def test_a_delete_waits_for_its_operation_and_then_hides_the_server(compute: Compute) -> None:
    from skybus.compute.server_life import servers_gone

    server_id = await compute.active()
    for _ in range(2):
        assert (await compute.call("DELETE", f"/servers/{server_id}")).status == 204
    shown = await compute.show(server_id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", "deleting")
    for _ in range(2):
        async with compute.store.transaction() as tx:
            await servers_gone(tx, [server_id])
    assert (await compute.call("GET", f"/servers/{server_id}")).status == 404
    assert (await compute.get("/servers"))["servers"] == []
    listed = (await compute.get("/servers/detail?deleted=true&all_tenants=1", token=ADMIN))["servers"]
    assert [(one["id"], one["status"]) for one in listed] == [(server_id, "DELETED")]
    changed = (await compute.get("/servers?changes-since=2020-01-01T00:00:00Z"))["servers"]
    assert [one["id"] for one in changed] == [server_id]
    actions = (await compute.get(f"/servers/{server_id}/os-instance-actions"))["instanceActions"]
    assert [one["action"] for one in actions] == ["delete", "create"]
    assert (await compute.events())[-1] == "skybus.compute.server.deleted.v1"


async def test_a_build_interrupted_by_a_delete_goes_without_a_fault(compute: Compute) -> None:
    from skybus.compute.server_life import server_fail, servers_gone

    server_id = await compute.create()
    assert (await compute.call("DELETE", f"/servers/{server_id}")).status == 204
    async with compute.store.transaction() as tx:
        await server_fail(tx, server_id, "operation.interrupted", "The server is being deleted.")
    shown = await compute.show(server_id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("BUILD", "deleting")
    async with compute.store.transaction() as tx:
        await servers_gone(tx, [server_id])
    assert (await compute.call("GET", f"/servers/{server_id}", token=ALICE)).status == 404
