"""A host's reconciler run again, over what the host last reported."""

from __future__ import annotations

from collections.abc import Callable

from skybus.errors import Conflict
from skybus.network import agents
from skybus.placement.inventory import providers
from skybus.store import Tx
from skybus_conductor.cloud import Cloud
from skybus_conductor.host_reports import report_last
from skybus_conductor.reconcilers import exports, guests, ports


async def host_reconciled(cloud: Callable[[], Cloud], tx: Tx, kind: str, host: str) -> None:
    """Compare what a `kind` of agent last reported of its host with what should be there, and mend what is safe. Raises
    Conflict when the agent is not heard of: what its host has now is not known. `cloud` is asked for by networks alone:
    what metadata is signed with may be out of the caller's reach."""
    report = await report_last(tx, kind, host)
    if report is None or not await _heard(tx, kind, host):
        raise Conflict(f"The {kind} agent of {host} is not heard of; its host is reconciled when it reports.")
    if kind == "compute":
        await guests.reconcile(tx, report)
    elif kind == "network":
        await ports.reconcile(cloud(), tx, report)
    else:
        await exports.reconcile(tx, report)


async def _heard(tx: Tx, kind: str, host: str) -> bool:
    if kind == "network":
        return any(row["host"] == host and agents.alive(row["heard_at"]) for row in await agents.agents_all(tx))
    return any((row["kind"], row["host"]) == (kind, host) and row["up"] for row in await providers(tx))
