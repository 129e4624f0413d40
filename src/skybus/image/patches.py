"""PATCH of an image: two generations of JSON patch, read and applied without touching anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skybus.errors import BadRequest, Conflict, Forbidden, TooLarge, UnsupportedMedia
from skybus.http import schemas
from skybus.image.images import Image

MEDIA_V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_V20 = "application/openstack-images-v2.0-json-patch"
READ_ONLY = frozenset(
    [
        "created_at",
        "updated_at",
        "status",
        "checksum",
        "size",
        "virtual_size",
        "direct_url",
        "self",
        "file",
        "schema",
        "id",
        "os_hash_algo",
        "os_hash_value",
        "stores",
        "locations",
    ]
)
RESERVED = frozenset({"location", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance"
ATTRIBUTES = frozenset(
    [
        "name",
        "visibility",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
        "protected",
        "os_hidden",
        "tags",
        "owner",
    ]
)
FORMATS = frozenset({"disk_format", "container_format"})
MAX_PROPERTIES = 128
MAX_TAGS = 128
OPERATIONS = ("add", "remove", "replace")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a patch on one attribute or property."""

    op: str
    name: str
    value: Any = None
    old_style: bool = False
    """Of the v2.0 form, whose `add` refuses what is already there."""


def check_names(names: Sequence[str] | Mapping[str, Any]) -> None:
    """Raises Forbidden for an attribute that users do not write, BadRequest for a name that is too long."""
    for name in names:
        if name in READ_ONLY:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name in RESERVED or name.startswith(RESERVED_PREFIX):
            raise Forbidden(f"Attribute '{name[:64]}' is reserved.")
        if not 0 < len(name) <= 255:
            raise BadRequest("Custom property should not be greater than 255 characters.")


def changes_of(media: str, body: Any) -> list[Change]:
    """The operations in a patch of media type `media`. Raises UnsupportedMedia, BadRequest or Forbidden."""
    if media not in (MEDIA_V20, MEDIA_V21):
        raise UnsupportedMedia(f"The media type {media} is not supported, use {MEDIA_V21}.")
    changes = [_change(raw, media == MEDIA_V20) for raw in body]
    check_names([change.name for change in changes])
    for change in changes:
        if change.op != "remove":
            schemas.check("image/image-attributes", {change.name: change.value})
    return changes


def _change(raw: dict[str, Any], old_style: bool) -> Change:
    if old_style:
        named = [op for op in OPERATIONS if op in raw]
        if len(named) != 1:
            raise BadRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".')
        op, pointer = named[0], raw[named[0]]
    else:
        op, pointer = raw.get("op", ""), raw.get("path")
    if op not in OPERATIONS:
        raise BadRequest(f"Invalid operation: it must be one of the following: {', '.join(OPERATIONS)}.")
    if pointer is None:
        raise BadRequest("Unable to find 'path' in JSON Schema change.")
    if op != "remove" and "value" not in raw:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    return Change(op=op, name=_name(pointer), value=raw.get("value"), old_style=old_style)


def _name(pointer: str) -> str:
    if not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{pointer[:64]}` does not start with "/".')
    if re.search("~(?![01])", pointer):
        raise BadRequest(f'Pointer `{pointer[:64]}` contains "~" that is not part of an escape sequence.')
    parts = [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/")]
    if len(parts) != 1 or not parts[0]:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{pointer[:64]}'.")
    return parts[0]


def patched(image: Image, changes: Sequence[Change], *, is_admin: bool) -> Image:
    """The image after all `changes`, in order. Raises Forbidden, Conflict, TooLarge."""
    attributes: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in changes:
        if change.name in ATTRIBUTES:
            _check_attribute(image, change, is_admin)
            attributes[change.name] = change.value
        else:
            _change_property(properties, change)
    if "tags" in attributes:
        attributes["tags"] = sorted(set(attributes["tags"]))
    check_amounts(properties, attributes.get("tags", ()))
    return msgspec.structs.replace(image, properties=properties, **attributes)


def _check_attribute(image: Image, change: Change, is_admin: bool) -> None:
    name = change.name
    if change.op == "remove":
        raise Forbidden(f"Property {name} may not be removed.")
    if change.op == "add" and change.old_style:
        raise Conflict(f"Property {name} already present.")
    if name == "owner" and not is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if name in FORMATS and image.status != "queued" and change.value != getattr(image, name):
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")


def _change_property(properties: dict[str, str], change: Change) -> None:
    present = change.name in properties
    if change.op == "add":
        if present and change.old_style:
            raise Conflict(f"Property {change.name} already present.")
        properties[change.name] = change.value
    elif not present:
        raise Conflict(f"Property {change.name} does not exist.")
    elif change.op == "remove":
        del properties[change.name]
    else:
        properties[change.name] = change.value


def check_amounts(properties: Mapping[str, str], tags: Sequence[str]) -> None:
    """Raises TooLarge for more properties or tags than an image may have."""
    if len(properties) > MAX_PROPERTIES:
        raise TooLarge(f"Attempted to set {len(properties)} properties; an image may have {MAX_PROPERTIES}.")
    if len(tags) > MAX_TAGS:
        raise TooLarge(f"Attempted to set {len(tags)} tags; an image may have {MAX_TAGS}.")


def changed_names(old: Image, new: Image) -> list[str]:
    """Names of the attributes and properties in which the two differ."""
    names = {name for name in ATTRIBUTES if getattr(old, name) != getattr(new, name)}
    for name in old.properties.keys() | new.properties.keys():
        if old.properties.get(name) != new.properties.get(name):
            names.add(name)
    return sorted(names)
