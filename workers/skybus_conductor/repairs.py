"""What mends a finding: each repair is a reconciler's own function, or one of the package whose tables disagree.

A repair runs in a transaction of its own, looks again at what is so now, and raises rather than guess. With it commits
an event that says what was mended, and what hosts have to do for it goes out as commands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from skybus.bus.context import Context, bound
from skybus.config import Config, ConfigError
from skybus.doctor.finding import Finding
from skybus.errors import CloudError
from skybus.ids import new_id
from skybus.messages.operations import RepairMade
from skybus.placement.recount import claims_recount
from skybus.saga.ended import waiting_begin
from skybus.store import Store, Tx
from skybus.store.event_log import head_raise
from skybus_conductor.main import cloud_of
from skybus_conductor.reconcilers import abandoned, again, claims, leftovers

log = structlog.get_logger()


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """One way to mend something. `does` says what it does; `{0}`, `{1}` stand for what it is given."""

    does: str
    mend: Callable[..., Awaitable[object]]


async def _host(config: Config, tx: Tx, kind: str, host: str) -> None:
    await again.host_reconciled(lambda: cloud_of(config), tx, kind, host)


def _of_database(mend: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """A repair that needs the transaction alone."""

    async def run(config: Config, tx: Tx, *given: str) -> object:
        return await mend(tx, *given)

    return run


REPAIRS: Mapping[str, Repair] = {
    "host": Repair(does="reconcile the {0} agent's host {1} with its last report", mend=_host),
    "release-claims": Repair(
        does="release the {0} claims of what is on no host", mend=_of_database(claims.release_orphans)
    ),
    "claim": Repair(does="claim what its flavor says where it is", mend=_of_database(claims.claim_again)),
    "recount": Repair(does="count the claims anew", mend=_of_database(claims_recount)),
    "meter-server": Repair(does="tell metering what its row knows", mend=_of_database(claims.meter_server)),
    "meter-volume": Repair(does="tell metering what its row knows", mend=_of_database(claims.meter_volume)),
    "end-ports": Repair(
        does="unplug and let go of the ports of the server {0}", mend=_of_database(leftovers.ports_of_gone)
    ),
    "move-port": Repair(
        does="bind it where its server is, if that host alone has the guest", mend=_of_database(leftovers.port_follows)
    ),
    "presence": Repair(does="note it as present where it has ports", mend=_of_database(leftovers.presence)),
    "settle": Repair(
        does="make status and attachment agree: detach from what is gone, hold what is held",
        mend=_of_database(leftovers.attachment_settled),
    ),
    "take-up-server": Repair(
        does="begin its creation or deletion anew, give up any other task", mend=_of_database(abandoned.server_taken_up)
    ),
    "take-up-volume": Repair(
        does="begin its creation or deletion anew, end any other move", mend=_of_database(abandoned.volume_taken_up)
    ),
    "begin-waiting": Repair(does="begin it, for nothing is before it any more", mend=_of_database(waiting_begin)),
    "raise-head": Repair(does="bring the head up to the last event", mend=_of_database(head_raise)),
}


def does(finding: Finding) -> str:
    """What would mend a finding; empty when nothing here does."""
    return REPAIRS[finding.repair[0]].does.format(*finding.repair[1:]) if finding.repair else ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one repair."""

    check: str
    what: str
    repair: str
    refused: str = ""
    """Why it was not made; empty when it was."""


async def mend(store: Store, config: Config, found: Mapping[str, Sequence[Finding]]) -> tuple[str, list[Outcome]]:
    """Make every repair that the findings name, each once; answer the request id that all of it goes by, and what came
    of each finding that has one."""
    request_id = f"req-{new_id()}"
    asked: dict[tuple[str, ...], list[tuple[str, Finding]]] = {}
    for check, findings in found.items():
        for one in findings:
            if one.repair:
                asked.setdefault(one.repair, []).append((check, one))
    outcomes = []
    # Hosts go by the tables, and so come last.
    in_order = sorted(asked.items(), key=lambda item: item[0][0] == "host")
    with bound(Context(request_id=request_id)):
        for (name, *given), about in in_order:
            refused = await _made(store, config, name, given, about)
            outcomes += [Outcome(check=check, what=one.what, repair=does(one), refused=refused) for check, one in about]
    return request_id, outcomes


async def _made(
    store: Store, config: Config, name: str, given: Sequence[str], about: Sequence[tuple[str, Finding]]
) -> str:
    """Make one repair; answer why not, or nothing."""
    try:
        async with store.transaction() as tx:
            await REPAIRS[name].mend(config, tx, *given)
            for check, one in about:
                event: Any = RepairMade(check=check, what=one.what, says=one.says, repair=does(one))
                tx.publish(event, project_id="", operation_id="")
    except (CloudError, ConfigError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        reason = error.reason if isinstance(error, CloudError) else f"{type(error).__name__}: {error}"
        log.warning("repair_refused", repair=name, given=list(given), reason=reason)
        return reason
    log.warning("repair_made", repair=name, given=list(given), what=[one.what for _, one in about])
    return ""
