"""One compute host of the cloud on this machine: a network namespace, and a private virtlogd and libvirtd in it.

The daemons have a mount namespace of their own in which libvirt's folders are folders of ours, so neither they nor the
machine's own libvirt notice each other. Everything they write lies in the state folder.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import uuid
from pathlib import Path

from . import health, processes, users
from .shell import run, succeeds
from .state import State, cache_dir, write_private

UNDERLAY = "underlay"
"""The device that carries a host's own address inside its namespace."""
NETNS = Path("/run/netns")
GUEST_USER = "libvirt-qemu"
"""Guests run as this user, never as root."""

INIT = """#!/bin/sh
# Runs in the host's own mount, network and UTS namespace; becomes the daemon it is given.
set -e
base=$1; name=$2; guests=$3; shift 3
hostname "$name"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/libvirt
if [ -c /dev/kvm ]; then
    # Guests do not run as root. Where they may not open /dev/kvm, libvirtd would ask QEMU anew at each call.
    mknod -m 660 /run/kvm c 10 232 && chgrp "$guests" /run/kvm && mount --bind /run/kvm /dev/kvm
fi
mount --bind "$base/hosts" /etc/hosts
mount --bind "$base/run" /run/libvirt
mount --bind "$base/lib" /var/lib/libvirt
mount --bind "$base/etc" /etc/libvirt
mount --bind "$base/log" /var/log/libvirt
mount --bind "$base/cache" /var/cache/libvirt
exec "$@"
"""


class Host:
    """Host number `number` of the cloud in `state`, called `host-<number>`."""

    def __init__(self, state: State, number: int = 1) -> None:
        self.state = state
        self.name = f"host-{number}"
        self.address = f"172.31.0.{number}"
        self.folder = state.hosts / self.name
        self.base = self.folder / "libvirt"

    @property
    def namespace(self) -> str:
        """The network namespace that holds the host's data plane."""
        return f"{self.state.prefix}-{self.name}"

    @property
    def socket(self) -> Path:
        """Where its libvirtd listens."""
        return self.base / "run" / "libvirt-sock"

    @property
    def libvirt_uri(self) -> str:
        """How the compute agent reaches its libvirtd from outside the namespaces."""
        return f"qemu+unix:///system?socket={self.socket}"

    def up(self) -> str:
        """Have the namespace and both daemons running. Returns a note when the capabilities had to be probed."""
        self.make_namespace()
        self.write_files()
        seeded = self.seed_capabilities()
        for daemon in ("virtlogd", "libvirtd"):
            record = processes.start(self.state, f"{daemon}.{self.name}", self.command(daemon), cwd=Path("/"), grace=10)
            sock = self.base / "run" / f"{daemon.replace('libvirtd', 'libvirt')}-sock"
            health.wait(self.state, record, lambda sock=sock: accepts(sock), 60)
        # The first question about QEMU makes libvirtd run it to see what it can: better now than in the first boot.
        run(["virsh", "-c", self.libvirt_uri, "domcapabilities", "--virttype", "qemu"], "asking libvirt", timeout=120)
        self.keep_capabilities()
        return "" if seeded else "QEMU probed for the first time"

    def make_namespace(self) -> None:
        """The namespace with its loopback, and a device with the host's address on it. Content to find them."""
        if not (NETNS / self.namespace).exists():
            run(["ip", "netns", "add", self.namespace], f"making the network namespace of {self.name}")
        inside = ["ip", "-n", self.namespace]
        run([*inside, "link", "set", "lo", "up"], "bringing up lo")
        if not succeeds([*inside, "link", "show", UNDERLAY]):
            # A bridge without ports is the dummy device that every kernel has.
            run([*inside, "link", "add", UNDERLAY, "type", "bridge"], "making the host's own device")
        run([*inside, "addr", "replace", f"{self.address}/24", "dev", UNDERLAY], "giving the host its address")
        run([*inside, "link", "set", UNDERLAY, "up"], "bringing up the host's own device")

    def write_files(self) -> None:
        """Folders and configuration of the daemons."""
        for folder in ("run", "lib/qemu", "lib/images", "lib/boot", "etc", "log", "cache"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.base):
            folder.chmod(0o711)
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.state.cloud_id} {self.name}")
        write_private(self.base / "hosts", f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        (self.base / "hosts").chmod(0o644)
        write_private(self.base / "init.sh", INIT)
        write_private(
            self.base / "etc" / "libvirtd.conf",
            f'listen_tls = 0\nlisten_tcp = 0\nunix_sock_rw_perms = "0700"\nauth_unix_rw = "none"\n'
            f'host_uuid = "{identity}"\nmax_clients = 200\nlog_outputs = "2:stderr"\n',
        )
        write_private(
            self.base / "etc" / "virtlogd.conf", 'log_outputs = "3:stderr"\nmax_size = 4194304\nmax_backups = 1\n'
        )
        user = GUEST_USER
        write_private(
            self.base / "etc" / "qemu.conf",
            f'security_driver = "none"\nuser = "{user}"\ngroup = "{user}"\n'
            "dynamic_ownership = 1\nremember_owner = 0\ncgroup_controllers = [ ]\nnamespaces = [ ]\n"
            'vnc_listen = "127.0.0.1"\nlog_timestamp = 1\n',
        )

    def seed_capabilities(self) -> bool:
        """Give libvirtd what an earlier one found out about QEMU; it checks by itself whether that still holds."""
        here = self.base / "cache" / "qemu" / "capabilities"
        if here.exists() and any(here.iterdir()):
            return True
        kept = cache_dir() / "qemu-capabilities"
        if not kept.is_dir() or not any(kept.iterdir()):
            return False
        shutil.copytree(kept, here, dirs_exist_ok=True)
        return True

    def keep_capabilities(self) -> None:
        """Keep them for the next cloud on this machine."""
        here = self.base / "cache" / "qemu" / "capabilities"
        kept = cache_dir() / "qemu-capabilities"
        if here.is_dir():
            shutil.copytree(here, kept, dirs_exist_ok=True)

    def command(self, daemon: str) -> list[str | Path]:
        """A daemon inside the host's namespaces. Each program replaces the one before, so the pid stays."""
        init = ["sh", self.base / "init.sh", self.base, self.name, GUEST_USER, f"/usr/sbin/{daemon}"]
        return [
            "ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts", "--propagation", "private",
            *users.with_open_path(GUEST_USER, [self.state.root], init),
        ]  # fmt: skip

    def domains(self) -> list[str]:
        """Names of the guests that run on this host; empty when its libvirtd does not."""
        if not accepts(self.socket):
            return []
        return run(["virsh", "-c", self.libvirt_uri, "list", "--name"], "listing guests").split()

    def stop_guests(self, seconds: float = 10.0) -> list[str]:
        """Ask every guest to shut down, and turn off those that did not in `seconds`. Returns their names."""
        names = self.domains()
        for name in names:
            succeeds(["virsh", "-c", self.libvirt_uri, "shutdown", name])
        health.until(lambda: not self.domains(), seconds if names else 0)
        for name in self.domains():
            succeeds(["virsh", "-c", self.libvirt_uri, "destroy", name])
        return names

    def forget_guests(self) -> None:
        """Remove what is defined in libvirt. For `down --purge` only."""
        if accepts(self.socket):
            for name in run(["virsh", "-c", self.libvirt_uri, "list", "--all", "--name"], "listing guests").split():
                succeeds(["virsh", "-c", self.libvirt_uri, "undefine", "--nvram", name])


def accepts(path: Path) -> bool:
    """Whether something listens on the Unix socket `path`."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False
