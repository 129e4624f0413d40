"""How long the scheduler's choice takes among many hosts, in this process with the scheduler's own code."""

from __future__ import annotations

import random
import time

from bench.figures import Figures, percentile
from skybus.messages.placement import ProviderChanged
from skybus_scheduler.host_table import HostTable
from skybus_scheduler.place import NoFit, Wish, place

HOSTS = (100, 1_000, 10_000)
SMALL = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}
WISHES = {
    "fits": Wish(resources=SMALL),
    "fits-in-zone": Wish(resources=SMALL, availability_zone="zone-1"),
    "refused-with-reasons": Wish(resources={**SMALL, "MEMORY_MB": 10_000_000}, availability_zone="zone-1"),
}
TIMES = 500


def picture(number: int, dice: random.Random) -> ProviderChanged:
    """A host in one of three zones, used up to some point."""
    return ProviderChanged(
        kind="compute",
        host=f"host-{number:06d}",
        generation=1,
        up=dice.random() > 0.01,
        enabled=dice.random() > 0.01,
        availability_zone=f"zone-{number % 3}",
        capacity={"VCPU": 256, "MEMORY_MB": 262_144, "DISK_GB": 4096},
        used={"VCPU": dice.randrange(200), "MEMORY_MB": dice.randrange(200_000), "DISK_GB": dice.randrange(3_000)},
    )


def measure_choices(figures: Figures) -> None:
    """Each wish among each number of hosts."""
    dice = random.Random(1)
    for count in HOSTS:
        pictures = [picture(number, dice) for number in range(count)]
        table = HostTable()
        began = time.perf_counter()
        table.learn_all(pictures)
        figures.add(f"placement.{count}.load", "ms", (time.perf_counter() - began) * 1000)
        for name, wish in WISHES.items():
            answer = place(table, wish)
            assert isinstance(answer, NoFit) == name.startswith("refused"), f"{name}: {answer}"
            times = [_once(table, wish) for _ in range(TIMES)]
            # On a busy machine the clock counts what others do; the CPU's time is the choice's own.
            cpu = percentile([cpu for _, cpu in times], 0.99)
            figures.add_spread(f"placement.{count}.{name}", "ms", [wall for wall, _ in times], cpu_p99=cpu)


def _once(table: HostTable, wish: Wish) -> tuple[float, float]:
    """Time by the clock and of the CPU, in ms."""
    at, cpu = time.perf_counter(), time.thread_time()
    place(table, wish)
    return (time.perf_counter() - at) * 1000, (time.thread_time() - cpu) * 1000
