"""What is done to the cloud, and how it is undone: by ops/up, by the end of the cause, never by a repair."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from real_cloud import RealCloud
from standing import Standing

CONTROL = ("gateway-1", "gateway-2", "conductor", "scheduler", "metering")
AGENTS = ("compute.host-1", "network.host-1", "volume.host-1")
BASE = ("rabbitmq", "postgres")
HYPERVISOR = ("libvirtd.host-1", "virtlogd.host-1")
HELPERS = ("qemu-system-x86_64", "tgtd", "dnsmasq")
FROZEN_SECONDS = 60
Deed = Callable[[RealCloud, Standing], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    strike: Deed
    mend: Deed
    hold: float = 2
    """Seconds between both."""
    in_ci: bool = False
    """Whether `ops/test` tries it, too."""
    spares_guests: bool = True
    """Whether guests must run on as if nothing had been."""

    def __str__(self) -> str:
        return self.name


async def bring_up(cloud: RealCloud, _: Standing) -> None:
    """What an operator does."""
    await cloud.up()


async def keep_up(cloud: RealCloud, _: Standing) -> None:
    """Nobody does anything: `ops/keep` runs, and brings back what is dead."""
    async with cloud.kept(), asyncio.timeout(120):
        while not all(cloud.runs(name) for name in (*CONTROL, *AGENTS, *BASE, *HYPERVISOR)):
            await asyncio.sleep(0.2)


async def nothing(_: RealCloud, __: Standing) -> None:
    """The cloud mends itself."""


async def kill(names: tuple[str, ...], cloud: RealCloud, _: Standing) -> None:
    """Processes die without a goodbye."""
    cloud.kill(*names)


async def freeze(names: tuple[str, ...], cloud: RealCloud, _: Standing) -> None:
    """Processes stand still, and their connections with them. All of a daemon's: Postgres is a family of them."""
    for pid in family(cloud, names):
        os.kill(pid, signal.SIGSTOP)


async def thaw(names: tuple[str, ...], cloud: RealCloud, _: Standing) -> None:
    """They go on as if no time had passed."""
    for pid in family(cloud, names):
        os.kill(pid, signal.SIGCONT)


def family(cloud: RealCloud, names: tuple[str, ...]) -> list[int]:
    """The processes and their children."""
    found = [cloud.pid(name) for name in names]
    for pid in list(found):
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            found += [int(child) for child in children.read().split()]
    return found


async def kill_helper(program: str, cloud: RealCloud, _: Standing) -> None:
    """What an agent has started dies."""
    assert cloud.helpers(program), f"no {program} runs"
    cloud.kill_helpers(program)


async def kill_guest(cloud: RealCloud, standing: Standing) -> None:
    """A QEMU dies, as when it ran into a bug of its own."""
    os.kill(cloud.guest_pid(standing.near.id), signal.SIGKILL)


async def start_guest(_: RealCloud, standing: Standing) -> None:
    """The cloud tells the guest's owner that it is off, and the owner starts it."""
    client, id_ = standing.client, standing.near.id
    await client.until("compute", "server", id_, {"SHUTOFF"}, 30)
    await client.call("POST", "compute", f"/servers/{id_}/action", {"os-start": None})
    await client.until("compute", "server", id_, {"ACTIVE"})


async def kill_everything(cloud: RealCloud, standing: Standing) -> None:
    """As when the power fails, but that the kernel goes on: no process of the cloud is left. What the guests need to
    boot is on their disks by then: what they had not written is theirs to lose."""
    for guest in (standing.near, standing.far):
        await guest.sh("sync")
    cloud.kill(*CONTROL, *AGENTS, *BASE, "epmd", *HYPERVISOR)
    for program in HELPERS:
        cloud.kill_helpers(program)


async def alarm(cloud: RealCloud, _: Standing) -> None:
    """The broker believes that it has no memory left, and takes nothing from publishers."""
    await cloud.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1MB")


async def no_alarm(cloud: RealCloud, _: Standing) -> None:
    """It finds that it has."""
    await cloud.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "512MB")


async def wipe_broker(cloud: RealCloud, _: Standing) -> None:
    """The broker's disk is lost: accounts, queues and what was in them."""
    cloud.kill("rabbitmq")
    shutil.rmtree(cloud.state / "rabbitmq" / "mnesia")


async def fill_disk(cloud: RealCloud, _: Standing) -> None:
    """Not a byte is left for anybody: database, broker, guests, images, logs."""
    with open(filler(cloud), "wb") as file:
        step, at = 1 << 30, 0
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), at, step)
                at += step
            except OSError:
                step //= 2


async def free_disk(cloud: RealCloud, standing: Standing) -> None:
    """There is room again; what died of it is started again."""
    os.unlink(filler(cloud))
    await bring_up(cloud, standing)


def filler(cloud: RealCloud) -> str:
    """What takes all the room."""
    return str(cloud.state.parent / "filler")


def killed(*names: str, in_ci: bool = False, hold: float = 2, mend: Deed = bring_up) -> Fault:
    """Processes are killed and started again."""
    return Fault(f"SIGKILL {' '.join(names)}", partial(kill, names), mend, hold, in_ci)


def frozen(*names: str) -> Fault:
    """Processes stand still for a while."""
    return Fault(f"SIGSTOP {' '.join(names)}", partial(freeze, names), partial(thaw, names), FROZEN_SECONDS)


FAULTS = (
    *(killed(name) for name in ("gateway-1", "conductor", "scheduler", "metering")),
    killed(*CONTROL, in_ci=True),
    killed("conductor", "network.host-1", mend=keep_up),
    *(killed(name) for name in AGENTS),
    killed(*AGENTS, in_ci=True),
    killed("rabbitmq", hold=6),
    killed("postgres", hold=6),
    killed(*HYPERVISOR, in_ci=True),
    Fault("SIGKILL tgtd", partial(kill_helper, "tgtd"), nothing, in_ci=True),
    Fault("SIGKILL dnsmasq", partial(kill_helper, "dnsmasq"), nothing),
    Fault("SIGKILL one guest", kill_guest, start_guest, spares_guests=False),
    *(frozen(name) for name in ("conductor", "compute.host-1", "volume.host-1", "rabbitmq", "postgres")),
    Fault("the broker's memory alarm", alarm, no_alarm, hold=20),
    Fault("the broker's data wiped", wipe_broker, bring_up, in_ci=True),
    Fault("disk full", fill_disk, free_disk, hold=20),
    Fault("SIGKILL everything", kill_everything, bring_up, in_ci=True, spares_guests=False),
)
