"""The config drive: a CD-ROM labelled config-2 on which a guest finds its metadata without a network."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import tempfile
from pathlib import Path

from skybus.errors import CommandRefused
from skybus.messages.compute import InstanceMetadata
from skybus_compute.limited import run_limited

VERSIONS = ("latest", "2018-08-27")


def drive_files(metadata: InstanceMetadata) -> dict[str, bytes]:
    """Contents by path within the drive. Raises CommandRefused when the user data is not base64."""
    documents = {
        "meta_data.json": json.dumps(metadata.meta_data).encode(),
        "network_data.json": json.dumps(metadata.network_data).encode(),
        "vendor_data.json": b"{}",
    }
    if metadata.user_data is not None:
        try:
            documents["user_data"] = base64.b64decode(metadata.user_data, validate=True)
        except (binascii.Error, ValueError):
            raise CommandRefused("the user data is not base64", code="compute.user-data-refused") from None
    files = {f"openstack/{version}/{name}": data for version in VERSIONS for name, data in documents.items()}
    if metadata.identity_document:
        files["skybus/identity.json"] = metadata.identity_document.encode()
        files["skybus/identity.jws"] = metadata.identity_signature.encode()
    return files


async def write_config_drive(metadata: InstanceMetadata, target: Path) -> None:
    """Make the ISO 9660 image at `target`, readable by its owner alone. Raises CommandRefused, CommandTroubled."""
    files = drive_files(metadata)
    with tempfile.TemporaryDirectory(prefix="config-drive-", dir=target.parent) as folder:
        tree, image = Path(folder, "tree"), Path(folder, "image.iso")
        await asyncio.to_thread(_write_tree, tree, files)
        argv = ["xorrisofs", "-quiet", "-J", "-r", "-V", "config-2", "-o", str(image), str(tree)]
        await run_limited(argv, what="write the config drive")
        await asyncio.to_thread(_publish, image, target)


def _write_tree(tree: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _publish(image: Path, target: Path) -> None:
    image.chmod(0o600)
    image.rename(target)
