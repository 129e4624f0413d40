"""Volume types: chosen by users, kept by administrators."""

from __future__ import annotations

from typing import Any

from volume_steps import ADMIN, ALICE, BOB, available, create, get

from skybus.ids import new_id
from skybus.store import Store
from support.front import Answer, Client

TYPES = "/volume/v3/types"


async def new_type(cloud: Client, name: str = "fast", **body: Any) -> dict[str, Any]:
    answer = await cloud.call("POST", TYPES, {"volume_type": {"name": name, **body}}, token=ADMIN)
    assert answer.status == 200, answer
    made: dict[str, Any] = answer.body["volume_type"]
    return made


async def names(cloud: Client, token: str, query: str = "") -> list[str]:
    answer = await get(cloud, f"/types{query}", token)
    return sorted(one["name"] for one in answer.body["volume_types"])


async def test_there_is_a_default_type(cloud: Client) -> None:
    default = (await get(cloud, "/types/default")).body["volume_type"]
    assert default["name"] == "__DEFAULT__"
    assert default["is_public"] is True
    assert (await get(cloud, f"/types/{default['id']}")).body["volume_type"] == default
    assert (await cloud.call("DELETE", f"{TYPES}/{default['id']}", token=ADMIN)).status == 400


async def test_an_administrator_keeps_types_and_nobody_else_does(cloud: Client) -> None:
    made = await new_type(cloud, description="d", extra_specs={"a": "b"})
    path = f"{TYPES}/{made['id']}"
    for method, place, body in [
        ("POST", TYPES, {"volume_type": {"name": "x"}}),
        ("PUT", path, {"volume_type": {"name": "x"}}),
        ("DELETE", path, None),
        ("POST", f"{path}/extra_specs", {"extra_specs": {"a": "b"}}),
        ("PUT", f"{path}/extra_specs/a", {"a": "b"}),
        ("DELETE", f"{path}/extra_specs/a", None),
        ("GET", f"{path}/os-volume-type-access", None),
        ("POST", f"{path}/action", {"addProjectAccess": {"project": "p1"}}),
    ]:
        assert (await cloud.call(method, place, body)).status == 403, (method, place)
    changed = await cloud.call("PUT", path, {"volume_type": {"name": "slow"}}, token=ADMIN)
    assert changed.body["volume_type"]["name"] == "slow"
    assert (await cloud.call("PUT", path, {"volume_type": {}}, token=ADMIN)).status == 400
    assert (await cloud.call("POST", TYPES, {"volume_type": {"name": "slow"}}, token=ADMIN)).status == 409
    assert (await cloud.call("PUT", path, {"volume_type": {"name": "__DEFAULT__"}}, token=ADMIN)).status == 409
    assert (await cloud.call("POST", TYPES, {"volume_type": {"name": " "}}, token=ADMIN)).status == 400
    assert (await cloud.call("POST", TYPES, {"volume_type": {"name": ""}}, token=ADMIN)).status == 400
    assert (await cloud.call("DELETE", path, token=ADMIN)).status == 202
    assert (await get(cloud, f"/types/{made['id']}")).status == 404
    assert (await get(cloud, f"/types/{new_id()}")).status == 404


async def test_extra_specs_come_and_go(cloud: Client) -> None:
    path = f"{TYPES}/{(await new_type(cloud))['id']}/extra_specs"

    async def admin(method: str, place: str, body: Any = None) -> Answer:
        return await cloud.call(method, place, body, token=ADMIN)

    assert (await admin("POST", path, {"extra_specs": {"a": "1", "b": "2"}})).body == {
        "extra_specs": {"a": "1", "b": "2"}
    }
    assert (await admin("PUT", f"{path}/a", {"a": "3"})).body == {"a": "3"}
    assert (await admin("PUT", f"{path}/a", {"b": "3"})).status == 400
    assert (await admin("PUT", f"{path}/a", {"a": 3})).status == 400
    assert (await admin("POST", path, {"extra_specs": {"": "1"}})).status == 400
    assert (await admin("GET", f"{path}/a")).body == {"a": "3"}
    assert (await admin("DELETE", f"{path}/a")).status == 202
    assert (await admin("DELETE", f"{path}/a")).status == 404
    assert (await cloud.call("GET", path)).body == {"extra_specs": {"b": "2"}}


async def test_a_private_type_is_for_those_who_were_given_it(cloud: Client) -> None:
    """Security class 20: no way around a private type by naming it."""
    made = await new_type(cloud, "secret", **{"os-volume-type-access:is_public": False})
    path = f"{TYPES}/{made['id']}"
    assert await names(cloud, ALICE) == ["__DEFAULT__"]
    assert await names(cloud, ADMIN) == ["__DEFAULT__"]
    assert await names(cloud, ADMIN, "?is_public=None") == ["__DEFAULT__", "secret"]
    assert await names(cloud, ADMIN, "?is_public=False") == ["secret"]
    for name in ("secret", made["id"]):
        answer = await cloud.call("POST", "/volume/v3/volumes", {"volume": {"size": 1, "volume_type": name}})
        assert answer.status == 404
    grant = {"addProjectAccess": {"project": "p1"}}
    assert (await cloud.call("POST", f"{path}/action", grant, token=ADMIN)).status == 202
    assert (await cloud.call("POST", f"{path}/action", grant, token=ADMIN)).status == 409
    listed = await cloud.call("GET", f"{path}/os-volume-type-access", token=ADMIN)
    assert listed.body == {"volume_type_access": [{"volume_type_id": made["id"], "project_id": "p1"}]}
    assert await names(cloud, ALICE) == ["__DEFAULT__", "secret"]
    assert await names(cloud, BOB) == ["__DEFAULT__"]
    await create(cloud, volume_type="secret")
    revoke = {"removeProjectAccess": {"project": "p1"}}
    assert (await cloud.call("POST", f"{path}/action", revoke, token=ADMIN)).status == 202
    assert (await cloud.call("POST", f"{path}/action", revoke, token=ADMIN)).status == 404
    assert (await cloud.call("GET", path)).status == 404


async def test_an_odd_action_is_refused(cloud: Client) -> None:
    made = await new_type(cloud)
    odd: list[Any] = [{}, {"odd": {}}, {"addProjectAccess": {"project": 1}}, {"addProjectAccess": {}}]
    for body in odd:
        assert (await cloud.call("POST", f"{TYPES}/{made['id']}/action", body, token=ADMIN)).status == 400


async def test_a_type_in_use_is_not_deleted_and_a_deleted_volume_does_not_hold_it(cloud: Client, store: Store) -> None:
    made = await new_type(cloud)
    volume_id = await available(cloud, store, volume_type="fast")
    path = f"{TYPES}/{made['id']}"
    assert (await cloud.call("DELETE", path, token=ADMIN)).status == 400
    async with store.transaction() as tx:
        await tx.execute("UPDATE volume.volume SET status = 'deleted', deleted_at = now() WHERE id = $1", volume_id)
    assert (await cloud.call("DELETE", path, token=ADMIN)).status == 202


async def test_types_page_by_marker(cloud: Client) -> None:
    for number in range(4):
        await new_type(cloud, f"t{number}")
    seen: list[str] = []
    url = f"{TYPES}?limit=2&sort=name:asc"
    while url:
        answer = await cloud.call("GET", url)
        seen += [one["name"] for one in answer.body["volume_types"]]
        links = answer.body.get("volume_type_links", [])
        url = links[0]["href"] if links else ""
    assert sorted(seen) == ["__DEFAULT__", "t0", "t1", "t2", "t3"]
