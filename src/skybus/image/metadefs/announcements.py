"""Telling that metadata definitions have changed."""

from __future__ import annotations

from typing import Any, Literal

from skybus.image.metadefs.namespaces import Namespace
from skybus.messages.image_metadefs import MetadefChanged

Kind = Literal["namespace", "object", "property", "tag", "resource_type"]
Change = Literal["created", "updated", "deleted"]


def announce(
    tx: Any, found: Namespace, kind: Kind, change: Change, name: str | None = None, *, old_name: str | None = None
) -> None:
    """Publish that something of `kind` changed; `old_name` is told only when it is another one than now."""
    now = found.namespace if kind == "namespace" else name
    event = MetadefChanged(
        namespace=found.namespace, kind=kind, name=name, old_name=old_name if old_name != now else None, change=change
    )
    tx.publish(event, project_id=found.owner)
