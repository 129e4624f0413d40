"""What a volume service says of itself: versions, quotas, limits, services, pools, zones, extensions."""

from __future__ import annotations

from typing import Any

from volume_steps import ADMIN, BOB, available, get

from skybus.store import Store
from support.front import Client


async def test_the_versions_are_found_without_a_token(cloud: Client) -> None:
    for path, status in (("/volume", 300), ("/volume/", 300), ("/volume/v3/", 200)):
        answer = await cloud.call("GET", path, token=None)
        assert answer.status == status
        [version] = answer.body["versions"]
        assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")
        assert version["links"] == [{"rel": "self", "href": f"{cloud.url}/volume/v3/"}]


async def test_quotas_are_shown_to_their_project_and_set_by_administrators(cloud: Client, store: Store) -> None:
    await available(cloud, store, size=3)
    quota = (await get(cloud, "/os-quota-sets/p1")).body["quota_set"]
    assert (quota["id"], quota["volumes"], quota["gigabytes"]) == ("p1", 10, 1000)
    usage = (await get(cloud, "/p1/os-quota-sets/p1?usage=True")).body["quota_set"]
    assert usage["gigabytes"] == {"limit": 1000, "in_use": 3, "reserved": 0}
    assert (await get(cloud, "/os-quota-sets/p1", BOB)).status == 403
    path = "/volume/v3/os-quota-sets/p1"
    body = {"quota_set": {"volumes": "5", "gigabytes": -1}}
    assert (await cloud.call("PUT", path, body)).status == 403
    changed = await cloud.call("PUT", path, body, token=ADMIN)
    assert (changed.body["quota_set"]["volumes"], changed.body["quota_set"]["gigabytes"]) == (5, -1)
    assert (await get(cloud, "/os-quota-sets/p1/defaults")).body["quota_set"]["volumes"] == 10
    assert (await get(cloud, "/limits")).body["limits"]["absolute"]["maxTotalVolumes"] == 5
    assert (await cloud.call("DELETE", path)).status == 403
    assert (await cloud.call("DELETE", path, token=ADMIN)).status == 200
    assert (await get(cloud, "/os-quota-sets/p1")).body["quota_set"]["volumes"] == 10


async def test_a_bad_quota_is_refused(cloud: Client) -> None:
    bad: list[Any] = [{"volumes": -2}, {"volumes": "x"}, {"odd": 1}, {"volumes": 2**31}, {"volumes": True}]
    for limits in bad:
        answer = await cloud.call("PUT", "/volume/v3/os-quota-sets/p1", {"quota_set": limits}, token=ADMIN)
        assert answer.status == 400, answer
    assert (await get(cloud, "/os-quota-sets/p1")).body["quota_set"]["volumes"] == 10


async def test_limits_say_how_much_is_used(cloud: Client, store: Store) -> None:
    await available(cloud, store, size=2)
    absolute = (await get(cloud, "/limits")).body["limits"]["absolute"]
    assert (absolute["totalVolumesUsed"], absolute["totalGigabytesUsed"]) == (1, 2)
    assert (await get(cloud, "/limits?project_id=p1", BOB)).body["limits"]["absolute"]["totalVolumesUsed"] == 0
    assert (await get(cloud, "/limits?project_id=p1", ADMIN)).body["limits"]["absolute"]["totalVolumesUsed"] == 1


async def test_services_are_listed_and_taken_out_of_use_by_administrators(cloud: Client) -> None:
    [service] = (await get(cloud, "/os-services", ADMIN)).body["services"]
    assert (service["binary"], service["host"]) == ("cinder-volume", "s1@skybus")
    assert (service["status"], service["state"]) == ("enabled", "up")
    assert (await get(cloud, "/os-services")).status == 403
    assert (await get(cloud, "/os-services?binary=cinder-backup", ADMIN)).body["services"] == []
    path = "/volume/v3/os-services"
    body = {"host": "s1@skybus", "binary": "cinder-volume", "disabled_reason": "disks"}
    assert (await cloud.call("PUT", f"{path}/disable-log-reason", body)).status == 403
    off = await cloud.call("PUT", f"{path}/disable-log-reason", body, token=ADMIN)
    assert (off.body["status"], off.body["disabled_reason"]) == ("disabled", "disks")
    zones = (await get(cloud, "/os-availability-zone")).body["availabilityZoneInfo"]
    assert zones == [{"zoneName": "nova", "zoneState": {"available": False}}]
    on = await cloud.call("PUT", f"{path}/enable", {"host": "s1"}, token=ADMIN)
    assert on.body["disabled"] is False
    assert (await cloud.call("PUT", f"{path}/enable", {"host": "moon"}, token=ADMIN)).status == 404
    assert (await cloud.call("PUT", f"{path}/odd", {"host": "s1"}, token=ADMIN)).status == 404


async def test_pools_show_what_the_newest_report_said(cloud: Client) -> None:
    [pool] = (await get(cloud, "/scheduler-stats/get_pools?detail=true", ADMIN)).body["pools"]
    assert pool["name"] == "s1@skybus#pool"
    assert pool["capabilities"]["total_capacity_gb"] == 100
    assert pool["capabilities"]["vendor_name"] == "Skybus"
    assert (await get(cloud, "/scheduler-stats/get_pools", ADMIN)).body == {"pools": [{"name": "s1@skybus#pool"}]}
    assert (await get(cloud, "/scheduler-stats/get_pools")).status == 403


async def test_extensions_are_listed(cloud: Client) -> None:
    aliases = [one["alias"] for one in (await get(cloud, "/extensions")).body["extensions"]]
    assert "os-quota-sets" in aliases
    assert (await get(cloud, "/extensions/os-services")).body["extension"]["name"] == "Services"
    assert (await get(cloud, "/extensions/odd")).status == 404
