"""Compute: what the conductor orders from a hypervisor host, what the host answers and reports, what is announced."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec

from skybus.bus.message import Answer, Command, Discreet, Event, Report
from skybus.messages.volume import IscsiTarget

PowerState = Literal["running", "paused", "shutdown", "crashed", "absent"]
"""What a hypervisor says of a guest; `absent` when it knows none."""


class ImageSource(Discreet, frozen=True, kw_only=True):
    """Where a host gets an image from, and how it knows that it got the right one."""

    SECRETS: ClassVar[tuple[str, ...]] = ("token",)
    image_id: str
    url: str
    """HTTP URL of the image data at the gateway."""
    token: str
    """Short-lived, good for reading this image alone; sent as `X-Auth-Token`."""
    disk_format: Literal["raw", "qcow2"]
    size: int
    """Bytes to download."""
    sha512: str
    """Hex digest of the data; the host refuses anything else."""


class InstanceMetadata(Discreet, frozen=True, kw_only=True):
    """What a guest may learn about itself, from the config drive or the metadata service.

    `meta_data` and `network_data` are the documents of the OpenStack metadata format, version `latest`;
    `identity_document` is JSON text and `identity_signature` its detached signature by the cloud (JWS, EdDSA).
    Users put passwords into user data and metadata, and whoever has the signed identity can pass for the guest.
    """

    SECRETS: ClassVar[tuple[str, ...]] = ("meta_data", "user_data", "identity_signature")
    server_id: str
    project_id: str
    meta_data: dict[str, Any]
    network_data: dict[str, Any]
    user_data: str | None = None
    """Base64, as the user gave it."""
    identity_document: str = ""
    identity_signature: str = ""


class GuestPort(msgspec.Struct, frozen=True, kw_only=True):
    """A network card of a guest. The network agent has made the tap before the guest starts."""

    port_id: str
    tap: str
    mac: str
    mtu: int


class GuestVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a guest has as a disk."""

    attachment_id: str
    volume_id: str
    device: str
    """Device name in the API's form, `/dev/vdb`."""
    target: IscsiTarget


# --- commands to `compute.<host>`


class GuestSpawned(Answer, frozen=True, kw_only=True):
    """The guest runs."""

    TYPE: ClassVar[str] = "skybus.compute.answer.guest-spawned.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    power_state: PowerState
    vnc_port: int | None = None


class SpawnGuest(Command, frozen=True, kw_only=True):
    """Boot a guest: root disk over the cached image, network cards on taps that exist, volumes over iSCSI."""

    TYPE: ClassVar[str] = "skybus.compute.command.spawn-guest.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = GuestSpawned
    server_id: str
    project_id: str
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    """Size of the root disk; 0 means as large as the image."""
    image: ImageSource
    ports: list[GuestPort] = []
    volumes: list[GuestVolume] = []
    config_drive: bool = False
    metadata: InstanceMetadata | None = None
    """What is on the config drive, when there is one."""


class GuestDestroyed(Answer, frozen=True, kw_only=True):
    """No guest, no disk, no console log of that server is on the host."""

    TYPE: ClassVar[str] = "skybus.compute.answer.guest-destroyed.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str


class DestroyGuest(Command, frozen=True, kw_only=True):
    """Remove a guest and all its files. Content to find nothing."""

    TYPE: ClassVar[str] = "skybus.compute.command.destroy-guest.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = GuestDestroyed
    server_id: str


class GuestPower(Answer, frozen=True, kw_only=True):
    """The power state that a start, stop or reboot led to."""

    TYPE: ClassVar[str] = "skybus.compute.answer.guest-power.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    power_state: PowerState
    vnc_port: int | None = None


class StartGuest(Command, frozen=True, kw_only=True):
    """Power on a defined guest. Content to find it running."""

    TYPE: ClassVar[str] = "skybus.compute.command.start-guest.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = GuestPower
    server_id: str


class StopGuest(Command, frozen=True, kw_only=True):
    """Ask the guest to shut down; after `grace_seconds` pull the plug. The definition and the disk stay."""

    TYPE: ClassVar[str] = "skybus.compute.command.stop-guest.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = GuestPower
    server_id: str
    grace_seconds: float = 60.0


class RebootGuest(Command, frozen=True, kw_only=True):
    """Restart a guest. Soft asks the guest and falls back to hard after `grace_seconds`; hard resets at once.

    `reboot_id` is the same when the order is repeated: a host that has rebooted the guest for it does not do so again.
    """

    TYPE: ClassVar[str] = "skybus.compute.command.reboot-guest.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = GuestPower
    server_id: str
    reboot_id: str
    hard: bool
    grace_seconds: float = 60.0


class VolumePlugged(Answer, frozen=True, kw_only=True):
    """The guest has the volume as a disk."""

    TYPE: ClassVar[str] = "skybus.compute.answer.volume-plugged.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    attachment_id: str
    device: str


class PlugVolume(Command, frozen=True, kw_only=True):
    """Give a guest a volume as a disk, live when it runs, and in its definition."""

    TYPE: ClassVar[str] = "skybus.compute.command.plug-volume.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = VolumePlugged
    server_id: str
    volume: GuestVolume
    if_there: bool = False
    """Be content where there is no such guest: a way back has nothing to give the volume back to."""


class VolumeUnplugged(Answer, frozen=True, kw_only=True):
    """The guest no longer has the volume."""

    TYPE: ClassVar[str] = "skybus.compute.answer.volume-unplugged.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    attachment_id: str


class UnplugVolume(Command, frozen=True, kw_only=True):
    """Take a volume from a guest; answer when the guest has let go of it. Content to find no guest or no disk."""

    TYPE: ClassVar[str] = "skybus.compute.command.unplug-volume.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = VolumeUnplugged
    server_id: str
    attachment_id: str
    volume_id: str


class ConsoleText(Answer, frozen=True, kw_only=True):
    """The end of a guest's serial console."""

    TYPE: ClassVar[str] = "skybus.compute.answer.console-text.v1"
    SUBJECT: ClassVar[str] = "server_id"
    SECRETS: ClassVar[tuple[str, ...]] = ("text",)
    server_id: str
    text: str


class ReadConsole(Command, frozen=True, kw_only=True):
    """Read the end of a guest's serial console: the last `lines` lines, at most 100 KiB."""

    TYPE: ClassVar[str] = "skybus.compute.command.read-console.v1"
    SUBJECT: ClassVar[str] = "server_id"
    ANSWER: ClassVar[type[Answer]] = ConsoleText
    server_id: str
    lines: int | None = None


# --- reports from `compute.<host>`


class GuestSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One guest as a host finds it."""

    server_id: str
    power_state: PowerState


class HypervisorReport(Report, frozen=True, kw_only=True):
    """A host's heartbeat: what it has and which guests are on it. `taken_at` orders reports of one host."""

    TYPE: ClassVar[str] = "skybus.compute.report.hypervisor.v1"
    SUBJECT: ClassVar[str] = "host"
    host: str
    taken_at: datetime
    started: bool
    """True for the first report after the agent started."""
    hypervisor_type: str
    hypervisor_version: int
    address: str
    """Where other hosts reach this one: its end of VXLAN tunnels and of iSCSI sessions."""
    vcpus: int
    memory_mib: int
    disk_gib: int
    cpu_info: dict[str, Any] = {}
    guests: list[GuestSeen] = []


class GuestChanged(Report, frozen=True, kw_only=True):
    """A guest changed its power state on its own account: it powered off, crashed, was killed."""

    TYPE: ClassVar[str] = "skybus.compute.report.guest-changed.v1"
    SUBJECT: ClassVar[str] = "server_id"
    host: str
    server_id: str
    power_state: PowerState
    seen_at: datetime


# --- events


class ServerRequested(Event, frozen=True, kw_only=True):
    """A server was accepted. The scheduler speaks next."""

    TYPE: ClassVar[str] = "skybus.compute.server.requested.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    name: str
    flavor_id: str
    image_id: str | None


class ServerPlaced(Event, frozen=True, kw_only=True):
    """The scheduler chose `host` and holds a claim there. The agents on `host` speak next."""

    TYPE: ClassVar[str] = "skybus.compute.server.placed.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    host: str


class ServerCreated(Event, frozen=True, kw_only=True):
    """The server became ACTIVE for the first time; its existence is metered from `launched_at` on."""

    TYPE: ClassVar[str] = "skybus.compute.server.created.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    name: str
    host: str
    flavor_name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    launched_at: datetime


class ServerFailed(Event, frozen=True, kw_only=True):
    """A build was given up and undone; the server is in ERROR. `details` holds a refused placement's reasons."""

    TYPE: ClassVar[str] = "skybus.compute.server.failed.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    code: str
    reason: str
    details: dict[str, Any] = {}


class ServerUpdated(Event, frozen=True, kw_only=True):
    """Name, description or metadata changed; `changed` lists the attributes' names."""

    TYPE: ClassVar[str] = "skybus.compute.server.updated.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    changed: list[str]


class ServerMoved(Event, frozen=True, kw_only=True):
    """The server's status changed from one state to another, for `cause` (see `skybus.compute.states`)."""

    TYPE: ClassVar[str] = "skybus.compute.server.moved.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    old: str
    new: str
    cause: str


class ServerDeleted(Event, frozen=True, kw_only=True):
    """The server is gone; metering ends at `terminated_at`."""

    TYPE: ClassVar[str] = "skybus.compute.server.deleted.v1"
    SUBJECT: ClassVar[str] = "server_id"
    server_id: str
    terminated_at: datetime


class KeypairCreated(Event, frozen=True, kw_only=True):
    """A user has a new keypair."""

    TYPE: ClassVar[str] = "skybus.compute.keypair.created.v1"
    SUBJECT: ClassVar[str] = "name"
    name: str
    user_id: str
    fingerprint: str


class KeypairDeleted(Event, frozen=True, kw_only=True):
    """A user's keypair is gone."""

    TYPE: ClassVar[str] = "skybus.compute.keypair.deleted.v1"
    SUBJECT: ClassVar[str] = "name"
    name: str
    user_id: str


class FlavorChanged(Event, frozen=True, kw_only=True):
    """A flavor was created, changed or deleted."""

    TYPE: ClassVar[str] = "skybus.compute.flavor.changed.v1"
    SUBJECT: ClassVar[str] = "flavor_id"
    flavor_id: str
    change: Literal["created", "updated", "deleted"]


class HostChanged(Event, frozen=True, kw_only=True):
    """A host came, went silent, was enabled or disabled, or has other capacity. Feeds the scheduler's host table."""

    TYPE: ClassVar[str] = "skybus.compute.host.changed.v1"
    SUBJECT: ClassVar[str] = "host"
    host: str
    change: Literal["up", "down", "enabled", "disabled", "capacity"]
