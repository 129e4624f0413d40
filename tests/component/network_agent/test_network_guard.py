"""The rules against spoofing, as text."""

from __future__ import annotations

import ipaddress

import msgspec

from component.network_agent.orders import Net
from skybus_network.linuxbridge.guard import CLOSED, guard_text, link_local, port_rules
from skybus_network.linuxbridge.names import Names
from skybus_network.picture import KnownNetwork

NAMES = Names("sky", "host-1")


def test_a_card_gives_itself_the_link_local_address_of_the_rfc() -> None:
    assert link_local("fa:16:3e:01:02:03") == ipaddress.IPv6Address("fe80::f816:3eff:fe01:203")


def test_with_nothing_to_guard_there_is_no_table() -> None:
    assert guard_text(NAMES, {}).splitlines() == ["add table bridge sky_guard", "delete table bridge sky_guard"]


def test_the_whole_table_is_replaced_in_one_transaction() -> None:
    order = Net(0).plug(11)
    network = KnownNetwork(order.segment, {order.port_id: order.binding})
    lines = guard_text(NAMES, {network.id: network}).splitlines()
    assert lines[:3] == ["add table bridge sky_guard", "delete table bridge sky_guard", "table bridge sky_guard {"]


def test_a_port_without_port_security_has_no_rules() -> None:
    order = Net(0).plug(11, port_security=False)
    network = KnownNetwork(order.segment, {order.port_id: order.binding})
    text = guard_text(NAMES, {network.id: network})
    assert "chain port_" not in text
    assert f'"{order.binding.tap}" :' not in text


def test_a_port_without_addresses_may_still_ask_for_one() -> None:
    rules = port_rules(Net(0).plug(11, fixed_ips=[]).binding)
    assert any("udp sport 68 udp dport 67 accept" in rule for rule in rules)
    assert not any("{  }" in rule for rule in rules)


def test_a_port_that_cannot_be_guarded_is_closed_and_leaves_the_others_alone() -> None:
    net = Net(0)
    good, bad = net.plug(11), net.plug(12)
    broken = msgspec.structs.replace(bad.binding, mac='" } evil')
    network = KnownNetwork(good.segment, {good.port_id: good.binding, bad.port_id: broken})
    text = guard_text(NAMES, {network.id: network})
    assert port_rules(broken) == CLOSED
    assert "evil" not in text
    assert good.binding.mac in text


def test_a_quarantined_tap_says_nothing() -> None:
    assert '"tapx" : drop' in guard_text(NAMES, {}, {"tapx"})
