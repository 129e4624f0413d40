"""The images that a host keeps, each downloaded once for all the guests that boot from it.

A guest gets a hard link to the cached file. So the number of links says whether an image is in use, without any
bookkeeping that a crash could falsify, and nothing that happens to the cache can take a disk from under a guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import aiohttp
import structlog

from skybus.errors import CommandTroubled
from skybus.messages.compute import ImageSource
from skybus_compute.identifiers import checked_id
from skybus_compute.image_check import check_image, refused
from skybus_compute.image_download import disk_error, download

log = structlog.get_logger()


class ImageCache:
    """A folder of checked images, kept below `capacity_bytes` by forgetting the least recently used."""

    def __init__(self, folder: Path, capacity_bytes: int) -> None:
        self._folder = folder
        self._capacity = capacity_bytes
        self._fetching: dict[str, asyncio.Task[Path]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the folder, and remove what a crash left half downloaded. Raises CommandTroubled."""
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise disk_error(error, "the image cache") from error

    async def close(self) -> None:
        """Give up downloads."""
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ensure(self, image: ImageSource) -> Path:
        """Where the image is, downloading it unless it is there or on its way.

        Callers share one download, and cancelling one of them does not end it for the others. Raises CommandRefused
        for an image that may not be booted from, CommandTroubled when it could not be had this time.
        """
        name = self._name(image)
        path = self._folder / name
        if await asyncio.to_thread(_touch, path):
            return path
        task = self._fetching.get(name)
        if task is None:
            task = self._fetching[name] = asyncio.ensure_future(self._fetch(image, path))
            task.add_done_callback(lambda done: self._fetched(name, done))
        return await asyncio.shield(task)

    async def link(self, image: ImageSource, target: Path) -> None:
        """Give a guest its own name for the image, unless it has it. Raises as `ensure` does."""
        if await asyncio.to_thread(target.exists):
            return
        for _ in range(3):
            path = await self.ensure(image)
            try:
                await asyncio.to_thread(os.link, path, target)
            except FileExistsError:
                return
            except FileNotFoundError:
                continue  # evicted in between
            except OSError as error:
                raise disk_error(error, "the guest's disk") from error
            return
        raise CommandTroubled("the image cache is too small for what boots here", code="compute.host-full")

    def _name(self, image: ImageSource) -> str:
        """The digest is part of the name, so that a cached file is never taken for other data of the same id."""
        if len(image.sha512) != 128 or not set(image.sha512.lower()) <= set("0123456789abcdef"):
            raise refused("it has no valid digest")
        return f"{checked_id(image.image_id, 'image')}.{image.sha512[:32].lower()}.{image.disk_format}"

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for left in self._folder.glob("*.part"):
            left.unlink()

    async def _fetch(self, image: ImageSource, path: Path) -> Path:
        part = path.with_name(path.name + ".part")
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        try:
            await download(self._session, image, part)
            await check_image(part, image.disk_format)
            await asyncio.to_thread(_publish, part, path)
        except OSError as error:
            raise disk_error(error, "the image") from error
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(part.unlink, missing_ok=True)
        log.info("image_cached", image_id=image.image_id, size=image.size)
        await asyncio.to_thread(self._evict, path)
        return path

    def _fetched(self, name: str, task: asyncio.Task[Path]) -> None:
        del self._fetching[name]
        if not task.cancelled():
            task.exception()  # every waiter may be gone; then nobody else takes the error

    def _evict(self, newest: Path) -> None:
        """Forget the least recently used until the rest fits. What a guest links to would free nothing."""
        files = [(path, path.stat()) for path in self._folder.iterdir() if path.suffix != ".part"]
        total = sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda file: file[1].st_mtime_ns):
            if total <= self._capacity:
                return
            if stat.st_nlink == 1 and path != newest:
                path.unlink(missing_ok=True)
                total -= stat.st_size
                log.info("image_evicted", name=path.name, size=stat.st_size)


def _touch(path: Path) -> bool:
    """Note the use of a cached image; false when it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _publish(part: Path, path: Path) -> None:
    """Give a complete file its name. The folder is synced too, or the name could be lost in a crash."""
    part.chmod(0o644)
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
