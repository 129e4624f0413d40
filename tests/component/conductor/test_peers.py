"""Telling the hosts of a network of each other: at once while they are few, together when they are many."""

from __future__ import annotations

from pathlib import Path

from skybus.messages.network import UpdatePeers
from skybus_conductor.peers import FEW, PAUSE_A_HOST, tell_peers, tell_untold_peers
from support.small_cloud import SmallCloud, small_cloud


async def come(cloud: SmallCloud, network_id: str, hosts: range) -> None:
    """The network comes to hosts, one after another, as bindings bring it there."""
    for number in hosts:
        async with cloud.store.transaction() as tx:
            host = f"far-{number}"
            await tx.execute("INSERT INTO network.presence (network_id, host) VALUES ($1, $2)", network_id, host)
            address = f"172.20.{number // 250}.{number % 250 + 1}"
            await tx.execute(
                "INSERT INTO network.host (host, address, heard_at) VALUES ($1, $2, $3)", host, address, cloud.time
            )
            count_up = "UPDATE network.network SET peers_version = peers_version + 1 WHERE id = $1"
            await tx.execute(count_up, network_id)
            await tell_peers(tx, [network_id])


async def told(cloud: SmallCloud) -> int:
    """How many hosts were told since the last look."""
    rows = await cloud.store.fetch("DELETE FROM bus.outbox WHERE type = $1 RETURNING id", UpdatePeers.TYPE)
    return len(rows)


async def sweep(cloud: SmallCloud) -> None:
    async with cloud.store.transaction() as tx:
        await tell_untold_peers(tx)


async def test_the_hosts_of_a_small_network_hear_of_each_new_one_at_once(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        network_id = await cloud.network()
        for number in range(FEW):
            await come(cloud, network_id, range(number, number + 1))
            assert await told(cloud) == number + 1
        await sweep(cloud)
        assert await told(cloud) == 0, "they know"


async def test_the_hosts_of_a_large_network_hear_of_many_new_ones_together(tmp_path: Path) -> None:
    async with small_cloud(tmp_path) as cloud:
        network_id, most = await cloud.network(), 4 * FEW
        await come(cloud, network_id, range(FEW))
        await told(cloud)
        await come(cloud, network_id, range(FEW, most))
        assert await told(cloud) == 0
        cloud.wait((most * PAUSE_A_HOST).total_seconds() / 2)
        await sweep(cloud)
        assert await told(cloud) == 0, "not so soon after the last time"
        cloud.wait((most * PAUSE_A_HOST).total_seconds())
        await sweep(cloud)
        assert await told(cloud) == most
        await sweep(cloud)
        assert await told(cloud) == 0
