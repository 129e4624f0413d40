"""Metadata definitions of the image service: what is announced."""

from __future__ import annotations

from typing import ClassVar, Literal

from skybus.bus.message import Event


class MetadefChanged(Event, frozen=True, kw_only=True):
    """A namespace, or something in it, was created, updated or deleted."""

    TYPE: ClassVar[str] = "skybus.image.metadef.changed.v1"
    SUBJECT: ClassVar[str] = "namespace"
    namespace: str
    kind: Literal["namespace", "object", "property", "tag", "resource_type"]
    name: str | None = None
    """Of what is in the namespace; None for the namespace itself, and when `change` speaks of several of the kind."""
    old_name: str | None = None
    """What an updated one was called before, when that was something else."""
    change: Literal["created", "updated", "deleted"]
