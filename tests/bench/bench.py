"""How fast the cloud is, through its public API alone. `ops/bench` brings up a simulated cloud and runs this on it.

Prints a table and, with --out, a JSON file. Times of single servers are taken from the event stream, so that measuring
costs the cloud one subscriber and no polling.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

CREATED = "skybus.compute.server.created.v1"
DELETED = "skybus.compute.server.deleted.v1"
FAILED = "skybus.compute.server.failed.v1"
NOT_OURS = ("postgres", "rabbitmq", "epmd", "virtlogd", "libvirtd")
"""Processes that are not Python."""


def percentile(values: list[float], share: float) -> float:
    """Nearest rank, in the unit of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Cloud:
    """A client of one cloud, as `clouds.yaml` names it."""

    def __init__(self, http: aiohttp.ClientSession, cloud: dict[str, Any]) -> None:
        self.http = http
        self.auth = cloud["auth"]
        self.headers: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.project_id = ""

    async def login(self) -> None:
        """A token, and the catalog."""
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": self.auth["username"],
                            "domain": {"id": "default"},
                            "password": self.auth["password"],
                        }
                    },
                },
                "scope": {"project": {"name": self.auth["project_name"], "domain": {"id": "default"}}},
            }
        }
        async with self.http.post(f"{self.auth['auth_url'].rstrip('/')}/auth/tokens", json=body) as response:
            token = (await response.json())["token"]
            self.headers = {"X-Auth-Token": response.headers["X-Subject-Token"]}
        self.project_id = token["project"]["id"]
        for service in token["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self.urls[service["type"]] = endpoint["url"].rstrip("/")
        self.urls["network"] += "/v2.0"
        self.urls["image"] += "/v2"

    async def call(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer below 400; RuntimeError otherwise."""
        url = self.urls[service] + path
        async with self.http.request(method, url, json=body, headers={**self.headers, **headers}) as response:
            data = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {url}: {response.status} {data[:300]!r}")
            return json.loads(data) if data else None


class Watch:
    """The event stream: when which server was created, deleted or failed."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.seen: dict[str, dict[str, float]] = {CREATED: {}, DELETED: {}, FAILED: {}}
        self.changed = asyncio.Condition()
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled."""
        url = f"{self.cloud.urls['event-stream']}/stream"
        no_limit = aiohttp.ClientTimeout(total=None)
        query = {"type": ",".join(self.seen)}
        async with self.cloud.http.get(url, headers=self.cloud.headers, params=query, timeout=no_limit) as response:
            self.listening.set()
            async for line in response.content:
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    async with self.changed:
                        self.seen[event["type"]][event["subject"]] = time.monotonic()
                        self.changed.notify_all()

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for what the events make true."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def watching(cloud: Cloud) -> AsyncIterator[Watch]:
    """A watch that listens."""
    watch = Watch(cloud)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.listening.wait(), 10)
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def in_flight(count: int, limit: int, work: Callable[[int], Awaitable[None]]) -> None:
    """`count` pieces of work, at most `limit` at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(limit)))


async def rate(seconds: float, concurrency: int, work: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """Calls per second over `seconds`, and percentiles in ms."""
    times: list[float] = []
    began = time.monotonic()

    async def worker() -> None:
        while time.monotonic() - began < seconds:
            at = time.monotonic()
            await work()
            times.append((time.monotonic() - at) * 1000)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    wall = time.monotonic() - began
    return {"per_s": len(times) / wall, "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)}


async def measure_reads(cloud: Cloud, seconds: float) -> dict[str, Any]:
    """Validation of a token, and the list of flavors."""
    token = cloud.headers["X-Auth-Token"]
    cloud.urls["auth"] = cloud.auth["auth_url"].rstrip("/")
    return {
        "token validate, c=16": await rate(
            seconds, 16, lambda: cloud.call("GET", "auth", "/auth/tokens", **{"X-Subject-Token": token})
        ),
        "flavors, c=16": await rate(seconds, 16, lambda: cloud.call("GET", "compute", "/flavors")),
    }


async def prepare(cloud: Cloud) -> dict[str, str]:
    """No quotas, a network of its own, the smallest flavor, an image."""
    project = cloud.project_id
    unlimited = {"instances": -1, "cores": -1, "ram": -1}
    await cloud.call("PUT", "compute", f"/os-quota-sets/{project}", {"quota_set": unlimited})
    await cloud.call("PUT", "network", f"/quotas/{project}", {"quota": {"port": -1, "network": -1, "subnet": -1}})
    network = (await cloud.call("POST", "network", "/networks", {"network": {"name": "bench"}}))["network"]["id"]
    subnet = {"network_id": network, "cidr": "10.128.0.0/16", "ip_version": 4}
    await cloud.call("POST", "network", "/subnets", {"subnet": subnet})
    flavors = (await cloud.call("GET", "compute", "/flavors/detail"))["flavors"]
    images = (await cloud.call("GET", "image", "/images"))["images"]
    smallest = min(flavors, key=lambda flavor: flavor["ram"])
    return {"network": network, "flavor": smallest["id"], "image": images[0]["id"]}


async def boot(cloud: Cloud, watch: Watch, made: dict[str, str], count: int, limit: int) -> tuple[list[str], Any]:
    """Servers to ACTIVE, `limit` of them at a time from request to ACTIVE: ids, and the figures."""
    asked: dict[str, float] = {}
    accepted: list[float] = []

    async def create(number: int) -> None:
        at = time.monotonic()
        server = {
            "name": f"bench-{number}",
            "flavorRef": made["flavor"],
            "imageRef": made["image"],
            "networks": [{"uuid": made["network"]}],
        }
        answer = await cloud.call("POST", "compute", "/servers", {"server": server})
        accepted.append((time.monotonic() - at) * 1000)
        id_ = answer["server"]["id"]
        asked[id_] = at
        await watch.until(lambda: id_ in created or id_ in failed, 600)

    created, failed = watch.seen[CREATED], watch.seen[FAILED]
    began = time.monotonic()
    await in_flight(count, limit, create)
    wall = time.monotonic() - began
    times = [(created[id_] - at) * 1000 for id_, at in asked.items() if id_ in created]
    figures = {
        "per_s": len(times) / wall,
        "p50_ms": percentile(times, 0.5),
        "p95_ms": percentile(times, 0.95),
        "p99_ms": percentile(times, 0.99),
        "accept_p50_ms": statistics.median(accepted),
        "failed": sum(id_ in failed for id_ in asked),
    }
    return list(asked), figures


async def delete(cloud: Cloud, watch: Watch, ids: list[str], limit: int) -> dict[str, float]:
    """Servers until they are gone."""
    began = time.monotonic()

    async def one(number: int) -> None:
        await cloud.call("DELETE", "compute", f"/servers/{ids[number]}")

    await in_flight(len(ids), limit, one)
    await watch.until(lambda: all(id_ in watch.seen[DELETED] for id_ in ids), 600)
    return {"per_s": len(ids) / (time.monotonic() - began)}


async def measure_detail(cloud: Cloud, samples: int = 15) -> dict[str, float]:
    """The first 1,000 servers in detail."""
    times, count = [], 0
    for _ in range(samples):
        at = time.monotonic()
        url = cloud.urls["compute"] + "/servers/detail?limit=1000"
        async with cloud.http.get(url, headers=cloud.headers) as response:
            data = await response.read()
        times.append((time.monotonic() - at) * 1000)
        count = len(json.loads(data)["servers"])
    return {"servers": count, "p50_ms": statistics.median(times), "max_ms": max(times)}


def memory(run_folder: Path) -> dict[str, float]:
    """PSS in MiB of each process whose pid is in the folder, our Python processes together as `python`."""
    found: dict[str, float] = {}
    for path in sorted(run_folder.glob("*.pid")):
        try:
            pid = int(path.read_text().split()[0])
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (OSError, ValueError, IndexError):
            continue
        pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        found[path.stem] = int(pss.split()[1]) / 1024
    ours = {name: size for name, size in found.items() if name not in NOT_OURS}
    return {**found, "python": sum(ours.values())}


async def run(args: argparse.Namespace) -> dict[str, Any]:
    """Everything, in order; memory first, while the cloud is idle."""
    clouds = yaml.safe_load(Path(args.clouds).read_text())
    result: dict[str, Any] = {
        "machine": f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
        "idle memory, MiB PSS": memory(Path(args.run)) if args.run else {},
    }
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as http:
        cloud = Cloud(http, clouds["clouds"][args.cloud])
        await cloud.login()
        result.update(await measure_reads(cloud, args.seconds))
        made = await prepare(cloud)
        async with watching(cloud) as watch:
            ids, _ = await boot(cloud, watch, made, 20, 20)
            await delete(cloud, watch, ids, 20)
            for count in args.boots:
                ids, result[f"boot {count}, 20 in flight"] = await boot(cloud, watch, made, count, 20)
                if count >= 1000:
                    result["1,000 servers in detail"] = await measure_detail(cloud)
                result[f"delete {count}"] = await delete(cloud, watch, ids, 20)
        await cloud.call("DELETE", "network", f"/networks/{made['network']}")
    return result


def shown(result: dict[str, Any]) -> str:
    """The table."""
    lines = [f"{result['machine']}, load before {result['load_before']:.1f}"]
    for name, figures in result.items():
        if isinstance(figures, dict):
            text = "  ".join(f"{key} {value:.1f}" for key, value in figures.items())
            lines.append(f"{name:<28}{text}")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clouds", required=True, help="path of clouds.yaml")
    parser.add_argument("--cloud", default="skybus")
    parser.add_argument("--run", help="folder of pid files: adds the processes' memory")
    parser.add_argument("--boots", default="200,1000", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--seconds", type=float, default=5, help="length of each rate test")
    parser.add_argument("--out", help="write the figures there as JSON")
    args = parser.parse_args()
    result = asyncio.run(run(args))
    print(shown(result))
    if args.out:
        Path(args.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
