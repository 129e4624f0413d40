"""When servers and volumes existed, exact to the microsecond that their own events tell.

An event is merged into its resource's row so that neither order nor repetition matters: of all events that tell of a
beginning the earliest counts, and so it is with the end. The row is therefore all the memory that is needed; there is
no list of the events seen, which would grow for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from skybus.bus.message import Event
from skybus.messages.compute import ServerCreated, ServerDeleted
from skybus.messages.volume import VolumeCreated, VolumeDeleted

EVENTS: tuple[type[Event], ...] = (ServerCreated, ServerDeleted, VolumeCreated, VolumeDeleted)
"""What `handle` learns from."""

BEGIN = """
INSERT INTO metering.existence AS e (resource_type, resource_id, project_id, name, flavor_name, vcpus, memory_mib,
                                     disk_gib, volume_type, started_at, started_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (resource_type, resource_id) DO UPDATE
   SET project_id = excluded.project_id, name = excluded.name, flavor_name = excluded.flavor_name,
       vcpus = excluded.vcpus, memory_mib = excluded.memory_mib, disk_gib = excluded.disk_gib,
       volume_type = excluded.volume_type, started_at = excluded.started_at, started_by = excluded.started_by
 WHERE e.started_at IS NULL OR (excluded.started_at, excluded.started_by) < (e.started_at, e.started_by)
"""
END = """
INSERT INTO metering.existence AS e (resource_type, resource_id, project_id, ended_at, ended_by)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (resource_type, resource_id) DO UPDATE SET ended_at = excluded.ended_at, ended_by = excluded.ended_by
 WHERE e.ended_at IS NULL OR (excluded.ended_at, excluded.ended_by) < (e.ended_at, e.ended_by)
"""


class Existence(msgspec.Struct, frozen=True, kw_only=True):
    """What began to exist. `disk_gib` is a server's disk or a volume's size."""

    resource_type: str
    resource_id: str
    started_at: datetime
    name: str
    flavor_name: str = ""
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    volume_type: str = ""


async def handle(tx: Any, envelope_id: str, event: Event, *, project_id: str) -> None:
    """Learn from an event of a resource of `project_id`. An event that metering has no use for changes nothing."""
    if isinstance(event, ServerCreated):
        began = Existence(
            resource_type="server",
            resource_id=event.server_id,
            started_at=event.launched_at,
            name=event.name,
            flavor_name=event.flavor_name,
            vcpus=event.vcpus,
            memory_mib=event.memory_mib,
            disk_gib=event.disk_gib,
        )
        await _begin(tx, envelope_id, began, project_id)
    elif isinstance(event, VolumeCreated):
        began = Existence(
            resource_type="volume",
            resource_id=event.volume_id,
            started_at=event.created_at,
            name=event.name,
            disk_gib=event.size_gib,
            volume_type=event.volume_type,
        )
        await _begin(tx, envelope_id, began, project_id)
    elif isinstance(event, ServerDeleted):
        await tx.execute(END, "server", event.server_id, project_id, event.terminated_at, envelope_id)
    elif isinstance(event, VolumeDeleted):
        await tx.execute(END, "volume", event.volume_id, project_id, event.deleted_at, envelope_id)


async def _begin(tx: Any, envelope_id: str, began: Existence, project_id: str) -> None:
    await tx.execute(
        BEGIN, began.resource_type, began.resource_id, project_id, began.name, began.flavor_name, began.vcpus,
        began.memory_mib, began.disk_gib, began.volume_type, began.started_at, envelope_id,
    )  # fmt: skip
