"""Names that hold, and values that are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from component.network_agent.orders import Net, uuid_like
from skybus.config import ConfigError
from skybus.errors import CommandRefused
from skybus.messages.network import PlugPort
from skybus_network.checks import plug_check
from skybus_network.linuxbridge.names import Names

LONGEST_INTERFACE_NAME = 15


@pytest.mark.parametrize("prefix", ["s", "sky", "sixsix"])
def test_interface_names_fit_and_differ(prefix: str) -> None:
    names, ids = Names(prefix, "host-1"), [uuid_like() for _ in range(50)]
    made = [make(each) for each in ids for make in (names.bridge, names.tunnel, names.dhcp_veth)]
    assert len(set(made)) == len(made)
    assert max(map(len, made)) <= LONGEST_INTERFACE_NAME


def test_the_owner_of_an_interface_stands_in_its_alias() -> None:
    names, network_id = Names("sky", "host-1"), uuid_like()
    assert names.owner(names.alias("network", network_id)) == ("network", network_id)
    assert names.owner(names.alias("port", network_id)) == ("port", network_id)


@pytest.mark.parametrize("other", [Names("sky", "host-10"), Names("sk", "host-1"), Names("skyy", "host-1")])
def test_what_another_host_or_cloud_made_is_not_ours(other: Names) -> None:
    names, network_id = Names("sky", "host-1"), uuid_like()
    assert names.owner(other.alias("network", network_id)) is None
    assert names.dhcp_network(other.dhcp_namespace(network_id)) is None


@pytest.mark.parametrize("alias", [None, "", "sky", "sky:host-1", "sky:host-1:disk:x", "uplink"])
def test_an_interface_without_our_alias_is_not_ours(alias: str | None) -> None:
    assert Names("sky", "host-1").owner(alias) is None


def test_a_dhcp_namespace_names_its_network() -> None:
    names, network_id = Names("sky", "host-1"), uuid_like()
    assert names.dhcp_network(names.dhcp_namespace(network_id)) == network_id


@pytest.mark.parametrize(("prefix", "host"), [("", "h"), ("Sky", "h"), ("toolong", "h"), ("sky", "a/b"), ("sky", "")])
def test_names_that_would_not_hold_are_refused_at_start(prefix: str, host: str) -> None:
    with pytest.raises(ConfigError):
        Names(prefix, host)


def test_a_right_order_passes() -> None:
    plug_check(Net(0).plug(11))


EVIL = ["", "x y", "a\nb", 'a" drop', "../../etc", "10.0.0.1/24 ", "fe80::1%eth0", "\0", "a;b", "${x}"]


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("field", ["tap", "mac", "port_id"])
def test_no_evil_text_passes_as_a_value_of_a_port(field: str, text: str) -> None:
    order = Net(0).plug(11)
    with pytest.raises(CommandRefused):
        plug_check(changed(order, binding=msgspec.structs.replace(order.binding, **{field: text}), port_id=text))


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("field", ["cidr", "gateway_ip", "dhcp_ip", "subnet_id"])
def test_no_evil_text_passes_as_a_value_of_a_subnet(field: str, text: str) -> None:
    order = Net(0).plug(11)
    subnet = msgspec.structs.replace(order.segment.subnets[0], **{field: text})
    with pytest.raises(CommandRefused):
        plug_check(changed(order, segment=msgspec.structs.replace(order.segment, subnets=[subnet])))


@pytest.mark.parametrize(
    "changes",
    [
        {"network_id": "../../x"},
        {"vni": 0},
        {"vni": 1 << 24},
        {"vni": None},
        {"mtu": 10},
        {"dhcp_mac": "01:00:5e:00:00:01"},
        {"peers": ["10.0.0.300"]},
    ],
)
def test_an_impossible_segment_is_refused(changes: dict[str, Any]) -> None:
    order = Net(0).plug(11)
    with pytest.raises(CommandRefused):
        plug_check(changed(order, segment=msgspec.structs.replace(order.segment, **changes)))


@pytest.mark.parametrize("fields", [{"dns_nameservers": ["1.2.3.4,evil"]}, {"host_routes": [("0.0.0.0/0", "::1")]}])
def test_routes_and_resolvers_must_be_addresses(fields: dict[str, Any]) -> None:
    order = Net(0).plug(11)
    subnet = msgspec.structs.replace(order.segment.subnets[0], **fields)
    with pytest.raises(CommandRefused):
        plug_check(changed(order, segment=msgspec.structs.replace(order.segment, subnets=[subnet])))


def changed(order: PlugPort, **changes: Any) -> PlugPort:
    return msgspec.structs.replace(order, **changes)
