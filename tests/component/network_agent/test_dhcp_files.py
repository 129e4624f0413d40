"""What the DHCP server is told."""

from __future__ import annotations

import msgspec
import pytest

from component.network_agent.orders import Net, uuid_like
from skybus.messages.network import Subnet
from skybus_network.linuxbridge.dhcp_files import DhcpFiles, dhcp_files, host_label
from skybus_network.picture import KnownNetwork


def files_of(net: Net, *lasts: int, **changes: object) -> DhcpFiles:
    orders = [net.plug(last, **changes) for last in lasts]
    found = dhcp_files(KnownNetwork(net.segment, {order.port_id: order.binding for order in orders}))
    assert found is not None
    return found


def options_of(net: Net) -> dict[str, list[str]]:
    """Values by option of the only subnet."""
    lines = [line.split(",") for line in files_of(net, 11).options.splitlines()]
    return {line[1]: line[2:] for line in lines if line[0].startswith("tag:")}


def with_subnet(net: Net, **changes: object) -> Net:
    subnet = msgspec.structs.replace(net.segment.subnets[0], **changes)
    net.segment = msgspec.structs.replace(net.segment, subnets=[subnet, *net.segment.subnets[1:]])
    return net


def test_routes_hold_the_way_out_because_clients_then_ignore_the_router() -> None:
    options = options_of(Net(0))
    assert options["option:router"] == ["10.71.0.1"]
    assert options["option:classless-static-route"] == [
        *("10.99.0.0/16", "10.71.0.9"),
        *("169.254.169.254/32", "10.71.0.2"),
        *("0.0.0.0/0", "10.71.0.1"),
    ]


def test_without_a_gateway_no_router_is_given_and_metadata_is_reached_all_the_same() -> None:
    options = options_of(Net(0, gateway=False))
    assert options["option:router"] == []
    assert options["option:classless-static-route"][-2:] == ["169.254.169.254/32", "10.71.0.2"]


def test_what_the_user_routes_goes_before_what_we_would() -> None:
    routes = [("169.254.169.254/32", "10.71.0.7"), ("0.0.0.0/0", "10.71.0.8")]
    options = options_of(with_subnet(Net(0), host_routes=routes))
    assert options["option:classless-static-route"] == [part for route in routes for part in route]


def test_another_subnet_of_the_network_is_reached_on_the_link() -> None:
    net = Net(0)
    other = Subnet(subnet_id=uuid_like(), cidr="10.72.0.0/24", dhcp_ip="10.72.0.2", enable_dhcp=False)
    net.segment = msgspec.structs.replace(net.segment, subnets=[*net.segment.subnets, other])
    assert "10.72.0.0/24,0.0.0.0" in files_of(net, 11).options
    assert "10.72.0.0" not in files_of(net, 11).conf


@pytest.mark.parametrize("changes", [{"enable_dhcp": False}, {"dhcp_ip": None}])
def test_a_network_whose_subnets_want_no_dhcp_has_no_server(changes: dict[str, object]) -> None:
    net = with_subnet(Net(0), **changes)
    assert dhcp_files(KnownNetwork(net.segment)) is None


@pytest.mark.parametrize(
    "name",
    ["", "a\nb", "a,b", "vm\ndhcp-script=/bin/sh", "-x", "x-", "ä", "a b", "x" * 64, "tag:x", "#", "a\0b", "id:*"],
)
def test_a_host_name_that_is_none_is_replaced_and_never_written(name: str) -> None:
    files = files_of(Net(0), 11, hostname=name)
    assert files.hosts.endswith(",10.71.0.11,host-10-71-0-11\n")
    assert files.hosts.count("\n") == 1


def test_a_full_name_gives_its_first_label() -> None:
    assert host_label("Web-1.example.org", "10.0.0.1") == "web-1"


def test_one_card_gets_one_address_and_one_address_goes_to_one_card() -> None:
    files = files_of(Net(0), 11, 11, 12)
    assert [line.split(",")[1] for line in files.hosts.splitlines()].count("10.71.0.11") == 1
    assert set(files.given) == {"10.71.0.11", "10.71.0.12"}
