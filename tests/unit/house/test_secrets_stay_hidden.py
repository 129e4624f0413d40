"""Security class 18: what is printed of a message holds no secret of it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from skybus.bus import schemas
from skybus.bus.message import Discreet, encode
from skybus.messages.compute import GuestVolume, ImageSource, InstanceMetadata, PlugVolume, SpawnGuest
from skybus.messages.volume import ExportVolume, IscsiTarget, VolumeExported

SECRET = re.compile(r"password|token|secret|user_data|meta_data|signature|passphrase|private_key")
CANARY = "c4n4ry-of-this-test"
MESSAGES = schemas.load_all()

TARGET = IscsiTarget(portal="10.0.0.1:3260", iqn="iqn.x", lun=1, chap_user="u", chap_password=CANARY)
IMAGE = ImageSource(image_id="i", url="http://x", token=CANARY, disk_format="raw", size=1, sha512="ab")
METADATA = InstanceMetadata(
    server_id="s",
    project_id="p",
    meta_data={"admin_pass": CANARY},
    network_data={},
    user_data=CANARY,
    identity_signature=CANARY,
)
VOLUME = GuestVolume(attachment_id="a", volume_id="v", device="/dev/vdb", target=TARGET)


def _structs(kind: Any, found: set[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Every struct type that `kind` is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found.add(kind)
        for field in msgspec.structs.fields(kind):
            _structs(field.type, found)
    for argument in getattr(kind, "__args__", ()):
        _structs(argument, found)
    return found


def test_every_field_that_sounds_like_a_secret_is_declared_one() -> None:
    kinds: set[type[msgspec.Struct]] = set()
    for message in MESSAGES.values():
        _structs(message, kinds)
    wrong = [
        f"{kind.__module__}.{kind.__name__}.{name}"
        for kind in kinds
        for name in kind.__struct_fields__
        if SECRET.search(name) and not (issubclass(kind, Discreet) and name in kind.SECRETS)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "holder",
    [
        TARGET,
        VOLUME,
        IMAGE,
        METADATA,
        ExportVolume(volume_id="v", attachment_id="a", chap_user="u", chap_password=CANARY, initiator_address="::1"),
        VolumeExported(volume_id="v", attachment_id="a", target=TARGET),
        PlugVolume(server_id="s", volume=VOLUME),
        SpawnGuest(
            server_id="s",
            project_id="p",
            name="n",
            vcpus=1,
            memory_mib=64,
            disk_gib=1,
            image=IMAGE,
            volumes=[VOLUME],
            metadata=METADATA,
        ),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_a_secret_is_printed_nowhere_and_sent_whole(holder: msgspec.Struct) -> None:
    for shown in (repr(holder), str(holder), f"{holder}", f"{[holder]!r}", repr(dict(holder.__rich_repr__()))):
        assert CANARY not in shown
        assert "***" in shown
    assert CANARY in msgspec.json.encode(holder).decode()


def test_what_is_no_secret_is_shown() -> None:
    assert "portal='10.0.0.1:3260'" in repr(TARGET)
    order = ExportVolume(volume_id="v", attachment_id="a", chap_user="u", chap_password=CANARY, initiator_address="::1")
    assert CANARY in encode(order).decode()
