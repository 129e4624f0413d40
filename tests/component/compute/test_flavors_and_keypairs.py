"""Flavors and keypairs through the API."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from skybus.compute.flavors import DEFAULTS, bootstrap

from .conftest import ADMIN, ALICE, BOB, Compute

PUBLIC = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"x" * 32).decode() + " me@here"
FLAVOR = {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}


async def test_the_default_flavors_are_made_once(compute: Compute) -> None:
    async with compute.store.transaction() as tx:
        assert await bootstrap(tx) == []
    listed = (await compute.get("/flavors/detail"))["flavors"]
    assert {one["name"] for one in listed} == {name for _, name, *_ in DEFAULTS}


async def test_flavors_are_filtered_sorted_and_paged(compute: Compute) -> None:
    assert [one["name"] for one in (await compute.get("/flavors?minRam=4096&sort_key=memory_mb"))["flavors"]] == [
        "m1.large",
        "m1.xlarge",
    ]
    assert {one["name"] for one in (await compute.get("/flavors?minDisk=40"))["flavors"]} == {"m1.large", "m1.xlarge"}
    page = await compute.get("/flavors?limit=4")
    rest = (await compute.client.call("GET", page["flavors_links"][0]["href"])).body
    assert len(page["flavors"]) + len(rest["flavors"]) == len(DEFAULTS)
    for bad in ("minRam=x", "minDisk=x", "marker=nothing", "limit=-1", "is_public=maybe"):
        assert (await compute.call("GET", f"/flavors?{bad}")).status == 400


async def test_a_private_flavor_is_seen_by_those_it_is_shared_with(compute: Compute) -> None:
    """Security class 20: a private flavor is no side door."""
    body = {"flavor": {**FLAVOR, "id": "secret", "os-flavor-access:is_public": False}}
    assert (await compute.call("POST", "/flavors", body)).status == 403
    assert (await compute.call("POST", "/flavors", body, token=ADMIN)).status == 200
    assert (await compute.call("POST", "/flavors", body, token=ADMIN)).status == 409
    assert (await compute.call("GET", "/flavors/secret")).status == 404
    assert (await compute.call("POST", "/servers", compute.asked(flavorRef="secret"))).status == 400
    share = {"addTenantAccess": {"tenant": "p1"}}
    answer = await compute.call("POST", "/flavors/secret/action", share, token=ADMIN)
    assert answer.body == {"flavor_access": [{"flavor_id": "secret", "tenant_id": "p1"}]}
    assert (await compute.call("POST", "/flavors/secret/action", share, token=ADMIN)).status == 409
    assert (await compute.get("/flavors/secret"))["flavor"]["name"] == "f"
    assert "secret" in [one["id"] for one in (await compute.get("/flavors"))["flavors"]]
    assert (await compute.call("GET", "/flavors/secret", token=BOB)).status == 404
    unshare = {"removeTenantAccess": {"tenant": "p1"}}
    assert (await compute.call("POST", "/flavors/secret/action", unshare, token=ADMIN)).body == {"flavor_access": []}
    assert (await compute.call("POST", "/flavors/secret/action", unshare, token=ADMIN)).status == 404
    assert (await compute.call("GET", "/flavors/42/os-flavor-access", token=ADMIN)).status == 404


async def test_extra_specs_are_set_and_removed(compute: Compute) -> None:
    path = "/flavors/42/os-extra_specs"
    assert (await compute.call("POST", path, {"extra_specs": {"a": "1", "b": 2}}, token=ADMIN)).body == {
        "extra_specs": {"a": "1", "b": "2"}
    }
    assert (await compute.call("PUT", f"{path}/a", {"a": "3"}, token=ADMIN)).body == {"a": "3"}
    assert (await compute.call("PUT", f"{path}/a", {"b": "3"}, token=ADMIN)).status == 400
    assert (await compute.call("DELETE", f"{path}/b", token=ADMIN)).status == 200
    assert (await compute.call("DELETE", f"{path}/b", token=ADMIN)).status == 404
    assert (await compute.call("GET", f"{path}/b")).status == 404
    assert await compute.get(path) == {"extra_specs": {"a": "3"}}
    assert (await compute.call("POST", path, {"extra_specs": {"a": "1"}})).status == 403
    assert (await compute.get("/flavors/42"))["flavor"]["extra_specs"] == {"a": "3"}


async def test_an_impossible_flavor_is_refused(compute: Compute) -> None:
    for wrong in (
        {"ram": 0}, {"vcpus": -1}, {"disk": -1}, {"name": ""}, {"name": " "}, {"id": "a/b"}, {"ram": "x"},
        {"swap": -1}, {"rxtx_factor": 0}, {"vcpus": 2**40}, {"more": 1}, {"ram": 1.5},
    ):  # fmt: skip
        answer = await compute.call("POST", "/flavors", {"flavor": {**FLAVOR, **wrong}}, token=ADMIN)
        assert answer.status == 400, (wrong, answer)


async def test_a_deleted_flavor_stays_in_its_servers(compute: Compute) -> None:
    await compute.call("POST", "/flavors", {"flavor": {**FLAVOR, "id": "9"}}, token=ADMIN)
    server_id = await compute.create(flavorRef="9")
    assert (await compute.call("DELETE", "/flavors/9", token=ADMIN)).status == 202
    assert (await compute.call("DELETE", "/flavors/9", token=ADMIN)).status == 404
    assert (await compute.show(server_id))["flavor"]["original_name"] == "f"


async def test_a_description_is_changed_from_2_55_on(compute: Compute) -> None:
    body = {"flavor": {"description": "small"}}
    assert (await compute.call("PUT", "/flavors/42", body, token=ADMIN, version="2.54")).status in (404, 405)
    assert (await compute.call("PUT", "/flavors/42", body, token=ADMIN)).body["flavor"]["description"] == "small"


async def test_a_keypair_is_imported_once_and_belongs_to_its_user(compute: Compute) -> None:
    """Security class 14: another user's things."""
    body = {"keypair": {"name": "k", "public_key": PUBLIC}}
    made = await compute.call("POST", "/os-keypairs", body)
    assert made.status == 201
    assert made.body["keypair"]["fingerprint"].count(":") == 15
    assert "private_key" not in made.body["keypair"]
    assert (await compute.call("POST", "/os-keypairs", body)).status == 409
    assert (await compute.call("POST", "/os-keypairs", body, token=BOB)).status == 201
    assert (await compute.call("GET", "/os-keypairs/k?user_id=alice", token=BOB)).status == 403
    assert (await compute.call("GET", "/os-keypairs?user_id=alice", token=BOB)).status == 403
    assert (await compute.call("DELETE", "/os-keypairs/k?user_id=alice", token=BOB)).status == 403
    assert (await compute.get("/os-keypairs/k?user_id=alice", token=ADMIN))["keypair"]["user_id"] == "alice"
    assert (await compute.call("DELETE", "/os-keypairs/k", token=ALICE)).status == 204
    assert (await compute.call("GET", "/os-keypairs/k")).status == 404
    assert len((await compute.get("/os-keypairs", token=BOB))["keypairs"]) == 1


async def test_a_generated_private_key_is_shown_once_and_kept_nowhere(compute: Compute) -> None:
    """Security class 18: secrets."""
    made = await compute.call("POST", "/os-keypairs", {"keypair": {"name": "k"}}, version="2.1")
    assert made.status == 200
    secret = made.body["keypair"]["private_key"]
    assert "OPENSSH PRIVATE KEY" in secret
    assert "private_key" not in (await compute.get("/os-keypairs/k"))["keypair"]
    body = secret.splitlines()[1]
    for table in ("compute.keypair", "bus.outbox"):
        assert await compute.store.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE $1", f"%{body}%") == 0
    assert (await compute.call("POST", "/os-keypairs", {"keypair": {"name": "l"}}, version="2.92")).status == 400


async def test_an_x509_pair_fits_together_and_is_for_its_user(compute: Compute) -> None:
    body = {"keypair": {"name": "k", "type": "x509"}}
    made = (await compute.call("POST", "/os-keypairs", body, version="2.2")).body["keypair"]
    certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
    secret = serialization.load_pem_private_key(made["private_key"].encode(), None)
    assert secret.public_key() == certificate.public_key()
    assert certificate.subject.rfc4514_string() == "CN=alice"
    certificate.verify_directly_issued_by(certificate)
    assert made["fingerprint"].replace(":", "") == certificate.fingerprint(hashes.SHA1()).hex()
    assert (await compute.get("/os-keypairs/k"))["keypair"]["type"] == "x509"
    again = {"keypair": {"name": "l", "type": "x509", "public_key": made["public_key"]}}
    assert (await compute.call("POST", "/os-keypairs", again)).body["keypair"]["fingerprint"] == made["fingerprint"]


IMPOSSIBLE: tuple[dict[str, Any], ...] = (
    {"public_key": "ssh-rsa JUNK me"},
    {"public_key": "nonsense"},
    {"public_key": ""},
    {"public_key": PUBLIC + "\nssh-rsa AAAA"},
    {"public_key": PUBLIC.replace("ssh-ed25519", "ssh-rsa")},
    {"name": ""},
    {"name": "k" * 256},
    {"name": "k/ey"},
    {"name": "k\n"},
    {"type": "gpg"},
    {"type": "x509"},
    {"more": 1},
)


async def test_an_impossible_keypair_is_refused(compute: Compute) -> None:
    """Security class 15: what a user names ends in others' files."""
    for wrong in IMPOSSIBLE:
        body = {"keypair": {"name": "k", "public_key": PUBLIC, **wrong}}
        assert (await compute.call("POST", "/os-keypairs", body)).status == 400, wrong
    assert (await compute.get("/os-keypairs"))["keypairs"] == []


async def test_keypairs_have_a_quota_and_pages(compute: Compute) -> None:
    await compute.call("PUT", "/os-quota-sets/p1", {"quota_set": {"key_pairs": 3}}, token=ADMIN)
    statuses = [
        (await compute.call("POST", "/os-keypairs", {"keypair": {"name": f"k{number}", "public_key": PUBLIC}})).status
        for number in range(4)
    ]
    assert statuses == [201, 201, 201, 403]
    page = await compute.get("/os-keypairs?limit=2")
    assert page["keypairs_links"][0]["href"].endswith("marker=k1")
    rest = await compute.get("/os-keypairs?limit=2&marker=k1")
    assert [one["keypair"]["name"] for one in rest["keypairs"]] == ["k2"]
    assert (await compute.call("GET", "/os-keypairs?marker=nothing")).status == 400
