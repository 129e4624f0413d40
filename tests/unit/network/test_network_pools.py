"""Arithmetic of addresses, and the table of moves."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skybus.errors import CloudError
from skybus.ids import new_id
from skybus.network.pools import (
    ROOM,
    checked_pools,
    default_gateway,
    default_pools,
    make,
    new_mac,
    pick,
    pick_anywhere,
    usable,
)
from skybus.network.states import MOVES, Cause, State, after
from skybus.network.wiring import tap_name


@given(st.integers(0, 2**32 - 1), st.integers(20, 32), st.integers(0, 300))
def test_default_pools_hold_every_usable_address_but_the_gateway(number: int, prefix: int, offset: int) -> None:
    cidr = ip_network((number, prefix), strict=False)
    first, last = usable(cidr)
    gateway = make(min(first + offset, last), cidr)
    held = {
        n for low, high in default_pools(cidr, gateway) for n in range(int(ip_address(low)), int(ip_address(high)) + 1)
    }
    assert held == set(range(first, last + 1)) - {int(gateway)}
    assert checked_pools(cidr, gateway, default_pools(cidr, gateway)) == default_pools(cidr, gateway)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=4))
def test_pools_are_accepted_exactly_when_each_address_is_in_one_and_none_is_the_gateways(
    spans: list[tuple[int, int]],
) -> None:
    cidr = ip_network("10.0.0.0/28")
    asked = [(f"10.0.0.{low}", f"10.0.0.{high}") for low, high in spans]
    held = [n for low, high in spans for n in range(low, high + 1)]
    right = all(low <= high for low, high in spans) and len(held) == len(set(held)) and not {0, 1, 15} & set(held)
    if right:
        assert sorted(asked, key=lambda pool: ip_address(pool[0])) == checked_pools(cidr, default_gateway(cidr), asked)
    else:
        with pytest.raises(CloudError):
            checked_pools(cidr, default_gateway(cidr), asked)


def test_a_pick_reaches_every_address_of_every_pool_and_no_other() -> None:
    pools = [("10.0.0.2", "10.0.0.3"), ("10.0.0.9", "10.0.0.9")]
    assert {pick(pools) for _ in range(200)} == {"10.0.0.2", "10.0.0.3", "10.0.0.9"}
    assert pick([]) is None
    assert str(pick_anywhere([("fd00::2", "fd00::ffff:ffff:ffff:ffff")])).startswith("fd00::")


@given(st.integers(2, 250), st.integers(0, 5))
def test_a_pool_fills_from_below(highest: int, hole: int) -> None:
    pools = [("10.0.0.2", "10.0.0.20"), (f"10.0.0.{21 + hole}", "10.0.3.250")]
    taken = sum(1 for n in range(2, highest + 1) if n <= 20 or n >= 21 + hole)
    chosen = int(ip_address(pick(pools, f"10.0.0.{highest}") or ""))
    position = chosen - int(ip_address("10.0.0.2")) - (hole if chosen > int(ip_address("10.0.0.20")) else 0)
    assert 0 <= position < 2 * taken + ROOM


def test_a_mac_is_of_openstacks_kind() -> None:
    assert new_mac().startswith("fa:16:3e:")
    assert len({new_mac() for _ in range(50)}) > 45


def test_whatever_happens_to_a_port_leads_somewhere() -> None:
    assert set(MOVES) == {(state, cause) for state in State for cause in Cause}
    assert after(State.DOWN, Cause.PLUGGED) is State.ACTIVE


def test_a_taps_name_fits_the_kernel_and_is_its_ports_own_however_fast_ports_are_made() -> None:
    names = {tap_name(new_id()) for _ in range(500)}
    assert {len(name) for name in names} == {14}
    assert len(names) == 500
