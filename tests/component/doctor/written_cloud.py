"""A small cloud written straight into the tables, as the packages and the hosts would have left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from skybus import clock
from skybus.doctor.checks import examine
from skybus.ids import new_id
from skybus.messages.compute import GuestSeen, HypervisorReport, PowerState
from skybus.messages.network import NetworkReport, PortSeen
from skybus.messages.volume import ExportSeen, PoolReport
from skybus.store import Store
from skybus_conductor.host_reports import report_keep

HOST = "h1"
PROJECT = "p1"


class Cloud:
    """One server with a port and a volume on one host, written as the packages would have left it an hour ago."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.server, self.port, self.network, self.subnet = new_id(), new_id(), new_id(), new_id()
        self.volume, self.attachment, self.type = new_id(), new_id(), new_id()
        self.then = clock.now() - timedelta(hours=1)

    async def run(self, sql: str, *args: Any) -> None:
        """One statement, committed."""
        async with self.store.transaction() as tx:
            await tx.execute(sql, *args)

    async def build(self) -> None:
        """Everything as it should be."""
        await self._accounts()
        await self._server()
        await self._network()
        await self._volume()
        await self.report()

    async def _accounts(self) -> None:
        for kind, classes in (("compute", {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 5}), ("volume", {"DISK_GB": 3})):
            consumer = self.server if kind == "compute" else self.volume
            await self.run("INSERT INTO placement.provider (kind, host, last_seen) VALUES ($1, $2, now())", kind, HOST)
            for name, amount in classes.items():
                await self.run(
                    "INSERT INTO placement.inventory (kind, host, resource_class, total, used) "
                    "VALUES ($1, $2, $3, 999, $4)",
                    kind, HOST, name, amount,
                )  # fmt: skip
                await self.run(
                    "INSERT INTO placement.allocation VALUES ($1, $2, $3, $4, $5, $6)",
                    consumer, name, kind, HOST, PROJECT, amount,
                )  # fmt: skip
        for kind, id_ in (("server", self.server), ("volume", self.volume)):
            await self.run(
                "INSERT INTO metering.existence (resource_type, resource_id, project_id, started_at) "
                "VALUES ($1, $2, $3, $4)",
                kind, id_, PROJECT, self.then,
            )  # fmt: skip

    async def _server(self) -> None:
        await self.run(
            """INSERT INTO compute.server (id, project_id, user_id, name, hostname, state, power_state, flavor_id,
                   flavor_name, vcpus, memory_mib, disk_gib, ephemeral_gib, swap_mib, extra_specs, config_drive,
                   metadata, security_groups, host, launch_index, reservation_id, disk_config, created_at, updated_at,
                   launched_at)
               VALUES ($1, $2, 'u', 's', 's', 'ACTIVE', 1, 'f', 'f', 2, 512, 5, 0, 0, '{}', false, '{}', '{}', $3, 0,
                       'r-1', 'MANUAL', $4, $4, $4)""",
            self.server, PROJECT, HOST, self.then,
        )  # fmt: skip

    async def _network(self) -> None:
        await self.run(
            """INSERT INTO network.network (id, project_id, name, description, admin_state_up, shared, external,
                   is_default, kind, vni, mtu, port_security_enabled, created_at, updated_at)
               VALUES ($1, $2, 'n', '', true, false, false, false, 'vxlan', 7, 1450, true, $3, $3)""",
            self.network, PROJECT, self.then,
        )  # fmt: skip
        await self.run(
            """INSERT INTO network.port (id, network_id, project_id, name, description, admin_state_up, mac, device_id,
                   device_owner, server_id, hostname, status, host, port_security_enabled, security_groups, created_at,
                   updated_at)
               VALUES ($1, $2, $3, '', '', true, 'fa:16:3e:00:00:01', $4::text, 'compute:nova', $4::text::uuid, 's',
                       'ACTIVE', $5, true, '{}', $6, $6)""",
            self.port, self.network, PROJECT, self.server, HOST, self.then,
        )  # fmt: skip
        await self.run("INSERT INTO network.presence VALUES ($1, $2)", self.network, HOST)

    async def _volume(self) -> None:
        await self.run("INSERT INTO volume.type (id, name, created_at) VALUES ($1, 'slow', $2)", self.type, self.then)
        await self.run(
            """INSERT INTO volume.volume (id, project_id, user_id, size_gib, status, type_id, availability_zone, host,
                   created_at, updated_at)
               VALUES ($1, $2, 'u', 3, 'in-use', $5, 'nova', $3, $4, $4)""",
            self.volume, PROJECT, HOST, self.then, self.type,
        )  # fmt: skip
        await self.run(
            """INSERT INTO volume.attachment (id, volume_id, project_id, server_id, device, state, portal, iqn, lun,
                   created_at, attached_at)
               VALUES ($1, $2, $3, $4, '/dev/vdb', 'attached', '10.0.0.1:3260', 'iqn.x', 1, $5, $5)""",
            self.attachment, self.volume, PROJECT, self.server, self.then,
        )  # fmt: skip

    async def report(
        self,
        *,
        guests: Mapping[str, PowerState] | None = None,
        ports: Sequence[str] | None = None,
        volumes: Sequence[str] | None = None,
        exports: Mapping[str, str] | None = None,
        host: str = HOST,
    ) -> None:
        """All agents of a host report; what is not given is as it should be."""
        now = clock.now()
        seen = {self.server: "running"} if guests is None else guests
        hypervisor = HypervisorReport(
            host=host, taken_at=now, started=False, hypervisor_type="QEMU", hypervisor_version=7, address="::1",
            vcpus=9, memory_mib=9, disk_gib=9,
            guests=[GuestSeen(server_id=id_, power_state=power) for id_, power in seen.items()],
        )  # fmt: skip
        wired = [self.port] if ports is None else ports
        network = NetworkReport(
            host=host, taken_at=now, started=False,
            ports=[PortSeen(port_id=id_, network_id=self.network) for id_ in wired],
        )  # fmt: skip
        open_ = {self.attachment: self.volume} if exports is None else exports
        pool = PoolReport(
            host=host, taken_at=now, started=False, capacity_gib=9, free_gib=6,
            volumes=list([self.volume] if volumes is None else volumes),
            exports=[ExportSeen(volume_id=volume, attachment_id=id_) for id_, volume in open_.items()],
        )  # fmt: skip
        async with self.store.transaction() as tx:
            await report_keep(tx, "compute", hypervisor)
            await report_keep(tx, "network", network)
            await report_keep(tx, "volume", pool)

    async def operation(self, state: str, resource: str, kind: str = "server", *, late: float = -60) -> None:
        """An operation on a resource, `late` seconds past its deadline."""
        await self.run(
            """INSERT INTO saga.operation (id, kind, project_id, user_id, request_id, resource_type, resource_id,
                   exclusive, state, step, deadline, error, created_at, updated_at)
               VALUES ($1, 'k', $2, 'u', 'r', $3, $4, true, $5, 0, $6, '{"reason": "no way back"}', $7, $7)""",
            new_id(), PROJECT, kind, resource, state, clock.now() - timedelta(seconds=late), self.then,
        )  # fmt: skip

    async def found(self) -> dict[str, list[str]]:
        """What the doctor says, by check; checks without findings left out."""
        result = await examine(self.store)
        return {name: [one.says for one in findings] for name, findings in result.items() if findings}
