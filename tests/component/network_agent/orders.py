"""The conductor's orders to a network agent, as tests give them."""

from __future__ import annotations

import secrets

from skybus.messages.compute import InstanceMetadata
from skybus.messages.network import PlugPort, PortBinding, Segment, Subnet, UnplugPort


class Net:
    """A network's messages."""

    def __init__(self, number: int, cidr: str = "10.71.0.0/24", *, kind: str = "vxlan", gateway: bool = True) -> None:
        self.start = cidr.rsplit(".", 1)[0]
        self.vni = 0x5B0000 + secrets.randbelow(1 << 15) * 2 + number % 2
        subnet = Subnet(
            subnet_id=uuid_like(),
            cidr=cidr,
            gateway_ip=f"{self.start}.1" if gateway else None,
            dns_nameservers=["9.9.9.9"],
            host_routes=[("10.99.0.0/16", f"{self.start}.9")],
            dhcp_ip=f"{self.start}.2",
        )
        self.segment = Segment(
            network_id=uuid_like(),
            kind="vxlan" if kind == "vxlan" else "flat",
            vni=self.vni if kind == "vxlan" else None,
            mtu=1400,
            dhcp_port_id=uuid_like(),
            dhcp_mac="fa:16:3e:" + ":".join(f"{b:02x}" for b in secrets.token_bytes(3)),
            subnets=[subnet],
            peers=["172.31.0.1", "172.31.0.2"] if kind == "vxlan" else [],
            peers_version=1,
        )

    def plug(self, last: int, **changes: object) -> PlugPort:
        """The order for a port with the address that ends in `last`."""
        port_id = uuid_like()
        address = f"{self.start}.{last}"
        binding: dict[str, object] = {
            "port_id": port_id,
            "tap": "tap" + port_id.replace("-", "")[-11:],
            "mac": "fa:16:3e:" + ":".join(f"{b:02x}" for b in secrets.token_bytes(3)),
            "fixed_ips": [(self.segment.subnets[0].subnet_id, address)],
            "hostname": f"vm{last}",
            "metadata": about(f"vm{last}"),
        }
        return PlugPort(port_id=port_id, segment=self.segment, binding=PortBinding(**(binding | changes)))  # type: ignore[arg-type]


def unplug(order: PlugPort) -> UnplugPort:
    """The order that undoes `order`."""
    return UnplugPort(port_id=order.port_id, network_id=order.segment.network_id, tap=order.binding.tap)


def about(name: str) -> InstanceMetadata:
    """Metadata of a server called `name`."""
    return InstanceMetadata(
        server_id=uuid_like(),
        project_id=uuid_like(),
        meta_data={"uuid": uuid_like(), "hostname": name, "public_keys": {"mine": f"ssh-ed25519 AAAA {name}\n"}},
        network_data={"links": [], "networks": [], "services": []},
        user_data="IyEvYmluL3NoCg==",
        identity_document='{"instanceId": "x"}',
        identity_signature="e30..c2ln",
    )


def uuid_like() -> str:
    """A random UUID."""
    text = secrets.token_hex(16)
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
