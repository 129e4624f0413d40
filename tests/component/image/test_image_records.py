"""Image records: creating, reading, listing, changing, deleting, sharing."""

from __future__ import annotations

import json
from typing import Any

from skybus.ids import new_id
from skybus.image.policies import RULES
from skybus.image.quotas import limits_set
from skybus.store import Store
from support.front import Answer, Client

ALICE = "alice:p1:member,reader"
BOB = "bob:p2:member,reader"
READER = "carol:p1:reader"
ADMIN = "root:p0:admin,member,reader"
V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"


async def create(cloud: Client, token: str = ALICE, **body: Any) -> dict[str, Any]:
    answer = await cloud.call("POST", "/image/v2/images", {"name": "one", **body}, token=token)
    assert answer.status == 201, answer
    shown: dict[str, Any] = answer.body
    return shown


async def patch(cloud: Client, image_id: str, changes: Any, *, token: str = ALICE, media: str = V21) -> Answer:
    return await cloud.call(
        "PATCH",
        f"/image/v2/images/{image_id}",
        data=json.dumps(changes).encode(),
        headers={"Content-Type": media},
        token=token,
    )


async def ids(cloud: Client, query: str = "", token: str = ALICE) -> list[str]:
    answer = await cloud.call("GET", f"/image/v2/images{query}", token=token)
    assert answer.status == 200, answer
    return [image["id"] for image in answer.body["images"]]


async def events(store: Store) -> list[tuple[str, str]]:
    rows = await store.fetch("SELECT type, project_id FROM bus.outbox ORDER BY id")
    return [(row["type"], row["project_id"]) for row in rows]


async def test_a_new_image_is_queued_shared_and_announced(cloud: Client, store: Store) -> None:
    image = await create(cloud, disk_format="raw", container_format="bare", os_distro="debian", tags=["b", "a", "b"])
    assert image["status"] == "queued"
    assert image["visibility"] == "shared"
    assert image["tags"] == ["a", "b"]
    assert image["os_distro"] == "debian"
    assert image["size"] is None
    assert image["owner"] == "p1"
    assert image["file"] == f"/v2/images/{image['id']}/file"
    shown = await cloud.call("GET", f"/image/v2/images/{image['id']}")
    assert shown.body == image
    assert await events(store) == [("skybus.image.image.created.v1", "p1")]


async def test_an_image_keeps_the_id_that_it_was_given_and_no_second_one_gets_it(cloud: Client) -> None:
    image_id = new_id()
    assert (await create(cloud, id=image_id))["id"] == image_id
    again = await cloud.call("POST", "/image/v2/images", {"id": image_id})
    assert again.status == 409


BAD_IMAGES: list[tuple[dict[str, Any], int]] = [
    ({"disk_format": "wrong"}, 400),
    ({"container_format": "wrong"}, 400),
    ({"id": "x"}, 400),
    ({"name": "n" * 10_000}, 400),
    ({"min_disk": -1}, 400),
    ({"min_ram": "1"}, 400),
    ({"protected": "yes"}, 400),
    ({"some": 1}, 400),
    ({"tags": ["t" * 300]}, 400),
    ({"p" * 300: "v"}, 400),
    ({"name": "a\x00b"}, 400),
    ({"tags": ["a\x00b"]}, 400),
    ({"prop": "a\x00b"}, 400),
    ({"visibility": "all"}, 400),
    ({"status": "active"}, 403),
    ({"os_glance_foo": "bar"}, 403),
    ({"deleted": "1"}, 403),
    ({"size": "3"}, 403),
    ({"visibility": "public"}, 403),
    ({"owner": "p2"}, 403),
    ({f"p{i}": "v" for i in range(129)}, 413),
]


async def test_a_bad_image_is_refused_and_changes_nothing(cloud: Client, store: Store) -> None:
    """Security class 16: limits on everything that is sent."""
    for body, status in BAD_IMAGES:
        answer = await cloud.call("POST", "/image/v2/images", body)
        assert answer.status == status, (str(body)[:200], answer)
        assert answer.headers["Content-Type"].startswith("text/html")
    assert await store.fetchval("SELECT count(*) FROM image.image") == 0
    assert await events(store) == []


async def test_a_reader_cannot_create(cloud: Client) -> None:
    assert (await cloud.call("POST", "/image/v2/images", {}, token=READER)).status == 403
    assert (await cloud.call("POST", "/image/v2/images", {}, token=None)).status == 401


async def test_images_are_counted_against_the_quota(cloud: Client, store: Store) -> None:
    """Security class 16: a quota on everything that can be created."""
    async with store.transaction() as tx:
        await limits_set(tx, "p1", 2, 10)
    await create(cloud)
    await create(cloud)
    assert (await cloud.call("POST", "/image/v2/images", {})).status == 413
    await create(cloud, token=BOB)
    assert await store.fetchval("SELECT count(*) FROM image.image") == 3


async def test_other_projects_images_do_not_exist(cloud: Client) -> None:
    """Security class 14: every route of an image, held by somebody else."""
    image = await create(cloud, visibility="private", disk_format="raw", container_format="bare")
    path = f"/image/v2/images/{image['id']}"
    for method, place, data in [
        ("GET", path, None),
        ("DELETE", path, None),
        ("GET", f"{path}/file", None),
        ("PUT", f"{path}/file", b"x"),
        ("PUT", f"{path}/tags/x", None),
        ("DELETE", f"{path}/tags/x", None),
        ("GET", f"{path}/members", None),
        ("GET", f"{path}/members/p2", None),
        ("DELETE", f"{path}/members/p2", None),
        ("POST", f"{path}/actions/deactivate", None),
        ("POST", f"{path}/actions/reactivate", None),
    ]:
        headers = {"Content-Type": "application/octet-stream"} if data else None
        answer = await cloud.call(method, place, token=BOB, data=data, headers=headers)
        assert answer.status == 404, (method, place, answer)
    assert (await patch(cloud, image["id"], [], token=BOB)).status == 404
    assert (await cloud.call("POST", f"{path}/members", {"member": "p2"}, token=BOB)).status == 404
    assert (await cloud.call("PUT", f"{path}/members/p2", {"status": "accepted"}, token=BOB)).status == 404
    assert (await cloud.call("GET", path, token=ADMIN)).status == 200
    assert (await cloud.call("GET", path)).body == image


async def test_a_public_image_is_read_by_all_and_written_by_its_owner_alone(cloud: Client) -> None:
    image = await create(cloud, token=ADMIN, visibility="public")
    path = f"/image/v2/images/{image['id']}"
    assert (await cloud.call("GET", path, token=BOB)).status == 200
    assert (await cloud.call("DELETE", path, token=BOB)).status == 403
    assert (
        await patch(cloud, image["id"], [{"op": "replace", "path": "/name", "value": "x"}], token=BOB)
    ).status == 403
    assert image["id"] in await ids(cloud, token=BOB)


async def test_an_id_that_names_nothing_is_not_found(cloud: Client) -> None:
    for image_id in ("x", "0" * 36, new_id(), "..%2f.."):
        assert (await cloud.call("GET", f"/image/v2/images/{image_id}")).status == 404
        assert (await cloud.call("DELETE", f"/image/v2/images/{image_id}")).status == 404


async def test_lists_page_by_marker_until_the_end(cloud: Client) -> None:
    made = [(await create(cloud, name=f"n{i % 2}"))["id"] for i in range(5)]
    seen: list[str] = []
    path = "/v2/images?limit=2&sort=name:asc"
    while path:
        answer = await cloud.call("GET", f"/image{path}")
        seen += [image["id"] for image in answer.body["images"]]
        path = answer.body.get("next", "")
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == 5
    assert await ids(cloud) == made[::-1]
    assert (await cloud.call("GET", f"/image/v2/images?marker={new_id()}")).status == 400
    assert (await cloud.call("GET", "/image/v2/images?limit=x")).status == 400
    assert (await cloud.call("GET", "/image/v2/images?limit=0")).body["images"] == []


async def test_lists_are_narrowed_by_filters(cloud: Client) -> None:
    one = (await create(cloud, name="a,b", disk_format="raw", tags=["x", "y"], os_distro="debian"))["id"]
    two = (await create(cloud, name="two", disk_format="qcow2", visibility="private", protected=True))["id"]
    hidden = (await create(cloud, os_hidden=True))["id"]
    assert await ids(cloud, "?name=two") == [two]
    assert await ids(cloud, '?name=in:"a,b",other') == [one]
    assert await ids(cloud, "?disk_format=in:raw,vdi") == [one]
    assert await ids(cloud, "?status=queued&visibility=private") == [two]
    assert await ids(cloud, "?tag=x&tag=y") == [one]
    assert await ids(cloud, "?tag=x&tag=z") == []
    assert await ids(cloud, "?os_distro=debian") == [one]
    assert await ids(cloud, "?protected=true") == [two]
    assert await ids(cloud, "?os_hidden=true") == [hidden]
    assert await ids(cloud, f"?id={one}") == [one]
    assert await ids(cloud, "?owner=p2") == []
    assert await ids(cloud, "?created_at=gt:2020-01-01T00:00:00Z") == [two, one]
    assert await ids(cloud, "?size_min=1") == []
    for bad in ("size_min=x", "visibility=odd", "os_hidden=maybe", "created_at=gt:odd", 'name=in:"a', "sort_key=odd",
                "member_status=odd", "name=%00"):  # fmt: skip
        assert (await cloud.call("GET", f"/image/v2/images?{bad}")).status == 400, bad


async def test_a_community_image_is_listed_only_when_asked_for(cloud: Client) -> None:
    image = (await create(cloud, visibility="community"))["id"]
    assert await ids(cloud) == [image]
    assert await ids(cloud, token=BOB) == []
    assert await ids(cloud, "?visibility=community", token=BOB) == [image]
    assert await ids(cloud, "?visibility=all", token=BOB) == [image]


async def test_a_patch_changes_attributes_and_properties(cloud: Client, store: Store) -> None:
    image = await create(cloud, old="1", gone="1")
    answer = await patch(
        cloud,
        image["id"],
        [
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "add", "path": "/a~1b", "value": "slash"},
            {"op": "replace", "path": "/old", "value": "2"},
            {"op": "remove", "path": "/gone"},
            {"op": "replace", "path": "/tags", "value": ["t", "t"]},
            {"op": "replace", "path": "/disk_format", "value": "raw"},
        ],
    )
    assert answer.status == 200, answer
    assert answer.body["name"] == "new"
    assert answer.body["a/b"] == "slash"
    assert answer.body["old"] == "2"
    assert answer.body["tags"] == ["t"]
    assert "gone" not in answer.body
    assert (await cloud.call("GET", f"/image/v2/images/{image['id']}")).body == answer.body
    row = await store.fetchrow("SELECT body FROM bus.outbox WHERE type LIKE '%updated%'")
    assert json.loads(row["body"])["changed"] == ["a/b", "disk_format", "gone", "name", "old", "tags"]


async def test_the_older_form_of_patch_is_understood(cloud: Client) -> None:
    image = await create(cloud)
    assert (await patch(cloud, image["id"], [{"replace": "/name", "value": "new"}], media=V20)).body["name"] == "new"
    assert (await patch(cloud, image["id"], [{"add": "/os_glance_foo", "value": "b"}], media=V20)).status == 403


BAD_CHANGES: list[tuple[Any, int]] = [
    ({"op": "replace", "path": "/missing", "value": "x"}, 409),
    ({"op": "remove", "path": "/missing"}, 409),
    ({"op": "remove", "path": "/name"}, 403),
    ({"op": "replace", "path": "/status", "value": "active"}, 403),
    ({"op": "replace", "path": "/id", "value": "x"}, 403),
    ({"op": "replace", "path": "/owner", "value": "p2"}, 403),
    ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
    ({"op": "replace", "path": "/visibility", "value": "odd"}, 400),
    ({"op": "add", "path": "/x", "value": 3}, 400),
    ({"op": "add", "path": "/tags/-", "value": "x"}, 400),
    ({"op": "add", "path": "x", "value": "x"}, 400),
    ({"op": "add", "path": "/x~2", "value": "x"}, 400),
    ({"op": "add", "path": "/x"}, 400),
    ({"op": "move", "path": "/x", "value": "x"}, 400),
    ({"path": "/x", "value": "x"}, 400),
    ({"op": "add"}, 400),
    ("x", 400),
    ({"op": "add", "path": "/x", "value": "a\x00"}, 400),
]


async def test_a_bad_patch_is_refused_and_changes_nothing(cloud: Client) -> None:
    image = await create(cloud, keep="1")
    good = {"op": "replace", "path": "/keep", "value": "2"}
    for change, status in BAD_CHANGES:
        answer = await patch(cloud, image["id"], [good, change])
        assert answer.status == status, (change, answer)
    assert (await cloud.call("GET", f"/image/v2/images/{image['id']}")).body == image


async def test_a_patch_of_another_media_type_is_not_read(cloud: Client) -> None:
    image = await create(cloud)
    assert (await patch(cloud, image["id"], [], media="application/json")).status == 415
    assert (await patch(cloud, image["id"], [], media="text/plain")).status == 415


async def test_a_protected_image_is_not_deleted(cloud: Client) -> None:
    image = await create(cloud, protected=True)
    path = f"/image/v2/images/{image['id']}"
    assert (await cloud.call("DELETE", path)).status == 403
    await patch(cloud, image["id"], [{"op": "replace", "path": "/protected", "value": False}])
    assert (await cloud.call("DELETE", path)).status == 204
    assert (await cloud.call("GET", path)).status == 404
    assert (await cloud.call("DELETE", path)).status == 404


async def test_tags_come_and_go(cloud: Client) -> None:
    path = f"/image/v2/images/{(await create(cloud))['id']}"
    for _ in range(2):
        assert (await cloud.call("PUT", f"{path}/tags/one")).status == 204
    assert (await cloud.call("GET", path)).body["tags"] == ["one"]
    assert (await cloud.call("DELETE", f"{path}/tags/one")).status == 204
    assert (await cloud.call("DELETE", f"{path}/tags/one")).status == 404
    assert (await cloud.call("PUT", f"{path}/tags/{'t' * 300}")).status == 400
    assert (await cloud.call("PUT", f"{path}/tags/a%00b")).status == 400


async def test_a_shared_image_is_listed_once_it_was_accepted(cloud: Client) -> None:
    image = (await create(cloud))["id"]
    path = f"/image/v2/images/{image}"
    assert (await cloud.call("GET", path, token=BOB)).status == 404
    offered = await cloud.call("POST", f"{path}/members", {"member": "p2"})
    assert offered.status == 200
    assert offered.body["status"] == "pending"
    assert (await cloud.call("POST", f"{path}/members", {"member": "p2"})).status == 409
    assert (await cloud.call("GET", path, token=BOB)).status == 200
    assert await ids(cloud, token=BOB) == []
    assert await ids(cloud, "?visibility=shared&member_status=pending", token=BOB) == [image]
    assert (await cloud.call("PUT", f"{path}/members/p2", {"status": "odd"}, token=BOB)).status == 400
    accepted = await cloud.call("PUT", f"{path}/members/p2", {"status": "accepted"}, token=BOB)
    assert accepted.body["status"] == "accepted"
    assert await ids(cloud, token=BOB) == [image]
    assert (await cloud.call("GET", f"{path}/members")).body["members"] == [accepted.body]
    assert (await cloud.call("GET", f"{path}/members/p2", token=READER)).status == 200
    assert (await cloud.call("DELETE", f"{path}/members/p2", token=BOB)).status == 403
    assert (await cloud.call("DELETE", f"{path}/members/p2")).status == 204
    assert (await cloud.call("DELETE", f"{path}/members/p2")).status == 404
    assert (await cloud.call("GET", path, token=BOB)).status == 404


async def test_nobody_accepts_for_another_project(cloud: Client) -> None:
    """Security class 14: the policy reaches the sub-resource."""
    path = f"/image/v2/images/{(await create(cloud))['id']}/members"
    for member in ("p2", "p3"):
        await cloud.call("POST", path, {"member": member})
    assert (await cloud.call("PUT", f"{path}/p2", {"status": "accepted"})).status == 403
    assert (await cloud.call("PUT", f"{path}/p3", {"status": "accepted"}, token=BOB)).status == 403
    assert (await cloud.call("GET", f"{path}/p3", token=BOB)).status == 404
    mine = await cloud.call("GET", path, token=BOB)
    assert [member["member_id"] for member in mine.body["members"]] == ["p2"]


async def test_a_private_image_has_no_members(cloud: Client) -> None:
    path = f"/image/v2/images/{(await create(cloud, visibility='private'))['id']}/members"
    assert (await cloud.call("POST", path, {"member": "p2"})).status == 403


async def test_the_service_says_what_it_is(cloud: Client) -> None:
    for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200)):
        answer = await cloud.call("GET", path, token=None)
        assert answer.status == status
        current = [version for version in answer.body["versions"] if version["status"] == "CURRENT"]
        assert current[0]["links"] == [{"rel": "self", "href": f"{cloud.url}/image/v2/"}]
    for name in ("image", "images", "member", "members"):
        assert (await cloud.call("GET", f"/image/v2/schemas/{name}")).body["name"] == name
    assert (await cloud.call("GET", "/image/v2/schemas/odd")).status == 404
    assert (await cloud.call("GET", "/image/v2/info/import")).body["import-methods"]["value"] == []
    assert (await cloud.call("GET", "/image/v2/info/stores")).body["stores"][0]["id"] == "file"
    assert (await cloud.call("GET", "/image/v2/info/stores/detail")).status == 403


def test_every_rule_is_one_of_openstacks() -> None:
    assert {"add_image", "get_image", "download_image", "upload_image", "publicize_image"} <= RULES.keys()
