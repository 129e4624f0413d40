"""Two guests that stand through everything, and what they notice: each keeps a diary of its network and its disks."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from churn import Client
from real_cloud import HOST, RealCloud

DIARY = "/tmp/diary"
LOOK_SECONDS = 1
RENEW_SECONDS = 5
WITNESS = """
mkdir -p /tmp/w
cat > /tmp/w/lease <<'EOF'
#!/bin/sh
read up idle < /proc/uptime
case $1 in bound|renew) echo "$up lease ok" >> DIARY;; leasefail|nak) echo "$up lease lost" >> DIARY;; esac
EOF
cat > /tmp/w/look <<'EOF'
#!/bin/sh
note() { read up idle < /proc/uptime; echo "$up $1 $2" >> DIARY; }
udhcpc -f -i eth0 -t 2 -T 2 -A 2 -s /tmp/w/lease >/dev/null 2>&1 &
client=$!
while :; do
  ping -c 1 -W 2 PEER >/dev/null 2>&1 && note ping ok || note ping lost
  timeout 4 wget -q -O /dev/null http://169.254.169.254/openstack/latest/meta_data.json
  [ $? = 0 ] && note metadata ok || note metadata lost
  if [ -e /dev/vdb ]; then
    dd if=/dev/zero of=/dev/vdb bs=4096 count=4 seek=64 conv=fsync 2>/dev/null && note disk ok || note disk lost
  fi
  read up idle < /proc/uptime; now=${up%%.*}
  [ $((now / RENEW)) = "$then" ] || { then=$((now / RENEW)); kill -USR1 $client; }
  sleep LOOK
done
EOF
chmod +x /tmp/w/*; : > DIARY
(setsid /tmp/w/look >/dev/null 2>&1 </dev/null &)
"""


@dataclass(frozen=True)
class Silence:
    """What a guest noticed of one thing."""

    good: int
    bad: int
    longest: float
    """Seconds between two good looks, the longest that there was, to the end of the diary."""

    def __str__(self) -> str:
        return f"{self.good} good, {self.bad} bad, longest gap {self.longest:.1f} s"


@dataclass
class Guest:
    """A server, reached by ssh from its network's DHCP namespace: without any of the control plane."""

    cloud: RealCloud
    id: str
    network_id: str
    address: str

    async def sh(self, words: str, *, stdin: str = "", seconds: float = 30) -> str:
        """What root's shell in it prints. Raises AssertionError when it fails."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes",
                   "ConnectTimeout=5", "PreferredAuthentications=publickey"]  # fmt: skip
        flags = [word for option in options for word in ("-o", option)]
        inside = ("ip", "netns", "exec", f"{self.cloud.prefix}dhcp-{self.network_id}-{HOST}")
        key = self.cloud.state / "first.pem"
        return await self.cloud.program(
            *inside, "ssh", "-i", key, *flags, f"root@{self.address}", words, stdin=stdin, seconds=seconds
        )

    async def answers(self) -> bool:
        """Whether it lets us in."""
        try:
            await self.sh("true", seconds=10)
        except (AssertionError, TimeoutError):
            return False
        return True

    async def up(self, seconds: float) -> None:
        """Return when it lets us in. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not await self.answers():
                await asyncio.sleep(0.5)

    async def watch(self, peer: Guest) -> None:
        """Let it keep a diary: ping its peer, read its metadata, write its volume, renew its lease, again and again."""
        text = WITNESS.replace("DIARY", DIARY).replace("PEER", peer.address)
        text = text.replace("RENEW", str(RENEW_SECONDS)).replace("LOOK", str(LOOK_SECONDS))
        await self.sh("sh", stdin=text)

    async def watches(self) -> bool:
        """Whether it keeps one: a guest that was booted anew does not."""
        return await self.answers() and "yes" in await self.sh(f"[ -s {DIARY} ] && echo yes || echo no")

    async def turn_page(self) -> None:
        """Forget what the diary says so far."""
        await self.sh(f": > {DIARY}")

    async def diary(self) -> dict[str, Silence]:
        """What it noticed since the page was turned: ping, metadata, lease, disk."""
        text = await self.sh(f"cat {DIARY}; cat /proc/uptime")
        return read_diary(text.splitlines())

    async def boot_id(self) -> str:
        """Another one after each boot."""
        return (await self.sh("cat /proc/sys/kernel/random/boot_id")).strip()


def read_diary(lines: Iterable[str]) -> dict[str, Silence]:
    """Lines of `seconds what ok|lost`, the last of them the time when it was read."""
    *entries, last = [line.split() for line in lines]
    looks: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for seconds, what, verdict in entries:
        looks[what].append((float(seconds), verdict == "ok"))
    found = {}
    for what, told in looks.items():
        times = [told[0][0], *(at for at, good in told if good), float(last[0])]
        longest = max(after - before for before, after in itertools.pairwise(times))
        good = sum(good for _, good in told)
        found[what] = Silence(good, len(told) - good, longest)
    return found


class Standing:
    """The guests `near` and `far`, on one network; `near` has a volume of its own and keeps the diary."""

    def __init__(self, cloud: RealCloud, client: Client) -> None:
        self.cloud = cloud
        self.client = client
        self.image = self.flavor = ""
        self.near: Guest
        self.far: Guest

    async def build(self) -> Standing:
        """The cloud's first server is one of them; the other is its twin."""
        call = self.client.call
        first = (await call("GET", "compute", "/servers/detail"))["servers"][0]
        network = (await call("GET", "network", "/networks?name=private"))["networks"][0]["id"]
        self.image, self.flavor = first["image"]["id"], first["flavor"]["id"]
        twin = {"name": "second", "imageRef": self.image, "flavorRef": self.flavor, "key_name": first["key_name"],
                "networks": [{"uuid": network}]}  # fmt: skip
        second = (await call("POST", "compute", "/servers", {"server": twin}))["server"]["id"]
        self.far = await self._guest(first["id"], network)
        self.near = await self._guest(second, network)
        await self._volume()
        for guest in (self.far, self.near):
            await guest.up(120)
        await self.near.watch(self.far)
        return self

    async def _guest(self, id_: str, network: str) -> Guest:
        await self.client.until("compute", "server", id_, {"ACTIVE"})
        shown = (await self.client.call("GET", "compute", f"/servers/{id_}"))["server"]
        address = next(iter(shown["addresses"].values()))[0]["addr"]
        return Guest(self.cloud, id_, network, address)

    async def _volume(self) -> None:
        """A volume for `near`."""
        call = self.client.call
        made = (await call("POST", "block-storage", "/volumes", {"volume": {"size": 1, "name": "kept"}}))["volume"]
        await self.client.until("block-storage", "volume", made["id"], {"AVAILABLE"})
        path = f"/servers/{self.near.id}/os-volume_attachments"
        await call("POST", "compute", path, {"volumeAttachment": {"volumeId": made["id"]}})
        await self.client.until("block-storage", "volume", made["id"], {"IN-USE"})

    async def well(self, seconds: float) -> None:
        """Return when both let us in and the newest looks in the diary are good. Raises TimeoutError."""
        end = time.monotonic() + seconds
        for guest in (self.far, self.near):
            await guest.up(max(0.1, end - time.monotonic()))
        if not await self.near.watches():
            await self.near.watch(self.far)
        while lost := await self._lost():
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds:.0f} s the guest still lacks {lost}")
            await asyncio.sleep(0.5)

    async def _lost(self) -> set[str]:
        said = await self.near.sh(f"tail -n 30 {DIARY}")
        newest = {what: verdict for _, what, verdict in (line.split() for line in said.splitlines())}
        return {what for what in ("ping", "metadata", "lease", "disk") if newest.get(what) != "ok"}
