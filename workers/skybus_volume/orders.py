"""What an order may say. Pure: raises `CommandRefused`, changes nothing."""

from __future__ import annotations

import ipaddress
import re

from skybus.errors import CommandRefused
from skybus.messages.volume import ExportVolume

ID = re.compile(r"[0-9a-z][0-9a-z-]{0,35}")
"""Ids become file names, target names and SCSI serial numbers (36 characters at most): nothing else may get through."""

CREDENTIAL = re.compile(r"[!-+\--~]{1,200}")
"""Visible ASCII without a comma, which separates fields in what tgtd reads."""

SHORTEST_PASSWORD = 12
"""RFC 7143 wants 96 bits; an initiator may refuse a shorter secret."""


def check_id(value: str, what: str) -> None:
    """Refuse an id that could name anything but one of our own things."""
    if not ID.fullmatch(value):
        raise CommandRefused(f"this is not the id of {what}", code="volume.id-invalid")


def check_size(size_gib: int) -> None:
    """Refuse a size without room for a single byte."""
    if size_gib < 1:
        raise CommandRefused(f"a volume of {size_gib} GiB cannot be made", code="volume.size-invalid")


def check_export(order: ExportVolume) -> None:
    """Refuse credentials and addresses that would weaken the guard. The reason never repeats a secret."""
    check_id(order.volume_id, "a volume")
    check_id(order.attachment_id, "an attachment")
    if not CREDENTIAL.fullmatch(order.chap_user):
        raise CommandRefused("the CHAP user has characters that cannot be used", code="volume.credentials-invalid")
    if not CREDENTIAL.fullmatch(order.chap_password) or len(order.chap_password) < SHORTEST_PASSWORD:
        raise CommandRefused(
            f"the CHAP password needs {SHORTEST_PASSWORD} to 200 visible ASCII characters, none of them a comma",
            code="volume.credentials-invalid",
        )
    try:
        address = ipaddress.ip_address(order.initiator_address)
    except ValueError:
        # tgtd also takes networks and the word ALL here, which would open the door to everybody.
        raise CommandRefused("the initiator's address is not an IP address", code="volume.initiator-invalid") from None
    if address.is_unspecified or address.is_multicast:
        raise CommandRefused("the initiator's address is not one host's", code="volume.initiator-invalid")
