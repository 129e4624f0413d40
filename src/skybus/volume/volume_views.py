"""Volumes as the API shows them, in each microversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skybus.http.call import Call
from skybus.http.times import micros
from skybus.volume.forms import collection

BACKEND = "skybus"
POOL = "pool"


class Viewer:
    """Makes the objects of one response: what they have in common is found out once."""

    def __init__(self, call: Call) -> None:
        self.version = call.version
        self.base = collection(call, "volumes")
        self.bookmark = self.base.replace("/v3/", "/", 1)
        self.shows_host = call.permits("volume_extension:volume_host_attribute")
        self.shows_migration = call.permits("volume_extension:volume_mig_status_attribute")
        self.admin = "admin" in call.caller.roles

    def brief(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a list without details shows."""
        return {"id": row["id"], "name": row["name"], "links": self._links(row["id"])}

    def created(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What creating and updating answer."""
        view = {
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "status": row["status"],
            "size": row["size_gib"],
            "availability_zone": row["availability_zone"],
            "created_at": micros(row["created_at"]),
            "updated_at": micros(row["updated_at"]),
            "user_id": row["user_id"],
            "volume_type": row["type_name"],
            "metadata": row["metadata"],
            "attachments": self._attachments(row),
            "links": self._links(row["id"]),
            "bootable": "true" if row["bootable"] else "false",
            "encrypted": False,
            "multiattach": False,
            "snapshot_id": None,
            "source_volid": None,
            "consistencygroup_id": None,
            "replication_status": None,
        }
        if self.admin:
            view["migration_status"] = None
        if self.version >= (3, 13):
            view["group_id"] = None
        if self.version >= (3, 21) and self.admin:
            view["provider_id"] = None
        if self.version >= (3, 48):
            view["shared_targets"] = False
            view["service_uuid"] = None
        if self.version >= (3, 61) and self.admin:
            view["cluster_name"] = None
        if self.version >= (3, 63):
            view["volume_type_id"] = row["type_id"]
        if self.version >= (3, 65):
            view["consumes_quota"] = True
        return view

    def full(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What showing and listing in detail answer."""
        view = self.created(row)
        view["os-vol-tenant-attr:tenant_id"] = row["project_id"]
        if self.shows_host:
            view["os-vol-host-attr:host"] = f"{row['host']}@{BACKEND}#{POOL}" if row["host"] else None
        if self.shows_migration:
            view["os-vol-mig-status-attr:migstat"] = None
            view["os-vol-mig-status-attr:name_id"] = None
        return view

    def _links(self, volume_id: str) -> list[dict[str, str]]:
        return [
            {"rel": "self", "href": f"{self.base}/{volume_id}"},
            {"rel": "bookmark", "href": f"{self.bookmark}/{volume_id}"},
        ]

    def _attachments(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        if row.get("attachment_id") is None or row["attachment_state"] == "attaching":
            return []
        attached = {
            "id": row["id"],
            "attachment_id": row["attachment_id"],
            "volume_id": row["id"],
            "server_id": row["server_id"],
            "host_name": None,
            "device": row["device"],
            "attached_at": micros(row["attached_at"]),
        }
        return [attached]
