"""Images as the API shows them: extra properties stand beside the attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.http.times import seconds_z
from skybus.image.images import Image


def image_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """The image object of API v2 from a row of `images.COLUMNS`."""
    image_id = row["id"]
    active = row["data_name"] is not None
    return {
        **row["properties"],
        "id": image_id,
        "name": row["name"],
        "status": row["status"],
        "visibility": row["visibility"],
        "owner": row["owner"],
        "disk_format": row["disk_format"],
        "container_format": row["container_format"],
        "min_disk": row["min_disk"],
        "min_ram": row["min_ram"],
        "protected": row["protected"],
        "os_hidden": row["os_hidden"],
        "tags": sorted(row["tags"]),
        "size": row["size"],
        "virtual_size": row["virtual_size"],
        "checksum": row["checksum"],
        "os_hash_algo": "sha512" if active else None,
        "os_hash_value": row["os_hash_value"],
        "created_at": seconds_z(row["created_at"]),
        "updated_at": seconds_z(row["updated_at"]),
        "self": f"/v2/images/{image_id}",
        "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }


def view_of(image: Image) -> dict[str, Any]:
    """The image object of API v2."""
    return image_view({name: getattr(image, name) for name in image.__struct_fields__})


def member_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """The member object of API v2."""
    return {
        "image_id": row["image_id"],
        "member_id": row["member_id"],
        "status": row["status"],
        "created_at": seconds_z(row["created_at"]),
        "updated_at": seconds_z(row["updated_at"]),
        "schema": "/v2/schemas/member",
    }
