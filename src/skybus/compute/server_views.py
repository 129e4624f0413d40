"""A server's row as JSON, right in every microversion. One pass over the row, no further queries: lists are long."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from skybus.compute.states import VM_STATES, State, status_of
from skybus.http.call import Call

Addresses = Mapping[str, list[dict[str, Any]]]
"""Network name to `{"version", "addr", "OS-EXT-IPS:type", "OS-EXT-IPS-MAC:mac_addr"}`."""
Volumes = Sequence[tuple[str, bool]]
"""(volume id, delete on termination)."""

PROGRESSING = frozenset(("ACTIVE", "BUILD"))
FAULTY = frozenset(("ERROR", "DELETED"))
API = "os_compute_api:"
ROOT_DEVICE = "/dev/vda"


class ServerViews:
    """Shows servers to one caller in one microversion: what depends on those two is decided here, once."""

    def __init__(self, call: Call) -> None:
        version = call.version
        self.link = f"{call.base}/servers/"
        bookmarks = call.base.rpartition("/")[0]
        self.bookmark = f"{bookmarks}/servers/"
        self.images = f"{bookmarks}/images/"
        self.flavors = f"{bookmarks}/flavors/"
        self.attributes = call.permits(f"{API}os-extended-server-attributes")
        self.host_status = version >= (2, 16) and call.permits(f"{API}servers:show:host_status")
        self.specs = version >= (2, 47) and call.permits(f"{API}servers:show:flavor-extra-specs")
        self.admin = "admin" in call.caller.roles
        self.v3, self.v9, self.v19, self.v26 = (version >= (2, minor) for minor in (3, 9, 19, 26))
        self.v47, self.v63, self.v71, self.v73 = (version >= (2, minor) for minor in (47, 63, 71, 73))
        self.v75, self.v90, self.v96 = (version >= (2, minor) for minor in (75, 90, 96))
        self._host_ids: dict[tuple[str, str], str] = {}

    def brief(self, row: Any) -> dict[str, Any]:
        """Id, name and links."""
        return {"id": row["id"], "name": row["name"], "links": self.links(row["id"])}

    def links(self, id_: str) -> list[dict[str, str]]:
        """Where the server is found."""
        return [{"rel": "self", "href": self.link + id_}, {"rel": "bookmark", "href": self.bookmark + id_}]

    def full(self, row: Any, addresses: Addresses, volumes: Volumes, *, groups: bool = True) -> dict[str, Any]:
        """Everything; `groups` is false in a list, which does not say in which server groups a server is."""
        view = self._core(row, addresses)
        view["OS-EXT-AZ:availability_zone"] = row["host_zone"] or row["zone"] or ""
        view["config_drive"] = "True" if row["config_drive"] else ""
        view["key_name"] = row["key_name"]
        view["OS-SRV-USG:launched_at"] = _micros(row["launched_at"])
        view["OS-SRV-USG:terminated_at"] = _micros(row["terminated_at"])
        if row["security_groups"]:
            view["security_groups"] = [{"name": name} for name in row["security_groups"]]
        view["OS-EXT-STS:task_state"] = row["task_state"]
        view["OS-EXT-STS:vm_state"] = VM_STATES[row["state"]]
        view["OS-EXT-STS:power_state"] = row["power_state"]
        if self.v3:
            attached = [{"id": id_, "delete_on_termination": goes} for id_, goes in volumes]
        else:
            attached = [{"id": id_} for id_, _ in volumes]
        view["os-extended-volumes:volumes_attached"] = attached
        if self.attributes:
            self._add_attributes(view, row)
        if self.host_status:
            view["host_status"] = _host_status(row)
        if self.v96:
            view["pinned_availability_zone"] = row["zone"]
        if groups and self.v71:
            view["server_groups"] = []
        return view

    def changed(self, row: Any, addresses: Addresses, volumes: Volumes) -> dict[str, Any]:
        """What a PUT answers: all from 2.75 on, and the core of it before, its addresses without our extensions."""
        if self.v75:
            return self.full(row, addresses, volumes)
        plain = {
            name: [{"version": one["version"], "addr": one["addr"]} for one in found]
            for name, found in addresses.items()
        }
        view = self._core(row, plain)
        if self.v71:
            view["server_groups"] = []
        return view

    def _core(self, row: Any, addresses: Addresses) -> dict[str, Any]:
        id_ = row["id"]
        status = status_of(row["state"], row["task_state"])
        view = {
            "id": id_,
            "name": row["name"],
            "status": status,
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": row["metadata"],
            "hostId": self._host_id(row["project_id"], row["host"]),
            "image": self._image(row["image_id"]),
            "flavor": self._flavor(row),
            "created": _seconds(row["created_at"]),
            "updated": _seconds(row["updated_at"]),
            "addresses": {} if status == State.BUILD else addresses,
            "accessIPv4": row["access_ipv4"],
            "accessIPv6": row["access_ipv6"],
            "links": self.links(id_),
            "OS-DCF:diskConfig": row["disk_config"],
        }
        if status in PROGRESSING:
            view["progress"] = 0
        elif status in FAULTY and row["fault_code"] is not None:
            view["fault"] = self._fault(row)
        if self.v9:
            view["locked"] = row["locked_by"] is not None
        if self.v19:
            view["description"] = row["description"]
        if self.v26:
            view["tags"] = row["tags"]
        if self.v63:
            view["trusted_image_certificates"] = row["trusted_certs"]
        if self.v73:
            view["locked_reason"] = row["locked_reason"]
        if self.v90:
            view["OS-EXT-SRV-ATTR:hostname"] = row["hostname"]
        return view

    def _host_id(self, project_id: str, host: str | None) -> str:
        if host is None:
            return ""
        known = self._host_ids.get((project_id, host))
        if known is None:
            known = self._host_ids[project_id, host] = host_id(project_id, host)
        return known

    def _image(self, image_id: str | None) -> Any:
        if image_id is None:
            return ""
        return {"id": image_id, "links": [{"rel": "bookmark", "href": self.images + image_id}]}

    def _flavor(self, row: Any) -> dict[str, Any]:
        if not self.v47:
            id_ = row["flavor_id"]
            return {"id": id_, "links": [{"rel": "bookmark", "href": self.flavors + id_}]}
        flavor = {
            "vcpus": row["vcpus"],
            "ram": row["memory_mib"],
            "disk": row["disk_gib"],
            "ephemeral": row["ephemeral_gib"],
            "swap": row["swap_mib"],
            "original_name": row["flavor_name"],
        }
        if self.specs:
            flavor["extra_specs"] = row["extra_specs"]
        return flavor

    def _fault(self, row: Any) -> dict[str, Any]:
        fault = {"code": row["fault_code"], "created": _seconds(row["fault_at"]), "message": row["fault_message"]}
        # Details name hosts: with code 500 they are the administrator's.
        if row["fault_details"] and (self.admin or row["fault_code"] != 500):
            fault["details"] = row["fault_details"]
        return fault

    def _add_attributes(self, view: dict[str, Any], row: Any) -> None:
        view["OS-EXT-SRV-ATTR:host"] = row["host"]
        view["OS-EXT-SRV-ATTR:instance_name"] = f"instance-{row['number']:08x}"
        view["OS-EXT-SRV-ATTR:hypervisor_hostname"] = row["host"]
        if self.v3:
            view["OS-EXT-SRV-ATTR:hostname"] = row["hostname"]
            view["OS-EXT-SRV-ATTR:kernel_id"] = ""
            view["OS-EXT-SRV-ATTR:ramdisk_id"] = ""
            view["OS-EXT-SRV-ATTR:launch_index"] = row["launch_index"]
            view["OS-EXT-SRV-ATTR:reservation_id"] = row["reservation_id"]
            view["OS-EXT-SRV-ATTR:root_device_name"] = ROOT_DEVICE
            view["OS-EXT-SRV-ATTR:user_data"] = row["user_data"]


def host_id(project_id: str, host: str | None) -> str:
    """A name for the host that says the same to one project each time, and nothing to it of which host it is."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def _host_status(row: Any) -> str:
    if row["host"] is None:
        return ""
    if row["host_up"] is None:
        return "UNKNOWN"
    if row["host_disabled"]:
        return "MAINTENANCE"
    if row["host_forced_down"]:
        return "DOWN"
    return "UP" if row["host_up"] else "UNKNOWN"


def _seconds(moment: datetime) -> str:
    return moment.isoformat()[:19] + "Z"  # Postgres answers in UTC


def _micros(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")[:26]
