"""`ops/down`: stop a cloud in the order that loses nothing, and with `--purge` leave the machine as it was."""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from . import health, leftovers, processes
from .hosts import NETNS, Host
from .processes import Record
from .progress import Progress
from .shell import run, succeeds
from .state import State, cache_dir
from .trouble import Trouble

INFRASTRUCTURE = ("postgres", "rabbitmq", "epmd")
HYPERVISOR = ("libvirtd.", "virtlogd.")
AGENTS = ("compute.", "volume.", "network.")


def down(state: State, *, purge: bool) -> int:
    """Stop everything of the cloud in `state`. Returns 1 when something of it could not be removed."""
    if not state.exists():
        print(f"There is no cloud in {state.root}.")
        return 0
    with state.locked(), Progress(f"{'Removing' if purge else 'Stopping'} the cloud in {state.root}") as progress:
        stop_all(state, progress, purge=purge)
        if purge:
            with progress.step("namespaces, interfaces, mounts"):
                remove_from_machine(state)
            mark = leftovers.Mark(state.root, state.prefix)
            with progress.step("data"):
                shutil.rmtree(state.root)
    if not purge:
        print("Stopped. `./ops/up` starts it again, with all that was in it; `./ops/down --purge` removes it.")
        return 0
    left = leftovers.of(mark)
    if left:
        print("These are left, and should not be:\n" + "\n".join(f"  {line}" for line in left))
        return 1
    print(f"Nothing is left of it. Kept for the next one: Debian packages, .venv, and the cache in {cache_dir()}.")
    return 0


def stop_all(state: State, progress: Progress, *, purge: bool) -> None:
    """Front door and control plane first, so that nobody starts what we stop; the store and the bus last."""
    records = processes.recorded(state)
    agents = [record for record in records if record.name.startswith(AGENTS)]
    hypervisor = [record for record in records if record.name.startswith(HYPERVISOR)]
    base = [record for record in records if record.name in INFRASTRUCTURE]
    control = [record for record in records if record not in [*agents, *hypervisor, *base]]
    stop_together(state, progress, "gateway and control plane", control)
    stop_together(state, progress, "agents", agents)
    if hypervisor:
        with progress.step("guests") as step:
            stop_guests(state, step, purge=purge)
    stop_together(state, progress, "hypervisor", hypervisor)
    if os.geteuid() == 0:
        with progress.step("helpers in the namespaces") as step:
            step.note = " ".join(stop_strays(state))
    stop_together(state, progress, "Postgres, RabbitMQ", base)


def stop_together(state: State, progress: Progress, what: str, records: Iterable[Record]) -> None:
    """Stop `records` at the same time."""
    chosen = list(records)
    if not chosen:
        return
    with progress.step(what), futures.ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        for future in [pool.submit(processes.stop, state, record) for record in chosen]:
            future.result()


def stop_guests(state: State, step: object, *, purge: bool) -> None:
    """Shut every guest down by its power button; a purged cloud's guests are turned off at once."""
    host = Host(state)
    with contextlib.suppress(Trouble):  # a hypervisor that does not answer has its guests stopped as strays
        host.stop_guests(0 if purge else 12)
        if purge:
            host.forget_guests()


def stop_strays(state: State) -> list[str]:
    """End every process in the cloud's namespaces: guests, DHCP servers, iSCSI targets. Returns their names."""
    names: list[str] = []
    strays = leftovers.processes_in(namespaces(state))
    for pid, name in strays.items():
        names.append(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if strays and not health.until(lambda: not leftovers.processes_in(namespaces(state)), 2):
        for pid in leftovers.processes_in(namespaces(state)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        health.until(lambda: not leftovers.processes_in(namespaces(state)), 5)
    return sorted(names)


def namespaces(state: State) -> list[Path]:
    """Every network namespace of this cloud."""
    return sorted(NETNS.glob(f"{state.prefix}*"))


def remove_from_machine(state: State) -> None:
    """What is not a file: namespaces (and with them their bridges, taps and rules), interfaces, mounts, loops."""
    if os.geteuid() != 0:
        return
    for path in namespaces(state):
        run(["ip", "netns", "delete", path.name], f"removing the namespace {path.name}")
    for name in leftovers.interfaces():
        if name.startswith(state.prefix):
            succeeds(["ip", "link", "delete", name])
    for table in leftovers.nft_tables():
        if table.split()[-1].startswith(state.prefix):
            succeeds(["nft", "delete", "table", *table.split()])
    for mount in sorted(leftovers.mounts(), reverse=True):
        if Path(mount).is_relative_to(state.root):
            succeeds(["umount", mount])
    for device, file in leftovers.loop_devices().items():
        if file.startswith(f"{state.root}/"):
            succeeds(["losetup", "--detach", device])
