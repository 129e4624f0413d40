"""Accepting a request for servers: rows, ports, quota and operations in one transaction. All or nothing."""

from __future__ import annotations

import secrets
import string
from typing import Any

import msgspec

from skybus.compute import keypairs, quotas, wiring
from skybus.compute.flavors import flavor_get
from skybus.compute.hostnames import hostname_of
from skybus.compute.server_asked import NetworkAsked, ServerAsked
from skybus.compute.servers import server_insert
from skybus.compute.spawn import place_order
from skybus.compute.states import FIRST_TASK, State
from skybus.errors import BadRequest, Forbidden, NotFound
from skybus.ids import new_id
from skybus.image.boot import image_for_boot
from skybus.messages.compute import ServerRequested
from skybus.saga.operations import FirstOrder, operation_start
from skybus.store import Tx

GIB = 1024**3


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """For whom servers are created."""

    project_id: str
    user_id: str
    is_admin: bool
    zero_disk: bool
    """May use a flavor without a root disk size: the image's own size is not bounded then."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request: the rows of its servers, and the reservation they share."""

    servers: list[Any]
    reservation_id: str


def new_password() -> str:
    """An administrator's password for a guest."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


async def servers_accept(tx: Tx, owner: Owner, asked: ServerAsked) -> Accepted:
    """Note the servers and start their operations.

    Raises BadRequest for a flavor, image, key, network or group that is not there or does not fit, QuotaExceeded, and
    Conflict for a port in use or networks too many to choose among.
    """
    flavor = await _flavor(tx, owner, asked.flavor_id)
    image = await _image(tx, owner, asked.image_id, flavor)
    key = await _key(tx, owner, asked.key_name)
    if asked.metadata:
        limits = await quotas.quota_limits(tx, owner.project_id, owner.user_id)
        if 0 <= limits["metadata_items"] < len(asked.metadata):
            raise Forbidden(f"Quota exceeded, too many metadata items: at most {limits['metadata_items']} are allowed.")
    if asked.most > 1 and isinstance(asked.networks, list):
        _refuse_shared(asked.networks)
    wanted = {"instances": 1, "cores": flavor["vcpus"], "ram": flavor["memory_mib"]}
    count = await quotas.servers_fit(tx, owner.project_id, owner.user_id, wanted, asked.least, asked.most)
    reservation_id = "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    common = {**_flavor_columns(flavor), **_key_columns(key), **_asked_columns(asked)}
    common |= {
        "project_id": owner.project_id,
        "user_id": owner.user_id,
        "image_id": image.id,
        "reservation_id": reservation_id,
    }
    servers = [await _one(tx, owner, asked, common, index, count) for index in range(count)]
    return Accepted(servers=servers, reservation_id=reservation_id)


def _refuse_shared(networks: list[NetworkAsked]) -> None:
    for network in networks:
        if network.port_id is not None:
            raise BadRequest("Unable to launch multiple instances with a single configured port ID.")
        if network.fixed_ip is not None:
            raise BadRequest("Invalid fixed IPs with max_count greater than 1.")


async def _one(tx: Tx, owner: Owner, asked: ServerAsked, common: dict[str, Any], index: int, count: int) -> Any:
    server_id = new_id()
    name = asked.name if count == 1 else f"{asked.name}-{index + 1}"
    hostname = hostname_of(name, f"server-{server_id}")
    if asked.hostname is not None:
        hostname = asked.hostname if count == 1 else f"{asked.hostname}-{index + 1}"
    server = await server_insert(
        tx, {**common, "id": server_id, "name": name, "hostname": hostname, "launch_index": index}
    )
    await wiring.ports_asked(tx, owner.project_id, owner.is_admin, server, asked.networks)
    event = ServerRequested(server_id=server_id, name=name, flavor_id=server["flavor_id"], image_id=server["image_id"])
    tx.publish(event, project_id=owner.project_id)
    first = FirstOrder(to="scheduler", command=place_order(server))
    await operation_start(tx, "server_create", resource_type="server", resource_id=server_id, first=first)
    return server


async def _flavor(tx: Tx, owner: Owner, flavor_id: str) -> Any:
    try:
        flavor = await flavor_get(tx, flavor_id, project_id=None if owner.is_admin else owner.project_id)
    except NotFound as error:
        raise BadRequest(error.reason, code=error.code) from None
    if flavor["disk_gib"] == 0 and not owner.zero_disk:
        raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
    return flavor


async def _image(tx: Tx, owner: Owner, image_id: str, flavor: Any) -> Any:
    """The image, if it boots and fits into the flavor."""
    try:
        image = await image_for_boot(tx, image_id, project_id=owner.project_id, is_admin=owner.is_admin)
    except NotFound:
        raise BadRequest("Can not find requested image", code="image.not-found") from None
    if image.min_ram > flavor["memory_mib"]:
        raise BadRequest("Flavor's memory is too small for requested image.", code="flavor.memory-too-small")
    disk = flavor["disk_gib"]
    if 0 < disk < max(image.min_disk, (image.virtual_size or image.size or 0) / GIB):
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {disk * GIB} bytes, image needs "
            f"{max(image.min_disk * GIB, image.virtual_size or image.size or 0)} bytes.",
            code="flavor.disk-too-small",
        )
    return image


async def _key(tx: Tx, owner: Owner, name: str | None) -> Any:
    if name is None:
        return None
    try:
        return await keypairs.keypair_get(tx, owner.user_id, name)
    except NotFound:
        raise BadRequest("Invalid key_name provided.", code="keypair.not-found") from None


def _flavor_columns(flavor: Any) -> dict[str, Any]:
    same = ("vcpus", "memory_mib", "disk_gib", "ephemeral_gib", "swap_mib", "extra_specs")
    return {"flavor_id": flavor["id"], "flavor_name": flavor["name"], **{name: flavor[name] for name in same}}


def _key_columns(key: Any) -> dict[str, Any]:
    if key is None:
        return {"key_name": None, "key_type": None, "public_key": None}
    return {"key_name": key["name"], "key_type": key["type"], "public_key": key["public_key"]}


def _asked_columns(asked: ServerAsked) -> dict[str, Any]:
    same = [
        "description",
        "user_data",
        "config_drive",
        "metadata",
        "tags",
        "trusted_certs",
        "security_groups",
        "zone",
        "wanted_host",
        "access_ipv4",
        "access_ipv6",
        "disk_config",
    ]
    columns: dict[str, Any] = {name: getattr(asked, name) for name in same}
    if asked.networks == "none":
        columns["security_groups"] = []  # groups guard ports, and there are none
    return {**columns, "state": State.BUILD.value, "task_state": FIRST_TASK}
