"""The parts of the volume agent that need no daemon: files, notes, turns, and the reading of what tgt shows."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.volume_agent.volume_contract import ATTACHMENT, OTHER_VOLUME, PASSWORD, VOLUME, export_order
from skybus.config import Config, Host
from skybus.errors import CommandRefused
from skybus_volume import file_driver
from skybus_volume.book import Book
from skybus_volume.disks import GIB, Disks
from skybus_volume.iscsi import parse_targets
from skybus_volume.locks import Locks
from skybus_volume.pool import Export
from skybus_volume.tgt_control import Mode, Op, TgtControl, TgtRefused, TgtSilent, field

SHOWN = f"""Target 1: iqn.2026-01.org.skybus:{ATTACHMENT}
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 3
            Initiator: iqn.2008-11.org.linux-kvm alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            SCSI ID: IET     00010000
            SCSI SN: beaf10
            Size: 0 MB, Block size: 1
            Backing store type: null
            Backing store path: None
            Backing store flags:
        LUN: 1
            Type: disk
            SCSI ID: {VOLUME}
            SCSI SN: {VOLUME}
            Size: 1074 MB, Block size: 512
            Backing store type: rdwr
            Backing store path: /state/volumes/disks/{VOLUME}.raw
            Backing store flags:
    Account information:
        user-aa
    ACL information:
        127.0.0.1
Target 7: iqn.2026-01.org.skybus:half
    System information:
        Driver: iscsi
    I_T nexus information:
    LUN information:
    Account information:
    ACL information:
"""


def disks_in(folder: Path, capacity_gib: int = 0) -> Disks:
    disks = Disks(folder / "disks", folder / "pool.json", capacity_gib)
    disks.prepare()
    return disks


def test_a_new_volume_is_sparse_and_reads_as_zeros(tmp_path: Path) -> None:
    disks = disks_in(tmp_path)
    disks.make(VOLUME, 2)
    with disks.path(VOLUME).open("r+b") as file:
        assert file.read(4096) == bytes(4096)
        file.seek(2 * GIB - 4096)
        assert file.read() == bytes(4096)
    found = disks.path(VOLUME).stat()
    assert (found.st_size, found.st_blocks, stat.S_IMODE(found.st_mode)) == (2 * GIB, 0, 0o600)


def test_what_a_deleted_volume_held_cannot_be_read_in_its_successor(tmp_path: Path) -> None:
    disks = disks_in(tmp_path)
    disks.make(VOLUME, 1)
    with disks.path(VOLUME).open("r+b") as file:
        file.write(b"secret of a tenant" * 1000)
    disks.remove(VOLUME)
    disks.make(VOLUME, 1)
    with disks.path(VOLUME).open("rb") as file:
        assert file.read(1 << 20) == bytes(1 << 20)


def test_a_half_made_volume_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    disks = disks_in(tmp_path)
    (tmp_path / "disks" / f"{VOLUME}.part").write_bytes(b"")
    disks.prepare()
    assert disks.all() == {}
    assert list((tmp_path / "disks").iterdir()) == []


def test_a_size_that_the_file_system_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    disks = disks_in(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (GIB, hard))
    try:
        with pytest.raises(CommandRefused) as refused:
            disks.make(VOLUME, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == "volume.size-invalid"
    with pytest.raises(CommandRefused):
        disks.make(VOLUME, 1 << 60)
    assert list((tmp_path / "disks").iterdir()) == []


def test_the_capacity_is_what_was_free_when_the_pool_was_made(tmp_path: Path) -> None:
    first = disks_in(tmp_path).room()
    (tmp_path / "pool.json").write_text('{"capacity_gib": 7}')
    assert first.capacity_gib > 0
    assert disks_in(tmp_path).room().capacity_gib == 7
    assert disks_in(tmp_path, 50).room().capacity_gib == 50


def test_a_pool_that_promised_more_than_it_has_has_nothing_free(tmp_path: Path) -> None:
    disks = disks_in(tmp_path, 3)
    disks.make(VOLUME, 2)
    disks.make(OTHER_VOLUME, 2)
    assert disks.room().free_gib == 0


async def test_the_book_outlives_the_agent_and_nobody_else_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    book = Book(folder)
    book.load()
    await book.note(Export.of(export_order()))
    again = Book(folder)
    again.load()
    assert again.all() == book.all() == [Export.of(export_order())]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / f"{ATTACHMENT}.json").stat().st_mode) == 0o600
    for _ in range(2):
        await again.strike(ATTACHMENT)
    book.load()
    assert book.all() == []


async def test_a_note_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.load()
    await book.note(Export.of(export_order()))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "unfinished.json.part").write_text("{")
    book.load()
    assert [export.attachment_id for export in book.all()] == [ATTACHMENT]
    assert (tmp_path / "broken.json").exists()


def test_an_export_shown_in_a_log_hides_its_password() -> None:
    assert PASSWORD not in repr(Export.of(export_order()))


def test_a_folder_that_the_target_daemon_cannot_be_told_is_refused() -> None:
    with pytest.raises(CommandRefused):
        file_driver.from_config(Config(host=Host(state_dir=Path("/state,bsoflags=direct"))))


async def test_turns_are_taken_in_the_order_of_asking_and_leave_nothing() -> None:
    locks, order = Locks(), []

    async def take(number: int) -> None:
        async with locks.one_at_a_time("a"):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*map(take, range(5)))
    assert order == [0, 1, 2, 3, 4]
    assert len(locks) == 0


async def test_a_cancelled_waiter_does_not_hold_up_the_next() -> None:
    locks = Locks()
    async with locks.one_at_a_time("a"):
        waiter = asyncio.create_task(_hold(locks))
        await asyncio.sleep(0)
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
    async with asyncio.timeout(5), locks.one_at_a_time("a"):
        assert len(locks) == 1


async def _hold(locks: Locks) -> None:
    async with locks.one_at_a_time("a"):
        pass


def test_what_tgt_shows_is_read() -> None:
    whole, half = parse_targets(SHOWN)
    assert (whole.tid, whole.iqn, whole.connections) == (1, f"iqn.2026-01.org.skybus:{ATTACHMENT}", [(3, 0)])
    assert (whole.accounts, whole.addresses) == (["user-aa"], ["127.0.0.1"])
    assert (whole.serials[1], whole.files[1]) == (VOLUME, f"/state/volumes/disks/{VOLUME}.raw")
    assert (half.tid, half.connections, half.accounts, half.addresses, half.files) == (7, [], [], [], {})
    assert parse_targets("") == []


def test_a_target_serves_an_export_when_every_guard_is_up() -> None:
    whole, half = parse_targets(SHOWN)
    disk = Path(f"/state/volumes/disks/{VOLUME}.raw")
    assert whole.serves(Export.of(export_order()), disk)
    assert not whole.serves(Export.of(export_order(address="127.0.0.2")), disk)
    assert not whole.serves(Export.of(export_order(user="another")), disk)
    assert not whole.serves(Export.of(export_order()), Path("/other.raw"))
    assert not half.serves(Export.of(export_order()), disk)


@pytest.mark.parametrize("value", ["a,b", "a\0b"])
def test_a_value_cannot_smuggle_a_second_field_to_tgt(value: str) -> None:
    with pytest.raises(ValueError, match="separates fields"):
        field("user", value)


@contextlib.asynccontextmanager
async def daemon_answering(path: Path, answer: bytes) -> AsyncIterator[TgtControl]:
    """Something that listens where tgtd would, and sends `answer` to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(120)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield TgtControl(path)


async def test_a_daemon_that_says_no_is_told_from_one_that_says_nothing(tmp_path: Path) -> None:
    async with daemon_answering(tmp_path / "no", b"\x04\0\0\0\x08\0\0\0") as control:
        with pytest.raises(TgtRefused) as refused:
            await control.ask("delete a target", Mode.TARGET, Op.DELETE, tid=1)
        assert refused.value.number == 4
    for name, answer in (("nothing", b""), ("short", b"\0\0"), ("strange", b"HTTP/1.1 400")):
        async with daemon_answering(tmp_path / name, answer) as control:
            with pytest.raises(TgtSilent, match="show its targets"):
                await control.ask("show its targets", Mode.TARGET, Op.SHOW)


async def test_a_daemon_that_is_not_there_has_no_process(tmp_path: Path) -> None:
    control = TgtControl(tmp_path / "control.1")
    assert control.pid() is None
    with pytest.raises(TgtSilent):
        await control.ask("show its targets", Mode.TARGET, Op.SHOW)
