"""`ops/fresh-check`: does `ops/up` work on a Debian 12 that has only git and Python?

A machine on which people have installed things by hand proves nothing. So: a minimal Debian root (made once, kept in
the cache), a clone of what is committed in it, and `ops/up` there, in mount, pid and network namespaces of its own. The
network namespace reaches package registries through this machine's address (one pair of interfaces and one rule that
masquerades, both removed afterwards). How this machine reaches them (settings of apt and pip, certificates) is copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from . import leftovers, packages
from .progress import Progress
from .shell import run, succeeds
from .state import REPO, cache_dir
from .trouble import Trouble

INSIDE = "git,python3,ca-certificates"
"""What is on a fresh machine on which somebody has cloned us."""
WATCHED = ("ops/packages.txt", "requirements", "ops/up", "ops/lib", "ops/guest", "ops/fresh-check")
SETTINGS = (
    "PIP_",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
)
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
UP_SECONDS = 1500.0

ENTER = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cd "$root"
exec chroot "$root" /bin/sh -c 'cd /root/skybus && ./ops/up && ./ops/status && ./ops/down --purge'
"""


def fresh_check(*, keep: bool = False, if_changed: bool = False) -> int:
    """Run the check. 0 when a cloud with a first server came up. Raises Trouble when it cannot be tried at all."""
    if if_changed and not changed():
        print(f"Nothing changed in {', '.join(WATCHED)}: no fresh check.")
        return 0
    if os.geteuid() != 0:
        raise Trouble("a fresh check needs root", "`sudo ./ops/fresh-check`")
    with Progress("Trying ops/up on a clean Debian 12") as progress:
        with progress.step("mmdebstrap and git"):
            packages.install(["check"])
        with progress.step("minimal Debian root") as step:
            archive, step.note = minimal_root()
        work = cache_dir() / f"fresh-{secrets.token_hex(3)}"
        with progress.step("a root for this try, and a clone in it"):
            unpack(archive, work)
    try:
        with network() as namespace:
            code = enter(work, namespace)
    finally:
        if not keep:
            remove(work)
    print("\nA fresh machine works." if code == 0 else f"\nFAILED on a fresh machine (status {code}); see above.")
    return code


def changed() -> bool:
    """Whether a commit of the last day before HEAD, or one that origin's main branch lacks, touches what we watch.

    A landing may be one commit or several, and a fresh clone does not tell where the previous one ended; a day is more
    than any landing takes, and a check too many does no harm.
    """
    since = int(git("log", "-1", "--format=%ct").strip()) - 24 * 3600
    if git("log", "--oneline", f"--since={since}", "--", *WATCHED).strip():
        return True
    if not succeeds(["git", "-C", REPO, "rev-parse", "--verify", "-q", "origin/HEAD"]):
        return False
    return bool(git("log", "--oneline", "origin/HEAD..HEAD", "--", *WATCHED).strip())


def git(*words: str) -> str:
    """Ask git about this repository."""
    return run(["git", "-C", REPO, *words], f"git {words[0]}", timeout=60)


def minimal_root() -> tuple[Path, str]:
    """The archive of a minimal root, made when there is none for these sources. And a note."""
    sources = apt_sources()
    key = hashlib.sha256(INSIDE.encode() + b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]
    archive = cache_dir() / f"debian-12-minimal-{key}.tar"
    if archive.exists():
        return archive, "from the cache"
    options = [f"--aptopt={path}" for path in apt_settings()]
    fresh = archive.with_suffix(".new.tar")
    words = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={INSIDE}", *options]
    run(
        [*words, "bookworm", fresh, *sources],
        "making a minimal Debian", timeout=900, advice="check that apt works on this machine",
    )  # fmt: skip
    fresh.replace(archive)
    return archive, "new"


def apt_sources() -> list[Path]:
    """Where this machine's apt gets packages from."""
    found = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [path for path in found if path.suffix in (".list", ".sources") and path.exists() and path.stat().st_size]


def apt_settings() -> list[Path]:
    """Settings of apt about how to get packages: proxies, certificates, checks."""
    folder = Path("/etc/apt/apt.conf.d")
    return [path for path in sorted(folder.glob("*")) if "Acquire::" in path.read_text(errors="replace")]


def unpack(archive: Path, work: Path) -> None:
    """A root for one try, with this machine's way to registries and a clone of HEAD in it."""
    work.mkdir(mode=0o755)
    run(["tar", "-xf", archive, "-C", work, "--exclude=./dev/*"], "unpacking the minimal root", timeout=300)
    copies = [*apt_sources(), *apt_settings(), Path("/etc/pip.conf"), Path("/etc/resolv.conf")]
    copies += [Path("/etc/ssl/certs/ca-certificates.crt")]
    copies += sorted(path for path in Path("/usr/local/share/ca-certificates").rglob("*.crt"))
    for path in copies:
        if path.exists():
            target = work / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(path.resolve(), target)
    run(["git", "clone", "-q", "--no-hardlinks", REPO, work / "root" / "skybus"], "cloning", timeout=120)


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network namespace that reaches the world through this machine; everything of it is removed afterwards."""
    mark = secrets.token_hex(3)
    name, outer, inner, table = f"skf{mark}", f"skf{mark}o", f"skf{mark}i", f"skf{mark}"
    octet = secrets.randbelow(200) + 20
    ours, theirs = f"10.254.{octet}.1", f"10.254.{octet}.2"
    forwarded = FORWARD.read_text()
    chain = f"type nat hook postrouting priority 100;\n ip saddr {theirs} masquerade\n"
    rules = f"table ip {table} {{\n chain nat {{\n {chain} }}\n}}\n"
    try:
        run(["ip", "netns", "add", name], "making a network namespace")
        run(["ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name], "making interfaces")
        run(["ip", "addr", "add", f"{ours}/30", "dev", outer], "giving it an address")
        run(["ip", "link", "set", outer, "up"], "bringing it up")
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{theirs}/30", "dev", inner],
                      ["link", "set", inner, "up"], ["route", "add", "default", "via", ours]):  # fmt: skip
            run(["ip", "-n", name, *words], "setting up the inner interface")
        run(["nft", "-f", "-"], "adding a masquerading rule", stdin=rules)
        FORWARD.write_text("1")
        yield name
    finally:
        FORWARD.write_text(forwarded)
        succeeds(["nft", "delete", "table", "ip", table])
        succeeds(["ip", "link", "delete", outer])
        succeeds(["ip", "netns", "delete", name])


def enter(work: Path, namespace: str) -> int:
    """Run `ops/up`, `ops/status` and `ops/down --purge` in the root. Their exit status; 124 when it takes too long."""
    env = {key: value for key, value in os.environ.items() if key.startswith(SETTINGS) and key != "PIP_FIND_LINKS"}
    env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
    began = time.monotonic()
    child = subprocess.Popen(
        ["ip", "netns", "exec", namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc",
         "sh", "-c", ENTER, "sh", str(work)],
        env=env, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return child.wait(UP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"no end after {UP_SECONDS:.0f} s")
        return 124
    finally:
        child.kill()  # and with it, by --kill-child, everything in its pid namespace
        child.wait()
        print(f"\n{time.monotonic() - began:.0f} s on the fresh machine, downloads included")


def remove(work: Path) -> None:
    """Remove the tried root; never while something is mounted below it."""
    inside = [mount for mount in leftovers.mounts() if Path(mount).is_relative_to(work)]
    if inside:
        raise Trouble(f"{work} still has mounts: {' '.join(inside)}", "umount them, then remove it")
    shutil.rmtree(work)
