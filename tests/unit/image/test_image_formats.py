"""The inspector sees through every disguise, however the data is cut."""

from __future__ import annotations

import pytest

from skybus.image.formats import ImageRefused, Inspector
from support.disk_images import MIB, every_evil_image, partitioned, qcow2, raw


def inspect(disk_format: str, data: bytes, step: int, container: str = "bare") -> int:
    inspector = Inspector(disk_format, container)
    for start in range(0, len(data), step):
        inspector.eat(data[start : start + step])
    return inspector.finish()


@pytest.mark.parametrize("step", [7919, 65536, MIB])
@pytest.mark.parametrize("name", every_evil_image())
def test_evil_images_are_refused(name: str, step: int) -> None:
    """Security class 1."""
    disk_format, data = every_evil_image()[name]
    with pytest.raises(ImageRefused):
        inspect(disk_format, data, step)


@pytest.mark.parametrize("step", [7919, MIB])
def test_the_size_that_a_guest_sees_is_found(step: int) -> None:
    assert inspect("qcow2", qcow2(5 * MIB), step) == 5 * MIB
    assert inspect("raw", raw(1000), step) == 1000
    assert inspect("raw", partitioned(), step) == MIB
    assert inspect("raw", b"", step) == 0


def test_a_refusal_names_both_formats() -> None:
    with pytest.raises(ImageRefused, match="disk_format is raw, and the data is qcow2"):
        inspect("raw", qcow2(), MIB)
    with pytest.raises(ImageRefused, match="backing file"):
        inspect("qcow2", qcow2(backing="/etc/shadow"), MIB)
