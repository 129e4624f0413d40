"""The DHCP port: one ordinary port for each network that has a subnet with DHCP, with an address in each of those.

No host owns it. Every host that has ports on the network serves DHCP and metadata there under the DHCP port's MAC and
addresses, which is why nothing is plugged for it and it is ACTIVE from the start.
"""

from __future__ import annotations

from typing import Any

from skybus.network.addresses import address_release
from skybus.network.ports import (
    DHCP,
    SELECT,
    FixedIp,
    addresses_give,
    port_announce,
    port_delete,
    port_get,
    port_insert,
)
from skybus.network.shapes import shape_get
from skybus.network.states import State

LOCK_NETWORK = "SELECT id FROM network.network WHERE id = $1 FOR NO KEY UPDATE"
FIND = f"{SELECT} WHERE p.network_id = $1 AND p.device_owner = 'network:dhcp'"


async def dhcp_follow(tx: Any, network_id: str) -> None:
    """Bring a network's DHCP port in line with its subnets: made, given addresses, relieved of them, or removed.

    Raises Conflict when a subnet has no address left for it.
    """
    await tx.fetchval(LOCK_NETWORK, network_id)
    network = await shape_get(tx, network_id)
    wanted = [subnet.id for subnet in network.subnets if subnet.enable_dhcp]
    row = await tx.fetchrow(FIND, network_id)
    if not wanted:
        if row is not None:
            await port_delete(tx, row)
        return
    if row is None:
        await port_insert(
            tx,
            network,
            project_id=network.project_id,
            device_owner=DHCP,
            device_id=f"dhcp-{network_id}",
            status=State.ACTIVE,
            port_security_enabled=False,
            fixed_ips=[FixedIp(subnet_id=subnet_id) for subnet_id in wanted[:1]],
            # Where people who choose addresses for themselves expect it.
            lowest=True,
        )
        row = await tx.fetchrow(FIND, network_id)
    await _move_addresses(tx, row, wanted)


async def _move_addresses(tx: Any, row: Any, wanted: list[str]) -> None:
    network = await shape_get(tx, row["network_id"])
    have = {one["subnet_id"]: one["ip_address"] for one in row["fixed_ips"]}
    for subnet_id, address in have.items():
        if subnet_id not in wanted:
            await address_release(tx, port_id=row["id"], subnet_id=subnet_id, address=address)
    missing = [subnet_id for subnet_id in wanted if subnet_id not in have]
    for subnet_id in missing:
        await addresses_give(tx, network, row["id"], [FixedIp(subnet_id=subnet_id)], lowest=True)
    if missing or set(have) - set(wanted):
        port_announce(tx, await port_get(tx, row["id"]), ["fixed_ips"])
