"""Run a program as another user, even when the state folder lies where that user may not go."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from .shell import succeeds
from .trouble import Trouble

STAND_IN = """
set -e
closed=$1; shift
exec 3<"$1"
[ "$2" = -- ] || exec 4<"$2"
mount -t tmpfs -o mode=755 tmpfs "$closed"
number=3
while [ "$1" != -- ]; do
    mkdir -p "$1"
    # By descriptor, because the path leads to the stand-in now.
    mount --no-canonicalize --bind "/proc/self/fd/$number" "$1"
    number=$((number + 1)); shift
done
shift
exec 3<&- 4<&-
cd /
exec "$@"
"""
"""For at most two folders: Postgres's data and its programs."""


def argv_as(user: str, argv: Sequence[str | Path]) -> list[str]:
    """`argv` run as `user` with that user's groups alone; as it is when we are no root."""
    words = [str(word) for word in argv]
    if os.geteuid() != 0:
        return words
    who = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", "--", *words]


def may_reach(user: str, path: Path) -> bool:
    """Whether `user` can pass every folder down to `path`."""
    return succeeds(argv_as(user, ["test", "-x", path]))


def first_of(names: Sequence[str]) -> str:
    """The first user of `names` that this machine has. Raises Trouble when it has none."""
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Trouble(f"this machine has none of the users {', '.join(names)}", "run as an ordinary user instead of root")


def give(user: str, path: Path) -> None:
    """Make `path` belong to `user`."""
    if os.geteuid() == 0:
        who = pwd.getpwnam(user)
        os.chown(path, who.pw_uid, who.pw_gid)


def with_open_path(user: str, folders: Sequence[Path], argv: Sequence[str | Path]) -> list[str]:
    """`argv`, to be run in a mount namespace of its own, so changed that `user` reaches `folders` in it.

    People clone into /root, which other users cannot enter, and Postgres and guests run as other users. Where the path
    to a folder is closed, the namespace gets an open stand-in for the closed folder, with nothing but `folders` in it.
    """
    words = [str(word) for word in argv]
    closed = next((found for folder in folders if (found := closed_on_the_way(user, folder))), None)
    if closed is None:
        return words
    return ["sh", "-c", STAND_IN, "sh", str(closed), *[str(folder) for folder in folders], "--", *words]


def closed_on_the_way(user: str, folder: Path) -> Path | None:
    """The topmost folder on the way to `folder` that `user` cannot enter; None when all are open."""
    if may_reach(user, folder):
        return None
    return next(path for path in [*reversed(folder.parents), folder] if not may_reach(user, path))


def need_mount_namespace(closed: Path) -> None:
    """Raise Trouble when we may not make the mount namespace that opens the way through `closed`."""
    if not succeeds(["unshare", "--mount", "true"]):
        raise Trouble(
            f"other users cannot enter {closed}, and this root may not make mount namespaces",
            f"`chmod o+x {closed}`, or keep the cloud elsewhere: SKYBUS_STATE=/var/lib/skybus",
        )


def argv_as_reaching(user: str, folders: Sequence[Path], argv: Sequence[str | Path]) -> list[str]:
    """`argv` run as `user`, who reaches `folders` even through closed ones. Raises Trouble when that cannot be had."""
    words = argv_as(user, argv)
    opened = with_open_path(user, folders, words)
    if opened == words:
        return words
    need_mount_namespace(Path(opened[4]))
    return ["unshare", "--mount", "--propagation", "private", *opened]
