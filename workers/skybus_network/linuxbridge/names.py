"""How everything that we make on a host is called, so that we find it again and know it for ours.

Interface names are short, so they hold a digest of the network's id; who owns an interface says its alias
(`ip -d link`), which holds the whole story: `<prefix>:<host>:network:<id>` or `<prefix>:<host>:port:<id>`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from skybus.config import ConfigError

PREFIX = re.compile(r"[a-z][a-z0-9]{0,5}")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NETWORK_ID_LENGTH = 36
DIGEST_BYTES = 4
"""Four bytes and the longest prefix fill an interface name."""

Thing = Literal["network", "port"]


@dataclass(frozen=True, slots=True)
class Names:
    """The names on one host of one cloud. Raises `ConfigError` for a prefix or host that names cannot hold."""

    prefix: str
    host: str

    def __post_init__(self) -> None:
        if not PREFIX.fullmatch(self.prefix):
            raise ConfigError(f"network.prefix {self.prefix!r} is not 1 to 6 lower-case letters and digits")
        if not HOST.fullmatch(self.host):
            raise ConfigError(f"host name {self.host!r} has characters that names on a host cannot have")

    def bridge(self, network_id: str) -> str:
        """The network's bridge."""
        return f"{self.prefix}b{_digest(network_id)}"

    def tunnel(self, network_id: str) -> str:
        """The network's VXLAN device."""
        return f"{self.prefix}v{_digest(network_id)}"

    def dhcp_veth(self, network_id: str) -> str:
        """The bridge's end of the cable to the DHCP namespace."""
        return f"{self.prefix}d{_digest(network_id)}"

    def dhcp_namespace(self, network_id: str) -> str:
        """The namespace of the network's DHCP and metadata services on this host."""
        return f"{self.prefix}dhcp-{network_id}-{self.host}"

    def dhcp_network(self, namespace: str) -> str | None:
        """The network whose DHCP namespace on this host is called so, or None when it is not one of ours."""
        start = len(self.prefix) + len("dhcp-")
        network_id = namespace[start : start + NETWORK_ID_LENGTH]
        return network_id if namespace == self.dhcp_namespace(network_id) else None

    @property
    def guard_table(self) -> str:
        """The nft table against spoofing."""
        return f"{self.prefix}_guard"

    def alias(self, thing: Thing, of: str) -> str:
        """What an interface of ours says that it is."""
        return f"{self.prefix}:{self.host}:{thing}:{of}"

    def owner(self, alias: str | None) -> tuple[Thing, str] | None:
        """What the interface with that alias belongs to, or None when it is not ours."""
        thing, _, of = (alias or "").removeprefix(f"{self.prefix}:{self.host}:").partition(":")
        if thing == "network" and alias == self.alias("network", of):
            return "network", of
        if thing == "port" and alias == self.alias("port", of):
            return "port", of
        return None


def _digest(network_id: str) -> str:
    return hashlib.blake2s(network_id.encode(), digest_size=DIGEST_BYTES).hexdigest()
