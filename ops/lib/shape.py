"""What a cloud consists of: which processes, with which ports, accounts and configuration, in each of its forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .rabbitmq import agent_permissions

AGENTS = ("compute", "volume", "network")
CONTROL = ("conductor", "scheduler", "metering")


@dataclass(frozen=True)
class Shape:
    """A form of the cloud, as it was asked for."""

    real: bool
    """Real guests, disks and networks; otherwise simulated ones."""
    processes: bool
    """Every worker a process, over RabbitMQ; otherwise everything in one process."""
    hosts: int
    """How many compute hosts."""
    gateways: int

    @classmethod
    def asked(cls, *, simulated: bool, workers: bool, hosts: int, gateways: int) -> Shape:
        """From the command line."""
        processes = workers or not simulated
        return cls(not simulated, processes, hosts if simulated else 1, gateways if processes else 1)

    def host_names(self) -> list[str]:
        """The names of the hosts as the cloud's users see them."""
        if self.real:
            return [f"host-{number}" for number in range(1, self.hosts + 1)]
        return [f"{self.agent_host()}-{number:04d}" for number in range(1, self.hosts + 1)]

    def agent_host(self) -> str:
        """The host name in an agent's configuration; a simulated agent stands for several hosts."""
        return "host-1" if self.real else "sim"

    def accounts(self) -> Mapping[str, Mapping[str, str]]:
        """The broker account of each agent and what it may do there.

        Simulated agents speak for many hosts, which no account may: they share the control plane's.
        """
        if not self.real:
            return {}
        names = self.host_names()
        return {f"{kind}.{self.agent_host()}": agent_permissions(kind, names) for kind in AGENTS}

    def services(self) -> list[Service]:
        """Our own processes."""
        if not self.processes:
            return [Service("all", ("all",), "control")]
        return [
            *(Service(f"gateway-{n}", ("gateway",), "control") for n in range(1, self.gateways + 1)),
            *(Service(name, ("worker", name), "control") for name in CONTROL),
            *(Service(f"{name}.{self.agent_host()}", ("worker", name), name) for name in AGENTS),
        ]

    def port_names(self) -> list[str]:
        """Every port that this form needs."""
        names = ["gateway", "postgres", *(service.name for service in self.services())]
        if self.processes:
            names += ["amqp", "amqp-distribution", "epmd"]
        if self.real:
            names += ["iscsi"]
        return names


@dataclass(frozen=True)
class Service:
    """One of our own processes."""

    name: str
    words: tuple[str, ...]
    """The subcommand of `skybus`."""
    kind: str
    """`control`, or which agent it is: agents have a configuration without the database."""

    @property
    def is_agent(self) -> bool:
        """Whether it runs on a host, which is not trusted with the database."""
        return self.kind != "control"

    @property
    def config_name(self) -> str:
        """Its configuration file in the state folder."""
        return f"{self.name}.toml"
