"""The picture on disk, so that a host re-makes its networks after a restart without asking anybody.

`<folder>/<network id>/segment.json` and `<folder>/<network id>/<port id>.port.json`: one file per thing, so that a
damaged file costs one port and a change writes little. The files hold user data and keys: only their owner reads them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from skybus.errors import CommandRefused, CommandTroubled
from skybus.messages.network import PortBinding, Segment
from skybus_network.checks import binding_check, segment_check
from skybus_network.picture import KnownNetwork, Picture

log = structlog.get_logger()

S = TypeVar("S", bound=msgspec.Struct)

SEGMENT = "segment.json"
PORT = ".port.json"


class PictureFolder(Picture):
    """The networks of one host, in memory and on disk; a change is on disk before it is in memory.

    A write that fails raises `CommandTroubled`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def load(self) -> None:
        """Read everything; what cannot be used is set aside as `*.bad` and logged."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in sorted(self._folder.iterdir()):
            segment = self._read(folder / SEGMENT, Segment)
            if segment is None:
                continue
            network = self._networks[segment.network_id] = KnownNetwork(segment)
            for path in sorted(folder.glob(f"*{PORT}")):
                if (binding := self._read(path, PortBinding)) is not None:
                    network.ports[binding.port_id] = binding

    def _read(self, path: Path, kind: type[S]) -> S | None:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=kind)
            if isinstance(found, Segment):
                segment_check(found)
            if isinstance(found, PortBinding):
                binding_check(found)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, CommandRefused) as error:
            log.error("network_state_damaged", path=str(path), reason=str(error))
            path.rename(path.with_name(path.name + ".bad"))
            return None
        return found

    async def segment_put(self, segment: Segment) -> KnownNetwork:
        """Learn a network, or its new attributes."""
        known = self._networks.get(segment.network_id)
        if known is None or known.segment != segment:
            await self._write(self._folder / segment.network_id / SEGMENT, segment)
        return await super().segment_put(segment)

    async def port_put(self, network_id: str, binding: PortBinding) -> None:
        """Learn a port of a known network, or its new attributes."""
        if self._networks[network_id].ports.get(binding.port_id) != binding:
            await self._write(self._folder / network_id / (binding.port_id + PORT), binding)
        await super().port_put(network_id, binding)

    async def port_drop(self, network_id: str, port_id: str) -> None:
        """Forget a port. Content to find none."""
        path = self._folder / network_id / (port_id + PORT)
        await asyncio.to_thread(path.unlink, missing_ok=True)
        await super().port_drop(network_id, port_id)

    async def network_drop(self, network_id: str) -> None:
        """Forget a network and its ports. Content to find none."""
        await asyncio.to_thread(shutil.rmtree, self._folder / network_id, ignore_errors=True)
        await super().network_drop(network_id)

    async def _write(self, path: Path, thing: msgspec.Struct) -> None:
        try:
            await asyncio.to_thread(write_durably, path, msgspec.json.encode(thing))
        except OSError as error:
            raise CommandTroubled(f"the host could not store its network state: {error.strerror}") from error


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, also through a power cut. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
