"""The standard namespaces of metadata definitions, which `skybus bootstrap` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from skybus.errors import BadRequest
from skybus.image.metadefs import standard
from skybus.image.metadefs.definitions import definitions_of
from skybus.store import Store
from support.front import Client

READER = "carol:p1:reader"
ROOT = "root:p0:admin,member,reader"
PATH = "/image/v2/metadefs"
MADE = "SELECT count(*) FROM bus.outbox WHERE type = 'skybus.image.metadef.changed.v1'"


async def bootstrap(store: Store) -> list[str]:
    async with store.transaction() as tx:
        return await standard.bootstrap(tx)


async def test_everybody_finds_the_standard_namespaces_as_their_files_say(cloud: Client, store: Store) -> None:
    made = await bootstrap(store)
    assert "OS::Compute::Libvirt" in made
    assert await store.fetchval(MADE) == len(made)
    for said in standard.documents():
        answer = await cloud.call("GET", f"{PATH}/namespaces/{said['namespace']}", token=READER)
        assert answer.status == 200, answer
        for part in ("display_name", "description", "protected"):
            assert answer.body.get(part) == said.get(part), (said["namespace"], part)
        assert answer.body.get("properties", {}) == definitions_of(said.get("properties", {}))
        shown = [(one["name"], one["properties"]) for one in answer.body.get("objects", [])]
        assert shown == [(one["name"], definitions_of(one["properties"])) for one in said.get("objects", [])]
    listed = await cloud.call("GET", f"{PATH}/namespaces?limit=1000", token=READER)
    assert {one["namespace"] for one in listed.body["namespaces"]} == set(made)
    types = await cloud.call("GET", f"{PATH}/resource_types", token=READER)
    assert {"OS::Glance::Image", "OS::Nova::Flavor", "OS::Nova::Aggregate", "OS::Cinder::Volume"} <= {
        one["name"] for one in types.body["resource_types"]
    }


async def test_libvirts_options_are_called_otherwise_on_images_and_on_flavors(cloud: Client, store: Store) -> None:
    await bootstrap(store)
    path = f"{PATH}/namespaces/OS::Compute::Libvirt?resource_type="
    image = await cloud.call("GET", f"{path}OS::Glance::Image", token=READER)
    assert "hw_boot_menu" in image.body["properties"]
    flavor = await cloud.call("GET", f"{path}OS::Nova::Flavor", token=READER)
    assert "hw:boot_menu" in flavor.body["properties"]


async def test_bootstrapping_again_makes_what_is_missing_and_changes_nothing(cloud: Client, store: Store) -> None:
    made = await bootstrap(store)
    path = f"{PATH}/namespaces/OS::Compute::CPUMode"
    ours = {"namespace": "OS::Compute::CPUMode", "description": "Ours."}
    assert (await cloud.call("PUT", path, ours, token=ROOT)).status == 200
    assert (await cloud.call("DELETE", f"{path}/properties", token=ROOT)).status == 204
    gone = f"{PATH}/namespaces/OS::Glance::Signatures"
    assert (await cloud.call("DELETE", gone, token=ROOT)).status == 204
    before = await store.fetchval(MADE)
    assert await bootstrap(store) == ["OS::Glance::Signatures"]
    assert await store.fetchval(MADE) == before + 1
    shown = (await cloud.call("GET", path, token=ROOT)).body
    assert shown["description"] == "Ours."
    assert "properties" not in shown
    assert await bootstrap(store) == []
    assert len(made) == await store.fetchval("SELECT count(*) FROM image.metadef_namespace")


async def test_a_file_that_the_api_would_refuse_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.json").write_text('{"namespace": "a/b"}')
    monkeypatch.setattr(standard, "FOLDER", tmp_path)
    with pytest.raises(BadRequest):
        list(standard.documents())
