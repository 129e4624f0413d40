"""The file driver with a real tgtd on a loopback port of its own, and QEMU's own initiator as the guest's side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from component.volume_agent.volume_contract import (
    ATTACHMENT,
    OTHER_ATTACHMENT,
    OTHER_VOLUME,
    PASSWORD,
    VOLUME,
    VolumeContract,
    export_order,
    exports,
)
from skybus.bus.message import Report
from skybus.config import Config, Host, Volume
from skybus.errors import CommandTroubled
from skybus.messages.volume import (
    ExportSeen,
    ExportVolume,
    IscsiTarget,
    MakeVolume,
    PoolReport,
    RemoveVolume,
    UnexportVolume,
)
from skybus_volume import build, purge, stop_exports
from skybus_volume.agent import VolumeAgent
from skybus_volume.book import Book
from skybus_volume.disks import Disks
from skybus_volume.file_driver import FilePool
from skybus_volume.tgt_control import TgtControl
from skybus_volume.tgtd import Tgtd

pytestmark = pytest.mark.system

REPORTS: list[Report] = []


async def note(report: Report) -> None:
    REPORTS.append(report)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tgtd_pid(config: Config) -> int | None:
    return TgtControl(config.host.state_dir / "volumes" / "tgt" / "control.1").pid()


def running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.fixture
async def config(tmp_path: Path) -> AsyncIterator[Config]:
    config = Config(
        host=Host(name="host-1", address="127.0.0.1", state_dir=tmp_path / "h"),
        volume=Volume(driver="file", capacity_gib=100, portal_port=free_port()),
    )
    REPORTS.clear()
    yield config
    pid = tgtd_pid(config)
    await purge(config)
    assert pid is None or not running(pid)
    assert not (tmp_path / "h" / "volumes").exists()


@pytest.fixture
async def agent(config: Config) -> AsyncIterator[VolumeAgent]:
    agent = build(config, "host-1")
    await agent.start(note)
    yield agent
    await agent.close()


class TestVolumeAgentOnTgtd(VolumeContract):
    """What holds for the simulated agent holds for the real one."""


def login(target: IscsiTarget, secrets: Path, password: str | None = None) -> tuple[str, Path]:
    """The block driver's options, and the file that holds the password, so that it is no argument."""
    secret = secrets / f"secret-{uuid4()}"
    secret.write_text(target.chap_password if password is None else password)
    options = (
        f"driver=iscsi,transport=tcp,portal={target.portal},target={target.iqn},lun={target.lun},"
        f"user={target.chap_user},password-secret=chap"
    )
    return options, secret


def qemu_io_argv(options: str, *commands: str, secret: Path | None = None) -> list[str]:
    argv = ["qemu-io"]
    if secret is not None:
        argv += ["--object", f"secret,id=chap,file={secret}"]
    argv += ["--image-opts", "driver=raw,file." + ",file.".join(options.split(","))]
    for command in commands:
        argv += ["-c", command]
    return argv


async def qemu_io(options: str, *commands: str, secret: Path | None = None) -> tuple[bool, str]:
    """Whether every command succeeded on the disk that `options` name, and what was said."""
    process = await asyncio.create_subprocess_exec(
        *qemu_io_argv(options, *commands, secret=secret),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode()
    good = process.returncode == 0 and "failed" not in text and "error" not in text.lower()
    return good, text


async def on_disk(target: IscsiTarget, secrets: Path, *commands: str, password: str | None = None) -> tuple[bool, str]:
    """The same, logged in to `target` as a guest's QEMU does."""
    options, secret = login(target, secrets, password)
    return await qemu_io(options, *commands, secret=secret)


@contextlib.asynccontextmanager
async def connected(
    target: IscsiTarget, secrets: Path
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """A session that stays open and takes commands, as a running guest's does."""
    options, secret = login(target, secrets)
    guest = await asyncio.create_subprocess_exec(
        *qemu_io_argv(options, secret=secret),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert guest.stdin
    assert guest.stdout
    try:
        yield guest.stdin, guest.stdout
    finally:
        guest.kill()
        await guest.communicate()


async def made_and_exported(agent: VolumeAgent, order: ExportVolume | None = None) -> IscsiTarget:
    order = order or export_order()
    await agent.make(MakeVolume(volume_id=order.volume_id, size_gib=1))
    return (await agent.export(order)).target


async def test_a_new_volume_reads_as_zeros_and_keeps_what_is_written(agent: VolumeAgent, tmp_path: Path) -> None:
    target = await made_and_exported(agent)
    last = (1 << 30) - 4096
    good, said = await on_disk(
        target,
        tmp_path,
        "read -P 0 0 1M",
        f"read -P 0 {last} 4k",
        "write -P 0xa5 4k 64k",
        f"write -P 0x5a {last} 4k",
        "flush",
    )
    assert good, said
    good, said = await on_disk(target, tmp_path, "read -P 0xa5 4k 64k", f"read -P 0x5a {last} 4k", "read -P 0 0 4k")
    assert good, said
    good, said = await on_disk(target, tmp_path, f"read {1 << 30} 4k")
    assert not good, "one GiB is one GiB"


async def test_the_wrong_password_and_the_wrong_user_stay_outside(agent: VolumeAgent, tmp_path: Path) -> None:
    target = await made_and_exported(agent)
    stranger = IscsiTarget(
        portal=target.portal, iqn=target.iqn, lun=1, chap_user="stranger", chap_password=target.chap_password
    )
    assert not (await on_disk(target, tmp_path, "read 0 4k", password="wrong-password-0"))[0]
    assert not (await on_disk(stranger, tmp_path, "read 0 4k"))[0]
    good, said = await on_disk(target, tmp_path, "read 0 4k")
    assert good, said


async def test_one_attachments_credentials_do_not_open_another(agent: VolumeAgent, tmp_path: Path) -> None:
    mine = await made_and_exported(agent)
    theirs = await made_and_exported(agent, export_order(OTHER_VOLUME, OTHER_ATTACHMENT, password="another-Secret-99"))
    crossed = IscsiTarget(
        portal=mine.portal, iqn=theirs.iqn, lun=1, chap_user=mine.chap_user, chap_password=mine.chap_password
    )
    assert not (await on_disk(crossed, tmp_path, "read 0 4k"))[0]
    assert (await on_disk(theirs, tmp_path, "read 0 4k"))[0]


async def test_an_initiator_at_another_address_stays_outside(agent: VolumeAgent, tmp_path: Path) -> None:
    target = await made_and_exported(agent, export_order(address="127.0.0.77"))
    assert not (await on_disk(target, tmp_path, "read 0 4k"))[0]


async def test_data_follows_the_volume_to_another_attachment_and_the_former_one_is_out(
    agent: VolumeAgent, tmp_path: Path
) -> None:
    former = await made_and_exported(agent)
    assert (await on_disk(former, tmp_path, "write -P 0x42 1M 1M", "flush"))[0]
    await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
    assert not (await on_disk(former, tmp_path, "read 0 4k"))[0]
    later = (await agent.export(export_order(attachment_id=OTHER_ATTACHMENT, password="another-Secret-99"))).target
    good, said = await on_disk(later, tmp_path, "read -P 0x42 1M 1M")
    assert good, said
    assert not (await on_disk(former, tmp_path, "read 0 4k"))[0]


async def test_a_session_that_is_open_ends_with_its_export(agent: VolumeAgent, tmp_path: Path) -> None:
    target = await made_and_exported(agent)
    async with connected(target, tmp_path) as (tell, hear):
        tell.write(b"write -P 7 0 4k\n")
        await asyncio.wait_for(hear.readuntil(b"wrote 4096"), 20)
        await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
        await agent.remove(RemoveVolume(volume_id=VOLUME))
        tell.write(b"write -P 8 0 4k\n")
        # The initiator tries to log in again for a while; what counts is that it gets nowhere.
        with pytest.raises((TimeoutError, EOFError)):
            await asyncio.wait_for(hear.readuntil(b"wrote 4096"), 2)


async def test_an_initiator_that_keeps_writing_is_put_out_all_the_same(agent: VolumeAgent, config: Config) -> None:
    """tgtd refuses to delete a disk with commands under way; the agent must not."""
    pid = tgtd_pid(config)
    for _ in range(3):
        target = await made_and_exported(agent)
        url = f"iscsi://{target.chap_user}%{target.chap_password}@{target.portal}/{target.iqn}/{target.lun}"
        busy = await asyncio.create_subprocess_exec(
            *["qemu-img", "bench", "-w", "-c", "1000000", "-d", "32", "-s", "4096", "-f", "raw", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            disk = config.host.state_dir / "volumes" / "disks" / f"{VOLUME}.raw"
            await until(lambda disk=disk: disk.stat().st_blocks > 1000)  # type: ignore[misc]
            await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
            assert await exports(agent) == []
            held = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
            assert str(disk) not in held
        finally:
            with contextlib.suppress(ProcessLookupError):
                busy.kill()
            await busy.wait()
        await agent.remove(RemoveVolume(volume_id=VOLUME))
    assert tgtd_pid(config) == pid, "no crash on the way"


async def test_other_credentials_for_the_same_attachment_replace_the_first(agent: VolumeAgent, tmp_path: Path) -> None:
    first = await made_and_exported(agent)
    second = (await agent.export(export_order(password="a-newer-Secret-1"))).target
    assert not (await on_disk(first, tmp_path, "read 0 4k"))[0]
    assert (await on_disk(second, tmp_path, "read 0 4k"))[0]


async def test_the_disk_carries_its_volumes_id(agent: VolumeAgent, tmp_path: Path) -> None:
    await made_and_exported(agent)
    assert isinstance(agent.pool, FilePool)
    targets = await agent.pool._targets.all()
    assert targets[f"iqn.2026-01.org.skybus:{ATTACHMENT}"].serials[1] == VOLUME


async def test_after_a_crash_of_tgtd_every_export_is_back_and_is_told(
    agent: VolumeAgent, config: Config, tmp_path: Path
) -> None:
    target = await made_and_exported(agent)
    other = await made_and_exported(agent, export_order(OTHER_VOLUME, OTHER_ATTACHMENT))
    assert (await on_disk(target, tmp_path, "write -P 0x11 0 4k", "flush"))[0]
    pid = tgtd_pid(config)
    assert pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: bool(REPORTS))
    assert isinstance(REPORTS[0], PoolReport)
    assert len(REPORTS[0].exports) == 2
    assert tgtd_pid(config) not in (None, pid)
    good, said = await on_disk(target, tmp_path, "read -P 0x11 0 4k")
    assert good, said
    assert (await on_disk(other, tmp_path, "read -P 0 0 4k"))[0]
    assert not (await on_disk(target, tmp_path, "read 0 4k", password="wrong-password-0"))[0]


async def test_tgtd_outlives_the_agent_and_the_next_agent_takes_it_over(config: Config, tmp_path: Path) -> None:
    first = build(config, "host-1")
    await first.start(note)
    target = await made_and_exported(first)
    await first.close()
    pid = tgtd_pid(config)
    assert pid
    assert (await on_disk(target, tmp_path, "read 0 4k"))[0]
    second = build(config, "host-1")
    await second.start(note)
    try:
        assert tgtd_pid(config) == pid
        assert await exports(second) == [ExportSeen(volume_id=VOLUME, attachment_id=ATTACHMENT)]
        await second.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
        assert not (await on_disk(target, tmp_path, "read 0 4k"))[0]
    finally:
        await second.close()


async def test_exports_come_back_when_agent_and_tgtd_were_both_gone(config: Config, tmp_path: Path) -> None:
    first = build(config, "host-1")
    await first.start(note)
    target = await made_and_exported(first)
    await first.close()
    await stop_exports(config)
    assert tgtd_pid(config) is None
    second = build(config, "host-1")
    await second.start(note)
    try:
        good, said = await on_disk(target, tmp_path, "read 0 4k")
        assert good, said
    finally:
        await second.close()


async def test_a_target_that_nobody_ordered_is_closed_at_start(config: Config, tmp_path: Path) -> None:
    """As when the agent died between closing an export and forgetting it, the other way round."""
    first = build(config, "host-1")
    await first.start(note)
    target = await made_and_exported(first)
    await first.close()
    (config.host.state_dir / "volumes" / "exports" / f"{ATTACHMENT}.json").unlink()
    second = build(config, "host-1")
    await second.start(note)
    try:
        assert await exports(second) == []
        assert not (await on_disk(target, tmp_path, "read 0 4k"))[0]
    finally:
        await second.close()


async def test_an_export_whose_file_is_lost_does_not_keep_the_others_closed(config: Config, tmp_path: Path) -> None:
    first = build(config, "host-1")
    await first.start(note)
    await made_and_exported(first)
    other = await made_and_exported(first, export_order(OTHER_VOLUME, OTHER_ATTACHMENT))
    await first.close()
    await stop_exports(config)
    (config.host.state_dir / "volumes" / "disks" / f"{VOLUME}.raw").unlink()
    second = build(config, "host-1")
    await second.start(note)
    try:
        assert await exports(second) == [ExportSeen(volume_id=OTHER_VOLUME, attachment_id=OTHER_ATTACHMENT)]
        assert (await on_disk(other, tmp_path, "read 0 4k"))[0]
        await second.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
    finally:
        await second.close()


async def test_a_taken_portal_is_named_and_leaves_no_process(config: Config) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", config.volume.portal_port))
        squatter.listen()
        agent = build(config, "host-1")
        with pytest.raises(CommandTroubled, match=f"127.0.0.1:{config.volume.portal_port}.*Address already in use"):
            await agent.start(note)
    assert tgtd_pid(config) is None


async def test_a_namespace_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = Config(host=Host(namespace="skyvt-nowhere", state_dir=tmp_path), volume=Volume(capacity_gib=100))
    with pytest.raises(CommandTroubled, match="skyvt-nowhere"):
        await build(config, "host-1").start(note)
    await purge(config)


async def test_a_socket_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    config = Config(host=Host(state_dir=tmp_path / ("x" * 100)), volume=Volume(capacity_gib=100))
    with pytest.raises(CommandTroubled, match=r"shorter host\.state_dir"):
        await build(config, "host-1").start(note)
    await purge(config)


class Faltering(TgtControl):
    """The real daemon's socket, on which the message number `fails_at` is carried out and its answer lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fails_at = -1

    async def _exchange(self, request: bytes) -> tuple[int, str]:
        answer = await super()._exchange(request)
        self.fails_at -= 1
        if self.fails_at == 0:
            raise ConnectionResetError("lost on purpose")
        return answer


async def test_an_export_broken_off_anywhere_lets_nobody_in_and_is_whole_when_asked_again(
    config: Config, tmp_path: Path
) -> None:
    folder = config.host.state_dir / "volumes"
    tgtd = Tgtd(folder / "tgt", "127.0.0.1", config.volume.portal_port, None)
    control = tgtd.control = Faltering(tgtd.control.path)
    disks = Disks(folder / "disks", folder / "pool.json", 100)
    agent = VolumeAgent("host-1", FilePool(folder, disks, Book(folder / "exports"), tgtd))
    await agent.start(note)
    try:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        for number in range(1, 20):
            control.fails_at = number
            try:
                target = (await agent.export(export_order())).target
            except CommandTroubled:
                iqn = f"iqn.2026-01.org.skybus:{ATTACHMENT}"
                options = f"driver=iscsi,transport=tcp,portal={tgtd.portal},target={iqn},lun=1"
                assert not (await qemu_io(options, "read 0 4k"))[0], f"open without a password at message {number}"
                target = (await agent.export(export_order())).target
            else:
                assert number > 8, "an export takes as many messages as that"
                break
            assert (await on_disk(target, tmp_path, "read 0 4k"))[0]
            control.fails_at = random.randrange(1, 5)
            for _ in range(2):
                with contextlib.suppress(CommandTroubled):
                    await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
            assert await exports(agent) == []
        else:
            pytest.fail("an export never came to its end")
    finally:
        await agent.close()


async def test_a_guest_that_is_connected_goes_on_after_a_crash_of_tgtd(
    agent: VolumeAgent, config: Config, tmp_path: Path
) -> None:
    target = await made_and_exported(agent)
    async with connected(target, tmp_path) as (tell, hear):
        tell.write(b"write -P 7 0 4k\n")
        await asyncio.wait_for(hear.readuntil(b"wrote 4096"), 20)
        pid = tgtd_pid(config)
        assert pid
        os.kill(pid, signal.SIGKILL)
        tell.write(b"read -P 7 0 4k\n")
        assert b"failed" not in await asyncio.wait_for(hear.readuntil(b"read 4096"), 40)
        tell.write(b"write -P 9 0 4k\n")
        assert b"failed" not in await asyncio.wait_for(hear.readuntil(b"wrote 4096"), 40)


async def test_an_export_can_be_ended_while_tgtd_cannot_run(config: Config) -> None:
    first = build(config, "host-1")
    await first.start(note)
    await made_and_exported(first)
    await first.close()
    await stop_exports(config)
    pool = build(config, "host-1")
    assert isinstance(pool.pool, FilePool)
    pool.pool._open()  # the start that comes after this fails when the daemon cannot run
    await pool.remove(RemoveVolume(volume_id=VOLUME))
    assert (await pool.pool.volumes(), pool.pool.ordered()) == ([], [])
    assert tgtd_pid(config) is None


async def test_no_secret_stands_in_a_log_or_in_an_argument(
    agent: VolumeAgent, config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    await made_and_exported(agent)
    await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
    printed = "".join(capfd.readouterr())
    daemon = config.host.state_dir / "volumes" / "tgt" / "tgtd.log"
    pid = tgtd_pid(config)
    for text in (printed, daemon.read_text(), Path(f"/proc/{pid}/cmdline").read_text()):
        assert PASSWORD not in text


async def test_a_pool_in_a_network_namespace_is_served_there_and_nowhere_else(tmp_path: Path) -> None:
    namespace = f"skyvt-{random.randrange(1 << 24):06x}"
    subprocess.run(["ip", "netns", "add", namespace], check=True, timeout=10)
    config = Config(
        host=Host(address="127.0.0.1", namespace=namespace, state_dir=tmp_path / "h"),
        volume=Volume(capacity_gib=100, portal_port=free_port()),
    )
    agent = build(config, "host-1")
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True, timeout=10)
        await agent.start(note)
        target = await made_and_exported(agent)
        assert not (await on_disk(target, tmp_path, "read 0 4k"))[0]
        options, secret = login(target, tmp_path)
        commands = qemu_io_argv(options, "write -P 3 0 4k", "read -P 3 0 4k", secret=secret)
        inside = ["ip", "netns", "exec", namespace, *commands]
        said = await asyncio.to_thread(subprocess.run, inside, capture_output=True, timeout=30, check=True)
        assert b"wrote 4096" in said.stdout
    finally:
        await agent.close()
        await purge(config)
        subprocess.run(["ip", "netns", "delete", namespace], check=True, timeout=10)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system with next to nothing in it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=5", "skybus-test", folder], check=True, timeout=10
    )
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=10)
    shutil.rmtree(folder)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tiny: Path) -> None:
    disks = Disks(tiny / "disks", tiny / "pool.json", 100)
    disks.prepare()
    full: CommandTroubled | None = None
    made: list[str] = []
    while full is None and len(made) < 10:
        try:
            disks.make(f"v{len(made)}", 1)
            made.append(f"v{len(made)}")
        except CommandTroubled as error:
            full = error
    assert full is not None
    assert (full.code, full.reason) == ("volume.pool-full", "the pool's file system is full")
    assert sorted(disks.all()) == made
    assert len(list((tiny / "disks").iterdir())) == len(made)
    disks.remove(made[0])
    disks.make("v9", 1)
