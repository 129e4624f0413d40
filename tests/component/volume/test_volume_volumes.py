"""Volumes in the API: creating, reading, listing, changing, deleting."""

from __future__ import annotations

import asyncio
from typing import Any

from volume_steps import ADMIN, ALICE, BOB, READER, available, create, event_types, get, make

from skybus.ids import new_id
from skybus.store import Store
from skybus.volume.quotas import quota_set
from skybus.volume.states import Cause
from skybus.volume.volumes import volume_get, volume_move
from support.front import Client


async def test_a_volume_is_accepted_counted_and_handed_to_an_operation(cloud: Client, store: Store) -> None:
    volume = await create(cloud, size="2", name="one", metadata={"a": "b"})
    assert volume["status"] == "creating"
    assert volume["size"] == 2
    assert volume["volume_type"] == "__DEFAULT__"
    assert volume["availability_zone"] == "nova"
    assert volume["attachments"] == []
    assert volume["bootable"] == "false"
    assert volume["links"][0]["href"] == f"{cloud.url}/volume/v3/volumes/{volume['id']}"
    operation = await store.fetchrow("SELECT kind, state, project_id FROM saga.operation")
    assert tuple(operation) == ("volume_create", "running", "p1")
    assert await event_types(store) == ["volume.requested"]
    shown = (await get(cloud, f"/volumes/{volume['id']}")).body["volume"]
    assert shown["os-vol-tenant-attr:tenant_id"] == "p1"
    assert "os-vol-host-attr:host" not in shown


BAD_VOLUMES: list[tuple[Any, int]] = [
    ({"volume": {"size": 0}}, 400),
    ({"volume": {"size": -1}}, 400),
    ({"volume": {"size": "0"}}, 400),
    ({"volume": {"size": ""}}, 400),
    ({"volume": {"size": "#$%"}}, 400),
    ({"volume": {"size": 1.5}}, 400),
    ({"volume": {"size": True}}, 400),
    ({"volume": {"size": 10**12}}, 400),
    ({"volume": {"size": "\u0661"}}, 400),
    ({"volume": {}}, 400),
    ({"volume": []}, 400),
    ({}, 400),
    ([], 400),
    ({"volume": {"size": 1, "name": "n" * 10_000}}, 400),
    ({"volume": {"size": 1, "name": "a\x00b"}}, 400),
    ({"volume": {"size": 1, "odd": 1}}, 400),
    ({"volume": {"size": 1, "metadata": {"k": 1}}}, 400),
    ({"volume": {"size": 1, "metadata": {"": "v"}}}, 400),
    ({"volume": {"size": 1, "metadata": {"k\x00": "v"}}}, 400),
    ({"volume": {"size": 1, "metadata": {"k" * 300: "v"}}}, 400),
    ({"volume": {"size": 1, "availability_zone": "moon"}}, 400),
    ({"volume": {"size": 1, "multiattach": True}}, 400),
    ({"volume": {"size": 1, "imageRef": new_id()}}, 400),
    ({"volume": {"size": 1, "volume_type": new_id()}}, 404),
    ({"volume": {"size": 1, "volume_type": "odd"}}, 404),
    ({"volume": {"size": 1, "snapshot_id": new_id()}}, 404),
    ({"volume": {"size": 1, "source_volid": new_id()}}, 404),
    ({"volume": {"size": 1, "snapshot_id": "x"}}, 400),
    ({"volume": {"size": 1001}}, 413),
]


async def test_a_bad_volume_is_refused_and_changes_nothing(cloud: Client, store: Store) -> None:
    """Security class 16: limits on everything that is sent."""
    for body, status in BAD_VOLUMES:
        answer = await cloud.call("POST", "/volume/v3/volumes", body)
        assert answer.status == status, (str(body)[:200], answer)
        [(name, fault)] = answer.body.items()
        assert name == {400: "badRequest", 404: "itemNotFound", 413: "overLimit"}[status]
        assert fault["code"] == status
    assert await store.fetchval("SELECT count(*) FROM volume.volume") == 0
    assert await store.fetchval("SELECT count(*) FROM saga.operation") == 0
    assert await event_types(store) == []


async def test_a_quota_holds_however_many_ask_at_once(cloud: Client, store: Store) -> None:
    """Security class 20: the count is taken in the transaction that inserts."""
    body = {"volume": {"size": 1}}
    answers = await asyncio.gather(*(cloud.call("POST", "/volume/v3/volumes", body) for _ in range(14)))
    assert sorted(answer.status for answer in answers) == [202] * 10 + [413] * 4
    assert await store.fetchval("SELECT count(*) FROM volume.volume") == 10
    await create(cloud, BOB)


async def test_gigabytes_are_counted_and_given_back(cloud: Client, store: Store) -> None:
    async with store.transaction() as tx:
        await quota_set(tx, "p1", {"gigabytes": 3, "per_volume_gigabytes": 2})
    first = await available(cloud, store, size=2)
    refused = await cloud.call("POST", "/volume/v3/volumes", {"volume": {"size": 2}})
    assert refused.status == 413
    assert "gigabytes quota" in refused.body["overLimit"]["message"]
    assert (await cloud.call("POST", "/volume/v3/volumes", {"volume": {"size": 3}})).status == 413
    async with store.transaction() as tx:
        await volume_move(tx, first, Cause.DELETE_ASKED)
        await volume_move(tx, first, Cause.DELETED)
    await create(cloud, size=2)


async def test_other_projects_volumes_do_not_exist(cloud: Client, store: Store) -> None:
    """Security class 14: every route of a volume, held by somebody else."""
    volume_id = await available(cloud, store)
    path = f"/volume/v3/volumes/{volume_id}"
    meta = {"metadata": {"a": "b"}}
    for method, place, body in [
        ("GET", path, None),
        ("PUT", path, {"volume": {"name": "x"}}),
        ("DELETE", path, None),
        ("GET", f"{path}/metadata", None),
        ("POST", f"{path}/metadata", meta),
        ("PUT", f"{path}/metadata", meta),
        ("GET", f"{path}/metadata/a", None),
        ("PUT", f"{path}/metadata/a", {"meta": {"a": "b"}}),
        ("DELETE", f"{path}/metadata/a", None),
    ]:
        assert (await cloud.call(method, place, body, token=BOB)).status == 404, (method, place)
        assert (await cloud.call(method, place, body, token=None)).status == 401, (method, place)
        if method != "GET":
            assert (await cloud.call(method, place, body, token=READER)).status == 403, (method, place)
    assert (await get(cloud, "/volumes", BOB)).body["volumes"] == []
    assert (await get(cloud, "/volumes?all_tenants=1", BOB)).body["volumes"] == []
    assert (await get(cloud, "/volumes?project_id=p1&all_tenants=1", BOB)).body["volumes"] == []
    assert (await get(cloud, "/volumes", ADMIN)).body["volumes"] == []
    assert len((await get(cloud, "/volumes?all_tenants=1", ADMIN)).body["volumes"]) == 1
    seen = (await get(cloud, f"/volumes/{volume_id}", ADMIN)).body["volume"]
    assert seen["os-vol-host-attr:host"] == "s1@skybus#pool"


async def test_the_projects_id_may_stand_in_the_path_and_must_be_the_callers(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store)
    shown = await get(cloud, f"/p1/volumes/{volume_id}")
    assert shown.status == 200
    assert shown.body["volume"]["links"][0]["href"] == f"{cloud.url}/volume/v3/p1/volumes/{volume_id}"
    assert shown.body["volume"]["links"][1]["href"] == f"{cloud.url}/volume/p1/volumes/{volume_id}"
    assert (await get(cloud, f"/p2/volumes/{volume_id}")).status == 400
    assert (await get(cloud, "/p1/volumes/detail")).status == 200
    assert (await cloud.call("POST", "/volume/v3/p2/volumes", {"volume": {"size": 1}})).status == 400


async def test_an_id_that_names_nothing_is_not_found(cloud: Client) -> None:
    for volume_id in ("x", "0" * 36, new_id(), "..%2f..", "null"):
        assert (await get(cloud, f"/p1/volumes/{volume_id}")).status == 404
        assert (await cloud.call("DELETE", f"/volume/v3/volumes/{volume_id}")).status == 404
        answer = await cloud.call("PUT", f"/volume/v3/volumes/{volume_id}", {"volume": {"name": "n"}})
        assert answer.status == 404


async def test_each_microversion_shows_what_it_knows(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store)

    async def keys(version: str) -> set[str]:
        answer = await get(cloud, f"/volumes/{volume_id}", version=version)
        assert answer.headers["OpenStack-API-Version"] == f"volume {version}"
        return set(answer.body["volume"])

    assert await keys("3.13") - await keys("3.0") == {"group_id"}
    assert await keys("3.48") - await keys("3.13") == {"shared_targets", "service_uuid"}
    assert await keys("3.71") - await keys("3.48") == {"volume_type_id", "consumes_quota"}
    assert (await get(cloud, "/volumes", version="3.72")).status == 406
    assert (await get(cloud, "/volumes", version="odd")).status == 400


async def test_lists_page_by_marker_until_the_end(cloud: Client) -> None:
    made = [(await create(cloud, name=f"n{i % 2}"))["id"] for i in range(5)]
    for path in ("/volume/v3/volumes?limit=2&sort=name:asc", "/volume/v3/p1/volumes/detail?limit=2&sort_key=size"):
        seen: list[str] = []
        url = path
        while url:
            answer = await cloud.call("GET", url)
            assert answer.status == 200, answer
            seen += [volume["id"] for volume in answer.body["volumes"]]
            links = answer.body.get("volumes_links", [])
            url = links[0]["href"] if links else ""
        assert sorted(seen) == sorted(made)
    full = await get(cloud, "/volumes?limit=5")
    last = await cloud.call("GET", full.body["volumes_links"][0]["href"])
    assert last.body == {"volumes": []}
    listed = (await get(cloud, "/volumes")).body["volumes"]
    assert [volume["id"] for volume in listed] == made[::-1]
    assert set(listed[0]) == {"id", "name", "links"}
    assert (await get(cloud, f"/volumes?marker={new_id()}")).status == 404
    assert (await get(cloud, "/volumes?limit=-1")).status == 400
    assert (await get(cloud, "/volumes?sort_key=odd")).status == 400
    summary = (await get(cloud, "/volumes/summary", version="3.36")).body["volume-summary"]
    assert summary == {"total_count": 5, "total_size": 5, "metadata": {}}
    assert (await get(cloud, "/volumes?limit=2&with_count=true", version="3.45")).body["count"] == 5


async def test_lists_are_narrowed_by_filters(cloud: Client, store: Store) -> None:
    one = await available(cloud, store, name="one", size=2, metadata={"k": "v", "l": "w"})
    two = (await create(cloud, name="two"))["id"]

    async def ids(query: str, version: str = "3.0") -> list[str]:
        answer = await get(cloud, f"/volumes/detail?{query}", version=version)
        assert answer.status == 200, answer
        return [volume["id"] for volume in answer.body["volumes"]]

    assert await ids("name=one") == [one]
    assert await ids("status=available") == [one]
    assert await ids("status=null") == []
    assert await ids("size=1") == [two]
    assert await ids("bootable=false") == [two, one]
    assert await ids("metadata=%7B'k':+'v'%7D") == [one]
    assert await ids("metadata=%7B'k':+'x'%7D") == []
    assert await ids("name~=w", "3.34") == [two]
    assert await ids("created_at=gt:2020-01-01T00:00:00", "3.60") == [two, one]
    assert await ids("snapshot_id=x") == []
    assert await ids("odd=1") == [two, one]
    assert (await get(cloud, "/volumes?odd=1", version="3.31")).status == 400
    for bad in ("size=x", "bootable=x", "metadata=%7B", "metadata=" + "(" * 1500, "name=%00"):
        assert (await get(cloud, f"/volumes?{bad}")).status == 400, bad


async def test_name_description_and_metadata_can_be_changed(cloud: Client, store: Store) -> None:
    volume_id = await available(cloud, store, name="old", metadata={"a": "1"})
    path = f"/volume/v3/volumes/{volume_id}"
    changed = await cloud.call("PUT", path, {"volume": {"name": "new", "description": "d"}})
    assert changed.body["volume"]["name"] == "new"
    assert (await cloud.call("PUT", path, {"volume": {}})).status == 400
    assert (await cloud.call("PUT", path, {"volume": {"size": 9}})).status == 400
    assert (await cloud.call("POST", f"{path}/metadata", {"metadata": {"b": "2"}})).body == {"metadata": {"b": "2"}}
    assert (await get(cloud, f"/volumes/{volume_id}/metadata")).body == {"metadata": {"a": "1", "b": "2"}}
    assert (await cloud.call("PUT", f"{path}/metadata/a", {"meta": {"a": "3"}})).body == {"meta": {"a": "3"}}
    assert (await cloud.call("PUT", f"{path}/metadata/a", {"meta": {"x": "3"}})).status == 400
    assert (await get(cloud, f"/volumes/{volume_id}/metadata/a")).body == {"meta": {"a": "3"}}
    assert (await cloud.call("DELETE", f"{path}/metadata/a")).status == 200
    assert (await cloud.call("DELETE", f"{path}/metadata/a")).status == 404
    assert (await cloud.call("PUT", f"{path}/metadata", {"metadata": {"z": "0"}})).body == {"metadata": {"z": "0"}}
    assert (await get(cloud, f"/volumes/{volume_id}")).body["volume"]["metadata"] == {"z": "0"}
    full = {"metadata": {f"k{i}": "v" for i in range(128)}}
    assert (await cloud.call("POST", f"{path}/metadata", full)).status == 400
    assert (await event_types(store)).count("volume.updated") == 5


async def test_a_volume_is_deleted_when_it_is_at_rest(cloud: Client, store: Store) -> None:
    volume_id = (await create(cloud))["id"]
    path = f"/volume/v3/volumes/{volume_id}"
    assert (await cloud.call("DELETE", path)).status == 400
    await make(store, volume_id)
    assert (await cloud.call("DELETE", path)).status == 202
    assert (await get(cloud, f"/volumes/{volume_id}")).body["volume"]["status"] == "deleting"
    assert (await cloud.call("DELETE", path)).status == 202
    kinds = await store.fetch("SELECT kind FROM saga.operation WHERE state = 'running'")
    assert [row["kind"] for row in kinds] == ["volume_delete"]
    async with store.transaction() as tx:
        await volume_move(tx, volume_id, Cause.DELETED)
    assert (await cloud.call("DELETE", path)).status == 404
    assert (await get(cloud, f"/volumes/{volume_id}")).status == 404
    assert (await get(cloud, "/volumes")).body["volumes"] == []
    assert (await volume_get(store, volume_id))["status"] == "deleted"


async def test_a_thousand_volumes_in_detail_cost_one_query_a_page(cloud: Client, store: Store) -> None:
    fill = """
    INSERT INTO volume.volume (id, project_id, user_id, name, size_gib, status, type_id, availability_zone, host,
                               created_at)
    SELECT gen_random_uuid(), 'p1', 'u', 'n' || i, 1, 'available', (SELECT id FROM volume.type), 'nova', 's1', now()
      FROM generate_series(1, 1200) i
    """
    async with store.transaction() as tx:
        await tx.execute(fill)
    answer = await get(cloud, "/volumes/detail")
    assert len(answer.body["volumes"]) == 1000
    rest = await cloud.call("GET", answer.body["volumes_links"][0]["href"], token=ALICE)
    assert len(rest.body["volumes"]) == 200
