"""What every volume agent promises, whatever its driver. The simulated one and the real one pass the same tests: a test
module subclasses `VolumeContract` and gives it a fixture `agent`, started, with a pool of 100 GiB."""

from __future__ import annotations

import asyncio

import pytest

from skybus.errors import CommandRefused
from skybus.messages.volume import ExportSeen, ExportVolume, MakeVolume, RemoveVolume, UnexportVolume
from skybus_volume.agent import VolumeAgent

VOLUME = "01990000-0000-7000-8000-00000000000a"
OTHER_VOLUME = "01990000-0000-7000-8000-00000000000b"
ATTACHMENT = "01990000-0000-7000-8000-0000000000aa"
OTHER_ATTACHMENT = "01990000-0000-7000-8000-0000000000bb"
PASSWORD = "canary-Secret-0123456789"


def export_order(
    volume_id: str = VOLUME,
    attachment_id: str = ATTACHMENT,
    *,
    password: str = PASSWORD,
    user: str = "",
    address: str = "127.0.0.1",
) -> ExportVolume:
    """An order as the conductor draws it: a user of its own for each attachment."""
    return ExportVolume(
        volume_id=volume_id,
        attachment_id=attachment_id,
        chap_user=user or f"user-{attachment_id[-2:]}",
        chap_password=password,
        initiator_address=address,
    )


async def exports(agent: VolumeAgent) -> list[ExportSeen]:
    return (await agent.report(started=False)).exports


class VolumeContract:
    """The promises."""

    async def test_a_made_volume_is_in_the_heartbeat_and_takes_its_room(self, agent: VolumeAgent) -> None:
        before = await agent.report(started=True)
        made = await agent.make(MakeVolume(volume_id=VOLUME, size_gib=3))
        after = await agent.report(started=False)
        assert (made.volume_id, made.size_gib) == (VOLUME, 3)
        assert (before.host, before.started, before.volumes, before.capacity_gib) == (agent.host, True, [], 100)
        assert (after.started, after.volumes) == (False, [VOLUME])
        assert (before.free_gib, after.free_gib) == (100, 97)

    async def test_making_a_volume_twice_finds_the_first(self, agent: VolumeAgent) -> None:
        order = MakeVolume(volume_id=VOLUME, size_gib=2)
        answers = await asyncio.gather(agent.make(order), agent.make(order))
        assert answers[0] == answers[1]
        assert (await agent.report(started=False)).free_gib == 98

    async def test_a_volume_of_another_size_under_the_same_id_is_refused(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=2))
        with pytest.raises(CommandRefused) as refused:
            await agent.make(MakeVolume(volume_id=VOLUME, size_gib=3))
        assert refused.value.code == "volume.size-differs"
        assert (await agent.make(MakeVolume(volume_id=VOLUME, size_gib=2))).size_gib == 2

    async def test_removing_is_content_to_find_nothing(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=2))
        for _ in range(2):
            assert (await agent.remove(RemoveVolume(volume_id=VOLUME))).volume_id == VOLUME
        assert (await agent.report(started=False)).volumes == []

    async def test_an_export_names_a_target_of_the_attachments_own(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        exported = await agent.export(export_order())
        assert (exported.volume_id, exported.attachment_id) == (VOLUME, ATTACHMENT)
        assert exported.target.iqn == f"iqn.2026-01.org.skybus:{ATTACHMENT}"
        assert exported.target.lun == 1
        assert exported.target.chap_password == PASSWORD
        assert await exports(agent) == [ExportSeen(volume_id=VOLUME, attachment_id=ATTACHMENT)]

    async def test_exporting_twice_answers_the_same(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        first, second = await asyncio.gather(agent.export(export_order()), agent.export(export_order()))
        assert first == second
        assert len(await exports(agent)) == 1

    async def test_a_volume_opens_to_one_attachment_at_a_time(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        orders = [export_order(), export_order(attachment_id=OTHER_ATTACHMENT)]
        outcomes = await asyncio.gather(*map(agent.export, orders), return_exceptions=True)
        refusals = [outcome for outcome in outcomes if isinstance(outcome, CommandRefused)]
        assert [refusal.code for refusal in refusals] == ["volume.in-use"]
        assert len(await exports(agent)) == 1
        await agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT))
        await agent.export(orders[1])
        assert await exports(agent) == [ExportSeen(volume_id=VOLUME, attachment_id=OTHER_ATTACHMENT)]

    async def test_an_attachment_belongs_to_one_volume(self, agent: VolumeAgent) -> None:
        for volume_id in (VOLUME, OTHER_VOLUME):
            await agent.make(MakeVolume(volume_id=volume_id, size_gib=1))
        await agent.export(export_order())
        with pytest.raises(CommandRefused) as refused:
            await agent.export(export_order(OTHER_VOLUME, user="somebody"))
        assert refused.value.code == "volume.attachment-taken"
        await agent.unexport(UnexportVolume(volume_id=OTHER_VOLUME, attachment_id=ATTACHMENT))
        assert await exports(agent) == [ExportSeen(volume_id=VOLUME, attachment_id=ATTACHMENT)]

    async def test_a_chap_user_belongs_to_one_attachment(self, agent: VolumeAgent) -> None:
        for volume_id in (VOLUME, OTHER_VOLUME):
            await agent.make(MakeVolume(volume_id=volume_id, size_gib=1))
        await agent.export(export_order(user="shared"))
        with pytest.raises(CommandRefused) as refused:
            await agent.export(export_order(OTHER_VOLUME, OTHER_ATTACHMENT, user="shared"))
        assert refused.value.code == "volume.credentials-taken"

    async def test_ending_an_export_is_content_to_find_none(self, agent: VolumeAgent) -> None:
        order = UnexportVolume(volume_id=VOLUME, attachment_id=ATTACHMENT)
        await agent.unexport(order)
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        await agent.export(export_order())
        for _ in range(2):
            assert (await agent.unexport(order)).attachment_id == ATTACHMENT
        assert await exports(agent) == []

    async def test_removing_a_volume_ends_its_exports_first(self, agent: VolumeAgent) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        await agent.export(export_order())
        await agent.remove(RemoveVolume(volume_id=VOLUME))
        report = await agent.report(started=False)
        assert (report.volumes, report.exports) == ([], [])

    async def test_a_volume_that_is_not_there_is_not_exported(self, agent: VolumeAgent) -> None:
        with pytest.raises(CommandRefused) as refused:
            await agent.export(export_order())
        assert refused.value.code == "volume.not-found"
        assert await exports(agent) == []

    @pytest.mark.parametrize("bad", ["", "../a", "a/b", "a\n", "A", "a,b", "-a", "a" * 37, "é"])
    async def test_an_id_that_is_no_id_is_refused_everywhere(self, agent: VolumeAgent, bad: str) -> None:
        for order in (
            agent.make(MakeVolume(volume_id=bad, size_gib=1)),
            agent.remove(RemoveVolume(volume_id=bad)),
            agent.export(export_order(bad)),
            agent.export(export_order(attachment_id=bad, user="somebody")),
            agent.unexport(UnexportVolume(volume_id=bad, attachment_id=ATTACHMENT)),
            agent.unexport(UnexportVolume(volume_id=VOLUME, attachment_id=bad)),
        ):
            with pytest.raises(CommandRefused) as refused:
                await order
            assert refused.value.code == "volume.id-invalid"
        assert (await agent.report(started=False)).volumes == []

    @pytest.mark.parametrize(
        ("order", "code"),
        [
            (export_order(password="short"), "volume.credentials-invalid"),
            (export_order(password="with,comma-and-length"), "volume.credentials-invalid"),
            (export_order(password="with a space inside"), "volume.credentials-invalid"),
            (export_order(password="x" * 201), "volume.credentials-invalid"),
            (export_order(user="a,password=b"), "volume.credentials-invalid"),
            (export_order(address="ALL"), "volume.initiator-invalid"),
            (export_order(address="10.0.0.0/8"), "volume.initiator-invalid"),
            (export_order(address="0.0.0.0"), "volume.initiator-invalid"),
            (export_order(address="host-1"), "volume.initiator-invalid"),
        ],
    )
    async def test_an_export_with_a_weak_guard_is_refused(
        self, agent: VolumeAgent, order: ExportVolume, code: str
    ) -> None:
        await agent.make(MakeVolume(volume_id=VOLUME, size_gib=1))
        with pytest.raises(CommandRefused) as refused:
            await agent.export(order)
        assert refused.value.code == code
        assert order.chap_password not in refused.value.reason
        assert await exports(agent) == []

    @pytest.mark.parametrize("size_gib", [0, -1])
    async def test_a_volume_without_room_for_a_byte_is_refused(self, agent: VolumeAgent, size_gib: int) -> None:
        with pytest.raises(CommandRefused) as refused:
            await agent.make(MakeVolume(volume_id=VOLUME, size_gib=size_gib))
        assert refused.value.code == "volume.size-invalid"
