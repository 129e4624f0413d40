"""Arithmetic of addresses, without I/O: pools, defaults, random picks."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

from skybus.errors import BadRequest, Conflict
from skybus.network.errors import invalid

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network
Pool = tuple[str, str]
"""First and last address, both included."""

ROOM = 32
"""Addresses beyond those that the taken ones make it likely to need: what transactions at the same time choose from."""

_random = random.SystemRandom()


def cidr_of(text: str, ip_version: int) -> Cidr:
    """The network that `text` names; host bits are dropped, as Neutron does. Raises BadRequest."""
    try:
        cidr = ip_network(text, strict=False)
    except ValueError:
        raise invalid(f"'{text[:64]}' is not a valid CIDR") from None
    if "/" not in text:
        raise invalid(f"'{text[:64]}' is not a valid CIDR: it has no prefix length")
    if cidr.version != ip_version:
        raise invalid(f"ip_version {ip_version} does not match cidr '{text[:64]}'")
    if cidr.prefixlen == 0:
        raise invalid("0 is not allowed as CIDR prefix length")
    if cidr.is_multicast:
        raise invalid(f"'{cidr}' is a multicast network")
    return cidr


def address_of(text: str, name: str, version: int | None = None) -> Address:
    """The address that `text` spells. Raises BadRequest that names the attribute."""
    try:
        address = ip_address(text)
    except ValueError:
        raise invalid(f"'{text[:64]}' is not a valid IP address for {name}") from None
    if version is not None and address.version != version:
        raise invalid(f"{name} '{address}' does not match the subnet's ip_version {version}")
    if isinstance(address, IPv6Address) and address.scope_id:
        raise invalid(f"'{text[:64]}' is not a valid IP address for {name}: it has a zone")
    return address


def usable(cidr: Cidr) -> tuple[int, int]:
    """First and last number a port may have: all but an IPv4 network's own and its broadcast address, and all but an
    IPv6 network's anycast address."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    if cidr.version == 4 and cidr.prefixlen < 31:
        return first + 1, last - 1
    if cidr.version == 6 and cidr.prefixlen < 127:
        return first + 1, last
    return first, last


def make(number: int, cidr: Cidr) -> Address:
    """The address with this number, in the family of `cidr`."""
    return IPv4Address(number) if cidr.version == 4 else IPv6Address(number)


def default_gateway(cidr: Cidr) -> Address:
    """The first usable address."""
    return make(usable(cidr)[0], cidr)


def check_gateway(cidr: Cidr, gateway: Address) -> None:
    """Raises BadRequest unless a port of the subnet could have the gateway's address.

    An IPv6 gateway may be link-local, as routers announce themselves.
    """
    if gateway.version == 6 and gateway.is_link_local:
        return
    first, last = usable(cidr)
    if not first <= int(gateway) <= last:
        raise invalid(f"Gateway IP {gateway} is not valid on subnet {cidr}")


def default_pools(cidr: Cidr, gateway: Address | None) -> list[Pool]:
    """Everything usable but the gateway."""
    first, last = usable(cidr)
    gap = int(gateway) if gateway is not None else -1
    spans = [(first, last)] if not first <= gap <= last else [(first, gap - 1), (gap + 1, last)]
    return [(str(make(low, cidr)), str(make(high, cidr))) for low, high in spans if low <= high]


def checked_pools(cidr: Cidr, gateway: Address | None, asked: Sequence[Pool]) -> list[Pool]:
    """`asked`, in order. Raises BadRequest or Conflict, as Neutron does, for a pool that is backwards, leaves the
    subnet, meets another one or holds the gateway."""
    spans = sorted(_span(cidr, low, high) for low, high in asked)
    for before, behind in pairwise(spans):
        if behind[0] <= before[1]:
            raise Conflict(
                f"Found overlapping allocation pools: {_shown(cidr, before)}, {_shown(cidr, behind)} for subnet "
                f"{cidr}.",
                type="OverlappingAllocationPools",
            )
    for span in spans:
        if gateway is not None and span[0] <= int(gateway) <= span[1]:
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {_shown(cidr, span)}.",
                type="GatewayConflictWithAllocationPools",
            )
    return [(str(make(low, cidr)), str(make(high, cidr))) for low, high in spans]


def _span(cidr: Cidr, low: str, high: str) -> tuple[int, int]:
    first, last = (int(address_of(text, "allocation_pools", cidr.version)) for text in (low, high))
    if first > last:
        raise BadRequest(f"The allocation pool {low}-{high} is not valid.", type="InvalidAllocationPool")
    lowest, highest = usable(cidr)
    if first < lowest or last > highest:
        raise BadRequest(
            f"The allocation pool {low}-{high} spans beyond the subnet cidr {cidr}.", type="OutOfBoundsAllocationPool"
        )
    return first, last


def _shown(cidr: Cidr, span: tuple[int, int]) -> str:
    return f"{make(span[0], cidr)}-{make(span[1], cidr)}"


def spans_of(pools: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Pools as pairs of numbers."""
    return [(int(ip_address(low)), int(ip_address(high))) for low, high in pools]


def pick(pools: Sequence[Sequence[str]], highest: str | None = None) -> str | None:
    """Some address of the pools; None when they hold none.

    With the `highest` address that is taken, it comes from the lower part: twice as far as that one and a little
    more. So a pool fills from below, and leaves alone what people choose for themselves higher up, while at least
    every second pick is likely to be free.
    """
    spans = spans_of(pools)
    size = sum(high - low + 1 for low, high in spans)
    if size <= 0:
        return None
    taken = 0 if highest is None else _up_to(spans, int(ip_address(highest)))
    number = _random.randrange(min(size, 2 * taken + ROOM))
    for (low, high), (text, _) in zip(spans, pools, strict=True):
        if number <= high - low:
            return str(ip_address(text) + number)
        number -= high - low + 1
    raise AssertionError("the pools are as large as their parts")


def pick_anywhere(pools: Sequence[Sequence[str]]) -> str | None:
    """Some address of the pools, each as likely as any other; None when they hold none."""
    return pick(pools, pools[-1][1]) if pools else None


def _up_to(spans: Sequence[tuple[int, int]], number: int) -> int:
    """How many addresses of the spans are at most `number`."""
    return sum(max(0, min(high, number) - low + 1) for low, high in spans)


def new_mac() -> str:
    """A random MAC with OpenStack's prefix."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
