"""Brings an image from the gateway into a file, and believes none of it that the digest does not confirm."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from skybus.errors import CloudError, CommandTroubled
from skybus.messages.compute import ImageSource
from skybus_compute.image_check import refused

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 256 << 20
"""Room that a download leaves on the host's disk."""
SLOWEST_BYTES_PER_SECOND = 1 << 19
_GONE = (404, 410)


def host_full(what: str) -> CommandTroubled:
    """The host has no room now."""
    return CommandTroubled(f"the host has no room for {what}", code="compute.host-full")


async def download(session: aiohttp.ClientSession, image: ImageSource, target: Path) -> None:
    """Write the image to `target`, durably, checking size and digest as it streams.

    Raises CommandRefused when the data is not what was promised or is gone, CommandTroubled when the network, the
    gateway or the disk failed. Never follows a redirect: the token is for the gateway alone.
    """
    if shutil.disk_usage(target.parent).free < image.size + SPARE_BYTES:
        raise host_full("the image")
    limits = aiohttp.ClientTimeout(total=60 + image.size / SLOWEST_BYTES_PER_SECOND, connect=10, sock_read=30)
    headers = {"X-Auth-Token": image.token, "Accept-Encoding": "identity"}
    try:
        async with session.get(image.url, headers=headers, timeout=limits, allow_redirects=False) as response:
            _check_status(response.status)
            await _save(response.content, image, target)
    except (aiohttp.ClientError, TimeoutError) as error:
        # The library's text may hold the URL, and with it what the gateway put into it.
        raise CommandTroubled(f"cannot download the image: {type(error).__name__}") from None
    except OSError as error:
        raise disk_error(error, "the image") from error


def disk_error(error: OSError, what: str) -> CloudError:
    """What a failed file operation means to the conductor."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return host_full(what)
    return CommandTroubled(f"cannot write {what}: {error.strerror}")


def _check_status(status: int) -> None:
    if status in _GONE:
        raise refused("it is gone")
    if status != 200:
        raise CommandTroubled(f"cannot download the image: the gateway answered {status}")


async def _save(content: aiohttp.StreamReader, image: ImageSource, target: Path) -> None:
    digest = hashlib.sha512()
    got = 0
    with await asyncio.to_thread(target.open, "wb") as file:
        while chunk := await content.read(CHUNK_BYTES):
            got += len(chunk)
            if got > image.size:
                raise refused("it is longer than was announced")
            await asyncio.to_thread(_take, file, digest, chunk)
        if got < image.size:
            raise CommandTroubled("cannot download the image: it ended too early")
        if digest.hexdigest() != image.sha512.lower():
            raise refused("its digest differs from the one that was recorded")
        await asyncio.to_thread(_make_durable, file)


def _take(file: BinaryIO, digest: Any, chunk: bytes) -> None:
    digest.update(chunk)
    file.write(chunk)


def _make_durable(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
