"""Image: what is announced."""

from __future__ import annotations

from typing import ClassVar, Literal

from skybus.bus.message import Event


class ImageCreated(Event, frozen=True, kw_only=True):
    """An image record exists and waits for its data."""

    TYPE: ClassVar[str] = "skybus.image.image.created.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str
    name: str
    visibility: str


class ImageUploaded(Event, frozen=True, kw_only=True):
    """The data arrived, was found to be what the image says it is, and the image is active."""

    TYPE: ClassVar[str] = "skybus.image.image.uploaded.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str
    disk_format: str
    container_format: str
    size: int
    """Bytes."""
    virtual_size: int
    """Bytes of the disk that a guest sees."""
    sha512: str


class ImageRefused(Event, frozen=True, kw_only=True):
    """Data was not what its image says it is, or dangerous, and was thrown away; the image is still queued."""

    TYPE: ClassVar[str] = "skybus.image.image.refused.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str
    reason: str


class ImageUpdated(Event, frozen=True, kw_only=True):
    """Attributes, tags or properties changed; `changed` lists their names."""

    TYPE: ClassVar[str] = "skybus.image.image.updated.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str
    changed: list[str]


class ImageDeleted(Event, frozen=True, kw_only=True):
    """The image is gone, and its data with it; disks that were made from it live on."""

    TYPE: ClassVar[str] = "skybus.image.image.deleted.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str


class ImageMemberChanged(Event, frozen=True, kw_only=True):
    """A shared image was offered to a project, accepted or rejected by it, or taken back."""

    TYPE: ClassVar[str] = "skybus.image.member.changed.v1"
    SUBJECT: ClassVar[str] = "image_id"
    image_id: str
    member_id: str
    change: Literal["offered", "pending", "accepted", "rejected", "removed"]
