"""The targets of one tgtd: one per attachment, closed to everybody until its guards are up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from skybus_volume.pool import LUN, Export
from skybus_volume.tgt_control import Mode, Op, Refusal, TgtControl, TgtRefused, TgtSilent, field

CLOSE_SECONDS = 15.0
"""Deadline for the end of all sessions of a target; writes under way are finished first."""
CLOSE_PAUSE = 0.02


class Target(msgspec.Struct, kw_only=True):
    """One target as tgtd shows it."""

    tid: int
    iqn: str
    connections: list[tuple[int, int]] = []
    """Number of the session and of the connection in it, for each initiator that is logged in."""
    serials: dict[int, str] = {}
    """SCSI serial number by LUN."""
    files: dict[int, str] = {}
    """Backing file by LUN."""
    accounts: list[str] = []
    addresses: list[str] = []

    def serves(self, export: Export, disk: Path) -> bool:
        """Whether the target is all that `export` asks for, as far as tgtd shows it (it hides passwords)."""
        return (
            self.files.get(LUN) == str(disk)
            and self.serials.get(LUN) == export.volume_id
            and self.accounts == [export.chap_user]
            and self.addresses == [export.initiator_address]
        )


class Targets:
    """Makes and ends targets. The caller sees to it that calls do not overlap: a target's number is the first free."""

    def __init__(self, control: TgtControl) -> None:
        self._control = control

    async def all(self) -> dict[str, Target]:
        """Every target by its IQN. Raises TgtSilent."""
        return {target.iqn: target for target in parse_targets(await self._show())}

    async def ensure(self, export: Export, disk: Path, *, known: dict[str, Target] | None = None) -> None:
        """Let `export` be open, and nothing more. A target that serves it already keeps its sessions; one that is
        half-made is made again. Raises TgtRefused, TgtSilent."""
        targets = await self.all() if known is None else known
        found = targets.get(export.iqn)
        if found and found.serves(export, disk):
            return
        if found:
            await self.remove(found)
        taken = {target.tid for target in targets.values()}
        tid = next(number for number in range(1, len(taken) + 2) if number not in taken)
        made = targets[export.iqn] = Target(tid=tid, iqn=export.iqn, accounts=[export.chap_user])
        try:
            await self._make(tid, export, disk)
        except TgtRefused:
            await self.remove(made)
            del targets[export.iqn]
            raise

    async def remove(self, target: Target) -> None:
        """Shut a target, end its sessions, delete it and its accounts. Content to find none of them.

        Raises TgtRefused, TgtSilent.
        """
        for address in target.addresses:
            # First of all: whoever is put out below must not come in again.
            body = field("initiator-address", address)
            await self._unless(
                {Refusal.NO_TARGET, Refusal.NO_ADDRESS},
                self._control.ask("shut an initiator out", Mode.TARGET, Op.UNBIND, tid=target.tid, body=body),
            )
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                now: Target | None = target
                while now and not await self._deleted(now):
                    await asyncio.sleep(CLOSE_PAUSE)
                    now = (await self.all()).get(target.iqn)
        except TimeoutError as error:
            raise TgtSilent(f"the sessions of {target.iqn} did not end in {CLOSE_SECONDS:g} seconds") from error
        for user in target.accounts:
            await self._drop_account(user)

    async def _deleted(self, target: Target) -> bool:
        """Delete a target that is at rest; put out who is in one that is not, and return False: look again later.

        tgtd refuses to delete a disk with commands under way, by force too, so that an initiator that keeps writing
        would keep its target.
        """
        for connection in target.connections:
            await self._unless(
                {Refusal.NO_TARGET, Refusal.NO_SESSION, Refusal.NO_CONNECTION},
                self._control.ask(
                    "close a connection", Mode.CONNECTION, Op.DELETE, tid=target.tid, connection=connection
                ),
            )
        if target.connections:
            return False
        done = self._control.ask("delete a target", Mode.TARGET, Op.DELETE, tid=target.tid, force=True)
        refusal = await self._unless({Refusal.NO_TARGET, Refusal.TARGET_ACTIVE, Refusal.LUN_ACTIVE}, done)
        return refusal in (None, Refusal.NO_TARGET)

    async def _make(self, tid: int, export: Export, disk: Path) -> None:
        """A new target lets nobody in until an address is bound to it, which comes last, after the password."""
        ask = self._control.ask
        identity = [field(name, export.volume_id) for name in ("scsi_id", "scsi_sn")]
        label = ["vendor_id=SKYBUS", "product_id=VOLUME", "product_rev=1", "thin_provisioning=1"]
        store = f"{field('path', disk)},bstype=rdwr"
        await ask("make a target", Mode.TARGET, Op.NEW, tid=tid, body=field("targetname", export.iqn))
        await ask("open the volume's file", Mode.UNIT, Op.NEW, tid=tid, lun=LUN, body=store)
        await ask(
            "name the disk", Mode.UNIT, Op.UPDATE, tid=tid, lun=LUN, body=f"targetOps {','.join(identity + label)},"
        )
        await self._drop_account(export.chap_user)
        user = field("user", export.chap_user)
        secret = field("password", export.chap_password)
        await ask("make an account", Mode.ACCOUNT, Op.NEW, body=f"{user},{secret}")
        await ask("bind an account", Mode.ACCOUNT, Op.BIND, tid=tid, body=user)
        address = field("initiator-address", export.initiator_address)
        await ask("let the initiator in", Mode.TARGET, Op.BIND, tid=tid, body=address)

    async def _drop_account(self, user: str) -> None:
        ask = self._control.ask("delete an account", Mode.ACCOUNT, Op.DELETE, body=field("user", user))
        await self._unless({Refusal.NO_USER}, ask)

    async def _unless(self, expected: set[Refusal], asking: Awaitable[str]) -> int | None:
        """Wait for an answer; return the number of a refusal that is expected. Raises TgtRefused for another."""
        try:
            await asking
        except TgtRefused as error:
            if error.number not in expected:
                raise
            return error.number
        return None

    async def _show(self) -> str:
        return await self._control.ask("show its targets", Mode.TARGET, Op.SHOW)


_TARGET = re.compile(r"^Target (\d+): (\S+)$")
_SESSION = re.compile(r"^\s*I_T nexus: (\d+)$")
_CONNECTION = re.compile(r"^\s*Connection: (\d+)$")
_LUN = re.compile(r"^\s*LUN: (\d+)$")
_SERIAL = re.compile(r"^\s*SCSI SN: (.*)$")
_FILE = re.compile(r"^\s*Backing store path: (.*)$")


def parse_targets(text: str) -> list[Target]:
    """Read what `tgtadm --mode target --op show` prints. Pure; lines that it does not know are skipped."""
    targets: list[Target] = []
    section, session, lun = "", 0, 0
    for line in text.splitlines():
        if match := _TARGET.match(line):
            targets.append(Target(tid=int(match[1]), iqn=match[2]))
            section = ""
        elif not targets:
            continue
        elif line.endswith(" information:"):
            section = line.strip().removesuffix(" information:")
        elif section == "I_T nexus":
            session = _read_connection(targets[-1], session, line)
        elif section == "LUN":
            lun = _read_lun(targets[-1], lun, line)
        elif section == "Account" and line.strip():
            targets[-1].accounts.append(line.strip())
        elif section == "ACL" and line.strip():
            targets[-1].addresses.append(line.strip())
    return targets


def _read_connection(target: Target, session: int, line: str) -> int:
    """Take one line about a session, and return the number of the session that the next line is about."""
    if match := _SESSION.match(line):
        return int(match[1])
    if match := _CONNECTION.match(line):
        target.connections.append((session, int(match[1])))
    return session


def _read_lun(target: Target, lun: int, line: str) -> int:
    """Take one line about a LUN, and return the number of the LUN that the next line is about."""
    if match := _LUN.match(line):
        return int(match[1])
    if match := _SERIAL.match(line):
        target.serials[lun] = match[1].strip()
    elif match := _FILE.match(line):
        target.files[lun] = match[1]
    return lun
