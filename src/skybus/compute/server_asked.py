"""What a request for servers says: its fields in the microversion it speaks, checked as far as that goes alone."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from skybus.compute.asked import boolean
from skybus.errors import BadRequest
from skybus.http.versions import Version
from skybus.ids import is_uuid

SINCE: Mapping[str, Version] = {
    "description": (2, 19),
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
}
"""When a field came into the API."""
UNTIL: Mapping[str, Version] = {"personality": (2, 56)}
"""When a field left it."""
NETWORKS_REQUIRED_SINCE: Version = (2, 37)
NETWORK_TAG_SINCE: Version = (2, 32)
NETWORK_TAG_GONE: tuple[Version, Version] = ((2, 37), (2, 41))
FQDN_SINCE: Version = (2, 94)
MOST_SERVERS = 1000
"""In one request."""
LONGEST_LABEL = 63


class NetworkAsked(msgspec.Struct, frozen=True, kw_only=True):
    """One network card that was asked for: a port that exists, or one to be made on a network."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None


class ServerAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for servers."""

    name: str
    flavor_id: str
    image_id: str
    networks: list[NetworkAsked] | str | None
    """A list, or `auto`, or `none`; None when nothing was said, which up to 2.36 is allowed."""
    metadata: dict[str, str] = {}
    description: str | None = None
    hostname: str | None = None
    key_name: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    security_groups: list[str] = []
    zone: str | None = None
    wanted_host: str | None = None
    least: int = 1
    most: int = 1
    reservation: bool = False
    """Answer with the reservation's id instead of the first server."""
    tags: list[str] = []
    trusted_certs: list[str] | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "MANUAL"
    password: str | None = None


def refuse_unborn(fields: Mapping[str, Any], version: Version) -> None:
    """Raises BadRequest for a field that the API has not in `version`."""
    for name in fields:
        if version < SINCE.get(name, version) or version > UNTIL.get(name, version):
            raise BadRequest(f"Additional properties are not allowed ({name!r} was unexpected).")


def server_asked(fields: Mapping[str, Any], version: Version) -> ServerAsked:
    """Understand the `server` of a request body that its schema has let through. Raises BadRequest."""
    refuse_unborn(fields, version)
    least = int(fields.get("min_count", 1))
    most = int(fields.get("max_count", least))
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    if most > MOST_SERVERS:
        raise BadRequest(f"max_count must be <= {MOST_SERVERS}")
    zone, host = _zone_of(fields)
    groups = [group["name"] for group in fields.get("security_groups", []) if "name" in group]
    return ServerAsked(
        name=fields["name"],
        flavor_id=str(fields["flavorRef"]).rstrip("/").rsplit("/", 1)[-1],
        image_id=_image_of(fields),
        networks=_networks_of(fields, version),
        metadata=fields.get("metadata", {}),
        description=fields.get("description") if version >= SINCE["description"] else fields["name"],
        hostname=_hostname_of(fields, version),
        key_name=fields.get("key_name"),
        user_data=_user_data_of(fields),
        config_drive=boolean(fields.get("config_drive", False), "config_drive"),
        security_groups=sorted(set(groups)) or ["default"],
        zone=zone,
        wanted_host=host,
        least=least,
        most=most,
        reservation=boolean(fields.get("return_reservation_id", False), "return_reservation_id"),
        tags=list(dict.fromkeys(fields.get("tags", []))),
        trusted_certs=fields.get("trusted_image_certificates"),
        access_ipv4=address_of(fields.get("accessIPv4", ""), 4),
        access_ipv6=address_of(fields.get("accessIPv6", ""), 6),
        disk_config=fields.get("OS-DCF:diskConfig", "MANUAL"),
        password=fields.get("adminPass"),
    )


def address_of(text: str, version: int) -> str:
    """An address of that family in its usual spelling, or an empty string. Raises BadRequest."""
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise BadRequest(f"Invalid input for field/attribute accessIPv{version}. Value: {text}.")
    return str(address)


def _zone_of(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(zone, host): an administrator's `zone:host:node` names a host too."""
    text = fields.get("availability_zone")
    parts = text.split(":") if text else []
    if len(parts) > 3:
        raise BadRequest("Unable to parse availability_zone: it is not zone:host:node.")
    hosts = {name for name in (*parts[1:], fields.get("host"), fields.get("hypervisor_hostname")) if name}
    if len(parts) > 1 and (fields.get("host") or fields.get("hypervisor_hostname")):
        raise BadRequest(
            "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are "
            "mutually exclusive."
        )
    if len(hosts) > 1:
        raise BadRequest("The host and the hypervisor_hostname name two hosts; here they are one and the same.")
    return (parts[0] or None) if parts else None, hosts.pop() if hosts else None


def _hostname_of(fields: Mapping[str, Any], version: Version) -> str | None:
    hostname: str | None = fields.get("hostname")
    if hostname is None:
        return None
    labels = hostname.split(".")
    if version < FQDN_SINCE and len(labels) > 1:
        raise BadRequest("Invalid input for field/attribute hostname. It must be a host name without a domain.")
    if any(not label or len(label) > LONGEST_LABEL or label != label.strip("-") for label in labels):
        raise BadRequest("Invalid input for field/attribute hostname. It must be a host name as DNS has them.")
    if "_" in hostname:
        raise BadRequest("Invalid input for field/attribute hostname. It must not have underscores.")
    return hostname


def _user_data_of(fields: Mapping[str, Any]) -> str | None:
    text: str | None = fields.get("user_data")
    if text:
        try:
            base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("Invalid input for field/attribute user_data. It must be base64.") from None
    return text or None


def _image_of(fields: Mapping[str, Any]) -> str:
    """The image that the server boots from: `imageRef`, or the one of an equal block device."""
    image = str(fields.get("imageRef", "")).rstrip("/").rsplit("/", 1)[-1]
    if fields.get("block_device_mapping"):
        raise _no_volumes()
    devices = fields.get("block_device_mapping_v2", [])
    boot = [_boot_image(device) for device in devices]
    if len(boot) > 1:
        raise BadRequest("Block Device Mapping is Invalid: Boot sequence for the instance and image combination is.")
    if boot and image and boot[0] != image:
        raise BadRequest("Block Device Mapping is Invalid: the block device's image is not the imageRef.")
    image = image or (boot[0] if boot else "")
    if not image:
        raise BadRequest("Missing imageRef attribute")
    if not is_uuid(image):
        raise BadRequest("Invalid imageRef provided.")
    return image


def _boot_image(device: Mapping[str, Any]) -> str:
    source, destination = device.get("source_type"), device.get("destination_type", "local")
    if source is None:
        raise BadRequest("Block Device Mapping is Invalid: a device without a source_type.")
    if source != "image" or destination != "local":
        raise _no_volumes()
    if device.get("boot_index") is None or int(device["boot_index"]) != 0:
        raise BadRequest("Block Device Mapping is Invalid: an image on a local disk must have boot_index 0.")
    image = device.get("uuid") or device.get("image_id")
    if not image:
        raise BadRequest("Block Device Mapping is Invalid: a device of source_type image needs the image's uuid.")
    return str(image)


def _no_volumes() -> BadRequest:
    return BadRequest(
        "Block Device Mapping is Invalid: this cloud boots servers from an image on a local disk; booting from a "
        "volume or a snapshot, and blank or extra disks at the boot, are not offered yet. Attach volumes once the "
        "server is active.",
        code="server.boot-from-volume",
    )


def _networks_of(fields: Mapping[str, Any], version: Version) -> list[NetworkAsked] | str | None:
    networks = fields.get("networks")
    if networks is None:
        if version >= NETWORKS_REQUIRED_SINCE:
            raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property.")
        return None
    if isinstance(networks, str):
        if version < NETWORKS_REQUIRED_SINCE:
            raise BadRequest(f"Invalid input for field/attribute networks. Value: {networks}. It must be a list.")
        return networks
    asked = [_network_of(one, version) for one in networks]
    ports = [one.port_id for one in asked if one.port_id is not None]
    if len(ports) != len(set(ports)):
        raise BadRequest("A port was specified twice: you cannot attach a port multiple times.")
    return asked or None


def _network_of(network: Mapping[str, Any], version: Version) -> NetworkAsked:
    first, last = NETWORK_TAG_GONE
    if "tag" in network and (version < NETWORK_TAG_SINCE or first <= version <= last):
        raise BadRequest("Additional properties are not allowed ('tag' was unexpected).")
    fixed_ip, port = network.get("fixed_ip"), network.get("port")
    if fixed_ip is not None:
        try:
            fixed_ip = str(ipaddress.ip_address(fixed_ip))
        except ValueError:
            raise BadRequest(f"Invalid input for field/attribute fixed_ip. Value: {fixed_ip}.") from None
    if port is not None:
        if fixed_ip is not None:
            raise BadRequest(f"Specified Fixed IP '{fixed_ip}' cannot be used with port '{port}'.")
        if not is_uuid(port):
            raise BadRequest(f"Bad networks format: port uuid is not in proper format ({port})")
        return NetworkAsked(port_id=port)
    network_id = network.get("uuid")
    if network_id is None:
        raise BadRequest("Bad network format: missing 'uuid'")
    if not is_uuid(network_id):
        raise BadRequest(f"Bad networks format: network uuid is not in proper format ({network_id})")
    return NetworkAsked(network_id=network_id, fixed_ip=fixed_ip)
