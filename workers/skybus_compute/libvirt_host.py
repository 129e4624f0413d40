"""What libvirt says of a host and of the guests on it. These functions block; `LibvirtLink.call` runs them."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import libvirt

from skybus.errors import CommandRefused
from skybus.messages.compute import PowerState
from skybus_compute.domain_xml import domain_name, mark_of, parse, vnc_port_of
from skybus_compute.hypervisor import Guest, HostFacts

GIB = 1 << 30
_PREFIX = domain_name("")

_POWER: dict[int, PowerState] = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_SHUTDOWN: "running",  # on its way; its processes still hold the devices
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}


def power_state(state: int, reason: int) -> PowerState:
    """libvirt's state and reason in the cloud's words: a guest whose QEMU died has crashed."""
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        return "crashed"
    return _POWER.get(state, "shutdown")


def host_facts(connection: Any, state_dir: Path) -> HostFacts:
    """What the host has. The disk is the file system that the guests' files are on."""
    model, memory_mib, cpus, _mhz, _nodes, sockets, cores, threads = connection.getInfo()
    cpu = parse(connection.getCapabilities()).find("host/cpu")
    info: dict[str, Any] = {"arch": model, "topology": {"sockets": sockets, "cores": cores, "threads": threads}}
    if cpu is not None:
        info |= {"model": cpu.findtext("model"), "vendor": cpu.findtext("vendor")}
        info["features"] = sorted(feature.get("name", "") for feature in cpu.iterfind("feature"))
    return HostFacts(
        hypervisor_type=connection.getType(),
        hypervisor_version=connection.getVersion(),
        vcpus=cpus,
        memory_mib=memory_mib,
        disk_gib=shutil.disk_usage(state_dir).total // GIB,
        cpu_info=info,
    )


def all_guests(connection: Any) -> list[Guest]:
    """Our guests with their power states, in one call."""
    stats = connection.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    )
    return [
        Guest(server_id=domain.UUIDString(), power_state=power_state(stat["state.state"], stat["state.reason"]))
        for domain, stat in stats
        if is_named_like_ours(domain.UUIDString(), domain.name())
    ]


def is_named_like_ours(uuid: str, name: str) -> bool:
    """Whether a domain is called as our guests are."""
    return name.startswith(_PREFIX) and name == domain_name(uuid)


def look_up(connection: Any, server_id: str) -> Any | None:
    """The domain of a guest of ours, or None. Raises CommandRefused when another domain has its UUID."""
    try:
        domain = connection.lookupByUUIDString(server_id)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    if not is_named_like_ours(server_id, domain.name()):
        raise CommandRefused("a domain that is not of this cloud has the server's id", code="compute.foreign-guest")
    return domain


def must_look_up(connection: Any, server_id: str) -> Any:
    """The domain of a guest. Raises CommandRefused when there is none."""
    domain = look_up(connection, server_id)
    if domain is None:
        raise CommandRefused("there is no such guest on this host", code="compute.no-guest")
    return domain


def read_guest(connection: Any, server_id: str) -> Guest | None:
    """The guest as it is now, or None."""
    domain = look_up(connection, server_id)
    try:
        return None if domain is None else guest_of(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # it vanished while we looked
            return None
        raise


def guest_of(domain: Any) -> Guest:
    """A domain of ours as a guest. Raises CommandRefused when its metadata is not ours."""
    state = power_state(*domain.state())
    definition = live_xml(domain)
    mark = mark_of(definition)
    if mark is None:
        raise CommandRefused("a domain that is not of this cloud has the server's id", code="compute.foreign-guest")
    port = vnc_port_of(definition) if state in ("running", "paused") else None
    return Guest(server_id=domain.UUIDString(), power_state=state, vnc_port=port, mark=mark)


def live_xml(domain: Any) -> ET.Element:
    """The running guest, or its definition when it is off."""
    return parse(domain.XMLDesc(0))


def stored_xml(domain: Any) -> ET.Element:
    """The definition that the next start uses."""
    return parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
