"""What the metadata service says: a port and a path in, a document out.

Two trees: OpenStack's (`/openstack/<version>/meta_data.json` and its neighbours) and EC2's
(`/<version>/meta-data/...`). A listing names its entries, one to a line, folders with a slash at the end.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from skybus.messages.compute import InstanceMetadata
from skybus.messages.network import PortBinding

OPENSTACK_VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "latest",
)
EC2_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
)

JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"

OPENSTACK = "openstack"
"""The root of OpenStack's tree, which EC2's listing does not show."""


@dataclass(frozen=True, slots=True)
class Document:
    """One answer."""

    body: bytes
    content_type: str = TEXT

    @property
    def mark(self) -> str:
        """What follows its name in a listing."""
        return ""


@dataclass(frozen=True, slots=True)
class Folder:
    """Documents and folders by name; asked for, it answers with its listing."""

    entries: Mapping[str, Document | Folder]
    mark: str = "/"
    """What follows its name in a listing."""

    def listing(self) -> Document:
        """The names."""
        return Document("\n".join(name + entry.mark for name, entry in self.entries.items()).encode())


def document(port: PortBinding, path: str) -> Document | None:
    """What a guest that asks from `port` finds at `path`, or None when there is nothing."""
    if port.metadata is None:
        return None
    parts = [part for part in path.split("/") if part]
    found: Folder | Document
    if parts[:1] == [OPENSTACK]:
        found, parts = _openstack(port.metadata), parts[1:]
    else:
        found = _ec2(port, port.metadata)
    for part in parts:
        if isinstance(found, Document) or part not in found.entries:
            return None
        found = found.entries[part]
    return found if isinstance(found, Document) else found.listing()


def _openstack(about: InstanceMetadata) -> Folder:
    user_data = _user_data(about)
    files: dict[str, Document | Folder] = {
        "meta_data.json": _json(about.meta_data),
        **({} if user_data is None else {"user_data": Document(user_data, BYTES)}),
        "network_data.json": _json(about.network_data),
        "vendor_data.json": _json({}),
        "vendor_data2.json": _json({}),
    }
    return Folder({version: Folder(files, mark="") for version in OPENSTACK_VERSIONS})


def _ec2(port: PortBinding, about: InstanceMetadata) -> Folder:
    user_data = _user_data(about)
    identity = {"document": about.identity_document, "signature": about.identity_signature}
    files: dict[str, Document | Folder] = {
        "meta-data": _meta_data(port, about),
        **({} if user_data is None else {"user-data": Document(user_data, BYTES)}),
        **({"dynamic": Folder({"instance-identity": _texts(identity)})} if about.identity_document else {}),
    }
    return Folder({version: Folder(files, mark="") for version in EC2_VERSIONS})


def _meta_data(port: PortBinding, about: InstanceMetadata) -> Folder:
    facts = about.meta_data
    hostname = str(facts.get("hostname") or port.hostname)
    ipv4 = [ip for _, ip in port.fixed_ips if ipaddress.ip_address(ip).version == 4]
    keys = facts.get("public_keys")
    texts = {
        "ami-id": ec2_id("ami", _image_id(about)),
        "ami-launch-index": str(facts.get("launch_index", 0)),
        "ami-manifest-path": "(unknown)",
        "hostname": hostname,
        "instance-action": "none",
        "instance-id": ec2_id("i", about.server_id),
        "local-hostname": hostname,
        "local-ipv4": ipv4[0] if ipv4 else "",
        "mac": port.mac.lower(),
        "public-hostname": hostname,
        "public-ipv4": "",
        "reservation-id": ec2_id("r", about.server_id),
    }
    folders = {
        "block-device-mapping": _texts({"ami": "vda", "root": "/dev/vda"}),
        "placement": _texts({"availability-zone": str(facts.get("availability_zone") or "")}),
    }
    if isinstance(keys, Mapping) and keys:
        folders["public-keys"] = _public_keys(keys)
    return Folder({**_texts(texts).entries, **folders})


def _public_keys(keys: Mapping[str, object]) -> Folder:
    """One folder for each key; the listing shows its number and name."""
    folders = {}
    for number, (name, key) in enumerate(keys.items()):
        folders[str(number)] = Folder({"openssh-key": Document(str(key).encode())}, mark=f"={name}")
    return Folder(folders)


def _image_id(about: InstanceMetadata) -> str:
    """The image as the signed identity names it, when it does."""
    try:
        identity = msgspec.json.decode(about.identity_document or "{}", type=dict[str, object])
    except msgspec.MsgspecError:
        return ""
    return str(identity.get("imageId") or identity.get("image_id") or "")


def ec2_id(kind: str, of: str) -> str:
    """EC2's short form of a UUID: its last 17 digits, which are the random ones; zeros when there is none."""
    try:
        return f"{kind}-{uuid.UUID(of).hex[-17:]}"
    except ValueError:
        return f"{kind}-{0:017x}"


def _user_data(about: InstanceMetadata) -> bytes | None:
    if about.user_data is None:
        return None
    try:
        return base64.b64decode(about.user_data, validate=True)
    except (binascii.Error, ValueError):
        # Better what the user wrote than nothing at all.
        return about.user_data.encode()


def _texts(texts: Mapping[str, str]) -> Folder:
    return Folder({name: Document(text.encode()) for name, text in texts.items()})


def _json(value: object) -> Document:
    return Document(msgspec.json.encode(value), JSON)
