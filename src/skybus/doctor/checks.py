"""Every check, in the order in which an operator wants to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skybus.doctor import accounts, hosts, operations, wiring
from skybus.doctor.finding import Check, Finding
from skybus.store import Store, Tx

CHECKS: Sequence[Check] = (
    hosts.hosts_silent,
    hosts.guests_and_servers,
    hosts.ports_wired,
    hosts.volumes_stored,
    hosts.volumes_exported,
    operations.operations_failed,
    operations.operations_stuck,
    operations.resources_abandoned,
    operations.outbox_waiting,
    operations.events_numbered,
    operations.events_whole,
    operations.dead_letters,
    accounts.inventory_used,
    accounts.inventory_room,
    accounts.claims_of_nobody,
    accounts.servers_unclaimed,
    accounts.metering_gaps,
    wiring.ports_of_servers,
    wiring.network_presence,
    wiring.volume_attachments,
)


def name_of(check: Check) -> str:
    """`guests-and-servers`."""
    return str(getattr(check, "__name__", check)).replace("_", "-")


async def examine(store: Store) -> Mapping[str, Sequence[Finding]]:
    """Run every check against one moment of the database; answer what each found, by its name."""
    async with store.connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        db = Tx(conn, "doctor")
        return {name_of(check): await check(db) for check in CHECKS}
