"""A libvirtd of the test's own, in its own mount and network namespace, with its own folders for everything."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

CAPABILITIES = Path("/var/cache/libvirt/qemu/capabilities")
START_SECONDS = 90.0  # the first start of a libvirtd asks QEMU for all it can do

_LIBVIRTD_CONF = 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\nhost_uuid = "{uuid}"\n'
_QEMU_CONF = """security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
"""
_MOUNTS = {
    "run": "/run/libvirt",
    "tgtd": "/run/tgtd",
    "lib": "/var/lib/libvirt",
    "etc": "/etc/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}


def wait_until(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Block until `true()`. Raises TimeoutError that says `what` was awaited."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.05)


class PrivateLibvirt:
    """Namespaces, virtlogd and libvirtd; `stop` removes all of it and every guest in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="skycompute-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._libvirtd: subprocess.Popen[bytes] | None = None
        self._holder: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"

    def start(self) -> None:
        for name in _MOUNTS:
            (self.folder / name).mkdir()
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
        (self.folder / "etc/libvirtd.conf").write_text(_LIBVIRTD_CONF.format(uuid=uuid4()))
        (self.folder / "etc/qemu.conf").write_text(_QEMU_CONF)
        (self.folder / "etc/virtlogd.conf").write_text("")
        if CAPABILITIES.is_dir():
            shutil.copytree(CAPABILITIES, self.folder / "cache/qemu/capabilities")
        binds = "\n".join(f"mkdir -p {at}; mount --bind {self.folder}/{name} {at}" for name, at in _MOUNTS.items())
        ready = self.folder / "ready"
        script = f"set -e; mount --make-rprivate /; mount -t tmpfs run /run\n{binds}\n"
        script += f"mount --bind {self.folder}/hosts /etc/hosts\n"
        # Where QEMU's user may not open /dev/kvm, libvirtd asks QEMU anew at each call what it can.
        script += "[ ! -c /dev/kvm ] || { mknod -m 660 /run/kvm c 10 232; chgrp libvirt-qemu /run/kvm; "
        script += "mount --bind /run/kvm /dev/kvm; }\n"
        script += f"ip link set lo up; touch {ready}; exec sleep 3600"
        self._holder = self._run(["unshare", "--mount", "--net", "sh", "-c", script], "holder")
        wait_until("the namespaces are there", ready.exists, 10)
        self.inside(["virtlogd"], "virtlogd")
        self.start_libvirtd()

    def start_libvirtd(self) -> None:
        self._libvirtd = self.inside(["libvirtd"], "libvirtd")
        wait_until("libvirtd answers", self._answers, START_SECONDS)

    def kill_libvirtd(self) -> None:
        """As a crash or an upgrade does; guests go on running."""
        assert self._libvirtd is not None
        self._libvirtd.kill()
        self._libvirtd.wait()

    def inside(self, argv: list[str], name: str) -> subprocess.Popen[bytes]:
        """Start a program in the namespaces; it ends with this object."""
        return self._run([*self.entering(), *argv], name)

    def call(self, argv: list[str], seconds: float = 30) -> str:
        """What a program in the namespaces prints."""
        done = subprocess.run([*self.entering(), *argv], capture_output=True, timeout=seconds, check=False, text=True)
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def qemu_pids(self) -> dict[str, int]:
        """Process ids of the running guests by domain name."""
        found = {}
        for path in (self.folder / "run/qemu").glob("sky-*.pid"):
            with contextlib.suppress(OSError, ValueError):
                found[path.stem] = int(path.read_text())
        return found

    def stop(self) -> None:
        for pid in self.qemu_pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        assert self._libvirtd is not None
        assert self._libvirtd.poll() is None, (self.folder / "libvirtd.out").read_text()
        path = self.folder / "run/libvirt-sock"
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                return False
        return True

    def entering(self) -> list[str]:
        assert self._holder is not None
        return ["nsenter", "-t", str(self._holder.pid), "-m", "-n", "--"]

    def _run(self, argv: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._processes.append(process)
        return process
