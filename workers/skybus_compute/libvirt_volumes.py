"""Volumes as disks of libvirt guests, and the secrets that open them. These functions block."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from typing import Any

import libvirt
import structlog

from skybus.errors import CommandRefused
from skybus.messages.compute import GuestVolume
from skybus_compute.domain_xml import device_is_taken, disk_of, secret_usage, secret_xml, volume_xml
from skybus_compute.libvirt_host import live_xml, look_up, must_look_up, stored_xml
from skybus_compute.volume_device import device_name

log = structlog.get_logger()

_LIVE, _CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG


def keep_secret(connection: Any, server_id: str, volume: GuestVolume) -> None:
    """Have libvirt hold the volume's CHAP password, the newest that we were told."""
    usage = secret_usage(server_id, volume.attachment_id)
    secret = _find_secret(connection, usage)
    if secret is None:
        secret = connection.secretDefineXML(secret_xml(usage))
    secret.setValue(volume.target.chap_password.encode())


def forget_secret(connection: Any, usage: str) -> None:
    """Remove a secret. Content to find none."""
    secret = _find_secret(connection, usage)
    if secret is not None:
        with contextlib.suppress(libvirt.libvirtError):  # somebody else was quicker
            secret.undefine()


def forget_secrets_of(connection: Any, server_id: str) -> None:
    """Remove all secrets of a server, also those that a half-finished order left."""
    for secret in connection.listAllSecrets():
        usage = secret.usageID() or ""
        if usage.startswith(secret_usage(server_id, "")):
            forget_secret(connection, usage)


def attach(connection: Any, server_id: str, volume: GuestVolume) -> None:
    """Give a guest the volume, live when it runs, and in its definition, whichever is missing.

    Raises CommandRefused when there is no guest or its device name is taken, libvirtError when QEMU cannot log in.
    """
    domain = must_look_up(connection, server_id)
    flags = _where_missing(domain, volume)
    if not flags:
        return
    keep_secret(connection, server_id, volume)
    try:
        domain.attachDeviceFlags(volume_xml(server_id, volume), flags)
    except libvirt.libvirtError:
        known = (live_xml(domain), stored_xml(domain))
        if all(disk_of(definition, volume.volume_id) is None for definition in known):
            forget_secret(connection, secret_usage(server_id, volume.attachment_id))
        raise


def is_live(connection: Any, server_id: str, volume_id: str) -> bool:
    """Whether the guest runs and holds the volume."""
    domain = look_up(connection, server_id)
    return domain is not None and bool(domain.isActive()) and disk_of(live_xml(domain), volume_id) is not None


def ask_to_let_go(connection: Any, server_id: str, volume_id: str) -> None:
    """Ask the running guest to release the volume; it answers in its own time, or never while it boots."""
    domain = look_up(connection, server_id)
    disk = None if domain is None else disk_of(live_xml(domain), volume_id)
    if domain is None or disk is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(disk, encoding="unicode"), _LIVE)
    except libvirt.libvirtError as error:
        # QEMU refuses a second request while the first is pending; whether the disk goes decides, not this call.
        log.info("volume_unplug_refused", server_id=server_id, said=error.get_error_message())


def forget_volume(connection: Any, server_id: str, volume_id: str, attachment_id: str) -> None:
    """Take the volume out of the definition, and its secret out of libvirt. Content to find neither."""
    domain = look_up(connection, server_id)
    disk = None if domain is None else disk_of(stored_xml(domain), volume_id)
    if domain is not None and disk is not None:
        domain.detachDeviceFlags(ET.tostring(disk, encoding="unicode"), _CONFIG)
    forget_secret(connection, secret_usage(server_id, attachment_id))


def _where_missing(domain: Any, volume: GuestVolume) -> int:
    flags = 0
    running = bool(domain.isActive())
    for flag, definition in ((_LIVE, live_xml(domain) if running else None), (_CONFIG, stored_xml(domain))):
        if definition is None or disk_of(definition, volume.volume_id) is not None:
            continue
        if device_is_taken(definition, device_name(volume.device)):
            raise CommandRefused(f"the guest has another disk as {volume.device}", code="compute.device-taken")
        flags |= flag
    return flags


def _find_secret(connection: Any, usage: str) -> Any | None:
    try:
        return connection.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_ISCSI, usage)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SECRET:
            return None
        raise
