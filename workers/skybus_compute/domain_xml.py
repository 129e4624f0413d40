"""A guest in libvirt's words. Pure: an order in, XML out; and XML in, facts out."""

from __future__ import annotations

# What is parsed here comes from the local libvirtd, which wrote it itself.
import xml.etree.ElementTree as ET
from typing import Literal

from skybus.errors import CommandRefused
from skybus.messages.compute import GuestPort, GuestVolume, SpawnGuest
from skybus_compute.guest_files import GuestFiles
from skybus_compute.volume_device import device_name

Accelerator = Literal["kvm", "qemu"]

NAMESPACE = "urn:skybus:1"
GUEST_TAG = f"{{{NAMESPACE}}}guest"
EMULATOR = "/usr/bin/qemu-system-x86_64"
X86_64_V2 = ("ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "lahf_lm")
TCG_CACHE_MIB = "128"
"""QEMU's own default grows to a GiB for each guest."""

ET.register_namespace("sky", NAMESPACE)


def domain_name(server_id: str) -> str:
    """What libvirt calls the guest."""
    return f"sky-{server_id}"


def domain_xml(order: SpawnGuest, files: GuestFiles, accelerator: Accelerator) -> str:
    """The definition of the guest that `order` asks for. No text of the user's own is in it."""
    domain = ET.Element("domain", type=accelerator)
    _add(domain, "name", domain_name(order.server_id))
    _add(domain, "uuid", order.server_id)
    metadata = _add(domain, "metadata")
    metadata.append(guest_element(order.server_id, order.project_id, ""))
    _add(domain, "memory", str(order.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(order.vcpus), placement="static")
    domain.extend([_firmware_identity(order.server_id), _boot(), _features(accelerator), _cpu(accelerator)])
    _add(domain, "clock", offset="utc")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _add(domain, event, action)
    domain.append(_devices(order, files))
    return ET.tostring(domain, encoding="unicode")


def guest_element(server_id: str, project_id: str, mark: str) -> ET.Element:
    """Our own words in the domain's metadata."""
    return ET.Element(GUEST_TAG, server=server_id, project=project_id, mark=mark)


def volume_xml(server_id: str, volume: GuestVolume) -> str:
    """A volume as a device to attach."""
    return ET.tostring(_volume_disk(server_id, volume), encoding="unicode")


def secret_xml(usage_name: str) -> str:
    """The secret that holds a volume's CHAP password. Private: libvirt gives it to QEMU and to nobody else.

    Not ephemeral, or a guest with volumes could not be started again after libvirtd was.
    """
    secret = ET.Element("secret", ephemeral="no", private="yes")
    usage = _add(secret, "usage", type="iscsi")
    _add(usage, "target", usage_name)
    return ET.tostring(secret, encoding="unicode")


def secret_usage(server_id: str, attachment_id: str) -> str:
    """The name of an attachment's secret; it begins as all of that server's do, and has no slash, as libvirt wants."""
    return f"skybus.{server_id}.{attachment_id}"


# --- reading


def parse(text: str) -> ET.Element:
    """XML that libvirtd wrote."""
    return ET.fromstring(text)  # noqa: S314  libvirtd's own output


def mark_of(domain: ET.Element) -> str | None:
    """The mark of a guest of ours, or None when the domain is somebody else's."""
    guest = domain.find(f"metadata/{GUEST_TAG}")
    if guest is None or guest.get("server") != domain.findtext("uuid"):
        return None
    return guest.get("mark", "")


def project_of(domain: ET.Element) -> str:
    """Whose guest it is."""
    guest = domain.find(f"metadata/{GUEST_TAG}")
    return guest.get("project", "") if guest is not None else ""


def vnc_port_of(domain: ET.Element) -> int | None:
    """Where the running guest's screen is served."""
    graphics = domain.find("devices/graphics[@type='vnc']")
    port = int(graphics.get("port", "-1")) if graphics is not None else -1
    return port if port > 0 else None


def disk_of(domain: ET.Element, volume_id: str) -> ET.Element | None:
    """The disk that is the volume."""
    for disk in domain.iterfind("devices/disk"):
        if disk.findtext("serial") == volume_id:
            return disk
    return None


def device_is_taken(domain: ET.Element, device: str) -> bool:
    """Whether a disk has that target name."""
    return domain.find(f"devices/disk/target[@dev='{device}']") is not None


# --- writing, piece by piece


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _firmware_identity(server_id: str) -> ET.Element:
    """cloud-init looks for an OpenStack metadata service where the firmware names this product, and only there."""
    info = ET.Element("sysinfo", type="smbios")
    system = _add(info, "system")
    for name, value in (
        ("manufacturer", "Skybus"),
        ("product", "OpenStack Compute"),
        ("serial", server_id),
        ("uuid", server_id),
        ("family", "Virtual Machine"),
    ):
        _add(system, "entry", value, name=name)
    return info


def _boot() -> ET.Element:
    """Machine `pc`: the config drive is then on IDE, which small guests' kernels have, and not on SATA."""
    system = ET.Element("os")
    _add(system, "type", "hvm", arch="x86_64", machine="pc")
    _add(system, "boot", dev="hd")
    _add(system, "smbios", mode="sysinfo")
    return system


def _features(accelerator: Accelerator) -> ET.Element:
    features = ET.Element("features")
    _add(features, "acpi")
    _add(features, "apic")
    if accelerator == "qemu":
        _add(_add(features, "tcg"), "tb-cache", TCG_CACHE_MIB, unit="MiB")
    return features


def _cpu(accelerator: Accelerator) -> ET.Element:
    """Under KVM the host's processor. In TCG the plainest one, made up to the x86-64-v2 that today's systems want.

    No Intel model: for those, kernels isolate their page tables against faults that TCG does not have.
    """
    if accelerator == "kvm":
        return ET.Element("cpu", mode="host-passthrough", migratable="on")
    cpu = ET.Element("cpu", mode="custom", match="exact", check="none")
    _add(cpu, "model", "qemu64", fallback="forbid")
    for name in X86_64_V2:
        _add(cpu, "feature", policy="require", name=name)
    return cpu


def _devices(order: SpawnGuest, files: GuestFiles) -> ET.Element:
    devices = ET.Element("devices")
    _add(devices, "emulator", EMULATOR)
    devices.append(_root_disk(order, files))
    if order.config_drive:
        devices.append(_config_drive(files))
    devices.extend([_volume_disk(order.server_id, volume) for volume in order.volumes])
    _add(devices, "controller", type="usb", model="none")
    devices.extend([_interface(port) for port in order.ports])
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=str(files.console), append="off")
    _add(serial, "target", type="isa-serial", port="0")
    _add(_add(devices, "console", type="pty"), "target", type="serial", port="0")
    _add(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
    _add(_add(devices, "video"), "model", type="vga", vram="16384")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="virtio")
    return devices


def _root_disk(order: SpawnGuest, files: GuestFiles) -> ET.Element:
    """Every format down the chain is named, so that nothing is ever guessed from what a guest wrote."""
    disk = ET.Element("disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", cache="writeback", discard="unmap")
    _add(disk, "source", file=str(files.disk))
    backing = _add(disk, "backingStore", type="file")
    _add(backing, "format", type=order.image.disk_format)
    base = _add(backing, "source", file=str(files.base))
    # It is shared by guests of many projects, so it does not become the property of the user that QEMU runs as.
    _add(base, "seclabel", model="dac", relabel="no")
    _add(backing, "backingStore")
    _add(disk, "target", dev="vda", bus="virtio")
    return disk


def _config_drive(files: GuestFiles) -> ET.Element:
    disk = ET.Element("disk", type="file", device="cdrom")
    _add(disk, "driver", name="qemu", type="raw")
    _add(disk, "source", file=str(files.config_drive))
    _add(disk, "target", dev="hda", bus="ide")
    _add(disk, "readonly")
    return disk


def _volume_disk(server_id: str, volume: GuestVolume) -> ET.Element:
    """QEMU is its own initiator: no device of the volume's ever appears on the host."""
    target = volume.target
    disk = ET.Element("disk", type="network", device="disk")
    _add(disk, "driver", name="qemu", type="raw", cache="none", discard="unmap")
    source = _add(disk, "source", protocol="iscsi", name=f"{target.iqn}/{target.lun}")
    name, _, port = target.portal.rpartition(":")
    if not name or not port.isdigit():
        raise CommandRefused("the volume's portal is not address:port", code="command.malformed")
    _add(source, "host", name=name.strip("[]"), port=port)
    auth = _add(source, "auth", username=target.chap_user)
    _add(auth, "secret", type="iscsi", usage=secret_usage(server_id, volume.attachment_id))
    _add(disk, "target", dev=device_name(volume.device), bus="virtio")
    _add(disk, "serial", volume.volume_id)
    return disk


def _interface(port: GuestPort) -> ET.Element:
    """A card on a tap that the network agent made. Without its boot ROM, which would only cost seconds."""
    interface = ET.Element("interface", type="ethernet")
    _add(interface, "mac", address=port.mac)
    _add(interface, "target", dev=port.tap, managed="no")
    _add(interface, "model", type="virtio")
    _add(interface, "mtu", size=str(port.mtu))
    _add(interface, "rom", enabled="no")
    return interface
