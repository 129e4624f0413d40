"""Volume: what the conductor orders from a storage host, what the host answers and reports, what is announced."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from skybus.bus.message import Answer, Command, Discreet, Event, Report


class IscsiTarget(Discreet, frozen=True, kw_only=True):
    """How an initiator reaches an exported volume. The CHAP password is a secret: never logged, never shown."""

    SECRETS: ClassVar[tuple[str, ...]] = ("chap_password",)
    portal: str
    """address:port."""
    iqn: str
    lun: int
    chap_user: str
    chap_password: str


# --- commands to `volume.<host>`


class VolumeMade(Answer, frozen=True, kw_only=True):
    """The volume's storage exists."""

    TYPE: ClassVar[str] = "skybus.volume.answer.volume-made.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    size_gib: int


class MakeVolume(Command, frozen=True, kw_only=True):
    """Allocate a volume that reads as zeros. Content to find it there with the same size."""

    TYPE: ClassVar[str] = "skybus.volume.command.make-volume.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    ANSWER: ClassVar[type[Answer]] = VolumeMade
    volume_id: str
    size_gib: int


class VolumeRemoved(Answer, frozen=True, kw_only=True):
    """Neither the volume's storage nor an export of it is on the host."""

    TYPE: ClassVar[str] = "skybus.volume.answer.volume-removed.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str


class RemoveVolume(Command, frozen=True, kw_only=True):
    """Delete a volume's storage and its exports. Content to find nothing."""

    TYPE: ClassVar[str] = "skybus.volume.command.remove-volume.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    ANSWER: ClassVar[type[Answer]] = VolumeRemoved
    volume_id: str


class VolumeExported(Answer, frozen=True, kw_only=True):
    """The volume can be reached at `target`."""

    TYPE: ClassVar[str] = "skybus.volume.answer.volume-exported.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    attachment_id: str
    target: IscsiTarget


class ExportVolume(Command, frozen=True, kw_only=True):
    """Export a volume over iSCSI for one attachment, guarded by CHAP credentials drawn by the conductor.

    `initiator_address` is the only address that may log in.
    """

    TYPE: ClassVar[str] = "skybus.volume.command.export-volume.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    ANSWER: ClassVar[type[Answer]] = VolumeExported
    SECRETS: ClassVar[tuple[str, ...]] = ("chap_password",)
    volume_id: str
    attachment_id: str
    chap_user: str
    chap_password: str
    initiator_address: str


class VolumeUnexported(Answer, frozen=True, kw_only=True):
    """Nobody can reach the volume through that attachment any more."""

    TYPE: ClassVar[str] = "skybus.volume.answer.volume-unexported.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    attachment_id: str


class UnexportVolume(Command, frozen=True, kw_only=True):
    """End an export, closing its sessions. Content to find none."""

    TYPE: ClassVar[str] = "skybus.volume.command.unexport-volume.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    ANSWER: ClassVar[type[Answer]] = VolumeUnexported
    volume_id: str
    attachment_id: str


# --- reports from `volume.<host>`


class ExportSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One export as a host finds it."""

    volume_id: str
    attachment_id: str


class PoolReport(Report, frozen=True, kw_only=True):
    """A storage host's heartbeat: its pool, the volumes in it, the exports that are open."""

    TYPE: ClassVar[str] = "skybus.volume.report.pool.v1"
    SUBJECT: ClassVar[str] = "host"
    host: str
    taken_at: datetime
    started: bool
    capacity_gib: int
    free_gib: int
    volumes: list[str] = []
    exports: list[ExportSeen] = []


# --- events


class VolumeRequested(Event, frozen=True, kw_only=True):
    """A volume was accepted. The scheduler speaks next."""

    TYPE: ClassVar[str] = "skybus.volume.volume.requested.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    name: str
    size_gib: int
    volume_type: str


class VolumeCreated(Event, frozen=True, kw_only=True):
    """The volume is available; its existence is metered from `created_at` on."""

    TYPE: ClassVar[str] = "skybus.volume.volume.created.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    name: str
    host: str
    size_gib: int
    volume_type: str
    created_at: datetime


class VolumeFailed(Event, frozen=True, kw_only=True):
    """A creation was given up and undone; the volume is in `error`."""

    TYPE: ClassVar[str] = "skybus.volume.volume.failed.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    code: str
    reason: str


class VolumeUpdated(Event, frozen=True, kw_only=True):
    """Name, description, metadata or the mark `bootable` changed."""

    TYPE: ClassVar[str] = "skybus.volume.volume.updated.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    changed: list[str]


class VolumeMoved(Event, frozen=True, kw_only=True):
    """The volume's status changed, for `cause` (see `skybus.volume.states`)."""

    TYPE: ClassVar[str] = "skybus.volume.volume.moved.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    old: str
    new: str
    cause: str


class VolumeAttached(Event, frozen=True, kw_only=True):
    """A server has the volume as a disk."""

    TYPE: ClassVar[str] = "skybus.volume.volume.attached.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    server_id: str
    attachment_id: str
    device: str


class VolumeDetached(Event, frozen=True, kw_only=True):
    """A server no longer has the volume."""

    TYPE: ClassVar[str] = "skybus.volume.volume.detached.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    server_id: str
    attachment_id: str


class VolumeDeleted(Event, frozen=True, kw_only=True):
    """The volume is gone; metering ends at `deleted_at`."""

    TYPE: ClassVar[str] = "skybus.volume.volume.deleted.v1"
    SUBJECT: ClassVar[str] = "volume_id"
    volume_id: str
    deleted_at: datetime
